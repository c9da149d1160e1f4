/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the daemon as JSON: valid whatever the texts in it are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent-world.h"
#include "agent/report.h"
#include "tb/tree.h"

#define CONFIG "server = { url = \"mqtt://h\"; };\n" \
               "plugins = { boiler = { plugin = \"none\"; optional = true; };\n" \
               "            off = { plugin = \"other\"; enabled = false; }; };\n"

static AgentWorld world;
static Overrides *overrides;

/* ---- overrides without a host */

static int on_configured(void *userdata _unused_, const char *instance) {
        return streq(instance, "boiler") ? 1 : streq(instance, "off") ? 0 : -ENOENT;
}

static int on_apply(void *userdata _unused_, const char *instance _unused_, const char *path _unused_,
                    const Setting *setting _unused_) {
        return 0;
}

static void on_publish(void *userdata _unused_, const char *key _unused_, const char *json _unused_) {
}

static void on_enabled(void *userdata _unused_) {
}

static void on_log(void *userdata _unused_, const char *text _unused_) {
}

static int setup(void **state _unused_) {
        OverridesParams p = { NULL, on_configured, on_apply, on_publish, on_enabled, on_log, NULL };

        agent_world_new(&world, CONFIG);
        p.loop = world.loop;
        return overrides_new(&overrides, &p);
}

static int teardown(void **state _unused_) {
        overrides = overrides_free(overrides);
        agent_world_done(&world);
        return 0;
}

static StatusView view(void) {
        return (StatusView){ .url = "mqtt://h", .config_path = "/etc/tbagent.conf", .session = SESSION_CONNECTED, .protocol = 5,
                             .clock_trusted = true,
                             .config = world.config, .instances = world.instances, .overrides = overrides };
}

/* The report as a tree, which was parsed strictly. */
static json_object *report(const StatusView *v) {
        _cleanup_(freep) char *text = report_json(v);
        json_object *o = NULL;

        assert_non_null(text);
        if (tree_parse(text, strlen(text), &o) < 0)
                fail_msg("no JSON: %s", text);
        assert_true(json_object_is_type(o, json_type_object));
        return o;
}

static json_object *at(json_object *o, const char *path) {
        char text[128], *save = NULL;

        snprintf(text, sizeof(text), "%s", path);
        for (char *name = strtok_r(text, ".", &save); name; name = strtok_r(NULL, ".", &save)) {
                if (name[0] >= '0' && name[0] <= '9')
                        o = json_object_array_get_idx(o, strtoul(name, NULL, 10));
                else if (!json_object_object_get_ex(o, name, &o))
                        fail_msg("no %s in %s", name, path);
        }
        return o;
}

