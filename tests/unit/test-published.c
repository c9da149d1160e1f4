/* SPDX-License-Identifier: Apache-2.0 */
/* Client attributes on a simulated clock, and a server that keeps what it gets, as it would: a text that is a number
 * becomes one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/published.h"
#include "tb/tree.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC
#define MESSAGES_MAX 256

typedef struct Test {
        Loop *loop;
        Published *p;
        json_object *server; /* what it has */
        unsigned n, points;  /* messages, and what take() was asked for */
        uint64_t contexts[MESSAGES_MAX];
        char *messages[MESSAGES_MAX];
        bool hold;           /* no PUBACK by itself */
        int refuse;          /* publish() fails with this */
        size_t payload_max;  /* larger ones: -E2BIG */
        uint32_t most;       /* points in one message; 0: as many as there are */
        usec_t delay;        /* of take() */
        unsigned takes;
} Test;

static Test test;

static usec_t on_take(void *userdata _unused_, uint32_t *points) {
        test.takes++;
        assert_in_range(*points, 1, 64);
        if (test.most > 0)
                *points = MIN(*points, test.most);
        test.points += test.delay > 0 ? 0 : *points;
        return test.delay;
}

static int on_publish(void *userdata _unused_, const char *json, size_t size, uint64_t context) {
        if (test.refuse < 0)
                return test.refuse;
        if (test.payload_max > 0 && size > test.payload_max)
                return -E2BIG;
        assert_true(test.n < MESSAGES_MAX);
        assert_true(size <= 32 * KIB);
        test.messages[test.n] = strndup(json, size);
        test.contexts[test.n++] = context;
        return 0;
}

/* A server of this kind: texts that are numbers become numbers. */
static json_object *cast(json_object *o) {
        const char *text = json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
        json_object *number = NULL;

        if (text[0] && tree_parse(text, strlen(text), &number) == 0 &&
            (json_object_is_type(number, json_type_int) || json_object_is_type(number, json_type_double)))
                return number;
        json_object_put(number);
        return json_object_get(o);
}

static void store(const char *json) {
        _cleanup_(tree_putp) json_object *o = NULL;

        assert_int_equal(tree_parse(json, strlen(json), &o), 0);
        assert_true(json_object_is_type(o, json_type_object));
        assert_true(json_object_object_length(o) > 0);
        json_object_object_foreach(o, key, value)
                json_object_object_add(test.server, key, cast(value));
}

static void acknowledge(unsigned i, int code) {
        if (code == 0)
                store(test.messages[i]);
        published_delivered(test.p, test.contexts[i], code);
}

static void advance(usec_t by) {
        for (usec_t end = loop_monotonic(test.loop) + by; loop_monotonic(test.loop) < end;) {
                unsigned before = test.n;

                assert_int_equal(loop_advance(test.loop, 10 * MSEC), 0);
                for (unsigned i = before; !test.hold && i < test.n; i++)
                        acknowledge(i, 0);
        }
}

static int setup(void **state _unused_) {
        PublishedParams p = { .publish = on_publish, .take = on_take };

        test = (Test){ .server = json_object_new_object() };
        if (loop_new_simulated(&test.loop, 0) < 0)
                return -1;
        p.loop = test.loop;
        return published_new(&test.p, &p);
}

static void forget_messages(void) {
        for (unsigned i = 0; i < test.n; i++)
                free(test.messages[i]);
        test.n = test.points = test.takes = 0;
}

static int teardown(void **state _unused_) {
        published_free(test.p);
        forget_messages();
        json_object_put(test.server);
        loop_free(test.loop);
        return 0;
}

static void set(const char *key, const char *json) {
        assert_int_equal(published_set(test.p, key, json), 0);
}

/* A connection, on which the server says what it has. */
static void connect_and_compare(void) {
        published_online(test.p);
        advance(100 * MSEC);
        published_compare(test.p, test.server);
}

static void expect_server(const char *json) {
        assert_string_equal(json_object_to_json_string_ext(test.server, JSON_C_TO_STRING_PLAIN), json);
}

/* ---- sending */

static void nothing_is_sent_offline(void **state _unused_) {
        set("a", "1");
        advance(3600 * SEC);
        assert_int_equal(test.n, 0);
        assert_string_equal(published_get(test.p, "a"), "1");
        assert_null(published_get(test.p, "b"));
}

