/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An edge becomes a row of its own with the kernel's time, which is CLOCK_MONOTONIC; what CLOCK_BOOTTIME is ahead of it, the
 * time that the machine has slept, is asked once for each wake-up. A wake-up reads what waits, at most what the kernel's buffer
 * holds, so that a line that never rests, input or counter, does not starve the others.
 *
 * The kernel drops the oldest edges when its buffer is full, and their numbers are missing then: a counter counts them all the
 * same (counter.c), of another input they are told as lost, so many and no more.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>

#include "gpio.h"

#define EDGES_AT_ONCE 64

static int64_t now_ns(clockid_t id) {
        struct timespec t;

        clock_gettime(id, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* It grows while the machine sleeps, and not while this process waits for a processor between two looks at a clock: what was
 * found before stays as long as it can be true. */
static int64_t slept_ns(void) {
        static int64_t slept = -1;
        int64_t before = now_ns(CLOCK_MONOTONIC), now = now_ns(CLOCK_BOOTTIME), after = now_ns(CLOCK_MONOTONIC);

        if (slept < 0 || now - slept < before || now - slept > after)
                slept = now - before - (after - before) / 2;
        return slept;
}

static void tell_lost(Line *l, uint32_t lost, int64_t from_ns, int64_t to_ns) {
        tbagent_lost(l->gpio->host, lost, from_ns < to_ns ? from_ns : to_ns, to_ns, "edges came faster than they were read");
        gpio_say(l->gpio, TBAGENT_WARNING, "%s: %u edges came faster than they were read and are lost: a debounce may help",
                 l->key, lost);
}

static void take_state(Line *l, const Edge *e, int64_t time_ns) {
        struct tbagent_host *host = l->gpio->host;
        uint32_t lost = l->has_seqno ? e->seqno - l->seqno - 1 : 0;

        if (lost > 0 && lost < UINT32_MAX / 2)
                tell_lost(l, lost, l->edge_ns > 0 ? l->edge_ns : time_ns, time_ns);
        l->has_seqno = true;
        l->seqno = e->seqno;
        l->edge_ns = time_ns;
        tbagent_row_time(host, time_ns);
        tbagent_emit_bool(host, l->key, e->active);
        tbagent_row_end(host, l->o.immediate ? TBAGENT_IMMEDIATE : 0);
}

int input_drain(Line *l) {
        int64_t slept = slept_ns();
        Edge edges[EDGES_AT_ONCE];
        ssize_t n = 1;

        if (!l->o.rising && !l->o.falling)
                return 0;
        for (size_t taken = 0; n > 0 && taken < REQUEST_EDGES_MAX; taken += (size_t)n) {
                n = request_edges(l->fd, edges, EDGES_AT_ONCE);
                for (ssize_t i = 0; i < n; i++)
                        if (l->counter)
                                total_edge(l, &edges[i], edges[i].monotonic_ns + slept);
                        else
                                take_state(l, &edges[i], edges[i].monotonic_ns + slept);
        }
        if (n < 0)
                line_lost(l, (int)n);
        return n < 0 ? (int)n : 0;
}

static void on_edges(struct tbagent_host *host, void *state, int fd, uint32_t events) {
        Gpio *g = state;

        (void)host;
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].fd == fd) {
                        if (input_drain(&g->lines[i]) == 0 && (events & (EPOLLERR | EPOLLHUP)))
                                line_lost(&g->lines[i], -ENODEV);
                        break;
                }
        if (g->remember_ns != NEVER)
                gpio_arm(g);
}

int input_begin(Line *l) {
        if (!l->o.rising && !l->o.falling)
                return 0;
        l->has_seqno = !l->taken; /* of one that was kept nobody knows where its numbers are */
        l->seqno = 0;
        return tbagent_watch_fd(l->gpio->host, l->fd, EPOLLIN, on_edges);
}

int input_sample(Line *l) {
        int r = input_drain(l), level;

        if (r < 0)
                return r;
        if (l->counter) {
                total_sample(l, tbagent_now(l->gpio->host));
                return 0;
        }
        level = request_get(l->fd);
        if (level < 0) {
                line_lost(l, level);
                return level;
        }
        tbagent_emit_bool(l->gpio->host, l->key, level);
        return 0;
}
