/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in ThingsBoard server (tests/thingsboard) as a child, and its HTTP calls. Fails the test on any trouble. */
#pragma once

#include <json-c/json.h>
#include <sys/types.h>

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
