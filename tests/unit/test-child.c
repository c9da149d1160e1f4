/* SPDX-License-Identifier: Apache-2.0 */
/* Real processes (child-helper, beside this program) on a loop whose clock stands still while they run:
 * sockets and ends of processes are real, back-off and deadlines pass by loop_advance(). */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "sensor/child.h"
#include "sensor/process.h"

#define LONG (30 * USEC_PER_SEC)
#define RATE 100000
#define BURST 50000

typedef struct Test {
        Loop *loop;
        Child *child;
        char states[1024]; /* "opening|running|backoff:crashed (SIGSEGV)|" */
        char logs[16384];
        char rows[4096];
        uint64_t rows_size;
        unsigned n_frames[FRAME_DONE + 1];
        uint64_t reply_id;
        int kept_fd;
        unsigned n_fds;
        HostState free_at, start_at; /* what the callback does at this state; _HOST_STATE_MAX: nothing */
        bool free_in_rows, stop_in_frame;
} Test;

static char helper[PATH_MAX];

static void append(char *to, size_t size, const char *text) {
        size_t n = strlen(to);

        snprintf(to + n, size - n, "%s|", text);
}

static void on_state(void *userdata, Child *c, HostState state, const char *reason) {
        Test *t = userdata;
        char text[400];

        assert_int_equal(child_state(c), state);
        assert_string_equal(child_reason(c), reason);
        snprintf(text, sizeof(text), "%s%s%s", host_state_name(state), reason[0] ? ":" : "", reason);
        append(t->states, sizeof(t->states), text);
        if (state == t->start_at) {
                t->start_at = _HOST_STATE_MAX;
                assert_int_equal(child_start(c), 0);
        }
        if (state == t->free_at)
                t->child = child_free(c);
}

static void on_rows(void *userdata, Child *c, const uint8_t *data, size_t size) {
        Test *t = userdata;
        char text[200];

        t->rows_size += size;
        t->n_frames[FRAME_ROWS]++;
        snprintf(text, sizeof(text), "%.*s", (int)MIN(size, sizeof(text) - 1), (const char *)data);
        append(t->rows, sizeof(t->rows), text);
        if (t->free_in_rows)
                t->child = child_free(c);
}

static void on_frame(void *userdata, Child *c, const Frame *f, int fd) {
        Test *t = userdata;

        assert_ptr_equal(child_userdata(c), t);
        t->n_frames[f->type]++;
        if (f->type == FRAME_LOG)
                append(t->logs, sizeof(t->logs), f->f[1].data);
        if (f->type == FRAME_REPLY) {
                t->reply_id = f->f[0].u;
                append(t->logs, sizeof(t->logs), f->f[1].data);
        }
        if (fd >= 0) {
                assert_int_equal(f->type, FRAME_FD_KEEP);
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                t->n_fds++;
                closep(&t->kept_fd); /* of the one before */
                t->kept_fd = fd;
        }
        if (t->stop_in_frame)
                child_stop(c, LONG, false);
}

static void test_new(Test *t, Loop *loop, const char *what, FrameMode mode) {
        ChildParams p = {
                .loop = loop, .host_path = helper, .instance = "boiler", .plugin_file = what, .mode = mode,
                .settings = (const uint8_t *)"settings", .settings_size = 8, .log_level = 7,
                .intake_rate = RATE, .intake_burst = BURST, .events = { on_state, on_rows, on_frame }, .userdata = t,
        };

        *t = (Test){ .loop = loop, .kept_fd = -EBADF, .free_at = _HOST_STATE_MAX, .start_at = _HOST_STATE_MAX };
        assert_int_equal(child_new(&t->child, &p), 0);
        assert_int_equal(child_state(t->child), HOST_STOPPED);
        assert_string_equal(child_reason(t->child), "");
        assert_int_equal(child_pid(t->child), 0);
}

static void turn(Test *t) {
        assert_true(loop_iterate(t->loop, 10 * USEC_PER_SEC) >= 0);
}

static void wait_text(Test *t, const char *where, const char *text) {
        while (!strstr(where, text))
                turn(t);
}

static Loop *shared_loop;
static Test test;

static Test *begin(const char *what, FrameMode mode) {
        test_new(&test, shared_loop, what, mode);
        assert_int_equal(child_start(test.child), 0);
        assert_true(child_pid(test.child) > 0);
        return &test;
}

