/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/json.h"
#include "tb/tree.h"

/* From memory that ends with the text, so that reading one byte too many is seen. */
static int parse_bytes(const char *text, size_t size, json_object **ret) {
        _cleanup_(freep) char *exact = malloc(size > 0 ? size : 1);

        assert_non_null(exact);
        memcpy(exact, text, size);
        return tree_parse(exact, size, ret);
}

static json_object *parse(const char *text) {
        json_object *o = (json_object *)-1;

        if (parse_bytes(text, strlen(text), &o) != 0)
                fail_msg("not taken: %s", text);
        return o;
}

static void expect_text(json_object *o, const char *expected) {
        _cleanup_(freep) char *text = NULL;
        size_t size;

        text = tree_text(o, &size);
        assert_non_null(text);
        assert_string_equal(text, expected);
        assert_int_equal(size, strlen(expected));
}

static void values_keep_their_text(void **state _unused_) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "null", "null" }, { "true", "true" }, { " \t\r\n false\n", "false" }, { "0", "0" }, { "-7", "-7" },
                { "9223372036854775807", "9223372036854775807" }, { "-9223372036854775808", "-9223372036854775808" },
                { "9007199254740993", "9007199254740993" }, { "18446744073709551615", "18446744073709551615" },
                { "1.0", "1.0" }, { "1.10", "1.10" }, { "1.0E7", "1.0E7" }, { "1e-4", "1e-4" }, { "-0.0", "-0.0" },
                { "0.30000000000000004", "0.30000000000000004" }, { "5e-324", "5e-324" },
                { "1.7976931348623157e308", "1.7976931348623157e308" }, { "3.14159265358979323846", "3.14159265358979323846" },
                { "\"\"", "\"\"" }, { "\"a/b\"", "\"a/b\"" }, { "\"\\u0041\\n\\\"\"", "\"A\\n\\\"\"" },
                { "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" }, { "\"\\u0000\"", "\"\\u0000\"" }, { "[]", "[]" },
                { "{\"\xc3\xa9\":\"\xe2\x82\xac \xf0\x9f\x98\x80 \x7f\"}",
                  "{\"\xc3\xa9\":\"\xe2\x82\xac \xf0\x9f\x98\x80 \x7f\"}" }, { "{}", "{}" },
                { "[ 1 , [ null , { \"a\" : 2 } ] ]", "[1,[null,{\"a\":2}]]" },
                { "{\"b\":1,\"a\":{\"c\":null}}", "{\"b\":1,\"a\":{\"c\":null}}" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(tree_putp) json_object *o = parse(cases[i].in);

                expect_text(o, cases[i].out);
        }
        assert_null(parse("null"));
}

static void what_is_no_json_is_refused(void **state _unused_) {
        static const char *const bad[] = {
                "", " ", "nul", "NaN", "-Infinity", "Infinity", "nan", "1.", ".5", "+1", "01", "-", "0x10", "1e", "1e400",
                "-1e400", "1e1000",
                "{", "[", "]", "[1,]", "[,1]", "{,}", "{\"a\":1,}", "{a:1}", "{'a':1}", "'a'", "\"a", "\"\\x\"", "\"\\u12\"",
                "\"\n\"", "\"\t\"",
                "1 2", "{}x", "[] ]", "null null", "true false", "// c\n1", "/* c */ 1", "1 // c", "\xef\xbb\xbf[]",
                "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "{\"\xff\":1}",
        };

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                json_object *o = (json_object *)-1;

                if (parse_bytes(bad[i], strlen(bad[i]), &o) != -EBADMSG)
                        fail_msg("taken: %s", bad[i]);
                assert_ptr_equal(o, (json_object *)-1);
        }
        json_object *o;
        assert_int_equal(parse_bytes("1\0", 2, &o), -EBADMSG);
        assert_int_equal(parse_bytes("[1\0]", 4, &o), -EBADMSG);
        assert_int_equal(parse_bytes("\"a\0b\"", 5, &o), -EBADMSG);
}

static char *nested(unsigned depth, const char *open, const char *inner, const char *close) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        for (unsigned i = 0; i < depth; i++)
                fputs(open, f);
        fputs(inner, f);
        for (unsigned i = 0; i < depth; i++)
                fputs(close, f);
        fclose(f);
        return text;
}

static void depth_is_bounded(void **state _unused_) {
        static const struct {
                const char *open, *inner, *close;
        } kinds[] = { { "[", "", "]" }, { "[", "1", "]" }, { "{\"a\":", "\"x\"", "}" }, { "[{\"a\":", "null", "}]" } };

        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                unsigned step = strlen(kinds[i].open) > 5 ? 2 : 1; /* levels of each */

                for (unsigned depth = 1; depth <= 10000; depth = depth < 40 ? depth + 1 : depth * 10) {
                        _cleanup_(freep) char *text = nested(depth, kinds[i].open, kinds[i].inner, kinds[i].close);
                        json_object *o = NULL;

                        assert_int_equal(parse_bytes(text, strlen(text), &o), depth * step <= JSON_DEPTH_MAX ? 0 : -EBADMSG);
                        json_object_put(o);
                }
        }
}

