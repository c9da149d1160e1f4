/* SPDX-License-Identifier: Apache-2.0 */
/* What sd-event tells of: file descriptors, the ends of children, signals. */
#include <pthread.h>
#include <signal.h>

#include "base/loop-inside.h"

typedef struct SignalHandler {
        loop_signal_fn fn;
        void *userdata;
} SignalHandler;

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

void loop_orphans_free(Loop *loop) {
        while (loop->orphans) {
                LoopChild *next = loop->orphans->next;

                sd_event_source_disable_unref(loop->orphans->source);
                free(loop->orphans);
                loop->orphans = next;
        }
}

/* ---- signals ---- */

int loop_signal_block(int signo) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, signo);
        return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int on_signal(_unused_ sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        SignalHandler *handler = userdata;

        handler->fn(handler->userdata, (int)info->ssi_signo);
        return 0;
}

int loop_signal(Loop *loop, int signo, loop_signal_fn fn, void *userdata) {
        sd_event_source *source = NULL;
        SignalHandler *handler;
        int r;

        r = loop_signal_block(signo);
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