/* Frees what still runs, too: the loop reaps it. */
static void end(Test *t) {
        t->child = child_free(t->child);
        closep(&t->kept_fd);
        while (waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) == 0)
                turn(t);
        assert_int_equal(errno, ECHILD);
}

static int setup(_unused_ void **state) {
        return loop_new_simulated(&shared_loop, 1700000000 * USEC_PER_SEC);
}

static int teardown(_unused_ void **state) {
        end(&test);
        shared_loop = loop_free(shared_loop);
        return 0;
}

/* ---- a decent host ---- */

static void test_life(_unused_ void **state) {
        Test *t = begin("run", MODE_RUN);
        pid_t pid = child_pid(t->child);

        assert_string_equal(child_instance(t->child), "boiler");
        wait_text(t, t->logs, "level|");
        assert_string_equal(t->states, "opening|running|");
        assert_int_equal(child_start(t->child), 0); /* runs already */
        assert_int_equal(child_pid(t->child), pid);
        assert_int_equal(child_send(t->child, FRAME_RPC, (uint64_t)77, "", "set", "true"), 0);
        wait_text(t, t->logs, "true|");
        assert_int_equal(t->reply_id, 77);
        assert_int_equal(child_send(t->child, FRAME_SAMPLE), 0);
        wait_text(t, t->rows, "sample|");

        child_stop(t->child, LONG, false);
        wait_text(t, t->states, "stopped|");
        assert_string_equal(t->states, "opening|running|stopped|");
        assert_non_null(strstr(t->logs, "asked to stop|"));
        assert_string_equal(t->rows, "sample|last|"); /* what it says at its end still arrives */
        assert_int_equal(child_pid(t->child), 0);
        assert_int_equal(child_restarts(t->child), 0);
        assert_int_equal(child_send(t->child, FRAME_SAMPLE), -ENOTCONN);
        assert_int_equal(loop_advance(t->loop, 600 * USEC_PER_SEC), 0);
        assert_string_equal(t->states, "opening|running|stopped|");

        assert_int_equal(child_start(t->child), 0); /* and again */
        wait_text(t, t->states, "stopped|opening|running|");
        end(t);
}

static void test_setup(_unused_ void **state) {
        char *big = calloc(1, FRAME_SIZE_MAX);
        Test *t;

        t = begin("echo", MODE_RUN);
        wait_text(t, t->rows, "boiler|settings||");
        child_stop(t->child, LONG, false);
        wait_text(t, t->states, "stopped|");
        assert_int_equal(child_set_settings(t->child, (const uint8_t *)"other", 5), 0);
        assert_int_equal(child_set_state_blob(t->child, "kept", 4), 0);
        t->rows[0] = 0;
        assert_int_equal(child_start(t->child), 0);
        wait_text(t, t->rows, "boiler|other|kept|");
        child_stop(t->child, LONG, false);
        wait_text(t, t->states, "stopped|opening|running|stopped|");

        assert_int_equal(child_set_settings(t->child, (const uint8_t *)big, FRAME_SIZE_MAX), 0);
        assert_int_equal(child_start(t->child), -EMSGSIZE);
        assert_int_equal(child_state(t->child), HOST_MISCONFIGURED);
        child_stop(t->child, 0, false);
        assert_int_equal(child_state(t->child), HOST_STOPPED);
        end(t);
        free(big);
}

static void count(const char *text, const char *what, unsigned wanted) {
        unsigned n = 0;

        for (const char *p = text; (p = strstr(p, what)); p++)
                n++;
        if (n != wanted)
                print_error("%s: %u in %s\n", what, n, text);
        assert_int_equal(n, wanted);
}

