/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is in three small tables of fixed size: a plugin that opens ever more timers gets -ENOSPC and an
 * author who reads it. A function may cancel what it was called for, and more; so a slot is emptied, or what is
 * needed of it copied, before the plugin is called.
 */
#include "sensor/events.h"

#define ACCURACY USEC_PER_MSEC

typedef struct Watch {
        Events *events;
        LoopIo *io; /* NULL: free */
        int fd;
        tbagent_fd_fn fn;
} Watch;

typedef struct Wait {
        Events *events;
        LoopTimer *timer; /* NULL: free */
        uint64_t token;   /* 0: a plain timer */
        tbagent_timer_fn on_time;
        tbagent_answer_fn on_answer;
        void *userdata;
} Wait;

struct Events {
        EventsParams params;
        void *state;
        uint64_t last_token;
        Watch watches[EVENTS_MAX];
        Wait timers[EVENTS_MAX], answers[EVENTS_MAX];
};

int events_new(Events **ret, const EventsParams *params) {
        Events *e = calloc(1, sizeof *e);

        if (!e)
                return -ENOMEM;
        e->params = *params;
        *ret = e;
        return 0;
}

void events_clear(Events *e) {
        for (size_t i = 0; i < EVENTS_MAX; i++) {
                e->watches[i].io = loop_io_free(e->watches[i].io);
                e->timers[i].timer = loop_timer_free(e->timers[i].timer);
                e->answers[i].timer = loop_timer_free(e->answers[i].timer);
        }
}

Events *events_free(Events *e) {
        if (!e)
                return NULL;
        events_clear(e);
        free(e);
        return NULL;
}

void events_set_state(Events *e, void *state) {
        e->state = state;
}

/* ---- descriptors */

static void on_io(void *userdata, uint32_t events) {
        Watch w = *(Watch *)userdata;
        Events *e = w.events;

        e->params.enter(e->params.userdata);
        w.fn(e->params.host, e->state, w.fd, events);
        e->params.leave(e->params.userdata);
}

static Watch *watch_find(Events *e, int fd) {
        for (size_t i = 0; i < EVENTS_MAX; i++)
                if (e->watches[i].io && e->watches[i].fd == fd)
                        return &e->watches[i];
        return NULL;
}

int events_watch(Events *e, int fd, uint32_t events, tbagent_fd_fn fn) {
        Watch *w = e->watches;

        if (!fn || fd < 0)
                return -EINVAL;
        if (watch_find(e, fd))
                return -EEXIST;
        while (w < e->watches + EVENTS_MAX && w->io)
                w++;
        if (w == e->watches + EVENTS_MAX)
                return -ENOSPC;
        w->events = e;
        w->fd = fd;
        w->fn = fn;
        return loop_io_new(&w->io, e->params.loop, "plugin fd", fd, events, on_io, w);
}

int events_unwatch(Events *e, int fd) {
        Watch *w = watch_find(e, fd);

        if (!w)
                return -ENOENT;
        w->io = loop_io_free(w->io);
        return 0;
}

/* ---- timers and answers */

/* Empties the slot, then calls the plugin. */
static void wait_over(Wait *slot, int error, const char *json) {
        Events *e = slot->events;
        Wait w = *slot;

        slot->timer = loop_timer_free(slot->timer);
        e->params.enter(e->params.userdata);
        if (w.token == 0)
                w.on_time(e->params.host, e->state, w.userdata);
        else
                w.on_answer(e->params.host, e->state, error, json, w.userdata);
        e->params.leave(e->params.userdata);
}

static void on_timer(void *userdata) {
        wait_over(userdata, -ETIMEDOUT, NULL);
}

static int wait_new(Events *e, Wait *slots, uint64_t usec, Wait **ret) {
        Wait *w = slots;
        int r;

        while (w < slots + EVENTS_MAX && w->timer)
                w++;
        if (w == slots + EVENTS_MAX)
                return -ENOSPC;
        *w = (Wait){ .events = e };
        r = loop_timer_new(&w->timer, e->params.loop, "plugin timer", on_timer, w);
        if (r < 0)
                return r;
        loop_timer_arm_in(w->timer, MIN(usec, (uint64_t)INT64_MAX / 2), ACCURACY);
        *ret = w;
        return 0;
}

int events_timer(Events *e, uint64_t usec, tbagent_timer_fn fn, void *userdata) {
        Wait *w;
        int r = fn ? wait_new(e, e->timers, usec, &w) : -EINVAL;

        if (r < 0)
                return r;
        w->on_time = fn;
        w->userdata = userdata;
        return 0;
}

int events_expect(Events *e, uint64_t usec, tbagent_answer_fn fn, void *userdata, uint64_t *ret_token) {
        Wait *w;
        int r = fn ? wait_new(e, e->answers, usec, &w) : -EINVAL;

        if (r < 0)
                return r;
        w->on_answer = fn;
        w->userdata = userdata;
        w->token = ++e->last_token;
        *ret_token = w->token;
        return 0;
}

static Wait *answer_find(Events *e, uint64_t token) {
        for (size_t i = 0; i < EVENTS_MAX; i++)
                if (e->answers[i].timer && e->answers[i].token == token)
                        return &e->answers[i];
        return NULL;
}

void events_forget(Events *e, uint64_t token) {
        Wait *w = answer_find(e, token);

        if (w)
                w->timer = loop_timer_free(w->timer);
}

void events_answer(Events *e, uint64_t token, int error, const char *json) {
        Wait *w = answer_find(e, token);

        if (w)
                wait_over(w, error, json);
}
