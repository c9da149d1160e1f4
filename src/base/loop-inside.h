/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the loop share. */
#pragma once

#include <systemd/sd-event.h>

#include "base/loop.h"

typedef struct Deferred Deferred;

struct Loop {
        sd_event *event;
        Deferred *deferred, **deferred_end;
        LoopChild *orphans; /* freed before their end; still to be reaped */

        bool exiting;
        int exit_code;

        int schedstat_fd;
        usec_t turn_start, longest_turn;
        uint64_t turns;

        bool simulated;
        usec_t monotonic, realtime; /* simulated */
        int step_fd;
        LoopTimer **heap;
        size_t n_heap, n_timers, heap_size;
        uint64_t sequence;
};

typedef struct Turn {
        usec_t start;
        uint64_t delay_ns;
} Turn;

/* Around a handler, or those of one dispatch. */
Turn loop_turn_begin(Loop *loop);
void loop_turn_end(Loop *loop, Turn turn);

_must_check_ int loop_signal_block(int signo);
/* Those who are not reaped yet are not any more. */
void loop_orphans_free(Loop *loop);

/* Simulated: the clocks, never backwards; the next timer due at `until` or before, true: it ran. */
void loop_clock_move(Loop *loop, usec_t to);
bool loop_timer_run_simulated(Loop *loop, usec_t until);

static inline usec_t usec_add(usec_t a, usec_t b) {
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}
