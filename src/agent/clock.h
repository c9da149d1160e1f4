/* SPDX-License-Identifier: Apache-2.0 */
/* From CLOCK_BOOTTIME to the server's milliseconds: one whole-millisecond offset, applied while a batch is
 * built (DESIGN.md 4). A Pi has no clock of its own, so until something says that the time is right, rows
 * wait, but not for ever. */
#pragma once

#include "base/loop.h"

typedef struct Clock Clock;

typedef struct ClockParams {
        Loop *loop;
        bool always_trusted; /* clock = "system" */
        usec_t wait;         /* wait_for_clock: after it the estimate has to do */
        void (*trusted)(void *userdata, const char *why); /* rows may go; called at most once */
        void *userdata;
} ClockParams;

_must_check_ int clock_new(Clock **ret, const ClockParams *params);
Clock *clock_free(Clock *c);
DEFINE_CLEANUP(Clock *, clock_free)

bool clock_is_trusted(const Clock *c);  /* rows may go */
int64_t clock_offset_ms(const Clock *c); /* ts = boottime_ms + offset */
