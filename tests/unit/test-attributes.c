/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "attributes-world.h"
#include "model/json.h"
#include "tb/tree.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC

static World w;

static int setup(void **state _unused_) {
        world_new(&w);
        return 0;
}

static int teardown(void **state _unused_) {
        world_done(&w);
        return 0;
}

static void go_online(void) {
        w.online = true;
        attributes_online(w.a);
}

static void go_offline(void) {
        w.online = w.open = false;
        attributes_offline(w.a);
}

static void sync_with(const char *shared) {
        _cleanup_(freep) char *text = NULL;

        assert_true(asprintf(&text, "{\"shared\":%s}", shared) > 0);
        if (!w.online)
                go_online();
        world_answer(&w, 0, text);
}

/* ---- the state */

static void the_state_is_asked_for_at_once(void **state _unused_) {
        assert_false(attributes_are_synced(w.a));
        world_advance(&w, 3600 * SEC);
        assert_int_equal(w.asked, 0); /* not offline */
        go_online();
        assert_int_equal(w.asked, 1);
        assert_false(attributes_are_synced(w.a));
        world_answer(&w, 0, "{\"client\":{\"site\":\"roof\"},\"shared\":{\"b\":1,\"a\":\"x\"}}");
        assert_int_equal(w.synced, 1);
        assert_true(attributes_are_synced(w.a));
        world_expect(&w, "{\"a\":\"x\",\"b\":1}");
        assert_string_equal(w.client_text, "{\"site\":\"roof\"}");
        world_advance(&w, 86400 * SEC);
        assert_int_equal(w.asked, 1);
}

static void groups_that_are_empty_are_absent(void **state _unused_) {
        sync_with("{\"a\":1,\"b\":2}");
        world_update(&w, "{\"c\":3}");
        world_advance(&w, SEC);
        world_answer(&w, 0, "{}");
        world_expect(&w, "{}");
        assert_string_equal(w.client_text, "none");
        assert_true(attributes_are_synced(w.a));
}

static void values_are_typed(void **state _unused_) {
        static const char nul[] = "a\0b";
        const Attribute *a;

        sync_with("{\"b\":true,\"i\":9007199254740993,\"l\":-9223372036854775808,\"d\":1.0E7,\"u\":18446744073709551615,"
                  "\"s\":\"a\\u0000b\",\"o\":{\"x\": [1 ]},"
                  "\"n\":[ ]}");
        a = attributes_get(w.a, "b");
        assert_true(a->value.type == VALUE_BOOL && a->value.b);
        a = attributes_get(w.a, "i");
        assert_true(a->value.type == VALUE_INT && a->value.i == 9007199254740993);
        a = attributes_get(w.a, "l");
        assert_true(a->value.type == VALUE_INT && a->value.i == INT64_MIN);
        a = attributes_get(w.a, "d");
        assert_true(a->value.type == VALUE_DOUBLE && a->value.d == 1e7);
        assert_string_equal(a->json, "1.0E7");
        a = attributes_get(w.a, "u");
        assert_true(a->value.type == VALUE_DOUBLE && a->value.d == 0x1p64);
        a = attributes_get(w.a, "s");
        assert_true(a->value.type == VALUE_STRING && a->value.s.size == 3);
        assert_memory_equal(a->value.s.text, nul, 3);
        a = attributes_get(w.a, "o");
        assert_int_equal(a->value.type, VALUE_JSON);
        assert_memory_equal(a->value.s.text, "{\"x\":[1]}", a->value.s.size);
        assert_int_equal(attributes_get(w.a, "n")->value.type, VALUE_JSON);
        assert_null(attributes_get(w.a, "x"));
        assert_int_equal(attributes_lower_bound(w.a, "c"), 1);
        assert_int_equal(attributes_lower_bound(w.a, "zz"), 8);
}

static void a_double_written_otherwise_is_no_change(void **state _unused_) {
        assert_int_equal(attributes_set(w.a, "x", "10000000.0", 10), 0);
        assert_int_equal(attributes_set(w.copy, "x", "10000000.0", 10), 0);
        sync_with("{\"x\":1.0E7}");
        assert_int_equal(w.changes, 0);
        world_update(&w, "{\"x\":1e7}");
        assert_int_equal(w.changes, 0);
        world_update(&w, "{\"x\":10000000}");
        assert_int_equal(w.changes, 1);
}

/* ---- when it is asked again */

