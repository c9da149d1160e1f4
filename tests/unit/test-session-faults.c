/* SPDX-License-Identifier: Apache-2.0 */
/* A session with servers that fail in every way; the clock is simulated where time matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt-fake.h"
#include "mqtt-watch.h"

#define REALTIME (1700000000 * USEC_PER_SEC)

static Watch watch;
static Fake fake;

static void start(Loop **ret_loop, bool simulated, int protocol, const FakeScript *scripts, unsigned n) {
        assert_int_equal(simulated ? loop_new_simulated(ret_loop, REALTIME) : loop_new(ret_loop), 0);
        fake_start(&fake, scripts, n);
        watch_init(&watch, *ret_loop, "mqtt", NULL, fake.port);
        watch.params.protocol = protocol;
        watch_start(&watch);
}

static void stop(void) {
        watch_done(&watch);
        fake_stop(&fake);
}

static void assert_last(SessionReason reason, int code, const char *words) {
        const WatchState *s = watch_last(&watch);

        if (s->reason != reason || s->code != code || !strstr(s->text, words))
                print_error("reason %d code 0x%02X: %s\n", s->reason, (unsigned)s->code, s->text);
        assert_int_equal(s->reason, reason);
        assert_int_equal(s->code, code);
        assert_non_null(strstr(s->text, words));
}

static void test_connack(_unused_ void **state) {
        static const struct {
                int protocol;
                uint8_t code;
                SessionReason reason;
                const char *words;
        } cases[] = {
                { 5, 0x86, SESSION_REFUSED, "Copy access token" }, { 5, 0x85, SESSION_REFUSED, "client id" },
                { 5, 0x04, SESSION_REFUSED, "Copy access token" }, /* an old ThingsBoard answers 5 with codes of 3.1.1 */
                { 5, 0x88, SESSION_UNAVAILABLE, "back end" },      { 5, 0x9F, SESSION_UNAVAILABLE, "API quota" },
                { 5, 0xBF, SESSION_UNAVAILABLE, "0xBF" },          { 5, 0x84, SESSION_UNAVAILABLE, "version of MQTT" },
                { 4, 0x05, SESSION_REFUSED, "Copy access token" }, { 4, 0x02, SESSION_REFUSED, "client id" },
                { 4, 0x03, SESSION_UNAVAILABLE, "busy" },          { 4, 0x01, SESSION_UNAVAILABLE, "version of MQTT" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(loop_freep) Loop *loop = NULL;

                start(&loop, true, cases[i].protocol, &(FakeScript){ .connack = cases[i].code }, 1);
                watch_until_state(&watch, SESSION_WAITING);
                assert_last(cases[i].reason, cases[i].code, cases[i].words);
                assert_true(watch_last(&watch)->delay >= 100 * USEC_PER_MSEC);
                stop();
        }
}

static void test_no_connack(_unused_ void **state) {
        static const FakeConnect closing[] = { FAKE_CLOSE, FAKE_AT_ONCE, FAKE_HTTP };

        for (size_t i = 0; i < ELEMENTS(closing); i++) {
                _cleanup_(loop_freep) Loop *loop = NULL;

                start(&loop, true, 5, &(FakeScript){ .connect = closing[i] }, 1);
                watch_until_state(&watch, SESSION_WAITING);
                assert_last(SESSION_CLOSED, 0, "closes it without an answer");
                stop();
        }
}

static void test_silent(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        start(&loop, true, 0, &(FakeScript){ .connect = FAKE_SILENT }, 1);
        watch_until(&watch, atomic_load(&fake.connects) == 1);
        assert_int_equal(loop_advance(loop, 19 * USEC_PER_SEC), 0);
        assert_int_equal(session_state(watch.session), SESSION_CONNECTING);
        assert_int_equal(loop_advance(loop, 2 * USEC_PER_SEC), 0);
        watch_until_state(&watch, SESSION_WAITING);
        assert_last(SESSION_TIMEOUT, 0, "does not answer as an MQTT server");

        assert_int_equal(loop_advance(loop, USEC_PER_SEC), 0); /* and stopped in the middle of the next try */
        watch_until(&watch, atomic_load(&fake.connects) == 2);
        stop();
}

static void test_fallback_by_code(_unused_ void **state) {
        static const uint8_t codes[] = { 0x84, 0x01 };

        for (size_t i = 0; i < ELEMENTS(codes); i++) {
                _cleanup_(loop_freep) Loop *loop = NULL;

                start(&loop, false, 0, (const FakeScript[]){ { .connack = codes[i] }, { .hang_up = true }, {} }, 3);
                watch_until(&watch, session_generation(watch.session) == 2);
                assert_int_equal(session_protocol(watch.session), 4);
                assert_int_equal(atomic_load(&fake.levels[0]), 5);
                assert_int_equal(atomic_load(&fake.levels[1]), 4);
                assert_int_equal(atomic_load(&fake.levels[2]), 4);
                stop();
        }
}

