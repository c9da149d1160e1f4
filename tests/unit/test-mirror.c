/* SPDX-License-Identifier: Apache-2.0 */
/* The file of shared attributes with the libconfig that is there: it takes each text, and each value is found as what it
 * is. What the versions of libconfig do not read alike stands in `named`, whichever is used here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "mirror-check.h"
#include "model/value.h"
#include "tb/mirror.h"

static Loop *loop;
static Attributes *a;

static int setup(void **state _unused_) {
        if (loop_new_simulated(&loop, 0) < 0)
                return -1;
        a = mirror_attributes(loop);
        return 0;
}

static int teardown(void **state _unused_) {
        a = attributes_free(a);
        loop = loop_free(loop);
        return 0;
}

static void expect_text(const char *expected) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        const char *body;

        mirror_check(loop, a);
        assert_int_equal(mirror_text(a, &text, &size), 0);
        assert_int_equal(text[0], '#');
        body = strchr(text, '\n') + 1;
        assert_string_equal(body, expected);
}

static void nothing_is_an_empty_file(void **state _unused_) {
        expect_text("");
}

static void names_with_dots_are_groups(void **state _unused_) {
        mirror_set(a, "boiler.every", "\"5s\"");
        mirror_set(a, "a b", "5");
        mirror_set(a, "map", "{\"x\":1}");
        mirror_set(a, "boiler.probe.deadband", "0.5");
        mirror_set(a, "boiler.probe.valid.low", "true");
        mirror_set(a, "boiler.x", "7");
        mirror_set(a, "boiler-2.x", "8");
        mirror_set(a, "boiler2.y.z", "9");
        mirror_set(a, "zone", "1");
        expect_text("boiler-2 = {\n  x = 8;\n};\n"
                    "boiler = {\n  every = \"5s\";\n  probe = {\n    deadband = 0.5;\n"
                    "    valid = {\n      low = true;\n    };\n  };\n  x = 7;\n};\n"
                    "boiler2 = {\n  y = {\n    z = 9;\n  };\n};\n"
                    "zone = 1;\n"
                    "named = (\n  { name = \"a b\"; value = 5; },\n  { name = \"map\"; json = \"{\\\"x\\\":1}\"; }\n);\n");
}

static void a_name_beside_its_group_is_named(void **state _unused_) {
        mirror_set(a, "a", "1");
        mirror_set(a, "a.b", "2");
        mirror_set(a, "a.b.c", "3");
        mirror_set(a, "b", "4");
        mirror_set(a, "b.", "5");      /* no group: */
        mirror_set(a, "b.1x", "6");    /* the other parts are no names */
        mirror_set(a, "c", "7");
        mirror_set(a, "c-d", "8");
        mirror_set(a, "c0", "9");
        mirror_check(loop, a);
        assert_int_equal(mirror_place(a, "a"), MIRROR_NAMED);
        assert_int_equal(mirror_place(a, "a.b"), MIRROR_NAMED);
        assert_int_equal(mirror_place(a, "a.b.c"), MIRROR_PATH);
        assert_int_equal(mirror_place(a, "b"), MIRROR_PATH);
        assert_int_equal(mirror_place(a, "b."), MIRROR_NAMED);
        assert_int_equal(mirror_place(a, "b.1x"), MIRROR_NAMED);
        assert_int_equal(mirror_place(a, "c"), MIRROR_PATH);
        assert_int_equal(mirror_place(a, "c-d"), MIRROR_PATH);
        assert_int_equal(mirror_place(a, "c0"), MIRROR_PATH);
}

static const char *const paths[] = { "a", "A", "a.b", "a0", "a_b-c.d", "trueish", "x.falsey.z", "nAmed", "name", "value.name",
                                     "json", "include", "L", "e5", "x.named",
                                     "a1.b1.c1.d1.e1.f1.g1.h1" };
static const char *const named[] = {
        "_a", "1a", "-a", "a..b", ".a", "a.", ".", "..", "a b", "a.b c", "true", "TRUE", "True.x", "x.false", "x.FaLsE.y",
        "named", "named.x", "\xd1\x82\xd0\xb5",
        "a.\xc3\xa9", "\xf0\x9f\x98\x80", "a\"b", "a\\b", "\\", "\"", "\\\"", "a/b", "a:b", "a*", "*", "a=1;", "# a", "// a",
        "/* a", "@include \"x\"", "a\\n", "(", "{}",
        "0x10", "5", "1e5", "5L", "a.0", "a1.b1.c1.d1.e1.f1.g1.h1.i1",
};

static void every_name_has_its_place(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                _cleanup_(attributes_freep) Attributes *one = mirror_attributes(loop);

                mirror_set(one, paths[i], "5");
                mirror_check(loop, one);
                if (mirror_place(one, paths[i]) != MIRROR_PATH)
                        fail_msg("%s is in the list", paths[i]);
                mirror_set(a, paths[i], "\"x\"");
        }
        for (size_t i = 0; i < ELEMENTS(named); i++) {
                _cleanup_(attributes_freep) Attributes *one = mirror_attributes(loop);

                mirror_set(one, named[i], "5");
                mirror_check(loop, one);
                if (mirror_place(one, named[i]) != MIRROR_NAMED)
                        fail_msg("%s is not in the list", named[i]);
                mirror_set(a, named[i], "\"x\"");
        }
        mirror_check(loop, a); /* all together */
}

