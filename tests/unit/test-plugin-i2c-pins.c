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

#define IODIRA 0x00
#define IODIRB 0x01
#define GPPUA  0x0c
#define GPIOA  0x12
#define GPIOB  0x13
#define OLATA  0x14
#define OLATB  0x15

#define POWERED_ON "model bytes\n00: ff ff\n12: 00 00\n"

static void pin(Fixture *f, const char *name, const char *settings) {
        char *copy = strdup(settings), *save = NULL, path[96];

        for (char *s = strtok_r(copy, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
                char *equals = strchr(s, '=');

                assert_non_null(equals);
                *equals = 0;
                snprintf(path, sizeof(path), "pins.%s.%s", name, s);
                option_set(f, path, equals + 1);
        }
        free(copy);
}

static void expander(Fixture *f, const char *chip, const char *description) {
        option_set(f, "expanders.panel.chip", chip);
        sim_chip(f->sim, 0x20, description);
}

static void call(Fixture *f, const char *channel, const char *method, const char *params, const char *answer) {
        assert_int_equal(harness_rpc(f->harness, channel, method, params), 0);
        assert_non_null(harness_reply(f->harness));
        if (!strstr(harness_reply(f->harness), answer))
                fail_msg("%s.%s %s: \"%s\", not \"%s\"", channel, method, params, harness_reply(f->harness), answer);
}

/* Set up while it runs: outputs that it drives go on as they are, and so does what is nobody's. */
static void test_outputs_are_not_disturbed(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", "model bytes\n00: f0 7f\n0c: 00 01\n12: 05 80\n14: 05 80\n");
        pin(f, "pump", "pin=0 direction=out");
        pin(f, "fan", "pin=1 direction=out active_low=true");
        pin(f, "valve", "pin=15 direction=out");
        pin(f, "door", "pin=9 pull_up=true");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sim_transactions(f->sim, 0x20), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x05);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATB), 0x80);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xf0);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRB), 0x7f);
        assert_int_equal(sim_peek(f->sim, 0x20, GPPUA + 1), 0x03);
        assert_float_equal(value(f, "pump"), 1, 0);
        assert_float_equal(value(f, "fan"), 1, 0); /* low, and active so */
        assert_float_equal(value(f, "valve"), 1, 0);
        assert_float_equal(value(f, "door"), 0, 0);
        sim_change(f->sim, 0x20, "13: 82");
        sample(f, &r);
        assert_float_equal(value(f, "door"), 1, 0);
}

/* tbagent --once: it writes to no expander that has an output. */
static void test_once(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", "model bytes\n00: f0 7f\n0c: 00 01\n12: 05 80\n14: 05 80\n");
        option_set(f, "expanders.other.chip", "mcp23017");
        option_set(f, "expanders.other.address", "0x21");
        sim_chip(f->sim, 0x21, POWERED_ON);
        pin(f, "pump", "pin=0 direction=out initial=on expander=panel");
        pin(f, "door", "pin=9 expander=panel");
        harness_set_once(f->harness, true);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "panel has outputs: --once leaves it alone"), 1);
        harness_close(f->harness);

        pin(f, "window", "pin=0 expander=other");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal(harness_count(f->harness, "window"), 1);
        assert_int_equal(sim_transactions(f->sim, 0x20), 0);
}

/* Powered on a moment ago: all pins are inputs, and outputs begin as off, also those that are active low. */
static void test_begins_off(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "relay", "pin=0 direction=out active_low=true");
        pin(f, "lamp", "pin=1 direction=out");
        pin(f, "heat", "pin=2 direction=out initial=on");
        pin(f, "cool", "pin=3 direction=out initial=on active_low=true");
        pin(f, "none", "pin=4 direction=out initial=off active_low=true");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x15);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xe0);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRB), 0xff);
}

/* The latch is written before a pin becomes an output: at no time does one show a level that it should not have. */
static SimFault watch_levels(void *userdata, uint8_t address, bool reads) {
        Fixture *f = userdata;
        int driven, latch;

        (void)reads;
        if (address != 0x20)
                return SIM_OK;
        driven = ~sim_peek(f->sim, 0x20, IODIRA) & 0xff;
        latch = sim_peek(f->sim, 0x20, OLATA);
        assert_int_equal(latch & driven & 0x03, driven & 0x03); /* both are high whenever they are driven */
        return SIM_OK;
}

