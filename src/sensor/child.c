/* SPDX-License-Identifier: Apache-2.0 */
/* The state that is told (HostState) is what people see. Beside it the process has a phase:
 *
 *   phase     the process                           leaves it by
 *   NONE      there is none                         launch() -> LIVE
 *   LIVE      is expected to run                    child_stop(), or it closed its end -> ENDING;
 *                                                   a bad frame -> KILLED; its end -> NONE
 *   ENDING    was asked to end, has a deadline      the deadline -> KILLED; its end -> NONE
 *   KILLED    got SIGKILL                           5 s -> told as HOST_STUCK, and nothing else: there is no
 *                                                   second process before the first is reaped; its end -> NONE
 *
 * What happens at its end is decided in one place, after_end(), from why it ended. `wanted` alone says whether
 * somebody still wants it to run, so child_start() while the old process is still ending means: again, then.
 *
 * The host's own timer kills it when a call takes too long. A call that hangs inside the kernel outlives that,
 * and nobody is told: a look at /proc twice a minute finds a host whose SIGKILL does not get through.
 *
 * When the intake budget is spent the socket is not read (and not polled: its hang-up would be told again and
 * again) until there is some again. The host's own queue takes what that holds up. What is in the
 * socket when the host has ended is read whatever the bucket says.
 *
 * Callbacks may call everything here, child_free() too. */
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "sensor/budget.h"
#include "sensor/child.h"
#include "sensor/ending.h"
#include "sensor/process.h"
#include "sensor/wire.h"

#define STUCK_AFTER (5 * USEC_PER_SEC)  /* from SIGKILL */
#define CLOSED_WAIT (1 * USEC_PER_SEC)  /* from its end of file to its end */
#define BACKOFF_MIN (1 * USEC_PER_SEC)
#define BACKOFF_MAX (60 * USEC_PER_SEC)
#define HEALTHY_AFTER (60 * USEC_PER_SEC)
#define LOOK_EVERY (30 * USEC_PER_SEC)
#define BYTES_PER_TURN FRAME_SIZE_MAX
#define FRAME_OVERHEAD KIB     /* small frames cost time, too */
#define BYTES_LEFT_MAX MIB    /* more than a socket buffer holds, in case somebody else has the host's end */
#define ACCURACY (10 * USEC_PER_MSEC)

typedef enum Phase { PHASE_NONE, PHASE_LIVE, PHASE_ENDING, PHASE_KILLED } Phase;

struct Child {
        ChildParams params; /* its texts and settings are ours */
        uint8_t *blob;
        size_t blob_size;

        HostState state;
        char reason[ENDING_TEXT_MAX];
        bool wanted;
        unsigned failures, restarts; /* failures: in a row */
        unsigned busy;               /* callbacks running: no free() below them */
        bool freed;

        /* of the process there is now */
        Phase phase;
        pid_t pid;
        int fd, status_fd; /* ours of the socket; process_status_open() */
        LoopChild *process;
        LoopIo *io;
        bool stop_asked;
        Ending ending;
        const char *if_late;  /* why, when the deadline of ENDING passes */
        usec_t healthy_since; /* 0: has not opened yet */

        LoopTimer *restart, *deadline, *intake, *look;
        Budget budget;
};

/* One each for all children: they are only used in the main thread, and never across a callback but for the
 * frame that is being told. */
static uint8_t receive_buffer[FRAME_SIZE_MAX], send_buffer[FRAME_SIZE_MAX];

/* ---- callbacks ---- */

static void child_destroy(Child *c);

static void leave_busy(Child *c) {
        if (--c->busy == 0 && c->freed)
                child_destroy(c);
}

static void set_state(Child *c, HostState state, const char *reason) {
        char text[sizeof(c->reason)];

        ending_copy(text, reason);
        if (c->freed || (c->state == state && streq(c->reason, text)))
                return;
        c->state = state;
        memcpy(c->reason, text, sizeof(text));
        c->busy++;
        c->params.events.state(c->params.userdata, c, state, text);
        leave_busy(c);
}

/* ---- ending ---- */

static void link_close(Child *c) {
        c->io = loop_io_free(c->io);
        loop_timer_disarm(c->intake);
        closep(&c->fd);
        c->fd = -EBADF;
}

static void status_close(Child *c) {
        closep(&c->status_fd);
        c->status_fd = -EBADF;
}

/* words: why; NULL: nothing worth telling. */
static void kill_process(Child *c, const char *words) {
        if (c->phase != PHASE_LIVE && c->phase != PHASE_ENDING)
                return;
        c->phase = PHASE_KILLED;
        if (words)
                ending_say(&c->ending, words);
        (void)kill(c->pid, SIGKILL); /* its group follows in on_end() */
        loop_timer_arm_in(c->deadline, STUCK_AFTER, ACCURACY);
}

