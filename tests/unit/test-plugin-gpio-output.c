/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of the plugin gpio: who may move them, and above all when nothing does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gpio-fixture.h"

#define SECOND INT64_C(1000000000)
#define PUMP   27
#define NAME   "GPIO27"

static int setup(void **state) {
        Fixture *f = fixture_new();

        fixture_pi(f);
        fixture_set(f, "pump.line", NAME);
        fixture_set(f, "pump.direction", "out");
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

static bool high(Fixture *f) {
        return f->lines->level(PI, PUMP);
}

static unsigned moves(Fixture *f) {
        return f->lines->moves(PI, PUMP);
}

static void expect_reply(Fixture *f, const char *method, const char *params, const char *expected) {
        const char *reply = fixture_rpc(f, "pump", method, params);

        assert_non_null(reply);
        assert_string_equal(reply, expected);
}

static void expect_refusal(Fixture *f, const char *channel, const char *method, const char *params, const char *code) {
        assert_null(fixture_rpc(f, channel, method, params));
        assert_string_equal(f->code, code);
}

static void expect_told(Fixture *f, int value) {
        const Emit *e = harness_last(f->h, "pump");

        assert_non_null(e);
        assert_int_equal(e->type, EMIT_BOOL);
        assert_int_equal(e->i, value);
}

/* ---- its first level */

static void the_first_level_is_there_at_once(void **state) {
        static const struct {
                const char *initial, *active_low;
                bool before, expected;
        } cases[] = {
                {"off", "false", false, false}, {"on", "false", true, true},  {"off", "true", true, true},
                {"on", "true", false, false},   {"as-is", "false", true, true}, {"as-is", "true", true, true},
                {"as-is", "true", false, false},
        };
        Fixture *f = *state;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                f->lines->set_level(PI, PUMP, cases[i].before);
                fixture_set(f, "pump.initial", cases[i].initial);
                fixture_set(f, "pump.active_low", cases[i].active_low);
                (void)moves(f);
                start(f);
                assert_true(f->lines->is_output(PI, PUMP));
                assert_int_equal(high(f), cases[i].expected);
                assert_int_equal(moves(f), 0); /* here it had that level already: nothing between may differ */
                fixture_end(f);
        }
}

static void last_outlives_the_machine(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.initial", "last");
        start(f);
        assert_false(high(f));
        expect_reply(f, "set", "true", "true");
        fixture_end(f); /* on_exit = off is no wish of anybody */
        assert_false(high(f));
        fixture_reboot(f);
        start(f);
        assert_true(high(f));
}

/* A pulse that the end of the machine has cut short is no wish of anybody either. */
static void last_is_no_pulse(void **state) {
        static const char *const modes[] = {"state", "pwm"};
        Fixture *f = *state;

        fixture_time(f, SECOND);
        fixture_set(f, "pump.initial", "last");
        for (size_t i = 0; i < 2; i++) {
                fixture_set(f, "pump.mode", modes[i]);
                start(f);
                assert_non_null(fixture_rpc(f, "pump", "pulse", "\"1h\""));
                assert_true(high(f));
                if (i == 0)
                        fixture_end(f);
                else
                        fixture_crash(f);
                fixture_reboot(f);
                start(f);
                assert_false(high(f));
                assert_non_null(fixture_rpc(f, "pump", "set", "1"));
                fixture_end(f);
                f->state_size = 0;
        }
}

static void last_of_pwm_is_its_duty(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.initial", "last");
        fixture_set(f, "pump.mode", "pwm");
        start(f);
        expect_reply(f, "get", NULL, "0"); /* there was none */
        expect_reply(f, "set", "12.5", "12.5");
        fixture_end(f);
        assert_false(high(f));
        fixture_reboot(f);
        start(f);
        expect_reply(f, "get", NULL, "12.5");
        fixture_end(f);
        fixture_set(f, "pump.initial", "off");
        start(f);
        expect_reply(f, "get", NULL, "0");
}

/* ---- methods */

