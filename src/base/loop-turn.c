/* SPDX-License-Identifier: Apache-2.0 */
/* sd-event does the waiting: I/O, signals and children (loop-source.c), and under the real clock the timers
 * (loop-timer.c). Here are the clocks, what a turn is, and what runs in it.
 *
 * One turn is one dispatch of sd-event (it runs one handler, then polls again), one simulated timer, or one
 * run of the deferred calls. What counts as its length is wall time less the time in which this thread was
 * able to run but had no processor, which is the second number of schedstat; where the kernel does not give
 * that, it is wall time alone. One pread() a turn: the second is only made by a turn that may be the longest.
 *
 * Handlers may free their own timer, I/O or child, and any other. */
#include <assert.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/loop-inside.h"

#define SIMULATED_START (1000 * USEC_PER_SEC)
#define DRAIN_MAX 4096 /* dispatches between two simulated timers: an fd that is always ready must not stop the clock */

struct Deferred {
        loop_defer_fn fn;
        void *userdata;
        Deferred *next;
};

static usec_t clock_usec(clockid_t id) {
        struct timespec ts;

        clock_gettime(id, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)(ts.tv_nsec / NSEC_PER_USEC);
}

/* ---- life ---- */

int loop_new(Loop **ret) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        int r;

        loop = calloc(1, sizeof(*loop));
        if (!loop)
                return -ENOMEM;
        loop->deferred_end = &loop->deferred;
        loop->step_fd = -EBADF;
        loop->turn_start = clock_usec(CLOCK_MONOTONIC);
        loop->schedstat_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC); /* or do without */

        r = loop_signal_block(SIGCHLD);
        if (r < 0)
                return r;
        r = sd_event_new(&loop->event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(loop);
        return 0;
}

int loop_new_simulated(Loop **ret, usec_t realtime) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        int r;

        r = loop_new(&loop);
        if (r < 0)
                return r;
        loop->step_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (loop->step_fd < 0)
                return -errno;
        loop->simulated = true;
        loop->monotonic = SIMULATED_START;
        loop->realtime = realtime;
        *ret = TAKE_PTR(loop);
        return 0;
}

Loop *loop_free(Loop *loop) {
        if (!loop)
                return NULL;

        loop_orphans_free(loop);
        while (loop->deferred) {
                Deferred *next = loop->deferred->next;

                free(loop->deferred);
                loop->deferred = next;
        }
        sd_event_unref(loop->event);
        if (loop->schedstat_fd >= 0)
                close(loop->schedstat_fd);
        closep(&loop->step_fd);
        free(loop->heap);
        free(loop);
        return NULL;
}

struct sd_event *loop_sd_event(Loop *loop) {
        return loop->event;
}

/* ---- clocks ---- */

usec_t loop_monotonic(const Loop *loop) {
        return loop->simulated ? loop->monotonic : clock_usec(CLOCK_MONOTONIC);
}

usec_t loop_boottime(const Loop *loop) {
        return loop->simulated ? loop->monotonic : clock_usec(CLOCK_BOOTTIME);
}

usec_t loop_realtime(const Loop *loop) {
        return loop->simulated ? loop->realtime : clock_usec(CLOCK_REALTIME);
}

void loop_step_realtime(Loop *loop, int64_t usec) {
        assert(loop->simulated);
        loop->realtime += (usec_t)usec;
        (void)eventfd_write(loop->step_fd, 1);
}

int loop_step_fd(const Loop *loop) {
        return loop->step_fd;
}

/* ---- turns ---- */

