/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the plugin gpio: totals, what is remembered, what the server sends, periods of PWM, names of lines. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../plugins/gpio/counter.h"
#include "../../plugins/gpio/memory.h"
#include "../../plugins/gpio/params.h"
#include "../../plugins/gpio/place.h"
#include "../../plugins/gpio/pwm.h"
#include "../fake/gpio/fake.h"

#define SECOND INT64_C(1000000000)

extern const FakeLines fake_lines;

/* ---- counter */

static Counter counter(double per_unit) {
        return (Counter){.per_unit = per_unit};
}

static void a_gap_of_numbers_is_counted(void **state) {
        Counter c = counter(1);

        (void)state;
        counter_new_request(&c);
        assert_int_equal(counter_edge(&c, 1, SECOND), 0);
        assert_int_equal(counter_edge(&c, 2, SECOND), 0);
        assert_int_equal(counter_edge(&c, 479, SECOND), 476); /* the kernel dropped these */
        assert_int_equal(c.added, 479);
        assert_int_equal(counter_edge(&c, 1, SECOND), 0); /* numbers that begin anew are not four thousand million pulses */
        assert_int_equal(c.added, 480);
        counter_lost_request(&c);
        assert_int_equal(counter_edge(&c, 900, SECOND), 0); /* of a request of which nothing is known */
        assert_int_equal(c.added, 481);
}

/* Numbers of edges are 32 bits, and a meter may run for years. */
static void numbers_may_wrap(void **state) {
        Counter c = counter(1);

        (void)state;
        c.has_seqno = true;
        c.seqno = UINT32_MAX - 1;
        assert_int_equal(counter_edge(&c, UINT32_MAX, 1), 0);
        assert_int_equal(counter_edge(&c, 2, 1), 2);
        assert_int_equal(c.added, 4);
}

static void a_total_never_goes_back(void **state) {
        static const struct {
                bool local, remote;
                uint64_t pulses;
                double total;
                uint32_t epoch, remote_epoch;
                uint64_t expected;
        } cases[] = {
                {true, true, 100, 90, 0, 0, 100},  {true, true, 90, 100, 0, 0, 100},   {false, true, 0, 100, 0, 0, 100},
                {true, false, 90, 0, 0, 0, 90},    {false, false, 0, 0, 0, 0, 70},     {true, true, 100, 5, 1, 2, 5},
                {true, true, 5, 100, 2, 1, 5},     {true, true, 0, 100, 1, 1, 100},    {false, true, 0, -3, 0, 0, 0},
                {false, true, 0, 1e300, 0, 0, 0},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Counter c = counter(1);

                c.pulses = cases[i].pulses;
                c.epoch = cases[i].epoch;
                c.added = 3; /* counted since: on top, whatever comes */
                counter_settle(&c, cases[i].local, cases[i].remote, cases[i].total, cases[i].remote_epoch, 70);
                assert_true(c.known);
                if (counter_total(&c) != (double)cases[i].expected + 3)
                        fail_msg("case %zu: %g", i, counter_total(&c));
        }
}

static void units_and_setting(void **state) {
        Counter c = counter(450); /* a flow meter */

        (void)state;
        counter_new_request(&c);
        for (uint32_t n = 1; n <= 675; n++)
                counter_edge(&c, n, n);
        assert_float_equal(counter_total(&c), 1.5, 0);
        counter_rescale(&c, 900);
        assert_float_equal(counter_total(&c), 1.5, 1e-3);
        counter_set(&c, 1234.5);
        assert_float_equal(counter_total(&c), 1234.5, 0);
        assert_int_equal(c.epoch, 1);
        counter_edge(&c, 676, 1);
        assert_float_equal(counter_total(&c), 1234.5 + 1.0 / 900, 1e-9);
}

