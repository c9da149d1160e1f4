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
#include <sys/stat.h>

#include <cmocka.h>

#include "base/macro.h"
#include "i2c-fixture.h"
#include "tree.h"

static void add(Fixture *f, const char *name, const char *chip, uint8_t address) {
        Vector v = *vector_of(chip);

        v.address = address;
        vector_configure(f, name, &v);
}

/* ---- which bus */

static void test_no_bus(void **state) {
        Fixture *f = *state;
        char path[160];

        option_set(f, "bus", "3");
        for (int i = 0; i < 2; i++)
                assert_int_equal(harness_open(f->harness), -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "/dev/i2c-3: sudo raspi-config nonint do_i2c 0 switches"), 2);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "dtparam=i2c_arm=on"), 2);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "there are 1 (bcm2835 (i2c@7e804000))"), 2);

        tree_put(f->root, "sys/bus/i2c/devices/i2c-3/name", "fef04500.i2c\n");
        assert_int_equal(harness_open(f->harness), -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "though the bus is on: sudo modprobe i2c-dev"), 1);

        tree_put(f->root, "dev/i2c-3", "a file, and no bus\n");
        assert_int_equal(harness_open(f->harness), -ENOTTY);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "dev/i2c-3 is no I2C bus"), 1);

        snprintf(path, sizeof(path), "%s/dev/i2c-3", f->root);
        assert_int_equal(chmod(path, 0), 0);
        chmod(f->root, 0755);
        if (geteuid() == 0)
                assert_int_equal(seteuid(65534), 0);
        assert_int_equal(harness_open(f->harness), -EACCES);
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "permission denied for the user "), 1);
}

static void test_by_name_and_path(void **state) {
        Fixture *f = *state;
        Sim *other = sim_new(f->root, 22, "i2c-1-mux (chan_id 3)");
        char path[160];
        int r;

        add(f, "clock", "ds3231", 0x68);
        sim_chip(other, 0x68, "model bytes\n11: 0a 80\n");
        option_set(f, "adapter", "i2c-1-mux (chan_id 3)");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "clock_temperature"), 10.5, 0);
        harness_close(f->harness);

        snprintf(path, sizeof(path), "%s/dev/i2c-22", f->root);
        option_set(f, "adapter", path);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "clock_temperature"), 10.5, 0);
        harness_close(f->harness);

        option_set(f, "adapter", "bcm2835");
        assert_int_equal(harness_open(f->harness), -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "no I2C bus is called \"bcm2835\"; there are 1 (bcm2835 "
                                                                     "(i2c@7e804000)), 22 (i2c-1-mux (chan_id 3))"), 1);
        sim_free(other);
}

/* An adapter that is pulled out: the host is told, and opens it again when it is back. */
static void test_bus_goes(void **state) {
        Fixture *f = *state;
        int r;

        add(f, "clock", "ds3231", 0x68);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        sim_fail(f->sim, 0x68, SIM_GONE, 1000);
        sample(f, &r);
        assert_int_equal(r, -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "/dev/i2c-1 is gone"), 1);
        sim_fail(f->sim, 0x68, SIM_NACK, 1000);
        sample(f, &r);
        assert_int_equal(r, -ENXIO); /* nobody there is no missing bus */
        tree_put(f->root, "dev/i2c-1", NULL);
        sample(f, &r);
        assert_int_equal(r, -ENODEV);
}

/* ---- whose the address is */

static void test_held_by_the_kernel(void **state) {
        Fixture *f = *state;
        char link[200];
        int r;

        add(f, "room", "bme280", 0x76);
        add(f, "clock", "ds3231", 0x68);
        sim_claim(f->sim, 0x76);
        tree_put(f->root, "sys/bus/i2c/devices/1-0076/iio:device0/name", "bme280\n");
        snprintf(link, sizeof(link), "%s/sys/bus/i2c/devices/1-0076/driver", f->root);
        assert_int_equal(symlink("../../../bus/i2c/drivers/bmp280", link), 0);
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 3; i++) {
                sample(f, &r);
                assert_int_equal(r, 0);
                expect_bad(f, "room_humidity", "0x76 belongs to the kernel's driver bmp280, which shows its readings in ");
                expect_bad(f, "room_humidity", "/1-0076/iio:device0");
        }
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "room: 0x76 belongs to the kernel's driver bmp280"), 1);
        assert_int_equal(sim_transactions(f->sim, 0x76), 0);
}

