/* SPDX-License-Identifier: Apache-2.0 */
/* How fast rows may leave: the server's limits, told or learned and kept over a restart, and what of them the
 * backlog leaves to new rows. Main thread. */
#pragma once

#include "base/loop.h"
#include "tb/limits.h"
#include "tb/share.h"

typedef struct PaceParams {
        Loop *loop;
        double backlog_rate;
        usec_t interval;    /* new rows are sent so often */
        const char *file;   /* where limits are kept, on a tmpfs; NULL: nowhere */
        const char *server; /* whose limits they are */
} PaceParams;

typedef struct Pace {
        Limits limits;
        Loop *loop;
        LoopTimer *timer;
        usec_t interval;
        char *file, *server;
        bool changed;
        usec_t saved; /* 0: never */
        Share share;
        uint64_t made;                 /* points, at the last tick */
        usec_t ticked;                 /* 0: not yet */
        double points, messages;       /* of new rows in one interval, of late */
        unsigned live_messages;        /* since the last tick */
} Pace;

_must_check_ int pace_init(Pace *p, const PaceParams *params);
void pace_done(Pace *p);

/* The tick of the batch interval: so many points were made in all until now. */
void pace_tick(Pace *p, uint64_t made_points);

/* Points that a message of the backlog may hold so that what new rows want at the next tick will be there; 0: not now, and no
 * small change. */
uint32_t pace_spare(Pace *p, usec_t next_tick);
/* Points of one second, at least 1. */
uint32_t pace_second(Pace *p);
/* New rows had their part of the limits: the backlog comes first now. */
bool pace_is_backlogs(Pace *p);
void pace_take(Pace *p, uint32_t points, uint32_t rows, bool backlog);

void pace_failed(Pace *p, bool certain);
void pace_acquit(Pace *p);
_must_check_ int pace_told(Pace *p, const char *telemetry_messages, const char *telemetry_points);
