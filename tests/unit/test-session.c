/* SPDX-License-Identifier: Apache-2.0 */
/* A session with a real broker; what a broker never does is in test-session-faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt-broker.h"
#include "mqtt-watch.h"

static Watch watch, second;

/* A loop and a broker that takes everybody. */
static void begin(Loop **ret_loop, Broker *ret_broker) {
        assert_int_equal(loop_new(ret_loop), 0);
        broker_init(ret_broker, "allow_anonymous true");
        broker_start(ret_broker);
}

static void session_for(Watch *w, Loop *loop, const Broker *b, int protocol) {
        watch_init(w, loop, "mqtt", NULL, b->port);
        w->params.protocol = protocol;
        watch_start(w);
}

/* Keeps `window` in flight until `n` contexts are acknowledged; what was lost goes again under a new context. */
static unsigned publish_all(Watch *w, unsigned n, unsigned window, size_t size) {
        static uint64_t context;

        context = 0;
        while (w->acked < n) {
                while (session_state(w->session) == SESSION_CONNECTED && w->in_flight < window && w->acked + w->in_flight < n)
                        assert_int_equal(watch_publish(w, context++, size), 0);
                watch_turn(w, 10 * USEC_PER_MSEC);
        }
        return (unsigned)context;
}

static void assert_told_once(const Watch *w, unsigned n) {
        for (unsigned i = 0; i < WATCH_CONTEXTS; i++)
                assert_int_equal(w->times[i], i < n ? 1 : 0);
}

static void test_thousand(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        Broker b;

        begin(&loop, &b);
        for (int protocol = 4; protocol <= 5; protocol++) {
                session_for(&watch, loop, &b, protocol);
                assert_int_equal(watch_publish(&watch, 0, 1), -ENOTCONN);
                watch_until_state(&watch, SESSION_CONNECTED);
                assert_int_equal(session_protocol(watch.session), protocol);
                assert_int_equal(session_generation(watch.session), 1);
                assert_int_equal(publish_all(&watch, 1000, 8, 2000), 1000);
                assert_told_once(&watch, 1000);
                assert_int_equal(watch.lost + watch.refused, 0);
                watch_done(&watch);
        }
        broker_done(&b);
}

static void test_messages(_unused_ void **state) {
        static const char *const topics[] = { "test/data", "other/+", "third/#" };
        _cleanup_(loop_freep) Loop *loop = NULL;
        Broker b;

        begin(&loop, &b);
        for (int protocol = 4; protocol <= 5; protocol++) {
                watch_init(&watch, loop, "mqtt", "localhost", b.port);
                watch.params.protocol = protocol;
                watch.params.message_max = 1000;
                watch_start(&watch);
                watch_until_state(&watch, SESSION_CONNECTED);
                assert_int_equal(session_subscribe(watch.session, topics, 3, 77), 0);
                watch_until(&watch, watch.subscribed == 1);
                assert_int_equal(watch.subscribed_n, 3);
                assert_memory_equal(watch.codes, "\1\1\1", 3);
                assert_int_equal(session_subscribe(watch.session, topics, 1, 78), 0);
                watch_until(&watch, watch.subscribed == 2);
                assert_int_equal(watch.subscribed_n, 1);
                assert_int_equal(watch.codes[0], 1);

                assert_int_equal(watch_publish(&watch, 0, 1000), 0);
                watch_until(&watch, watch.messages == 1 && watch.acked == 1);
                assert_string_equal(watch.topic, "test/data");
                assert_int_equal(watch.size, 1000);
                assert_false(watch.payload_null);
                assert_int_equal(watch_publish(&watch, 1, 1001), 0);
                watch_until(&watch, watch.messages == 2);
                assert_int_equal(watch.size, 1001);
                assert_true(watch.payload_null);
                assert_int_equal(session_publish(watch.session, "other/x", NULL, 0, 0, 2), 0);
                watch.in_flight++;
                watch_until(&watch, watch.messages == 3 && watch.times[2] == 1);
                assert_int_equal(watch.size, 0);
                assert_int_equal(session_downlinks(watch.session), 3);
                watch_done(&watch);
        }
        broker_done(&b);
}

static void test_broker_killed(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        unsigned contexts = 0;
        Broker b;

        begin(&loop, &b);
        session_for(&watch, loop, &b, 0);
        for (unsigned round = 1; round <= 3; round++) {
                watch_until_state(&watch, SESSION_CONNECTED);
                assert_int_equal(session_generation(watch.session), round);
                for (unsigned i = 0; i < 200; i++, contexts++) {
                        watch_until(&watch, watch.in_flight < 8);
                        assert_int_equal(watch_publish(&watch, contexts, 4000), 0);
                }
                broker_kill(&b);
                watch_until(&watch, session_state(watch.session) != SESSION_CONNECTED);
                assert_int_equal(watch.in_flight, 0);
                assert_told_once(&watch, contexts);
                assert_int_equal(watch_publish(&watch, contexts, 1), -ENOTCONN);
                broker_start(&b);
        }
        assert_int_equal(watch.acked + watch.lost, contexts);
        assert_true(watch.acked > 0);
        watch_done(&watch);
        broker_done(&b);
}

