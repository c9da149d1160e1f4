/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin gpio over lines that are only memory: options, lines that are not there, inputs, scan. Outputs and counters have
 * programs of their own. What only a kernel can show is in tests/rig. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gpio-fixture.h"

#define SECOND INT64_C(1000000000)
#define DOOR   17

static int setup(void **state) {
        Fixture *f = fixture_new();

        fixture_pi(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        fixture_free(*state);
        return 0;
}

static void door(Fixture *f) {
        fixture_set(f, "door.line", "GPIO17");
        assert_int_equal(fixture_start(f), 0);
}

static void expect_level(Fixture *f, const char *key, int value) {
        const Emit *e = harness_last(f->h, key);

        assert_non_null(e);
        assert_int_equal(e->type, EMIT_BOOL);
        assert_int_equal(e->i, value);
}

static void expect_bad(Fixture *f, const char *key, const char *part) {
        const Emit *e = harness_last(f->h, key);

        assert_non_null(e);
        assert_int_equal(e->type, EMIT_BAD);
        if (!strstr(e->text, part))
                fail_msg("\"%s\" lacks \"%s\"", e->text, part);
}

/* ---- options */

static void expect_problem(Fixture *f, const char *settings[][2], const char *part) {
        const char *problems;

        fixture_unset(f);
        for (; settings[0][0]; settings++)
                fixture_set(f, settings[0][0], settings[0][1]);
        problems = fixture_check(f);
        if (part ? !strstr(problems, part) : problems[0])
                fail_msg("\"%s\" lacks \"%s\"", problems, part ? part : "nothing");
}

#define EXPECT_PROBLEM(part, ...) expect_problem(f, (const char *[][2]){__VA_ARGS__, {NULL, NULL}}, part)

static void what_options_are_refused(void **state) {
        Fixture *f = *state;

        EXPECT_PROBLEM(NULL, {"a.line", "GPIO4"}, {"b.line", "pin11"}, {"b.direction", "out"}, {"b.on_exit", "on"});
        EXPECT_PROBLEM("a.line = \"17\" may mean several lines: write \"GPIO17\"", {"a.line", "17"});
        EXPECT_PROBLEM("b.line = \"pin11\" is the line of a already", {"a.line", "GPIO17"}, {"b.line", "pin11"});
        EXPECT_PROBLEM(NULL, {"a.line", "3"}, {"a.chip", "one"}, {"b.line", "3"}, {"b.chip", "two"});
        EXPECT_PROBLEM("write \"off\" or \"on\", and active_low = true;", {"a.line", "GPIO4"}, {"a.direction", "out"},
                       {"a.initial", "low"});
        EXPECT_PROBLEM("a.on_exit = \"last\" is not known: write one of \"off\", \"on\", \"as-is\"", {"a.line", "GPIO4"},
                       {"a.direction", "out"}, {"a.on_exit", "last"});
        EXPECT_PROBLEM("a.initial is for outputs: write direction = \"out\" too", {"a.line", "GPIO4"}, {"a.initial", "on"});
        EXPECT_PROBLEM("a.debounce is for inputs", {"a.line", "GPIO4"}, {"a.direction", "out"}, {"a.debounce", "5ms"});
        EXPECT_PROBLEM("a.pulses_per_unit is for counters: write mode = \"counter\" too", {"a.line", "GPIO4"},
                       {"a.pulses_per_unit", "10"});
        EXPECT_PROBLEM("a.mode = \"pwm\" is for outputs", {"a.line", "GPIO4"}, {"a.mode", "pwm"});
        EXPECT_PROBLEM("a.mode = \"counter\" is for inputs", {"a.line", "GPIO4"}, {"a.direction", "out"}, {"a.mode", "counter"});
        EXPECT_PROBLEM("a.edge = \"none\" leaves a counter nothing to count", {"a.line", "GPIO4"}, {"a.mode", "counter"},
                       {"a.edge", "none"});
        EXPECT_PROBLEM("a.debounce needs edges", {"a.line", "GPIO4"}, {"a.edge", "none"}, {"a.debounce", "5ms"});
        EXPECT_PROBLEM("a.pwm_period is for mode = \"pwm\"", {"a.line", "GPIO4"}, {"a.direction", "out"}, {"a.pwm_period", "1s"});
}

static void options_reach_the_kernel(void **state) {
        Fixture *f = *state;
        uint32_t debounce;

        fixture_set(f, "door.bias", "pull-up");
        fixture_set(f, "door.active_low", "true");
        fixture_set(f, "door.debounce", "5ms");
        fixture_set(f, "door.edge", "falling");
        door(f);
        assert_int_equal(f->lines->config(PI, DOOR, &debounce), FAKE_PULL_UP | FAKE_LOW | FAKE_FALLING);
        assert_int_equal(debounce, 5000);
        assert_string_equal(f->lines->consumer(PI, DOOR), "tbagent:door");
        (void)f->lines->requests();
        assert_int_equal(fixture_setting(f, "door.debounce", "20ms"), 0);
        (void)f->lines->config(PI, DOOR, &debounce);
        assert_int_equal(debounce, 20000);
        assert_int_equal(f->lines->requests(), 0); /* without giving it free */
}

/* ---- inputs */

static void an_edge_is_a_row_with_the_kernels_time(void **state) {
        Fixture *f = *state;
        struct timespec monotonic, boottime;
        int64_t slept, at[3];

        door(f);
        clock_gettime(CLOCK_MONOTONIC, &monotonic);
        clock_gettime(CLOCK_BOOTTIME, &boottime);
        slept = (boottime.tv_sec - monotonic.tv_sec) * SECOND + boottime.tv_nsec - monotonic.tv_nsec;
        for (int i = 0; i < 3; i++) {
                at[i] = 1000 * SECOND + i * 1234567;
                f->lines->set_now(at[i]);
                f->lines->set_level(PI, DOOR, i != 1);
        }
        harness_clear(f->h);
        fixture_turn(f);
        assert_int_equal(harness_emits(f->h), 3);
        for (size_t i = 0; i < 3; i++) {
                const Emit *e = harness_emit(f->h, i);

                assert_string_equal(e->key, "door");
                assert_int_equal(e->i, i != 1);
                assert_true(llabs(e->time_ns - slept - at[i]) < SECOND / 100);
                assert_true(i == 0 || e->row > harness_emit(f->h, i - 1)->row);
        }
        assert_int_equal(f->n_immediate, 0);
        assert_int_equal(fixture_setting(f, "door.immediate", "true"), 0);
        f->lines->set_level(PI, DOOR, false);
        fixture_turn(f);
        assert_int_equal(f->n_immediate, 1);
        assert_int_equal(harness_sample(f->h), 0); /* and the level with each sample */
        expect_level(f, "door", 0);
        assert_int_equal(f->n_immediate, 1);
}

static void lost_edges_are_told_exactly(void **state) {
        Fixture *f = *state;

        door(f);
        for (unsigned i = 0; i < 1500; i++)
                f->lines->set_level(PI, DOOR, i % 2 == 0);
        harness_clear(f->h);
        fixture_turn(f);
        assert_int_equal(harness_count(f->h, "door"), 1024);
        assert_int_equal(f->lost, 1500 - 1024);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "476 edges came faster than they were read"), 1);
        expect_level(f, "door", 0); /* the last one is never among them */
}

