/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/scan-text.h"

static Found parsed(const char *json) {
        const char *why;
        Found f;

        if (found_parse(json, strlen(json), &f, &why) != 0)
                fail_msg("%s: %s", json, why);
        return f;
}

static void expect_refused(const char *json, const char *part) {
        const char *why = NULL;
        Found f;

        if (found_parse(json, strlen(json), &f, &why) != -EBADMSG)
                fail_msg("taken: %s", json);
        if (!strstr(why, part))
                fail_msg("%s: %s", json, why);
}

static void members_are_taken(void **state _unused_) {
        Found f = parsed("{\"id\":\"1:0x76\",\"what\":\"BME280\",\"group\":\"chips\",\"instance\":\"i2c1\",\"options\":\"bus = 1;\","
                         "\"config\":\"room = { address = 0x76; };\",\"commented\":true,\"more\":{}}");

        assert_string_equal(f.id, "1:0x76");
        assert_string_equal(f.what, "BME280");
        assert_string_equal(f.group, "chips");
        assert_string_equal(f.instance, "i2c1");
        assert_string_equal(f.options, "bus = 1;");
        assert_string_equal(f.config, "room = { address = 0x76; };");
        assert_true(f.commented);
        found_done(&f);
        f = parsed("{\"id\":\"1\",\"what\":\"nothing\"}");
        assert_string_equal(f.config, "");
        assert_string_equal(f.group, "");
        assert_false(f.commented);
        found_done(&f);
}

static void what_is_no_thing_is_refused(void **state _unused_) {
        expect_refused("", "no JSON object");
        expect_refused("[]", "no JSON object");
        expect_refused("{\"id\":\"1\"", "no JSON object");
        expect_refused("{\"id\":\"1\",\"what\":\"x\\u0000y\"}", "\"what\"");
        expect_refused("{\"what\":\"x\"}", "\"id\"");
        expect_refused("{\"id\":\"\",\"what\":\"x\"}", "\"id\"");
        expect_refused("{\"id\":1,\"what\":\"x\"}", "\"id\"");
        expect_refused("{\"id\":\"1\",\"what\":\"x\",\"group\":[]}", "\"group\"");
        expect_refused("{\"id\":\"1\",\"what\":\"x\",\"group\":\"a = {\"}", "no name");
        expect_refused("{\"id\":\"1\",\"what\":\"x\",\"instance\":\"1a\"}", "no name");
}

static void sizes_are_bounded(void **state _unused_) {
        static const struct { const char *name; size_t max; } texts[] = {
                { "id", FOUND_NAME_MAX },       { "what", FOUND_TEXT_MAX },       { "group", FOUND_NAME_MAX },
                { "instance", FOUND_NAME_MAX }, { "options", FOUND_OPTIONS_MAX }, { "config", FOUND_CONFIG_MAX },
        };
        char fill[FOUND_CONFIG_MAX + 2], json[FOUND_CONFIG_MAX + 200], quoted[20];

        for (size_t i = 0; i < ELEMENTS(texts); i++)
                for (size_t more = 0; more < 2; more++) {
                        bool config = texts[i].max > FOUND_TEXT_MAX; /* blanks are the only long text that is right everywhere */
                        const char *before = i == 0 ? "\"what\":\"x\"" : i == 1 ? "\"id\":\"x\"" : "\"id\":\"x\",\"what\":\"x\"";
                        Found f;

                        memset(fill, config ? ' ' : 'x', texts[i].max + more);
                        fill[texts[i].max + more] = '\0';
                        snprintf(json, sizeof json, "{%s,\"%s\":\"%s\"}", before, texts[i].name, fill);
                        snprintf(quoted, sizeof quoted, "\"%s\"", texts[i].name);
                        if (more > 0)
                                expect_refused(json, quoted);
                        else {
                                f = parsed(json);
                                found_done(&f);
                        }
                }
}

static void configuration_is_whole_by_itself(void **state _unused_) {
        static const char *const broken[] = {
                "a = {",         "}; b = { x = 1;", "a = { b = \\\"x; };", "a = { }; };",      "a = ",
                "a = 1; /* and", "@include \\\"/etc/shadow\\\"", "a = 1; a = 2;",     "a = { b = \\\"\\u001b[2J\\\"; };",
        };
        char json[300];

        for (size_t i = 0; i < ELEMENTS(broken); i++) {
                snprintf(json, sizeof json, "{\"id\":\"1\",\"what\":\"x\",\"config\":\"%s\"}", broken[i]);
                expect_refused(json, "its \"config\"");
                snprintf(json, sizeof json, "{\"id\":\"1\",\"what\":\"x\",\"options\":\"%s\"}", broken[i]);
                expect_refused(json, "its \"options\"");
        }
}

