/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `gpio`: lines of GPIO chips as inputs, counters of pulses, outputs.
 *
 *      chip.h      which chips and lines there are          (libgpiod, two versions)
 *      place.h     what "GPIO17" or "pin11" is here
 *      request.h   a line that is ours: values and edges    (the kernel's uAPI v2)
 *      line.c      opening it, keeping it, losing it
 *      input.c     edges to rows       total.c, counter.h   totals that never lose a pulse
 *      output.c    who may change it   pwm.h
 *      memory.h    what outlives the process                params.h   what the server sends
 *
 * Each line stands for itself: one that is missing (its chip is not there, somebody else has it) is bad and looked for again, the
 * others work. Only an instance with none at all is told as absent hardware, and the host opens it again.
 *
 * Everything that is due at a time hangs on one timerfd: the host's timers are counted, and cannot be taken back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "gpio.h"

#define RETRY_FIRST_NS INT64_C(1000000000)
#define RETRY_MAX_NS   INT64_C(10000000000)
#define REMEMBER_NS    INT64_C(1000000000)

void gpio_say(Gpio *g, int level, const char *format, ...) {
        char text[600];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        tbagent_log(g->host, level, text);
}

Line *gpio_find(Gpio *g, const char *channel) {
        for (size_t i = 0; i < g->n_lines; i++)
                if (strcmp(g->lines[i].channel, channel) == 0)
                        return &g->lines[i];
        return NULL;
}

/* ---- what outlives the process */

/* Of this boot and no other; without it nothing that is remembered is taken for new. */
static void read_boot(uint8_t ret[static 16]) {
        int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        char text[40] = "";

        if (fd < 0 || read(fd, text, sizeof(text) - 1) < 36)
                memset(text, 0, sizeof(text));
        if (fd >= 0)
                close(fd);
        memset(ret, 0, 16);
        for (size_t i = 0, n = 0; text[i] && n < 32; i++) {
                const char *digits = "0123456789abcdef", *d = strchr(digits, text[i]);

                if (d && *d) {
                        ret[n / 2] |= (uint8_t)((d - digits) << (n % 2 ? 0 : 4));
                        n++;
                }
        }
}

static void load_memory(Gpio *g) {
        static const uint8_t none[16];
        uint8_t data[MEMORY_SIZE_MAX];
        int size = tbagent_state_get(g->host, data, sizeof(data));

        read_boot(g->boot);
        g->n_memory = size > 0 ? memory_decode(data, (size_t)size, g->boot, g->memory, &g->same_boot) : 0;
        g->same_boot &= memcmp(g->boot, none, sizeof(none)) != 0;
}

/* What is remembered of another boot: a total to go on from. Of nothing else may this boot say that it is its own. */
static void age(Remembered *m) {
        if (m->known) {
                m->pulses += m->added;
                m->added = 0;
                m->has_base = true;
        }
        m->known = m->has_seqno = m->has_wanted = m->disconnected = false;
}

static void remember_line(const Gpio *g, const Line *l, Remembered *m) {
        const Remembered *old = memory_find(g->memory, g->n_memory, memory_id(l->channel));

        memset(m, 0, sizeof(*m));
        if (!l->begun && old) {
                *m = *old;
                if (!g->same_boot)
                        age(m);
        }
        m->id = memory_id(l->channel);
        if (l->begun && l->counter)
                total_remember(l, m);
        else if (l->begun && l->o.output)
                output_remember(l, m);
}

void gpio_remember(Gpio *g) {
        Remembered list[LINES_MAX];
        uint8_t data[MEMORY_SIZE_MAX];
        size_t size;

        g->remember_ns = NEVER;
        for (size_t i = 0; i < g->n_lines; i++)
                remember_line(g, &g->lines[i], &list[i]);
        size = memory_encode(list, g->n_lines, g->boot, data);
        tbagent_state_put(g->host, data, size);
}

void gpio_remember_soon(Gpio *g) {
        if (g->remember_ns == NEVER)
                g->remember_ns = tbagent_now(g->host) + REMEMBER_NS;
}

/* ---- time */

static int64_t next_of(const Gpio *g) {
        int64_t next = g->retry_ns < g->ask_ns ? g->retry_ns : g->ask_ns;

        if (g->remember_ns < next)
                next = g->remember_ns;
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].o.output && output_next(&g->lines[i]) < next)
                        next = output_next(&g->lines[i]);
        return next;
}

