/* SPDX-License-Identifier: Apache-2.0 */
/* What node_json() says is what a shared attribute would set: put in again, it is the same value. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/json.h"
#include "model/option-json.h"
#include "model/option.h"
#include "tb/tree.h"

#define R TBAGENT_RUNTIME

static const struct tbagent_option channel_table[] = {
        { .name = "deadband", .type = TBAGENT_DELTA },
        { .name = "decimals", .type = TBAGENT_INT, .max = 15 },
        { 0 },
};
static const struct tbagent_option sensor_table[] = { { .name = "id", .type = TBAGENT_STRING }, { 0 } };
static const struct tbagent_option pwm_table[] = {
        { .name = "frequency", .type = TBAGENT_FLOAT, .flags = R, .fallback = "50" },
        { 0 },
};
static const struct tbagent_option table[] = {
        { .name = "on", .type = TBAGENT_BOOL, .flags = R },
        { .name = "on_default", .type = TBAGENT_BOOL, .flags = R, .fallback = "true" },
        { .name = "int", .type = TBAGENT_INT, .flags = R },
        { .name = "int_default", .type = TBAGENT_INT, .flags = R, .fallback = "-12" },
        { .name = "float", .type = TBAGENT_FLOAT, .flags = R },
        { .name = "float_default", .type = TBAGENT_FLOAT, .flags = R, .fallback = "0.1" },
        { .name = "text", .type = TBAGENT_STRING, .flags = R },
        { .name = "text_default", .type = TBAGENT_STRING, .flags = R, .fallback = "both", .choices = "in|out|both" },
        { .name = "secret", .type = TBAGENT_STRING, .flags = R | TBAGENT_SECRET },
        { .name = "every", .type = TBAGENT_DURATION, .flags = R },
        { .name = "every_default", .type = TBAGENT_DURATION, .flags = R, .fallback = "90s" },
        { .name = "size", .type = TBAGENT_SIZE, .flags = R },
        { .name = "size_default", .type = TBAGENT_SIZE, .flags = R, .fallback = "16k" },
        { .name = "texts", .type = TBAGENT_STRINGS, .flags = R },
        { .name = "texts_default", .type = TBAGENT_STRINGS, .flags = R, .fallback = "one" },
        { .name = "numbers", .type = TBAGENT_NUMBERS, .flags = R },
        { .name = "numbers_default", .type = TBAGENT_NUMBERS, .flags = R, .fallback = "(0, 2.5)", .min = 2, .max = 2 },
        { .name = "pairs", .type = TBAGENT_PAIRS, .flags = R },
        { .name = "delta", .type = TBAGENT_DELTA, .flags = R },
        { .name = "delta_default", .type = TBAGENT_DELTA, .flags = R, .fallback = "5%" },
        { .name = "pwm", .type = TBAGENT_GROUP, .members = pwm_table },
        { .name = "sensors", .type = TBAGENT_MAP, .flags = TBAGENT_KEYS, .members = sensor_table },
        { 0 },
};
static const struct tbagent_option *const tables[4] = { table };

static char told[512];

static void on_problem(void *userdata _unused_, bool fatal _unused_, const char *file _unused_, unsigned line _unused_,
                       const char *text) {
        snprintf(told, sizeof(told), "%s", text);
}

static Setting *setting(const char *json) {
        _cleanup_(tree_putp) json_object *o = NULL;
        Setting *s = NULL;

        if (tree_parse(json, strlen(json), &o) < 0 || tree_setting(o, &s) < 0)
                fail_msg("no setting: %s", json);
        return s;
}

/* From a file that says this. */
static Node *node(const char *json) {
        _cleanup_(setting_freep) Setting *s = setting(json);
        Node *n;

        told[0] = '\0';
        option_set_channel_options(channel_table);
        if (node_new(&n, s, "x", tables, on_problem, NULL) != 0)
                fail_msg("%s: %s", json, told);
        return n;
}

static int live(Node *n, const char *path, const char *json) {
        _cleanup_(setting_freep) Setting *s = json ? setting(json) : NULL;

        told[0] = '\0';
        return node_set(n, path, s, on_problem, NULL);
}

static void expect(Node *n, const char *path, const char *now, const char *file) {
        _cleanup_(freep) char *in_effect = node_json(n, path, true), *in_file = node_json(n, path, false);

        assert_non_null(in_effect);
        assert_non_null(in_file);
        if (!streq(in_effect, now) || !streq(in_file, file))
                fail_msg("%s is %s (file %s), not %s (%s)", path, in_effect, in_file, now, file);
        assert_int_equal(json_validate(in_effect, strlen(in_effect)), 0);
        assert_int_equal(json_validate(in_file, strlen(in_file)), 0);
}