static void methods_move_it(void **state) {
        Fixture *f = *state;

        start(f);
        harness_clear(f->h);
        expect_reply(f, "set", "true", "true");
        assert_true(high(f));
        expect_told(f, 1);
        assert_int_equal(f->n_immediate, 1); /* a dashboard shows it at once */
        expect_reply(f, "get", NULL, "true");
        expect_reply(f, "toggle", NULL, "false");
        expect_told(f, 0);
        expect_reply(f, "setValue", "\"true\"", "true");
        expect_reply(f, "getValue", "null", "true");
        expect_reply(f, "setState", "0", "false");
        expect_reply(f, "getState", "{}", "false");
        expect_refusal(f, "pump", "set", "\"perhaps\"", "bad_params");
        expect_refusal(f, "pump", "set", NULL, "bad_params");
        expect_refusal(f, "pump", "pulse", "\"25h\"", "bad_params");
        expect_refusal(f, "pump", "blow", "true", "unknown_method");
        expect_refusal(f, "valve", "set", "true", "unknown_method");
        assert_false(high(f));
}

static void widgets_use_pins(void **state) {
        Fixture *f = *state;

        fixture_set(f, "door.line", "GPIO17");
        start(f);
        assert_string_equal(fixture_rpc(f, NULL, "getGpioStatus", "{}"), "{\"13\":false,\"11\":false}");
        assert_string_equal(fixture_rpc(f, NULL, "setGpioStatus", "{\"pin\":13,\"enabled\":true}"), "{\"13\":true,\"11\":false}");
        assert_true(high(f));
        expect_refusal(f, NULL, "setGpioStatus", "{\"pin\":11,\"enabled\":true}", "bad_params");
        expect_refusal(f, NULL, "setGpioStatus", "{\"pin\":40,\"enabled\":true}", "bad_params");
        expect_refusal(f, "door", "set", "true", "bad_params");
        assert_string_equal(fixture_rpc(f, NULL, "checkStatus", NULL), "true");
}

static void status_is_that_of_the_lines(void **state) {
        static const char *const names[] = {"RELAY", NULL};
        Fixture *f = *state;

        fixture_unset(f);
        start(f);
        assert_string_equal(fixture_rpc(f, NULL, "checkStatus", NULL), "false"); /* it has none */
        fixture_stop(f);
        f->lines->add_chip(OTHER, "usb", names);
        fixture_set(f, "relay.line", "RELAY");
        start(f);
        assert_string_equal(fixture_rpc(f, NULL, "checkStatus", NULL), "true");
        f->lines->remove_chip(OTHER);
        assert_string_equal(fixture_rpc(f, NULL, "checkStatus", NULL), "false"); /* nobody has told it yet */
        (void)harness_sample(f->h);
        assert_string_equal(fixture_rpc(f, NULL, "checkStatus", NULL), "false");
        fixture_stop(f);
        f->lines->add_chip(OTHER, "usb", names);
        fixture_set(f, "pump.line", NAME);
        start(f);
        f->lines->remove_chip(OTHER); /* the other one is there */
        assert_string_equal(fixture_rpc(f, NULL, "checkStatus", NULL), "true");
}

static void a_pulse_ends(void **state) {
        Fixture *f = *state;

        fixture_time(f, SECOND);
        start(f);
        expect_reply(f, "pulse", "\"200ms\"", "true");
        assert_true(high(f));
        fixture_time(f, SECOND + SECOND / 5);
        fixture_turn(f);
        assert_false(high(f));
        expect_told(f, 0);
        expect_reply(f, "pulse", NULL, "true"); /* the option: 500 ms */
        expect_reply(f, "set", "true", "true"); /* and now it stays */
        fixture_time(f, 2 * SECOND);
        assert_int_equal(harness_sample(f->h), 0);
        assert_true(high(f));
        expect_reply(f, "pulse", "100", "true");
        fixture_crash(f); /* its end is remembered */
        fixture_time(f, 3 * SECOND);
        start(f);
        fixture_turn(f);
        assert_false(high(f));
}

/* Whatever is due by then. (For the real timer all of these times are long past, so it runs for those that are not due, too.) */
static void pass_to(Fixture *f, int64_t now_ns) {
        fixture_time(f, now_ns);
        (void)harness_turn(f->h, 0);
}

