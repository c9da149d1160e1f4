/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/methods.h"

static Methods *methods;

static void add(const char *instance, const char *channel, const char *name) {
        assert_int_equal(methods_add(methods, instance, channel, name, "true or false", "switches it", TBAGENT_METHOD_CHANNEL),
                         0);
}

static int setup(void **state _unused_) {
        assert_int_equal(methods_new(&methods), 0);
        add("io", "pump", "set");
        add("io", "pump", "get");
        add("io", "fan", "set");
        add("io", "", "getGpioStatus");
        add("heater", "valve", "set_level");
        return 0;
}

static int teardown(void **state _unused_) {
        methods = methods_free(methods);
        return 0;
}

static void expect(const Setting *aliases, const char *name, const char *full) {
        _cleanup_(freep) char *text = NULL;
        const Method *m = NULL;

        if (methods_find(methods, methods_alias(aliases, name), &m, &text) != 0)
                fail_msg("%s: %s", name, text);
        assert_string_equal(m->full, full);
}

static void expect_not(const Setting *aliases, const char *name, int error, const char *expected) {
        _cleanup_(freep) char *text = NULL;
        const Method *m = (const Method *)-1;
        int r = methods_find(methods, methods_alias(aliases, name), &m, &text);

        if (r != error)
                fail_msg("%s: %d", name, r);
        assert_string_equal(text, expected);
        assert_ptr_equal(m, (const Method *)-1);
}

static void methods_are_found_by_full_and_short_names(void **state _unused_) {
        expect(NULL, "io.pump.set", "io.pump.set");
        expect(NULL, "pump.set", "io.pump.set");
        expect(NULL, "get", "io.pump.get");
        expect(NULL, "getGpioStatus", "io.getGpioStatus");
        expect(NULL, "io.getGpioStatus", "io.getGpioStatus");
        expect(NULL, "set_level", "heater.valve.set_level");
        expect(NULL, "fan.set", "io.fan.set");
}

static void parts_of_names_are_no_names(void **state _unused_) {
        static const char *const names[] = { "", ".", "io", "io.pump", "ump.set", "et", ".set", "io..set", "pump.set.", "io.set",
                                             "x.io.pump.set", "SET" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_(freep) char *text = NULL;
                const Method *m;

                if (methods_find(methods, names[i], &m, &text) != -ENOENT)
                        fail_msg("%s is found", names[i]);
                assert_non_null(strstr(text, "agent.methods lists them"));
        }
}

static void the_nearest_name_is_told(void **state _unused_) {
        expect_not(NULL, "pump.sett", -ENOENT,
                   "there is no method \"pump.sett\"; did you mean \"pump.set\"? agent.methods lists them");
        expect_not(NULL, "io.pump.gte", -ENOENT,
                   "there is no method \"io.pump.gte\"; did you mean \"io.pump.get\"? agent.methods lists them");
        expect_not(NULL, "getGpioStatu", -ENOENT,
                   "there is no method \"getGpioStatu\"; did you mean \"getGpioStatus\"? agent.methods lists them");
        expect_not(NULL, "reboot", -ENOENT, "there is no method \"reboot\"; agent.methods lists them");
}

static void nobody_guesses(void **state _unused_) {
        expect_not(NULL, "set", -ENOTUNIQ,
                   "\"set\" may mean io.pump.set, io.fan.set: use one of these names, or decide in rpc.aliases");
        for (char c = 'a'; c < 'a' + 7; c++)
                add("more", (const char[]){ c, '\0' }, "set");
        expect_not(NULL, "set", -ENOTUNIQ,
                   "\"set\" may mean io.pump.set, io.fan.set, more.a.set, more.b.set, more.c.set, more.d.set and 3 more: "
                                           "use one of these names, or decide in rpc.aliases");
}

/* An instance whose channel and method are called like another's in full. */
static void a_full_name_means_itself(void **state _unused_) {
        add("pump", "", "set");
        expect(NULL, "pump.set", "pump.set");
        expect(NULL, "io.pump.set", "io.pump.set");
        expect_not(NULL, "set", -ENOTUNIQ,
                   "\"set\" may mean io.pump.set, io.fan.set, pump.set: use one of these names, or decide in rpc.aliases");
}

