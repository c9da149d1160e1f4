/* SPDX-License-Identifier: Apache-2.0 */
/* Who says that the wall clock is right: systemd-timesyncd's stamp, a battery-backed clock that set the time
 * at boot, or any NTP client by way of org.freedesktop.timedate1. No answer is never trust. Main thread. */
#pragma once

#include "base/loop.h"

typedef struct ClockSource ClockSource;

typedef struct ClockSourceParams {
        Loop *loop;
        const char *root; /* "" or a folder that stands for / in tests; borrowed during clock_source_new() */
        bool ask_bus;
        void (*trusted)(void *userdata, const char *why); /* at most once; may free the source */
        void *userdata;
} ClockSourceParams;

_must_check_ int clock_source_new(ClockSource **ret, const ClockSourceParams *params);
ClockSource *clock_source_free(ClockSource *s);
DEFINE_CLEANUP(ClockSource *, clock_source_free)

/* What the files say now; NULL: nothing. For the start: trust does not wait for the first turn then. */
const char *clock_source_look(const ClockSource *s);
/* The wall clock was set: whoever did it may be about to say so. */
void clock_source_hurry(ClockSource *s);