void gpio_arm(Gpio *g) {
        int64_t next = next_of(g);
        struct itimerspec when = {0};

        if (next != NEVER) {
                if (next < 1)
                        next = 1; /* 0 would disarm it */
                when.it_value.tv_sec = (time_t)(next / 1000000000);
                when.it_value.tv_nsec = (long)(next % 1000000000);
        }
        (void)timerfd_settime(g->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- lines */

static int begin_line(Line *l) {
        int r = 0;

        if (!l->o.output && l->o.mode == MODE_COUNTER)
                r = total_begin(l);
        if (r == 0 && !l->o.output)
                r = input_begin(l);
        if (l->o.output)
                output_begin(l);
        l->begun = true;
        return r;
}

static int open_one(Line *l) {
        int r = line_open(l);

        if (r == 0)
                r = begin_line(l);
        if (r < 0 && l->fd >= 0) {
                snprintf(l->why, WHY_SIZE, "%s", strerrordesc_np(-r));
                close(l->fd);
                l->fd = -1;
        }
        return r;
}

static size_t n_missing(const Gpio *g) {
        size_t n = 0;

        for (size_t i = 0; i < g->n_lines; i++)
                n += g->lines[i].fd < 0;
        return n;
}

static void retry_later(Gpio *g) {
        g->retry_ns = NEVER;
        if (n_missing(g) == 0)
                return;
        g->retry_wait_ns = g->retry_wait_ns == 0 ? RETRY_FIRST_NS : g->retry_wait_ns * 2;
        if (g->retry_wait_ns > RETRY_MAX_NS)
                g->retry_wait_ns = RETRY_MAX_NS;
        g->retry_ns = tbagent_now(g->host) + g->retry_wait_ns;
}

static void retry(Gpio *g) {
        for (size_t i = 0; i < g->n_lines; i++) {
                Line *l = &g->lines[i];

                if (l->fd < 0 && open_one(l) == 0)
                        gpio_say(g, TBAGENT_NOTICE, "%s is there: line %u of %s [%s]", l->key, l->place.offset, l->place.chip,
                                 l->place.label);
        }
        retry_later(g);
        total_ask(g);
}

static void on_timer(struct tbagent_host *host, void *state, int fd, uint32_t events) {
        Gpio *g = state;
        int64_t now = tbagent_now(host);
        uint64_t ticks;

        (void)events;
        if (read(fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
                return;
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].o.output)
                        output_due(&g->lines[i], now);
        if (g->retry_ns <= now)
                retry(g);
        if (g->ask_ns <= now)
                total_ask(g);
        if (g->remember_ns <= now)
                gpio_remember(g);
        gpio_arm(g);
}

/* ---- verbs */

/* Nobody who only looks is to move an output. */
static bool left_alone(Gpio *g, const struct tbagent_node *node) {
        if (!tbagent_is_once(g->host) || strcmp(tbagent_string(g->host, node, "direction", 0), "out") != 0)
                return false;
        gpio_say(g, TBAGENT_WARNING, "%s is an output: --once leaves it alone", tbagent_name(g->host, node));
        return true;
}

static void read_lines(Gpio *g) {
        const struct tbagent_node *options = tbagent_options(g->host), *node;

        for (size_t i = 0; g->n_lines < LINES_MAX && (node = tbagent_member(g->host, options, "lines", i)); i++) {
                Line *l = &g->lines[g->n_lines];

                if (left_alone(g, node))
                        continue;
                g->n_lines++;
                l->gpio = g;
                l->node = node;
                l->fd = -1;
                l->channel = tbagent_channel(g->host, node);
                l->key = tbagent_name(g->host, node);
                l->pwm_next_ns = l->pulse_end_ns = l->disconnect_ns = NEVER;
                options_read(g->host, node, &l->o);
                (void)wanted_parse(l->o.line, l->o.chip, &l->wanted, l->why); /* options_check() has seen it */
        }
}

static void gpio_free(Gpio *g) {
        if (g->timer_fd >= 0)
                close(g->timer_fd);
        for (size_t i = 0; i < g->n_lines; i++)
                free(g->lines[i].counter);
        free(g);
}

/* How long the others take, or what they do to this process, is not to have the daemon think that nobody drives these. */
static void take_outputs(Gpio *g) {
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].o.output && line_take(&g->lines[i]) == 0)
                        (void)begin_line(&g->lines[i]);
}

static void close_lines(Gpio *g) {
        for (size_t i = 0; i < g->n_lines; i++)
                line_close(&g->lines[i]);
}

/* 0: at least one is there, or there is none to be. */
static int open_lines(Gpio *g) {
        int first = 0;

        take_outputs(g);
        for (size_t i = 0; i < g->n_lines; i++) {
                int r = g->lines[i].fd >= 0 ? 0 : open_one(&g->lines[i]);

                first = first == 0 ? r : first;
        }
        if (n_missing(g) < g->n_lines || g->n_lines == 0)
                return 0;
        gpio_say(g, TBAGENT_WARNING, "%s: %s", g->lines[0].key, g->lines[0].why);
        return first == -EACCES || first == -EPERM ? -EACCES : -ENODEV;
}