/* The clock is simulated, the broker is not. */
static void test_refused(_unused_ void **state) {
        static const usec_t delays[] = { 30, 90, 300, 300 };
        _cleanup_(loop_freep) Loop *loop = NULL;
        Broker b;

        assert_int_equal(loop_new_simulated(&loop, 1700000000 * USEC_PER_SEC), 0);
        broker_init(&b, "allow_anonymous false\npassword_file {dir}/passwords");
        broker_shell(&b, "mosquitto_passwd -b -c passwords token secret-good && chmod 644 passwords");
        broker_start(&b);
        for (int protocol = 4; protocol <= 5; protocol++) {
                watch_init(&watch, loop, "mqtt", NULL, b.port);
                watch.params.protocol = protocol;
                watch.username = "token";
                watch.password = "secret-wrong";
                watch_start(&watch);
                for (unsigned i = 0; i < ELEMENTS(delays); i++) {
                        watch_until_state(&watch, SESSION_WAITING);
                        assert_int_equal(watch_last(&watch)->reason, SESSION_REFUSED);
                        assert_int_equal(watch_last(&watch)->code, protocol == 5 ? 0x87 : 5);
                        assert_int_equal(watch_last(&watch)->delay, delays[i] * USEC_PER_SEC);
                        assert_int_equal(loop_advance(loop, delays[i] * USEC_PER_SEC), 0);
                        assert_int_equal(session_state(watch.session), SESSION_CONNECTING);
                }
                watch_until_state(&watch, SESSION_WAITING);
                watch.password = "secret-good"; /* asked for again at each connect */
                assert_int_equal(loop_advance(loop, 300 * USEC_PER_SEC), 0);
                watch_until_state(&watch, SESSION_CONNECTED);

                watch.no_credentials = "cannot read /etc/tbagent.token: chmod 640 it";
                session_reconnect(watch.session, 0);
                assert_int_equal(loop_advance(loop, USEC_PER_SEC), 0);
                assert_int_equal(watch_last(&watch)->reason, SESSION_NO_CREDENTIALS);
                assert_string_equal(watch_last(&watch)->text, watch.no_credentials);
                assert_int_equal(watch_last(&watch)->delay, 30 * USEC_PER_SEC);
                watch_done(&watch);
        }
        broker_done(&b);
}

static void test_back_off(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        usec_t limit = USEC_PER_SEC, longest = 0;

        assert_int_equal(loop_new_simulated(&loop, 1700000000 * USEC_PER_SEC), 0);
        watch_init(&watch, loop, "mqtt", NULL, free_port());
        watch.params.backoff_min = watch.params.backoff_max = 0; /* the defaults */
        watch_start(&watch);
        for (unsigned i = 0; i < 10; i++) {
                watch_until_state(&watch, SESSION_WAITING);
                assert_int_equal(watch_last(&watch)->reason, SESSION_NO_NETWORK);
                assert_non_null(strstr(watch_last(&watch)->text, "refuses connections"));
                assert_in_range(watch_last(&watch)->delay, 100 * USEC_PER_MSEC, limit);
                longest = MAX(longest, watch_last(&watch)->delay);
                limit = MIN(limit * 2, 120 * USEC_PER_SEC);
                assert_int_equal(loop_advance(loop, watch_last(&watch)->delay), 0);
        }
        assert_true(longest > 2 * USEC_PER_SEC); /* grows: 1 in 10^7 that it does not by chance */
        watch_done(&watch);
}

static void test_taken_over(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        Broker b;

        begin(&loop, &b);
        session_for(&watch, loop, &b, 5);
        watch_until_state(&watch, SESSION_CONNECTED);
        session_for(&second, loop, &b, 5); /* the same client id */
        watch_until_state(&second, SESSION_CONNECTED);
        watch_until_state(&watch, SESSION_WAITING);
        /* mosquitto sends 0x8E and closes: now and then the library sees only the close */
        if (watch_last(&watch)->reason == SESSION_TAKEN_OVER) {
                assert_int_equal(watch_last(&watch)->code, 0x8E);
                assert_in_range(watch_last(&watch)->delay, 5 * USEC_PER_SEC, 10 * USEC_PER_SEC);
        } else
                assert_int_equal(watch_last(&watch)->reason, SESSION_CLOSED);
        watch_done(&watch);
        watch_done(&second);
        broker_done(&b);
}

static void test_reconnect_and_stop(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        uint64_t context = 0;
        Broker b;

        begin(&loop, &b);
        session_for(&watch, loop, &b, 0);
        for (unsigned i = 1; i <= 5; i++) {
                watch_until_state(&watch, SESSION_CONNECTED);
                assert_int_equal(session_generation(watch.session), i);
                while (watch_publish(&watch, context, 100) == 0)
                        context++;
                assert_int_equal(watch_publish(&watch, context, 100), -EAGAIN);
                assert_int_equal(watch.in_flight, 256);
                session_reconnect(watch.session, 0);
                assert_int_equal(watch.in_flight, 0);
                assert_int_equal(session_state(watch.session), SESSION_WAITING);
                assert_int_equal(watch_last(&watch)->reason, SESSION_OK);
        }
        watch_until_state(&watch, SESSION_CONNECTED);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(watch_publish(&watch, context++, 100), 0);
        session_ping(watch.session);
        watch_until(&watch, session_deaf_for(watch.session) == 0);
        watch_done(&watch);
        assert_told_once(&watch, (unsigned)context);
        broker_done(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_thousand),           cmocka_unit_test(test_messages),
                cmocka_unit_test(test_broker_killed),      cmocka_unit_test(test_refused),
                cmocka_unit_test(test_back_off),           cmocka_unit_test(test_taken_over),
                cmocka_unit_test(test_reconnect_and_stop),
        };

        session_init_process();
        cmocka_set_message_output(CM_OUTPUT_TAP);
        if (!broker_available()) {
                puts("1..0 # SKIP mosquitto is not installed");
                return 0;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
