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

static void add(Fixture *f, const char *name, const char *chip, uint8_t address) {
        Vector v = *vector_of(chip);

        v.address = address;
        vector_configure(f, name, &v);
}

static void test_retries(void **state) {
        static const struct {
                SimFault fault;
                const char *counter, *why;
                int error;
                unsigned attempts; /* with two retries */
        } cases[] = {
                {SIM_NACK, "nack", "no answer from 0x68 (NACK)", -ENXIO, 3},
                {SIM_TIMEOUT, "timeout", "timeout at 0x68: something holds a line", -ETIMEDOUT, 2},
                {SIM_STUCK, "stuck", "the bus does not become free", -EBUSY, 3},
                {SIM_SHORT, "short", "0x68 sent less than it was asked for", -ENODATA, 3},
        };
        Fixture *f = *state;
        int r;

        add(f, "clock", "ds3231", 0x68);
        assert_int_equal(harness_open(f->harness), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                int64_t before = counter(f, cases[i].counter), failed = counter(f, "failed"), retries = counter(f, "retries");

                sim_fail(f->sim, 0x68, cases[i].fault, cases[i].attempts - 1);
                sample(f, &r);
                assert_int_equal(r, 0);
                assert_float_equal(value(f, "clock_temperature"), 25.25, 0);
                assert_int_equal(counter(f, cases[i].counter) - before, cases[i].attempts - 1);
                assert_int_equal(counter(f, "failed"), failed);
                assert_int_equal(counter(f, "retries") - retries, cases[i].attempts - 1);

                sim_fail(f->sim, 0x68, cases[i].fault, cases[i].attempts);
                sample(f, &r);
                assert_int_equal(r, cases[i].error);
                expect_bad(f, "clock_temperature", cases[i].why);
                assert_int_equal(counter(f, cases[i].counter) - before, 2 * cases[i].attempts - 1);
                assert_int_equal(counter(f, "failed"), failed + 1);
        }
        option_set(f, "retries", "0"); /* while it runs */
        sim_fail(f->sim, 0x68, SIM_NACK, 1);
        sample(f, &r);
        assert_int_equal(r, -ENXIO);
        sample(f, &r);
        assert_int_equal(r, 0);
}

/* A wrong checksum starts the measurement anew; a chip that goes on sending them is bad. */
static void test_checksum(void **state) {
        Fixture *f = *state;
        int r;

        add(f, "room", "sht3x", 0x44);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        sim_forget(f->sim);
        sim_fail(f->sim, 0x44, SIM_BAD, 4); /* command, answer, and again */
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal(sim_transactions(f->sim, 0x44), 6);
        assert_int_equal(counter(f, "checksum"), 2);
        sim_fail(f->sim, 0x44, SIM_BAD, 6);
        sample(f, &r);
        assert_int_equal(r, -EBADMSG);
        expect_bad(f, "room_humidity", "wrong checksum from 0x44");
        assert_int_equal(counter(f, "checksum"), 5);
}

/* A measurement that is handed out once, and came with a wrong checksum: it is gone, the next one is waited for. */
static void test_checksum_of_the_only_copy(void **state) {
        static const char description[] = "model commands\n3682: f8 96 31 9f 07 c2 3b be 89\nstart 3f86 0 old\nstart 21b1 0 old\n"
                                          "then e4b8: 80 06 04\nthen ec05: 01 f4 33 66 67 a2 5e b9 3d\n"
                                          "start ec05 1000 old\nthen e4b8: 80 00 a2\n";
        Fixture *f = *state;

        vector_configure(f, "air", &(Vector){.chip = "scd4x", .address = 0x62, .description = description});
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 3; i++) {
                harness_set_now(f->harness, (int64_t)sim_now_ns());
                assert_int_equal(harness_sample(f->harness), -EAGAIN);
        }
        assert_int_equal(harness_emits(f->harness), 0);
        assert_int_equal(counter(f, "checksum"), 1);
        assert_int_equal(counter(f, "nack"), 0);
        sim_change(f->sim, 0x62, "e4b8: 80 06 04\nec05: 01 f4 33 66 67 a2 5e b9 3c");
        harness_set_now(f->harness, (int64_t)sim_now_ns());
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "air_co2"), 500, 0);
}