static void test_hwmon_and_mux_of_the_kernel(void **state) {
        Fixture *f = *state;
        char link[200];
        int r;

        add(f, "t", "tmp102", 0x48);
        sim_claim(f->sim, 0x48);
        tree_put(f->root, "sys/bus/i2c/devices/1-0048/hwmon/hwmon3/temp1_input", "25000\n");
        add(f, "clock", "ds3231", 0x68);
        option_set(f, "chips.clock.mux", "0x70");
        option_set(f, "chips.clock.channel", "3");
        sim_claim(f->sim, 0x70);
        tree_put(f->root, "sys/bus/i2c/devices/1-0070/channel-0/name", "\n");
        snprintf(link, sizeof(link), "%s/sys/bus/i2c/devices/1-0070/driver", f->root);
        assert_int_equal(symlink("../../../bus/i2c/drivers/pca954x", link), 0);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, -EADDRINUSE);
        expect_bad(f, "t_temperature", "hwmon/hwmon3");
        expect_bad(f, "clock_temperature", "the mux 0x70 is switched by the kernel (driver pca954x): take `mux` out");
}

/* ---- mux and lock */

static void test_mux(void **state) {
        Fixture *f = *state;
        int r;

        option_set(f, "chips.a.chip", "ds3231");
        option_set(f, "chips.a.mux", "0x70");
        option_set(f, "chips.a.channel", "3");
        option_set(f, "chips.b.chip", "ds3231");
        option_set(f, "chips.b.mux", "0x70");
        option_set(f, "chips.b.channel", "5");
        add(f, "c", "tmp117", 0x48);
        sim_chip_behind(f->sim, 3, 0x68, "model bytes\n11: 01 00\n");
        sim_chip_behind(f->sim, 5, 0x68, "model bytes\n11: 02 00\n");
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 3; i++) {
                sample(f, &r);
                assert_float_equal(value(f, "a_temperature"), 1, 0);
                assert_float_equal(value(f, "b_temperature"), 2, 0);
                assert_float_equal(value(f, "c_temperature"), 25, 0);
        }
        assert_int_equal(sim_collisions(f->sim), 0);
        assert_int_equal(sim_lock(f->sim, 0x68), SIM_EXCLUSIVE);
        assert_int_equal(sim_lock(f->sim, 0x70), SIM_EXCLUSIVE);
        assert_int_equal(sim_lock(f->sim, 0x48), SIM_SHARED);

        /* Nobody behind the mux, and the mux itself away: the reason names the way. And it is closed again. */
        sim_fail(f->sim, 0x68, SIM_NACK, 6);
        sample(f, &r);
        expect_bad(f, "b_temperature", "no answer from 0x68 on channel 5 of mux 0x70");
        sample(f, &r);
        assert_float_equal(value(f, "b_temperature"), 2, 0);
        assert_int_equal(sim_collisions(f->sim), 0);
}

/* A channel that could not be closed is a failed transaction: who comes next would meet what is behind it. */
static SimFault third_to_mux(void *userdata, uint8_t address, bool reads) {
        int *n = userdata;

        (void)reads;
        return address == 0x70 && (*n)++ % 2 == 1 ? SIM_NACK : SIM_OK;
}

static void test_mux_stays_open(void **state) {
        Fixture *f = *state;
        int n = 0, r;

        option_set(f, "chips.a.chip", "ds3231");
        option_set(f, "chips.a.mux", "0x70");
        option_set(f, "chips.a.channel", "3");
        sim_chip_behind(f->sim, 3, 0x68, "model bytes\n11: 01 00\n");
        sim_faults(f->sim, third_to_mux, &n);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, -ENXIO);
        assert_int_equal(harness_count(f->harness, "a_temperature"), 0);
        sim_faults(f->sim, NULL, NULL);
        sample(f, &r);
        assert_float_equal(value(f, "a_temperature"), 1, 0);
}

