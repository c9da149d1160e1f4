/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/loop.h"

#define START (1000 * USEC_PER_SEC)
#define HOUR (3600 * USEC_PER_SEC)
#define REALTIME (1700000000 * USEC_PER_SEC)

static Loop *loop;

static int setup(_unused_ void **state) {
        return loop_new(&loop);
}

static int setup_simulated(_unused_ void **state) {
        return loop_new_simulated(&loop, REALTIME);
}

static int teardown(_unused_ void **state) {
        loop = loop_free(loop);
        return 0;
}

static usec_t now(clockid_t id) {
        struct timespec ts;

        clock_gettime(id, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

static void count(void *userdata) {
        (*(unsigned *)userdata)++;
}

static void leave(void *userdata) {
        loop_exit(loop, *(int *)userdata);
}

/* ---- simulated time ---- */

static void test_clocks(_unused_ void **state) {
        assert_int_equal(loop_monotonic(loop), START);
        assert_int_equal(loop_boottime(loop), START);
        assert_int_equal(loop_realtime(loop), REALTIME);
        assert_int_equal(loop_advance(loop, 1500), 0);
        assert_int_equal(loop_monotonic(loop), START + 1500);
        assert_int_equal(loop_boottime(loop), START + 1500);
        assert_int_equal(loop_realtime(loop), REALTIME + 1500);
        loop_step_realtime(loop, -2000);
        assert_int_equal(loop_monotonic(loop), START + 1500);
        assert_int_equal(loop_realtime(loop), REALTIME - 500);
        loop_step_realtime(loop, 10000);
        assert_int_equal(loop_realtime(loop), REALTIME + 9500);
}

static struct {
        usec_t last;
        unsigned fired;
} hour;

typedef struct Ticker {
        LoopTimer *timer;
        usec_t period, next;
        unsigned n;
} Ticker;

static void tick(void *userdata) {
        Ticker *t = userdata;

        assert_int_equal(loop_monotonic(loop), t->next); /* to the microsecond */
        assert_true(t->next >= hour.last);               /* in order over all */
        assert_false(loop_timer_armed(t->timer));
        hour.last = t->next;
        hour.fired++;
        t->n++;
        t->next += t->period;
        loop_timer_arm(t->timer, t->next, 0);
        assert_int_equal(loop_timer_deadline(t->timer), t->next);
}

static void test_hour(_unused_ void **state) {
        static Ticker tickers[3000];
        unsigned wanted = 0;

        for (size_t i = 0; i < ELEMENTS(tickers); i++) {
                Ticker *t = tickers + i;

                t->period = USEC_PER_SEC * (1 + i * 7919 % 3600) + i % 5;
                t->next = START + t->period;
                assert_int_equal(loop_timer_new(&t->timer, loop, "tick", tick, t), 0);
                loop_timer_arm_in(t->timer, t->period, 0);
        }
        assert_int_equal(loop_advance(loop, HOUR / 2), 0);
        assert_int_equal(loop_advance(loop, HOUR / 2), 0);
        assert_int_equal(loop_monotonic(loop), START + HOUR);
        for (size_t i = 0; i < ELEMENTS(tickers); i++) {
                assert_int_equal(tickers[i].n, HOUR / tickers[i].period);
                wanted += tickers[i].n;
                loop_timer_free(tickers[i].timer);
        }
        assert_int_equal(hour.fired, wanted);
        assert_true(loop_turns(loop) >= wanted);
        assert_int_equal(loop_advance(loop, HOUR), 0);
        assert_int_equal(hour.fired, wanted);
}

static char order[16];

static void append(void *userdata) {
        strncat(order, userdata, sizeof(order) - strlen(order) - 1);
}

static void test_ties(_unused_ void **state) {
        LoopTimer *t[5];
        static char names[5][2] = { "a", "b", "c", "d", "e" };

        order[0] = 0;
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(loop_timer_new(t + i, loop, "tie", append, names[i]), 0);
        loop_timer_arm(t[1], START + 5, 0);
        loop_timer_arm(t[0], START + 5, 0);
        loop_timer_arm(t[2], START + 5, 0);
        loop_timer_arm(t[3], START + 5, 0);
        loop_timer_arm(t[4], START + 1, 0);
        loop_timer_arm(t[1], START + 5, 0); /* armed again: behind the others */
        loop_timer_disarm(t[2]);
        assert_false(loop_timer_armed(t[2]));
        assert_int_equal(loop_timer_deadline(t[2]), USEC_INFINITY);
        loop_timer_arm(t[3], USEC_INFINITY, 0); /* the same as disarming it */
        assert_false(loop_timer_armed(t[3]));
        assert_int_equal(loop_advance(loop, 4), 0);
        assert_string_equal(order, "e");
        assert_int_equal(loop_advance(loop, 1), 0); /* due at the very end: runs */
        assert_string_equal(order, "eab");
        loop_timer_arm(t[2], START - 50, 0); /* in the past: at once, and time does not go back */
        assert_int_equal(loop_iterate(loop, 0), 1);
        assert_string_equal(order, "eabc");
        assert_int_equal(loop_monotonic(loop), START + 5);
        assert_int_equal(loop_iterate(loop, 0), 0);
        loop_timer_arm_in(t[3], USEC_INFINITY - 1, 0);
        assert_false(loop_timer_armed(t[3]));
        for (size_t i = 0; i < 5; i++)
                loop_timer_free(t[i]);
}

static LoopTimer *victims[3];

static void free_all(_unused_ void *userdata) {
        for (size_t i = 0; i < ELEMENTS(victims); i++)
                victims[i] = loop_timer_free(victims[i]);
        append("x");
}

static void test_free_inside(void **state) {
        order[0] = 0;
        for (size_t i = 0; i < ELEMENTS(victims); i++) {
                assert_int_equal(loop_timer_new(victims + i, loop, "victim", free_all, NULL), 0);
                loop_timer_arm_in(victims[i], 10, 0);
        }
        if (*state) /* the real clock has its own sources */
                while (!order[0])
                        assert_true(loop_iterate(loop, USEC_PER_SEC) >= 0);
        else
                assert_int_equal(loop_advance(loop, 20), 0);
        assert_int_equal(loop_iterate(loop, 0), 0);
        assert_string_equal(order, "x");
}

static void read_byte(void *userdata, uint32_t events) {
        int *fd = userdata;
        char byte;

        assert_true(events & EPOLLIN);
        assert_int_equal(read(*fd, &byte, 1), 1);
        append((char[]){ byte, 0 });
}

static void send_x(void *userdata) {
        append("s");
        assert_int_equal(write(*(int *)userdata, "x", 1), 1);
}

/* What a timer sends is received before the next timer runs. */
static void test_advance_io(_unused_ void **state) {
        LoopTimer *a, *b;
        LoopIo *io;
        int fds[2];

        order[0] = 0;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(loop_io_new(&io, loop, "io", fds[0], EPOLLIN, read_byte, fds), 0);
        assert_int_equal(loop_timer_new(&a, loop, "a", send_x, fds + 1), 0);
        assert_int_equal(loop_timer_new(&b, loop, "b", send_x, fds + 1), 0);
        loop_timer_arm_in(a, 10, 0);
        loop_timer_arm_in(b, 10, 0);
        assert_int_equal(write(fds[1], "y", 1), 1);
        assert_int_equal(loop_advance(loop, 1000), 0);
        assert_string_equal(order, "ysxsx");

        loop_io_set_events(io, 0);
        assert_int_equal(write(fds[1], "z", 1), 1);
        close(fds[1]);
        assert_int_equal(loop_iterate(loop, 0), 0); /* not even the hang-up */
        loop_io_set_events(io, EPOLLIN);
        assert_int_equal(loop_iterate(loop, 0), 1);
        assert_string_equal(order, "ysxsxz");
        loop_io_free(io);
        close(fds[0]);
        loop_timer_free(a);
        loop_timer_free(b);
}

static void never_mind(_unused_ void *userdata, _unused_ uint32_t events) {
}

/* An fd that is always ready costs time, but the clock goes on. */
static void test_advance_busy_fd(_unused_ void **state) {
        unsigned n = 0;
        LoopTimer *timer;
        LoopIo *io;
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(loop_io_new(&io, loop, "busy", fds[1], EPOLLOUT, never_mind, NULL), 0);
        assert_int_equal(loop_timer_new(&timer, loop, "t", count, &n), 0);
        loop_timer_arm_in(timer, 10, 0);
        assert_int_equal(loop_advance(loop, 20), 0);
        assert_int_equal(n, 1);
        loop_timer_free(timer);
        loop_io_free(io);
        close(fds[0]);
        close(fds[1]);
}

static void test_advance_exit(_unused_ void **state) {
        unsigned n = 0;
        LoopTimer *a, *b;
        int code = 4;

        assert_int_equal(loop_timer_new(&a, loop, "a", leave, &code), 0);
        assert_int_equal(loop_timer_new(&b, loop, "b", count, &n), 0);
        loop_timer_arm_in(a, 10, 0);
        loop_timer_arm_in(b, 11, 0);
        assert_int_equal(loop_advance(loop, 100), 0);
        assert_true(loop_exiting(loop));
        assert_int_equal(loop_monotonic(loop), START + 10);
        assert_int_equal(n, 0);
        loop_timer_free(a);
        loop_timer_free(b);
}

static void defer_again(void *userdata) {
        append(userdata);
        assert_int_equal(loop_defer(loop, append, "2"), 0);
}

static void test_defer(_unused_ void **state) {
        order[0] = 0;
        assert_int_equal(loop_defer(loop, append, "0"), 0);
        assert_int_equal(loop_defer(loop, defer_again, "1"), 0);
        assert_string_equal(order, "");
        assert_int_equal(loop_iterate(loop, USEC_PER_SEC), 1);
        assert_string_equal(order, "01"); /* what is deferred in a turn waits for the next */
        assert_int_equal(loop_iterate(loop, USEC_PER_SEC), 1);
        assert_string_equal(order, "012");
        assert_int_equal(loop_iterate(loop, 0), 0);
        assert_int_equal(loop_defer(loop, append, "3"), 0); /* freed with the loop */
}

/* ---- real time ---- */

static void test_real_clocks(_unused_ void **state) {
        usec_t before = now(CLOCK_MONOTONIC);

        assert_true(loop_monotonic(loop) >= before);
        assert_true(loop_monotonic(loop) <= now(CLOCK_MONOTONIC));
        before = now(CLOCK_BOOTTIME);
        assert_true(loop_boottime(loop) >= before);
        assert_true(loop_realtime(loop) > REALTIME);
}

static usec_t fired_at;

static void note_time(void *userdata) {
        fired_at = loop_monotonic(loop);
        count(userdata);
}

static void test_real_timer(_unused_ void **state) {
        unsigned n = 0, never = 0;
        LoopTimer *t, *off, *later;
        usec_t deadline;
        int code = 7;

        assert_int_equal(loop_timer_new(&t, loop, "t", note_time, &n), 0);
        assert_int_equal(loop_timer_new(&off, loop, "off", count, &never), 0);
        assert_int_equal(loop_timer_new(&later, loop, "later", leave, &code), 0);
        assert_false(loop_timer_armed(t));
        loop_timer_arm_in(off, 0, 0);
        loop_timer_disarm(off);
        loop_timer_arm_in(t, HOUR, 0);
        deadline = loop_monotonic(loop) + 3000;
        loop_timer_arm(t, deadline, 1); /* armed again: moved */
        loop_timer_arm_in(later, 20000, 0);
        assert_int_equal(loop_run(loop), 7);
        assert_int_equal(n, 1);
        assert_int_equal(never, 0);
        assert_true(fired_at >= deadline);
        assert_false(loop_timer_armed(t));
        assert_true(loop_turns(loop) >= 2);
        loop_timer_free(t);
        loop_timer_free(off);
        loop_timer_free(later);
        assert_null(loop_timer_free(NULL));
        assert_null(loop_io_free(NULL));
        assert_null(loop_child_free(NULL));
}

static LoopIo *other_io;

static void free_other(_unused_ void *userdata, _unused_ uint32_t events) {
        other_io = loop_io_free(other_io);
        append("f");
}

/* Both are ready in one turn and each would free the other: the second must not run. */
static void test_io(_unused_ void **state) {
        LoopIo *io = NULL;
        int fds[2];

        assert_int_equal(loop_io_new(&io, loop, "bad", -1, EPOLLIN, never_mind, NULL), -EBADF);
        assert_null(io);
        order[0] = 0;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(loop_io_new(&other_io, loop, "other", fds[0], EPOLLOUT, free_other, NULL), 0);
        assert_int_equal(loop_iterate(loop, USEC_PER_SEC), 1); /* frees itself */
        assert_null(other_io);
        assert_int_equal(loop_io_new(&other_io, loop, "other", fds[0], 0, free_other, NULL), 0);
        assert_int_equal(loop_iterate(loop, 0), 0);
        loop_io_set_events(other_io, EPOLLOUT);
        assert_int_equal(loop_io_new(&io, loop, "io", fds[1], EPOLLOUT, free_other, NULL), 0);
        assert_int_equal(loop_iterate(loop, USEC_PER_SEC), 1);
        assert_null(other_io);
        assert_string_equal(order, "ff");
        loop_io_free(io);
        close(fds[0]);
        close(fds[1]);
}

typedef struct Ended {
        unsigned n;
        pid_t pid;
        int status;
} Ended;

static void on_end(void *userdata, pid_t pid, int status) {
        Ended *e = userdata;

        e->n++;
        e->pid = pid;
        e->status = status;
}

static pid_t spawn(int signo, int code) {
        pid_t pid = fork();

        if (pid == 0) {
                if (signo > 0) {
                        struct sigaction dfl = { .sa_handler = SIG_DFL };
                        sigset_t none;

                        sigemptyset(&none);
                        sigaction(signo, &dfl, NULL); /* a sanitizer may have its own */
                        sigprocmask(SIG_SETMASK, &none, NULL);
                        kill(getpid(), signo);
                }
                _exit(code);
        }
        return pid;
}

static void test_child(_unused_ void **state) {
        static const int signals[] = { 0, SIGTERM, SIGKILL };

        for (size_t i = 0; i < ELEMENTS(signals); i++) {
                pid_t pid = spawn(signals[i], 42);
                Ended ended = { 0 };
                LoopChild *child, *twice = NULL;

                assert_int_equal(loop_child_new(&child, loop, "child", pid, on_end, &ended), 0);
                assert_int_equal(loop_child_new(&twice, loop, "child", pid, on_end, &ended), -EBUSY);
                assert_null(twice);
                while (ended.n == 0)
                        assert_true(loop_iterate(loop, USEC_INFINITY) >= 0);
                assert_int_equal(ended.pid, pid);
                if (signals[i] == 0)
                        assert_true(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 42);
                else
                        assert_true(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == signals[i]);
                assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
                assert_int_equal(errno, ECHILD);
                loop_child_free(child);
        }
        assert_int_equal(loop_iterate(loop, 0), 0);
}

/* Freed too early: still reaped, without a word. */
static void test_child_orphan(_unused_ void **state) {
        Ended ended = { 0 };
        LoopChild *children[3];
        pid_t pids[3];
        int fds[2], left;
        char byte;

        assert_int_equal(pipe2(fds, 0), 0);
        for (size_t i = 0; i < 3; i++) {
                pids[i] = fork();
                if (pids[i] == 0) {
                        close(fds[1]);
                        _exit((int)read(fds[0], &byte, 1)); /* until the parent says so */
                }
                assert_int_equal(loop_child_new(children + i, loop, "child", pids[i], on_end, &ended), 0);
        }
        loop_child_free(children[1]);
        loop_child_free(children[0]);
        close(fds[1]);
        while (ended.n == 0)
                assert_true(loop_iterate(loop, USEC_INFINITY) >= 0);
        assert_int_equal(ended.pid, pids[2]);
        loop_child_free(children[2]);
        do {
                left = 0;
                for (size_t i = 0; i < 2; i++)
                        left += kill(pids[i], 0) == 0;
                if (left > 0)
                        assert_true(loop_iterate(loop, USEC_PER_SEC) >= 0);
        } while (left > 0);
        assert_int_equal(ended.n, 1);

        pids[0] = spawn(0, 0);
        assert_int_equal(loop_child_new(children, loop, "child", pids[0], on_end, &ended), 0);
        loop_child_free(children[0]); /* and freed with the loop */
}

/* Dead, but its tracer has not let go: told when it has, and not missed. Stopping and going on is no end. */
static void test_child_traced(_unused_ void **state) {
        Ended ended = { 0 };
        LoopChild *child;
        pid_t pid, tracer;
        int status, go[2], tell[2], cont;
        char byte;

        assert_int_equal(pipe2(go, 0), 0);
        assert_int_equal(pipe2(tell, 0), 0);
        pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
                if (write(tell[1], "r", 1) == 1)
                        for (;;)
                                pause();
                _exit(1);
        }
        assert_int_equal(loop_child_new(&child, loop, "child", pid, on_end, &ended), 0);
        assert_int_equal(read(tell[0], &byte, 1), 1);
        for (cont = 0; cont < 2; cont++) {
                kill(pid, cont ? SIGCONT : SIGSTOP);
                while (loop_iterate(loop, 20000) > 0)
                        ;
                assert_int_equal(ended.n, 0);
        }
        tracer = fork();
        if (tracer == 0) {
                close(go[1]);
                byte = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0 ? 'y' : 'n';
                if (write(tell[1], &byte, 1) == 1)
                        (void)!read(go[0], &byte, 1);
                _exit(0);
        }
        assert_int_equal(read(tell[0], &byte, 1), 1);
        kill(pid, SIGKILL);
        while (byte == 'y' && loop_iterate(loop, 20000) > 0)
                ;
        if (byte == 'y')
                assert_int_equal(ended.n, 0);
        close(go[1]);
        assert_int_equal(waitpid(tracer, &status, 0), tracer);
        while (ended.n == 0)
                assert_true(loop_iterate(loop, USEC_PER_SEC) >= 0);
        assert_true(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGKILL);
        loop_child_free(child);
        close(go[0]);
        close(tell[0]);
        close(tell[1]);
}

typedef struct Killer {
        pid_t pid;
        int fd;
} Killer;

/* Kills the child and lets the loop go on only when that is dead: the loop has its stop in hand still. */
static void on_kill(void *userdata, _unused_ uint32_t events) {
        Killer *k = userdata;
        uint64_t count;

        assert_int_equal(read(k->fd, &count, sizeof(count)), sizeof(count));
        kill(k->pid, SIGKILL);
        assert_int_equal(waitid(P_PID, (id_t)k->pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
}

/* It stops, and before the loop came round to that it is killed: its end is seen all the same. */
static void test_child_stopped(_unused_ void **state) {
        Killer k = { .pid = fork(), .fd = eventfd(1, 0) };
        Ended ended = { 0 };
        LoopChild *child;
        LoopIo *io;

        if (k.pid == 0)
                for (;;)
                        pause();
        assert_int_equal(loop_io_new(&io, loop, "io", k.fd, EPOLLIN, on_kill, &k), 0);
        assert_int_equal(loop_child_new(&child, loop, "child", k.pid, on_end, &ended), 0);
        kill(k.pid, SIGSTOP);
        assert_int_equal(waitid(P_PID, (id_t)k.pid, &(siginfo_t){ 0 }, WSTOPPED | WNOWAIT), 0);
        while (ended.n == 0)
                assert_int_equal(loop_iterate(loop, 10 * USEC_PER_SEC), 1);
        assert_true(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGKILL);
        assert_int_equal(waitpid(k.pid, NULL, WNOHANG), -1);
        loop_child_free(child);
        loop_io_free(io);
        close(k.fd);
}

static void on_signal(void *userdata, int signo) {
        *(int *)userdata = signo;
}

static void test_signal(_unused_ void **state) {
        int got = 0;

        assert_int_equal(loop_signal(loop, SIGHUP, on_signal, &got), 0);
        kill(getpid(), SIGHUP);
        assert_int_equal(loop_iterate(loop, USEC_PER_SEC), 1);
        assert_int_equal(got, SIGHUP);
        assert_true(loop_signal(loop, SIGHUP, on_signal, &got) < 0); /* taken */
}

/* ---- turns ---- */

static void block_20ms(_unused_ void *userdata) {
        struct timespec ts = { 0, 20 * NSEC_PER_MSEC };

        while (nanosleep(&ts, &ts) < 0)
                ;
}

static void test_longest_turn(_unused_ void **state) {
        usec_t begin = now(CLOCK_MONOTONIC), wall;

        assert_int_equal(loop_longest_turn(loop), 0);
        assert_true(loop_turn_start(loop) <= begin);
        assert_int_equal(loop_defer(loop, block_20ms, NULL), 0);
        assert_int_equal(loop_iterate(loop, 0), 1);
        wall = now(CLOCK_MONOTONIC) - begin;
        assert_in_range(loop_turn_start(loop), begin, begin + wall - 20000 + 100);
        assert_in_range(loop_longest_turn(loop), 20000 - 100, wall);
        assert_int_equal(loop_iterate(loop, 5000), 0); /* waiting is no turn */
        assert_in_range(loop_longest_turn(loop), 20000 - 100, wall);
        loop_reset_longest_turn(loop);
        assert_int_equal(loop_longest_turn(loop), 0);
        assert_int_equal(loop_turns(loop), 1);
}

static uint64_t waited_ns(void) {
        unsigned long long ran = 0, waited = 0;
        FILE *file = fopen("/proc/thread-self/schedstat", "re");

        if (file) {
                if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
                        waited = 0;
                fclose(file);
        }
        return waited;
}

static usec_t handler_wall;

/* Runs until somebody else has had the processor for 5 ms of its time. */
static void spin(void *userdata) {
        usec_t begin = now(CLOCK_MONOTONIC);
        uint64_t before = waited_ns();

        while (waited_ns() - before < 5 * NSEC_PER_MSEC && now(CLOCK_MONOTONIC) - begin < 5 * USEC_PER_SEC)
                ;
        *(bool *)userdata = waited_ns() - before >= 5 * NSEC_PER_MSEC;
        handler_wall = now(CLOCK_MONOTONIC) - begin;
}

static void test_turn_without_processor(_unused_ void **state) {
        cpu_set_t old, one;
        bool waited = false;
        int cpu = sched_getcpu();
        pid_t rival;

        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        assert_int_equal(sched_getaffinity(0, sizeof(old), &old), 0);
        if (sched_setaffinity(0, sizeof(one), &one) < 0)
                return; /* not allowed here; cmocka tells a skip() as "not ok" */
        rival = fork();
        if (rival == 0)
                for (;;)
                        ;
        assert_int_equal(loop_defer(loop, spin, &waited), 0);
        assert_int_equal(loop_iterate(loop, 0), 1);
        kill(rival, SIGKILL);
        assert_int_equal(waitpid(rival, NULL, 0), rival);
        assert_int_equal(sched_setaffinity(0, sizeof(old), &old), 0);
        if (!waited)
                return; /* a kernel without schedstat */
        assert_true(loop_longest_turn(loop) > 0);
        assert_true(loop_longest_turn(loop) < handler_wall - 4000);
}

int main(void) {
        static int real_clock;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_clocks, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_hour, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_ties, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_free_inside, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_advance_io, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_advance_busy_fd, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_advance_exit, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_defer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_defer, setup_simulated, teardown),
                cmocka_unit_test_prestate_setup_teardown(test_free_inside, setup, teardown, &real_clock),
                cmocka_unit_test_setup_teardown(test_real_clocks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_real_timer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_io, setup, teardown),
                cmocka_unit_test_setup_teardown(test_child, setup, teardown),
                cmocka_unit_test_setup_teardown(test_child, setup_simulated, teardown),
                cmocka_unit_test_setup_teardown(test_child_orphan, setup, teardown),
                cmocka_unit_test_setup_teardown(test_child_traced, setup, teardown),
                cmocka_unit_test_setup_teardown(test_child_stopped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
                cmocka_unit_test_setup_teardown(test_longest_turn, setup, teardown),
                cmocka_unit_test_setup_teardown(test_turn_without_processor, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