/* A data line that is held low: everybody seems to answer, and zeros are 0 degrees, 0 lx, inputs that are low. */
static void test_line_low(void **state) {
        static const struct {
                const char *chip, *quantity;
                uint8_t address;
        } cases[] = {
                {"ds3231", "temperature", 0x68}, {"lm75", "temperature", 0x48},    {"mcp9808", "temperature", 0x18},
                {"hdc1080", "humidity", 0x40},   {"bh1750", "illuminance", 0x23},  {"veml7700", "illuminance", 0x10},
                {"htu21d", "humidity", 0x41},
        };

        (void)state;
        for (int smbus = 0; smbus < 2; smbus++) {
                Fixture *f = fixture_new();
                char key[64];
                int r;

                for (size_t i = 0; i < (smbus ? 3 : ELEMENTS(cases)); i++)
                        add(f, cases[i].chip, cases[i].chip, cases[i].address);
                if (smbus)
                        sim_smbus_only(f->sim, true);
                option_set(f, "expanders.panel.chip", "pcf8574");
                option_set(f, "pins.door.pin", "0");
                option_set(f, "pins.lamp.pin", "1");
                option_set(f, "pins.lamp.direction", "out");
                sim_chip(f->sim, 0x20, "model port\n");
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                assert_int_equal(r, 0);
                assert_int_equal(counter(f, "failed"), 0);
                sim_low(f->sim, true);
                for (int i = 0; i < 2; i++) {
                        harness_clear(f->harness);
                        sample(f, &r);
                        assert_int_equal(r, -ECOMM);
                        for (size_t e = 0; e < harness_emits(f->harness); e++)
                                assert_int_equal(harness_emit(f->harness, e)->type, EMIT_BAD);
                }
                for (size_t i = 0; i < (smbus ? 3 : ELEMENTS(cases)); i++) {
                        snprintf(key, sizeof(key), "%s_%s", cases[i].chip, cases[i].quantity);
                        expect_bad(f, key, "something holds the data line (SDA) low");
                }
                expect_bad(f, "door", "something holds the data line (SDA) low");
                assert_int_equal(harness_rpc(f->harness, "lamp", "set", "true"), 0);
                assert_non_null(strstr(harness_reply(f->harness), "failed: lamp "));
                assert_true(counter(f, "stuck") > 0);
                sim_low(f->sim, false);
                sample(f, &r);
                assert_int_equal(r, 0);
                assert_float_equal(value(f, "ds3231_temperature"), 25.25, 0);
                sim_change(f->sim, 0x68, "11: 00 00"); /* and a real 0 */
                sample(f, &r);
                assert_float_equal(value(f, "ds3231_temperature"), 0, 0);
                fixture_free(f);
        }
}

/* SMBus says itself how many bytes of a block came. */
static void test_short_block(void **state) {
        Fixture *f = *state;
        int r;

        sim_smbus_only(f->sim, true);
        add(f, "room", "bme280", 0x76);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        sim_fail(f->sim, 0x76, SIM_SHORT, 7); /* settings, and three tries at the block */
        sample(f, &r);
        assert_int_equal(r, -ENODATA);
        assert_int_equal(counter(f, "short"), 3);
}

typedef struct Random {
        unsigned seed;
        uint64_t injected[SIM_FAULTS], total;
} Random;

/* About one transaction in eight fails; only chips with checksums get bytes that are wrong. */
static SimFault random_fault(void *userdata, uint8_t address, bool reads) {
        static const uint8_t checked[] = {0x44, 0x45, 0x40, 0x59, 0x62};
        static const SimFault seen[] = {SIM_NACK, SIM_TIMEOUT, SIM_SHORT, SIM_STUCK}; /* by the kernel */
        bool checks = reads && memchr(checked, address, sizeof(checked));
        Random *r = userdata;
        SimFault fault;

        if (address > 0x77) /* where nobody is: no chip's fault */
                return SIM_OK;
        if (r->total >= 1000 || rand_r(&r->seed) % 8 != 0)
                return SIM_OK;
        fault = checks && rand_r(&r->seed) % 4 != 0 ? SIM_BAD : seen[rand_r(&r->seed) / 16 % ELEMENTS(seen)];
        r->injected[fault]++;
        r->total++;
        return fault;
}

static void value_check(Fixture *f, const Vector *v, const char *key) {
        for (size_t n = 0; n < VECTOR_VALUES_MAX && v->values[n].quantity; n++) {
                if (!streq(v->values[n].quantity, key + 2))
                        continue;
                assert_null(v->values[n].bad);
                assert_float_equal(value(f, key), v->values[n].value, v->values[n].tolerance + 1e-12);
                return;
        }
        fail_msg("what is %s?", key);
}

static uint8_t checksum(uint16_t word) {
        unsigned crc = 0xff;

        for (int shift = 8; shift >= 0; shift -= 8) {
                crc ^= word >> shift & 0xff;
                for (int bit = 0; bit < 8; bit++)
                        crc = (crc & 0x80 ? crc << 1 ^ 0x31 : crc << 1) & 0xff;
        }
        return (uint8_t)crc;
}