/* Lines that never rest, one of each kind, and what is due beside them. */
static void a_flood_leaves_time_for_others(void **state) {
        Fixture *f = *state;

        f->online = true;
        fixture_set(f, "meter.line", "GPIO23");
        fixture_set(f, "meter.mode", "counter");
        fixture_set(f, "quiet.line", "GPIO4");
        door(f);
        fixture_answer(f, 0, "{\"client\":{}}");
        f->lines->set_flood(PI, DOOR, true);
        f->lines->set_flood(PI, 23, true);
        f->lines->set_level(PI, DOOR, true);
        f->lines->set_level(PI, 23, true);
        for (int i = 0; i < 10; i++)
                fixture_turn(f);
        f->lines->set_level(PI, 4, true);
        harness_clear(f->h);
        fixture_turn(f);
        expect_level(f, "quiet", 1);
        assert_in_range(harness_count(f->h, "door"), 1, 1024);
        assert_int_equal(harness_sample(f->h), 0); /* neither does that wait for their end */
        assert_non_null(harness_last(f->h, "meter"));
        assert_in_range(harness_last(f->h, "meter")->i, 11, 12 * 1024);
        fixture_stop(f);
        assert_int_equal(f->lost, 0);
}

/* By a reload: what is kept of the same line, with edges, must not keep it busy. */
static void edges_are_not_wanted_any_more(void **state) {
        Fixture *f = *state;

        fixture_set(f, "door.line", "GPIO17");
        assert_int_equal(fixture_start(f), 0);
        assert_true(fixture_keeps(f, "gpiochip0-17"));
        fixture_stop(f);
        fixture_set(f, "door.edge", "none");
        assert_int_equal(fixture_start(f), 0);
        assert_false(fixture_keeps(f, "gpiochip0-17"));
        assert_int_equal(harness_sample(f->h), 0);
        assert_int_equal(harness_count(f->h, "door"), 1);
}