static void end_process(Child *c, usec_t wait, const char *if_late) {
        c->phase = PHASE_ENDING;
        c->if_late = if_late;
        loop_timer_arm_in(c->deadline, wait, ACCURACY);
}

static void on_deadline(void *userdata) {
        Child *c = userdata;

        if (c->phase == PHASE_ENDING)
                kill_process(c, c->if_late);
        else if (c->phase == PHASE_KILLED) {
                char text[128];

                snprintf(text, sizeof(text), "killed, but process %d hangs in the kernel", (int)c->pid);
                set_state(c, HOST_STUCK, text);
        }
}

static void on_look(void *userdata) {
        Child *c = userdata;

        if (c->phase == PHASE_LIVE && process_is_dying(c->status_fd))
                kill_process(c, NULL);
        else
                loop_timer_arm_in(c->look, LOOK_EVERY, LOOK_EVERY / 3);
}

/* ---- frames from the host ---- */

/* Whoever sends one cannot be believed from then on. */
static void refuse_frame(Child *c) {
        kill_process(c, "sent a bad frame");
        link_close(c);
}

static void on_state_frame(Child *c, const Frame *f) {
        if (f->f[0].u > HOST_ILL) {
                refuse_frame(c);
                return;
        }
        if (c->phase != PHASE_LIVE)
                return;
        if (c->healthy_since == 0 && f->f[0].u != HOST_OPENING)
                c->healthy_since = loop_monotonic(c->params.loop);
        set_state(c, (HostState)f->f[0].u, f->f[1].data);
}

static void take_frame(Child *c, const Frame *f, int passed_fd) {
        _cleanup_(closep) int fd = passed_fd;

        if (f->type == FRAME_STATE) {
                on_state_frame(c, f);
                return;
        }
        ending_note(&c->ending, f);
        c->busy++;
        if (f->type == FRAME_ROWS)
                c->params.events.rows(c->params.userdata, c, (const uint8_t *)f->f[0].data, f->f[0].size);
        else
                c->params.events.frame(c->params.userdata, c, f, f->type == FRAME_FD_KEEP ? TAKE_FD(fd) : -EBADF);
        leave_busy(c);
}

/* Rows are not refused at the end: what a host hands over in order has a deadline of its own. */
static bool intake_is_limited(const Child *c) {
        return c->phase == PHASE_LIVE && budget_is_limited(&c->budget);
}

static void intake_pause(Child *c) {
        usec_t wait = budget_wait(&c->budget);

        if (wait == 0)
                return;
        loop_io_set_events(c->io, 0);
        loop_timer_arm_in(c->intake, wait, ACCURACY);
}

static void intake_resume(void *userdata) {
        Child *c = userdata;

        if (c->io)
                loop_io_set_events(c->io, EPOLLIN);
}

/* Its size; 0: nothing waits or nobody is there any more. */
static size_t take_datagram(Child *c) {
        int fd = -EBADF;
        Frame frame;
        ssize_t n;

        n = wire_receive(c->fd, receive_buffer, sizeof(receive_buffer), &fd);
        if (n == -EAGAIN)
                return 0;
        if (n == 0 || (n < 0 && n != -EBADMSG)) {
                closep(&fd);
                link_close(c);
                if (c->phase == PHASE_LIVE)
                        end_process(c, CLOSED_WAIT, "closed its connection");
                return 0;
        }
        if (n < 0 || frame_parse(receive_buffer, (size_t)n, &frame) < 0 || frame.type < FRAME_HELLO) {
                closep(&fd);
                refuse_frame(c);
                return 0;
        }
        budget_spend(&c->budget, (size_t)n);
        take_frame(c, &frame, fd);
        return (size_t)n;
}

/* limited: stops where the budget does. */
static void take_datagrams(Child *c, size_t bytes_max, bool limited) {
        size_t size = 0, n;

        while (c->fd >= 0 && !c->freed && size < bytes_max && (!limited || budget_is_left(&c->budget))) {
                n = take_datagram(c);
                if (n == 0)
                        break;
                size += n + FRAME_OVERHEAD;
        }
}

static void on_readable(void *userdata, _unused_ uint32_t events) {
        Child *c = userdata;

        budget_refill(&c->budget, loop_monotonic(c->params.loop));
        c->busy++;
        take_datagrams(c, BYTES_PER_TURN, intake_is_limited(c));
        if (c->io && intake_is_limited(c))
                intake_pause(c);
        leave_busy(c);
}

/* ---- the end ---- */

/* The first restart is at once; then full jitter below a bound that doubles. */
static usec_t backoff_next(Child *c) {
        usec_t bound;

        if (c->healthy_since > 0 && loop_monotonic(c->params.loop) - c->healthy_since >= HEALTHY_AFTER)
                c->failures = 0;
        c->failures++;
        if (c->failures == 1)
                return 0;
        bound = c->failures < 8 ? BACKOFF_MIN << (c->failures - 2) : BACKOFF_MAX;
        return 1 + arc4random_uniform((uint32_t)MIN(bound, BACKOFF_MAX));
}