static void an_update_is_checked_when_it_is_calm(void **state _unused_) {
        sync_with("{\"a\":1}");
        world_update(&w, "{\"a\":2,\"b\":3}");
        world_expect(&w, "{\"a\":2,\"b\":3}");
        assert_false(attributes_are_synced(w.a));
        world_advance(&w, 400 * MSEC);
        world_update(&w, "{\"deleted\":[\"b\",\"never\"]}");
        world_advance(&w, 480 * MSEC);
        assert_int_equal(w.asked, 1);
        world_advance(&w, 40 * MSEC);
        assert_int_equal(w.asked, 2);
        world_expect(&w, "{\"a\":2}");
        world_answer(&w, 0, "{\"shared\":{\"a\":2}}");
        assert_true(attributes_are_synced(w.a));
        assert_int_equal(w.synced, 1); /* once for a connection */
        assert_int_equal(w.changes, 4);
}

static void updates_without_an_end_are_checked_all_the_same(void **state _unused_) {
        sync_with("{}");
        for (int i = 0; i < 100; i++) { /* 20 s */
                char text[32];

                snprintf(text, sizeof(text), "{\"a\":%d}", i);
                world_update(&w, text);
                world_advance(&w, 200 * MSEC);
                if (w.open) {
                        snprintf(text, sizeof(text), "{\"shared\":{\"a\":%d}}", i);
                        world_answer(&w, 0, text);
                }
        }
        assert_in_range(w.asked, 4, 6);
}

static void an_update_during_the_question_asks_again(void **state _unused_) {
        go_online();
        world_update(&w, "{\"a\":1}");
        world_advance(&w, 60 * SEC);
        assert_int_equal(w.asked, 1); /* the first is still open */
        world_answer(&w, 0, "{\"shared\":{\"a\":0}}");
        world_expect(&w, "{\"a\":0}"); /* whichever is older: the next answer tells */
        assert_int_equal(w.synced, 0);
        world_advance(&w, SEC);
        assert_int_equal(w.asked, 2);
        world_answer(&w, 0, "{\"shared\":{\"a\":1}}");
        assert_int_equal(w.synced, 1);
        world_expect(&w, "{\"a\":1}");
}

static void pauses_grow_where_there_is_no_answer(void **state _unused_) {
        static const usec_t pauses[] = { 1, 2, 4, 8, 16, 32, 64, 120, 120, 120 };

        go_online();
        for (size_t i = 0; i < ELEMENTS(pauses); i++) {
                assert_true(w.open);
                world_answer(&w, i % 2 ? -ETIMEDOUT : 0, i % 2 ? NULL : "[]");
                world_advance(&w, pauses[i] * SEC - 1);
                assert_false(w.open);
                world_advance(&w, 20 * MSEC);
        }
        world_answer(&w, 0, "{}");
        assert_int_equal(w.synced, 1);
        world_update(&w, "{\"a\":1}");
        world_advance(&w, SEC);
        world_answer(&w, -ETIMEDOUT, NULL);
        world_advance(&w, SEC + 20 * MSEC); /* from the smallest again */
        assert_true(w.open);
}

static void a_question_that_cannot_be_sent_is_tried_again(void **state _unused_) {
        w.refuse = -EAGAIN;
        go_online();
        assert_int_equal(w.asked, 0);
        world_advance(&w, 10 * SEC);
        w.refuse = 0;
        world_advance(&w, 10 * SEC);
        assert_int_equal(w.asked, 1);
        assert_int_equal(w.times[0] / SEC, 15); /* 1 + 2 + 4 + 8 */
        world_answer(&w, 0, "{}");
        assert_int_equal(w.synced, 1);
}

static void nothing_is_asked_offline(void **state _unused_) {
        sync_with("{\"a\":1}");
        world_update(&w, "{\"a\":2}");
        go_offline();
        assert_false(attributes_are_synced(w.a));
        world_advance(&w, 3600 * SEC);
        assert_int_equal(w.asked, 1);
        go_online();
        assert_int_equal(w.asked, 2);
        world_answer(&w, -ETIMEDOUT, NULL);
        go_offline();
        world_advance(&w, 3600 * SEC);
        assert_int_equal(w.asked, 2);
        world_expect(&w, "{\"a\":2}"); /* in force until the server says something else */
        go_online();
        world_answer(&w, 0, "{}");
        assert_int_equal(w.synced, 2);
}

