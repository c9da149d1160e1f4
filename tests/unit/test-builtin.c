/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent-world.h"
#include "agent/builtin.h"
#include "base/log.h"
#include "tb/tree.h"

static AgentWorld world;
static Methods *methods;
static unsigned reloads;
static const char *status;
static const char *code, *text;

static Instances *on_instances(void *userdata _unused_) {
        return world.instances;
}

static char *on_status(void *userdata _unused_) {
        return status ? strdup(status) : NULL;
}

static void on_reload(void *userdata _unused_) {
        reloads++;
}

static int setup(void **state _unused_) {
        agent_world_new(&world,
                        "plugins = { boiler = { plugin = \"none\"; }; off = { plugin = \"none\"; enabled = false; }; };\n");
        status = "{\"version\":\"1\"}";
        return methods_new(&methods);
}

static int teardown(void **state _unused_) {
        methods = methods_free(methods);
        agent_world_done(&world);
        return 0;
}

static char *call(const char *name, const char *params) {
        BuiltinParams p = { methods, on_instances, on_status, on_reload, NULL };

        code = text = NULL;
        return builtin_call(&p, name, params, &code, &text);
}

static void expect(const char *name, const char *params, const char *json) {
        _cleanup_(freep) char *answer = call(name, params);

        assert_non_null(answer);
        assert_string_equal(answer, json);
        assert_null(code);
}

static void expect_error(const char *name, const char *params, const char *expected) {
        if (call(name, params))
                fail_msg("%s(%s) is answered", name, params);
        assert_true(expected ? code && text && streq(code, expected) : !code);
}

static void the_small_ones_answer(void **state _unused_) {
        expect("ping", "null", "\"pong\"");
        expect("status", "{}", "{\"version\":\"1\"}");
        expect("reload", "null", "true");
        assert_int_equal(reloads, 1);
        status = NULL;
        assert_null(call("status", "null"));
}

static void others_are_not_there(void **state _unused_) {
        static const char *const names[] = { "", "pin", "pingg", "Ping", "agent.ping", "reboot", "exec" };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                expect_error(names[i], "null", NULL);
        expect_error("ping", "nonsense", "bad_params");
}

/* None of these has a process. */
static void a_sample_wants_a_process(void **state _unused_) {
        expect_error("sample", "null", "not_ready");
        assert_string_equal(text, "no instance runs");
        expect_error("sample", "\"boiler\"", "not_ready");
        assert_string_equal(text, "no instance of that name runs");
        expect_error("sample", "\"nobody\"", "not_ready");
}

static void the_log_level_can_be_set(void **state _unused_) {
        static const char *const bad[] = { "null", "\"\"", "\"loud\"", "7", "{\"level\":\"debug\"}" };
        int before = log_level();

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                expect_error("log_level", bad[i], "bad_params");
        assert_int_equal(log_level(), before);
        expect("log_level", "\"error\"", "true");
        assert_int_equal(log_level(), LOG_ERR);
}

static void methods_are_listed(void **state _unused_) {
        _cleanup_(tree_putp) json_object *list = NULL;
        _cleanup_(freep) char *answer = NULL;
        json_object *last;

        assert_int_equal(methods_add(methods, "io", "pump\xff", "set", "true \"or\" false\n", "", 0), 0);
        answer = call("methods", "null");
        assert_int_equal(tree_parse(answer, strlen(answer), &list), 0);
        assert_int_equal(json_object_array_length(list), 7);
        for (size_t i = 0; i < 6; i++) {
                const char *name = json_object_get_string(tree_member(json_object_array_get_idx(list, i), "method"));

                assert_int_equal(strncmp(name, "agent.", 6), 0);
                if (!streq(name, "agent.sample") && !streq(name, "agent.log_level")) { /* each that is listed is there */
                        _cleanup_(freep) char *again = call(name + 6, "null");

                        assert_non_null(again);
                }
        }
        last = json_object_array_get_idx(list, 6);
        assert_string_equal(json_object_to_json_string_ext(last, JSON_C_TO_STRING_PLAIN),
                            "{\"method\":\"io.pump\xef\xbf\xbd.set\",\"params\":\"true \\\"or\\\" false\\n\",\"help\":\"\"}");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(the_small_ones_answer),
                TEST(others_are_not_there),
                TEST(a_sample_wants_a_process),
                TEST(the_log_level_can_be_set),
                TEST(methods_are_listed),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
