/* SPDX-License-Identifier: Apache-2.0 */
#include "tb/calls.h"
#include "tb/topic.h"

static Call *call_find(Calls *c, uint32_t id) {
        for (size_t i = 0; i < CALLS_MAX; i++)
                if (c->list[i].id == id)
                        return &c->list[i];
        return NULL;
}

static void arm(const Calls *c) {
        usec_t deadline = USEC_INFINITY;

        for (size_t i = 0; i < CALLS_MAX; i++)
                if (c->list[i].id != 0)
                        deadline = MIN(deadline, c->list[i].deadline);
        if (deadline == USEC_INFINITY)
                loop_timer_disarm(c->timer);
        else
                loop_timer_arm(c->timer, deadline, 10 * USEC_PER_MSEC);
}

static void call_end(Calls *c, Call *call, int error, const char *json, size_t size) {
        Call ended = *call;

        *call = (Call){ 0 };
        arm(c);
        ended.fn(ended.userdata, error, json, size);
}

static void fail_due(Calls *c, int error, usec_t due) {
        for (size_t i = 0; i < CALLS_MAX; i++)
                if (c->list[i].id != 0 && c->list[i].deadline <= due)
                        call_end(c, &c->list[i], error, NULL, 0);
}

static void on_timer(void *userdata) {
        Calls *c = userdata;

        fail_due(c, -ETIMEDOUT, loop_monotonic(c->loop));
        arm(c);
}

int calls_init(Calls *c, Loop *loop) {
        *c = (Calls){ .loop = loop };
        return loop_timer_new(&c->timer, loop, "client-calls", on_timer, c);
}

void calls_done(Calls *c) {
        c->timer = loop_timer_free(c->timer);
}

uint32_t calls_next_id(Calls *c) {
        if (!call_find(c, 0))
                return 0;
        do
                c->last_id = c->last_id >= TOPIC_ID_MAX ? 1 : c->last_id + 1;
        while (call_find(c, c->last_id));
        return c->last_id;
}

void calls_add(Calls *c, uint32_t id, CallKind kind, usec_t timeout, client_answer_fn fn, void *userdata) {
        *call_find(c, 0) = (Call){ .id = id, .kind = kind, .deadline = loop_monotonic(c->loop) + timeout, .fn = fn,
                                   .userdata = userdata };
        arm(c);
}

bool calls_wait_for(const Calls *c, CallKind kind, uint32_t id) {
        for (size_t i = 0; id != 0 && i < CALLS_MAX; i++)
                if (c->list[i].id == id)
                        return c->list[i].kind == kind;
        return false;
}

bool calls_answer(Calls *c, CallKind kind, uint32_t id, int error, const char *json, size_t size) {
        if (!calls_wait_for(c, kind, id))
                return false;
        call_end(c, call_find(c, id), error, json, size);
        return true;
}

void calls_fail(Calls *c, int error) {
        fail_due(c, error, USEC_INFINITY);
}
