/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tb/calls.h"
#include "tb/topic.h"

#define SEC USEC_PER_SEC

typedef struct Told {
        unsigned times;
        int error;
        char json[32];
} Told;

typedef struct Test {
        Loop *loop;
        Calls calls;
        Told told[CALLS_MAX + 4];
} Test;

static Test test;

static int setup(void **state _unused_) {
        test = (Test){ 0 };
        return loop_new_simulated(&test.loop, 0) < 0 || calls_init(&test.calls, test.loop) < 0 ? -1 : 0;
}

static int teardown(void **state _unused_) {
        calls_done(&test.calls);
        test.loop = loop_free(test.loop);
        return 0;
}

static void on_answer(void *userdata, int error, const char *json, size_t size) {
        Told *t = userdata;

        t->times++;
        t->error = error;
        snprintf(t->json, sizeof(t->json), "%.*s", (int)size, json ? json : "");
}

static uint32_t ask(CallKind kind, usec_t timeout, client_answer_fn fn, void *userdata) {
        uint32_t id = calls_next_id(&test.calls);

        assert_int_not_equal(id, 0);
        calls_add(&test.calls, id, kind, timeout, fn, userdata);
        return id;
}

static void ids_rise_over_all_kinds(void **state _unused_) {
        assert_int_equal(ask(CALL_RPC, SEC, on_answer, &test.told[0]), 1);
        assert_int_equal(ask(CALL_ATTRIBUTES, SEC, on_answer, &test.told[1]), 2);
        assert_true(calls_answer(&test.calls, CALL_RPC, 1, 0, "5", 1));
        assert_int_equal(ask(CALL_RPC, SEC, on_answer, &test.told[2]), 3); /* 1 is free, and not used again */
        assert_int_equal(calls_next_id(&test.calls), 4);
        assert_int_equal(calls_next_id(&test.calls), 5); /* what could not be sent used its id all the same */
}

static void ids_wrap(void **state _unused_) {
        ask(CALL_RPC, 100 * SEC, on_answer, &test.told[0]); /* 1 */
        ask(CALL_RPC, 100 * SEC, on_answer, &test.told[1]); /* 2 */
        test.calls.last_id = TOPIC_ID_MAX - 1;
        assert_int_equal(TOPIC_ID_MAX, INT32_MAX);
        assert_int_equal(ask(CALL_RPC, SEC, on_answer, &test.told[2]), TOPIC_ID_MAX);
        assert_int_equal(ask(CALL_RPC, SEC, on_answer, &test.told[3]), 3); /* 1 and 2 wait */
        assert_true(calls_wait_for(&test.calls, CALL_RPC, TOPIC_ID_MAX));
        assert_true(calls_answer(&test.calls, CALL_RPC, TOPIC_ID_MAX, 0, "7", 1));
        assert_string_equal(test.told[2].json, "7");
}

static void an_answer_goes_to_who_asked(void **state _unused_) {
        static const char text[] = { '[', '1', ']', 'x' }; /* no NUL behind it */
        uint32_t a = ask(CALL_RPC, SEC, on_answer, &test.told[0]), b = ask(CALL_ATTRIBUTES, SEC, on_answer, &test.told[1]);

        assert_false(calls_wait_for(&test.calls, CALL_RPC, b));
        assert_true(calls_wait_for(&test.calls, CALL_ATTRIBUTES, b));
        assert_false(calls_answer(&test.calls, CALL_ATTRIBUTES, a, 0, "1", 1)); /* another kind of topic */
        assert_false(calls_answer(&test.calls, CALL_RPC, 77, 0, "1", 1));
        assert_false(calls_answer(&test.calls, CALL_RPC, 0, 0, "1", 1)); /* unused entries are no calls */
        assert_false(calls_wait_for(&test.calls, CALL_RPC, 0));
        assert_int_equal(test.told[0].times + test.told[1].times, 0);
        assert_true(calls_answer(&test.calls, CALL_RPC, a, 0, text, 3));
        assert_int_equal(test.told[0].times, 1);
        assert_int_equal(test.told[0].error, 0);
        assert_string_equal(test.told[0].json, "[1]");
        assert_false(calls_answer(&test.calls, CALL_RPC, a, 0, "2", 1)); /* a second answer */
        assert_int_equal(test.told[0].times, 1);
        assert_true(calls_answer(&test.calls, CALL_ATTRIBUTES, b, -E2BIG, NULL, 0));
        assert_int_equal(test.told[1].error, -E2BIG);
}