/* Nothing of ours gets over: no descriptor (not even one without CLOEXEC), no signal mask, no credential. */
static void test_inheritance(_unused_ void **state) {
        int leak = open("/dev/null", O_RDONLY); /* no O_CLOEXEC */
        int high = fcntl(leak, F_DUPFD, 500);
        sigset_t set, old;
        Test *t;

        assert_true(leak > 2 && high >= 500);
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, &old);
        signal(SIGUSR2, SIG_IGN);
        setenv("TBAGENT_X", "y", 1);
        setenv("SECRET", "s", 1);
        setenv("LC_ALL", "C", 1);
        t = begin("inspect", MODE_RUN);
        wait_text(t, t->logs, "through|");
        sigprocmask(SIG_SETMASK, &old, NULL);
        signal(SIGUSR2, SIG_DFL);
        close(leak);
        close(high);

        assert_non_null(strstr(t->logs, "argv 3 boiler 3|"));
        count(t->logs, "fd ", 4);
        assert_non_null(strstr(t->logs, "fd 3|"));
        count(t->logs, "signal ", 0);
        count(t->logs, "group", 0);
        count(t->logs, "env TBAGENT_X=y|", 1);
        count(t->logs, "env LC_ALL=C|", 1);
        count(t->logs, "env TBAGENT_SANITIZED", getenv("TBAGENT_SANITIZED") ? 1 : 0);
        count(t->logs, "SECRET", 0);
        count(t->logs, "env HOME=", 0);
        end(t);
}

static void test_states(_unused_ void **state) {
        Test *t = begin("ill", MODE_RUN);

        wait_text(t, t->states, "ill:CRC|");
        assert_string_equal(t->states, "opening|waiting:no such bus|ill:CRC|"); /* never twice the same */
        end(t);
}

static void test_fds(_unused_ void **state) {
        int fds[2];
        char byte;
        Test *t;

        t = begin("fds", MODE_RUN);
        while (t->n_fds < 2) /* of two descriptors in one frame the first is told */
                turn(t);
        assert_int_equal(write(t->kept_fd, "x", 1), 1);
        wait_text(t, t->logs, "with fd|byte|");
        close(t->kept_fd);
        t->kept_fd = -EBADF;
        wait_text(t, t->logs, "all closed|"); /* and the others are nowhere */
        assert_int_equal(t->n_frames[FRAME_FD_KEEP], 3);
        assert_int_equal(t->n_fds, 2);

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(child_send_fd(t->child, fds[1], FRAME_FD, "line", (uint64_t)0), 0);
        close(fds[1]);
        assert_int_equal(read(fds[0], &byte, 1), 1);
        assert_int_equal(byte, 'y');
        close(fds[0]);
        end(t);
}

static void test_socket_full(_unused_ void **state) {
        Test *t = begin("deaf", MODE_RUN);
        static char text[60000];
        int r;

        memset(text, 'x', sizeof(text) - 1);
        do
                r = child_send(t->child, FRAME_ATTRIBUTE, "key", text);
        while (r == 0);
        assert_int_equal(r, -EAGAIN);
        child_stop(t->child, LONG, false); /* deaf to that, too */
        assert_int_equal(loop_advance(t->loop, LONG - 1), 0);
        assert_true(child_pid(t->child) > 0);
        assert_int_equal(loop_advance(t->loop, USEC_PER_SEC), 0);
        wait_text(t, t->states, "stopped:did not end in time, killed|");
        end(t);
}

/* ---- ends ---- */

static const struct {
        const char *what, *states;
} ends[] = {
        { "crash", "opening|running|backoff:crashed (SIGSEGV)|" },
        { "timeout", "opening|running|backoff:hung in a call, killed (timeout)|" },
        { "term", "opening|running|backoff:ended from outside (SIGTERM)|" },
        { "exit0", "opening|running|backoff:ended by itself|" },
        { "exit3", "opening|running|backoff:ended with exit code 3|" },
        { "memory", "opening|running|backoff:memory|" },
        { "garbage", "opening|running|backoff:sent a bad frame|" },
        { "wrong-way", "opening|running|backoff:sent a bad frame|" },
        { "wrong-state", "opening|running|backoff:sent a bad frame|" },
        { "huge", "opening|running|backoff:sent a bad frame|" },
        { "exit78", "opening|running|misconfigured:its part of the configuration is wrong|" },
        { "fatal", "opening|running|misconfigured:a.conf:4: option \"evry\": did you mean \"every\"?|" },
};

static void test_ends(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                Test *t = begin(ends[i].what, MODE_RUN);
                pid_t pid = child_pid(t->child);

                while (child_pid(t->child) == pid)
                        turn(t);
                assert_string_equal(t->states, ends[i].states);
                assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
                assert_null(strstr(t->logs, "after it")); /* nothing is taken behind a bad frame */
                if (child_state(t->child) == HOST_MISCONFIGURED) {
                        assert_int_equal(loop_advance(t->loop, 600 * USEC_PER_SEC), 0);
                        assert_int_equal(child_pid(t->child), 0);
                }
                end(t);
        }
}

