/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: sd-event behind an interface whose clock can be simulated, so that hours pass in
 * milliseconds in tests. One per process, used by its main thread alone (base/worker brings events of
 * other threads in). Handlers must not block: loop_longest_turn() shows who did. */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

typedef struct Loop Loop;
typedef struct LoopTimer LoopTimer;
typedef struct LoopIo LoopIo;
typedef struct LoopChild LoopChild;
struct sd_event;

typedef void (*loop_timer_fn)(void *userdata);
typedef void (*loop_io_fn)(void *userdata, uint32_t events);
typedef void (*loop_child_fn)(void *userdata, pid_t pid, int status); /* status as of waitpid() */
typedef void (*loop_signal_fn)(void *userdata, int signo);
typedef void (*loop_defer_fn)(void *userdata);

_must_check_ int loop_new(Loop **ret);
/* MONOTONIC and BOOTTIME start at 1000 s, REALTIME at `realtime`; only loop_advance() moves them. */
_must_check_ int loop_new_simulated(Loop **ret, usec_t realtime);
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop *, loop_free)

/* CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME in microseconds. */
usec_t loop_monotonic(const Loop *loop);
usec_t loop_boottime(const Loop *loop);
usec_t loop_realtime(const Loop *loop);

/* CLOCK_MONOTONIC when the handlers at hand began to run: what is stamped by the thousand need not ask the kernel. */
usec_t loop_turn_start(const Loop *loop);

/* Runs until loop_exit(); returns its code, or a negative errno. Real clock only. */
_must_check_ int loop_run(Loop *loop);
void loop_exit(Loop *loop, int code);
bool loop_exiting(const Loop *loop);
/* Dispatches what is ready, waiting at most `wait` of real time: 1 something ran, 0 nothing. */
_must_check_ int loop_iterate(Loop *loop, usec_t wait);
/* Simulated: runs every timer due within `by` in order, I/O that is ready in between, and ends at now + by. */
_must_check_ int loop_advance(Loop *loop, usec_t by);
/* Simulated: a step of REALTIME alone. */
void loop_step_realtime(Loop *loop, int64_t usec);
/* For base/stepwatch alone: an eventfd that tells of it, borrowed; negative under the real clock. */
int loop_step_fd(const Loop *loop);

/* A turn = wall time of one round of handlers less the time spent in the run queue
 * (/proc/thread-self/schedstat). Longest since the start or the last reset. */
usec_t loop_longest_turn(const Loop *loop);
void loop_reset_longest_turn(Loop *loop);
uint64_t loop_turns(const Loop *loop);

/* A one-shot timer on CLOCK_MONOTONIC; arming again moves it. accuracy 0 is taken as 1 ms. Names are static. */
_must_check_ int loop_timer_new(LoopTimer **ret, Loop *loop, const char *name, loop_timer_fn fn, void *userdata);
LoopTimer *loop_timer_free(LoopTimer *timer);
DEFINE_CLEANUP(LoopTimer *, loop_timer_free)
void loop_timer_arm(LoopTimer *timer, usec_t deadline, usec_t accuracy);
void loop_timer_arm_in(LoopTimer *timer, usec_t delay, usec_t accuracy);
void loop_timer_disarm(LoopTimer *timer);
bool loop_timer_armed(const LoopTimer *timer);
usec_t loop_timer_deadline(const LoopTimer *timer); /* USEC_INFINITY: not armed */

/* fd is borrowed and must outlive the LoopIo. events: EPOLLIN... */
_must_check_ int loop_io_new(LoopIo **ret, Loop *loop, const char *name, int fd, uint32_t events, loop_io_fn fn, void *userdata);
LoopIo *loop_io_free(LoopIo *io);
DEFINE_CLEANUP(LoopIo *, loop_io_free)
/* 0: off, not even EPOLLHUP is told. */
void loop_io_set_events(LoopIo *io, uint32_t events);

/* SIGCHLD must be blocked (loop_new does). Calls fn once, then reaps pid: in fn the number is still its own.
 * Freed before that, pid is not ended by it, and reaped all the same. */
_must_check_ int loop_child_new(LoopChild **ret, Loop *loop, const char *name, pid_t pid, loop_child_fn fn, void *userdata);
LoopChild *loop_child_free(LoopChild *child);
DEFINE_CLEANUP(LoopChild *, loop_child_free)

/* Blocks the signal and calls fn from the loop. */
_must_check_ int loop_signal(Loop *loop, int signo, loop_signal_fn fn, void *userdata);
/* Runs fn once at the start of the next turn. */
_must_check_ int loop_defer(Loop *loop, loop_defer_fn fn, void *userdata);

/* For sd-bus alone. Borrowed. */
struct sd_event *loop_sd_event(Loop *loop);