static void expect(json_object *o, const char *path, const char *json) {
        assert_string_equal(json_object_to_json_string_ext(at(o, path), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                            json);
}

/* ---- */

static void it_says_how_things_are(void **state _unused_) {
        StatusView v = view();
        _cleanup_(tree_putp) json_object *o = NULL;

        v.spool = (SpoolStats){ .made_points = UINT64_C(1) << 40, .acked_points = 7, .points = 2, .rows = 1,
                                .oldest_ms = 1700000000000, .evicted_points = 3,
                                .rejected_points = 4, .store = { .state = STORE_OK, .bytes = 5, .text = "ok" } };
        v.written_today = 6;
        v.shared = 9;
        v.shared_synced = true;
        o = report(&v);
        expect(o, "version", "\"" PACKAGE_VERSION "\"");
        expect(o, "server", "{\"state\":\"connected\",\"url\":\"mqtt://h\",\"mqtt\":\"5\"}");
        expect(o, "clock", "\"trusted\"");
        expect(o, "values", "{\"made\":1099511627776,\"acknowledged\":7,\"waiting\":2,\"dropped\":3,\"rejected\":4,"
                            "\"oldest_waiting_ts\":1700000000000}");
        expect(o, "store", "{\"state\":\"ok\",\"text\":\"ok\",\"bytes\":5,\"bytes_written_today\":6}");
        expect(o, "shared_attributes", "{\"count\":9,\"synced\":true}");
        expect(o, "config_error", "\"\"");
        expect(o, "unknown_settings", "[]");
        expect(o, "instances.0.name", "\"boiler\"");
        expect(o, "instances.0.plugin", "\"none\"");
        expect(o, "instances.0.state", "\"misconfigured\"");
        expect(o, "instances.0.optional", "true");
        expect(o, "instances.0.settings", "[]");
        expect(o, "instances.1", "{\"name\":\"off\",\"plugin\":\"other\",\"state\":\"disabled\",\"settings\":[]}");
        assert_int_equal(json_object_array_length(at(o, "instances")), 2);
}

static void it_says_how_the_server_is(void **state _unused_) {
        StatusView v = view();
        _cleanup_(tree_putp) json_object *waiting = NULL, *none = NULL, *refused = NULL;

        v.session = SESSION_WAITING;
        v.session_text = "the \"server\"\nrefuses \xff";
        v.retry_in = 29 * USEC_PER_SEC + 5;
        waiting = report(&v);
        expect(waiting, "server",
               "{\"state\":\"waiting\",\"url\":\"mqtt://h\",\"reason\":\"the \\\"server\\\"\\nrefuses \xef\xbf\xbd\","
               "\"retry_in_s\":29}");
        v = view();
        v.url = NULL;
        v.session = SESSION_IDLE;
        v.clock_trusted = false;
        none = report(&v);
        expect(none, "server", "{\"state\":\"no server set\"}");
        expect(none, "clock", "\"waits for the time to be set\"");
        v = view();
        v.protocol = 4;
        v.refused = true;
        refused = report(&v);
        expect(refused, "server", "{\"state\":\"connected\",\"url\":\"mqtt://h\",\"mqtt\":\"3.1.1\",\"refuses_telemetry\":true}");
}

static void it_says_what_the_server_overrides(void **state _unused_) {
        StatusView v = view();
        _cleanup_(tree_putp) json_object *o = NULL;

        overrides_set(overrides, "boiler.every", "\"5s\"");
        overrides_effect(overrides, "boiler", "every", 0, "\"5s\"", "\"10s\"", "");
        overrides_set(overrides, "boiler.x.valid", "[0,\"a\"]");
        overrides_effect(overrides, "boiler", "x.valid", -EINVAL, "\"\"", "\"\"", "wants numbers \"only\"\n");
        overrides_set(overrides, "boiler.waits", "5");
        overrides_set(overrides, "boiler.serial", "5");
        overrides_effect(overrides, "boiler", "serial", -ENOENT, "", "", "no such");
        overrides_set(overrides, "off.enabled", "false");
        overrides_set(overrides, "heater.every", "1");
        overrides_set(overrides, "boile.every", "1");
        overrides_set(overrides, "\xd1\x82\"\\.every", "1");
        o = report(&v);
        expect(o, "instances.0.settings.0",
               "{\"option\":\"every\",\"value\":\"5s\",\"file\":\"10s\",\"server\":\"5s\",\"from\":\"server\"}");
        expect(o, "instances.0.settings.1",
               "{\"option\":\"x.valid\",\"value\":\"\",\"file\":\"\",\"server\":[0,\"a\"],\"from\":\"file\","
                                            "\"error\":\"wants numbers \\\"only\\\"\\n\"}");
        expect(o, "instances.0.settings.2", "{\"option\":\"waits\",\"value\":null,\"file\":null,\"server\":5,\"from\":\"file\"}");
        assert_int_equal(json_object_array_length(at(o, "instances.0.settings")), 3);
        expect(o, "instances.1.settings",
               "[{\"option\":\"enabled\",\"value\":false,\"file\":false,\"server\":false,\"from\":\"server\"}]");
        expect(o, "unknown_settings", "[\"heater.every\",\"boile.every\",\"\xd1\x82\\\"\\\\.every\"]");
}

/* A plugin's process may send anything. */
static void what_is_no_json_is_null(void **state _unused_) {
        static const char *const odd[] = { "", "{", "1,\"x\":2", "NaN", "\"\xff\"", "nul", "}" };
        StatusView v = view();

        for (size_t i = 0; i < ELEMENTS(odd); i++) {
                _cleanup_(tree_putp) json_object *o = NULL;

                overrides_set(overrides, "boiler.every", "\"5s\"");
                overrides_effect(overrides, "boiler", "every", i % 2 ? 0 : -EINVAL, odd[i], odd[ELEMENTS(odd) - 1 - i], odd[i]);
                o = report(&v);
                expect(o, "instances.0.settings.0.value", "null");
                expect(o, "instances.0.settings.0.file", "null");
        }
}

/* Each byte there is in each text there is. */
static void odd_texts_stay_in_their_quotes(void **state _unused_) {
        for (unsigned c = 1; c < 256; c++) {
                char text[] = { 'a', (char)c, '"', (char)c, '\0' };
                StatusView v = view();
                _cleanup_(tree_putp) json_object *o = NULL;

                v.url = v.config_error = v.session_text = text;
                v.session = SESSION_WAITING;
                snprintf(v.spool.store.text, sizeof(v.spool.store.text), "%s", text);
                overrides_set(overrides, "boiler.every", "1");
                overrides_effect(overrides, "boiler", "every", -EINVAL, "1", "1", text);
                o = report(&v);
                if (c < 0x80) { /* the others are no UTF-8 */
                        assert_string_equal(json_object_get_string(at(o, "server.url")), text);
                        assert_string_equal(json_object_get_string(at(o, "server.reason")), text);
                        assert_string_equal(json_object_get_string(at(o, "config_error")), text);
                        assert_string_equal(json_object_get_string(at(o, "store.text")), text);
                        assert_string_equal(json_object_get_string(at(o, "instances.0.settings.0.error")), text);
                }
        }
}

static void nothing_at_all_is_fine_too(void **state _unused_) {
        StatusView v = { .config = world.config, .config_path = "", .session = SESSION_CONNECTING };
        _cleanup_(tree_putp) json_object *o = report(&v);

        expect(o, "instances.0.state", "\"disabled\"");
        expect(o, "values.made", "0");
        v.url = "x";
        v.session = SESSION_WAITING; /* and no text */
        json_object_put(report(&v));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(it_says_how_things_are),
                TEST(it_says_how_the_server_is),
                TEST(it_says_what_the_server_overrides),
                TEST(what_is_no_json_is_null),
                TEST(odd_texts_stay_in_their_quotes),
                TEST(nothing_at_all_is_fine_too),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