static int launch(Child *c);

static void after_end(Child *c, int status) {
        char reason[ENDING_TEXT_MAX];

        ending_describe(&c->ending, status, c->stop_asked || c->params.mode != MODE_RUN, reason);
        c->phase = PHASE_NONE;
        if (c->stop_asked)
                set_state(c, HOST_STOPPED, reason);
        else if (ending_is_misconfigured(&c->ending, status)) {
                c->wanted = false;
                set_state(c, HOST_MISCONFIGURED, reason);
        } else if (c->params.mode != MODE_RUN) {
                c->wanted = false;
                set_state(c, HOST_STOPPED, reason);
        } else {
                loop_timer_arm_in(c->restart, backoff_next(c), ACCURACY);
                set_state(c, HOST_BACKOFF, reason);
                return;
        }
        if (c->wanted && c->phase == PHASE_NONE && !c->freed)
                (void)launch(c); /* asked for while the old one was ending; failure is told as a state */
}

static void on_end(void *userdata, _unused_ pid_t pid, int status) {
        Child *c = userdata;

        c->busy++;
        (void)kill(-c->pid, SIGKILL); /* it is not reaped yet: the group is still its own */
        take_datagrams(c, BYTES_LEFT_MAX, false);
        link_close(c);
        status_close(c);
        loop_timer_disarm(c->deadline);
        loop_timer_disarm(c->look);
        c->process = loop_child_free(c->process);
        c->pid = 0;
        if (!c->freed)
                after_end(c, status);
        leave_busy(c);
}

/* ---- the start ---- */

static int host_spawn(Child *c) {
        ssize_t size;
        int r;

        size = frame_build(send_buffer, FRAME_SETUP, c->params.instance, c->params.plugin_file, (uint64_t)c->params.mode,
                           (const void *)c->params.settings, c->params.settings_size, (const void *)c->blob, c->blob_size);
        if (size < 0)
                return (int)size;
        r = process_spawn(c->params.host_path, c->params.instance, c->params.sanitized, &c->pid, &c->fd);
        if (r < 0)
                return r;
        r = loop_child_new(&c->process, c->params.loop, "plugin host", c->pid, on_end, c);
        if (r < 0) {
                process_kill(c->pid); /* it has not run a line yet: this takes no time */
                while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
                return r;
        }
        c->phase = PHASE_LIVE;
        c->status_fd = process_status_open(c->pid); /* before SETUP; without it nobody looks */
        r = loop_io_new(&c->io, c->params.loop, "plugin host", c->fd, EPOLLIN, on_readable, c);
        if (r == 0)
                r = wire_send(c->fd, send_buffer, (size_t)size, -EBADF); /* the socket is empty: it has room */
        if (r == 0)
                r = child_send(c, FRAME_LEVEL, (uint64_t)c->params.log_level);
        if (r < 0 && r != -ENOTCONN) { /* one that is gone already is told by its end */
                kill_process(c, strerror(-r));
                return 0;
        }
        loop_timer_arm_in(c->look, LOOK_EVERY, LOOK_EVERY / 3);
        return 0;
}

/* What cannot be started is told as a state: in mode RUN it is tried again. */
static int launch(Child *c) {
        char text[256];
        int r;

        c->stop_asked = false;
        c->ending = (Ending){ 0 };
        c->healthy_since = 0;
        r = host_spawn(c);
        if (r == 0) {
                set_state(c, HOST_OPENING, "");
                return 0;
        }
        link_close(c);
        c->pid = 0;
        if (r == -EMSGSIZE) {
                c->wanted = false;
                set_state(c, HOST_MISCONFIGURED, "its part of the configuration is too large (128 KiB)");
                return r;
        }
        snprintf(text, sizeof(text), "cannot start %s: %s", c->params.host_path, strerror(-r));
        if (c->params.mode != MODE_RUN) {
                c->wanted = false;
                set_state(c, HOST_STOPPED, text);
                return r;
        }
        loop_timer_arm_in(c->restart, backoff_next(c), ACCURACY);
        set_state(c, HOST_BACKOFF, text);
        return 0;
}

static void on_restart(void *userdata) {
        Child *c = userdata;

        c->busy++;
        c->restarts++;
        (void)launch(c); /* failure is told as a state */
        leave_busy(c);
}

int child_start(Child *c) {
        int r;

        c->wanted = true;
        c->failures = 0;
        if (c->phase != PHASE_NONE)
                return 0; /* it runs, or starts when the old one has ended */
        loop_timer_disarm(c->restart);
        c->busy++;
        r = launch(c);
        leave_busy(c);
        return r;
}