/* Nobody waits for it: the one to the next question comes under its own. */
static void an_answer_that_nobody_waits_for_is_left_aside(void **state _unused_) {
        attributes_answer(w.a, 0, "{\"shared\":{\"a\":1}}", 18);
        sync_with("{\"b\":1}");
        attributes_answer(w.a, 0, "{\"shared\":{\"a\":1}}", 18);
        world_expect(&w, "{\"b\":1}");
        go_online();
        go_offline();
        attributes_answer(w.a, -ENOTCONN, NULL, 0); /* the client's order of telling */
        world_advance(&w, 3600 * SEC);
        assert_int_equal(w.asked, 2);
}

/* ---- what is not understood */

static void odd_answers_change_nothing(void **state _unused_) {
        static const char *const odd[] = { "", "[]", "null", "5", "{\"shared\":5}", "{\"shared\":[]}", "{\"shared\":\"x\"}",
                                           "{\"shared\":{\"a\":2}", "{\"shared\":{\"a\" 2}}",
                                           "{\"shared\":{\"a\":2}}x", "{\"shared\":{\"a\":2},}", "{\"shared\":{a:2}}",
                                           "{\"shared\":{\"\xff\":2}}" };

        sync_with("{\"a\":1}");
        for (size_t i = 0; i <= ELEMENTS(odd); i++) {
                go_offline();
                go_online();
                world_answer(&w, 0, i < ELEMENTS(odd) ? odd[i] : NULL);
                assert_int_equal(w.warnings, i + 1);
                assert_non_null(strstr(w.warning, "answer"));
                world_expect(&w, "{\"a\":1}");
        }
        assert_non_null(strstr(w.warning, "too large"));
        assert_int_equal(w.synced, 1);
}

static void odd_updates_are_told_and_checked(void **state _unused_) {
        static const char *const odd[] = { "", "[]", "null", "5", "\"a\"", "{\"a\":2", "{\"a\":2}x", "{\"a\":2,}", "{a:2}" };

        sync_with("{\"a\":1}");
        for (size_t i = 0; i <= ELEMENTS(odd); i++) {
                world_update(&w, i < ELEMENTS(odd) ? odd[i] : NULL);
                assert_int_equal(w.warnings, i + 1);
                world_expect(&w, "{\"a\":1}");
                world_advance(&w, SEC);
                assert_int_equal(w.asked, i + 2);
                world_answer(&w, 0, "{\"shared\":{\"a\":1}}");
        }
        assert_non_null(strstr(w.warning, "too large"));
        assert_true(attributes_are_synced(w.a));
}

/* One that cannot be kept must not keep the others out. */
static void an_odd_value_is_left_out_alone(void **state _unused_) {
        static const char *const odd[] = {
                "1e400", "-1e999", "100000000000000000000", "{\"x\":[1e1000]}", "{\"x\":\"}\",\"y\":1e400}",
                "[-9223372036854775809]", "null", "NaN",
                "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "\"\xff\"", "{\"a\\u0000b\":1}",
        };
        char text[300];

        for (size_t i = 0; i < ELEMENTS(odd); i++) {
                snprintf(text, sizeof(text),
                         "{ \"client\" : {\"c\":%s,\"d\":4} , \"shared\":{\"a\":1,\"odd\":%s,\"b\":[2,\"],}\\\\\"]}}", odd[i],
                         odd[i]);
                go_online();
                world_answer(&w, 0, text);
                world_expect(&w, "{\"a\":1,\"b\":[2,\"],}\\\\\"]}");
                assert_non_null(strstr(w.client_text, "\"d\":4"));
                assert_int_equal(w.synced, i + 1);

                world_update(&w, "{\"odd\":5}");
                snprintf(text, sizeof(text), "{\"a\":1,\"odd\" : %s ,\"e\":{}}", odd[i]);
                world_update(&w, text);
                world_expect(&w, "{\"a\":1,\"b\":[2,\"],}\\\\\"],\"e\":{}}"); /* an older value would be wrong */
                go_offline();
        }
        assert_int_equal(w.warnings, 1); /* once in a life is enough */
        assert_non_null(strstr(w.warning, "\"odd\" is left out"));
}

static void as_deep_as_a_document_may_be(void **state _unused_) {
        char deep[2 * JSON_DEPTH_MAX + 1], text[200];

        memset(deep, '[', JSON_DEPTH_MAX);
        memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
        deep[2 * JSON_DEPTH_MAX] = '\0';
        snprintf(text, sizeof(text), "{\"d\":%s}", deep);
        sync_with(text);
        world_expect(&w, text);
        world_update(&w, "{\"d\":1}");
        world_update(&w, text);
        world_expect(&w, text);
        assert_int_equal(w.warnings, 0);
}

/* ---- {"deleted":[...]} */