/* Neither a last datagram of no bytes nor a closed socket ends a process: it gets a second, then SIGKILL. */
static void test_closed(_unused_ void **state) {
        static const char *const whats[] = { "close", "empty" };

        for (size_t i = 0; i < ELEMENTS(whats); i++) {
                Test *t = begin(whats[i], MODE_RUN);

                pid_t pid = child_pid(t->child);
                int status = process_status_open(pid);

                while (child_pid(t->child) == pid) {
                        assert_true(loop_iterate(t->loop, USEC_PER_MSEC) >= 0);
                        if (!process_is_dying(status)) /* from then on it takes the time that the machine takes */
                                assert_int_equal(loop_advance(t->loop, 100 * USEC_PER_MSEC), 0);
                }
                close(status);
                assert_non_null(strstr(t->states, "opening|running|backoff:closed its connection|"));
                end(t);
        }
}

static void test_modes(_unused_ void **state) {
        static const struct {
                const char *what, *states;
        } modes[] = {
                { "done", "opening|running|stopped|" },
                { "exit3", "opening|running|stopped:ended with exit code 3|" },
                { "crash", "opening|running|stopped:crashed (SIGSEGV)|" },
                { "fatal", "opening|running|misconfigured:a.conf:4: option \"evry\": did you mean \"every\"?|" },
        };

        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                Test *t = begin(modes[i].what, MODE_ONCE);

                while (child_pid(t->child) > 0)
                        turn(t);
                assert_string_equal(t->states, modes[i].states);
                assert_int_equal(loop_advance(t->loop, 600 * USEC_PER_SEC), 0);
                assert_int_equal(child_pid(t->child), 0); /* once is once */
                end(t);
        }
}

static void test_no_program(_unused_ void **state) {
        ChildParams p = { .loop = shared_loop, .host_path = "/nowhere/host", .instance = "a", .plugin_file = "b", .events = { on_state, on_rows, on_frame }, .userdata = &test };
        const char *preload = getenv("LD_PRELOAD");
        Test *t = &test;

        if (preload && strstr(preload, "vgpreload"))
                return; /* valgrind's vfork() is a fork(): posix_spawn() cannot tell; cmocka tells a skip() as "not ok" */
        for (int once = 0; once < 2; once++) {
                *t = (Test){ .loop = shared_loop, .kept_fd = -EBADF, .free_at = _HOST_STATE_MAX, .start_at = _HOST_STATE_MAX };
                p.mode = once ? MODE_ONCE : MODE_RUN;
                assert_int_equal(child_new(&t->child, &p), 0);
                assert_int_equal(child_start(t->child), once ? -ENOENT : 0);
                assert_string_equal(t->states, once ? "stopped:cannot start /nowhere/host: No such file or directory|"
                                                    : "backoff:cannot start /nowhere/host: No such file or directory|");
                assert_int_equal(loop_advance(t->loop, 600 * USEC_PER_SEC), 0);
                if (once)
                        assert_int_equal(child_restarts(t->child), 0);
                else
                        assert_true(child_restarts(t->child) >= 10);
                child_stop(t->child, 0, false);
                assert_int_equal(child_state(t->child), HOST_STOPPED);
                end(t);
        }
}

/* Whoever holds the host's end of the socket and sits in its group goes with it. */
static void test_nothing_left(_unused_ void **state) {
        Test *t = begin("leave", MODE_RUN);
        char byte;

        wait_text(t, t->states, "backoff:ended with exit code 5|");
        assert_true(t->kept_fd >= 0);
        assert_int_equal(read(t->kept_fd, &byte, 1), 0);
        end(t);
}

/* ---- restarts ---- */