static int gpio_open(struct tbagent_host *host, void **ret_state) {
        Gpio *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        g->host = host;
        g->retry_ns = g->ask_ns = g->remember_ns = NEVER;
        g->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        r = g->timer_fd < 0 ? -errno : 0;
        if (r == 0) {
                load_memory(g);
                read_lines(g);
                r = open_lines(g);
        }
        if (r == 0)
                r = tbagent_watch_fd(host, g->timer_fd, EPOLLIN, on_timer);
        if (r < 0) {
                close_lines(g);
                gpio_free(g);
                return r;
        }
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].fd < 0)
                        gpio_say(g, TBAGENT_WARNING, "%s: %s", g->lines[i].key, g->lines[i].why);
        retry_later(g);
        total_ask(g);
        gpio_remember(g);
        gpio_arm(g);
        *ret_state = g;
        return 0;
}

static int sample_line(Line *l) {
        if (l->fd < 0) {
                tbagent_emit_bad(l->gpio->host, l->key, l->why);
                return -ENODEV;
        }
        return l->o.output ? output_sample(l) : input_sample(l);
}

static int gpio_sample(struct tbagent_host *host, void *state) {
        Gpio *g = state;
        size_t good = 0;

        for (size_t i = 0; i < g->n_lines; i++)
                good += sample_line(&g->lines[i]) == 0;
        gpio_remember(g);
        gpio_arm(g);
        if (good > 0)
                return 0;
        if (g->n_lines == 0)
                return tbagent_is_once(host) ? -ENODEV : 0;
        gpio_say(g, TBAGENT_WARNING, "%s: %s", g->lines[0].key, g->lines[0].why);
        return -ENODEV;
}

static int gpio_attribute(struct tbagent_host *host, void *state, const char *key, const char *json) {
        Gpio *g = state;

        (void)host;
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].o.attribute && strcmp(g->lines[i].o.attribute, key) == 0)
                        output_attribute(&g->lines[i], json);
        return 0;
}

static int gpio_connection(struct tbagent_host *host, void *state, int online) {
        Gpio *g = state;

        (void)host;
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].o.output)
                        output_connection(&g->lines[i], online);
        total_ask(g);
        gpio_arm(g);
        return 0;
}

/* The path is "lines.CHANNEL.OPTION". */
static int gpio_setting(struct tbagent_host *host, void *state, const char *path) {
        const char *option = strrchr(path, '.');
        Gpio *g = state;
        int r = 0;

        for (size_t i = 0; i < g->n_lines; i++) {
                Line *l = &g->lines[i];
                Preset before = l->o.on_disconnect;
                uint32_t debounce = l->o.debounce_usec;

                int preset = (int)options_preset(tbagent_string(host, l->node, "on_disconnect", 0));

                if (preset < 0 || preset == PRESET_LAST) {
                        gpio_say(g, TBAGENT_WARNING, "on_disconnect is one of off, on, as-is");
                        return -EINVAL;
                }
                options_read(host, l->node, &l->o);
                if (l->o.debounce_usec != debounce && line_reconfigure(l) < 0)
                        r = -EINVAL;
                if (l->o.output && (before != l->o.on_disconnect || (option && strcmp(option, ".on_disconnect_after") == 0)))
                        output_connection(l, tbagent_is_online(host));
        }
        gpio_arm(g);
        return r;
}

static void gpio_close(struct tbagent_host *host, void *state) {
        Gpio *g = state;
        bool final = tbagent_is_final(host);

        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].counter && g->lines[i].fd >= 0)
                        (void)input_drain(&g->lines[i]);
        gpio_remember(g);
        for (size_t i = 0; i < g->n_lines; i++) {
                Line *l = &g->lines[i];

                /* One that cannot be set stays kept, for exit_state(). */
                if (final && l->fd >= 0 && (!l->o.output || output_exit(l) == 0))
                        line_forget(l);
        }
        close_lines(g);
        tbagent_unwatch_fd(host, g->timer_fd);
        gpio_free(g);
}

TBAGENT_PLUGIN(.name = "gpio", .summary = "inputs, counters and outputs on GPIO lines", .options = gpio_options,
               .methods = gpio_methods, .open = gpio_open, .sample = gpio_sample, .rpc = gpio_rpc, .attribute = gpio_attribute,
               .setting = gpio_setting, .scan = gpio_scan, .close = gpio_close, .check = options_check,
               .exit_state = gpio_exit_state, .connection = gpio_connection);