static Setting *aliases_of(const char *const *pairs) {
        Setting *group;

        assert_int_equal(setting_new(&group, SETTING_GROUP, NULL, NULL, 0), 0);
        for (; pairs[0]; pairs += 2) {
                Setting *s;

                assert_int_equal(setting_new(&s, SETTING_STRING, pairs[0], NULL, 0), 0);
                assert_int_equal(setting_set_string(s, pairs[1]), 0);
                assert_int_equal(setting_add(group, s), 0);
        }
        return group;
}

static void aliases_decide(void **state _unused_) {
        static const char *const pairs[] = { "set", "fan.set", "setValue", "io.pump.set", "get", "set", "loop", "loop", "gone",
                                             "io.gone.set", NULL };
        _cleanup_(setting_freep) Setting *aliases = aliases_of(pairs);
        Setting *number;

        assert_int_equal(setting_new(&number, SETTING_INT, "getGpioStatus", NULL, 0), 0);
        assert_int_equal(setting_add(aliases, number), 0);
        expect(aliases, "set", "io.fan.set");
        expect(aliases, "setValue", "io.pump.set");
        expect(aliases, "pump.set", "io.pump.set");
        expect(aliases, "getGpioStatus", "io.getGpioStatus"); /* what is no text is none */
        expect_not(aliases, "get", -ENOTUNIQ, /* one step alone */
                   "\"set\" may mean io.pump.set, io.fan.set: use one of these names, or decide in rpc.aliases");
        expect_not(aliases, "loop", -ENOENT, "there is no method \"loop\"; agent.methods lists them");
        expect_not(aliases, "gone", -ENOENT,
                   "there is no method \"io.gone.set\"; did you mean \"io.fan.set\"? agent.methods lists them");
}

static void what_is_told_of_a_method_is_kept(void **state _unused_) {
        const Method *m = methods_at(methods, 3);

        assert_int_equal(methods_n(methods), 5);
        assert_string_equal(m->instance, "io");
        assert_string_equal(m->channel, "");
        assert_string_equal(m->name, "getGpioStatus");
        assert_string_equal(m->params, "true or false");
        assert_string_equal(m->help, "switches it");
        assert_int_equal(m->flags, TBAGENT_METHOD_CHANNEL);
}

static void those_of_an_instance_go_with_it(void **state _unused_) {
        methods_clear(methods, "nobody");
        assert_int_equal(methods_n(methods), 5);
        methods_clear(methods, "io");
        assert_int_equal(methods_n(methods), 1);
        expect(NULL, "set_level", "heater.valve.set_level");
        expect_not(NULL, "get", -ENOENT, "there is no method \"get\"; agent.methods lists them");
        add("io", "pump", "set");
        expect(NULL, "set", "io.pump.set");
}

static void the_table_is_bounded(void **state _unused_) {
        char name[16];
        int r = 0;

        for (unsigned i = 0; r == 0; i++) {
                snprintf(name, sizeof(name), "m%u", i);
                r = methods_add(methods, "flood", "", name, "", "", 0);
        }
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(methods_n(methods), 4096);
        expect(NULL, "m4090", "flood.m4090");
        methods_clear(methods, "flood");
        add("flood", "", "m0");
        expect(NULL, "m0", "flood.m0");
}

/* What the process of a plugin sends. */
static void texts_are_bounded(void **state _unused_) {
        char text[2000];

        for (size_t size = 1; size < sizeof(text); size++) {
                memset(text, 'x', size);
                text[size] = '\0';
                assert_int_equal(methods_add(methods, text, "", "", "", "", 0), size <= 256 ? 0 : -E2BIG);
                assert_int_equal(methods_add(methods, "", text, "y", "", "", 0), size <= 255 ? 0 : -E2BIG);
                assert_int_equal(methods_add(methods, "", "", text, "", "", 0), size <= 256 ? 0 : -E2BIG);
                assert_int_equal(methods_add(methods, "", "", "y", text, "", 0), size <= 1024 ? 0 : -E2BIG);
                assert_int_equal(methods_add(methods, "", "", "y", "", text, 0), size <= 1024 ? 0 : -E2BIG);
        }
        expect_not(NULL, "nothing like it", -ENOENT, "there is no method \"nothing like it\"; agent.methods lists them");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(methods_are_found_by_full_and_short_names),
                TEST(parts_of_names_are_no_names),
                TEST(the_nearest_name_is_told),
                TEST(nobody_guesses),
                TEST(a_full_name_means_itself),
                TEST(aliases_decide),
                TEST(what_is_told_of_a_method_is_kept),
                TEST(those_of_an_instance_go_with_it),
                TEST(the_table_is_bounded),
                TEST(texts_are_bounded),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