static void test_backoff(_unused_ void **state) {
        usec_t waited, bound = USEC_PER_SEC, longest = 0;
        Test *t = begin("exit3", MODE_RUN);

        wait_text(t, t->states, "backoff");
        assert_int_equal(loop_advance(t->loop, 0), 0); /* the first time at once */
        assert_int_equal(child_restarts(t->child), 1);
        for (unsigned n = 2; n <= 12; n++) {
                while (child_pid(t->child) > 0)
                        turn(t);
                assert_int_equal(child_state(t->child), HOST_BACKOFF);
                for (waited = 0; child_restarts(t->child) < n; waited += 10 * USEC_PER_MSEC) {
                        assert_true(waited <= bound + 10 * USEC_PER_MSEC);
                        assert_int_equal(loop_advance(t->loop, 10 * USEC_PER_MSEC), 0);
                }
                longest = MAX(longest, waited);
                bound = MIN(bound * 2, 60 * USEC_PER_SEC);
        }
        assert_true(longest > USEC_PER_SEC); /* 11 draws below bounds of up to 60 s */

        /* Stopped while it waits: stays stopped. Started: begins from the front. */
        while (child_pid(t->child) > 0)
                turn(t);
        assert_int_equal(child_state(t->child), HOST_BACKOFF);
        child_stop(t->child, LONG, false);
        assert_int_equal(child_state(t->child), HOST_STOPPED);
        assert_int_equal(loop_advance(t->loop, 600 * USEC_PER_SEC), 0);
        assert_int_equal(child_pid(t->child), 0);
        end(t);
}

/* Each time healthy for a minute before it is killed: restarted at once, each time. */
static void test_health(_unused_ void **state) {
        Test *t = begin("run", MODE_RUN);

        for (unsigned n = 1; n <= 4; n++) {
                while (child_state(t->child) != HOST_RUNNING)
                        turn(t);
                assert_int_equal(loop_advance(t->loop, 61 * USEC_PER_SEC), 0);
                kill(child_pid(t->child), SIGTERM);
                while (child_state(t->child) != HOST_BACKOFF)
                        turn(t);
                assert_int_equal(loop_advance(t->loop, 1), 0);
                assert_int_equal(child_restarts(t->child), n);
                assert_true(child_pid(t->child) > 0);
        }
        end(t);
}

/* ---- stopping ---- */

static void test_stop_hung(_unused_ void **state) {
        Test *t = begin("stop-self", MODE_RUN);

        wait_text(t, t->states, "running|");
        child_stop(t->child, 2 * USEC_PER_SEC, false);
        assert_int_equal(loop_advance(t->loop, 1900 * USEC_PER_MSEC), 0);
        assert_string_equal(t->states, "opening|running|");
        assert_int_equal(loop_advance(t->loop, 200 * USEC_PER_MSEC), 0);
        wait_text(t, t->states, "stopped:did not end in time, killed|");

        assert_int_equal(child_start(t->child), 0);
        wait_text(t, t->states, "killed|opening|running|");
        child_stop(t->child, 0, false); /* at once */
        wait_text(t, t->states, "stopped:killed|");
        end(t);
}

static void test_stop_then_start(_unused_ void **state) {
        Test *t = begin("run", MODE_RUN);
        pid_t pid = child_pid(t->child);

        wait_text(t, t->states, "running|");
        child_stop(t->child, LONG, false);
        assert_int_equal(child_start(t->child), 0);
        assert_int_equal(child_pid(t->child), pid); /* not two at a time */
        wait_text(t, t->states, "opening|running|stopped|opening|running|");
        assert_true(child_pid(t->child) > 0 && child_pid(t->child) != pid);
        assert_int_equal(child_restarts(t->child), 0);

        t->start_at = HOST_STOPPED; /* or from the callback itself */
        child_stop(t->child, LONG, false);
        wait_text(t, t->states, "running|stopped|opening|running|stopped|opening|running|");
        end(t);
}

/* Holds pid between SIGKILL and its end, as a driver that hangs in the kernel would, until go is closed. */
static pid_t hold(pid_t pid, const int go[2], const int tell[2]) {
        pid_t tracer = fork();
        int status = 0;
        char byte = 0;

        if (tracer != 0)
                return tracer;
        close(go[1]);
        if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(uintptr_t)PTRACE_O_TRACEEXIT) < 0)
                _exit(1);
        if (write(tell[1], "s", 1) == 1 && waitpid(pid, &status, 0) == pid && status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8) &&
            write(tell[1], "h", 1) == 1)
                (void)!read(go[0], &byte, 1);
        _exit(0);
}

