/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of the plugin gpio: whatever ends the process or the machine, no pulse is lost and no total goes back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpio-fixture.h"

#define SECOND INT64_C(1000000000)
#define METER  23

static int setup(void **state) {
        Fixture *f = fixture_new();

        fixture_pi(f);
        fixture_set(f, "water.line", "GPIO23");
        fixture_set(f, "water.mode", "counter");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        fixture_free(*state);
        return 0;
}

static void start(Fixture *f) {
        assert_int_equal(fixture_start(f), 0);
}

static void pulses(Fixture *f, unsigned n) {
        for (; n > 0; n--) {
                f->lines->set_level(PI, METER, true);
                f->lines->set_level(PI, METER, false);
        }
}

static double total(Fixture *f) {
        const Emit *e;

        assert_int_equal(harness_sample(f->h), 0);
        e = harness_last(f->h, "water");
        assert_non_null(e);
        assert_true(e->type == EMIT_INT || e->type == EMIT_DOUBLE);
        return e->type == EMIT_INT ? (double)e->i : e->d;
}

static void expect_untold(Fixture *f) {
        assert_int_equal(harness_sample(f->h), 0);
        assert_null(harness_last(f->h, "water"));
}

/* The first start of all: the server knows nothing of it. */
static void begin(Fixture *f) {
        f->online = true;
        start(f);
        fixture_answer(f, 0, "{\"client\":{}}");
}

static void every_pulse_counts(void **state) {
        Fixture *f = *state;

        begin(f);
        pulses(f, 700);
        assert_int_equal(total(f), 700);
        assert_string_equal(f->published, "{\"water\":700}");
        pulses(f, 1500); /* more than the kernel keeps: its numbers tell */
        fixture_turn(f);
        assert_int_equal(total(f), 2200);
        assert_int_equal(f->lost, 0);
}

static void nothing_is_told_before_the_server_has_answered(void **state) {
        Fixture *f = *state;
        size_t n;

        fixture_time(f, 5 * SECOND);
        start(f);
        assert_int_equal(f->n_asked, 0);
        pulses(f, 10);
        expect_untold(f);
        fixture_online(f, true);
        assert_string_equal(f->asked, "water,water_set");
        fixture_time(f, 6 * SECOND);
        pulses(f, 5);
        expect_untold(f);
        assert_null(fixture_rpc(f, "water", "get", NULL));
        assert_string_equal(f->code, "not_ready");
        fixture_answer(f, 0, "{\"client\":{\"water\":1000}}");
        n = harness_emits(f->h); /* the samples that waited, with their times */
        assert_int_equal(n, 2);
        assert_int_equal(harness_emit(f->h, 0)->i, 1010);
        assert_true(harness_emit(f->h, 0)->time_ns == 5 * SECOND);
        assert_int_equal(harness_emit(f->h, 1)->i, 1015);
        assert_true(harness_emit(f->h, 1)->time_ns == 6 * SECOND);
        assert_int_equal(total(f), 1015);
        assert_string_equal(fixture_rpc(f, "water", "get", NULL), "1015");
}

static void an_answer_that_fails_is_asked_for_again(void **state) {
        Fixture *f = *state;

        fixture_time(f, SECOND);
        f->online = true;
        start(f);
        fixture_answer(f, -ETIMEDOUT, NULL);
        expect_untold(f);
        assert_int_equal(f->n_asked, 1);
        fixture_time(f, 32 * SECOND);
        fixture_online(f, true);
        assert_int_equal(f->n_asked, 2);
        fixture_answer(f, 0, "{\"client\":{}}");
        assert_int_equal(total(f), 0);
}

/* What a process has read and not told goes with it; the number of the next edge says how many that were. */
static void a_crash_loses_none(void **state) {
        Fixture *f = *state;
        unsigned made = 0;

        begin(f);
        srand(1);
        for (int i = 0; i < 30; i++) {
                unsigned n = (unsigned)rand() % 50, m = (unsigned)rand() % 3000, k = 1 + (unsigned)rand() % 5;

                pulses(f, n);
                if (i % 3)
                        assert_int_equal(total(f), made + n);
                pulses(f, m);
                if (i % 5 == 4)
                        fixture_stop(f);
                else
                        fixture_crash(f);
                pulses(f, k);
                made += n + m + k;
                start(f);
                assert_int_equal(total(f), made);
        }
        assert_int_equal(f->n_asked, 1);
}

/* Pulses that come while nobody holds the line are nobody's: but the total goes on. */
static void a_boot_goes_on_from_the_larger(void **state) {
        static const struct {
                const char *answer;
                unsigned expected;
        } cases[] = {
                {"{\"client\":{\"water\":90}}", 100},   /* the power was cut before the server was told */
                {"{\"client\":{\"water\":130}}", 130},  /* before the card was */
                {"{\"client\":{}}", 100},               /* the device was made anew */
                {"{\"client\":{\"water\":\"?\"}}", 100},
        };
        Fixture *f = *state;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                f->state_size = 0;
                begin(f);
                pulses(f, 100);
                assert_int_equal(total(f), 100);
                fixture_crash(f);
                fixture_reboot(f);
                start(f);
                pulses(f, 7);
                expect_untold(f);
                fixture_answer(f, 0, cases[i].answer);
                assert_int_equal(total(f), cases[i].expected + 7);
                fixture_end(f);
        }
}

