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

/* "reg=0x00 type=s16be scale=0.1" */
static void field(Fixture *f, const char *name, const char *settings) {
        char *copy = strdup(settings), *save = NULL, path[96];

        for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
                char *equals = strchr(s, '=');

                assert_non_null(equals);
                *equals = 0;
                snprintf(path, sizeof(path), "chips.x.registers.%s.%s", name, s);
                option_set(f, path, equals + 1);
        }
        free(copy);
}

static void chip(Fixture *f, const char *description) {
        option_set(f, "chips.x.address", "0x48");
        sim_chip(f->sim, 0x48, description);
}

/* What each type makes of the same bytes. */
static void test_types(void **state) {
        static const struct {
                const char *settings;
                double value;
        } cases[] = {
                {"type=u8", 0xc1},
                {"type=s8", -63},
                {"type=u16be", 0xc194},
                {"type=u16le", 0x94c1},
                {"type=s16be", -15980},
                {"type=s16le", -27455},
                {"type=u24be", 0xc1943e},
                {"type=u24le", 0x3e94c1},
                {"type=s24be", -4090818},
                {"type=s24le", 0x3e94c1},
                {"type=u32be", 0xc1943e80},
                {"type=u32le", 0x803e94c1},
                {"type=s32be", -1047249280},
                {"type=s32le", -2143382335},
                {"type=float32be", -18.530517578125},
                {"type=bool", 1},
                {"type=bool mask=0x02", 0},
                {"type=u16be mask=0x0fff", 0x194},
                {"type=s16be mask=0x1fff", 0x194}, /* bit 12 is the sign */
                {"type=s16be shift=4", -999},
                {"type=s16be mask=0xfff0 shift=4 scale=0.0625", -62.4375},
                {"type=u8 scale=2 offset=-100", 286},
                {"type=u8 offset=0.5", 193.5},
                {"type=s8 mask=0xc0 shift=6", -1},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();
                int r;

                chip(f, "model bytes\n10: c1 94 3e 80\n");
                field(f, "v", "reg=0x10");
                field(f, "v", cases[i].settings);
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                if (r < 0 || harness_last(f->harness, "x_v")->type == EMIT_BAD)
                        fail_msg("%s: %d", cases[i].settings, r);
                if (value(f, "x_v") != cases[i].value)
                        fail_msg("%s: %.12g is not %.12g", cases[i].settings, value(f, "x_v"), cases[i].value);
                assert_int_equal(harness_last(f->harness, "x_v")->type,
                                 strstr(cases[i].settings, "bool")                                                   ? EMIT_BOOL
                                 : strstr(cases[i].settings, "float") || strstr(cases[i].settings, "scale") ||
                                                 strstr(cases[i].settings, "offset") ? EMIT_DOUBLE
                                                                                      : EMIT_INT);
                fixture_free(f);
        }
}

/* A TMP75, described: the same as the driver of a TMP102 would give. */
static void test_words(void **state) {
        Fixture *f = *state;
        int r;

        chip(f, "model words\n01: 00\n00: 80 00\nstart 0160 0 old\nthen 00: e7 00\n02: 4b 00\n");
        option_set(f, "chips.x.init", "0x01 0x60");
        field(f, "temperature", "reg=0x00 type=s16be shift=4 scale=0.0625 invalid=0x8000");
        field(f, "limit", "reg=2 type=s16be scale=0.00390625");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_float_equal(value(f, "x_temperature"), -25, 0);
        assert_float_equal(value(f, "x_limit"), 75, 0);
        assert_int_equal(sim_peek(f->sim, 0x48, 1), 0x60);
        sim_change(f->sim, 0x48, "00: 80 00");
        sample(f, &r);
        expect_bad(f, "x_temperature", "the chip says that it has no value");
        assert_float_equal(value(f, "x_limit"), 75, 0);

        /* away and back, as after power-on: what init says is written again */
        sim_remove(f->sim, 0x48);
        sample(f, &r);
        expect_bad(f, "x_limit", "no answer from 0x48");
        sim_chip(f->sim, 0x48, "model words\n01: 00\n00: 80 00\nstart 0160 0 old\nthen 00: 19 00\n02: 4b 00\n");
        sample(f, &r);
        assert_float_equal(value(f, "x_temperature"), 25, 0);
}

static void test_burst(void **state) {
        Fixture *f = *state;
        int r;

        chip(f, "model bytes\n10: 00 01 02 03 04 05\n20: ff 7f c0 00 00\n");
        field(f, "c", "reg=0x12 type=u16be"); /* the order of the file is not that of the registers */
        field(f, "a", "reg=0x10 type=u8");
        field(f, "b", "reg=0x11 type=u8");
        field(f, "gap", "reg=0x15 type=u8"); /* 0x14 is nobody's: reading it may do something */
        field(f, "far", "reg=0x20 type=s8");
        field(f, "nan", "reg=0x21 type=float32be");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(sim_transactions(f->sim, 0x48), 6);
        harness_close(f->harness);
        option_set(f, "chips.x.burst", "true");
        assert_int_equal(harness_open(f->harness), 0);
        sim_forget(f->sim);
        harness_clear(f->harness);
        sample(f, &r);
        assert_int_equal(sim_transactions(f->sim, 0x48), 3);
        assert_float_equal(value(f, "x_gap"), 5, 0);
        assert_float_equal(value(f, "x_a"), 0, 0);
        assert_float_equal(value(f, "x_b"), 1, 0);
        assert_float_equal(value(f, "x_c"), 0x0203, 0);
        assert_float_equal(value(f, "x_far"), -1, 0);
        expect_bad(f, "x_nan", "no value");
}

