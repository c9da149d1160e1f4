/* SPDX-License-Identifier: Apache-2.0 */
/* Name servers that do not answer: the loop goes on, and says what is wrong. Linked with the getaddrinfo()
 * of tests/preload. Threads stay behind in the last two tests, the library's lock with the last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt-fake.h"
#include "mqtt-watch.h"

extern unsigned getaddrinfo_calls;
extern double getaddrinfo_first;

static Watch watch;
static Fake fake;

static unsigned calls(void) {
        return __atomic_load_n(&getaddrinfo_calls, __ATOMIC_SEQ_CST);
}

static void name_servers(const char *seconds, unsigned pass) {
        char text[16];

        snprintf(text, sizeof(text), "%u", calls() + pass);
        setenv("TBAGENT_DNS_PASS", text, 1);
        setenv("TBAGENT_DNS_SECONDS", seconds, 1);
        getaddrinfo_first = 0;
}

static void assert_turns(Loop *loop) {
        usec_t longest = loop_longest_turn(loop);

        print_message("# longest turn of the loop: %.3f ms\n", (double)longest / 1000);
        assert_true(longest < 500 * USEC_PER_MSEC); /* 50 ms is promised; a machine of two cores may be busy */
}

/* Within a generous limit, and not before the time given. */
static void assert_left_behind(usec_t wait) {
        usec_t begin = watch_clock(), took;

        assert_int_equal(session_stop(watch.session, wait), -ETIMEDOUT);
        took = watch_clock() - begin;
        print_message("# stop, allowed %.1f s, took %.3f s\n", (double)wait / 1e6, (double)took / 1e6);
        assert_true(took < wait + 5 * USEC_PER_SEC);
        assert_int_equal(session_state(watch.session), SESSION_IDLE);
        watch.session = session_free(watch.session);
}

static void test_silent_for_a_second(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        assert_int_equal(loop_new(&loop), 0);
        fake_start(&fake, &(FakeScript){}, 1);
        watch_init(&watch, loop, "mqtt", "localhost", fake.port);
        name_servers("1", 0);
        watch_start(&watch);
        watch_until_state(&watch, SESSION_WAITING);
        assert_int_equal(watch_last(&watch)->reason, SESSION_NO_NETWORK);
        assert_non_null(strstr(watch_last(&watch)->text, "name servers do not answer"));
        watch_until_state(&watch, SESSION_CONNECTED);
        assert_turns(loop);
        watch_done(&watch);
        fake_stop(&fake);
}

static void on_stopped(void *userdata) {
        *(bool *)userdata = true;
        watch.session = session_free(watch.session);
}

/* Nobody waits: neither for a lookup that takes its time nor for a connection that has to be closed. */
static void test_stop_later(_unused_ void **state) {
        for (int connected = 0; connected < 2; connected++) {
                _cleanup_(loop_freep) Loop *loop = NULL;
                static bool stopped;
                unsigned before = calls();

                assert_int_equal(loop_new(&loop), 0);
                fake_start(&fake, &(FakeScript){ .publish = FAKE_HOLD }, 1);
                watch_init(&watch, loop, "mqtt", "localhost", fake.port);
                name_servers("1", connected ? 1000 : 0);
                watch_start(&watch);
                if (connected) {
                        watch_until_state(&watch, SESSION_CONNECTED);
                        assert_int_equal(watch_publish(&watch, 1, 100), 0);
                } else
                        watch_until(&watch, calls() > before);
                stopped = false;
                assert_int_equal(session_stop_later(watch.session, on_stopped, &stopped), 0);
                assert_false(stopped);
                assert_int_equal(session_state(watch.session), SESSION_IDLE);
                assert_int_equal(watch.lost, connected);
                watch_until(&watch, stopped);
                assert_int_equal(watch_last(&watch)->state, SESSION_IDLE);
                assert_int_equal(fake.connects, connected);
                assert_turns(loop);
                fake_stop(&fake);
        }
}

/* In the middle of a start that fails: what runs is stopped by the free itself. */
static void test_free_stops(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        assert_int_equal(loop_new(&loop), 0);
        watch_init(&watch, loop, "mqtt", "localhost", 1);
        assert_int_equal(session_new(&watch.session, &watch.params), 0);
        watch.session = session_free(watch.session);
}

static void test_lookup_never_returns(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        unsigned before;

        assert_int_equal(loop_new_simulated(&loop, 1700000000 * USEC_PER_SEC), 0);
        watch_init(&watch, loop, "mqtt", "localhost", 1);
        name_servers("-1", 0);
        before = calls();
        watch_start(&watch);
        watch_until(&watch, calls() == before + 1);
        session_ping(watch.session);
        for (unsigned i = 1; i <= 60; i++)
                assert_int_equal(loop_advance(loop, 3 * USEC_PER_SEC), 0);
        assert_in_range(session_deaf_for(watch.session), 179 * USEC_PER_SEC, 181 * USEC_PER_SEC);
        assert_in_range(watch.n_states, 8, WATCH_STATES); /* tried on and on */
        for (unsigned i = 0; i < watch.n_states; i++)
                if (watch.states[i].state == SESSION_WAITING)
                        assert_non_null(strstr(watch.states[i].text, "looking up localhost takes more than 20 s"));
        assert_turns(loop);
        assert_left_behind(200 * USEC_PER_MSEC);
}

/* Asked again and again, as by the daemon: a thread gives a sign of life as it takes the job in which it then hangs. */
static usec_t deaf_after_another_second(Loop *loop) {
        session_ping(watch.session);
        assert_int_equal(loop_advance(loop, USEC_PER_SEC), 0);
        return session_deaf_for(watch.session);
}

/* The same inside the library, which holds its lock meanwhile. */
static void test_library_never_returns(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        unsigned before;

        assert_int_equal(loop_new_simulated(&loop, 1700000000 * USEC_PER_SEC), 0);
        watch_init(&watch, loop, "mqtt", "localhost", 1);
        name_servers("-1", 1);
        before = calls();
        watch_start(&watch);
        watch_until(&watch, calls() == before + 2);
        watch_turn(&watch, 0);
        assert_int_equal(loop_advance(loop, 20 * USEC_PER_SEC), 0); /* gives up, and tries to find out why */
        assert_int_equal(session_state(watch.session), SESSION_CONNECTING);
        assert_int_equal(loop_advance(loop, 12 * USEC_PER_SEC), 0);
        assert_int_equal(watch_last(&watch)->reason, SESSION_TIMEOUT);
        watch_until(&watch, deaf_after_another_second(loop) > 10 * USEC_PER_SEC);
        assert_turns(loop);
        assert_left_behind(200 * USEC_PER_MSEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_silent_for_a_second),
                cmocka_unit_test(test_stop_later),
                cmocka_unit_test(test_free_stops),
                cmocka_unit_test(test_lookup_never_returns),
                cmocka_unit_test(test_library_never_returns),
        };
        int failed;

        session_init_process();
        cmocka_set_message_output(CM_OUTPUT_TAP);
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        fflush(NULL);
        _exit(failed); /* as session_stop() asks for */
}
