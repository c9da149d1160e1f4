/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: sd-event's under the real clock. A simulated loop keeps them in a heap of its own, ordered by
 * deadline and, where deadlines are equal, by arming; the rest still goes through sd-event, so that sockets
 * and children work in simulated hours too. Arming never fails: the heap has room for every timer from the
 * moment it is made. */
#include "base/loop-inside.h"

#define NOT_IN_HEAP SIZE_MAX

struct LoopTimer {
        Loop *loop;
        loop_timer_fn fn;
        void *userdata;
        usec_t deadline; /* USEC_INFINITY: not armed */
        sd_event_source *source; /* real clock */
        size_t index;            /* simulated: place in the heap */
        uint64_t sequence;
};

/* ---- the heap of simulated timers ---- */

static bool timer_before(const LoopTimer *a, const LoopTimer *b) {
        return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void heap_put(Loop *loop, size_t i, LoopTimer *timer) {
        loop->heap[i] = timer;
        timer->index = i;
}

/* Moves timer, which belongs at or around the free place i, to where the order wants it. */
static void heap_settle(Loop *loop, size_t i, LoopTimer *timer) {
        while (i > 0 && timer_before(timer, loop->heap[(i - 1) / 2])) {
                heap_put(loop, i, loop->heap[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        for (;;) {
                size_t child = 2 * i + 1;

                if (child + 1 < loop->n_heap && timer_before(loop->heap[child + 1], loop->heap[child]))
                        child++;
                if (child >= loop->n_heap || !timer_before(loop->heap[child], timer))
                        break;
                heap_put(loop, i, loop->heap[child]);
                i = child;
        }
        heap_put(loop, i, timer);
}

static void heap_remove(Loop *loop, LoopTimer *timer) {
        size_t i = timer->index;
        LoopTimer *last;

        if (i == NOT_IN_HEAP)
                return;
        timer->index = NOT_IN_HEAP;
        last = loop->heap[--loop->n_heap];
        if (last != timer)
                heap_settle(loop, i, last);
}

static void heap_insert(Loop *loop, LoopTimer *timer) {
        timer->sequence = loop->sequence++;
        loop->n_heap++;
        heap_settle(loop, loop->n_heap - 1, timer);
}

bool loop_timer_run_simulated(Loop *loop, usec_t until) {
        LoopTimer *timer = loop->n_heap > 0 ? loop->heap[0] : NULL;
        Turn turn;

        if (!timer || timer->deadline > until)
                return false;
        loop_clock_move(loop, timer->deadline);
        heap_remove(loop, timer);
        timer->deadline = USEC_INFINITY;
        turn = loop_turn_begin(loop);
        timer->fn(timer->userdata);
        loop_turn_end(loop, turn);
        return true;
}

/* ---- timers ---- */

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        LoopTimer *timer = userdata;

        timer->deadline = USEC_INFINITY;
        timer->fn(timer->userdata);
        return 0;
}

static int timer_new_real(LoopTimer *timer, const char *name) {
        int r;

        r = sd_event_add_time(timer->loop->event, &timer->source, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC, on_time, timer);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(timer->source, name);
        return sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

static int timer_new_simulated(Loop *loop) {
        LoopTimer **heap;

        if (loop->n_timers < loop->heap_size)
                return 0;
        heap = reallocarray(loop->heap, loop->heap_size * 2 + 16, sizeof(*heap));
        if (!heap)
                return -ENOMEM;
        loop->heap = heap;
        loop->heap_size = loop->heap_size * 2 + 16;
        return 0;
}

int loop_timer_new(LoopTimer **ret, Loop *loop, const char *name, loop_timer_fn fn, void *userdata) {
        LoopTimer *timer;
        int r;

        timer = malloc(sizeof(*timer));
        if (!timer)
                return -ENOMEM;
        *timer = (LoopTimer){ .loop = loop, .fn = fn, .userdata = userdata, .deadline = USEC_INFINITY, .index = NOT_IN_HEAP };

        r = loop->simulated ? timer_new_simulated(loop) : timer_new_real(timer, name);
        if (r < 0) {
                sd_event_source_unref(timer->source);
                free(timer);
                return r;
        }
        loop->n_timers++;
        *ret = timer;
        return 0;
}

LoopTimer *loop_timer_free(LoopTimer *timer) {
        if (!timer)
                return NULL;
        heap_remove(timer->loop, timer);
        timer->loop->n_timers--;
        sd_event_source_disable_unref(timer->source);
        free(timer);
        return NULL;
}

void loop_timer_arm(LoopTimer *timer, usec_t deadline, usec_t accuracy) {
        if (deadline == USEC_INFINITY) {
                loop_timer_disarm(timer);
                return;
        }
        timer->deadline = deadline;
        if (timer->loop->simulated) {
                heap_remove(timer->loop, timer);
                heap_insert(timer->loop, timer);
                return;
        }
        /* 0 would be taken as a quarter of a second. These fail only on a loop that has ended. */
        (void)sd_event_source_set_time_accuracy(timer->source, accuracy > 0 ? accuracy : USEC_PER_MSEC);
        (void)sd_event_source_set_time(timer->source, deadline);
        (void)sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

void loop_timer_arm_in(LoopTimer *timer, usec_t delay, usec_t accuracy) {
        loop_timer_arm(timer, usec_add(loop_monotonic(timer->loop), delay), accuracy);
}

void loop_timer_disarm(LoopTimer *timer) {
        if (timer->deadline == USEC_INFINITY)
                return;
        timer->deadline = USEC_INFINITY;
        heap_remove(timer->loop, timer);
        if (timer->source)
                (void)sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

bool loop_timer_armed(const LoopTimer *timer) {
        return timer->deadline != USEC_INFINITY;
}

usec_t loop_timer_deadline(const LoopTimer *timer) {
        return timer->deadline;
}
