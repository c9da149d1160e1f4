/* SPDX-License-Identifier: Apache-2.0 */
/* sd-event does the waiting: I/O, signals, children, and under the real clock the timers. A simulated loop
 * keeps its timers in a heap of its own, ordered by deadline and, where deadlines are equal, by arming; the
 * rest still goes through sd-event, so that sockets and children work in simulated hours too. Arming never
 * fails: the heap has room for every timer from the moment it is made.
 *
 * One turn is one dispatch of sd-event (it runs one handler, then polls again), one simulated timer, or one
 * run of the deferred calls. What counts as its length is wall time less the time in which this thread was
 * able to run but had no processor, which is the second number of schedstat; where the kernel does not give
 * that, it is wall time alone. One pread() a turn: the second is only made by a turn that may be the longest.
 *
 * Handlers may free their own timer, I/O or child, and any other. */
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include <systemd/sd-event.h>

#include "base/loop.h"

#define SIMULATED_START (1000 * USEC_PER_SEC)
#define DRAIN_MAX 4096 /* dispatches between two simulated timers: an fd that is always ready must not stop the clock */
#define NOT_IN_HEAP SIZE_MAX

typedef struct Deferred Deferred;
struct Deferred {
        loop_defer_fn fn;
        void *userdata;
        Deferred *next;
};

typedef struct SignalHandler {
        loop_signal_fn fn;
        void *userdata;
} SignalHandler;

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

struct LoopTimer {
        Loop *loop;
        loop_timer_fn fn;
        void *userdata;
        usec_t deadline; /* USEC_INFINITY: not armed */
        sd_event_source *source; /* real clock */
        size_t index;            /* simulated: place in the heap */
        uint64_t sequence;
};

struct LoopIo {
        sd_event_source *source;
        loop_io_fn fn;
        void *userdata;
};

struct LoopChild {
        Loop *loop;
        sd_event_source *source;
        loop_child_fn fn; /* NULL: nobody wants to know any more */
        void *userdata;
        bool ended;
        LoopChild *next; /* among the orphans */
};

static usec_t clock_usec(clockid_t id) {
        struct timespec ts;

        clock_gettime(id, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)(ts.tv_nsec / NSEC_PER_USEC);
}

static usec_t usec_add(usec_t a, usec_t b) {
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

static int signal_block(int signo) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, signo);
        return -pthread_sigmask(SIG_BLOCK, &set, NULL);
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

        r = signal_block(SIGCHLD);
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

        while (loop->orphans) {
                LoopChild *next = loop->orphans->next;

                sd_event_source_disable_unref(loop->orphans->source);
                free(loop->orphans);
                loop->orphans = next;
        }
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

typedef struct Turn {
        usec_t start;
        uint64_t delay_ns;
} Turn;

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

static Turn turn_begin(Loop *loop) {
        uint64_t delay = run_delay(loop);

        loop->turn_start = clock_usec(CLOCK_MONOTONIC);
        return (Turn){ loop->turn_start, delay };
}

