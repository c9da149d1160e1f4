/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel cancels a timer with TFD_TIMER_CANCEL_ON_SET when the offset between CLOCK_REALTIME and
 * CLOCK_MONOTONIC changes: on a step, at a leap second, after a suspend. Slewing (adjtime, the kernel's PLL)
 * moves both clocks alike and is not a change. The timer stays set after that, so one call does for good. A
 * simulated loop has an eventfd in its place. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/stepwatch.h"

/* 250 years: no step gets there, and the kernel's nanoseconds (292 years) still hold it. */
#define FAR_AWAY ((time_t)(sizeof(time_t) > 4 ? INT64_C(7889400000) : INT32_MAX))

struct StepWatch {
        stepwatch_fn fn;
        void *userdata;
        int fd;
        LoopIo *io;
};

static void on_set(void *userdata, uint32_t events _unused_) {
        StepWatch *w = userdata;
        uint64_t n;

        /* ECANCELED from a timer, a number from a simulation */
        if (read(w->fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
                return;
        w->fn(w->userdata);
}

static int open_fd(const Loop *loop) {
        const struct itimerspec far_away = { .it_value.tv_sec = FAR_AWAY };
        bool simulated = loop_step_fd(loop) >= 0;
        _cleanup_(closep) int fd = simulated ? fcntl(loop_step_fd(loop), F_DUPFD_CLOEXEC, 3)
                                             : timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (simulated)
                return TAKE_FD(fd);
        /* ECANCELED: it was set between two instructions; armed all the same */
        if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far_away, NULL) < 0 && errno != ECANCELED)
                return -errno;
        return TAKE_FD(fd);
}

int stepwatch_new(StepWatch **ret, Loop *loop, stepwatch_fn fn, void *userdata) {
        _cleanup_(stepwatch_freep) StepWatch *w = malloc(sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = (StepWatch){ .fn = fn, .userdata = userdata, .fd = open_fd(loop) };
        if (w->fd < 0)
                return w->fd;
        r = loop_io_new(&w->io, loop, "step of the clock", w->fd, EPOLLIN, on_set, w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

StepWatch *stepwatch_free(StepWatch *w) {
        if (!w)
                return NULL;
        loop_io_free(w->io);
        closep(&w->fd);
        free(w);
        return NULL;
}
