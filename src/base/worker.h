/* SPDX-License-Identifier: Apache-2.0 */
/* A thread behind a bounded queue: jobs go in from the loop, events come back into the loop through an
 * eventfd. Everything that may block for seconds (DNS, fsync) lives in a worker; its owner in the loop
 * never waits for it. Used by the MQTT session and the store. */
#pragma once

#include "base/loop.h"

typedef struct Worker Worker;

typedef struct WorkerParams {
        const char *name;  /* thread name, <= 15 bytes; static */
        size_t jobs_max;   /* beyond it worker_submit() says -EAGAIN */
        size_t events_max; /* beyond it worker_post() says -ENOBUFS */
        void (*job)(void *userdata, void *job);     /* in the thread; owns job */
        void (*event)(void *userdata, void *event); /* in the loop; owns event */
        void (*drop_job)(void *userdata, void *job);     /* in the loop: frees a job that will never run */
        void (*drop_event)(void *userdata, void *event); /* in the loop: frees an event nobody will see */
        void *userdata;
} WorkerParams;

_must_check_ int worker_new(Worker **ret, Loop *loop, const WorkerParams *params);
/* Lets the running job end, drops the rest (events too), joins. Waits at most `wait`; a thread that does not come back
 * is left behind (-ETIMEDOUT): the process is about to end and its memory must not be touched. */
int worker_stop(Worker *w, usec_t wait);
/* After worker_stop(); from an event, too. What a thread left behind still holds is freed by it if it ever ends. */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker *, worker_free)

/* From the loop. 0: the worker owns job; -EAGAIN: full, or stopped. */
_must_check_ int worker_submit(Worker *w, void *job);
/* From any thread (the worker's own, or a library's callback thread). 0: will reach event(); -ENOBUFS: full, or stopped. */
_must_check_ int worker_post(Worker *w, void *event);

/* Asks the thread for a sign of life; worker_deaf_for() = how long the oldest unanswered ping waits, 0: none. */
void worker_ping(Worker *w);
usec_t worker_deaf_for(const Worker *w);