static void test_fallback_by_closes(_unused_ void **state) {
        static const unsigned levels[] = { 5, 5, 4, 4, 5, 5, 4 };
        static const FakeScript closes = { .connect = FAKE_CLOSE };
        _cleanup_(loop_freep) Loop *loop = NULL;

        start(&loop, false, 0, (const FakeScript[]){ closes, closes, closes, closes, closes, closes, {}, closes }, 8);
        watch_until_state(&watch, SESSION_CONNECTED);
        for (size_t i = 0; i < ELEMENTS(levels); i++)
                assert_int_equal(atomic_load(&fake.levels[i]), levels[i]);
        session_reconnect(watch.session, 0); /* settled now: closes mean nothing about the protocol any more */
        watch_until(&watch, atomic_load(&fake.connects) == 11);
        for (size_t i = 7; i < 11; i++)
                assert_int_equal(atomic_load(&fake.levels[i]), 4);
        stop();
}

static void test_disconnect(_unused_ void **state) {
        static const struct {
                uint8_t code;
                SessionReason reason;
                usec_t delay;
        } cases[] = {
                { 0x8E, SESSION_TAKEN_OVER, 5 * USEC_PER_SEC },
                { 0x83, SESSION_RATE_LIMITED, 100 * USEC_PER_MSEC },
                { 0x96, SESSION_RATE_LIMITED, 100 * USEC_PER_MSEC },
                { 0x97, SESSION_RATE_LIMITED, 100 * USEC_PER_MSEC },
                { 0x98, SESSION_CREDENTIALS_CHANGED, 100 * USEC_PER_MSEC },
                { 0x8B, SESSION_DISCONNECTED, 100 * USEC_PER_MSEC },
                { 0xEE, SESSION_DISCONNECTED, 100 * USEC_PER_MSEC },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(loop_freep) Loop *loop = NULL;

                start(&loop, true, 5, &(FakeScript){ .publish = FAKE_DISCONNECT, .code = cases[i].code }, 1);
                watch_until_state(&watch, SESSION_CONNECTED);
                for (unsigned c = 0; c < 4; c++)
                        assert_int_equal(watch_publish(&watch, c, 100), 0);
                watch_until_state(&watch, SESSION_WAITING);
                assert_last(cases[i].reason, cases[i].code, "");
                assert_true(watch_last(&watch)->delay >= cases[i].delay);
                for (unsigned c = 0; c < 4; c++) {
                        assert_int_equal(watch.told[c], SESSION_LOST);
                        assert_int_equal(watch.times[c], 1);
                }
                stop();
        }
}

static void test_taken_over_grows(_unused_ void **state) {
        static const usec_t longest[] = { 10, 20, 40, 80, 160, 300, 300 };
        _cleanup_(loop_freep) Loop *loop = NULL;

        start(&loop, true, 5, &(FakeScript){ .publish = FAKE_DISCONNECT, .code = 0x8E }, 1);
        for (unsigned i = 0; i < ELEMENTS(longest); i++) {
                watch_until_state(&watch, SESSION_CONNECTED);
                assert_int_equal(watch_publish(&watch, i, 10), 0);
                watch_until_state(&watch, SESSION_WAITING);
                assert_last(SESSION_TAKEN_OVER, 0x8E, "token of its own");
                assert_in_range(watch_last(&watch)->delay, longest[i] * USEC_PER_SEC / 2, longest[i] * USEC_PER_SEC);
                assert_int_equal(loop_advance(loop, watch_last(&watch)->delay), 0);
        }
        stop();
}

static void test_closed_soon(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        start(&loop, true, 4, &(FakeScript){ .hang_up = true }, 1);
        watch_until_state(&watch, SESSION_WAITING);
        assert_last(SESSION_CLOSED, 0, "without a word");
        assert_int_equal(loop_advance(loop, USEC_PER_SEC), 0);
        watch_until(&watch, session_generation(watch.session) == 2 && session_state(watch.session) == SESSION_WAITING);
        assert_last(SESSION_CLOSED, 0, "use the same credentials");
        stop();
}

static void test_puback_code(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        start(&loop, false, 5, &(FakeScript){ .code = 0x99 }, 1);
        watch_until_state(&watch, SESSION_CONNECTED);
        for (unsigned c = 0; c < 20; c++)
                assert_int_equal(watch_publish(&watch, c, 100), 0);
        watch_until(&watch, watch.in_flight == 0);
        for (unsigned c = 0; c < 20; c++)
                assert_int_equal(watch.told[c], 0x99);
        assert_int_equal(session_state(watch.session), SESSION_CONNECTED);
        stop();
}

