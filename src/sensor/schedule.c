/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Due times are multiples of the period on the wall clock ("every 10 s" means :00, :10, :20), so that rows
 * of many instances and devices share their moments. They are kept as deadlines on CLOCK_MONOTONIC, because
 * a timer on the wall clock would fire in bursts or fall silent when that clock is set.
 *
 * After each sample the next deadline is the multiple nearest to "one period after the last deadline", as
 * the two clocks stand to each other at that moment. While the wall clock runs steadily that is simply the
 * next multiple; its slow corrections shift deadlines along by microseconds; and after a step, however
 * large, the one interval in which the phase is found again is between 1/2 and 3/2 of a period long.
 *
 * A sample that takes longer than a period runs over deadlines. They are counted and left out, never made
 * up for: a bus that is too slow must not be asked even more.
 */
#include "sensor/schedule.h"

/* Two samples never stand closer than this; rows of one key must not share a millisecond. */
#define CLOSEST (2 * USEC_PER_MSEC)

/* The first multiple of period on the wall clock that is at least CLOSEST ahead, as CLOCK_MONOTONIC. */
static usec_t next_multiple(usec_t period, usec_t monotonic, usec_t realtime) {
        usec_t into = (realtime + CLOSEST) % period;

        return monotonic + CLOSEST + (into == 0 ? 0 : period - into);
}

static usec_t nearest_multiple(usec_t period, usec_t target, usec_t monotonic, usec_t realtime) {
        /* target on the wall clock, modulo the period; unsigned arithmetic would wrap at the clock's start */
        int64_t wall = (int64_t)(realtime % period) + (int64_t)(target - monotonic);
        int64_t into = wall % (int64_t)period;

        if (into < 0)
                into += (int64_t)period;
        if ((usec_t)into <= period / 2)
                return target - (usec_t)into;
        return target + (period - (usec_t)into);
}

void schedule_start(Schedule *s, usec_t period, usec_t monotonic) {
        *s = (Schedule){ .period = period, .due = monotonic, .fresh = true, .overruns = s->overruns };
}

void schedule_stop(Schedule *s) {
        s->due = USEC_INFINITY;
}

void schedule_taken(Schedule *s, usec_t monotonic, usec_t realtime) {
        usec_t next;

        if (s->due == USEC_INFINITY)
                return;
        if (s->fresh) {
                /* however long it took: nobody expected a deadline before this one */
                s->fresh = false;
                s->due = next_multiple(s->period, monotonic, realtime);
                return;
        }
        next = nearest_multiple(s->period, s->due + s->period, monotonic, realtime);
        if (next <= monotonic) {
                usec_t later = next_multiple(s->period, monotonic, realtime);

                s->overruns += (later - next + s->period / 2) / s->period;
                next = later;
        }
        s->due = next;
}

void schedule_set_period(Schedule *s, usec_t period, usec_t monotonic, usec_t realtime) {
        s->period = period;
        if (s->due != USEC_INFINITY && !s->fresh)
                s->due = next_multiple(period, monotonic, realtime);
}
