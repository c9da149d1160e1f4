/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <json-c/json.h>

#include <cmocka.h>

#include "base/macro.h"
#include "i2c-fixture.h"
#include "tree.h"

#define N_KNOWN 4 /* drivers that ask for an id at one address at most */

static json_object *found(Fixture *f, const char *id) {
        const char *text;

        for (size_t i = 0; (text = harness_found(f->harness, i)); i++) {
                json_object *o = json_tokener_parse(text);

                if (!o)
                        fail_msg("no JSON: %s", text);
                if (streq(json_object_get_string(json_object_object_get(o, "id")), id))
                        return o;
                json_object_put(o);
        }
        return NULL;
}

static void expect_found(Fixture *f, const char *id) {
        json_object *o = found(f, id);

        assert_non_null(o);
        json_object_put(o);
}

static const char *text_of(json_object *o, const char *name) {
        return json_object_get_string(json_object_object_get(o, name));
}

/* chip NULL: nothing for a configuration. What is only likely is left to a person. */
static void expect(Fixture *f, const char *id, const char *what, const char *group, const char *chip) {
        json_object *o = found(f, id);
        char config[96];

        if (!o)
                fail_msg("%s was not found", id);
        if (!strstr(text_of(o, "what"), what))
                fail_msg("%s: \"%s\" lacks \"%s\"", id, text_of(o, "what"), what);
        if (chip) {
                snprintf(config, sizeof(config), "%s_%s = { chip = \"%s\"; address = 0x%s; };", chip, strstr(id, "/0x") + 3, chip,
                         strstr(id, "/0x") + 3);
                assert_string_equal(text_of(o, "config"), config);
                assert_string_equal(text_of(o, "group"), group);
                assert_string_equal(text_of(o, "instance"), "i2c_1");
                assert_string_equal(text_of(o, "options"), "bus = 1;");
                assert_int_equal(json_object_get_boolean(json_object_object_get(o, "commented")), strstr(what, "likely") != NULL);
        } else
                assert_null(json_object_object_get(o, "config"));
        json_object_put(o);
}

static void chip(Fixture *f, const char *name, uint8_t address) {
        sim_chip(f->sim, address, vector_of(name)->description);
}

static size_t n_found(Fixture *f) {
        size_t n = 0;

        while (harness_found(f->harness, n))
                n++;
        return n;
}

static void test_scan(void **state) {
        Fixture *f = *state;

        chip(f, "bme280", 0x77);
        chip(f, "bmp280", 0x76);
        chip(f, "mcp9808", 0x18);
        chip(f, "tsl2591", 0x29);
        chip(f, "ccs811", 0x5a);
        chip(f, "lps22hb", 0x5c);
        chip(f, "ds3231", 0x68);
        chip(f, "tmp102", 0x48);
        sim_chip(f->sim, 0x20, "model port\n");
        sim_chip(f->sim, 0x33, "model bytes\n00: 12\n");
        sim_chip(f->sim, 0x50, "model bytes\n00: 12\n");
        assert_int_equal(harness_scan(f->harness), 0);
        expect(f, "i2c-1/0x77", "bme280: temperature, pressure and humidity", "chips", "bme280");
        expect(f, "i2c-1/0x76", "bmp280: temperature and pressure", "chips", "bmp280");
        expect(f, "i2c-1/0x18", "mcp9808: temperature", "chips", "mcp9808");
        expect(f, "i2c-1/0x29", "tsl2591: illuminance", "chips", "tsl2591");
        expect(f, "i2c-1/0x5a", "ccs811: ", "chips", "ccs811");
        expect(f, "i2c-1/0x5c", "lps22hb: ", "chips", "lps22hb");
        expect(f, "i2c-1/0x68", "likely ds3231", "chips", "ds3231");
        expect(f, "i2c-1/0x48", "likely ads1115, tmp102, lm75, lm75b, tmp117, ina219, ina226", "chips", "ads1115");
        expect(f, "i2c-1/0x20", "likely mcp23017, pcf8574", "expanders", "mcp23017");
        expect(f, "i2c-1/0x33", "not known", NULL, NULL);
        expect(f, "i2c-1/0x50", "not known", NULL, NULL);
        assert_int_equal(n_found(f), 11);
}