void child_stop(Child *c, usec_t wait, bool final) {
        c->wanted = false;
        loop_timer_disarm(c->restart);
        if (c->phase == PHASE_NONE) {
                set_state(c, HOST_STOPPED, "");
                return;
        }
        c->stop_asked = true;
        if (c->phase == PHASE_KILLED)
                return;
        if (c->fd >= 0) {
                (void)!child_send(c, FRAME_STOP,
                                  (uint64_t) final); /* without room for it the end of file says the same, but not `final` */
                (void)shutdown(c->fd, SHUT_WR);
        }
        end_process(c, wait, "did not end in time, killed");
        loop_timer_disarm(c->intake);
        intake_resume(c);
        if (wait == 0)
                kill_process(c, "killed");
}

/* ---- sending ---- */

static int send_list(Child *c, int fd, FrameType type, va_list ap) {
        ssize_t size;

        if (c->fd < 0)
                return -ENOTCONN;
        size = frame_build_list(send_buffer, type, ap);
        return size < 0 ? (int)size : wire_send(c->fd, send_buffer, (size_t)size, fd);
}

int child_send(Child *c, FrameType type, ...) {
        va_list ap;
        int r;

        va_start(ap, type);
        r = send_list(c, -EBADF, type, ap);
        va_end(ap);
        return r;
}

int child_send_fd(Child *c, int fd, FrameType type, ...) {
        va_list ap;
        int r;

        va_start(ap, type);
        r = send_list(c, fd, type, ap);
        va_end(ap);
        return r;
}

/* ---- life ---- */

static int bytes_replace(uint8_t **bytes, size_t *n, const void *data, size_t size) {
        uint8_t *copy = NULL;

        if (size > 0) {
                copy = malloc(size);
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, data, size);
        }
        free(*bytes);
        *bytes = copy;
        *n = size;
        return 0;
}

int child_set_settings(Child *c, const uint8_t *settings, size_t size) {
        return bytes_replace((uint8_t **)&c->params.settings, &c->params.settings_size, settings, size);
}

int child_set_state_blob(Child *c, const void *data, size_t size) {
        return bytes_replace(&c->blob, &c->blob_size, data, size);
}

static int timers_new(Child *c) {
        Loop *loop = c->params.loop;
        int r;

        r = loop_timer_new(&c->restart, loop, "host restart", on_restart, c);
        if (r == 0)
                r = loop_timer_new(&c->deadline, loop, "host deadline", on_deadline, c);
        if (r == 0)
                r = loop_timer_new(&c->intake, loop, "host intake", intake_resume, c);
        if (r == 0)
                r = loop_timer_new(&c->look, loop, "host look", on_look, c);
        return r;
}

int child_new(Child **ret, const ChildParams *params) {
        _cleanup_(child_freep) Child *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->params = *params;
        c->fd = c->status_fd = -EBADF;
        c->state = HOST_STOPPED;
        c->params.host_path = strdup(params->host_path);
        c->params.instance = strdup(params->instance);
        c->params.plugin_file = strdup(params->plugin_file);
        c->params.settings = NULL;
        if (!c->params.host_path || !c->params.instance || !c->params.plugin_file)
                return -ENOMEM;
        r = child_set_settings(c, params->settings, params->settings_size);
        if (r < 0)
                return r;
        r = timers_new(c);
        if (r < 0)
                return r;
        budget_init(&c->budget, params->intake_rate, params->intake_burst, loop_monotonic(params->loop));
        *ret = TAKE_PTR(c);
        return 0;
}

static void child_destroy(Child *c) {
        c->restart = loop_timer_free(c->restart);
        c->deadline = loop_timer_free(c->deadline);
        c->intake = loop_timer_free(c->intake);
        c->look = loop_timer_free(c->look);
        free((char *)c->params.host_path);
        free((char *)c->params.instance);
        free((char *)c->params.plugin_file);
        free((uint8_t *)c->params.settings);
        free(c->blob);
        free(c);
}

Child *child_free(Child *c) {
        if (!c)
                return NULL;
        if (c->pid > 0)
                process_kill(c->pid);
        c->process = loop_child_free(c->process); /* the loop reaps it */
        c->io = loop_io_free(c->io);
        closep(&c->fd);
        c->fd = -EBADF;
        status_close(c);
        c->freed = true;
        if (c->busy == 0)
                child_destroy(c);
        return NULL;
}

HostState child_state(const Child *c) {
        return c->state;
}

const char *child_reason(const Child *c) {
        return c->reason;
}

const char *child_instance(const Child *c) {
        return c->params.instance;
}

pid_t child_pid(const Child *c) {
        return c->pid;
}

unsigned child_restarts(const Child *c) {
        return c->restarts;
}

void *child_userdata(const Child *c) {
        return c->params.userdata;
}