/* Power cuts at any time: the card has what it had some time before, the server what it was told. What was told never goes back. */
static void no_total_that_was_told_goes_back(void **state) {
        Fixture *f = *state;
        char server[4100] = "{\"client\":{}}", old[4096];
        double told = 0, now;
        size_t old_size = 0;

        srand(2);
        f->online = true;
        for (int i = 0; i < 60; i++) {
                start(f);
                pulses(f, (unsigned)rand() % 20);
                fixture_answer(f, 0, server);
                for (int n = rand() % 4; n >= 0; n--) {
                        now = total(f);
                        if (now < told)
                                fail_msg("%g after %g", now, told);
                        told = now;
                        snprintf(server, sizeof(server), "{\"client\":%s}", f->published);
                        if (rand() % 3 == 0) { /* it comes to the card */
                                memcpy(old, f->state, f->state_size);
                                old_size = f->state_size;
                        }
                        pulses(f, (unsigned)rand() % 2000);
                }
                fixture_crash(f);
                memcpy(f->state, old, old_size);
                f->state_size = old_size;
                fixture_reboot(f);
        }
        assert_true(told > 1000);
}

/* After a power cut its chip comes late, and the process ends before that. */
static void a_total_that_waits_for_its_chip(void **state) {
        static const char *const names[] = {"METER", NULL};
        Fixture *f = *state;

        fixture_set(f, "door.line", "GPIO17");
        fixture_set(f, "water.line", "METER");
        f->lines->add_chip(OTHER, "usb", names);
        begin(f);
        for (int i = 0; i < 10; i++) {
                f->lines->set_level(OTHER, 0, true);
                f->lines->set_level(OTHER, 0, false);
        }
        assert_int_equal(total(f), 10);
        fixture_stop(f);
        fixture_reboot(f);
        start(f);
        fixture_crash(f);
        f->lines->add_chip(OTHER, "usb", names);
        start(f);
        assert_string_equal(f->asked, "water,water_set");
        expect_untold(f);
        fixture_answer(f, 0, "{\"client\":{\"water\":40}}"); /* told before the power went */
        assert_int_equal(total(f), 40);
}

static void an_empty_state_directory_takes_the_servers(void **state) {
        Fixture *f = *state;

        begin(f);
        pulses(f, 40);
        assert_int_equal(total(f), 40);
        fixture_crash(f);
        fixture_reboot(f);
        f->state_size = 0;
        start(f);
        pulses(f, 2);
        fixture_answer(f, 0, "{\"client\":{\"water\":40}}");
        assert_int_equal(total(f), 42);
}

/* It crashes, and crashes again, before the server has answered: what was counted meanwhile stays counted. */
static void counted_before_it_is_known(void **state) {
        Fixture *f = *state;

        start(f);
        pulses(f, 10);
        expect_untold(f);
        fixture_crash(f);
        pulses(f, 4);
        start(f);
        expect_untold(f);
        fixture_online(f, true);
        fixture_answer(f, 0, "{\"client\":{\"water\":500}}");
        assert_int_equal(total(f), 514);
}

static void units_and_a_total_of_before(void **state) {
        Fixture *f = *state;

        fixture_set(f, "water.pulses_per_unit", "10");
        fixture_set(f, "water.initial_total", "1234.5");
        begin(f);
        pulses(f, 3);
        assert_float_equal(total(f), 1234.8, 1e-9);
        assert_string_equal(f->published, "{\"water\":1234.8}");
        fixture_set(f, "water.pulses_per_unit", "100"); /* another meter, the same water */
        fixture_stop(f);
        start(f);
        pulses(f, 10);
        assert_float_equal(total(f), 1234.9, 1e-9);
}

static void somebody_sets_it(void **state) {
        Fixture *f = *state;

        begin(f);
        pulses(f, 100);
        assert_int_equal(total(f), 100);
        assert_string_equal(fixture_rpc(f, "water", "set_total", "20"), "20");
        assert_string_equal(f->published, "{\"water\":20,\"water_set\":1}");
        assert_null(fixture_rpc(f, "water", "set_total", "-1"));
        assert_null(fixture_rpc(f, "water", "set_total", "\"much\""));
        pulses(f, 1);
        assert_int_equal(total(f), 21);
        fixture_crash(f);
        fixture_reboot(f);
        start(f);
        fixture_answer(f, 0, "{\"client\":{\"water\":100}}"); /* what the server had before it was set: less counts here */
        assert_int_equal(total(f), 21);
}

static void its_rate(void **state) {
        Fixture *f = *state;

        fixture_set(f, "water.rate_key", "flow");
        fixture_set(f, "water.rate_per", "1min");
        fixture_set(f, "water.pulses_per_unit", "10");
        begin(f);
        for (int i = 0; i < 41; i++) {
                f->lines->set_now(100 * SECOND + i * SECOND / 20);
                pulses(f, 1);
                if (i == 0)
                        (void)total(f);
        }
        (void)total(f);
        assert_non_null(harness_last(f->h, "flow"));
        assert_float_equal(harness_last(f->h, "flow")->d, 20.0 / 10 * 60, 1e-6);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(every_pulse_counts),
                TEST(nothing_is_told_before_the_server_has_answered),
                TEST(an_answer_that_fails_is_asked_for_again),
                TEST(a_crash_loses_none),
                TEST(a_boot_goes_on_from_the_larger),
                TEST(no_total_that_was_told_goes_back),
                TEST(a_total_that_waits_for_its_chip),
                TEST(an_empty_state_directory_takes_the_servers),
                TEST(counted_before_it_is_known),
                TEST(units_and_a_total_of_before),
                TEST(somebody_sets_it),
                TEST(its_rate),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