static void test_no_transient(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "relay", "pin=0 direction=out active_low=true");
        pin(f, "other", "pin=1 direction=out initial=on");
        sim_faults(f->sim, watch_levels, f);
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 3; i++)
                sample(f, &r);
        harness_close(f->harness);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        sim_remove(f->sim, 0x20);
        sim_chip(f->sim, 0x20, POWERED_ON);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x03);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xfc);
}

static void test_methods(void **state) {
        Fixture *f = *state;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "pump", "pin=8 direction=out");
        pin(f, "fan", "pin=0 direction=out active_low=true");
        pin(f, "door", "pin=1");
        assert_int_equal(harness_open(f->harness), 0);
        call(f, "pump", "set", " true ", "true"); /* before any sample */
        assert_int_equal(sim_peek(f->sim, 0x20, OLATB), 0x01);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01); /* the fan is off */
        assert_float_equal(value(f, "pump"), 1, 0);            /* sent at once */
        call(f, "fan", "set", "1", "true");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x00);
        call(f, "fan", "toggle", "{}", "false");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01);
        call(f, "fan", "toggle", "null", "true");
        call(f, "pump", "set", "false", "false");
        call(f, "pump", "set", "0", "false");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATB), 0x00);
        sim_change(f->sim, 0x20, "12: 02 01");
        call(f, "door", "get", "{}", "true");
        call(f, "pump", "get", "{}", "true"); /* the level of the pin, whatever the latch says */
        call(f, "pump", "set", "\"on\"", "bad_params: pump is set to true or false");
        call(f, "pump", "set", "true false", "bad_params");
        call(f, "pump", "set", "2", "bad_params");
        call(f, "door", "set", "true", "bad_params: door is an input");
        call(f, "panel", "get", "{}", "unknown_channel: panel is none of `pins`");
        assert_int_equal(harness_count(f->harness, "door"), 0);
}

/* A method is called by the name in the file, and the value sent by the key. */
static void test_key(void **state) {
        Fixture *f = *state;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "pump", "pin=0 direction=out key=pump_on");
        assert_int_equal(harness_open(f->harness), 0);
        call(f, "pump", "set", "true", "true");
        assert_float_equal(value(f, "pump_on"), 1, 0);
        call(f, "pump", "toggle", "{}", "false");
        call(f, "pump", "get", "{}", "false");
        call(f, "pump_on", "get", "{}", "unknown_channel");
}

static void test_method_fails(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "pump", "pin=0 direction=out");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        sim_fail(f->sim, 0x20, SIM_NACK, 100);
        call(f, "pump", "set", "true", "failed: pump no answer from 0x20 (NACK)");
        call(f, "pump", "get", "{}", "failed: pump no answer from 0x20");
        call(f, "pump", "toggle", "{}", "failed: pump no answer from 0x20");
        sim_fail(f->sim, 0x20, SIM_NACK, 0);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x00);
        sample(f, &r);
        assert_float_equal(value(f, "pump"), 0, 0); /* what was refused did not happen later */
        call(f, "pump", "toggle", "{}", "true");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01);
}

/* The expander loses its supply between two samples: seen, and given back what was set. */
static void test_comes_back(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "pump", "pin=0 direction=out initial=off");
        pin(f, "fan", "pin=1 direction=out active_low=true");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        call(f, "pump", "set", "true", "true");
        call(f, "fan", "set", "true", "true");
        sim_remove(f->sim, 0x20);
        sim_chip(f->sim, 0x20, POWERED_ON);
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xfc);

        sim_remove(f->sim, 0x20);
        sample(f, &r);
        assert_int_equal(r, -ENXIO);
        expect_bad(f, "pump", "no answer from 0x20");
        sim_chip(f->sim, 0x20, POWERED_ON);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xfc);
}

/* And before the next sample comes: an output that is set then is driven, and so are the others. */
static void test_set_after_power_loss(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "pump", "pin=0 direction=out");
        pin(f, "fan", "pin=1 direction=out");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        call(f, "pump", "set", "true", "true");
        sim_remove(f->sim, 0x20);
        sim_chip(f->sim, 0x20, POWERED_ON);
        call(f, "fan", "set", "true", "true");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x03);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xfc);
        sim_remove(f->sim, 0x20);
        sim_chip(f->sim, 0x20, POWERED_ON);
        call(f, "fan", "toggle", "{}", "false");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01);
        assert_int_equal(sim_peek(f->sim, 0x20, IODIRA), 0xfc);
}