static void long_names_have_their_place(void **state _unused_) {
        char key[256];

        memset(key, 'k', 250);
        key[250] = '\0';
        mirror_set(a, key, "1");
        key[0] = '_';
        mirror_set(a, key, "2");
        memset(key, 'k', 250);
        for (int i = 30; i < 240; i += 30)
                key[i] = '.';
        mirror_set(a, key, "3");
        for (int i = 10; i < 250; i += 10)
                key[i] = '.';
        mirror_set(a, key, "4");
        for (int i = 1; i < 250; i += 2)
                key[i] = '.';
        mirror_set(a, key, "5");
        memset(key, 'k', 255);
        key[255] = '\0';
        mirror_set(a, key, "6");
        mirror_check(loop, a);
}

static const char *const values[] = {
        "true", "false", "0", "-1", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296",
        "5000000000",
        "9223372036854775807", "-9223372036854775808", "18446744073709551615", "0.0", "-0.0", "1.0", "-1.0", "0.1", "1.0E7",
        "1e15", "1e16", "1e17", "1e22", "1e300", "-1e300",
        "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "0.30000000000000004", "123456789012345680.0", "\"\"",
        "\"x\"", "\"true\"", "\"5\"", "\"a \\\"b\\\" 'c'\"",
        "\"a\\nb\\r\\n\\tc\\f\\b\"", "\"\\u0001\\u0002\\u001f\\u007f\"", "\"\\u0000\"", "\"a\\u0000b\"", "\"\\\\\"", "\"\\\\n\"",
        "\"\\\\x41\"", "\"\\\\\\\"\"",
        "\"\xf0\x9f\x98\x80 \xc3\xa9 \xe2\x82\xac\"", "\"\\u0080\\u009f\\u2028\"", "\"@include \\\"x\\\"\"",
        "\"\\n@include \\\"/etc/passwd\\\"\\n\"", "\"/* */ // # \"", "\"%s%n%d\"",
        "\"\\u00011\"", "\"\\u0001f\"", "\" \"", "[]", "{}", "[1,\"a\",null,{\"b\":[true]}]",
        "{\"a\":{\"b\":\"\\\\ \\\" \\n \\u0000\"}}", "[\"\\u0001\\u007f\"]",
};

static void every_value_is_read_back(void **state _unused_) {
        char key[64];

        for (size_t i = 0; i < ELEMENTS(values); i++) {
                _cleanup_(attributes_freep) Attributes *one = mirror_attributes(loop);

                mirror_set(one, "a.b", values[i]);
                mirror_set(one, "_", values[i]);
                mirror_check(loop, one);
                snprintf(key, sizeof(key), "g%zu.v%zu", i % 7, i);
                mirror_set(a, key, values[i]);
                snprintf(key, sizeof(key), "_%zu", i);
                mirror_set(a, key, values[i]);
        }
        mirror_check(loop, a);
}

/* Every character there is below U+0100, alone and before one that could belong to its escape. */
static void every_character_is_read_back(void **state _unused_) {
        for (unsigned c = 1; c < 0x100; c++) {
                char json[32], key[16];

                snprintf(key, sizeof(key), "c%u", c);
                snprintf(json, sizeof(json), "\"\\u%04x\\u%04xA0\\u%04x\"", c, c, c);
                mirror_set(a, key, json);
        }
        mirror_check(loop, a);
}

static void large_values_are_read_back(void **state _unused_) {
        static const char fill[] = { 'x', '\\', '"' };
        char *json = malloc(64 * KIB + 1);

        assert_non_null(json);
        for (size_t i = 0; i < ELEMENTS(fill); i++) {
                char key[16];

                memset(json, '\\', 64 * KIB);
                for (size_t at = fill[i] == 'x' ? 0 : 2; at < 64 * KIB; at += fill[i] == 'x' ? 1 : 2) /* behind each backslash */
                        json[at] = fill[i];
                json[0] = json[64 * KIB - 1] = '"';
                json[64 * KIB] = '\0';
                snprintf(key, sizeof(key), "large%zu", i);
                mirror_set(a, key, json);
        }
        free(json);
        mirror_check(loop, a);
}

static void as_much_as_may_be_is_read_back(void **state _unused_) {
        char key[64];

        for (unsigned i = 0; i < ATTRIBUTES_MAX; i++) {
                snprintf(key, sizeof(key), "group%u.channel%u.option%u", i / 512, i / 16 % 32, i % 16);
                mirror_set(a, key, "\"\\u0001\\u0002\\u0003 some text\"");
        }
        mirror_check(loop, a);
}

/* ---- at random */

static uint64_t seed = 11;

static unsigned below(unsigned n) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)((seed >> 33) % n);
}

