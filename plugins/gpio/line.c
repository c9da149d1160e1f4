/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line's request outlives this process in the daemon's care: whoever comes next takes it, and nothing happens to the line. It
 * is kept by chip and offset and not by its channel, so that a channel may be renamed, and one that gets another line does not
 * get the old one.
 *
 * What a line is configured as may have changed meanwhile. Then it is changed without giving the line free; an output keeps the
 * voltage that it has, also where active_low was turned.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gpio.h"

RequestConfig line_config(const Line *l) {
        return (RequestConfig){
                .output = l->o.output,
                .active_low = l->o.active_low,
                .bias = l->o.bias,
                .drive = l->o.drive,
                .rising = l->o.rising,
                .falling = l->o.falling,
                .debounce_usec = l->o.rising || l->o.falling ? l->o.debounce_usec : 0,
                .value = l->level,
        };
}

static bool is_kept(const Line *l) {
        return l->o.output || l->o.rising || l->o.falling;
}

/* ---- why not */

void line_say_why(Line *l, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        vsnprintf(l->why, WHY_SIZE, format, ap);
        va_end(ap);
}

static int tell_busy(Line *l) {
        LineInfo info = {.consumer = ""};
        Chip *chip;

        if (chip_open(&chip, l->place.path) == 0) {
                (void)chip_line(chip, l->place.offset, &info);
                chip_close(chip);
        }
        line_say_why(l, "line %u of %s [%s] is in use by %s%s%s", l->place.offset, l->place.chip, l->place.label,
                 info.consumer[0] ? "\"" : "the kernel or another program", info.consumer, info.consumer[0] ? "\"" : "");
        return -EBUSY;
}

static int tell(Line *l, int error) {
        if (error == -EBUSY)
                return tell_busy(l);
        if (error == -EINVAL || error == -ENOTSUP || error == -EOPNOTSUPP)
                line_say_why(l, "line %u of %s [%s] cannot be configured so: does the chip have the bias, drive or edges that "
                         "are asked for?", l->place.offset, l->place.chip, l->place.label);
        else if (error == -ENOTTY)
                line_say_why(l, "the kernel is too old: GPIO needs Linux 5.10 or later");
        else
                line_say_why(l, "line %u of %s [%s]: %s", l->place.offset, l->place.chip, l->place.label,
                             strerrordesc_np(-error));
        return error;
}

/* ---- a new request */

static bool initial_level(const Line *l) {
        switch (l->o.initial) {
        case PRESET_OFF:
                return false;
        case PRESET_ON:
                return true;
        case PRESET_LAST:
                return output_last(l) > 0;
        case PRESET_AS_IS:
                break;
        }
        return false;
}

/* The level that is there becomes the one that is driven: asked for without a direction first. */
static int request_as_is(Line *l, const char *consumer, RequestConfig *config) {
        RequestConfig look = {.as_is = true, .active_low = config->active_low};
        int fd = request_new(l->place.path, l->place.offset, consumer, &look), r;

        if (fd < 0)
                return fd;
        r = request_get(fd);
        if (r >= 0) {
                config->value = r;
                r = request_change(fd, config);
        }
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

static void keep(Line *l) {
        int r = tbagent_fd_keep(l->gpio->host, l->kept, l->fd);

        if (r >= 0 || l->keep_told)
                return;
        l->keep_told = true;
        gpio_say(l->gpio, TBAGENT_WARNING, "%s: its line cannot be kept (%s): a crash lets go of it, and %s", l->key,
                 strerrordesc_np(-r), l->o.output ? "it may not get its on_exit value" : "its edges are lost meanwhile");
}

static int request(Line *l) {
        RequestConfig config;
        char consumer[CHIP_NAME_SIZE];

        if (l->o.output)
                l->level = initial_level(l);
        config = line_config(l);
        snprintf(consumer, sizeof(consumer), "tbagent:%s", l->channel);
        l->taken = false;
        if (l->o.output && l->o.initial == PRESET_AS_IS)
                l->fd = request_as_is(l, consumer, &config);
        else
                l->fd = request_new(l->place.path, l->place.offset, consumer, &config);
        if (l->fd < 0) {
                int r = tell(l, l->fd);

                l->fd = -1;
                return r;
        }
        l->level = config.value;
        if (is_kept(l))
                keep(l);
        return 0;
}

/* ---- one that was kept */

static int adjust(Line *l, int fd, bool value) {
        RequestConfig config = line_config(l), now;
        int r = request_look(l->place.path, l->place.offset, &now);

        if (r < 0)
                return r;
        l->taken = now.output || !l->o.output;
        if (!l->o.output)
                return request_same(&config, &now) ? 0 : request_change(fd, &config);
        if (now.output || l->o.initial == PRESET_AS_IS)
                l->level = value != (now.active_low != config.active_low);
        else
                l->level = initial_level(l);
        config.value = l->level;
        return request_same(&config, &now) ? 0 : request_change(fd, &config);
}

/* 0: it is ours; 1: there is none that is good for anything; negative: it cannot be looked at just now (a bus behind the chip),
 * stays kept and as it is, and is taken later. */
static int take(Line *l) {
        struct tbagent_host *host = l->gpio->host;
        int fd = tbagent_fd_take(host, l->kept), r;

        if (fd < 0)
                return 1;
        r = request_get(fd);
        if (r < 0 && r != -ENODEV) {
                close(fd);
                return tell(l, r);
        }
        if (r >= 0)
                r = adjust(l, fd, r);
        l->fd = fd;
        if (r == 0)
                return 0;
        if (l->o.output)
                (void)output_exit(l); /* where it cannot be had as it is to be now, nobody drives it from here on */
        close(fd);
        l->fd = -1;
        tbagent_fd_forget(host, l->kept);
        return 1;
}

int line_find(Line *l) {
        int r = place_find(&l->wanted, &l->place, l->why);

        if (r == 0)
                snprintf(l->kept, sizeof(l->kept), "%s-%u", l->place.chip, l->place.offset);
        return r;
}

int line_take(Line *l) {
        int r = line_find(l);

        if (r < 0)
                return r;
        if (is_kept(l))
                return take(l);
        tbagent_fd_forget(l->gpio->host, l->kept); /* of the same line with other options: it would be busy */
        return 1;
}

int line_open(Line *l) {
        int r = line_take(l);

        return r > 0 ? request(l) : r;
}

/* ---- */

void line_close(Line *l) {
        if (l->fd < 0)
                return;
        if (l->o.rising || l->o.falling)
                tbagent_unwatch_fd(l->gpio->host, l->fd);
        close(l->fd);
        l->fd = -1;
}

void line_forget(Line *l) {
        if (l->kept[0] && is_kept(l))
                tbagent_fd_forget(l->gpio->host, l->kept);
}

void line_lost(Line *l, int error) {
        if (l->fd < 0)
                return;
        if (error == -ENODEV)
                line_say_why(l, "its chip %s [%s] is gone; it is used again when it is back", l->place.chip, l->place.label);
        else
                (void)tell(l, error);
        gpio_say(l->gpio, TBAGENT_WARNING, "%s: %s", l->key, l->why);
        tbagent_emit_bad(l->gpio->host, l->key, l->why);
        line_close(l);
        if (error == -ENODEV)
                line_forget(l);
        l->pwm_next_ns = NEVER;
        l->gpio->retry_wait_ns = 0;
        l->gpio->retry_ns = 0;
        gpio_arm(l->gpio);
}

int line_reconfigure(Line *l) {
        RequestConfig config = line_config(l);

        return l->fd < 0 || l->o.output ? 0 : request_change(l->fd, &config);
}