static void deleted_may_be_an_attribute_too(void **state _unused_) {
        sync_with("{\"a\":1,\"b\":2}");
        world_update(&w, "{\"deleted\":[\"a\",1]}");
        world_expect(&w, "{\"a\":1,\"b\":2,\"deleted\":[\"a\",1]}");
        world_update(&w, "{\"deleted\":\"a\"}");
        world_expect(&w, "{\"a\":1,\"b\":2,\"deleted\":\"a\"}");
        world_update(&w, "{\"deleted\":{}}");
        world_update(&w, "{\"deleted\":[\"a\"],\"c\":3}");
        world_expect(&w, "{\"a\":1,\"b\":2,\"c\":3,\"deleted\":[\"a\"]}");
        world_update(&w, "{\"deleted\":[]}"); /* nothing is deleted, whatever it was meant to be */
        world_expect(&w, "{\"a\":1,\"b\":2,\"c\":3,\"deleted\":[\"a\"]}");
        world_update(&w, "{\"deleted\":[\"deleted\",\"deleted\",\"c\",\"x\"]}");
        world_expect(&w, "{\"a\":1,\"b\":2}");
        world_update(&w, "{\"deleted\":[\"a\",\"b\"]}"); /* the attribute was meant */
        world_advance(&w, SEC);
        world_answer(&w, 0, "{\"shared\":{\"a\":1,\"b\":2,\"deleted\":[\"a\",\"b\"]}}");
        world_expect(&w, "{\"a\":1,\"b\":2,\"deleted\":[\"a\",\"b\"]}");
}

/* ---- bounds */

/* What another program wrote is no reason to be without all others; a name is only bounded. */
static void any_text_is_a_name(void **state _unused_) {
        char text[2 * KEY_TEXT_MAX], key[KEY_TEXT_MAX + 2];

        sync_with("{}");
        memset(key, 'k', sizeof(key));
        key[KEY_TEXT_MAX + 1] = '\0';
        snprintf(text, sizeof(text), "{\"\":1,\"%s\":1}", key);
        world_update(&w, text);
        world_expect(&w, "{}");
        key[KEY_TEXT_MAX] = '\0';
        snprintf(text, sizeof(text), "{\"%s\":1}", key);
        world_update(&w, text);
        world_expect(&w, text);
        world_update(&w, "{\"ts\":1,\"values\":{},\"a b\":2,\"\xd1\x82\":3,\"\\\"\":4,\" \":5,\"<b>\":6,\"{{x}}\":7,\"a\\u0001\":8}");
        assert_int_equal(attributes_n(w.a), 10);
        assert_int_equal(w.warnings, 1);
}

static char *quoted_text(char c, size_t json_size) {
        char *text = malloc(json_size + 1);

        assert_non_null(text);
        memset(text, c, json_size);
        text[0] = text[json_size - 1] = '"';
        text[json_size] = '\0';
        return text;
}

static void update_with(const char *key, char c, size_t json_size) {
        _cleanup_(freep) char *value = quoted_text(c, json_size), *text = NULL;

        assert_true(asprintf(&text, "{\"%s\":%s}", key, value) > 0);
        world_update(&w, text);
}

static void a_value_has_at_most_64_kib(void **state _unused_) {
        sync_with("{\"x\":1}");
        update_with("x", 'a', 64 * KIB);
        assert_int_equal(attributes_get(w.a, "x")->json_size, 64 * KIB);
        assert_int_equal(w.warnings, 0);
        update_with("x", 'a', 64 * KIB + 1);
        assert_null(attributes_get(w.a, "x"));
        assert_int_equal(w.warnings, 1);
        assert_non_null(strstr(w.warning, "\"x\" is left out: it is larger than 64 KiB"));
        update_with("x", 'b', 100);
        assert_non_null(attributes_get(w.a, "x"));
}

static char *many(const char *prefix, unsigned n) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputc('{', f);
        for (unsigned i = 0; i < n; i++)
                fprintf(f, "%s\"%s%u\":%u", i > 0 ? "," : "", prefix, i, i);
        fputc('}', f);
        fclose(f);
        return text;
}

