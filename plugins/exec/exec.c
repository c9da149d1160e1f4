/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `exec`: any program as a sensor, by lines of JSON on its stdout (values.c says which).
 *
 *   periodic  sample() runs the command to its end, at most kill_after, and emits what it wrote. The sample fails
 *             when the command can't be run, ends with a failure or wrote nothing but bad lines; values written
 *             before that count. What a call complains of is the reason the host shows, logged once.
 *   daemon    open() starts the command; its lines become rows as they come, one read() of up to 64 KiB for each
 *             turn of the host's loop. When it ends, it is started again after 1 s, doubled up to 60 s while it
 *             does not live for a minute. sample() gives no values and only fails while there is no command, so
 *             that the instance shows as ill. With `silence` it also notices one that hangs.
 *
 * The command's last line counts without a newline only when it ended well: a number that was cut in the middle
 * would be a wrong number. Its stderr goes to the log, at most 20 lines in 10 seconds. Whatever it leaves behind
 * is killed when it ends, and all of it when this process ends, in whatever way (child.c).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"

#define LINE_MAX_SIZE       65536
#define STDERR_LINE_MAX     1000
#define STDERR_WINDOW_NS    INT64_C(10000000000)
#define STDERR_WINDOW_LINES 20
#define DRAIN_READS         64
#define GRACE_MSEC          400 /* of the 800 ms that the daemon gives a host at its end, which has to write, too */
#define DELAY_FIRST_USEC    UINT64_C(1000000)
#define DELAY_MAX_USEC      UINT64_C(60000000)
#define HEALTHY_NS          INT64_C(60000000000)
#define CALL_MARGIN_USEC    UINT64_C(5000000)

/* ---- what the command writes */

static void dropped_tell(Exec *e) {
        char text[80];

        if (e->n_dropped > 0) {
                snprintf(text, sizeof(text), "%u more lines of its stderr are left out", e->n_dropped);
                tbagent_log(e->host, TBAGENT_NOTICE, text);
        }
        e->n_dropped = 0;
}

static void on_stderr_line(void *userdata, char *line, size_t size, bool whole) {
        int64_t now;
        Exec *e = userdata;

        (void)whole;
        line[strcspn(line, "\r")] = 0;
        if (!*line)
                return;
        now = tbagent_now(e->host);
        if (e->window_ns == 0 || now - e->window_ns >= STDERR_WINDOW_NS) {
                dropped_tell(e);
                e->window_ns = now;
                e->n_window = 0;
        }
        if (e->n_window++ >= STDERR_WINDOW_LINES) {
                e->n_dropped++;
                return;
        }
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)line[i] < ' ' && line[i])
                        line[i] = ' ';
        tbagent_log(e->host, TBAGENT_NOTICE, line);
}

/* One read of stdout. As lines_read(). */
static ssize_t out_read(Exec *e) {
        ssize_t n = lines_read(&e->out, e->child.out, values_line, e->values);

        values_flush(e->values);
        if (n > 0)
                e->heard_ns = tbagent_now(e->host);
        return n;
}

static ssize_t err_read(Exec *e) {
        return lines_read(&e->err, e->child.err, on_stderr_line, e);
}

static void unwatch(Exec *e, int fd) {
        if (e->daemon && fd >= 0)
                tbagent_unwatch_fd(e->host, fd);
}

/* One read of child.out or child.err, which is closed at its end. */
static void stream_take(Exec *e, int *fd) {
        ssize_t n = fd == &e->child.out ? out_read(e) : err_read(e);

        if (n > 0 || n == -EAGAIN)
                return;
        unwatch(e, *fd);
        close(*fd);
        *fd = -1;
}

/* ---- how it ends */

/* "ended with status 3", ... NULL: it ended well. */
static const char *status_words(int status, char out[static 80]) {
        if (WIFSIGNALED(status))
                snprintf(out, 80, "was killed by signal %d (%s)", WTERMSIG(status), sigdescr_np(WTERMSIG(status)) ?: "unknown");
        else if (WEXITSTATUS(status) != 0)
                snprintf(out, 80, "ended with status %d", WEXITSTATUS(status));
        else
                return NULL;
        return out;
}

