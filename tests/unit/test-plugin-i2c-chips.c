/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "i2c-fixture.h"

static size_t values_of(const Vector *v) {
        size_t n = 0;

        while (n < VECTOR_VALUES_MAX && v->values[n].quantity)
                n++;
        return n;
}

/* Every worked example, over the transport as it is built, with the time that the chip takes. */
static void test_vectors(void **state) {
        (void)state;
        for (size_t i = 0; i < n_vectors; i++) {
                Fixture *f = fixture_new();
                int r;

                vector_configure(f, "x", &vectors[i]);
                option_set(f, "retries", "0"); /* so that none hides a read that comes too early */
                assert_int_equal(harness_open(f->harness), 0);
                for (int again = 0; again < 2; again++) {
                        harness_clear(f->harness);
                        sample(f, &r);
                        vector_check(f, "x", &vectors[i]);
                        assert_int_equal(harness_emits(f->harness), values_of(&vectors[i]));
                }
                assert_int_equal(sim_collisions(f->sim), 0);
                harness_close(f->harness);
                fixture_free(f);
        }
}

/* The chips of the option table are those that have a vector, and the other way round. */
static void test_each_chip_has_a_vector(void **state) {
        Fixture *f = *state;
        const struct tbagent_option *o = harness_plugin(f->harness)->options;
        char *choices, *save = NULL;
        size_t n = 0, known = 0;

        while (!streq(o->name, "chips"))
                o++;
        choices = strdup(o->members[0].choices);
        for (char *chip = strtok_r(choices, "|", &save); chip; chip = strtok_r(NULL, "|", &save)) {
                (void)vector_of(chip);
                n++;
        }
        free(choices);
        for (size_t i = 0; i < n_vectors; i++)
                known += vector_of(vectors[i].chip) == &vectors[i];
        assert_int_equal(known, n);
}

/* The manual has every chip, with what it gives; tests/check-man.sh looks at options and methods. */
static void test_manual(void **state) {
        const char *top = getenv("TBAGENT_SRCDIR");
        char path[512], manual[32768];
        size_t n;
        FILE *file;

        (void)state;
        snprintf(path, sizeof(path), "%s/man/tbagent-plugin-i2c.7.scd", top ? top : ".");
        file = fopen(path, "re");
        if (!file)
                fail_msg("%s: %s", path, strerror(errno));
        n = fread(manual, 1, sizeof(manual) - 1, file);
        manual[n] = 0;
        fclose(file);
        assert_true(n < sizeof(manual) - 1);
        for (size_t i = 0; i < n_vectors; i++)
                if (!strstr(manual, vectors[i].chip))
                        fail_msg("the manual lacks %s", vectors[i].chip);
}

/* On an adapter for SMBus only, chips with registers give the same; the others say why they cannot. */
static void test_smbus(void **state) {
        size_t n_good = 0, n_refused = 0;

        (void)state;
        for (size_t i = 0; i < n_vectors; i++) {
                Fixture *f = fixture_new();
                char key[64];
                int r;

                sim_smbus_only(f->sim, true);
                vector_configure(f, "x", &vectors[i]);
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                snprintf(key, sizeof(key), "x_%s", vectors[i].values[0].quantity);
                if (r == -EOPNOTSUPP) {
                        expect_bad(f, key, "speaks SMBus only");
                        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "x: this bus speaks SMBus only"), 1);
                        n_refused++;
                } else {
                        vector_check(f, "x", &vectors[i]);
                        n_good++;
                }
                fixture_free(f);
        }
        assert_true(n_good >= 25);
        assert_true(n_refused >= 8);
}

static void add(Fixture *f, const char *name, const char *chip, uint8_t address) {
        Vector v = *vector_of(chip);

        v.address = address;
        vector_configure(f, name, &v);
}

/* Ten chips, and one wait: for the slowest, 180 ms. */
static void test_one_wait(void **state) {
        Fixture *f = *state;
        uint64_t before;
        int r;

        add(f, "light1", "bh1750", 0x23);
        add(f, "light2", "bh1750", 0x5c);
        add(f, "t1", "tmp117", 0x48);
        add(f, "t2", "tmp117", 0x49);
        add(f, "t3", "tmp102", 0x4a);
        add(f, "h1", "sht3x", 0x44);
        add(f, "h2", "sht3x", 0x45);
        add(f, "room", "bme280", 0x77);
        add(f, "out", "bmp280", 0x76);
        add(f, "hall", "aht20", 0x38);
        assert_int_equal(harness_open(f->harness), 0);
        before = sim_now_ns();
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal((sim_now_ns() - before) / 1000, 180000);
        assert_float_equal(value(f, "t1_temperature"), 25, 0);
        assert_float_equal(value(f, "t3_temperature"), 25, 0);
        assert_float_equal(value(f, "h2_humidity"), 37, 0.005);
        assert_float_equal(value(f, "light2_illuminance"), 28067, 0.5);
        assert_float_equal(value(f, "hall_temperature"), 28.27, 0.001);
        assert_int_equal(harness_emits(f->harness), 16);
        assert_true(harness_timeout(f->harness) > 10000000);
}