static void test_stuck(void **state) {
        bool by_us = *state;
        int go[2], tell[2];
        char byte = 0, text[16];
        pid_t pid, tracer;
        int status;
        bool held;
        Test *t = begin("traceable", MODE_RUN);

        wait_text(t, t->logs, "traceable|");
        pid = child_pid(t->child);
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
        tracer = hold(pid, go, tell);
        close(go[0]);
        close(tell[1]);
        held = read(tell[0], &byte, 1) == 1;
        if (held) {
                if (by_us)
                        child_stop(t->child, 0, false);
                else
                        kill(pid, SIGKILL); /* as its own timer does: only a look at /proc tells */
                held = read(tell[0], &byte, 1) == 1 && byte == 'h';
        }
        if (held) {
                status = process_status_open(pid);
                assert_true(process_is_dying(status));
                close(status);
                assert_int_equal(loop_advance(t->loop, 4 * USEC_PER_SEC), 0);
                assert_string_equal(t->states, "opening|running|");
                assert_int_equal(loop_advance(t->loop, 40 * USEC_PER_SEC), 0);
                assert_int_equal(child_state(t->child), HOST_STUCK);
                snprintf(text, sizeof(text), "%d", (int)pid);
                assert_non_null(strstr(child_reason(t->child), text));
                assert_int_equal(child_start(t->child), 0); /* wanted, once the old one is gone */
                assert_int_equal(loop_advance(t->loop, 600 * USEC_PER_SEC), 0);
                assert_int_equal(child_pid(t->child), pid); /* no second one beside it */
                assert_int_equal(child_restarts(t->child), 0);
        }
        close(go[1]); /* lets it go */
        close(tell[0]);
        assert_int_equal(waitpid(tracer, NULL, 0), tracer);
        if (!held) {
                end(t);
                return; /* no ptrace here */
        }
        wait_text(t, t->states, by_us ? "|stopped:killed|opening|" : "|backoff:hung in a call, killed (timeout)|");
        assert_int_equal(loop_advance(t->loop, 0), 0);
        assert_true(child_pid(t->child) > 0);
        end(t);
}

/* ---- intake ---- */

static void test_intake(_unused_ void **state) {
        Test *t = begin("flood", MODE_RUN);
        usec_t passed;
        uint64_t size;

        /* The clock stands still: the burst, and the rest stays unread (nor does it spin). */
        while (t->rows_size < BURST) /* a whole number of datagrams */
                turn(t);
        assert_int_equal(loop_iterate(t->loop, USEC_PER_MSEC), 0);
        assert_int_equal(t->rows_size, BURST);

        /* Then at the rate: a fiftieth of a second is waited for, and a datagram may be over. */
        size = t->rows_size;
        for (passed = 0; passed < 10 * USEC_PER_SEC; passed += 50 * USEC_PER_MSEC) {
                while (t->rows_size - size + RATE / 50 + 3000 < passed * RATE / 100 * 99 / USEC_PER_SEC) /* less the frame's own bytes */
                        assert_int_equal(loop_iterate(t->loop, 10 * USEC_PER_SEC), 1);
                assert_true(t->rows_size - size <= passed * RATE / USEC_PER_SEC + 2000);
                assert_int_equal(loop_advance(t->loop, 50 * USEC_PER_MSEC), 0);
        }
        assert_int_equal(child_state(t->child), HOST_RUNNING);

        kill(child_pid(t->child), SIGTERM); /* its end is seen while its socket is not */
        wait_text(t, t->states, "backoff:ended from outside (SIGTERM)|");
        end(t);
}

/* What a host has sent before its end arrives, whatever the budget says. */
static void test_intake_at_end(_unused_ void **state) {
        for (int stop = 0; stop < 2; stop++) {
                ChildParams p = {
                        .loop = shared_loop, .host_path = helper, .instance = "a", .plugin_file = "flood-end",
                        .intake_rate = 1000, .intake_burst = 1, .events = { on_state, on_rows, on_frame }, .userdata = &test,
                };
                Test *t = &test;

                *t = (Test){ .loop = shared_loop, .kept_fd = -EBADF, .free_at = _HOST_STATE_MAX, .start_at = _HOST_STATE_MAX };
                assert_int_equal(child_new(&t->child, &p), 0);
                assert_int_equal(child_start(t->child), 0);
                if (stop) {
                        wait_text(t, t->states, "running|");
                        child_stop(t->child, LONG, false);
                }
                wait_text(t, t->states, stop ? "stopped" : "backoff");
                assert_int_equal(t->rows_size, 20 * 1000);
                end(t);
        }
}