static void test_port(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "pcf8574", "model port\n");
        sim_pull_low(f->sim, 0x20, 0x40); /* the button is pressed */
        pin(f, "relay", "pin=0 direction=out active_low=true");
        pin(f, "lamp", "pin=1 direction=out initial=off");
        pin(f, "button", "pin=6 active_low=true");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, 0);
        assert_int_equal(sim_peek(f->sim, 0x20, 0), 0xfd);
        assert_float_equal(value(f, "relay"), 0, 0);
        assert_float_equal(value(f, "lamp"), 0, 0);
        assert_float_equal(value(f, "button"), 1, 0);
        call(f, "relay", "set", "true", "true");
        assert_int_equal(sim_peek(f->sim, 0x20, 0), 0xfc);
        sim_pull_low(f->sim, 0x20, 0);
        sample(f, &r);
        assert_float_equal(value(f, "button"), 0, 0);
        assert_float_equal(value(f, "relay"), 1, 0);
        harness_close(f->harness);

        /* Another process, after the first: the relay stays on, the pressed button does not become an output. */
        sim_pull_low(f->sim, 0x20, 0x40);
        option_set(f, "pins.lamp.initial", "as-is");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, 0) & 0x43, 0x40);
        assert_float_equal(value(f, "relay"), 1, 0);

        sim_remove(f->sim, 0x20); /* without power for a moment: all pins are high */
        sim_chip(f->sim, 0x20, "model port\n");
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, 0) & 0x43, 0x40);
        assert_float_equal(value(f, "relay"), 1, 0);
}

/* An output that is on and has a load reads as low. Another process does not take it for one that is off. */
static void test_port_loaded(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "pcf8574", "model port\n");
        option_set(f, "expanders.other.chip", "pcf8574");
        option_set(f, "expanders.other.address", "0x21");
        sim_chip(f->sim, 0x21, "model port\n");
        pin(f, "lamp", "expander=panel pin=0 direction=out");
        pin(f, "valve", "expander=panel pin=1 direction=out");
        pin(f, "fan", "expander=other pin=1 direction=out");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        call(f, "valve", "set", "false", "false");
        call(f, "fan", "set", "false", "false");
        sim_pull_low(f->sim, 0x20, 0x01);
        harness_close(f->harness);

        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, 0), 0xfd);
        assert_int_equal(sim_peek(f->sim, 0x21, 0), 0xfd);
        assert_float_equal(value(f, "lamp"), 0, 0); /* the level of the pin, whatever was set */
        harness_close(f->harness);

        /* Without power in between: the valve is high, and so is the latch of all, whatever has a load. */
        sim_remove(f->sim, 0x20);
        sim_chip(f->sim, 0x20, "model port\n");
        sim_pull_low(f->sim, 0x20, 0x01);
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, 0), 0xff);
        assert_int_equal(sim_peek(f->sim, 0x21, 0), 0xfd);
}

/* A pin that nobody configured is not driven, whatever holds it low when we come. */
static void test_port_of_others(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "pcf8574", "model port\n");
        sim_pull_low(f->sim, 0x20, 0x88);
        pin(f, "lamp", "pin=1 direction=out");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, 0), 0xff);
        call(f, "lamp", "set", "false", "false");
        assert_int_equal(sim_peek(f->sim, 0x20, 0), 0xfd);
}

/* What another instance sets stays, and pull-ups and polarity come back after a brown-out that took nothing else. */
static void test_shared(void **state) {
        Fixture *f = *state;
        int r;

        expander(f, "mcp23017", POWERED_ON);
        pin(f, "pump", "pin=0 direction=out");
        pin(f, "door", "pin=1 pull_up=true");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        sim_change(f->sim, 0x20, "14: 80 01");
        call(f, "pump", "set", "true", "true");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x81);
        assert_int_equal(sim_peek(f->sim, 0x20, OLATB), 0x01);
        assert_int_equal(sim_lock(f->sim, 0x20), SIM_EXCLUSIVE);
        sim_change(f->sim, 0x20, "0c: 00 00");
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, GPPUA), 0x02);
        sim_change(f->sim, 0x20, "02: 02 00");
        sample(f, &r);
        assert_int_equal(sim_peek(f->sim, 0x20, 0x02), 0x00);
}