static void each_has_its_own_timeout(void **state _unused_) {
        uint32_t late = ask(CALL_RPC, 10 * SEC, on_answer, &test.told[0]);

        ask(CALL_RPC, 2 * SEC, on_answer, &test.told[1]);
        ask(CALL_ATTRIBUTES, 2 * SEC, on_answer, &test.told[2]);
        assert_int_equal(loop_advance(test.loop, SEC), 0);
        assert_int_equal(test.told[1].times, 0);
        assert_int_equal(loop_advance(test.loop, SEC + 20 * USEC_PER_MSEC), 0);
        for (size_t i = 1; i <= 2; i++) {
                assert_int_equal(test.told[i].times, 1);
                assert_int_equal(test.told[i].error, -ETIMEDOUT);
                assert_string_equal(test.told[i].json, "");
        }
        assert_int_equal(test.told[0].times, 0);
        assert_true(calls_answer(&test.calls, CALL_RPC, late, 0, "1", 1));
        assert_int_equal(loop_advance(test.loop, 3600 * SEC), 0);
        assert_int_equal(test.told[0].times, 1);
        assert_false(loop_timer_armed(test.calls.timer));
}

static void all_of_them_fail(void **state _unused_) {
        for (size_t i = 0; i < 10; i++)
                ask(i % 2 ? CALL_RPC : CALL_ATTRIBUTES, (i + 1) * SEC, on_answer, &test.told[i]);
        calls_fail(&test.calls, -ENOTCONN);
        for (size_t i = 0; i < 10; i++) {
                assert_int_equal(test.told[i].times, 1);
                assert_int_equal(test.told[i].error, -ENOTCONN);
        }
        assert_false(loop_timer_armed(test.calls.timer));
        calls_fail(&test.calls, -ENOTCONN);
        assert_int_equal(test.told[0].times, 1);
}

static void the_table_is_bounded(void **state _unused_) {
        for (size_t i = 0; i < CALLS_MAX; i++)
                assert_int_equal(ask(CALL_RPC, 10 * SEC, on_answer, &test.told[i]), i + 1);
        assert_int_equal(calls_next_id(&test.calls), 0);
        assert_int_equal(calls_next_id(&test.calls), 0);
        assert_true(calls_answer(&test.calls, CALL_RPC, 30, 0, "1", 1));
        assert_int_equal(ask(CALL_RPC, 10 * SEC, on_answer, &test.told[CALLS_MAX]), CALLS_MAX + 1); /* no id was used up */
        calls_fail(&test.calls, -ENOTCONN);
        for (size_t i = 0; i <= CALLS_MAX; i++)
                assert_int_equal(test.told[i].times, 1);
}

/* ---- asking again from inside */

static int rounds;

static void on_answer_ask_again(void *userdata, int error, const char *json _unused_, size_t size _unused_) {
        Told *t = userdata;

        t->times++;
        t->error = error;
        if (rounds-- > 0)
                ask(CALL_RPC, SEC, on_answer_ask_again, t);
}

static void one_may_ask_again_from_inside(void **state _unused_) {
        rounds = 3;
        ask(CALL_RPC, SEC, on_answer_ask_again, &test.told[0]);
        assert_true(calls_answer(&test.calls, CALL_RPC, 1, 0, "1", 1));
        assert_int_equal(test.told[0].times, 1);
        assert_true(calls_wait_for(&test.calls, CALL_RPC, 2));
        assert_true(loop_timer_armed(test.calls.timer));
        assert_int_equal(loop_advance(test.loop, 10 * SEC), 0);
        assert_int_equal(test.told[0].times, 4);
        assert_int_equal(test.told[0].error, -ETIMEDOUT);
}

/* With a full table each who asks again gets the place that he has just left, and is not failed in the same round. */
static void all_may_ask_again_when_all_fail(void **state _unused_) {
        for (size_t i = 0; i < CALLS_MAX; i++)
                ask(CALL_RPC, SEC, on_answer_ask_again, &test.told[i]);
        rounds = CALLS_MAX;
        calls_fail(&test.calls, -ENOTCONN);
        for (size_t i = 0; i < CALLS_MAX; i++) {
                assert_int_equal(test.told[i].times, 1);
                assert_true(calls_wait_for(&test.calls, CALL_RPC, (uint32_t)(CALLS_MAX + i + 1)));
        }
        rounds = 0;
        assert_int_equal(loop_advance(test.loop, 2 * SEC), 0);
        for (size_t i = 0; i < CALLS_MAX; i++)
                assert_int_equal(test.told[i].times, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(ids_rise_over_all_kinds, setup, teardown),
                cmocka_unit_test_setup_teardown(ids_wrap, setup, teardown),
                cmocka_unit_test_setup_teardown(an_answer_goes_to_who_asked, setup, teardown),
                cmocka_unit_test_setup_teardown(each_has_its_own_timeout, setup, teardown),
                cmocka_unit_test_setup_teardown(all_of_them_fail, setup, teardown),
                cmocka_unit_test_setup_teardown(the_table_is_bounded, setup, teardown),
                cmocka_unit_test_setup_teardown(one_may_ask_again_from_inside, setup, teardown),
                cmocka_unit_test_setup_teardown(all_may_ask_again_when_all_fail, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