/* Closed before anything else is read, by whoever opens the bus next; one that is not there is in nobody's way. */
static void test_mux_left_open(void **state) {
        const uint8_t open_channel = 1 << 3;
        Fixture *f = *state;
        int r;

        add(f, "front", "ds3231", 0x68);
        option_set(f, "chips.a.chip", "tmp102");
        option_set(f, "chips.a.mux", "0x70");
        option_set(f, "chips.a.channel", "5");
        sim_chip_behind(f->sim, 3, 0x68, "model bytes\n11: 01 00\n");
        sim_chip_behind(f->sim, 5, 0x48, vector_of("tmp102")->description);
        sim_mux(f->sim, open_channel); /* by one that was killed */
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "front_temperature"), 25.25, 0);
        assert_int_equal(sim_collisions(f->sim), 0);
        harness_close(f->harness);
        sim_fail(f->sim, 0x70, SIM_NACK, 1000);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "front_temperature"), 25.25, 0);
        expect_bad(f, "a_temperature", "no answer from 0x48 on channel 5 of mux 0x70");
}

/* Two transactions of each chip that hang, and what it is told to take, are within what the host waits. */
static void test_timeout(void **state) {
        Fixture *f = *state;
        int r;

        add(f, "clock", "ds3231", 0x68);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_true(harness_timeout(f->harness) >= 30000000); /* never less than the option */
        harness_close(f->harness);
        option_set(f, "retries", "10");
        option_set(f, "chips.slow.address", "0x44");
        option_set(f, "chips.slow.command", "0x24");
        option_set(f, "chips.slow.delay", "10s");
        option_set(f, "chips.slow.registers.x.at", "0");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_true(harness_timeout(f->harness) >= 110000000);
}

static void test_locked_by_another(void **state) {
        Fixture *f = *state;
        char path[160];
        int fd, r;

        add(f, "clock", "ds3231", 0x68);
        assert_int_equal(harness_open(f->harness), 0);
        snprintf(path, sizeof(path), "%s/dev/i2c-1", f->root);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(fd, LOCK_EX), 0);
        sample(f, &r);
        assert_int_equal(r, -ENOLCK);
        expect_bad(f, "clock_temperature", "another process has had the bus locked");
        assert_int_equal(sim_transactions(f->sim, 0x68), 0);
        assert_int_equal(flock(fd, LOCK_SH), 0);
        sample(f, &r);
        assert_float_equal(value(f, "clock_temperature"), 25.25, 0);
        close(fd);
}

/* ---- what the configuration may not say */