/* A chip that was away is initialised anew, even when another one comes back in its place. */
static void test_comes_back(void **state) {
        const Vector *one = &vectors[1], *other = &vectors[2];
        Fixture *f = *state;
        int r;

        assert_string_equal(one->chip, "bme280");
        assert_string_equal(other->chip, "bme280");
        add(f, "room", "bme280", 0x76);
        add(f, "t", "tmp117", 0x48);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        vector_check(f, "room", one);
        sim_remove(f->sim, 0x76);
        for (int i = 0; i < 3; i++) {
                sample(f, &r);
                assert_int_equal(r, 0); /* of the other chip */
                expect_bad(f, "room_pressure", "no answer from 0x76 (NACK)");
                assert_float_equal(value(f, "t_temperature"), 25, 0);
        }
        sim_chip(f->sim, 0x76, other->description);
        sample(f, &r);
        vector_check(f, "room", other);

        /* Exchanged between two samples. That it had not measured is the only sign, and enough. */
        sim_remove(f->sim, 0x76);
        sim_chip(f->sim, 0x76, "model bytes\nd0: 60\nf7: 80 00 00 80 00 00 80 00\n");
        sample(f, &r);
        expect_bad(f, "room_temperature", "was not measured");
        sim_remove(f->sim, 0x76);
        sim_chip(f->sim, 0x76, one->description);
        sample(f, &r);
        vector_check(f, "room", one);

        sim_remove(f->sim, 0x76);
        sim_remove(f->sim, 0x48);
        sample(f, &r);
        assert_int_equal(r, -ENXIO);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "no answer from 0x76"), 1);
}

/* A chip that loses its supply between two samples has its settings from before power-on: no value of those. */
static void test_loses_its_supply(void **state) {
        Fixture *f = *state;
        int r;

        add(f, "v", "ads1115", 0x48);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "v_in0"), 3, 1e-9);
        sim_remove(f->sim, 0x48);
        sim_chip(f->sim, 0x48, "model words\n01: 85 83\n00: 11 11\nstart 01c383 8600 old\nbusy 01: 05 83\nthen 01: 85 83\n");
        sample(f, &r);
        expect_bad(f, "v_in0", "has forgotten its settings");
}

static void test_wrong_chip(void **state) {
        static const struct {
                const char *chip;
                uint8_t address;
                const char *description, *key, *why;
        } cases[] = {
                {"bme280", 0x76, "model bytes\nd0: 58\n", "x_humidity", "0x76 is a bmp280: write chip = \"bmp280\";"},
                {"bmp280", 0x76, "model bytes\nd0: 60\n", "x_pressure", "0x76 is a bme280: write chip = \"bme280\";"},
                {"bmp280", 0x76, "model bytes\nd0: 55\n", "x_pressure", "0x76 is no bmp280: its id is 0x55"},
                {"bmp388", 0x77, "model bytes\n00: 58\n", "x_pressure", "0x77 is no bmp388: its id is 0x58"},
                {"tmp117", 0x48, "model words\n0f: 00 75\n", "x_temperature", "0x48 is no tmp117: its id is 0x0075"},
                {"mcp9808", 0x18, "model words\n06: 00 54\n07: 02 01\n", "x_temperature", "is no mcp9808"},
                {"hdc1080", 0x40, "model words\nfe: 54 49\nff: 22 60\n", "x_humidity", "is no hdc1080"},
                {"ina226", 0x40, "model words\nfe: 54 49\nff: 10 50\n", "x_current", "is no ina226"},
                {"tsl2591", 0x29, "model bytes\nb2: 44\n", "x_illuminance", "is no tsl2591: its id is 0x44, not 0x50"},
                {"ccs811", 0x5a, "model words\n20: 80\n", "x_eco2", "is no ccs811"},
                {"mpl3115a2", 0x60, "model bytes\n0c: c5\n", "x_pressure", "is no mpl3115a2"},
                {"lps22hb", 0x5d, "model bytes\n0f: bd\n", "x_pressure", "is no lps22hb"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();
                Vector v = {.chip = cases[i].chip, .address = cases[i].address, .description = cases[i].description};
                int r;

                vector_configure(f, "x", &v);
                assert_int_equal(harness_open(f->harness), 0);
                for (int n = 0; n < 3; n++) {
                        sample(f, &r);
                        assert_true(r < 0 && r != -ENODEV);
                        expect_bad(f, cases[i].key, cases[i].why);
                }
                assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "x: 0x"), 1); /* with the name, and once */
                fixture_free(f);
        }
}