static void a_pulse_is_overtaken(void **state) {
        static const struct {
                const char *method, *params;
                bool expected;
        } then[] = {{"set", "true", true}, {"set", "false", false}, {"toggle", NULL, false}, {"setState", "true", true}};
        Fixture *f = *state;
        int64_t now = SECOND;

        fixture_set(f, "pump.attribute", "wanted");
        fixture_time(f, now);
        start(f);
        for (size_t i = 0; i < sizeof(then) / sizeof(then[0]); i++) {
                expect_reply(f, "pulse", "\"1s\"", "true");
                pass_to(f, now += SECOND / 2);
                expect_reply(f, then[i].method, then[i].params, then[i].expected ? "true" : "false");
                pass_to(f, now += SECOND); /* its end comes no more */
                assert_int_equal(high(f), then[i].expected);
                fixture_crash(f); /* nor is it remembered */
                start(f);
                pass_to(f, now += SECOND);
                assert_int_equal(high(f), then[i].expected);
        }
        expect_reply(f, "pulse", "\"1s\"", "true");
        fixture_attribute(f, "wanted", "true");
        pass_to(f, now += 2 * SECOND);
        assert_true(high(f));
        expect_reply(f, "pulse", "\"1s\"", "true");
        pass_to(f, now += SECOND / 2);
        expect_reply(f, "pulse", "\"1s\"", "true"); /* another one: from now on */
        pass_to(f, now += SECOND * 3 / 4);
        assert_true(high(f));
        pass_to(f, now += SECOND / 2);
        assert_false(high(f));
}

static void pwm(void **state) {
        Fixture *f = *state;
        int64_t now = SECOND;
        unsigned on = 0;

        fixture_time(f, now);
        fixture_set(f, "pump.mode", "pwm");
        fixture_set(f, "pump.pwm_period", "100ms");
        start(f);
        expect_reply(f, "set", "30", "30");
        for (int i = 0; i < 100; i++) {
                on += high(f);
                now += SECOND / 100;
                fixture_time(f, now);
                fixture_turn(f);
        }
        assert_in_range(on, 28, 32);
        assert_float_equal(harness_last(f->h, "pump")->d, 30, 0);
        fixture_crash(f);
        start(f);
        expect_reply(f, "get", NULL, "30");
        expect_refusal(f, "pump", "set", "101", "bad_params");
}

static void pwm_ends_with_its_process(void **state) {
        static const char *const on_exit[] = {"off", "on"};
        Fixture *f = *state;
        int64_t now = SECOND;

        fixture_set(f, "pump.mode", "pwm");
        fixture_set(f, "pump.pwm_period", "100ms");
        for (int i = 0; i < 4; i++) { /* in both halves of the period */
                fixture_set(f, "pump.on_exit", on_exit[i / 2]);
                fixture_time(f, now);
                start(f);
                expect_reply(f, "set", "50", "50");
                pass_to(f, now += i % 2 ? SECOND / 40 : SECOND * 3 / 40);
                assert_int_equal(high(f), i % 2);
                fixture_end(f);
                assert_int_equal(high(f), i / 2);
                assert_false(f->lines->is_held(PI, PUMP));
        }
        start(f);
        expect_reply(f, "set", "50", "50");
        fixture_stop(f); /* another one comes, and goes on with it */
        assert_true(f->lines->is_held(PI, PUMP));
        (void)moves(f);
        start(f);
        expect_reply(f, "get", NULL, "50");
        for (int i = 0; i < 100; i++)
                pass_to(f, now += SECOND / 100);
        assert_in_range(moves(f), 18, 22);
}

/* ---- what comes by itself */

static void an_attribute_says_what_it_is_to_be(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.attribute", "pump_wanted");
        start(f);
        assert_string_equal(f->subscribed, "pump_wanted ");
        fixture_attribute(f, "pump_wanted", "true");
        assert_true(high(f));
        expect_reply(f, "set", "false", "false"); /* the last one counts */
        fixture_crash(f);
        start(f);
        fixture_attribute(f, "pump_wanted", "true"); /* says it again, as it does after each start */
        assert_false(high(f));
        fixture_attribute(f, "pump_wanted", "\"perhaps\"");
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "its attribute pump_wanted = \"perhaps\" is not true or false"), 1);
        fixture_attribute(f, "pump_wanted", NULL);
        fixture_attribute(f, "pump_wanted", "false");
        fixture_attribute(f, "pump_wanted", "true");
        assert_true(high(f));
}

