/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance is gone and its outputs get their on_exit values. Their requests are kept: taking one and setting it moves
 * nothing else. Where the daemon itself has failed they are not (systemd closes them with the unit), so the line is asked for by
 * its name, which may take a moment to become free, and held until somebody ends this process: a chip's driver may do what it
 * likes with a line that nobody holds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpio.h"

#define WITHIN_NS     INT64_C(2000000000)
#define LOOK_EVERY_NS 20000000

static int request(Line *l) {
        RequestConfig config = line_config(l);

        return request_new(l->place.path, l->place.offset, "tbagent on_exit", &config);
}

/* The descriptor, for good; -EBUSY: not free yet; another error, and *kept still there: it could not be set just now. */
static int set(Line *l, int *kept) {
        int fd = *kept, r;

        if (fd < 0)
                return request(l);
        r = request_set(fd, l->level);
        if (r < 0 && r != -ENODEV)
                return r;
        *kept = -1;
        if (r == 0)
                return fd;
        close(fd); /* its chip was pulled out, and may be back */
        return request(l);
}

/* As set(); -EALREADY: another process drives it. */
static int find_and_set(struct tbagent_host *host, Line *l, int *kept) {
        int r = line_find(l);

        if (r < 0)
                return r;
        l->level = l->o.on_exit == PRESET_ON;
        *kept = tbagent_fd_take(host, l->kept);
        return *kept == -EBUSY ? -EALREADY : set(l, kept);
}

static void tell(Line *l) {
        if (l->fd >= 0)
                gpio_say(l->gpio, TBAGENT_NOTICE, "%s is %s (on_exit)", l->key, l->level ? "on" : "off");
        else if (l->fd != -EALREADY) {
                if (l->place.path[0])
                        line_say_why(l, "line %u of %s [%s]: %s", l->place.offset, l->place.chip, l->place.label,
                                     strerrordesc_np(-l->fd));
                gpio_say(l->gpio, TBAGENT_ERROR, "%s cannot be set to on_exit: %s", l->key, l->why);
        }
}

static bool is_open(const Line *l, int kept) {
        return l->fd == -EBUSY || kept >= 0;
}

/* Nobody tells when a line becomes free, or a bus is well again. All that can be is set first. */
static void set_others(Gpio *g, int kept[static LINES_MAX]) {
        int64_t until = tbagent_now(g->host) + WITHIN_NS;
        size_t n;

        do {
                n = 0;
                for (size_t i = 0; i < g->n_lines; i++) {
                        Line *l = &g->lines[i];

                        if (!is_open(l, kept[i]))
                                continue;
                        l->fd = set(l, &kept[i]);
                        if (is_open(l, kept[i]))
                                n++;
                        else
                                tell(l);
                }
                if (n > 0)
                        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
        } while (n > 0 && tbagent_now(g->host) < until);
        for (size_t i = 0; i < g->n_lines; i++)
                if (is_open(&g->lines[i], kept[i]))
                        tell(&g->lines[i]);
}

int gpio_exit_state(struct tbagent_host *host) {
        static Gpio held; /* for good, as its lines */
        const struct tbagent_node *node;
        int kept[LINES_MAX];
        Gpio *g = &held;

        held = (Gpio){.host = host};
        while (g->n_lines < LINES_MAX && (node = tbagent_member(host, tbagent_options(host), "lines", g->n_lines))) {
                size_t i = g->n_lines++;
                Line *l = &g->lines[i];

                l->fd = -EALREADY; /* nothing to do */
                kept[i] = -1;
                l->gpio = g;
                l->key = tbagent_name(host, node);
                options_read(host, node, &l->o);
                if (!l->o.output || l->o.on_exit == PRESET_AS_IS || wanted_parse(l->o.line, l->o.chip, &l->wanted, l->why) < 0)
                        continue;
                l->fd = find_and_set(host, l, &kept[i]);
                if (!is_open(l, kept[i]))
                        tell(l);
        }
        set_others(g, kept);
        return 0;
}