static void rates(void **state) {
        Counter c = counter(1);

        (void)state;
        assert_true(counter_rate(&c, SECOND, 60 * SECOND) < 0); /* no edge yet */
        assert_true(counter_rate(&c, 60 * SECOND, 60 * SECOND) < 0);
        assert_float_equal(counter_rate(&c, 61 * SECOND, 60 * SECOND), 0, 0); /* what the server has may be of before */
        counter_new_request(&c);
        counter_edge(&c, 1, 10 * SECOND);
        assert_true(counter_rate(&c, 10 * SECOND, 60 * SECOND) < 0); /* of one alone nothing follows */
        for (uint32_t n = 2; n <= 21; n++)
                counter_edge(&c, n, 10 * SECOND + (n - 1) * SECOND / 20);
        assert_float_equal(counter_rate(&c, 11 * SECOND, 60 * SECOND), 20, 1e-9);
        assert_float_equal(counter_rate(&c, 13 * SECOND, 60 * SECOND), 0.5, 1e-9); /* it can only be slower by now */
        assert_float_equal(counter_rate(&c, 12 * SECOND, 60 * SECOND), 0.5, 1e-9);
        assert_float_equal(counter_rate(&c, 71 * SECOND, 60 * SECOND), 0, 0);
        counter_edge(&c, 122, 111 * SECOND); /* those between were not seen one by one */
        assert_float_equal(counter_rate(&c, 111 * SECOND, 60 * SECOND), 1.01, 1e-9);
}

/* However long the server is away: so many points are kept, in order, over the whole time. */
static void samples_wait(void **state) {
        Counter c = counter(1);
        uint32_t n;

        (void)state;
        counter_new_request(&c);
        for (n = 1; n <= 10000; n++) {
                counter_edge(&c, n, n * SECOND);
                counter_wait(&c, n * SECOND);
                assert_true(c.n_waiting > 0 && c.n_waiting <= COUNTER_WAITING_MAX);
        }
        c.pulses = 500;
        assert_true(c.n_waiting >= COUNTER_WAITING_MAX / 2);
        for (size_t i = 0; i < c.n_waiting; i++) {
                assert_float_equal(counter_waited(&c, i), (double)(500 + c.waiting[i].time_ns / SECOND), 0);
                assert_true(i == 0 || c.waiting[i].time_ns > c.waiting[i - 1].time_ns);
        }
        assert_true(c.waiting[c.n_waiting - 1].time_ns > 9800 * SECOND);
        assert_true(c.waiting[0].time_ns < 200 * SECOND);
}

/* ---- memory */

static void what_is_remembered_comes_back(void **state) {
        const uint8_t boot[16] = {1, 2, 3}, other[16] = {9};
        Remembered list[MEMORY_LINES_MAX], back[MEMORY_LINES_MAX];
        uint8_t data[MEMORY_SIZE_MAX];
        bool same;
        size_t size;

        (void)state;
        memset(list, 0, sizeof(list));
        for (size_t i = 0; i < MEMORY_LINES_MAX; i++)
                list[i] = (Remembered){.id = i, .driven = true, .duty = 40, .per_unit = 1};
        list[0] = (Remembered){.id = memory_id("water"), .counted = true, .known = true, .has_seqno = true, .has_base = true,
                               .pulses = UINT64_C(1) << 60, .added = 7, .per_unit = 450, .epoch = 3, .seqno = 12};
        list[1] = (Remembered){.id = memory_id("pump"), .driven = true, .duty = 100, .has_wanted = true, .wanted = 100,
                               .disconnected = true, .pulse_end_ns = 77};
        size = memory_encode(list, MEMORY_LINES_MAX, boot, data);
        assert_true(size <= MEMORY_SIZE_MAX);
        assert_int_equal(memory_decode(data, size, boot, back, &same), MEMORY_LINES_MAX);
        assert_true(same);
        assert_int_equal(memory_find(back, MEMORY_LINES_MAX, memory_id("water"))->pulses, list[0].pulses);
        assert_int_equal(back[0].seqno, 12);
        assert_true(back[0].counted && back[0].known && back[0].has_seqno && back[0].has_base && !back[0].driven);
        assert_true(back[1].driven && back[1].has_wanted && back[1].disconnected && !back[1].counted);
        assert_int_equal(back[1].pulse_end_ns, 77);
        assert_null(memory_find(back, MEMORY_LINES_MAX, memory_id("tap")));
        assert_int_equal(memory_decode(data, size, other, back, &same), MEMORY_LINES_MAX);
        assert_false(same);
        for (size_t cut = 0; cut < size; cut++)
                assert_int_equal(memory_decode(data, cut, boot, back, &same), 0);
        data[0] ^= 1; /* of another version */
        assert_int_equal(memory_decode(data, size, boot, back, &same), 0);
}

