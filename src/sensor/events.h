/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin waits for between its verbs: descriptors, timers, answers from the server. Each wake-up is a
 * call into the plugin like any verb, so it goes through enter and leave. */
#pragma once

#include <tbagent/plugin.h>

#include "base/loop.h"

#define EVENTS_MAX 64 /* of each kind */

typedef struct Events Events;

typedef struct EventsParams {
        Loop *loop;
        struct tbagent_host *host;
        void (*enter)(void *userdata);
        void (*leave)(void *userdata);
        void *userdata;
} EventsParams;

_must_check_ int events_new(Events **ret, const EventsParams *params);
Events *events_free(Events *e);
DEFINE_CLEANUP(Events *, events_free)

/* What open() gave: handed to every function. */
void events_set_state(Events *e, void *state);
/* Before close(): forgets everything. */
void events_clear(Events *e);

_must_check_ int events_watch(Events *e, int fd, uint32_t events, tbagent_fd_fn fn); /* -EEXIST, -ENOSPC */
_must_check_ int events_unwatch(Events *e, int fd); /* -ENOENT */
_must_check_ int events_timer(Events *e, uint64_t usec, tbagent_timer_fn fn, void *userdata);

/* Waits for the answer with this token, usec at most. */
_must_check_ int events_expect(Events *e, uint64_t usec, tbagent_answer_fn fn, void *userdata, uint64_t *ret_token);
/* Its question could not be sent: fn is not called. */
void events_forget(Events *e, uint64_t token);
/* error: 0, or a negative errno. Unknown tokens are left alone: their time is over. */
void events_answer(Events *e, uint64_t token, int error, const char *json);