/* json-c keeps names as texts that end with NUL: "a\0b" would become "a". */
static void names_with_nul_are_refused(void **state _unused_) {
        static const char *const bad[] = { "{\"a\\u0000b\":1}", "{\"\\u0000\":1}", "[{\"x\":{\"y\\u0000\":1}}]",
                                           "{\"v\":\"\\u0000\",\"\\\\\\u0000\":1}" };
        static const char *const good[] = { "{\"a\\\\u0000b\":1}", "{\"a\":\"\\u0000\"}", "{\"\\\\\\\\u0000\":1}",
                                            "[\"\\u0000\"]" };
        json_object *o;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (parse_bytes(bad[i], strlen(bad[i]), &o) != -EBADMSG)
                        fail_msg("taken: %s", bad[i]);
        for (size_t i = 0; i < ELEMENTS(good); i++) {
                o = parse(good[i]);
                expect_text(o, good[i]);
                json_object_put(o);
        }
}

/* The last of two members with one name counts, as everywhere; who minds (tb/request) looks for himself. */
static void the_last_of_a_name_counts(void **state _unused_) {
        _cleanup_(tree_putp) json_object *o = parse("{\"a\":1,\"\\u0061\":2}");

        expect_text(o, "{\"a\":2}");
}

/* json-c would take the nearest that it has, without a word. */
static void whole_numbers_beyond_64_bits_are_refused(void **state _unused_) {
        static const char *const bad[] = { "18446744073709551616", "-9223372036854775809", "[1,{\"a\":99999999999999999999}]",
                                           "100000000000000000000000",
                                           "[0.5,-10000000000000000000]" };
        static const char *const good[] = { "1000000000000000000000.0", "0.12345678901234567890123", "1e25",
                                            "\"18446744073709551616\"",
                                            "{\"18446744073709551616\":-1.5e-20}" };
        json_object *o;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (parse_bytes(bad[i], strlen(bad[i]), &o) != -EBADMSG)
                        fail_msg("taken: %s", bad[i]);
        for (size_t i = 0; i < ELEMENTS(good); i++) {
                o = parse(good[i]);
                expect_text(o, good[i]);
                json_object_put(o);
        }
}

static void members_are_found(void **state _unused_) {
        _cleanup_(tree_putp) json_object *o = parse("{\"a\":1,\"n\":null,\"\":2}"), *list = parse("[1]");

        assert_int_equal(json_object_get_int64(tree_member(o, "a")), 1);
        assert_int_equal(json_object_get_int64(tree_member(o, "")), 2);
        assert_null(tree_member(o, "n"));
        assert_null(tree_member(o, "b"));
        assert_null(tree_member(list, "a"));
        assert_null(tree_member(NULL, "a"));
}

/* ---- members, each for itself */

static int parse_members(const char *text, unsigned levels, json_object **ret) {
        _cleanup_(freep) char *exact = malloc(strlen(text) + 1);

        assert_non_null(exact);
        memmove(exact + 1, text, strlen(text)); /* so that both ends are watched */
        return tree_parse_members(exact + 1, strlen(text), levels, ret);
}