/* No data goes to a chip that might take it for an order, no quick write to EEPROMs, nothing to reserved addresses. */
static void test_writes_nothing(void **state) {
        Fixture *f = *state;

        for (unsigned address = 0x08; address <= 0x77; address += 4)
                sim_chip(f->sim, (uint8_t)address, address % 8 ? "model port\n" : "model bytes\n00: 5a\n");
        assert_int_equal(harness_scan(f->harness), 0);
        for (unsigned address = 0; address < 128; address++) {
                bool by_reading = (address >= 0x30 && address <= 0x37) || (address >= 0x50 && address <= 0x5f);
                bool nobody = address == 0x79 || address == 0x7b; /* read, to see whether the line is held low */
                bool known_registers =
                        (address >= 0x18 && address <= 0x1f) || address == 0x29 || (address >= 0x5a && address <= 0x5d);

                if (!known_registers)
                        assert_int_equal(sim_written(f->sim, (uint8_t)address), 0);
                else
                        assert_in_range(sim_written(f->sim, (uint8_t)address), 0, 2 * N_KNOWN); /* numbers of registers */
                if (nobody)
                        assert_int_equal(sim_quick(f->sim, (uint8_t)address), 0);
                else if (address < 0x08 || address > 0x77)
                        assert_int_equal(sim_transactions(f->sim, (uint8_t)address), 0);
                else
                        assert_int_equal(sim_quick(f->sim, (uint8_t)address), by_reading ? 0 : 1);
                if (address >= 0x08 && address <= 0x77 && address % 8 == 4 && !known_registers)
                        assert_int_equal(sim_peek(f->sim, (uint8_t)address, 0), 0xff);
        }
        assert_int_equal(n_found(f), 28);
}

/* A mux at the address of a barometer: it is not touched, so its channels stay as they are. */
static void test_mux(void **state) {
        Fixture *f = *state;

        sim_chip(f->sim, 0x76, "model port\n");
        sim_chip(f->sim, 0x70, "model port\n");
        assert_int_equal(harness_scan(f->harness), 0);
        assert_int_equal(sim_written(f->sim, 0x76), 0);
        assert_int_equal(sim_peek(f->sim, 0x76, 0), 0xff);
        expect(f, "i2c-1/0x76", "likely bme280, bmp280, bmp388, a mux TCA9548A, behind which nothing was looked for", "chips",
               "bme280");
        expect(f, "i2c-1/0x70", "likely a mux TCA9548A", NULL, NULL);
}

static void test_buses(void **state) {
        Fixture *f = *state;
        Sim *other = sim_new(f->root, 20, "a \"quoted\" one\\");
        json_object *o;

        chip(f, "ds3231", 0x68);
        sim_chip(other, 0x44, "model commands\n");
        sim_claim(f->sim, 0x76);
        tree_put(f->root, "sys/bus/i2c/devices/1-0076/iio:device0/name", "bme280\n");
        assert_int_equal(harness_scan(f->harness), 0);
        expect(f, "i2c-1/0x76", "0x76 belongs to the kernel's driver", NULL, NULL);
        assert_int_equal(sim_transactions(f->sim, 0x76), 0);
        o = found(f, "i2c-20/0x44");
        assert_non_null(o);
        assert_string_equal(text_of(o, "options"), "bus = 20;");
        assert_string_equal(text_of(o, "instance"), "i2c_20");
        json_object_put(o);
        assert_int_equal(n_found(f), 3);
        sim_free(other);
}

static SimFault all_hang(void *userdata, uint8_t address, bool reads) {
        (void)userdata;
        (void)address;
        (void)reads;
        return SIM_TIMEOUT;
}

