/* SPDX-License-Identifier: Apache-2.0 */
/* Live settings with a host that is played here: it has one option, `every`, that takes texts, and answers when it is told
 * to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/overrides.h"
#include "tb/tree.h"

#define ASKED_MAX 64

typedef struct Asked {
        char instance[32], path[64], value[64]; /* value "": back to the file's */
} Asked;

typedef struct Test {
        Loop *loop;
        Overrides *o;
        json_object *published;
        int boiler, heater; /* configured() of them; others: -ENOENT */
        int refuse;         /* apply() fails with this */
        Asked asked[ASKED_MAX];
        unsigned n, answered, enabled, logs;
        char held[64]; /* what the host's option has; "": the file's, which is "10s" */
        char log[700];
} Test;

static Test test;

/* ---- the world */

static int on_configured(void *userdata _unused_, const char *instance) {
        return streq(instance, "boiler") ? test.boiler : streq(instance, "heater") ? test.heater : -ENOENT;
}

static int on_apply(void *userdata _unused_, const char *instance, const char *path, const Setting *setting) {
        Asked *a = &test.asked[test.n];

        if (test.refuse < 0)
                return test.refuse;
        assert_true(test.n < ASKED_MAX);
        *a = (Asked){ 0 };
        snprintf(a->instance, sizeof(a->instance), "%s", instance);
        snprintf(a->path, sizeof(a->path), "%s", path);
        if (setting)
                setting_text(setting, a->value, sizeof(a->value));
        test.n++;
        return 0;
}

static void on_publish(void *userdata _unused_, const char *key, const char *json) {
        json_object *o = NULL;

        if (!json && !json_object_object_get_ex(test.published, key, NULL)) /* see published_clear() */
                return;
        if (!json)
                json = "\"\"";
        if (tree_parse(json, strlen(json), &o) < 0 || !o)
                fail_msg("%s = %s is no value", key, json);
        json_object_object_add(test.published, key, o);
}

static void on_enabled(void *userdata _unused_) {
        test.enabled++;
}

static void on_log(void *userdata _unused_, const char *text) {
        test.logs++;
        snprintf(test.log, sizeof(test.log), "%s", text);
}

static int setup(void **state _unused_) {
        OverridesParams p = { NULL, on_configured, on_apply, on_publish, on_enabled, on_log, NULL };

        test = (Test){ .boiler = 1, .heater = -ENOENT, .published = json_object_new_object() };
        if (loop_new_simulated(&test.loop, 0) < 0)
                return -1;
        p.loop = test.loop;
        return overrides_new(&test.o, &p);
}

static int teardown(void **state _unused_) {
        overrides_free(test.o);
        json_object_put(test.published);
        loop_free(test.loop);
        return 0;
}

/* The host answers the next thing that it was asked for. */
static void answer(void) {
        const Asked *a = &test.asked[test.answered];
        const char *why = "";
        char now[80];
        int error = 0;

        assert_true(test.answered < test.n);
        test.answered++;
        if (!streq(a->path, "every")) {
                overrides_effect(test.o, a->instance, a->path, -ENOENT, "", "", "there is no such option");
                return;
        }
        if (a->value[0] && a->value[0] != '"') {
                error = -EINVAL;
                why = "plugins.boiler.every needs a unit";
        } else
                snprintf(test.held, sizeof(test.held), "%s", a->value);
        snprintf(now, sizeof(now), "%s", test.held[0] ? test.held : "\"10s\"");
        overrides_effect(test.o, a->instance, a->path, error, now, "\"10s\"", why);
}

static void answer_all(void) {
        while (test.answered < test.n)
                answer();
}

static void set(const char *key, const char *json) {
        overrides_set(test.o, key, json);
}

static Override at(const char *key) {
        for (size_t i = 0; i < overrides_n(test.o); i++)
                if (streq(overrides_at(test.o, i).key, key))
                        return overrides_at(test.o, i);
        fail_msg("%s is not there", key);
        return (Override){ 0 };
}

static void expect(const char *key, OverrideState state, const char *now) {
        Override o = at(key);

        assert_int_equal(o.state, state);
        if (now)
                assert_string_equal(o.now, now);
        else
                assert_null(o.now);
}