/* What a chip says about itself when it has no value. */
static void test_no_value(void **state) {
        static const struct {
                const char *chip;
                uint8_t address;
                const char *changes, *key, *why;
        } cases[] = {
                {"bmp280", 0x76, "start f44d 200000000 old\nbusy f3: 08", "x_temperature", "its measurement does not end"},
                {"bmp280", 0x76, "start f44d 0 old\nthen f7: 65 5a c0 ff ff f0", "x_temperature", "outside -40 to 85"},
                {"bmp280", 0x76, "start f44d 0 old\nthen f7: ff ff f0 7e ed 00", "x_pressure", "outside 300 to 1100"},
                {"bmp388", 0x77, "start 1b13 0 old\nthen 03: 10", "x_temperature", "its measurement does not end"},
                {"bmp388", 0x77, "start 1b13 0 old\nthen 03: 70 00 00 80 00 00 80", "x_temperature", "outside"},
                {"aht20", 0x38, "start ac3300 0 old\nthen ac3300: 98", "x_humidity", "its measurement does not end"},
                {"tmp102", 0x48, "start 01e1a0 9000000 old\nbusy 01: 61 a0", "x_temperature", "its measurement does not end"},
                {"tmp117", 0x48, "start 010c20 9000000 old\nbusy 01: 0c 20", "x_temperature", "its measurement does not end"},
                {"ads1115", 0x48, "start 01c383 9000000 old\nbusy 01: 43 83", "x_in0", "its measurement does not end"},
                {"ina219", 0x40, "start 003e63 9000000 old", "x_power", "its measurement does not end"},
                {"ina226", 0x40, "start 004523 9000000 old", "x_power", "its measurement does not end"},
                {"tsl2591", 0x29, "start a003 9000000 old", "x_illuminance", "its measurement does not end"},
                {"mpl3115a2", 0x60, "start 2622 9000000 old", "x_pressure", "its measurement does not end"},
                {"lps22hb", 0x5c, "start 1111 9000000 old", "x_pressure", "its measurement does not end"},
                {"tmp102", 0x48, "start 01e1a0 0 old\nthen 01: e1 a0\nthen 00: 19 01", "x_temperature", "are not 0"},
                {"ds3231", 0x68, "11: ff ff", "x_temperature", "are not 0"},
                {"lm75", 0x48, "start 0100 0 old\nthen 00: 7f ff", "x_temperature", "outside -55 to 125"},
                {"veml7700", 0x10, "start 000010 0 old\nthen 04: ff ff\nstart 000013 0 old\nthen 04: ff ff", "x_illuminance",
                 "too bright"},
                {"tsl2591", 0x29, "start a003 0 old\nthen b3: 01 ff ff ff ff", "x_illuminance", "too bright"},
                {"tsl2591", 0x29, "start a003 0 old\nthen b3: 01 e8 03 e9 03", "x_illuminance", "more infrared than light"},
                {"scd4x", 0x62, "start 21b1 0 old\nthen e4b8: 00 00 81", "x_co2", "has no new measurement"},
                {"ccs811", 0x5a, "start f4 0 old\nthen 00: 90\nstart 0110 0 old\nthen 02: 00 00 00 00 91\nthen e0: 02", "x_eco2",
                 "says error 0x02"},
                {"ccs811", 0x5a, "00: 00", "x_tvoc", "has no application"},
                {"ccs811", 0x5a, "start f4 0 old\nthen 00: 90\nstart 0110 0 old\nthen 02: 01 90 00 00 10 00", "x_eco2",
                 "was started anew"},
                {"mpl3115a2", 0x60, "start 2622 0 old\nthen 00: 0e 00 00 10 16 80", "x_pressure", "outside"},
                {"lps22hb", 0x5c, "start 1111 0 old\nthen 27: 03 ff ff ff 00 00", "x_pressure", "outside"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();
                Vector v = *vector_of(cases[i].chip);
                char *description;

                /* the first `start` of a kind wins */
                assert_true(asprintf(&description, "%.*s\n%s\n%s", (int)strcspn(v.description, "\n"), v.description,
                                     cases[i].changes, strchr(v.description, '\n')) > 0);
                v.description = description;
                v.address = cases[i].address;
                vector_configure(f, "x", &v);
                if (!strstr(cases[i].changes, "start"))
                        sim_change(f->sim, v.address, cases[i].changes);
                assert_int_equal(harness_open(f->harness), 0);
                for (int n = 0; n < 20 && !(harness_last(f->harness, cases[i].key) &&
                                            harness_last(f->harness, cases[i].key)->type == EMIT_BAD); n++) {
                        harness_set_now(f->harness, (int64_t)sim_now_ns());
                        (void)harness_sample(f->harness);
                        sim_advance(1000000);
                }
                if (!harness_last(f->harness, cases[i].key))
                        fail_msg("%s: nothing for \"%s\"", cases[i].chip, cases[i].why);
                expect_bad(f, cases[i].key, cases[i].why);
                assert_int_equal(harness_count(f->harness, cases[i].key), 0);
                free(description);
                fixture_free(f);
        }
}

/* Warming up, or nothing new yet, is no fault and no value. */
static void test_nothing_new(void **state) {
        static const char warming[] = "model words\n20: 81\n00: 90\n02: 00 00 00 00 90 00\n"
                                      "start 0110 1000000 old\nthen 02: 00 00 00 00 98 00";
        Fixture *f = *state;

        add(f, "air", "scd4x", 0x62);
        vector_configure(f, "voc", &(Vector){.chip = "ccs811", .address = 0x5a, .description = warming});
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 4; i++) {
                harness_set_now(f->harness, (int64_t)sim_now_ns());
                assert_int_equal(harness_sample(f->harness), -EAGAIN);
                assert_int_equal(harness_emits(f->harness), 0);
                sim_advance(1000000);
        }
        sim_advance(1000000);
        harness_set_now(f->harness, (int64_t)sim_now_ns());
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "air_co2"), 500, 0);
}