static void what_is_unset_is_empty_text(void **state _unused_) {
        static const char *const names[] = { "on", "int", "float", "text", "every", "size", "texts", "numbers", "pairs",
                                             "delta" };
        _cleanup_(node_freep) Node *n = node("{}");

        for (size_t i = 0; i < ELEMENTS(names); i++)
                expect(n, names[i], "\"\"", "\"\"");
}

static void defaults_are_told(void **state _unused_) {
        _cleanup_(node_freep) Node *n = node("{\"sensors\":{\"room\":{}}}");

        expect(n, "on_default", "true", "true");
        expect(n, "int_default", "-12", "-12");
        expect(n, "float_default", "0.1", "0.1");
        expect(n, "text_default", "\"both\"", "\"both\"");
        expect(n, "every_default", "\"90s\"", "\"90s\"");
        expect(n, "size_default", "\"16k\"", "\"16k\"");
        expect(n, "texts_default", "[\"one\"]", "[\"one\"]");
        expect(n, "numbers_default", "[0.0,2.5]", "[0.0,2.5]");
        expect(n, "delta_default", "\"5%\"", "\"5%\"");
        expect(n, "pwm.frequency", "50.0", "50.0");
        expect(n, "sensors.room.decimals", "\"\"", "\"\"");
        expect(n, "room.decimals", "\"\"", "\"\"");
}

static void a_live_value_lies_over_the_files(void **state _unused_) {
        _cleanup_(node_freep) Node *n = node("{\"int\":5,\"every\":\"10s\",\"texts\":[\"a\",\"b\"],"
                                             "\"sensors\":{\"room\":{\"deadband\":0.5}}}");

        expect(n, "int", "5", "5");
        assert_int_equal(live(n, "int", "7"), 0);
        expect(n, "int", "7", "5");
        assert_int_equal(live(n, "every", "\"250ms\""), 0);
        expect(n, "every", "\"250ms\"", "\"10s\"");
        assert_int_equal(live(n, "texts", "\"c\""), 0);
        expect(n, "texts", "[\"c\"]", "[\"a\",\"b\"]");
        assert_int_equal(live(n, "room.deadband", "\"2.5%\""), 0);
        expect(n, "sensors.room.deadband", "\"2.5%\"", "0.5");
        assert_int_equal(live(n, "int", "\"x\""), -EINVAL);
        expect(n, "int", "7", "5");
        assert_int_equal(live(n, "int", NULL), 0);
        expect(n, "int", "5", "5");
        assert_int_equal(live(n, "on", "false"), 0);
        expect(n, "on", "false", "\"\"");
}

static void other_paths_have_no_value(void **state _unused_) {
        static const char *const paths[] = { "", "no", "pwm", "sensors", "sensors.room", "sensors.hall.id", "pwm.", "pwm.no",
                                             ".int", "int.x", "secret" };
        _cleanup_(node_freep) Node *n = node("{\"secret\":\"hidden\",\"sensors\":{\"room\":{}}}");

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (node_json(n, paths[i], true) || node_json(n, paths[i], false))
                        fail_msg("\"%s\" has a value", paths[i]);
}