static void turn_end(Loop *loop, Turn turn) {
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

/* What was deferred before this turn; what its handlers defer waits for the next. */
static bool run_deferred(Loop *loop) {
        Deferred *list = loop->deferred;
        Turn turn;

        if (!list)
                return false;

        loop->deferred = NULL;
        loop->deferred_end = &loop->deferred;
        turn = turn_begin(loop);
        while (list) {
                Deferred d = *list;

                free(list);
                list = d.next;
                d.fn(d.userdata);
        }
        turn_end(loop, turn);
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

        turn = turn_begin(loop);
        r = sd_event_dispatch(loop->event);
        turn_end(loop, turn);
        return r < 0 ? r : 1;
}

static bool run_simulated_timer(Loop *loop, usec_t until);

int loop_iterate(Loop *loop, usec_t wait) {
        bool ran = run_deferred(loop);
        int r;

        if (loop->simulated)
                while (!loop->exiting && run_simulated_timer(loop, loop->monotonic))
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

static void clock_move(Loop *loop, usec_t to) {
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
        } while (!loop->exiting && run_simulated_timer(loop, end));
        if (!loop->exiting)
                clock_move(loop, end);
        return 0;
}

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

static bool run_simulated_timer(Loop *loop, usec_t until) {
        LoopTimer *timer = loop->n_heap > 0 ? loop->heap[0] : NULL;
        Turn turn;

        if (!timer || timer->deadline > until)
                return false;
        clock_move(loop, timer->deadline);
        heap_remove(loop, timer);
        timer->deadline = USEC_INFINITY;
        turn = turn_begin(loop);
        timer->fn(timer->userdata);
        turn_end(loop, turn);
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

/* ---- I/O ---- */

static int on_io(_unused_ sd_event_source *source, _unused_ int fd, uint32_t events, void *userdata) {
        LoopIo *io = userdata;

        io->fn(io->userdata, events);
        return 0;
}

int loop_io_new(LoopIo **ret, Loop *loop, const char *name, int fd, uint32_t events, loop_io_fn fn, void *userdata) {
        LoopIo *io;
        int r;

        io = malloc(sizeof(*io));
        if (!io)
                return -ENOMEM;
        *io = (LoopIo){ .fn = fn, .userdata = userdata };
        r = sd_event_add_io(loop->event, &io->source, fd, events, on_io, io);
        if (r < 0) {
                free(io);
                return r;
        }
        (void)sd_event_source_set_description(io->source, name);
        if (events == 0)
                loop_io_set_events(io, 0);
        *ret = io;
        return 0;
}

LoopIo *loop_io_free(LoopIo *io) {
        if (!io)
                return NULL;
        sd_event_source_disable_unref(io->source);
        free(io);
        return NULL;
}

void loop_io_set_events(LoopIo *io, uint32_t events) {
        /* epoll tells EPOLLHUP even where nothing is asked for: only a source that is off is silent. */
        if (events != 0)
                (void)sd_event_source_set_io_events(io->source, events);
        (void)sd_event_source_set_enabled(io->source, events != 0 ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* ---- children ---- */

/* sd-event has not reaped pid yet and does so when this returns: until then the number stays its own. */
static int on_child(_unused_ sd_event_source *source, const siginfo_t *info, void *userdata) {
        LoopChild *child = userdata;
        int status;

        if (info->si_code != CLD_EXITED && info->si_code != CLD_KILLED && info->si_code != CLD_DUMPED) {
                /* While this waited for its turn sd-event did not look at pid: an end told meanwhile would be
                 * missed for ever, so it has to look again. */
                (void)kill(getpid(), SIGCHLD);
                return 0;
        }
        if (info->si_code == CLD_EXITED)
                status = W_EXITCODE(info->si_status, 0);
        else
                status = info->si_status | (info->si_code == CLD_DUMPED ? WCOREFLAG : 0);

        child->ended = true;
        if (child->fn) {
                child->fn(child->userdata, info->si_pid, status);
                return 0;
        }
        for (LoopChild **p = &child->loop->orphans; *p; p = &(*p)->next)
                if (*p == child) {
                        *p = child->next;
                        break;
                }
        loop_child_free(child);
        return 0;
}

int loop_child_new(LoopChild **ret, Loop *loop, const char *name, pid_t pid, loop_child_fn fn, void *userdata) {
        LoopChild *child;
        int r;

        child = malloc(sizeof(*child));
        if (!child)
                return -ENOMEM;
        *child = (LoopChild){ .loop = loop, .fn = fn, .userdata = userdata };
        /* With WEXITED alone sd-event waits for the pidfd, and once: but that is readable, and the one event is
         * spent, while a tracer (a debugger, the leak sanitizer) still keeps the dead child from its parent.
         * SIGCHLD comes when it is really ours. */
        r = sd_event_add_child(loop->event, &child->source, pid, WEXITED | WSTOPPED, on_child, child);
        if (r >= 0)
                r = sd_event_source_set_enabled(child->source, SD_EVENT_ON);
        if (r < 0) {
                sd_event_source_unref(child->source);
                free(child);
                return r;
        }
        (void)sd_event_source_set_description(child->source, name);
        *ret = child;
        return 0;
}

LoopChild *loop_child_free(LoopChild *child) {
        if (!child)
                return NULL;
        if (!child->ended) {
                child->fn = NULL;
                child->next = child->loop->orphans;
                child->loop->orphans = child;
                return NULL;
        }
        sd_event_source_disable_unref(child->source);
        free(child);
        return NULL;
}

/* ---- signals, deferred calls ---- */

static int on_signal(_unused_ sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        SignalHandler *handler = userdata;

        handler->fn(handler->userdata, (int)info->ssi_signo);
        return 0;
}

int loop_signal(Loop *loop, int signo, loop_signal_fn fn, void *userdata) {
        sd_event_source *source = NULL;
        SignalHandler *handler;
        int r;

        r = signal_block(signo);
        if (r < 0)
                return r;
        handler = malloc(sizeof(*handler));
        if (!handler)
                return -ENOMEM;
        *handler = (SignalHandler){ fn, userdata };

        r = sd_event_add_signal(loop->event, &source, signo, on_signal, handler);
        if (r < 0) {
                free(handler);
                return r;
        }
        (void)sd_event_source_set_description(source, "signal");
        (void)sd_event_source_set_destroy_callback(source, free);
        r = sd_event_source_set_floating(source, true); /* lives as long as the loop */
        sd_event_source_unref(source);
        return r < 0 ? r : 0;
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