static void terminals_get_no_commands(void **state _unused_) {
        Found f = parsed("{\"id\":\"a\\u001b[2J\\n\",\"what\":\"x\\u009b1mx\\u007f \\u00b0C\"}");

        assert_string_equal(f.id, "a [2J ");
        assert_string_equal(f.what, "x  1mx  \302\260C");
        found_done(&f);
}

/* ---- the text */

static bool is_taken(const void *userdata, const char *instance) {
        return streq(userdata, instance);
}

static void expect_text(const char *const json[][2], size_t n, const char *taken, const char *expected) {
        Thing things[8] = { 0 };
        _cleanup_(freep) char *text = NULL;

        for (size_t i = 0; i < n; i++)
                things[i] = (Thing){ .plugin = json[i][0], .found = parsed(json[i][1]) };
        text = scan_text(&(ScanText){ .things = things, .n = n, .is_taken = is_taken, .userdata = taken });
        assert_string_equal(text, expected);
        for (size_t i = 0; i < n; i++)
                found_done(&things[i].found);
}

static void nothing_is_told(void **state _unused_) {
        static const char *const only_table[][2] = { { "i2c", "{\"id\":\"1:0x68\",\"what\":\"used by rtc-ds1307\"}" } };

        expect_text(NULL, 0, "", "# What tbagent --scan found:\n#\n#   nothing\n");
        expect_text(only_table, 1, "", "# What tbagent --scan found:\n#\n#   PLUGIN  ID      WHAT\n"
                                       "#   i2c     1:0x68  used by rtc-ds1307\n");
}

static void things_share_instances_and_groups(void **state _unused_) {
        static const char *const things[][2] = {
                { "gpio", "{\"id\":\"17\",\"what\":\"free\",\"group\":\"lines\",\"commented\":true,\"config\":\"a = {\\n};\"}" },
                { "i2c", "{\"id\":\"1:48\",\"what\":\"x\",\"instance\":\"i2c1\",\"options\":\"bus = 1;\",\"group\":\"chips\","
                         "\"config\":\"a = { };\"}" },
                { "i2c", "{\"id\":\"1:49\",\"what\":\"held\",\"instance\":\"i2c1\"}" },
                { "i2c", "{\"id\":\"2:48\",\"what\":\"x\",\"instance\":\"i2c2\",\"options\":\"bus = 2;\",\"group\":\"chips\","
                         "\"config\":\"c = { };\"}" },
                { "i2c", "{\"id\":\"1:4a\",\"what\":\"x\",\"instance\":\"i2c1\",\"options\":\"bus = 1;\",\"group\":\"chips\","
                         "\"config\":\"b = {\\n  x = 1;\\n};\",\"commented\":true}" },
                { "i2c", "{\"id\":\"1:4b\",\"what\":\"x\",\"instance\":\"i2c1\",\"config\":\"speed = 1;\"}" },
        };

        expect_text(things, ELEMENTS(things), "i2c2",
                    "# What tbagent --scan found, and a configuration that reads it. Saved as /etc/tbagent.conf.d/found.conf it runs as "
                    "it is.\n# A name before \"= {\" becomes the key of a value: give it one that says what is measured.\n#\n"
                    "#   PLUGIN  ID    WHAT\n#   gpio    17    free\n#   i2c     1:48  x\n#   i2c     1:49  held\n"
                    "#   i2c     2:48  x\n#   i2c     1:4a  x\n#   i2c     1:4b  x\n"
                    "\nplugins = {\n"
                    "#   gpio = {\n#     plugin = \"gpio\";\n#     lines = {\n#       a = {\n#       };\n#     };\n#   };\n"
                    "  i2c1 = {\n    plugin = \"i2c\";\n    bus = 1;\n    chips = {\n      a = { };\n"
                    "      # b = {\n      #   x = 1;\n      # };\n    };\n    speed = 1;\n  };\n"
                    "  i2c2_2 = {\n    plugin = \"i2c\";\n    bus = 2;\n    chips = {\n      c = { };\n    };\n  };\n"
                    "};\n");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(members_are_taken),
                cmocka_unit_test(what_is_no_thing_is_refused),
                cmocka_unit_test(sizes_are_bounded),
                cmocka_unit_test(configuration_is_whole_by_itself),
                cmocka_unit_test(terminals_get_no_commands),
                cmocka_unit_test(nothing_is_told),
                cmocka_unit_test(things_share_instances_and_groups),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