/* 15 s are counted from when a message became the oldest one. */
static void test_no_puback(_unused_ void **state) {
        for (int protocol = 4; protocol <= 5; protocol++) {
                _cleanup_(loop_freep) Loop *loop = NULL;

                start(&loop, true, protocol, &(FakeScript){ .publish = FAKE_HOLD }, 1);
                watch_until_state(&watch, SESSION_CONNECTED);
                for (unsigned c = 0; c < 3; c++)
                        assert_int_equal(watch_publish(&watch, c, 100), 0);
                watch_until(&watch, atomic_load(&fake.publishes) == 3);
                assert_int_equal(loop_advance(loop, 14 * USEC_PER_SEC), 0);
                fake_ack(&fake, atomic_load(&fake.last_id)); /* the youngest: proves nothing about the oldest */
                watch_until(&watch, watch.acked == 1);
                fake_ack(&fake, atomic_load(&fake.last_id) - 2);
                watch_until(&watch, watch.acked == 2);
                assert_int_equal(loop_advance(loop, 14 * USEC_PER_SEC), 0);
                assert_int_equal(session_state(watch.session), SESSION_CONNECTED);
                assert_int_equal(loop_advance(loop, 2 * USEC_PER_SEC), 0);
                assert_int_equal(watch.lost, 1);
                assert_int_equal(watch.told[1], SESSION_LOST);
                for (unsigned i = 0; i < watch.n_states; i++)
                        if (watch.states[i].reason == SESSION_TIMEOUT)
                                assert_non_null(strstr(watch.states[i].text, "did not acknowledge"));
                stop();
        }
}

static void test_subscriptions(_unused_ void **state) {
        static const struct {
                const char *sent;
                size_t n;
                uint8_t code;
        } cases[] = { { "\x80", 1, 0x80 }, { "\x8F", 1, 0x8F }, { "\0", 1, 0 }, { "\1\1\1", 3, 0 }, { "\x42", 1, 0x80 } };
        static const char *const topics[] = { "a/b", "c/+" };

        for (int protocol = 4; protocol <= 5; protocol++)
                for (size_t i = 0; i < ELEMENTS(cases); i++) {
                        _cleanup_(loop_freep) Loop *loop = NULL;

                        start(&loop, false, protocol, &(FakeScript){ .suback = cases[i].sent, .suback_n = cases[i].n }, 1);
                        watch_until_state(&watch, SESSION_CONNECTED);
                        assert_int_equal(session_subscribe(watch.session, topics, 2, 5), 0);
                        watch_until(&watch, watch.subscribed == 1);
                        assert_int_equal(watch.subscribed_n, 2);
                        if (cases[i].n == 1 && (protocol == 5 || cases[i].code != 0x8F)) {
                                assert_int_equal(watch.codes[0], cases[i].code);
                                assert_int_equal(watch.codes[1], cases[i].code);
                        }
                        stop();
                }
}

static void test_flood(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        start(&loop, false, 5, (const FakeScript[]){ { .flood = 2000 }, {} }, 2);
        watch.slow_message = 10 * USEC_PER_MSEC;
        watch_until_state(&watch, SESSION_WAITING);
        assert_last(SESSION_DISCONNECTED, 0, "faster than they can be taken");
        assert_true(watch.messages < 2000);
        watch_until_state(&watch, SESSION_CONNECTED);
        stop();
}

/* What was published before the stop is written, in order, before the connection ends. */
static void test_stop_writes(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        const unsigned n = 16; /* written in the tenth of a second that stopping waits, under valgrind, too */

        start(&loop, false, 5, &(FakeScript){ .publish = FAKE_HOLD }, 1);
        watch_until_state(&watch, SESSION_CONNECTED);
        for (unsigned c = 0; c < n; c++)
                assert_int_equal(watch_publish(&watch, c, 100), 0);
        watch_done(&watch);
        assert_int_equal(watch.lost, n);
        watch_until(&watch, atomic_load(&fake.client_fd) < 0);
        assert_int_equal(atomic_load(&fake.publishes), n);
        fake_stop(&fake);
}

static void test_urls(_unused_ void **state) {
        static const char *const bad[] = { "http://a",    "mqtt://",    "mqtt://:1",   "mqtt://a:", "mqtt://a:99999",
                                           "mqtt://a:1x", "mqtt://a/b", "mqtt://[::1", "a:1883",    "" };
        _cleanup_(loop_freep) Loop *loop = NULL;
        Session *session = NULL;

        assert_int_equal(loop_new(&loop), 0);
        watch_init(&watch, loop, "mqtt", NULL, 1);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                watch.params.url = bad[i];
                assert_int_equal(session_new(&session, &watch.params), -EINVAL);
                assert_null(session);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stop_writes),
                cmocka_unit_test(test_connack),
                cmocka_unit_test(test_no_connack),
                cmocka_unit_test(test_silent),
                cmocka_unit_test(test_fallback_by_code),
                cmocka_unit_test(test_fallback_by_closes),
                cmocka_unit_test(test_disconnect),
                cmocka_unit_test(test_taken_over_grows),
                cmocka_unit_test(test_closed_soon),
                cmocka_unit_test(test_puback_code),
                cmocka_unit_test(test_no_puback),
                cmocka_unit_test(test_subscriptions),
                cmocka_unit_test(test_flood),
                cmocka_unit_test(test_urls),
        };

        session_init_process();
        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
