/* SPDX-License-Identifier: Apache-2.0 */
/* Why the daemon is asked to end: systemd knows whether it starts it again. Never waits. Main thread. */
#pragma once

#include "base/loop.h"

typedef struct Job Job;

typedef struct JobParams {
        Loop *loop;
        const char *unit; /* NULL: that of this process, where systemd started it */
        usec_t within;    /* no answer by then is one */
        /* restart: it is started again at once. Comes once, never from within job_new(). */
        void (*answer)(void *userdata, bool restart);
        void *userdata;
} JobParams;

_must_check_ int job_new(Job **ret, const JobParams *params);
Job *job_free(Job *j); /* not from within answer() */
DEFINE_CLEANUP(Job *, job_free)