static void members_are_parsed_each_for_itself(void **state _unused_) {
        static const struct {
                const char *in;
                unsigned levels;
                const char *out;
        } cases[] = {
                { "{}", 1, "{}" }, { " { } ", 1, "{}" }, { "{\"a\":1}", 1, "{\"a\":1}" },
                { "{\"a\":1e400,\"b\" : 2 }", 1, "{\"a\":null,\"b\":2}" },
                { "{\"a\":[1,{\"]}\":2,\"x\":1e400}],\"b\":\"}\\\",\"}", 1, "{\"a\":null,\"b\":\"}\\\",\"}" },
                { "{\"a\":{\"b\":1e400,\"c\":1}}", 1, "{\"a\":null}" },
                { "{\"a\":{\"b\":1e400,\"c\":1}}", 2, "{\"a\":{\"b\":null,\"c\":1}}" },
                { "{\"a\":{\"b\":{\"c\":1e400,\"d\":2}}}", 2, "{\"a\":{\"b\":null}}" },
                { "{\"a\\u0000b\":1,\"c\":2}", 1, "{\"c\":2}" },
                { "{\"a\":,\"b\":1}", 1, "{\"a\":null,\"b\":1}" }, { "{\"a\":{\"b\":1,},\"c\":2}", 2, "{\"a\":null,\"c\":2}" },
                { "{\"\\u0061\":1,\"b\":nope}", 1, "{\"a\":1,\"b\":null}" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(tree_putp) json_object *o = NULL;

                if (parse_members(cases[i].in, cases[i].levels, &o) != 0)
                        fail_msg("not taken: %s", cases[i].in);
                expect_text(o, cases[i].out);
        }
}

static void what_is_no_object_has_no_members(void **state _unused_) {
        static const char *const bad[] = { "", "[]", "1", "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}",
                                           "{\"a\":1}x", "{\"a\":1]", "{a:1}",
                                           "{\"a\":\"", "{\"a\":\"\\", "{\"a\":\"\\\"}", "{\"a\":[[[[", "{\"a\":{\"b\":1}" };
        json_object *o;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (parse_members(bad[i], 2, &o) != -EBADMSG)
                        fail_msg("taken: %s", bad[i]);
}

/* ---- settings */

static Setting *setting(const char *text) {
        _cleanup_(tree_putp) json_object *o = parse(text);
        Setting *s = NULL;

        assert_int_equal(tree_setting(o, &s), 0);
        assert_null(s->name);
        assert_null(s->file);
        return s;
}

static void scalars_become_settings(void **state _unused_) {
        static const struct {
                const char *text;
                SettingType type;
                int64_t i;
                double d;
        } cases[] = {
                { "true", SETTING_BOOL, 1, 0 }, { "false", SETTING_BOOL, 0, 0 }, { "0", SETTING_INT, 0, 0 },
                { "9223372036854775807", SETTING_INT, INT64_MAX, 0 }, { "-9223372036854775808", SETTING_INT, INT64_MIN, 0 },
                { "9223372036854775808", SETTING_FLOAT, 0, 0x1p63 }, { "18446744073709551615", SETTING_FLOAT, 0, 0x1p64 },
                { "1.0", SETTING_FLOAT, 0, 1 }, { "1e3", SETTING_FLOAT, 0, 1000 }, { "-0.25", SETTING_FLOAT, 0, -0.25 },
                { "5e-324", SETTING_FLOAT, 0, 0x1p-1074 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(setting_freep) Setting *s = setting(cases[i].text);

                assert_int_equal(s->type, cases[i].type);
                if (s->type == SETTING_BOOL)
                        assert_int_equal(s->b, cases[i].i);
                else if (s->type == SETTING_INT)
                        assert_int_equal(s->i, cases[i].i);
                else
                        assert_true(s->d == cases[i].d);
        }
}

static void texts_become_settings(void **state _unused_) {
        _cleanup_(setting_freep) Setting *s = setting("\"10s \\\"x\\\" \\u00e9\"");

        assert_int_equal(s->type, SETTING_STRING);
        assert_string_equal(s->s, "10s \"x\" \xc3\xa9");
}

static void lists_and_objects_become_settings(void **state _unused_) {
        _cleanup_(setting_freep) Setting *s = setting("{\"a\":[1,2.5,\"x\",[true]],\"b\":{\"c\":{}}}");
        const Setting *a = setting_child(s, "a");

        assert_int_equal(s->type, SETTING_GROUP);
        assert_int_equal(a->type, SETTING_LIST);
        assert_int_equal(a->n_children, 4);
        assert_int_equal(a->children[0]->i, 1);
        assert_true(a->children[1]->d == 2.5);
        assert_string_equal(a->children[2]->s, "x");
        assert_true(a->children[3]->children[0]->b);
        assert_null(a->children[3]->name);
        assert_int_equal(setting_lookup(s, "b.c")->type, SETTING_GROUP);
        assert_int_equal(setting_lookup(s, "b.c")->n_children, 0);
}

static void null_is_no_setting(void **state _unused_) {
        static const char *const texts[] = { "[null]", "{\"a\":null}", "[1,[2,{\"b\":[null]}]]" };
        Setting *s = (Setting *)-1;

        assert_int_equal(tree_setting(NULL, &s), -EINVAL);
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(tree_putp) json_object *o = parse(texts[i]);

                assert_int_equal(tree_setting(o, &s), -EINVAL);
        }
        assert_ptr_equal(s, (Setting *)-1);
}

/* What a host may be sent: it comes out of the encoding as it went in. */
static void settings_can_be_encoded(void **state _unused_) {
        _cleanup_(setting_freep) Setting *s = setting("{\"a\":[1,[2.5,\"\"]],\"\":true}"), *again = NULL;
        _cleanup_(freep) uint8_t *data = malloc(setting_encoded_size(s));

        assert_non_null(data);
        assert_int_equal(setting_decode(data, setting_encode(s, data), &again), 0);
        assert_true(setting_same(s, again));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_keep_their_text),
                cmocka_unit_test(what_is_no_json_is_refused),
                cmocka_unit_test(depth_is_bounded),
                cmocka_unit_test(names_with_nul_are_refused),
                cmocka_unit_test(the_last_of_a_name_counts),
                cmocka_unit_test(whole_numbers_beyond_64_bits_are_refused),
                cmocka_unit_test(members_are_found),
                cmocka_unit_test(members_are_parsed_each_for_itself),
                cmocka_unit_test(what_is_no_object_has_no_members),
                cmocka_unit_test(scalars_become_settings),
                cmocka_unit_test(texts_become_settings),
                cmocka_unit_test(lists_and_objects_become_settings),
                cmocka_unit_test(null_is_no_setting),
                cmocka_unit_test(settings_can_be_encoded),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
