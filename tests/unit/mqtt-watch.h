/* SPDX-License-Identifier: Apache-2.0 */
/* A session under test and what it told: states, answers per context, messages. */
#pragma once

#include <limits.h>
#include <stdio.h>

#include "mqtt/session.h"

#define WATCH_STATES   64
#define WATCH_CONTEXTS 8192
#define WATCH_UNTOLD   INT_MIN

typedef struct WatchState {
        SessionState state;
        SessionReason reason;
        int code;
        char text[512];
        usec_t delay; /* WAITING: until the next try */
} WatchState;

typedef struct Watch {
        Loop *loop;
        Session *session;
        char url[128];
        SessionParams params;

        WatchState states[WATCH_STATES];
        unsigned n_states;

        int told[WATCH_CONTEXTS];       /* code of each context */
        unsigned times[WATCH_CONTEXTS]; /* how often it was told */
        unsigned acked, lost, refused, in_flight;

        unsigned subscribed, subscribed_n;
        uint8_t codes[8];
        unsigned messages;
        char topic[128], payload[256];
        size_t size;
        bool payload_null;
        usec_t slow_message; /* each message takes that long */

        const char *username, *password, *no_credentials;
} Watch;

/* Fills params with short times; change them before watch_start(). host NULL: 127.0.0.1 */
void watch_init(Watch *w, Loop *loop, const char *scheme, const char *host, int port);
void watch_start(Watch *w);
void watch_done(Watch *w); /* stops and frees */

/* Runs the loop until the condition holds; the test fails after 30 s. */
#define watch_until(w, condition)                                                                                                \
        do                                                                                                                       \
                for (usec_t _end = watch_clock() + 30 * USEC_PER_SEC; !(condition);) {                                           \
                        watch_turn((w), 10 * USEC_PER_MSEC);                                                                     \
                        if (watch_clock() > _end)                                                                                \
                                watch_stuck((w), #condition);                                                                    \
                }                                                                                                                \
        while (0)
void watch_until_state(Watch *w, SessionState state);
void watch_turn(Watch *w, usec_t wait);
usec_t watch_clock(void);
void watch_stuck(Watch *w, const char *condition);
const WatchState *watch_last(const Watch *w);
int watch_publish(Watch *w, uint64_t context, size_t size);
