/* SPDX-License-Identifier: Apache-2.0 */
/* When the next sample is due: periods aligned to the wall clock, as absolute CLOCK_MONOTONIC deadlines.
 * Pure: the clocks are arguments, so that hours pass in milliseconds in tests. */
#pragma once

#include "base/macro.h"

typedef struct Schedule {
        usec_t period;
        usec_t due; /* CLOCK_MONOTONIC; USEC_INFINITY: never */
        bool fresh; /* no sample yet */
        uint64_t overruns; /* due times that passed while a sample was still being taken */
} Schedule;

/* The first sample is due at once, the later ones at multiples of period since the epoch. s was zeroed before
 * its first start; overruns go on counting over a restart. */
void schedule_start(Schedule *s, usec_t period, usec_t monotonic);
void schedule_stop(Schedule *s);
/* The sample that was due has been taken, it is now so late. */
void schedule_taken(Schedule *s, usec_t monotonic, usec_t realtime);
/* Keeps counting; the next sample is due at the next multiple of the new period. */
void schedule_set_period(Schedule *s, usec_t period, usec_t monotonic, usec_t realtime);