static void expect_published(const char *json) {
        const char *text = json_object_to_json_string_ext(test.published, JSON_C_TO_STRING_PLAIN);

        if (!streq(text, json))
                fail_msg("published is %s, not %s", text, json);
}

static void expect_asked(unsigned n, const char *path, const char *value) {
        assert_int_equal(test.n, n);
        assert_string_equal(test.asked[n - 1].path, path);
        assert_string_equal(test.asked[n - 1].value, value);
}

static void advance(usec_t by) {
        assert_int_equal(loop_advance(test.loop, by), 0);
}

/* ---- the life of one */

static void a_value_is_applied_and_answered(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        expect_asked(1, "every", "\"5s\"");
        assert_string_equal(test.asked[0].instance, "boiler");
        expect("boiler.every", OVERRIDE_WAITING, NULL);
        answer();
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
        assert_string_equal(at("boiler.every").file, "\"10s\"");
        assert_string_equal(at("boiler.every").json, "\"5s\"");
        assert_string_equal(at("boiler.every").path, "every");
        assert_int_equal(at("boiler.every").instance_size, 6);
        expect_published("{\"boiler.every\":\"5s\"}");
        set("boiler.every", "\"7s\"");
        answer();
        expect_published("{\"boiler.every\":\"7s\"}");
        assert_int_equal(test.logs, 2);
        assert_string_equal(test.log, "boiler.every is \"7s\" now, as the shared attribute of that name says");
        overrides_begin(test.o, "boiler"); /* a new process is told the same, and that is no news */
        answer();
        assert_int_equal(test.logs, 2);
}

static void a_deleted_one_gives_the_files_value_back(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        answer();
        set("boiler.every", NULL);
        expect_asked(2, "every", "");
        answer();
        assert_int_equal(overrides_n(test.o), 0);
        expect_published("{\"boiler.every\":\"10s\"}");
        assert_string_equal(test.log, "boiler.every is \"10s\" now, as the configuration says");
        set("boiler.every", NULL); /* of nothing */
        set("never", NULL);
        set("boiler.never", NULL);
        assert_int_equal(test.n, 2);
}

static void a_refused_one_is_told_until_it_is_good(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        answer();
        set("boiler.every", "7");
        answer();
        expect("boiler.every", OVERRIDE_REFUSED, "\"5s\""); /* what held before holds */
        assert_string_equal(at("boiler.every").why, "plugins.boiler.every needs a unit");
        expect_published("{\"boiler.every\":\"5s\",\"boiler.every.error\":\"plugins.boiler.every needs a unit\"}");
        assert_int_equal(test.logs, 2);
        assert_string_equal(test.log, "shared attribute boiler.every = 7 is refused: plugins.boiler.every needs a unit");
        set("boiler.every", "\"8s\"");
        answer();
        expect("boiler.every", OVERRIDE_APPLIED, "\"8s\"");
        assert_null(at("boiler.every").why);
        expect_published("{\"boiler.every\":\"8s\",\"boiler.every.error\":\"\"}");
        set("boiler.every", "8");
        answer();
        set("boiler.every", NULL);
        answer();
        expect_published("{\"boiler.every\":\"10s\",\"boiler.every.error\":\"\"}");
        assert_int_equal(overrides_n(test.o), 0);
}

static void what_is_no_option_is_never_answered(void **state _unused_) {
        set("boiler.serial", "\"x\"");
        answer();
        expect("boiler.serial", OVERRIDE_NONE, NULL);
        overrides_effect(test.o, "boiler", "serial", -EPERM, "\"secret\"", "\"secret\"", "this option cannot change");
        expect("boiler.serial", OVERRIDE_NONE, NULL);
        expect_published("{}");
        assert_int_equal(test.logs, 0);
        set("boiler.serial", NULL);
        answer();
        assert_int_equal(overrides_n(test.o), 0);
        expect_published("{}");
}

static void other_keys_are_left_aside(void **state _unused_) {
        static const char *const keys[] = { "boiler", "", ".", ".every", "boiler.", "a b", "fw_title" };

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                set(keys[i], "1");
        assert_int_equal(overrides_n(test.o), 0);
        assert_int_equal(test.n, 0);
}