/* Kills what is left of the group, then reads what is left in the pipes. That has an end even when a process that left
 * the group goes on writing. */
static int command_finish(Exec *e, int grace_msec, size_t *ret_good, size_t *ret_bad) {
        bool well;
        int status = 0;

        child_stop(&e->child, grace_msec, &status);
        for (int i = 0; i < DRAIN_READS && e->child.out >= 0 && out_read(e) > 0; i++)
                ;
        for (int i = 0; i < DRAIN_READS && e->child.err >= 0 && err_read(e) > 0; i++)
                ;
        well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        lines_end(&e->out, well, values_line, e->values);
        lines_end(&e->err, true, on_stderr_line, e);
        values_run_ended(e->values, ret_good, ret_bad);
        dropped_tell(e);
        child_close(&e->child);
        return status;
}

static int command_start(Exec *e) {
        const char *what;
        int r;

        r = child_start(&e->child, &e->params, &what);
        if (r < 0) {
                start_tell(e, what, r);
                return r;
        }
        e->started_ns = e->heard_ns = tbagent_now(e->host);
        return 0;
}

/* ---- periodic */

/* Reads until the command has ended. False: it took too long. */
static bool run_wait(Exec *e) {
        int64_t deadline = e->started_ns + (int64_t)e->kill_after_usec * 1000, left;

        for (;;) {
                struct pollfd fds[] = {
                        {.fd = e->child.end, .events = POLLIN},
                        {.fd = e->child.out, .events = POLLIN},
                        {.fd = e->child.err, .events = POLLIN},
                };

                left = (deadline - tbagent_now(e->host) + 999999) / 1000000;
                if (left <= 0)
                        return false;
                poll(fds, 3, (int)left);
                if (fds[1].revents)
                        stream_take(e, &e->child.out);
                if (fds[2].revents)
                        stream_take(e, &e->child.err);
                if (fds[0].revents)
                        return true;
        }
}

static int periodic_sample(Exec *e) {
        char words[80], text[200];
        const char *failure;
        size_t good, bad;
        int r, status;
        bool in_time;

        tbagent_timeout(e->host, e->kill_after_usec + CALL_MARGIN_USEC);
        r = command_start(e);
        if (r < 0)
                return r;
        in_time = run_wait(e);
        status = command_finish(e, 0, &good, &bad);
        failure = in_time ? status_words(status, words) : "took longer than kill_after and was killed";
        if (!failure && good == 0 && bad > 0)
                failure = "printed no good line";
        if (!failure)
                return 0;
        snprintf(text, sizeof(text), "the command %s", failure);
        tbagent_log(e->host, TBAGENT_WARNING, text);
        return !in_time ? -ETIMEDOUT : status != 0 ? -EIO : -EBADMSG;
}

/* ---- daemon */

static void on_restart(struct tbagent_host *host, void *state, void *userdata);

static void restart_later(Exec *e) {
        e->delay_usec = e->delay_usec == 0 ? DELAY_FIRST_USEC : e->delay_usec * 2;
        if (e->delay_usec > DELAY_MAX_USEC)
                e->delay_usec = DELAY_MAX_USEC;
        if (tbagent_timer(e->host, e->delay_usec, on_restart, NULL) < 0)
                tbagent_log(e->host, TBAGENT_ERROR, "the command can't be started again: there is no timer left");
}

static void unwatch_all(Exec *e) {
        unwatch(e, e->child.end);
        unwatch(e, e->child.out);
        unwatch(e, e->child.err);
}