static void changes_are_gathered(void **state _unused_) {
        connect_and_compare();
        set("a", "1");
        advance(50 * MSEC);
        set("b", " \"x\" ");
        set("a", "2");
        assert_int_equal(test.n, 0);
        advance(100 * MSEC);
        assert_int_equal(test.n, 1);
        assert_string_equal(test.messages[0], "{\"a\":2,\"b\":\"x\"}");
        assert_int_equal(test.points, 2);
        set("a", "2"); /* nothing new */
        advance(3600 * SEC);
        assert_int_equal(test.n, 1);
        set("a", "2.0");
        advance(SEC);
        assert_int_equal(test.n, 2);
}

static void a_change_during_the_way_is_sent_too(void **state _unused_) {
        test.hold = true;
        connect_and_compare();
        set("a", "1");
        advance(SEC);
        set("a", "2");
        acknowledge(0, 0); /* of the older value */
        advance(2 * SEC);
        assert_int_equal(test.n, 2);
        assert_string_equal(test.messages[1], "{\"a\":2}");
        set("a", "3");
        set("a", "2");
        advance(2 * SEC);
        assert_int_equal(test.n, 3); /* whether the first 2 arrives after a 3 is not known */
        acknowledge(1, 0);
        acknowledge(2, 0);
        advance(60 * SEC);
        assert_int_equal(test.n, 3);
        expect_server("{\"a\":2}");
}

static void what_was_lost_is_sent_again(void **state _unused_) {
        test.hold = true;
        connect_and_compare();
        set("a", "1");
        set("b", "2");
        advance(SEC);
        acknowledge(0, -ENOTCONN);
        advance(SEC + 20 * MSEC);
        assert_int_equal(test.n, 2);
        assert_string_equal(test.messages[1], "{\"a\":1,\"b\":2}");
        acknowledge(1, 0x97); /* refused for good: it would be refused again */
        advance(3600 * SEC);
        assert_int_equal(test.n, 2);
        published_delivered(test.p, 4711, -ENOTCONN); /* of nobody */
        advance(3600 * SEC);
        assert_int_equal(test.n, 2);
}

static void what_was_under_way_when_the_connection_went_is_sent_again(void **state _unused_) {
        test.hold = true;
        connect_and_compare();
        set("a", "1");
        advance(SEC);
        published_offline(test.p);
        published_delivered(test.p, test.contexts[0], -ENOTCONN);
        set("b", "2");
        advance(60 * SEC);
        assert_int_equal(test.n, 1);
        connect_and_compare();
        advance(SEC);
        assert_int_equal(test.n, 2);
        assert_string_equal(test.messages[1], "{\"a\":1,\"b\":2}");
}

/* ---- what the server has */

static void only_what_differs_is_sent(void **state _unused_) {
        store("{\"same\":1,\"other\":1,\"type\":1,\"tree\":{\"b\":[1,2],\"a\":\"x\"},\"foreign\":5,\"number\":1.0E7}");
        set("same", "1");
        set("other", "2");
        set("type", "\"a\"");
        set("tree", "{\"a\":\"x\",\"b\":[1,2]}");
        set("new", "true");
        set("number", "10000000.0");
        published_online(test.p);
        advance(14 * SEC);
        assert_int_equal(test.n, 0); /* the server has not said yet what it has */
        published_compare(test.p, test.server);
        advance(SEC);
        assert_int_equal(test.n, 1);
        assert_string_equal(test.messages[0], "{\"other\":2,\"type\":\"a\",\"new\":true}");
        published_compare(test.p, test.server);
        advance(3600 * SEC);
        assert_int_equal(test.n, 1);
}

static void a_server_that_says_nothing_gets_all(void **state _unused_) {
        set("a", "1");
        published_online(test.p);
        advance(14 * SEC);
        assert_int_equal(test.n, 0);
        advance(3 * SEC);
        assert_int_equal(test.n, 1);
        published_compare(test.p, NULL); /* late, and it has nothing: whatever came of that */
        advance(SEC);
        assert_int_equal(test.n, 2);
}

static void the_answer_may_come_before_all_else(void **state _unused_) {
        set("a", "1");
        published_compare(test.p, NULL);
        advance(SEC);
        assert_int_equal(test.n, 0);
        published_online(test.p);
        published_online(test.p); /* told again with the limits */
        advance(SEC);
        assert_int_equal(test.n, 1);
}