static void paths_may_be_deep(void **state _unused_) {
        set("boiler.probe.deadband", "0.5");
        expect_asked(1, "probe.deadband", "0.5");
        set("boiler.probe.valid", "[0,50]");
        expect_asked(2, "probe.valid", "(0, 50)");
        set("boiler.probe", "{\"a\":true}");
        expect_asked(3, "probe", "{ ... }");
        set("boiler..x", "1");
        expect_asked(4, ".x", "1");
}

static void what_makes_no_setting_is_no_override(void **state _unused_) {
        set("boiler.every", "[null]");
        expect("boiler.every", OVERRIDE_NONE, NULL);
        assert_int_equal(test.n, 0);
        test.refuse = -EMSGSIZE; /* too large for a host */
        set("boiler.x", "\"large\"");
        expect("boiler.x", OVERRIDE_NONE, NULL);
        test.refuse = 0;
        advance(60 * USEC_PER_SEC);
        assert_int_equal(test.n, 0);
        set("boiler.every", "\"5s\"");
        answer();
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
}

/* ---- answers that come later */

static void answers_are_about_what_was_asked_last(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        set("boiler.every", NULL); /* before the first is answered */
        answer();
        expect_published("{\"boiler.every\":\"5s\"}");
        answer();
        expect_published("{\"boiler.every\":\"10s\"}");
        assert_int_equal(overrides_n(test.o), 0);
        set("boiler.every", "\"5s\"");
        answer();
        set("boiler.every", NULL);
        set("boiler.every", "\"6s\"");
        answer_all();
        expect("boiler.every", OVERRIDE_APPLIED, "\"6s\"");
        expect_published("{\"boiler.every\":\"6s\"}");
}

/* A plugin's process may say anything at any time. */
static void odd_answers_do_no_harm(void **state _unused_) {
        overrides_effect(test.o, "boiler", "every", 0, "\"5s\"", "\"5s\"", "");
        expect_published("{}");
        set("boiler.every", "\"5s\"");
        overrides_effect(test.o, "boiler", "every", 0, "nonsense", "{", "");
        expect("boiler.every", OVERRIDE_APPLIED, NULL);
        assert_null(at("boiler.every").file);
        overrides_effect(test.o, "boiler", "every", -EINVAL, "", "", "\xff\n");
        expect("boiler.every", OVERRIDE_REFUSED, NULL);
        expect_published("{\"boiler.every.error\":\"\xef\xbf\xbd\\n\"}");
        overrides_effect(test.o, "heater", "every", 0, "1", "1", "");
        overrides_effect(test.o, "", "", 0, "1", "1", "");
        overrides_effect(test.o, "boiler", "every", 0, "\"5s\"", "\"10s\"", "");
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
}

static void a_host_that_does_not_read_is_asked_again(void **state _unused_) {
        test.refuse = -EAGAIN;
        set("boiler.every", "\"5s\"");
        set("boiler.x", "1");
        advance(USEC_PER_SEC);
        test.refuse = 0;
        advance(USEC_PER_SEC);
        assert_int_equal(test.n, 2); /* each once */
        answer_all();
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
        test.refuse = -EAGAIN;
        set("boiler.every", NULL);
        advance(USEC_PER_SEC);
        test.refuse = 0;
        advance(USEC_PER_SEC);
        expect_asked(3, "every", "");
        answer();
        assert_int_equal(overrides_n(test.o), 1);
        advance(3600 * USEC_PER_SEC);
        assert_int_equal(test.n, 3);
}

/* ---- processes */

static void a_new_process_is_told_all(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        set("boiler.x", "1");
        set("boiler.enabled", "true");
        answer_all();
        test.held[0] = '\0';
        overrides_begin(test.o, "boiler");
        assert_int_equal(test.n, 4);
        overrides_begin(test.o, "heater");
        assert_int_equal(test.n, 4);
        answer_all();
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
}

static void a_process_that_is_not_there_is_told_when_it_is(void **state _unused_) {
        test.refuse = -ENOTCONN;
        set("boiler.every", "\"5s\"");
        advance(3600 * USEC_PER_SEC);
        assert_int_equal(test.n, 0);
        expect("boiler.every", OVERRIDE_WAITING, NULL);
        test.refuse = 0;
        overrides_begin(test.o, "boiler");
        answer();
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
        test.refuse = -ENOTCONN;
        set("boiler.every", NULL);
        test.refuse = 0;
        overrides_begin(test.o, "boiler"); /* it has the file's value, and the server should know */
        answer();
        expect_published("{\"boiler.every\":\"10s\"}");
        assert_int_equal(overrides_n(test.o), 0);
}