/* An error of a ccs811 stays until its number is read; then it measures again, also for one that comes later. */
static void test_error_is_cleared(void **state) {
        static const char failed[] = "model words\n20: 81\n00: 91\n02: 12 34 56 78 99 00\ne0: 04\n"
                                     "start e0 0 old\nthen 00: 90\nthen 02: 12 34 56 78 98 00";
        Fixture *f = *state;
        int r;

        vector_configure(f, "voc", &(Vector){.chip = "ccs811", .address = 0x5a, .description = failed});
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "voc_eco2"), 0x1234, 0);
        sim_change(f->sim, 0x5a, "e0: 10\n00: 91\n02: 12 34 56 78 99 10");
        sample(f, &r);
        expect_bad(f, "voc_eco2", "0x5a says error 0x10");
        sample(f, &r);
        assert_float_equal(value(f, "voc_tvoc"), 0x5678, 0);
}

/* The names that a calibration of noise gives: no division by nothing, no overflow (for the sanitizers), no value. */
static void test_noise(void **state) {
        unsigned seed = 20260101;

        (void)state;
        for (int i = 0; i < 400; i++) {
                const char *chip = i % 2 ? "bme280" : "bmp388";
                Vector v = {.chip = chip, .address = 0x76, .description = "model bytes\n"};
                Fixture *f = fixture_new();
                char line[64];
                int r;

                vector_configure(f, "x", &v);
                for (int reg = 0; reg < 256; reg++) {
                        snprintf(line, sizeof(line), "%02x: %02x", reg, (unsigned)rand_r(&seed) >> 7 & 0xff);
                        sim_change(f->sim, 0x76, line);
                }
                sim_change(f->sim, 0x76, i % 2 ? "d0: 60\nf3: 00" : "00: 50\n03: 70");
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                if (harness_count(f->harness, "x_temperature") > 0)
                        assert_in_range((uint64_t)(value(f, "x_temperature") + 40), 0, 125);
                if (harness_count(f->harness, "x_pressure") > 0)
                        assert_in_range((uint64_t)value(f, "x_pressure"), 300, 1250);
                fixture_free(f);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_vectors),          TEST(test_each_chip_has_a_vector), TEST(test_manual),     TEST(test_smbus),
                TEST(test_one_wait),         TEST(test_comes_back),             TEST(test_loses_its_supply),
                TEST(test_wrong_chip),       TEST(test_no_value),               TEST(test_nothing_new), TEST(test_noise),
                TEST(test_error_is_cleared),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