static void test_two_expanders(void **state) {
        Fixture *f = *state;
        int r;

        option_set(f, "expanders.left.chip", "mcp23017");
        option_set(f, "expanders.right.chip", "pcf8574");
        option_set(f, "expanders.right.address", "0x3f");
        sim_chip(f->sim, 0x20, POWERED_ON);
        sim_chip(f->sim, 0x3f, "model port\n");
        pin(f, "a", "expander=left pin=0 direction=out");
        pin(f, "b", "expander=right pin=0 direction=out initial=off");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        call(f, "a", "set", "true", "true");
        assert_int_equal(sim_peek(f->sim, 0x20, OLATA), 0x01);
        assert_int_equal(sim_peek(f->sim, 0x3f, 0), 0xfe);
        sim_remove(f->sim, 0x20);
        sample(f, &r);
        assert_int_equal(r, 0);
        expect_bad(f, "a", "no answer from 0x20");
        assert_float_equal(value(f, "b"), 0, 0);
}

static void test_bad_configuration(void **state) {
        static const struct {
                const char *chip, *settings, *why;
        } cases[] = {
                {"pcf8574", "pin=8", "pin is 0 to 7 with a pcf8574"},
                {"pcf8574", "pin=1 pull_up=true", "pull_up: there is none to switch on in a pcf8574"},
                {"mcp23017", "pin=1 initial=on", "initial is for outputs"},
                {"mcp23017", "pin=0", "another one of pins has this pin of panel"},
                {"mcp23017", "pin=1 expander=desk", "there is none of expanders called desk"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Fixture *f = fixture_new();
                int r;

                expander(f, cases[i].chip, *cases[i].chip == 'p' ? "model port\n" : POWERED_ON);
                pin(f, "good", "pin=0");
                pin(f, "odd", cases[i].settings);
                assert_int_equal(harness_open(f->harness), 0);
                sample(f, &r);
                assert_int_equal(r, 0);
                assert_int_equal(harness_count(f->harness, "good"), 1);
                expect_bad(f, "odd", cases[i].why);
                call(f, "odd", "get", "{}", "failed: odd ");
                if (harness_logged(f->harness, TBAGENT_ERROR, cases[i].why) != 1)
                        fail_msg("not told once: %s", cases[i].why);
                fixture_free(f);
        }
}

static void test_no_expander(void **state) {
        Fixture *f = *state;
        int r;

        pin(f, "a", "pin=0");
        pin(f, "b", "pin=1 direction=out");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        assert_int_equal(r, -EINVAL);
        expect_bad(f, "a", "expander is missing: one of them by its name");
        expect_bad(f, "b", "expander is missing");
        call(f, "b", "set", "true", "failed: b expander is missing");
        harness_close(f->harness);
        option_set(f, "expanders.left.chip", "mcp23017");
        option_set(f, "expanders.right.chip", "pcf8574");
        assert_int_equal(harness_open(f->harness), 0);
        sample(f, &r);
        expect_bad(f, "a", "expander is missing");
}

/* Expanders without pins, and an instance of nothing: no fault, and no value. */
static void test_nothing_to_do(void **state) {
        Fixture *f = *state;

        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -EAGAIN);
        harness_close(f->harness);
        expander(f, "mcp23017", POWERED_ON);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -EAGAIN);
        assert_int_equal(sim_transactions(f->sim, 0x20), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_outputs_are_not_disturbed),
                TEST(test_begins_off),
                TEST(test_once),
                TEST(test_no_transient),
                TEST(test_methods),
                TEST(test_key),
                TEST(test_method_fails),
                TEST(test_comes_back),
                TEST(test_set_after_power_loss),
                TEST(test_port),
                TEST(test_port_loaded),
                TEST(test_port_of_others),
                TEST(test_shared),
                TEST(test_two_expanders),
                TEST(test_bad_configuration),
                TEST(test_no_expander),
                TEST(test_nothing_to_do),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