static void a_process_that_ends_owes_no_answer(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        set("boiler.every", "\"6s\""); /* neither is answered */
        overrides_begin(test.o, "boiler");
        test.answered = 2;
        answer();
        expect("boiler.every", OVERRIDE_APPLIED, "\"6s\"");
        set("boiler.every", NULL);
        answer();
        assert_int_equal(overrides_n(test.o), 0);
}

/* ---- instances that come and go */

static void others_wait_for_a_configuration(void **state _unused_) {
        set("heater.every", "\"5s\"");
        expect("heater.every", OVERRIDE_WAITING, NULL);
        assert_int_equal(test.n, 0);
        set("pump.x", "1");
        set("pump.x", NULL);
        assert_int_equal(overrides_n(test.o), 1);
        test.heater = 1;
        overrides_reloaded(test.o);
        assert_int_equal(test.n, 1);
        answer();
        expect("heater.every", OVERRIDE_APPLIED, "\"5s\"");
        test.heater = -ENOENT;
        overrides_reloaded(test.o);
        expect("heater.every", OVERRIDE_WAITING, "\"5s\"");
        set("heater.every", NULL);
        assert_int_equal(overrides_n(test.o), 0);
        assert_int_equal(test.n, 1);
}

static void a_reload_tells_what_the_server_overrides(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        set("boiler.x", "1");
        set("heater.every", "\"6s\"");
        answer_all();
        overrides_reloaded(test.o);
        assert_int_equal(test.logs, 2);
        assert_string_equal(test.log,
                            "boiler.every stays \"5s\", as the shared attribute of that name says, whatever the file says: "
                                      "delete the attribute to go by the file");
        set("boiler.every", "5");
        answer();
        overrides_reloaded(test.o);
        assert_int_equal(test.logs, 3); /* the refusal; what is refused overrides nothing */
}

/* ---- enabled */

static void enabled_is_the_daemons_own(void **state _unused_) {
        assert_true(overrides_enabled(test.o, "boiler", true));
        assert_false(overrides_enabled(test.o, "boiler", false));
        set("boiler.enabled", "false");
        assert_int_equal(test.n, 0);
        assert_int_equal(test.enabled, 1);
        assert_false(overrides_enabled(test.o, "boiler", true));
        assert_true(overrides_enabled(test.o, "boil", true));
        assert_true(overrides_enabled(test.o, "boiler.enabled", true));
        expect("boiler.enabled", OVERRIDE_APPLIED, "false");
        assert_string_equal(at("boiler.enabled").file, "true");
        expect_published("{\"boiler.enabled\":false}");
        set("boiler.enabled", "true");
        assert_true(overrides_enabled(test.o, "boiler", false));
        assert_int_equal(test.enabled, 2);
        set("boiler.enabled", NULL);
        assert_int_equal(test.enabled, 3);
        assert_false(overrides_enabled(test.o, "boiler", false));
        assert_int_equal(overrides_n(test.o), 0);
        expect_published("{\"boiler.enabled\":true}");
}

static void enabled_is_true_or_false(void **state _unused_) {
        static const char *const bad[] = { "1", "\"false\"", "[false]", "{}" };

        test.boiler = 0;
        set("boiler.enabled", "true");
        assert_true(overrides_enabled(test.o, "boiler", false));
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                set("boiler.enabled", bad[i]);
                expect("boiler.enabled", OVERRIDE_REFUSED, "false"); /* it goes by the file, and who looks after it is told */
                assert_false(overrides_enabled(test.o, "boiler", false));
                assert_true(overrides_enabled(test.o, "boiler", true));
                assert_int_equal(test.enabled, i + 2);
        }
        expect_published("{\"boiler.enabled\":false,\"boiler.enabled.error\":\"enabled is true or false\"}");
        set("boiler.enabled", "true");
        expect_published("{\"boiler.enabled\":true,\"boiler.enabled.error\":\"\"}");
}