static void without_a_server(void **state) {
        Fixture *f = *state;

        f->online = true;
        fixture_time(f, SECOND);
        fixture_set(f, "pump.on_disconnect", "off");
        fixture_set(f, "pump.on_disconnect_after", "300ms");
        fixture_set(f, "pump.attribute", "wanted");
        start(f);
        fixture_attribute(f, "wanted", "true");
        fixture_online(f, false);
        fixture_time(f, SECOND + SECOND / 4);
        fixture_online(f, true); /* back in time */
        fixture_time(f, 2 * SECOND);
        assert_int_equal(harness_sample(f->h), 0);
        assert_true(high(f));
        fixture_online(f, false);
        fixture_time(f, 2 * SECOND + SECOND / 3);
        fixture_turn(f);
        assert_false(high(f));
        assert_int_equal(harness_logged(f->h, TBAGENT_NOTICE, "the server is away: off (on_disconnect)"), 1);
        fixture_online(f, true); /* its attribute counts again */
        assert_true(high(f));
        assert_int_equal(fixture_setting(f, "pump.on_disconnect", "low"), -EINVAL);
}

static void a_server_that_is_back_in_time(void **state) {
        Fixture *f = *state;
        int64_t now = SECOND;

        f->online = true;
        fixture_time(f, now);
        fixture_set(f, "pump.on_disconnect", "off");
        fixture_set(f, "pump.on_disconnect_after", "10s");
        start(f);
        expect_reply(f, "set", "true", "true");
        (void)moves(f);
        for (int i = 0; i < 5; i++) { /* in all it is away for longer than that */
                fixture_online(f, false);
                pass_to(f, now += 9 * SECOND);
                fixture_online(f, true);
                pass_to(f, now += SECOND);
        }
        pass_to(f, now += 60 * SECOND);
        assert_int_equal(moves(f), 0);
        fixture_online(f, false);
        assert_int_equal(fixture_setting(f, "pump.on_disconnect", "as-is"), 0); /* somebody on the machine */
        pass_to(f, now += 60 * SECOND);
        assert_int_equal(moves(f), 0);
        assert_int_equal(fixture_setting(f, "pump.on_disconnect", "off"), 0);
        pass_to(f, now += 9 * SECOND);
        assert_true(high(f));
        pass_to(f, now += 2 * SECOND);
        assert_false(high(f));
        fixture_online(f, true); /* it has no attribute: what it was nobody knows to be right still */
        pass_to(f, now += SECOND);
        assert_false(high(f));
        assert_int_equal(moves(f), 1);
}

/* ---- when nobody is there */

static void nothing_moves_when_processes_come_and_go(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.on_exit", "off");
        start(f);
        expect_reply(f, "set", "true", "true");
        (void)moves(f);
        (void)f->lines->requests();
        for (int i = 0; i < 3; i++) {
                if (i % 2)
                        fixture_stop(f); /* a reload, an upgrade */
                else
                        fixture_crash(f);
                assert_true(f->lines->is_held(PI, PUMP));
                start(f);
                assert_int_equal(harness_sample(f->h), 0);
                expect_told(f, 1);
        }
        assert_int_equal(moves(f), 0);
        assert_int_equal(f->lines->requests(), 0);
        fixture_set(f, "pump.active_low", "true"); /* the voltage stays, what it is called does not */
        fixture_stop(f);
        start(f);
        assert_int_equal(moves(f), 0);
        expect_reply(f, "get", NULL, "false");
}