/* The server makes 1.1 of "1.10": that is no difference to be sent again and again, but in another life it is. */
static void what_the_server_makes_of_a_value_is_left_so(void **state _unused_) {
        set("version", "\"1.10\"");
        set("serial", "\"007\"");
        for (int i = 0; i < 5; i++) {
                connect_and_compare();
                advance(60 * SEC);
                published_offline(test.p);
                assert_int_equal(test.n, 1);
        }
        expect_server("{\"version\":1.10,\"serial\":\"007\"}");
        set("version", "\"1.20\"");
        connect_and_compare();
        advance(60 * SEC);
        assert_int_equal(test.n, 2);
        json_object_object_del(test.server, "version"); /* somebody deleted it */
        published_offline(test.p);
        connect_and_compare();
        advance(60 * SEC);
        assert_int_equal(test.n, 3);
        assert_string_equal(test.messages[2], "{\"version\":\"1.20\"}");
}

static void an_answer_from_before_changes_nothing(void **state _unused_) {
        test.hold = true;
        connect_and_compare();
        set("a", "1");
        advance(SEC);
        published_compare(test.p, test.server); /* asked for before it was sent */
        advance(10 * SEC);
        assert_int_equal(test.n, 1);
        acknowledge(0, 0);
        advance(10 * SEC);
        assert_int_equal(test.n, 1);
}

/* ---- limits and bounds */

static void the_servers_limits_hold_it_up(void **state _unused_) {
        set("a", "1");
        test.delay = 5 * SEC;
        connect_and_compare();
        advance(4 * SEC);
        assert_int_equal(test.n, 0);
        assert_int_equal(test.takes, 1);
        test.delay = 0;
        advance(2 * SEC);
        assert_int_equal(test.n, 1);
}

static void messages_are_split_by_points(void **state _unused_) {
        char key[16];

        for (int i = 0; i < 150; i++) {
                snprintf(key, sizeof(key), "k%d", i);
                set(key, "1");
        }
        connect_and_compare();
        advance(SEC);
        assert_int_equal(test.n, 3); /* 64, 64, 22 */
        assert_int_equal(json_object_object_length(test.server), 150);
        assert_int_equal(test.points, 150);
        forget_messages();
        test.most = 10;
        for (int i = 0; i < 25; i++) {
                snprintf(key, sizeof(key), "k%d", i);
                set(key, "2");
        }
        advance(SEC);
        assert_int_equal(test.n, 3);
        assert_int_equal(test.points, 25);
}

static char *text_of(size_t json_size) {
        char *text = malloc(json_size + 1);

        memset(text, 'x', json_size);
        text[0] = text[json_size - 1] = '"';
        text[json_size] = '\0';
        return text;
}

static void messages_are_split_by_size(void **state _unused_) {
        _cleanup_(freep) char *large = text_of(PUBLISHED_VALUE_MAX);
        char key[16];

        for (int i = 0; i < 8; i++) {
                snprintf(key, sizeof(key), "k%d", i);
                set(key, large);
                snprintf(key, sizeof(key), "s%d", i);
                set(key, "1");
        }
        connect_and_compare();
        advance(SEC);
        assert_int_equal(json_object_object_length(test.server), 16);
        assert_in_range(test.n, 5, 8);
}

static void a_refused_message_is_tried_again(void **state _unused_) {
        set("a", "1");
        test.refuse = -EAGAIN;
        connect_and_compare();
        advance(10 * SEC);
        test.refuse = 0;
        advance(2 * SEC);
        assert_int_equal(test.n, 1);
        expect_server("{\"a\":1}");
}

/* A server may take less than we would send; what it takes not even alone must not hold up the rest. */
static void a_server_that_takes_little_gets_little(void **state _unused_) {
        _cleanup_(freep) char *large = text_of(2000);
        char key[32];

        test.payload_max = 1000;
        set("first", "1");
        set("large", large);
        for (int i = 0; i < 100; i++) {
                snprintf(key, sizeof(key), "key_number_%d", i);
                set(key, "\"some text that is not short\"");
        }
        connect_and_compare();
        advance(60 * SEC);
        assert_int_equal(json_object_object_length(test.server), 101);
        assert_in_range(test.n, 5, 100);
        forget_messages();
        advance(3600 * SEC);
        assert_int_equal(test.n, 0);
        assert_in_range(test.takes, 0, 100); /* what cannot go is not tried for ever, either */
        test.payload_max = 0;
        published_offline(test.p);
        connect_and_compare(); /* another connection, another server */
        advance(SEC);
        assert_int_equal(json_object_object_length(test.server), 102);
}