/* ---- params */

static void duties(void **state) {
        static const struct {
                const char *json;
                double on_off, percent; /* -1: refused */
        } cases[] = {
                {"true", 100, 100},  {"false", 0, 0},       {"1", 100, 1},         {"0", 0, 0},
                {"\"on\"", 100, 100}, {"\"OFF\"", 0, 0},    {"\"true\"", 100, 100}, {"\"1\"", 100, 1},
                {"35", -1, 35},      {"35.5", -1, 35.5},    {"100", -1, 100},      {"101", -1, -1},
                {"-1", -1, -1},      {"\"\"", -1, -1},      {"null", -1, -1},      {"[]", -1, -1},
                {"{}", -1, -1},      {"{\"value\":true}", 100, 100}, {"{\"value\":20,\"expires\":1}", -1, 20},
                {"nonsense", -1, -1}, {"\"35%\"", -1, -1},  {"1e999", -1, -1},     {"\"nan\"", -1, -1},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                for (int percent = 0; percent < 2; percent++) {
                        double expected = percent ? cases[i].percent : cases[i].on_off, duty = -1;
                        int r = params_duty(cases[i].json, percent, &duty);

                        if (r != (expected < 0 ? -EINVAL : 0) || (r == 0 && duty != expected))
                                fail_msg("%s: %d, %g", cases[i].json, r, duty);
                }
}

static void times(void **state) {
        static const struct {
                const char *json;
                int64_t ms; /* 0: nothing is said; -1: refused */
        } cases[] = {
                {"null", 0}, {"true", 0}, {"{}", 0}, {"500", 500}, {"\"500ms\"", 500}, {"\"2s\"", 2000}, {"\"2 s\"", 2000},
                {"\"1min\"", 60000}, {"\"24h\"", 86400000}, {"\"25h\"", -1}, {"0", -1}, {"-5", -1}, {"\"5\"", -1},
                {"{\"ms\":20}", 20}, {"{\"time\":\"3s\"}", 3000}, {"\"s\"", -1}, {"1e300", -1}, {"[]", -1}, {"\"nan s\"", -1},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int64_t ns = 0;
                int r = params_time(cases[i].json, &ns), expected = cases[i].ms < 0 ? -EINVAL : cases[i].ms > 0;

                if (r != expected || (r == 1 && ns != cases[i].ms * 1000000))
                        fail_msg("%s: %d, %lld", cases[i].json, r, (long long)ns);
        }
}

static void pins_and_attributes(void **state) {
        static const char *const bad[] = {"{\"pin\":0,\"enabled\":true}", "{\"pin\":1.5,\"enabled\":true}", "{\"pin\":7}",
                                          "{\"enabled\":true}", "[]", "", "{\"pin\":1e9,\"enabled\":true}",
                                          "{\"pin\":7,\"enabled\":5}"};
        unsigned pin;
        double number;
        bool on;

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(params_pin(bad[i], &pin, &on), -EINVAL);
        assert_int_equal(params_pin("{\"pin\":\"7\",\"enabled\":1}", &pin, &on), 0);
        assert_true(pin == 7 && on);
        assert_int_equal(params_attribute("{\"client\":{\"water\":12.5}}", "water", &number), 0);
        assert_float_equal(number, 12.5, 0);
        assert_int_equal(params_attribute("{\"client\":{\"water\":\"wet\"}}", "water", &number), -ENOENT);
        assert_int_equal(params_attribute("{\"client\":[]}", "water", &number), -ENOENT);
        assert_int_equal(params_attribute("{}", "water", &number), -ENOENT);
        assert_int_equal(params_number("{\"value\":\"7\"}", &number), 0);
        assert_int_equal(params_number("true", &number), -EINVAL);
}

/* ---- pwm */

static void periods(void **state) {
        Pwm p = {.start_ns = 5 * SECOND, .period_ns = SECOND, .duty = 25};
        int64_t now = p.start_ns, on = 0, next;

        (void)state;
        for (int i = 0; i < 200; i++) { /* from change to change: exact, and no error adds up */
                bool level = pwm_level(&p, now, &next);

                assert_true(next > now);
                on += level ? next - now : 0;
                now = next;
        }
        assert_int_equal(now - p.start_ns, 100 * SECOND);
        assert_int_equal(on, 25 * SECOND);
        assert_true(pwm_level(&p, p.start_ns + 7 * SECOND + SECOND / 8, &next)); /* late by seven periods is late once */
        assert_int_equal(next, p.start_ns + 7 * SECOND + SECOND / 4);
        p.duty = 0;
        assert_false(pwm_level(&p, now, &next));
        assert_int_equal(next, INT64_MAX);
        p.duty = 100;
        assert_true(pwm_level(&p, now, &next));
        assert_int_equal(next, INT64_MAX);
        p.duty = 0.001; /* shorter than what can be done in time */
        assert_false(pwm_level(&p, now, &next));
        assert_int_equal(next, INT64_MAX);
}

/* ---- place */

static void expect_wanted(const char *line, const char *chip, const char *part) {
        char why[WHY_SIZE] = "";
        Wanted w;
        int r = wanted_parse(line, chip, &w, why);

        if (r != (part ? -EINVAL : 0) || (part && !strstr(why, part)))
                fail_msg("%s: %d, %s", line, r, why);
}

static void names_that_are_refused(void **state) {
        (void)state;
        expect_wanted("17", NULL, "write \"GPIO17\" (pin 11 of the header), or, for line 17 of a chip");
        expect_wanted("11", NULL, "\"pin11\" (which is GPIO17)");
        expect_wanted("99", NULL, "for line 99 of a chip");
        expect_wanted("pin1", NULL, "is 3.3 V, not a line");
        expect_wanted("pin2", NULL, "is 5 V, not a line");
        expect_wanted("PIN39", NULL, "is ground, not a line");
        expect_wanted("pin41", NULL, "has the pins 1 to 40");
        expect_wanted("", NULL, "is empty");
        expect_wanted("3", "", "empty chip");
        expect_wanted("3", "gpiochip0", NULL);
        expect_wanted("pin40", NULL, NULL);
        expect_wanted("DOOR", NULL, NULL);
        expect_wanted("GPIO54", NULL, NULL); /* a name like any other */
}

static void expect_place(const char *line, const char *chip, const char *name, unsigned offset, unsigned pin) {
        char why[WHY_SIZE] = "";
        Place p;
        Wanted w;

        assert_int_equal(wanted_parse(line, chip, &w, why), 0);
        if (place_find(&w, &p, why) < 0)
                fail_msg("%s: %s", line, why);
        assert_string_equal(p.chip, name);
        assert_int_equal(p.offset, offset);
        assert_int_equal(p.pin, pin);
}

static void expect_nowhere(const char *line, const char *chip, int error, const char *part) {
        char why[WHY_SIZE] = "";
        Place p;
        Wanted w;

        assert_int_equal(wanted_parse(line, chip, &w, why), 0);
        assert_int_equal(place_find(&w, &p, why), error);
        if (!strstr(why, part))
                fail_msg("%s: \"%s\" lacks \"%s\"", line, why, part);
}

/* On the kernel of one Raspberry Pi the header's chip is the first, on another's the fifth, and its lines have other names. */
static void one_name_for_every_board(void **state) {
        static const char *const pi5[] = {"ID_SDA", "ID_SCL", "GPIO2", "GPIO3", "GPIO4", "x", "x", "x", "x", "x", "x", "x", "x", "x",
                                          "x", "x", "x", "PIN11", "GPIO18", NULL};
        static const char *const pi4[] = {"a", "b", "SDA1", "SCL1", "GPIO_GCLK", "x", "x", "x", "x", "x", "x", "x", "x", "x", "x",
                                          "x", "x", "GPIO17", NULL};
        static const char *const expander[] = {"", "DOOR", "GPIO4", NULL};

        (void)state;
        fake_lines.reset();
        fake_lines.add_chip(0, "brcm-expander", expander);
        expect_nowhere("GPIO17", NULL, -ENODEV, "no line is called");
        expect_nowhere("pin11", NULL, -ENODEV, "no GPIO chip of a Raspberry Pi");
        fake_lines.add_chip(4, "pinctrl-rp1", pi5);
        expect_place("GPIO17", NULL, "gpiochip4", 17, 11);
        expect_place("pin11", NULL, "gpiochip4", 17, 11);
        expect_place("gpio4", NULL, "gpiochip4", 4, 7); /* of the header, though another has the name too */
        expect_place("GPIO4", "brcm-expander", "gpiochip0", 2, 0);
        expect_place("DOOR", NULL, "gpiochip0", 1, 0);
        expect_place("1", "/dev/gpiochip0", "gpiochip0", 1, 0);
        fake_lines.reset();
        fake_lines.add_chip(0, "pinctrl-bcm2711", pi4);
        expect_place("GPIO17", NULL, "gpiochip0", 17, 11);
        expect_place("GPIO4", NULL, "gpiochip0", 4, 7); /* called GPIO_GCLK */
        fake_lines.reset();
}

static void why_it_is_not_found(void **state) {
        static const char *const names[] = {"DOOR", "", NULL};

        (void)state;
        fake_lines.reset();
        expect_nowhere("DOOR", NULL, -ENODEV, "there is no /dev/gpiochip*");
        fake_lines.add_chip(0, "one", names);
        fake_lines.add_chip(1, "two", names);
        expect_nowhere("GATE", NULL, -ENODEV, "no line is called \"GATE\"");
        expect_nowhere("DOOR", "three", -ENODEV, "there is no GPIO chip \"three\"; there are gpiochip0 [one], gpiochip1 [two]");
        expect_nowhere("2", "two", -ENODEV, "has no line 2: it has the lines 0 to 1");
        fake_lines.add_chip(2, "two", names);
        expect_nowhere("1", "two", -ENODEV, "2 chips are called \"two\"");
        fake_lines.reset();
        fake_lines.add_chip(0, "one", names);
        fake_lines.deny_chip(0, -EACCES);
        expect_nowhere("DOOR", NULL, -EACCES, "may not open /dev/gpiochip0");
        fake_lines.reset();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_gap_of_numbers_is_counted), cmocka_unit_test(numbers_may_wrap),
                cmocka_unit_test(a_total_never_goes_back),     cmocka_unit_test(units_and_setting),
                cmocka_unit_test(rates),                       cmocka_unit_test(samples_wait),
                cmocka_unit_test(what_is_remembered_comes_back), cmocka_unit_test(duties),
                cmocka_unit_test(times),                       cmocka_unit_test(pins_and_attributes),
                cmocka_unit_test(periods),                     cmocka_unit_test(names_that_are_refused),
                cmocka_unit_test(one_name_for_every_board),    cmocka_unit_test(why_it_is_not_found),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