static void random_key(char *out) {
        static const char *const parts[] = { "a", "b", "b", "c-d", "true", "False", "named", ".", ".", ".", "_", "1", " ",
                                             "\xc3\xa9", "\"", "\\", "x_y", "L", "{", "<" };

        do {
                out[0] = '\0';
                for (unsigned n = 1 + below(8); n > 0; n--)
                        strcat(out, parts[below(ELEMENTS(parts))]);
        } while (key_check(out, strlen(out), NULL) < 0);
}

static char *random_value(void) {
        char *text = NULL;

        switch (below(4)) {
        case 0:
                assert_true(asprintf(&text, "%lld",
                                     (long long)(((uint64_t)below(UINT32_MAX) << 32 | below(UINT32_MAX)) >> below(64))) > 0);
                break;
        case 1:
                assert_true(asprintf(&text, "%.*g%s", 1 + (int)below(17),
                                     (below(2) ? -1.0 : 1.0) * below(UINT32_MAX) / (1 + below(1000)),
                                     below(2) ? "e-7" : "e+9") > 0);
                if (strstr(text, "e+0") || strchr(text, 'e') != strrchr(text, 'e')) { /* two exponents */
                        free(text);
                        return strdup("0.5");
                }
                break;
        case 2:
                return strdup(values[below(ELEMENTS(values))]);
        default:
                assert_true(asprintf(&text, "\"\\u%04x%c\\u%04x\"", below(0xd7ff), 'a' + (int)below(26), below(0x100)) > 0);
        }
        return text;
}

static void random_maps_are_read_back(void **state _unused_) {
        for (unsigned round = 0; round < 400; round++) {
                _cleanup_(attributes_freep) Attributes *map = mirror_attributes(loop);

                for (unsigned n = below(60); n > 0; n--) {
                        _cleanup_(freep) char *value = random_value();
                        char key[128];

                        random_key(key);
                        mirror_set(map, key, value);
                }
                mirror_check(loop, map);
        }
}

/* ---- files of others */

static Setting *add(Setting *to, SettingType type, const char *name) {
        Setting *s;

        assert_int_equal(setting_new(&s, type, name, "f", 1), 0);
        if (to)
                assert_int_equal(setting_add(to, s), 0);
        return s;
}

static void add_text(Setting *to, const char *name, const char *text) {
        assert_int_equal(setting_set_string(add(to, SETTING_STRING, name), text), 0);
}

static void what_is_none_of_ours_is_counted(void **state _unused_) {
        _cleanup_(setting_freep) Setting *root = add(NULL, SETTING_GROUP, NULL), *list = NULL;
        Setting *entries, *entry, *group;
        char name[KEY_TEXT_MAX + 1];

        add(root, SETTING_INT, "good")->i = 5;
        add(add(root, SETTING_LIST, "list"), SETTING_INT, NULL);     /* 1: a list that is not `named` */
        add(root, SETTING_FLOAT, "infinite")->d = 1e308 * 10;        /* 2 */
        group = add(root, SETTING_GROUP, "g");
        memset(name, 'n', KEY_TEXT_MAX);
        name[KEY_TEXT_MAX] = '\0';
        add(add(group, SETTING_GROUP, name), SETTING_INT, "x");      /* 3: too long for a key */
        add(group, SETTING_LIST, "named");                           /* 4: not at the top */
        entries = add(root, SETTING_LIST, "named");
        add(entries, SETTING_INT, NULL);                             /* 5 */
        entry = add(entries, SETTING_GROUP, NULL);                   /* 6: no value */
        add_text(entry, "name", "x");
        entry = add(entries, SETTING_GROUP, NULL);                   /* 7: json that is none */
        add_text(entry, "name", "y");
        add_text(entry, "json", "{");
        entry = add(entries, SETTING_GROUP, NULL);                   /* 8: a name that is no key */
        add_text(entry, "name", "");
        add_text(entry, "value", "x");
        entry = add(entries, SETTING_GROUP, NULL);                   /* 9: a group as value */
        add_text(entry, "name", "z");
        add(entry, SETTING_GROUP, "value");
        entry = add(entries, SETTING_GROUP, NULL);
        add_text(entry, "name", "fine");
        add_text(entry, "json", "[1]");
        add(entries, SETTING_LIST, NULL);                            /* 10 */
        assert_int_equal(mirror_load(a, root), 10);
        assert_int_equal(attributes_n(a), 2);
        assert_int_equal(attributes_get(a, "good")->value.i, 5);
        assert_string_equal(attributes_get(a, "fine")->json, "[1]");
        list = add(NULL, SETTING_LIST, NULL);
        assert_int_equal(mirror_load(a, list), 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(nothing_is_an_empty_file),
                TEST(names_with_dots_are_groups),
                TEST(a_name_beside_its_group_is_named),
                TEST(every_name_has_its_place),
                TEST(long_names_have_their_place),
                TEST(every_value_is_read_back),
                TEST(every_character_is_read_back),
                TEST(large_values_are_read_back),
                TEST(as_much_as_may_be_is_read_back),
                TEST(random_maps_are_read_back),
                TEST(what_is_none_of_ours_is_counted),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