static void test_no_intake_limit(_unused_ void **state) {
        ChildParams p = {
                .loop = shared_loop, .host_path = helper, .instance = "a", .plugin_file = "flood",
                .events = { on_state, on_rows, on_frame }, .userdata = &test,
        };
        Test *t = &test;

        *t = (Test){ .loop = shared_loop, .kept_fd = -EBADF, .free_at = _HOST_STATE_MAX, .start_at = _HOST_STATE_MAX };
        assert_int_equal(child_new(&t->child, &p), 0);
        assert_int_equal(child_start(t->child), 0);
        while (t->rows_size < 3000000)
                turn(t);
        child_stop(t->child, LONG, false); /* it does not listen; but a turn ends, so its deadline comes */
        assert_int_equal(loop_advance(t->loop, LONG), 0);
        wait_text(t, t->states, "stopped:did not end in time, killed|");
        end(t);
}

/* ---- callbacks that end it all ---- */

static void test_free_inside(_unused_ void **state) {
        static const struct {
                const char *what;
                HostState at;
                bool in_rows;
        } cases[] = {
                { "run", HOST_OPENING, false },      { "run", HOST_RUNNING, false },     { "crash", HOST_BACKOFF, false },
                { "exit78", HOST_MISCONFIGURED, false }, { "flood", _HOST_STATE_MAX, true }, { "flood-end", _HOST_STATE_MAX, true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Test *t = &test;

                test_new(t, shared_loop, cases[i].what, MODE_RUN);
                t->free_at = cases[i].at;
                t->free_in_rows = cases[i].in_rows;
                assert_int_equal(child_start(t->child), 0);
                while (t->child)
                        turn(t);
                end(t);
        }
}

static void test_stop_inside(_unused_ void **state) {
        Test *t = &test;

        test_new(t, shared_loop, "fatal", MODE_RUN);
        t->stop_in_frame = true;
        assert_int_equal(child_start(t->child), 0);
        wait_text(t, t->states, "stopped");
        assert_int_equal(child_pid(t->child), 0);
        end(t);
}

/* Once on the real clock: crashes, comes back at once, crashes again. */
static void test_real_clock(_unused_ void **state) {
        Loop *loop;

        assert_int_equal(loop_new(&loop), 0);
        test_new(&test, loop, "crash", MODE_RUN);
        assert_int_equal(child_start(test.child), 0);
        wait_text(&test, test.states, "opening|running|backoff:crashed (SIGSEGV)|opening|running|backoff:crashed (SIGSEGV)|");
        assert_int_equal(child_restarts(test.child), 1);
        end(&test);
        loop_free(loop);
}

static int find_helper(void) {
        ssize_t n = readlink("/proc/self/exe", helper, sizeof(helper) - sizeof("child-helper"));
        char *slash;

        if (n < 0)
                return -errno;
        helper[n] = 0;
        slash = strrchr(helper, '/');
        memcpy(slash + 1, "child-helper", sizeof("child-helper"));
        return access(helper, X_OK) < 0 ? -errno : 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_life, setup, teardown),
                cmocka_unit_test_setup_teardown(test_setup, setup, teardown),
                cmocka_unit_test_setup_teardown(test_inheritance, setup, teardown),
                cmocka_unit_test_setup_teardown(test_states, setup, teardown),
                cmocka_unit_test_setup_teardown(test_fds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_socket_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_program, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_left, setup, teardown),
                cmocka_unit_test_setup_teardown(test_backoff, setup, teardown),
                cmocka_unit_test_setup_teardown(test_health, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_hung, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_then_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stuck, setup, teardown),
                cmocka_unit_test_prestate_setup_teardown(test_stuck, setup, teardown, &test),
                cmocka_unit_test_setup_teardown(test_intake, setup, teardown),
                cmocka_unit_test_setup_teardown(test_intake_at_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_intake_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_free_inside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_inside, setup, teardown),
                cmocka_unit_test(test_real_clock),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        if (find_helper() < 0) {
                print_error("%s: not there\n", helper);
                return 1;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
