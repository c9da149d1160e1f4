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

#define FREE_WITHIN_NS INT64_C(2000000000)
#define LOOK_EVERY_NS  20000000

/* Nobody tells when a line becomes free. */
static int request_soon(struct tbagent_host *host, Line *l, const RequestConfig *config) {
        int64_t until = tbagent_now(host) + FREE_WITHIN_NS;
        int fd;

        for (;;) {
                fd = request_new(l->place.path, l->place.offset, "tbagent on_exit", config);
                if (fd != -EBUSY || tbagent_now(host) >= until)
                        return fd;
                nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
        }
}

static int set(struct tbagent_host *host, Line *l) {
        RequestConfig config;
        int fd, r;

        l->level = l->o.on_exit == PRESET_ON;
        config = line_config(l);
        r = line_find(l);
        if (r < 0)
                return r;
        fd = tbagent_fd_take(host, l->kept);
        if (fd == -EBUSY)
                return 0; /* another process drives it */
        r = fd >= 0 ? request_set(fd, l->level) : fd;
        if (fd < 0)
                r = fd = request_soon(host, l, &config);
        if (r < 0)
                line_say_why(l, "line %u of %s [%s]: %s", l->place.offset, l->place.chip, l->place.label, strerrordesc_np(-r));
        else
                l->fd = fd; /* for good */
        return r < 0 ? r : 1;
}

int gpio_exit_state(struct tbagent_host *host) {
        static Gpio held; /* for good, as its lines */
        const struct tbagent_node *node;
        Gpio *g = &held;

        held = (Gpio){.host = host};
        while (g->n_lines < LINES_MAX && (node = tbagent_member(host, tbagent_options(host), "lines", g->n_lines))) {
                Line *l = &g->lines[g->n_lines++];
                int r;

                l->gpio = g;
                l->key = tbagent_name(host, node);
                options_read(host, node, &l->o);
                if (!l->o.output || l->o.on_exit == PRESET_AS_IS || wanted_parse(l->o.line, l->o.chip, &l->wanted, l->why) < 0)
                        continue;
                r = set(host, l);
                if (r < 0)
                        gpio_say(g, TBAGENT_ERROR, "%s cannot be set to on_exit: %s", l->key, l->why);
                else if (r > 0)
                        gpio_say(g, TBAGENT_NOTICE, "%s is %s (on_exit)", l->key, l->level ? "on" : "off");
        }
        return 0;
}