/* Values put in live come out as they went in, or in a form that is the same value; and that one goes in again. */
static void what_comes_out_goes_in(void **state _unused_) {
        static const struct {
                const char *path, *in, *out; /* out NULL: as in */
        } cases[] = {
                { "on", "true", NULL }, { "on", "false", NULL },
                { "int", "0", NULL }, { "int", "-2147483649", NULL }, { "int", "9223372036854775807", NULL },
                { "int", "-9223372036854775808", NULL }, { "int", "\"5000000000\"", "5000000000" },
                { "float", "0.1", NULL }, { "float", "3", "3.0" }, { "float", "1e300", "1.0000000000000001e+300" },
                { "float", "-0.0", "-0.0" },
                { "float", "5e-324", "4.9406564584124654e-324" }, { "float", "0.30000000000000004", "0.30000000000000004" },
                { "float", "9223372036854775807", "9.2233720368547758e+18" }, { "float", "1e-7", "0.0000001" },
                { "text", "\"\"", NULL }, { "text", "\"a \\\"b\\\" \\n\\t\\u0001 \xc3\xa9\"", NULL },
                { "text", "\"\\u007f\"", "\"\x7f\"" },
                { "every", "\"250ms\"", NULL }, { "every", "\"1.5s\"", "\"1500ms\"" }, { "every", "\"0s\"", NULL },
                { "every", "\"9223372036854775807us\"", NULL }, { "every", "\"7us\"", NULL }, { "every", "\"48h\"", "\"2d\"" },
                { "size", "\"0B\"", NULL }, { "size", "\"1023B\"", NULL }, { "size", "\"1048576k\"", "\"1G\"" },
                { "size", "\"9223372036854775807B\"", NULL },
                { "texts", "\"a\"", "[\"a\"]" }, { "texts", "[\"a\",\"\",\"\\\"\"]", NULL },
                { "numbers", "[0,100]", "[0.0,100.0]" }, { "numbers", "[-1.5,1e-9,2e18]",
                                                           "[-1.5,0.000000001,2000000000000000000.0]" },
                { "pairs", "[[0,0.5],[100,99.2]]", "[[0.0,0.5],[100.0,99.2]]" }, { "pairs", "[[1,2]]", "[[1.0,2.0]]" },
                { "delta", "0.5", NULL }, { "delta", "\"5%\"", NULL }, { "delta", "\"12.3456789%\"", NULL },
                { "delta", "\"0.1%\"", NULL }, { "delta", "\"0.30000000000000004%\"", NULL },
                { "delta", "\"1e-7%\"", "\"1e-07%\"" }, { "delta", "0", "0.0" },
        };
        _cleanup_(node_freep) Node *n = node("{}");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *out = cases[i].out ? cases[i].out : cases[i].in;

                if (live(n, cases[i].path, cases[i].in) < 0)
                        fail_msg("%s = %s: %s", cases[i].path, cases[i].in, told);
                expect(n, cases[i].path, out, "\"\"");
                if (live(n, cases[i].path, out) < 0)
                        fail_msg("%s = %s again: %s", cases[i].path, out, told);
                expect(n, cases[i].path, out, "\"\"");
        }
}

/* An empty list is neither unset nor one empty text; it goes in again where a list may be empty. */
static void empty_lists_go_in(void **state _unused_) {
        static const char *const paths[] = { "texts", "numbers", "pairs" };
        _cleanup_(node_freep) Node *n = node("{}");

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                assert_int_equal(live(n, paths[i], "[]"), 0);
                expect(n, paths[i], "[]", "\"\"");
        }
}

static double random_double(void) {
        static uint64_t seed = 7;
        double d;

        do {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                uint64_t bits = seed ^ seed >> 29;

                memcpy(&d, &bits, sizeof(d));
        } while (!isfinite(d));
        return d;
}

static void every_double_comes_back(void **state _unused_) {
        _cleanup_(node_freep) Node *n = node("{}");

        for (int i = 0; i < 20000; i++) {
                _cleanup_(setting_freep) Setting *s = NULL;
                _cleanup_(freep) char *json = NULL;
                double d = random_double();

                assert_int_equal(setting_new(&s, SETTING_FLOAT, NULL, NULL, 0), 0);
                s->d = i % 2 ? d : fmod(d, 1000) / 7; /* everyday ones, too */
                assert_int_equal(node_set(n, "float", s, on_problem, NULL), 0);
                json = node_json(n, "float", true);
                assert_int_equal(live(n, "float", json), 0);
                if (node_float(n, "float") != s->d)
                        fail_msg("%.17g became %s", s->d, json);
        }
}

static void settings_become_json(void **state _unused_) {
        static const char *const texts[] = {
                "true", "-5", "9223372036854775807", "1.5", "-0.0", "\"x\\\"\"", "[]", "{}", "[1,[2,\"a\"],{\"b\":false}]",
                "{\"a\":{\"b\":[1.0]},\"c d\":\"\"}",
        };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(setting_freep) Setting *s = setting(texts[i]);
                _cleanup_(freep) char *json = setting_json(s);

                assert_string_equal(json, texts[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_unset_is_empty_text),
                cmocka_unit_test(defaults_are_told),
                cmocka_unit_test(a_live_value_lies_over_the_files),
                cmocka_unit_test(other_paths_have_no_value),
                cmocka_unit_test(what_comes_out_goes_in),
                cmocka_unit_test(empty_lists_go_in),
                cmocka_unit_test(every_double_comes_back),
                cmocka_unit_test(settings_become_json),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