/* Whoever waits for another line does not keep the daemon waiting for an output. */
static void kept_outputs_come_first(void **state) {
        Fixture *f = *state;

        fixture_unset(f);
        fixture_set(f, "door.line", "GPIO17");
        fixture_set(f, "new.line", "GPIO22");
        fixture_set(f, "new.direction", "out");
        fixture_set(f, "pump.line", NAME);
        fixture_set(f, "pump.direction", "out");
        f->lines->set_used(PI, 22, "somebody");
        start(f);
        expect_reply(f, "set", "true", "true");
        fixture_crash(f);
        (void)moves(f);
        f->taken[0] = '\0';
        f->watch_error = -ENOSPC; /* inputs fail, and all of it does */
        assert_int_equal(fixture_start(f), -ENOSPC);
        assert_non_null(strstr(f->taken, "gpiochip0-27 gpiochip0-17 "));
        assert_true(high(f) && fixture_keeps(f, "gpiochip0-27"));
        f->watch_error = 0;
        start(f);
        expect_reply(f, "get", NULL, "true");
        assert_int_equal(moves(f), 0);
        fixture_end(f);
        assert_false(f->lines->is_held(PI, PUMP)); /* nor has the start that failed left anything open */
}

/* A bus between here and its chip, say, that fails for a moment. */
static void one_that_cannot_be_read_just_now(void **state) {
        Fixture *f = *state;

        fixture_set(f, "door.line", "GPIO17");
        fixture_time(f, SECOND);
        start(f);
        expect_reply(f, "set", "true", "true");
        fixture_crash(f);
        (void)moves(f);
        f->lines->fail_get(PI, PUMP, -EIO);
        start(f);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "pump: line 27 of gpiochip0 [pinctrl-bcm2711]: Input/output error"), 1);
        expect_refusal(f, "pump", "set", "false", "not_ready");
        assert_true(high(f) && fixture_keeps(f, "gpiochip0-27"));
        f->lines->fail_get(PI, PUMP, 0);
        pass_to(f, 3 * SECOND);
        expect_reply(f, "get", NULL, "true");
        assert_int_equal(moves(f), 0);
}

/* The file wants what the chip does not do: the line cannot be had any more, so nobody drives what it was. */
static void one_that_cannot_be_had_any_more(void **state) {
        Fixture *f = *state;

        fixture_set(f, "door.line", "GPIO17");
        start(f);
        expect_reply(f, "set", "true", "true");
        fixture_stop(f);
        fixture_set(f, "pump.drive", "open-drain");
        f->lines->refuse(PI, PUMP, -ENOTSUP);
        start(f);
        assert_false(high(f));
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "pump: line 27 of gpiochip0 [pinctrl-bcm2711] cannot be configured"),
                         1);
        assert_false(fixture_keeps(f, "gpiochip0-27"));
        assert_false(f->lines->is_held(PI, PUMP));
        expect_refusal(f, "pump", "set", "true", "not_ready");
}

static void the_end_gives_on_exit(void **state) {
        static const struct {
                const char *on_exit, *active_low;
                bool expected;
        } cases[] = {{"off", "false", false}, {"on", "false", true}, {"off", "true", true}, {"as-is", "false", true}};
        Fixture *f = *state;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                fixture_set(f, "pump.on_exit", cases[i].on_exit);
                fixture_set(f, "pump.active_low", cases[i].active_low);
                start(f);
                expect_reply(f, "set", "true", "true");
                fixture_end(f);
                if (high(f) != cases[i].expected)
                        fail_msg("case %zu", i);
                assert_int_equal(f->n_kept, 0);
        }
}

static void another_process_gives_on_exit(void **state) {
        Fixture *f = *state;

        start(f);
        expect_reply(f, "set", "true", "true");
        fixture_crash(f);
        f->claimed = true; /* the next one is there already */
        assert_int_equal(fixture_exit_state(f), 0);
        assert_true(high(f));
        f->claimed = false;
        (void)f->lines->requests();
        assert_int_equal(fixture_exit_state(f), 0);
        assert_false(high(f));
        assert_int_equal(f->lines->requests(), 0); /* by what is kept */
}

static void on_exit_without_what_was_kept(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.on_exit", "on");
        fixture_set(f, "door.line", "GPIO17");
        assert_int_equal(fixture_exit_state(f), 0);
        assert_true(high(f));
        assert_true(f->lines->is_held(PI, PUMP));
        assert_false(f->lines->is_held(PI, 17)); /* inputs are nobody's business then */
}

/* ---- a line that lives its own life */