static void on_end(struct tbagent_host *host, void *state, int fd, uint32_t events) {
        const char *failure;
        size_t good, bad;
        Exec *e = state;
        char words[80];
        int status;

        (void)fd;
        (void)events;
        unwatch_all(e);
        status = command_finish(e, 0, &good, &bad);
        if (tbagent_now(host) - e->started_ns >= HEALTHY_NS)
                e->delay_usec = 0;
        restart_later(e);
        failure = e->silenced ? "was silent for too long and was killed" : status_words(status, words);
        e->silenced = false;
        snprintf(e->trouble, sizeof(e->trouble), "the command %s; it is started again in %u s", failure ? failure : "ended",
                 (unsigned)(e->delay_usec / 1000000));
        tbagent_log(host, TBAGENT_WARNING, e->trouble);
}

static void on_stream(struct tbagent_host *host, void *state, int fd, uint32_t events) {
        Exec *e = state;

        (void)host;
        (void)events;
        stream_take(e, fd == e->child.out ? &e->child.out : &e->child.err);
}

static int daemon_start(Exec *e) {
        int r;

        r = command_start(e);
        if (r < 0)
                return r;
        r = tbagent_watch_fd(e->host, e->child.out, EPOLLIN, on_stream);
        if (r == 0 && e->child.err >= 0)
                r = tbagent_watch_fd(e->host, e->child.err, EPOLLIN, on_stream);
        if (r == 0)
                r = tbagent_watch_fd(e->host, e->child.end, EPOLLIN, on_end);
        if (r < 0) {
                unwatch_all(e);
                child_stop(&e->child, 0, NULL);
                child_close(&e->child);
        }
        return r;
}

static void on_restart(struct tbagent_host *host, void *state, void *userdata) {
        Exec *e = state;

        (void)host;
        (void)userdata;
        if (daemon_start(e) < 0)
                restart_later(e);
}

static int daemon_sample(Exec *e) {
        if (e->child.guard == 0) {
                tbagent_log(e->host, TBAGENT_WARNING, e->trouble); /* the reason, in the words that the log has */
                return -ECHILD;
        }
        if (e->silence_usec > 0 && !e->silenced && tbagent_now(e->host) - e->heard_ns > (int64_t)e->silence_usec * 1000) {
                e->silenced = true;
                kill(-e->child.guard, SIGKILL); /* on_end() does the rest */
        }
        return 0;
}

/* ---- verbs */

static int exec_sample(struct tbagent_host *host, void *state) {
        Exec *e = state;

        (void)host;
        return e->daemon ? daemon_sample(e) : periodic_sample(e);
}

static void exec_close(struct tbagent_host *host, void *state) {
        size_t good, bad;
        Exec *e = state;

        (void)host;
        if (e->child.guard > 0) {
                unwatch_all(e);
                command_finish(e, GRACE_MSEC, &good, &bad);
        }
        values_free(e->values);
        lines_done(&e->out);
        lines_done(&e->err);
        exec_unconfigure(e);
        free(e);
}

/* A program that isn't there is known before its first run. */
static int program_check(Exec *e) {
        const char *program = e->argv[0];
        int r;

        if (!strchr(program, '/') || access(program, X_OK) == 0)
                return 0;
        r = -errno;
        start_tell(e, NULL, r);
        return r;
}

static int exec_open(struct tbagent_host *host, void **ret_state) {
        const struct tbagent_node *options = tbagent_options(host);
        Exec *e;
        int r;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->host = host;
        e->child = CHILD_NONE;
        r = exec_configure(e);
        if (r == 0)
                r = values_new(&e->values, host, tbagent_string(host, options, "key", 0),
                               tbagent_string(host, options, "prefix", 0));
        if (r == 0)
                r = lines_init(&e->out, LINE_MAX_SIZE);
        if (r == 0)
                r = lines_init(&e->err, STDERR_LINE_MAX);
        if (r == 0)
                r = e->daemon ? daemon_start(e) : program_check(e);
        if (r < 0) {
                exec_close(host, e);
                return r;
        }
        *ret_state = e;
        return 0;
}

TBAGENT_PLUGIN(.name = "exec", .summary = "any program as a sensor, by lines of JSON", .options = exec_options, .open = exec_open,
               .sample = exec_sample, .close = exec_close, .check = exec_check);
