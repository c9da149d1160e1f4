/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the server that have no answer yet, by the id in their topic. Ids rise over all kinds of questions and
 * all connections: the server keeps a timer of 60 s for each that a new connection does not stop. Main thread only. */
#pragma once

#include "base/loop.h"

#define CALLS_MAX 64

/* error: 0; -ETIMEDOUT: no answer in time, or the server said {"error":"timeout"}; -E2BIG: the answer is larger than
 * 64 KiB, for attributes larger than 1 MiB; -ENOTCONN: the connection went. json need not end with NUL. */
typedef void (*client_answer_fn)(void *userdata, int error, const char *json, size_t size);

typedef enum CallKind { CALL_RPC, CALL_ATTRIBUTES } CallKind;

typedef struct Call {
        uint32_t id; /* 0: unused */
        CallKind kind;
        usec_t deadline;
        client_answer_fn fn;
        void *userdata;
} Call;

typedef struct Calls {
        Loop *loop;
        LoopTimer *timer;
        uint32_t last_id;
        Call list[CALLS_MAX];
} Calls;

_must_check_ int calls_init(Calls *c, Loop *loop);
void calls_done(Calls *c); /* nobody is told */

/* The id for the next question, never one that waits; 0: too many wait. */
uint32_t calls_next_id(Calls *c);
/* It was sent under calls_next_id(). */
void calls_add(Calls *c, uint32_t id, CallKind kind, usec_t timeout, client_answer_fn fn, void *userdata);
bool calls_wait_for(const Calls *c, CallKind kind, uint32_t id);
/* Tells whoever asked; false: nobody waits for it. */
bool calls_answer(Calls *c, CallKind kind, uint32_t id, int error, const char *json, size_t size);
void calls_fail(Calls *c, int error); /* all of them */