static void what_the_chip_says_is_told(void **state) {
        Fixture *f = *state;

        start(f);
        expect_reply(f, "set", "true", "true");
        f->lines->set_level(PI, PUMP, false); /* a short circuit */
        for (int i = 0; i < 3; i++)
                assert_int_equal(harness_sample(f->h), 0);
        expect_told(f, 0);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "pump is off though it is driven on"), 1);
}

static void what_does_not_hold_its_level_is_told_anew(void **state) {
        Fixture *f = *state;

        start(f);
        expect_reply(f, "set", "true", "true");
        for (unsigned i = 1; i <= 3; i++) {
                f->lines->set_level(PI, PUMP, false);
                assert_int_equal(harness_sample(f->h), 0);
                expect_told(f, 0);
                expect_reply(f, "get", NULL, "false");
                assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "pump is off though it is driven on"), i);
                f->lines->set_level(PI, PUMP, true);
                assert_int_equal(harness_sample(f->h), 0);
                expect_told(f, 1);
        }
        fixture_end(f);
        fixture_set(f, "pump.drive", "open-drain"); /* where others may pull it, that is what it is for */
        start(f);
        expect_reply(f, "set", "true", "true");
        f->lines->set_level(PI, PUMP, false);
        assert_int_equal(harness_sample(f->h), 0);
        expect_told(f, 0);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "though it is driven"), 0);
}

static void a_chip_that_comes_back_gets_what_is_wanted(void **state) {
        static const char *const names[] = {"RELAY", NULL};
        Fixture *f = *state;

        f->lines->add_chip(OTHER, "usb", names);
        fixture_time(f, SECOND);
        fixture_set(f, "relay.line", "RELAY");
        fixture_set(f, "relay.direction", "out");
        fixture_set(f, "relay.attribute", "wanted");
        start(f);
        fixture_attribute(f, "wanted", "true");
        f->lines->remove_chip(OTHER);
        assert_int_equal(harness_sample(f->h), 0); /* pump is well */
        assert_int_equal(harness_last(f->h, "relay")->type, EMIT_BAD);
        expect_refusal(f, "relay", "set", "true", "not_ready");
        f->lines->add_chip(OTHER, "usb", names);
        for (int64_t now = 2 * SECOND; !f->lines->is_held(OTHER, 0); now += SECOND) {
                assert_true(now < 30 * SECOND);
                fixture_time(f, now);
                fixture_turn(f);
        }
        assert_true(f->lines->level(OTHER, 0));
}

/* What it was set to in this process counts, not what it began with. */
static void last_is_of_this_process(void **state) {
        static const char *const names[] = {"RELAY", NULL};
        Fixture *f = *state;

        f->lines->add_chip(OTHER, "usb", names);
        fixture_set(f, "relay.line", "RELAY");
        fixture_set(f, "relay.direction", "out");
        fixture_set(f, "relay.initial", "last");
        for (int on = 1; on >= 0; on--) {
                fixture_time(f, SECOND);
                start(f);
                assert_non_null(fixture_rpc(f, "relay", "set", on ? "false" : "true"));
                fixture_stop(f);
                fixture_reboot(f);
                f->lines->add_chip(OTHER, "usb", names);
                start(f);
                assert_int_equal(f->lines->level(OTHER, 0), !on);
                assert_non_null(fixture_rpc(f, "relay", "set", on ? "true" : "false"));
                f->lines->remove_chip(OTHER);
                assert_int_equal(harness_sample(f->h), 0); /* pump is well */
                f->lines->add_chip(OTHER, "usb", names);
                pass_to(f, 5 * SECOND);
                assert_true(f->lines->is_held(OTHER, 0));
                assert_int_equal(f->lines->level(OTHER, 0), on);
                fixture_stop(f);
        }
}

