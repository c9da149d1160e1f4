/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order matters: oom_score_adj cannot be written any more by a process that is not dumpable, and the
 * death signal is worthless when the parent has died just before, so it is looked for afterwards.
 *
 * RLIMIT_DATA is a soft limit, which children that the plugin starts may raise again. Where it is reached
 * malloc() returns NULL and a plugin may limp on without ever saying so; therefore the host ends itself at
 * 90 % of it, after a call. Sanitizers and valgrind map terabytes and get no limit.
 *
 * The kill timer sends SIGKILL from the kernel: it needs nothing of this process, which may be blocked, stopped,
 * or have every signal masked. Arming and disarming costs about a microsecond.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/file.h"
#include "sensor/guard.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#if !defined(SANITIZED) && (defined(TBAGENT_SANITIZED) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define SANITIZED true
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static int set_oom_score(void) {
        _cleanup_(closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        return fd < 0 ? -errno : file_write_all(fd, "500", 3);
}

static int set_memory_limit(uint64_t memory_max) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_DATA, &limit) < 0)
                return -errno;
        limit.rlim_cur = MIN((rlim_t)memory_max, limit.rlim_max);
        return setrlimit(RLIMIT_DATA, &limit) < 0 ? -errno : 0;
}

static int set_no_core(void) {
        return setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }) < 0 ? -errno : 0;
}

static int make_timer(timer_t *ret) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };

        return timer_create(CLOCK_MONOTONIC, &event, ret) < 0 ? -errno : 0;
}

int guard_set(Guard *g, pid_t parent, uint64_t memory_max, const char **ret_what) {
        int failed = 0, r;

        *g = (Guard){ .memory_max = SANITIZED || getenv(GUARD_ENV_SANITIZED) ? 0 : memory_max, .statm_fd = -EBADF };
#define BOUND(call, what)                            \
        do {                                         \
                r = (call);                          \
                if (r < 0 && failed == 0) {          \
                        failed = r;                  \
                        *ret_what = (what);          \
                }                                    \
        } while (0)
        BOUND(make_timer(&g->timer), "kill timer");
        BOUND(set_oom_score(), "oom_score_adj");
        if (g->memory_max > 0)
                BOUND(set_memory_limit(g->memory_max), "RLIMIT_DATA");
        BOUND(set_no_core(), "RLIMIT_CORE");
        BOUND(prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0, "parent death signal");
        if (parent > 0 && getppid() != parent)
                return -ESRCH;
        g->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        /* the leak checker traces its own process */
        if (!SANITIZED)
                BOUND(prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0, "dumpable");
#undef BOUND
        return failed;
}

void guard_arm(Guard *g, usec_t timeout) {
        struct itimerspec in = { .it_value = { .tv_sec = (time_t)(timeout / USEC_PER_SEC),
                                               .tv_nsec = (long)(timeout % USEC_PER_SEC * NSEC_PER_USEC) } };

        (void)timer_settime(g->timer, 0, &in, NULL);
}

void guard_disarm(Guard *g) {
        guard_arm(g, 0);
}

bool guard_memory_is_short(const Guard *g, uint64_t *ret_used) {
        unsigned long long data;
        char text[128];
        ssize_t n;

        if (g->memory_max == 0)
                return false;
        /* size resident shared text lib data dt, in pages; data is what RLIMIT_DATA counts, and the stack */
        n = pread(g->statm_fd, text, sizeof text - 1, 0);
        if (n <= 0)
                return false;
        text[n] = '\0';
        if (sscanf(text, "%*u %*u %*u %*u %*u %llu", &data) != 1)
                return false;
        *ret_used = (uint64_t)data * (uint64_t)sysconf(_SC_PAGESIZE);
        return *ret_used > g->memory_max / 10 * 9;
}