static void enabled_waits_for_a_configuration_too(void **state _unused_) {
        set("heater.enabled", "false");
        assert_int_equal(test.enabled, 0);
        assert_false(overrides_enabled(test.o, "heater", true)); /* from its first moment on */
        test.heater = 1;
        overrides_reloaded(test.o);
        expect("heater.enabled", OVERRIDE_APPLIED, "false");
        assert_int_equal(test.enabled, 1);
}

/* ---- not allowed */

static void nothing_is_applied_where_it_is_not_allowed(void **state _unused_) {
        overrides_allow(test.o, false);
        set("boiler.every", "\"5s\"");
        set("boiler.enabled", "false");
        overrides_begin(test.o, "boiler");
        overrides_reloaded(test.o);
        assert_int_equal(test.n, 0);
        assert_true(overrides_enabled(test.o, "boiler", true));
        expect("boiler.every", OVERRIDE_NONE, NULL);
        expect("boiler.enabled", OVERRIDE_NONE, NULL);
        expect_published("{}");
        set("boiler.every", NULL);
        assert_int_equal(overrides_n(test.o), 1);
        overrides_allow(test.o, true);
        assert_false(overrides_enabled(test.o, "boiler", true));
        assert_int_equal(test.n, 0);
        set("boiler.every", "\"5s\"");
        answer();
        expect("boiler.every", OVERRIDE_APPLIED, "\"5s\"");
}

static void what_was_applied_is_taken_back(void **state _unused_) {
        unsigned enabled;

        set("boiler.every", "\"5s\"");
        set("boiler.enabled", "false");
        answer_all();
        enabled = test.enabled;
        overrides_allow(test.o, false);
        overrides_allow(test.o, false);
        expect_asked(2, "every", "");
        answer();
        expect_published("{\"boiler.enabled\":true,\"boiler.every\":\"10s\"}");
        expect("boiler.every", OVERRIDE_NONE, NULL);
        expect("boiler.enabled", OVERRIDE_NONE, NULL);
        assert_true(test.enabled > enabled);
        assert_true(overrides_enabled(test.o, "boiler", true));
        overrides_begin(test.o, "boiler"); /* it has the file's value by itself */
        overrides_reloaded(test.o);
        assert_int_equal(test.n, 2);
        assert_int_equal(test.logs, 2);
        overrides_allow(test.o, true);
        expect_asked(3, "every", "\"5s\"");
        answer();
        expect_published("{\"boiler.enabled\":false,\"boiler.every\":\"5s\"}");
}

/* The host has not answered yet when it is forbidden: it is taken back all the same. */
static void what_is_under_way_is_taken_back(void **state _unused_) {
        set("boiler.every", "\"5s\"");
        overrides_allow(test.o, false);
        expect_asked(2, "every", "");
        answer_all();
        assert_string_equal(test.held, "");
        expect_published("{\"boiler.every\":\"10s\"}");
        test.refuse = -EAGAIN;
        overrides_allow(test.o, true);
        overrides_allow(test.o, false);
        test.refuse = 0;
        advance(USEC_PER_SEC);
        assert_string_equal(test.held, "");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_value_is_applied_and_answered),
                TEST(a_deleted_one_gives_the_files_value_back),
                TEST(a_refused_one_is_told_until_it_is_good),
                TEST(what_is_no_option_is_never_answered),
                TEST(other_keys_are_left_aside),
                TEST(paths_may_be_deep),
                TEST(what_makes_no_setting_is_no_override),
                TEST(answers_are_about_what_was_asked_last),
                TEST(odd_answers_do_no_harm),
                TEST(a_host_that_does_not_read_is_asked_again),
                TEST(a_new_process_is_told_all),
                TEST(a_process_that_is_not_there_is_told_when_it_is),
                TEST(a_process_that_ends_owes_no_answer),
                TEST(others_wait_for_a_configuration),
                TEST(a_reload_tells_what_the_server_overrides),
                TEST(enabled_is_the_daemons_own),
                TEST(enabled_is_true_or_false),
                TEST(enabled_waits_for_a_configuration_too),
                TEST(nothing_is_applied_where_it_is_not_allowed),
                TEST(what_was_applied_is_taken_back),
                TEST(what_is_under_way_is_taken_back),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
