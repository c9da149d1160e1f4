/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "mqtt-watch.h"

usec_t watch_clock(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

const WatchState *watch_last(const Watch *w) {
        assert_true(w->n_states > 0);
        return &w->states[(w->n_states - 1) % WATCH_STATES];
}

void watch_stuck(Watch *w, const char *condition) {
        print_error("waited in vain for: %s\n", condition);
        if (w->n_states > 0)
                print_error("last state: %d %d 0x%02X %s\n", watch_last(w)->state, watch_last(w)->reason,
                            (unsigned)watch_last(w)->code, watch_last(w)->text);
        fail();
}

static void on_state(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry) {
        Watch *w = userdata;
        WatchState *s = &w->states[w->n_states++ % WATCH_STATES];

        *s = (WatchState){ .state = state, .reason = reason, .code = code };
        snprintf(s->text, sizeof(s->text), "%s", text);
        if (state == SESSION_WAITING) {
                assert_true(retry >= loop_monotonic(w->loop));
                s->delay = retry - loop_monotonic(w->loop);
        }
        if (w->password)
                assert_null(strstr(text, w->password));
}

static void on_message(void *userdata, const char *topic, const void *payload, size_t size) {
        Watch *w = userdata;

        w->messages++;
        w->size = size;
        w->payload_null = payload == NULL;
        snprintf(w->topic, sizeof(w->topic), "%s", topic);
        snprintf(w->payload, sizeof(w->payload), "%.*s", payload ? (int)MIN(size, (size_t)200) : 0,
                 payload ? (const char *)payload : "");
        if (w->slow_message)
                usleep((useconds_t)w->slow_message);
}

static void on_published(void *userdata, uint64_t context, int code) {
        Watch *w = userdata;

        assert_true(context < WATCH_CONTEXTS);
        assert_true(w->in_flight > 0);
        w->in_flight--;
        w->told[context] = code;
        w->times[context]++;
        if (code == 0)
                w->acked++;
        else if (code == SESSION_LOST)
                w->lost++;
        else
                w->refused++;
}

static void on_subscribed(void *userdata, _unused_ uint64_t context, const uint8_t *codes, size_t n) {
        Watch *w = userdata;

        assert_true(n <= sizeof(w->codes));
        w->subscribed++;
        w->subscribed_n = (unsigned)n;
        if (n > 0)
                memcpy(w->codes, codes, n);
}

static int on_credentials(void *userdata, SessionCredentials *ret, char **ret_text) {
        Watch *w = userdata;

        if (w->no_credentials) {
                *ret_text = strdup(w->no_credentials);
                return -ENOENT;
        }
        ret->username = w->username ? strdup(w->username) : NULL;
        ret->password = w->password ? strdup(w->password) : NULL;
        return 0;
}

void watch_init(Watch *w, Loop *loop, const char *scheme, const char *host, int port) {
        memset(w, 0, sizeof(*w));
        w->loop = loop;
        snprintf(w->url, sizeof(w->url), "%s://%s:%d", scheme, host ? host : "127.0.0.1", port);
        for (size_t i = 0; i < WATCH_CONTEXTS; i++)
                w->told[i] = WATCH_UNTOLD;
        w->params = (SessionParams){
                .loop = loop,
                .url = w->url,
                .client_id = "tbagent-test",
                .keepalive = 10 * USEC_PER_SEC,
                .backoff_min = 1,
                .backoff_max = 1,
                .events = {
                        .state = on_state,
                        .message = on_message,
                        .published = on_published,
                        .subscribed = on_subscribed,
                        .credentials = on_credentials,
                },
                .userdata = w,
        };
}

void watch_start(Watch *w) {
        assert_int_equal(session_new(&w->session, &w->params), 0);
        session_start(w->session);
}

void watch_done(Watch *w) {
        if (!w->session)
                return;
        assert_int_equal(session_stop(w->session, 10 * USEC_PER_SEC), 0);
        assert_int_equal(session_state(w->session), SESSION_IDLE);
        assert_int_equal(w->in_flight, 0);
        w->session = session_free(w->session);
}

void watch_turn(Watch *w, usec_t wait) {
        assert_true(loop_iterate(w->loop, wait) >= 0);
}

void watch_until_state(Watch *w, SessionState state) {
        watch_until(w, session_state(w->session) == state);
}

int watch_publish(Watch *w, uint64_t context, size_t size) {
        static char payload[64 * 1024];
        int r;

        assert_true(size <= sizeof(payload));
        memset(payload, 'x', size);
        r = session_publish(w->session, "test/data", payload, size, 1, context);
        if (r == 0)
                w->in_flight++;
        return r;
}