static void no_edges_where_none_are_wanted(void **state) {
        Fixture *f = *state;

        fixture_set(f, "door.edge", "none");
        fixture_set(f, "door.active_low", "true");
        door(f);
        f->lines->set_level(PI, DOOR, true);
        assert_int_equal(harness_sample(f->h), 0);
        expect_level(f, "door", 0);
        assert_int_equal(f->n_kept, 0);
}

static void edges_wait_while_there_is_no_process(void **state) {
        Fixture *f = *state;

        door(f);
        fixture_crash(f);
        (void)f->lines->requests();
        for (unsigned i = 0; i < 5; i++)
                f->lines->set_level(PI, DOOR, i % 2 == 0);
        door(f);
        assert_int_equal(f->lines->requests(), 0);
        fixture_turn(f);
        assert_int_equal(harness_count(f->h, "door"), 5);
        assert_int_equal(f->lost, 0);
        fixture_stop(f); /* another one comes: kept */
        assert_true(f->lines->is_held(PI, DOOR));
        door(f);
        fixture_end(f);
        assert_false(f->lines->is_held(PI, DOOR));
        assert_int_equal(f->n_kept, 0);
}

static void what_cannot_be_kept_is_told_once(void **state) {
        static const char *const names[] = {"LAMP", NULL};
        Fixture *f = *state;

        f->keep_error = -ENOBUFS;
        f->lines->add_chip(OTHER, "usb", names);
        fixture_time(f, SECOND);
        fixture_set(f, "lamp.line", "LAMP");
        fixture_set(f, "lamp.direction", "out");
        fixture_set(f, "plain.line", "GPIO4");
        fixture_set(f, "plain.edge", "none"); /* nothing would be lost with it */
        door(f);
        f->lines->remove_chip(OTHER);
        assert_int_equal(harness_sample(f->h), 0);
        f->lines->add_chip(OTHER, "usb", names);
        for (int64_t now = 2 * SECOND; !f->lines->is_held(OTHER, 0); now += SECOND) {
                assert_true(now < 30 * SECOND);
                fixture_time(f, now);
                fixture_turn(f);
        }
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "lamp: its line cannot be kept (No buffer space available): a crash"
                                        " lets go of it, and it may not get its on_exit value"), 1);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "door: its line cannot be kept"), 1);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "cannot be kept"), 2);
}

/* ---- lines that are not there */

static void absent_hardware_says_why(void **state) {
        Fixture *f = *state;

        f->lines->set_used(PI, DOOR, "gpio-keys");
        fixture_set(f, "door.line", "GPIO17");
        assert_int_equal(fixture_start(f), -ENODEV);
        f->lines->set_used(PI, DOOR, NULL);
        f->lines->deny_chip(PI, -EACCES);
        assert_int_equal(fixture_start(f), -EACCES);
}

static void one_missing_line_costs_the_others_nothing(void **state) {
        static const char *const names[] = {"LAMP", NULL};
        Fixture *f = *state;

        fixture_time(f, SECOND);
        fixture_set(f, "door.line", "GPIO17");
        fixture_set(f, "lamp.line", "LAMP");
        assert_int_equal(fixture_start(f), 0);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "lamp: no line is called \"LAMP\""), 1);
        assert_int_equal(harness_sample(f->h), 0);
        expect_level(f, "door", 0);
        expect_bad(f, "lamp", "no line is called");
        f->lines->add_chip(OTHER, "late", names);
        f->lines->set_level(OTHER, 0, true);
        fixture_time(f, 3 * SECOND);
        fixture_turn(f);
        assert_int_equal(harness_logged(f->h, TBAGENT_NOTICE, "lamp is there: line 0 of gpiochip3 [late]"), 1);
        assert_int_equal(harness_sample(f->h), 0);
        expect_level(f, "lamp", 1);
}

static void a_chip_that_goes_is_waited_for(void **state) {
        static const char *const names[] = {"LAMP", NULL};
        Fixture *f = *state;

        f->lines->add_chip(OTHER, "usb", names);
        fixture_time(f, SECOND);
        fixture_set(f, "lamp.line", "LAMP");
        assert_int_equal(fixture_start(f), 0);
        f->lines->remove_chip(OTHER);
        fixture_turn(f);
        expect_bad(f, "lamp", "its chip gpiochip3 [usb] is gone");
        assert_int_equal(f->n_kept, 0);
        assert_int_equal(harness_sample(f->h), -ENODEV);
        f->lines->add_chip(OTHER + 1, "usb", names); /* its number may be another one */
        for (int64_t now = 2 * SECOND; !f->lines->is_held(OTHER + 1, 0); now += SECOND) {
                assert_true(now < 30 * SECOND);
                fixture_time(f, now);
                fixture_turn(f);
        }
        f->lines->set_level(OTHER + 1, 0, true);
        fixture_turn(f);
        expect_level(f, "lamp", 1);
}