static void test_bad_configuration(void **state) {
        static const struct {
                Option options[4];
                const char *key, *why;
        } cases[] = {
                {{{"chips.x.address", "0x40"}}, "x", "has neither chip nor registers"},
                {{{"chips.x.chip", "bme280"}, {"chips.x.mux", "0x70"}}, "x_pressure", "mux and channel belong together"},
                {{{"chips.x.chip", "bme280"}, {"chips.x.channel", "1"}}, "x_pressure", "mux and channel belong together"},
                {{{"chips.x.chip", "bmp280"}, {"chips.x.address", "0x70"}, {"chips.x.mux", "0x70"}, {"chips.x.channel", "1"}},
                 "x_pressure", "address and mux are both 0x70"},
                {{{"chips.x.chip", "bme280"}, {"chips.x.shunt", "0.1"}}, "x_pressure", "shunt is no option of a bme280"},
                {{{"chips.x.chip", "ina219"}, {"chips.x.range", "1.024"}}, "x_power", "range is no option of a ina219"},
                {{{"chips.x.chip", "bme280"}, {"chips.x.command", "0x20"}}, "x_pressure", "command is no option of a bme280"},
                {{{"chips.x.chip", "bme280"}, {"chips.x.crc.poly", "7"}}, "x_pressure", "crc is no option of a bme280"},
                {{{"chips.x.chip", "bme280"}, {"chips.x.registers.t.reg", "1"}}, "x_pressure", "has both chip and registers"},
                {{{"chips.x.chip", "ads1115"}, {"chips.x.range", "3.3"}}, "x_in0", "range = 3.3; is none of 6.144"},
                {{{"chips.x.chip", "ads1115"}, {"chips.x.inputs", "1\n4"}}, "x_in1", "inputs: \"4\" is none of \"0\""},
                {{{"chips.x.chip", "ads1115"}, {"chips.x.inputs", "1\n1"}}, "x_in1", "inputs has \"1\" twice"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();
                char line[80];
                int r;

                for (size_t o = 0; o < 4 && cases[i].options[o].path; o++)
                        option_set(f, cases[i].options[o].path, cases[i].options[o].value);
                add(f, "clock", "ds3231", 0x68);
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                assert_int_equal(r, 0); /* of the clock: the other one goes on */
                expect_bad(f, cases[i].key, cases[i].why);
                snprintf(line, sizeof(line), "x: %s", cases[i].why);
                if (harness_logged(f->harness, TBAGENT_ERROR, line) != 1)
                        fail_msg("not told once: %s", line);
                fixture_free(f);
        }
}

static void test_odd_configuration(void **state) {
        Fixture *f = *state;
        int r;

        add(f, "a", "ds3231", 0x68);
        option_set(f, "chips.b.chip", "ds3231");
        add(f, "c", "tmp102", 0x77);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_ERROR, "b: has the address 0x68 of a"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "c: 0x77 is no usual address of a tmp102 (0x48 is)"), 1);
        sample(f, &r);
        expect_bad(f, "b_temperature", "has the address 0x68 of a");
        assert_float_equal(value(f, "a_temperature"), 25.25, 0);
        assert_float_equal(value(f, "c_temperature"), 25, 0);
        harness_close(f->harness);
        option_set(f, "expanders.e.chip", "pcf8574");
        option_set(f, "expanders.e.address", "0x77");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_ERROR, "e: has the address 0x77 of c"), 1);
}

/* Behind a mux and in front of it, in either order, and the mux itself: both would answer. Two channels are two places. */
static void test_same_address_at_mux(void **state) {
        static const struct {
                const char *mux, *address, *first_mux, *first_address, *why;
        } cases[] = {
                {"0x70", "0x68", NULL, "0x68", "has the address 0x68 of first, and only one of them is behind a mux"},
                {NULL, "0x68", "0x70", "0x68", "has the address 0x68 of first, and only one of them is behind a mux"},
                {NULL, "0x71", "0x71", "0x68", "has the address 0x71 of the mux of first"},
                {"0x70", "0x71", "0x71", "0x68", "has the address 0x71 of the mux of first"},
                {"0x71", "0x68", NULL, "0x71", "its mux has the address 0x71 of first"},
                {"0x71", "0x68", "0x70", "0x68", NULL},
                {"0x70", "0x69", NULL, "0x68", NULL},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();

                option_set(f, "chips.first.chip", "ds3231");
                option_set(f, "chips.first.address", cases[i].first_address);
                if (cases[i].first_mux) {
                        option_set(f, "chips.first.mux", cases[i].first_mux);
                        option_set(f, "chips.first.channel", "3");
                }
                option_set(f, "chips.x.chip", "ds3231");
                option_set(f, "chips.x.address", cases[i].address);
                if (cases[i].mux) {
                        option_set(f, "chips.x.mux", cases[i].mux);
                        option_set(f, "chips.x.channel", "3");
                }
                assert_int_equal(harness_open(f->harness), 0);
                if (harness_logged(f->harness, TBAGENT_ERROR, cases[i].why ? cases[i].why : "") != (cases[i].why ? 1 : 0))
                        fail_msg("case %zu", i);
                fixture_free(f);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_no_bus),
                TEST(test_by_name_and_path),
                TEST(test_bus_goes),
                TEST(test_held_by_the_kernel),
                TEST(test_hwmon_and_mux_of_the_kernel),
                TEST(test_mux),
                TEST(test_mux_stays_open),
                TEST(test_mux_left_open),
                TEST(test_timeout),
                TEST(test_locked_by_another),
                TEST(test_bad_configuration),
                TEST(test_odd_configuration),
                TEST(test_same_address_at_mux),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