static void values_and_keys_are_checked(void **state _unused_) {
        static const char *const bad[] = { "", "null", "nope", "{", "1 2", "1e400" };
        _cleanup_(freep) char *fits = text_of(PUBLISHED_VALUE_MAX), *large = text_of(PUBLISHED_VALUE_MAX + 1);

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(published_set(test.p, "a", bad[i]), -EINVAL);
        assert_int_equal(published_set(test.p, "", "1"), -EINVAL);
        assert_int_equal(published_set(test.p, "a<b", "1"), -EINVAL);
        assert_int_equal(published_set(test.p, "a\nb", "1"), -EINVAL);
        assert_int_equal(published_set(test.p, "a", large), -E2BIG);
        assert_null(published_get(test.p, "a"));
        set("a", fits);
        assert_int_equal(published_set(test.p, "a", large), -E2BIG);
        assert_string_equal(published_get(test.p, "a"), fits);
        set("ts", "1");
        set("values", "1");
        set("a\"b", "{\"x\":null}");
        connect_and_compare();
        advance(SEC);
        assert_int_equal(json_object_object_length(test.server), 4);
}

static void members_are_taken_one_by_one(void **state _unused_) {
        static const char good[] = "{\"a\":1,\"b\":{\"c\":[]},\"d\":\"x\"}", mixed[] = "{\"e\":null,\"f\":2,\"<x>\":1,\"g\":3}";
        static const char *const bad[] = { "", "[]", "5", "{\"a\":1", "{\"a\\u0000b\":1}" };

        assert_int_equal(published_set_all(test.p, good, strlen(good)), 0);
        assert_int_equal(published_set_all(test.p, mixed, strlen(mixed)), -EINVAL);
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(published_set_all(test.p, bad[i], strlen(bad[i])), -EINVAL);
        connect_and_compare();
        advance(SEC);
        expect_server("{\"a\":1,\"b\":{\"c\":[]},\"d\":\"x\",\"f\":2,\"g\":3}");
}

static void so_many_are_kept(void **state _unused_) {
        char key[16];

        for (unsigned i = 0; i < PUBLISHED_MAX; i++) {
                snprintf(key, sizeof(key), "k%u", i);
                set(key, "1");
        }
        assert_int_equal(published_set(test.p, "more", "1"), -E2BIG);
        set("k7", "2");
        assert_int_equal(published_clear(test.p, "more"), -E2BIG);
        connect_and_compare();
        advance(10 * SEC);
        assert_int_equal(json_object_object_length(test.server), PUBLISHED_MAX);
}

static void what_is_cleared_is_told_only_where_there_is_a_value(void **state _unused_) {
        assert_int_equal(json_object_object_add(test.server, "old", json_object_new_string("of an earlier process")), 0);
        assert_int_equal(published_clear(test.p, "old"), 0);
        assert_int_equal(published_clear(test.p, "never"), 0);
        connect_and_compare();
        advance(SEC);
        expect_server("{\"old\":\"\"}");
        assert_int_equal(test.n, 1);
        set("never", "1");
        advance(SEC);
        assert_int_equal(published_clear(test.p, "never"), 0);
        assert_int_equal(published_clear(test.p, "never"), 0);
        advance(SEC);
        expect_server("{\"old\":\"\",\"never\":\"\"}");
        assert_int_equal(test.n, 3);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(nothing_is_sent_offline),
                TEST(changes_are_gathered),
                TEST(a_change_during_the_way_is_sent_too),
                TEST(what_was_lost_is_sent_again),
                TEST(what_was_under_way_when_the_connection_went_is_sent_again),
                TEST(only_what_differs_is_sent),
                TEST(a_server_that_says_nothing_gets_all),
                TEST(the_answer_may_come_before_all_else),
                TEST(what_the_server_makes_of_a_value_is_left_so),
                TEST(an_answer_from_before_changes_nothing),
                TEST(the_servers_limits_hold_it_up),
                TEST(messages_are_split_by_points),
                TEST(messages_are_split_by_size),
                TEST(a_refused_message_is_tried_again),
                TEST(a_server_that_takes_little_gets_little),
                TEST(values_and_keys_are_checked),
                TEST(members_are_taken_one_by_one),
                TEST(so_many_are_kept),
                TEST(what_is_cleared_is_told_only_where_there_is_a_value),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