static void a_name_that_two_chips_have(void **state) {
        static const char *const names[] = {"", "LAMP", "GPIO17", NULL};
        Fixture *f = *state;

        f->lines->add_chip(OTHER, "left", names);
        f->lines->add_chip(OTHER + 1, "right", names);
        fixture_set(f, "door.line", "GPIO17"); /* the header's, whoever else has the name */
        fixture_set(f, "first.line", "LAMP");
        fixture_set(f, "second.line", "LAMP");
        fixture_set(f, "second.chip", "right");
        fixture_set(f, "third.line", "GPIO17");
        fixture_set(f, "third.chip", "gpiochip3");
        assert_int_equal(fixture_start(f), 0);
        assert_string_equal(f->lines->consumer(PI, DOOR), "tbagent:door");
        assert_string_equal(f->lines->consumer(OTHER + 1, 1), "tbagent:second");
        assert_string_equal(f->lines->consumer(OTHER, 2), "tbagent:third");
        f->lines->set_level(OTHER + 1, 1, true);
        assert_int_equal(harness_sample(f->h), 0);
        expect_bad(f, "first", "gpiochip3 [left] and gpiochip4 [right] have a line \"LAMP\": write chip = \"left\" beside it, or the other");
        expect_level(f, "second", 1);
}

static void who_uses_it_is_named(void **state) {
        Fixture *f = *state;

        fixture_set(f, "door.line", "GPIO17");
        fixture_set(f, "other.line", "GPIO4");
        f->lines->set_used(PI, DOOR, "gpio-keys");
        assert_int_equal(fixture_start(f), 0);
        assert_int_equal(harness_sample(f->h), 0);
        expect_bad(f, "door", "line 17 of gpiochip0 [pinctrl-bcm2711] is in use by \"gpio-keys\"");
}

/* ---- scan */

static void scan_says_what_to_write(void **state) {
        Fixture *f = *state;
        static const char *const names[] = {"pin7", "GPIO27", NULL};
        bool free_line = false, used = false, i2c = false, inside = false, odd = false, twice = false;
        const char *json;

        f->lines->set_used(PI, 22, "w1");
        f->lines->add_chip(OTHER, "odd", names);
        fixture_set(f, "door.line", "GPIO17");
        assert_int_equal(fixture_start(f), 0);
        assert_int_equal(harness_scan(f->h), 0);
        for (size_t i = 0; (json = harness_found(f->h, i)); i++) {
                free_line |= strstr(json, "\"GPIO27\"") && strstr(json, "pin 13") && strstr(json, "gpio27 = { line = \\\"GPIO27\\\"; };");
                used |= strstr(json, "\"GPIO22\"") && strstr(json, "used by w1") && !strstr(json, "\"config\"");
                i2c |= strstr(json, "\"GPIO2\"") && strstr(json, "gpio2 = {") && strstr(json, "\"commented\":true");
                inside |= strstr(json, "\"OTHER40\"") && strstr(json, "other40 = {") && strstr(json, "\"commented\":true");
                odd |= strstr(json, "\"pin7\"") && strstr(json, "gpiochip3_0 = { line = \\\"0\\\"; chip = \\\"gpiochip3\\\"; };");
                twice |= strstr(json, "gpiochip3_1 = {") && strstr(json, "\"GPIO27\"");
        }
        assert_true(free_line && used && i2c && inside && odd && twice);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(what_options_are_refused),
                TEST(options_reach_the_kernel),
                TEST(an_edge_is_a_row_with_the_kernels_time),
                TEST(lost_edges_are_told_exactly),
                TEST(a_flood_leaves_time_for_others),
                TEST(edges_are_not_wanted_any_more),
                TEST(no_edges_where_none_are_wanted),
                TEST(edges_wait_while_there_is_no_process),
                TEST(what_cannot_be_kept_is_told_once),
                TEST(absent_hardware_says_why),
                TEST(one_missing_line_costs_the_others_nothing),
                TEST(a_chip_that_goes_is_waited_for),
                TEST(a_name_that_two_chips_have),
                TEST(who_uses_it_is_named),
                TEST(scan_says_what_to_write),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