/* It stays kept, so nothing moves, and what was begun goes on. */
static void a_bus_that_fails_for_a_moment(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.initial", "off");
        fixture_set(f, "door.line", "GPIO17");
        fixture_time(f, SECOND);
        start(f);
        expect_reply(f, "pulse", "\"30s\"", "true");
        (void)moves(f);
        f->lines->fail_get(PI, PUMP, -EIO);
        assert_int_equal(harness_sample(f->h), 0); /* door is well */
        assert_int_equal(harness_last(f->h, "pump")->type, EMIT_BAD);
        assert_true(high(f) && fixture_keeps(f, "gpiochip0-27"));
        pass_to(f, 2 * SECOND);
        f->lines->fail_get(PI, PUMP, 0);
        pass_to(f, 20 * SECOND);
        expect_reply(f, "get", NULL, "true");
        assert_int_equal(moves(f), 0);
        pass_to(f, 32 * SECOND);
        assert_false(high(f));
}

static void on_exit_is_tried_again(void **state) {
        Fixture *f = *state;

        start(f);
        expect_reply(f, "set", "true", "true");
        f->lines->fail_set(PI, PUMP, -EIO, 3);
        harness_clear(f->h);
        fixture_end(f);
        assert_true(high(f) && fixture_keeps(f, "gpiochip0-27")); /* so the daemon sends for somebody who does it */
        assert_int_equal(fixture_exit_state(f), 0);
        assert_false(high(f));
}

/* Off for want of a process, while its attribute says on all the time. */
static void an_attribute_counts_again_after_on_exit(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.attribute", "pump_wanted");
        start(f);
        fixture_attribute(f, "pump_wanted", "true");
        fixture_crash(f);
        assert_int_equal(fixture_exit_state(f), 0);
        assert_false(high(f));
        start(f);
        assert_false(high(f));
        fixture_attribute(f, "pump_wanted", "true");
        assert_true(high(f));
}

static void an_attribute_that_was_deleted(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.attribute", "pump_wanted");
        start(f);
        fixture_attribute(f, "pump_wanted", "true");
        fixture_attribute(f, "pump_wanted", NULL);
        expect_reply(f, "set", "false", "false");
        fixture_attribute(f, "pump_wanted", "true");
        assert_true(high(f));
}

/* tbagent --once, by hand, while the daemon has it or before it ever did. */
static void who_only_looks_moves_nothing(void **state) {
        Fixture *f = *state;

        fixture_set(f, "pump.initial", "on");
        fixture_set(f, "pump.on_exit", "off");
        f->once = true;
        start(f);
        assert_int_equal(harness_sample(f->h), -ENODEV);
        assert_int_equal(harness_logged(f->h, TBAGENT_WARNING, "pump is an output: --once leaves it alone"), 1);
        assert_null(harness_last(f->h, "pump"));
        fixture_end(f);

        fixture_set(f, "button.line", "GPIO17");
        start(f);
        assert_int_equal(harness_sample(f->h), 0);
        assert_int_equal(harness_count(f->h, "button"), 1);
        fixture_stop(f);
        assert_int_equal(moves(f), 0);

        f->once = false;
        start(f);
        assert_true(high(f));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(the_first_level_is_there_at_once),
                TEST(last_outlives_the_machine),
                TEST(last_is_no_pulse),
                TEST(last_of_pwm_is_its_duty),
                TEST(methods_move_it),
                TEST(who_only_looks_moves_nothing),
                TEST(last_is_of_this_process),
                TEST(a_bus_that_fails_for_a_moment),
                TEST(on_exit_is_tried_again),
                TEST(an_attribute_counts_again_after_on_exit),
                TEST(an_attribute_that_was_deleted),
                TEST(widgets_use_pins),
                TEST(status_is_that_of_the_lines),
                TEST(a_pulse_ends),
                TEST(a_pulse_is_overtaken),
                TEST(pwm),
                TEST(pwm_ends_with_its_process),
                TEST(an_attribute_says_what_it_is_to_be),
                TEST(without_a_server),
                TEST(a_server_that_is_back_in_time),
                TEST(nothing_moves_when_processes_come_and_go),
                TEST(kept_outputs_come_first),
                TEST(one_that_cannot_be_read_just_now),
                TEST(one_that_cannot_be_had_any_more),
                TEST(the_end_gives_on_exit),
                TEST(another_process_gives_on_exit),
                TEST(on_exit_without_what_was_kept),
                TEST(what_the_chip_says_is_told),
                TEST(what_does_not_hold_its_level_is_told_anew),
                TEST(a_chip_that_comes_back_gets_what_is_wanted),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