/* What the next conversion of an sht3x at 0x44 and of a tmp117 at 0x48 gives: another temperature each time. */
static void turn(Fixture *f, unsigned step) {
        unsigned warm = 0x6667 + 16 * step, cool = 0x0c80 + step;
        char line[80];

        snprintf(line, sizeof(line), "then 2400: %02x %02x %02x 5e b9 3c", warm >> 8, warm & 0xff, checksum((uint16_t)warm));
        sim_change(f->sim, 0x44, line);
        snprintf(line, sizeof(line), "then 00: %02x %02x", cool >> 8, cool & 0xff);
        sim_change(f->sim, 0x48, line);
}

/* Is it a value of turn(), and of this step? False: it is of another chip. */
static bool newest_check(Fixture *f, const char *key, unsigned step) {
        if (streq(key, "a_temperature"))
                assert_float_equal(value(f, key), -45 + 175 * (0x6667 + 16.0 * step) / 65535, 0.0051);
        else if (streq(key, "g_temperature"))
                assert_float_equal(value(f, key), (0x0c80 + step) / 128.0, 0.0001);
        else
                return false;
        return true;
}

/* A thousand faults of five kinds: each is counted as what it is, and no value is ever a wrong one, or that of
 * the conversion before. */
static void test_thousand_faults(void **state) {
        static const struct {
                const char *name, *chip;
                uint8_t address;
        } chips[] = {
                {"a", "sht3x", 0x44},  {"b", "sht4x", 0x45}, {"c", "htu21d", 0x40},  {"d", "sgp40", 0x59},   {"e", "scd4x", 0x62},
                {"f", "bme280", 0x77}, {"g", "tmp117", 0x48}, {"h", "ads1115", 0x4a}, {"i", "mcp9808", 0x18},
                {"j", "tsl2591", 0x29},
        };
        const char *seed = getenv("TEST_SEED");
        Random random = {.seed = seed ? (unsigned)atoi(seed) : 20250712};
        size_t good = 0, bad = 0, samples = 0;
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTS(chips); i++)
                add(f, chips[i].name, chips[i].chip, chips[i].address);
        option_set(f, "retries", "1");
        assert_int_equal(harness_open(f->harness), 0);
        sim_faults(f->sim, random_fault, &random);
        for (; random.total < 1000; samples++) {
                harness_clear(f->harness);
                harness_set_now(f->harness, (int64_t)sim_now_ns());
                turn(f, samples % 500);
                (void)harness_sample(f->harness);
                for (size_t e = 0; e < harness_emits(f->harness); e++) {
                        const Emit *emit = harness_emit(f->harness, e);
                        const Vector *v = vector_of(chips[emit->key[0] - 'a'].chip);

                        if (emit->type == EMIT_BAD) {
                                bad++;
                                continue;
                        }
                        good++;
                        if (!newest_check(f, emit->key, samples % 500))
                                value_check(f, v, emit->key);
                }
                sim_advance(1000000);
        }
        print_message("# %zu samples with 1000 faults (nack %llu, timeout %llu, wrong byte %llu, short %llu, stuck %llu): "
                      "%zu values, all right; %zu told as bad\n",
                      samples, (unsigned long long)random.injected[SIM_NACK], (unsigned long long)random.injected[SIM_TIMEOUT],
                      (unsigned long long)random.injected[SIM_BAD], (unsigned long long)random.injected[SIM_SHORT],
                      (unsigned long long)random.injected[SIM_STUCK], good, bad);
        assert_true(good > 500 && bad > 50);
        assert_int_equal(counter(f, "nack"), random.injected[SIM_NACK]);
        assert_int_equal(counter(f, "timeout"), random.injected[SIM_TIMEOUT]);
        assert_int_equal(counter(f, "checksum"), random.injected[SIM_BAD]);
        assert_int_equal(counter(f, "short"), random.injected[SIM_SHORT]);
        assert_int_equal(counter(f, "stuck"), random.injected[SIM_STUCK]);
        assert_int_equal(counter(f, "other"), 0);
        for (int kind = SIM_NACK; kind <= SIM_STUCK; kind++)
                assert_true(random.injected[kind] > 100);
        sim_faults(f->sim, NULL, NULL);
        turn(f, 0);
        for (int i = 0; i < 8; i++) { /* all of them are well again */
                harness_set_now(f->harness, (int64_t)sim_now_ns());
                assert_int_equal(harness_sample(f->harness), 0);
                sim_advance(1000000);
        }
        for (size_t i = 0; i < ELEMENTS(chips); i++)
                vector_check(f, chips[i].name, vector_of(chips[i].chip));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_retries),
                TEST(test_checksum),
                TEST(test_checksum_of_the_only_copy),
                TEST(test_short_block),
                TEST(test_line_low),
                TEST(test_thousand_faults),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
