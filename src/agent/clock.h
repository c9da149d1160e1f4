/* SPDX-License-Identifier: Apache-2.0 */
/* From CLOCK_BOOTTIME to the server's milliseconds (DESIGN.md 4). A Pi has no clock of its own, so until something
 * says that the time is right, rows wait, but not for ever. Main thread. */
#pragma once

#include "base/loop.h"
#include "spool/record.h"

typedef struct Clock Clock;

typedef struct ClockEvents {
        /* The offset or its quality changed: for spool_set_era(). In the same boot an estimate that becomes trusted is the
         * truth for earlier rows, too; after that a new offset is a step, for later rows only. */
        void (*era)(void *userdata, const Era *era);
        void (*trusted)(void *userdata, const char *why);       /* at most once; of a clock trusted at the start, too */
        void (*gave_up)(void *userdata);                        /* wait is over without trust: rows go with the estimate */
        void (*stepped)(void *userdata, int64_t by_ms);         /* after trust */
} ClockEvents;

typedef struct ClockParams {
        Loop *loop;
        bool always_trusted; /* clock = "system" */
        usec_t wait;         /* wait_for_clock: after it the estimate has to do */
        const char *root;    /* "", NULL or a folder that stands for / in tests: /run/systemd/timesync, /sys/class/rtc, boot_id */
        const char *keep;    /* a file on a tmpfs: keeps trust, and that it gave up, over a restart of the daemon; NULL: none */
        bool ask_bus;        /* ask org.freedesktop.timedate1, too */
        ClockEvents events;  /* functions may be NULL; none is called before the first turn of the loop */
        void *userdata;
} ClockParams; /* texts are borrowed during clock_new() */

_must_check_ int clock_new(Clock **ret, const ClockParams *params);
Clock *clock_free(Clock *c);
DEFINE_CLEANUP(Clock *, clock_free)

Era clock_era(const Clock *c); /* from clock_new() on; era() tells of changes */
bool clock_is_trusted(const Clock *c);
bool clock_may_estimate(const Clock *c); /* trusted, or waited long enough */