static void test_hangs(void **state) {
        Fixture *f = *state;
        unsigned asked = 0;

        sim_faults(f->sim, all_hang, NULL);
        assert_int_equal(harness_scan(f->harness), 0);
        for (unsigned address = 0; address < 128; address++)
                asked += sim_transactions(f->sim, (uint8_t)address);
        assert_int_equal(asked, 1 + 3); /* whether it is held low, and three addresses */
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "i2c-1 (bcm2835 (i2c@7e804000)) hangs"), 1);
}

static void test_line_low(void **state) {
        Fixture *f = *state;

        chip(f, "ds3231", 0x68);
        sim_low(f->sim, true);
        assert_int_equal(harness_scan(f->harness), 0);
        assert_int_equal(n_found(f), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "was not scanned: its data line (SDA) is held low"), 1);
}

static void test_locked(void **state) {
        Fixture *f = *state;
        char path[160];
        int fd;

        snprintf(path, sizeof(path), "%s/dev/i2c-1", f->root);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(fd, LOCK_EX), 0);
        assert_int_equal(harness_scan(f->harness), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "another process, a tbagent perhaps, has it locked"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "hangs"), 0);
        close(fd);
}

/* A chip of the same kind on another bus has another key; what is in front of a mux of the kernel's is told of once. */
static void test_names(void **state) {
        Fixture *f = *state;
        Sim *channel = sim_new(f->root, 22, "i2c-1-mux (chan_id 3)");
        char from[200], to[200];
        json_object *o;

        chip(f, "bmp280", 0x76);
        sim_chip(channel, 0x76, vector_of("bmp280")->description);
        sim_chip(channel, 0x77, vector_of("bme280")->description);
        assert_int_equal(harness_scan(f->harness), 0);
        o = found(f, "i2c-22/0x76");
        assert_non_null(o);
        assert_string_equal(text_of(o, "config"), "bmp280_22_76 = { chip = \"bmp280\"; address = 0x76; };");
        json_object_put(o);
        expect(f, "i2c-1/0x76", "bmp280", "chips", "bmp280");
        assert_int_equal(n_found(f), 3);

        snprintf(from, sizeof(from), "%s/sys/bus/i2c/devices/i2c-22", f->root);
        snprintf(to, sizeof(to), "%s/sys/elsewhere", f->root);
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(symlink("../../../devices/soc/i2c-1/i2c-22", from), 0);
        harness_clear(f->harness);
        assert_int_equal(harness_scan(f->harness), 0);
        assert_int_equal(n_found(f), 3 + 2);
        sim_free(channel);
}

static void test_adapters(void **state) {
        Fixture *f = *state;

        chip(f, "ds3231", 0x68);
        sim_chip(f->sim, 0x69, "model bytes\n");
        sim_no_quick(f->sim);
        assert_int_equal(harness_scan(f->harness), 0);
        expect_found(f, "i2c-1/0x68");
        assert_int_equal(sim_transactions(f->sim, 0x69), 0);
        assert_int_equal(sim_quick(f->sim, 0x68), 0);

        sim_smbus_only(f->sim, true);
        chip(f, "bme280", 0x77);
        assert_int_equal(harness_scan(f->harness), 0);
        assert_int_equal(sim_written(f->sim, 0x77), 0);
        expect_found(f, "i2c-1/0x77");
}

static void test_no_bus(void **state) {
        Fixture *f = *state;

        tree_put(f->root, "dev/i2c-1", NULL);
        assert_int_equal(harness_scan(f->harness), -ENOENT);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "modprobe i2c-dev"), 1);
        tree_put(f->root, "sys", NULL);
        assert_int_equal(harness_scan(f->harness), -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "raspi-config nonint do_i2c 0"), 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_scan),  TEST(test_writes_nothing), TEST(test_mux),    TEST(test_buses),
                TEST(test_hangs), TEST(test_line_low), TEST(test_locked), TEST(test_names), TEST(test_adapters),       TEST(test_no_bus),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