/* An SHT3x, described: command, delay, words with checksums. */
static void test_command(void **state) {
        Fixture *f = *state;
        uint64_t before;
        int r;

        chip(f, "model commands\nstart 2400 15500 nack\nthen 2400: 66 67 a2 5e b9 3c\n30a2: 00\n");
        option_set(f, "chips.x.init", "0x30 0xa2");
        option_set(f, "chips.x.command", "0x24 0x00");
        option_set(f, "chips.x.delay", "16ms");
        option_set(f, "chips.x.crc.poly", "0x31");
        field(f, "temperature", "at=0 type=u16be scale=0.00267032883 offset=-45");
        field(f, "humidity", "at=2 type=u16be scale=0.00152590219");
        assert_int_equal(harness_open(f->harness), 0);
        before = sim_now_ns();
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal((sim_now_ns() - before) / 1000, 16000);
        assert_float_equal(value(f, "x_temperature"), 25, 0.005);
        assert_float_equal(value(f, "x_humidity"), 37, 0.005);

        sim_remove(f->sim, 0x48); /* another one, with a byte that is wrong for good */
        sim_chip(f->sim, 0x48, "model commands\n2400: 66 67 a3 5e b9 3c\n30a2: 00\n");
        sample(f, &r);
        assert_int_equal(r, -EBADMSG);
        expect_bad(f, "x_temperature", "wrong checksum from 0x48");
        expect_bad(f, "x_humidity", "wrong checksum from 0x48");
        assert_int_equal(counter(f, "checksum"), 3);
}

/* One checksum behind the whole answer, and a command that is answered at once. */
static void test_checksum_of_all(void **state) {
        Fixture *f = *state;
        int r;

        chip(f, "model commands\nac: 1c 26 9a 76 42 e7 76\n");
        option_set(f, "chips.x.command", "172");
        option_set(f, "chips.x.crc.block", "0");
        field(f, "status", "at=0");
        field(f, "humidity", "at=1 type=u24be shift=4");
        field(f, "rest", "at=4 type=u16be");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal(sim_transactions(f->sim, 0x48), 1);
        assert_float_equal(value(f, "x_status"), 0x1c, 0);
        assert_float_equal(value(f, "x_humidity"), 158119, 0);
        assert_float_equal(value(f, "x_rest"), 0x42e7, 0);
}

static void test_wide_numbers(void **state) {
        Fixture *f = *state;
        int r;

        chip(f, "model commands\n010f: ea cc\n");
        option_set(f, "chips.x.reg_size", "2");
        field(f, "id", "reg=0x010f type=u16be");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_float_equal(value(f, "x_id"), 0xeacc, 0);
}

static void test_bad_configuration(void **state) {
        static const struct {
                const char *option, *text, *field, *why;
        } cases[] = {
                {"retries", "1", "type=u8", "registers.v.reg is missing"},
                {"retries", "1", "reg=1 at=0", "registers.v.at: without command it is `reg`"},
                {"chips.x.command", "0x20", "reg=1", "registers.v.reg: with command it is `at`"},
                {"chips.x.command", "0x20", "type=u8", "registers.v.at is missing"},
                {"chips.x.command", "0x20", "at=62 type=u32be", "registers.v.at: an answer has at most 64 bytes"},
                {"chips.x.command", "24 0g", "at=0", "command = \"24 0g\" is no list of bytes"},
                {"chips.x.command", "", "at=0", "command = \"\" is no list of bytes"},
                {"chips.x.init", "0x01 0x02\n300", "reg=0", "init: \"300\" is no list of bytes"},
                {"chips.x.init", "f4 27", "reg=0", "init: \"f4 27\" is no list of bytes"},
                {"chips.x.delay", "10ms", "reg=0", "delay is how long after command"},
                {"retries", "1", "reg=0x100", "registers.v.reg = 0x100: numbers above 0xff need reg_size = 2;"},
                {"retries", "1", "reg=0 type=u8 mask=0xff00", "mask and shift leave nothing"},
                {"retries", "1", "reg=0 type=u16be mask=0x0f shift=4", "mask and shift leave nothing"},
                {"retries", "1", "reg=0 type=float32be mask=1", "a float has neither mask nor shift"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();
                int r;

                chip(f, "model bytes\n");
                option_set(f, cases[i].option, cases[i].text);
                field(f, "v", cases[i].field);
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                assert_int_equal(r, -EINVAL);
                expect_bad(f, "x_v", cases[i].why);
                if (harness_logged(f->harness, TBAGENT_ERROR, cases[i].why) != 1)
                        fail_msg("not told once: %s", cases[i].why);
                assert_int_equal(sim_transactions(f->sim, 0x48), 0);
                fixture_free(f);
        }
}

static void test_no_address(void **state) {
        Fixture *f = *state;
        int r;

        field(f, "v", "reg=0");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        expect_bad(f, "x_v", "address is missing: address = 0x48; (i2cdetect -y 1 shows it)");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_types),           TEST(test_words),        TEST(test_burst),             TEST(test_command),
                TEST(test_checksum_of_all), TEST(test_wide_numbers), TEST(test_bad_configuration), TEST(test_no_address),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