static void so_many_keys_are_kept(void **state _unused_) {
        _cleanup_(freep) char *first = many("a", ATTRIBUTES_MAX), *others = many("b", ATTRIBUTES_MAX);
        _cleanup_(freep) char *more = many("c", ATTRIBUTES_MAX + 1);

        sync_with(first);
        assert_int_equal(attributes_n(w.a), ATTRIBUTES_MAX);
        world_update(&w, "{\"one_more\":1}");
        assert_null(attributes_get(w.a, "one_more"));
        assert_int_equal(w.warnings, 1);
        world_update(&w, "{\"a7\":\"changed\"}");
        world_update(&w, "{\"deleted\":[\"a8\"]}");
        world_update(&w, "{\"one_more\":1}");
        assert_non_null(attributes_get(w.a, "one_more"));
        go_offline();
        sync_with(others); /* all of them other ones: the old ones must not be in the way */
        assert_int_equal(attributes_n(w.a), ATTRIBUTES_MAX);
        assert_non_null(attributes_get(w.a, "b0"));
        assert_non_null(attributes_get(w.a, "b4095"));
        go_offline();
        sync_with(more);
        assert_int_equal(attributes_n(w.a), ATTRIBUTES_MAX);
        assert_int_equal(w.warnings, 1);
}

static char *large(char c, unsigned n, size_t each) {
        _cleanup_(freep) char *value = quoted_text(c, each);
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputc('{', f);
        for (unsigned i = 0; i < n; i++)
                fprintf(f, "%s\"k%02u\":%s", i > 0 ? "," : "", i, value);
        fputc('}', f);
        fclose(f);
        return text;
}

/* Keys of three bytes, 32 values. */
static void all_have_at_most_1_mib(void **state _unused_) {
        const size_t each = ATTRIBUTES_BYTES_MAX / 32 - 3;
        _cleanup_(freep) char *full = large('x', 32, each), *other = large('y', 32, each);

        sync_with(full);
        assert_int_equal(attributes_n(w.a), 32);
        world_update(&w, "{\"k\":1}");
        assert_int_equal(attributes_n(w.a), 32);
        assert_int_equal(w.warnings, 1);
        update_with("k31", 'z', each + 1);
        assert_null(attributes_get(w.a, "k31"));
        update_with("k31", 'z', each - 1);
        assert_non_null(attributes_get(w.a, "k31"));
        go_offline();
        sync_with(other);
        assert_int_equal(attributes_n(w.a), 32);
        assert_int_equal(attributes_get(w.a, "k00")->json[1], 'y');
        go_offline();
        sync_with("{\"k\":1}");
        world_expect(&w, "{\"k\":1}");
}

static void what_is_kept_from_before_is_checked(void **state _unused_) {
        _cleanup_(freep) char *value = quoted_text('x', 64 * KIB + 1);

        assert_int_equal(attributes_set(w.a, "a", " 5 ", 3), 0);
        assert_int_equal(attributes_set(w.a, "a", "6", 1), 0);
        assert_string_equal(attributes_get(w.a, "a")->json, "6");
        assert_int_equal(attributes_set(w.a, "b", "null", 4), -EINVAL);
        assert_int_equal(attributes_set(w.a, "b", "x", 1), -EINVAL);
        assert_int_equal(attributes_set(w.a, "b", "", 0), -EINVAL);
        assert_int_equal(attributes_set(w.a, "", "1", 1), -EINVAL);
        assert_int_equal(attributes_set(w.a, "b", value, 64 * KIB + 1), -E2BIG);
        assert_int_equal(attributes_n(w.a), 1);
        for (unsigned i = 1; i < ATTRIBUTES_MAX; i++) {
                char key[16];

                snprintf(key, sizeof(key), "k%u", i);
                assert_int_equal(attributes_set(w.a, key, "1", 1), 0);
        }
        assert_int_equal(attributes_set(w.a, "b", "1", 1), -E2BIG);
        assert_int_equal(w.changes + w.warnings, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(the_state_is_asked_for_at_once),
                TEST(groups_that_are_empty_are_absent),
                TEST(values_are_typed),
                TEST(a_double_written_otherwise_is_no_change),
                TEST(an_update_is_checked_when_it_is_calm),
                TEST(updates_without_an_end_are_checked_all_the_same),
                TEST(an_update_during_the_question_asks_again),
                TEST(pauses_grow_where_there_is_no_answer),
                TEST(a_question_that_cannot_be_sent_is_tried_again),
                TEST(nothing_is_asked_offline),
                TEST(an_answer_that_nobody_waits_for_is_left_aside),
                TEST(odd_answers_change_nothing),
                TEST(odd_updates_are_told_and_checked),
                TEST(an_odd_value_is_left_out_alone),
                TEST(as_deep_as_a_document_may_be),
                TEST(deleted_may_be_an_attribute_too),
                TEST(any_text_is_a_name),
                TEST(a_value_has_at_most_64_kib),
                TEST(so_many_keys_are_kept),
                TEST(all_have_at_most_1_mib),
                TEST(what_is_kept_from_before_is_checked),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