/* Time this thread has spent waiting for a processor so far, in ns. */
static uint64_t run_delay(const Loop *loop) {
        char text[80], *end;
        ssize_t n;

        if (loop->schedstat_fd < 0)
                return 0;
        n = pread(loop->schedstat_fd, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return 0;
        text[n] = 0;
        (void)strtoull(text, &end, 10);
        return strtoull(end, NULL, 10);
}

Turn loop_turn_begin(Loop *loop) {
        uint64_t delay = run_delay(loop);

        loop->turn_start = clock_usec(CLOCK_MONOTONIC);
        return (Turn){ loop->turn_start, delay };
}

void loop_turn_end(Loop *loop, Turn turn) {
        usec_t length = clock_usec(CLOCK_MONOTONIC) - turn.start, delay;

        loop->turns++;
        if (length <= loop->longest_turn)
                return;
        delay = (run_delay(loop) - turn.delay_ns) / NSEC_PER_USEC;
        length -= MIN(delay, length);
        loop->longest_turn = MAX(loop->longest_turn, length);
}

usec_t loop_turn_start(const Loop *loop) {
        return loop->simulated ? loop->monotonic : loop->turn_start;
}

usec_t loop_longest_turn(const Loop *loop) {
        return loop->longest_turn;
}

void loop_reset_longest_turn(Loop *loop) {
        loop->longest_turn = 0;
}

uint64_t loop_turns(const Loop *loop) {
        return loop->turns;
}

int loop_defer(Loop *loop, loop_defer_fn fn, void *userdata) {
        Deferred *d = malloc(sizeof(*d));

        if (!d)
                return -ENOMEM;
        *d = (Deferred){ fn, userdata, NULL };
        *loop->deferred_end = d;
        loop->deferred_end = &d->next;
        return 0;
}

/* What was deferred before this turn; what its handlers defer waits for the next. */
static bool run_deferred(Loop *loop) {
        Deferred *list = loop->deferred;
        Turn turn;

        if (!list)
                return false;

        loop->deferred = NULL;
        loop->deferred_end = &loop->deferred;
        turn = loop_turn_begin(loop);
        while (list) {
                Deferred d = *list;

                free(list);
                list = d.next;
                d.fn(d.userdata);
        }
        loop_turn_end(loop, turn);
        return true;
}

static int run_event(Loop *loop, usec_t wait) {
        Turn turn;
        int r;

        r = sd_event_prepare(loop->event);
        if (r == 0)
                r = sd_event_wait(loop->event, wait);
        if (r <= 0)
                return r;

        turn = loop_turn_begin(loop);
        r = sd_event_dispatch(loop->event);
        loop_turn_end(loop, turn);
        return r < 0 ? r : 1;
}

int loop_iterate(Loop *loop, usec_t wait) {
        bool ran = run_deferred(loop);
        int r;

        if (loop->simulated)
                while (!loop->exiting && loop_timer_run_simulated(loop, loop->monotonic))
                        ran = true;
        if (loop->exiting)
                return 1;
        r = run_event(loop, ran ? 0 : wait);
        return r < 0 ? r : ran || r > 0;
}

int loop_run(Loop *loop) {
        int r;

        assert(!loop->simulated);
        while (!loop->exiting) {
                r = loop_iterate(loop, USEC_INFINITY);
                if (r < 0)
                        return r;
        }
        return loop->exit_code;
}

void loop_exit(Loop *loop, int code) {
        loop->exiting = true;
        loop->exit_code = code;
}

bool loop_exiting(const Loop *loop) {
        return loop->exiting;
}

static int run_ready(Loop *loop) {
        for (unsigned n = 0; n < DRAIN_MAX && !loop->exiting; n++) {
                bool ran = run_deferred(loop);
                int r = run_event(loop, 0);

                if (r < 0)
                        return r;
                if (!ran && r == 0)
                        return 0;
        }
        return 0;
}

void loop_clock_move(Loop *loop, usec_t to) {
        if (to <= loop->monotonic)
                return;
        loop->realtime += to - loop->monotonic;
        loop->monotonic = to;
}

int loop_advance(Loop *loop, usec_t by) {
        usec_t end = usec_add(loop->monotonic, by);
        int r;

        assert(loop->simulated);
        do {
                r = run_ready(loop);
                if (r < 0)
                        return r;
        } while (!loop->exiting && loop_timer_run_simulated(loop, end));
        if (!loop->exiting)
                loop_clock_move(loop, end);
        return 0;
}
