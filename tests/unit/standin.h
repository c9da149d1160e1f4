/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in ThingsBoard server (tests/thingsboard) as a child, and its HTTP calls. Fails the test on any trouble. */
#pragma once

#include <json-c/json.h>
#include <sys/types.h>

#include "base/loop.h"

typedef struct Standin {
        pid_t pid;
        int http, mqtt;
        char url[64];   /* mqtt://127.0.0.1:PORT */
        char login[128]; /* of the tenant */
} Standin;

/* One device, named boiler, with the token TOKEN. */
void standin_start(Standin *s);
void standin_stop(Standin *s);

/* Sends the request; the answer is read later, standin_answer() closes the fd. body NULL: GET. */
int standin_request(Standin *s, const char *path, const char *body);
json_object *standin_answer(int fd);
json_object *standin_call(Standin *s, const char *path, const char *body);
/* The same for calls whose answer is not looked at. */
void standin_do(Standin *s, const char *path, const char *body);
/* A whole number: the member of an answer. */
int64_t standin_number(json_object *o, const char *member);
void standin_device_id(Standin *s, char out[static 64]);

usec_t standin_clock(void); /* real time, also beside a simulated loop */

/* Runs the loop, in real time, until the condition holds; the test fails after a minute. */
#define run_until(loop, condition)                                                            \
        do                                                                                    \
                for (usec_t _end = standin_clock() + 60 * USEC_PER_SEC; !(condition);) {      \
                        assert_true(loop_iterate((loop), 10 * USEC_PER_MSEC) >= 0);           \
                        if (standin_clock() > _end)                                           \
                                fail_msg("still not: %s", #condition);                        \
                }                                                                             \
        while (0)
