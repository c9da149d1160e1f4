/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output has a duty: 0 off, 100 on, and between the two where it is PWM. Who may change it, the last one counts:
 *
 *      a method (set, toggle, pulse, a dashboard's setValue ...)
 *      its attribute, when that changes: what it says again after a restart has been done already
 *      the end of a pulse
 *      on_disconnect; when the server is back its attribute counts again
 *
 * What is told upstream is what the chip says of the line, not what was asked for. PWM tells its duty.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gpio.h"
#include "params.h"

static int drive(Line *l, bool level) {
        int r = request_set(l->fd, level);

        if (r < 0) {
                line_lost(l, r);
                return r;
        }
        l->level = level;
        return 0;
}

/* As the duty wants it now. */
static int follow(Line *l, int64_t now_ns) {
        l->pwm_next_ns = NEVER;
        if (l->o.mode != MODE_PWM)
                return drive(l, l->duty > 0);
        l->pwm.duty = l->duty;
        l->pwm.period_ns = l->o.pwm_period_ns;
        return drive(l, pwm_level(&l->pwm, now_ns, &l->pwm_next_ns));
}

static void begin_taken(Line *l, const Remembered *m, int64_t now_ns) {
        bool current = m && l->gpio->same_boot;

        l->duty = l->level ? 100 : 0;
        if (l->o.mode == MODE_PWM && current && m->driven)
                l->duty = m->duty;
        /* One that is not as it was left has got its on_exit value: what its attribute says is to be done once more. */
        l->has_attribute = current && m->has_wanted && (l->o.mode == MODE_PWM || (m->duty > 0) == l->level);
        l->attribute = current ? m->wanted : 0;
        l->disconnected = current && m->disconnected;
        if (current && m->pulse_end_ns > 0 && l->level)
                l->pulse_end_ns = m->pulse_end_ns > now_ns ? m->pulse_end_ns : now_ns;
}

static const Remembered *remembered(const Line *l) {
        return memory_find(l->gpio->memory, l->gpio->n_memory, memory_id(l->channel));
}

/* As it was set last. A pulse ends, whatever comes between: behind it is off. */
double output_last(const Line *l) {
        const Remembered *m;

        if (l->begun)
                return l->pulse_end_ns == NEVER ? l->duty : 0;
        m = remembered(l);
        return m && m->driven && m->pulse_end_ns == 0 ? m->duty : 0;
}

static double first_duty(const Line *l) {
        if (l->begun && (l->taken || l->has_attribute)) /* it was lost and is back */
                return l->taken ? l->duty : l->attribute;
        if (l->o.mode == MODE_PWM && l->o.initial == PRESET_LAST)
                return output_last(l);
        return l->level ? 100 : 0;
}

void output_begin(Line *l) {
        struct tbagent_host *host = l->gpio->host;
        int64_t now = tbagent_now(host);

        l->pwm_next_ns = NEVER;
        l->pwm.start_ns = now;
        if (l->taken && !l->begun)
                begin_taken(l, remembered(l), now);
        else
                l->duty = first_duty(l);
        if (l->o.mode == MODE_PWM || (l->duty > 0) != l->level)
                (void)follow(l, now);
        l->disconnect_ns =
                l->o.on_disconnect == PRESET_AS_IS || tbagent_is_online(host) ? NEVER : now + l->o.on_disconnect_after_ns;
        if (l->o.attribute)
                tbagent_subscribe(host, l->o.attribute);
}

int output_emit(Line *l) {
        int level = request_get(l->fd);

        if (level < 0) {
                line_lost(l, level);
                return level;
        }
        if (l->o.mode == MODE_PWM)
                tbagent_emit_double(l->gpio->host, l->key, l->duty);
        else
                tbagent_emit_bool(l->gpio->host, l->key, level);
        return level;
}

/* What has happened just now, not when the call began. */
static void tell(Line *l) {
        struct tbagent_host *host = l->gpio->host;

        tbagent_row_time(host, tbagent_now(host));
        (void)output_emit(l);
        tbagent_row_end(host, TBAGENT_IMMEDIATE);
}

static int become(Line *l, double duty) {
        int r;

        l->duty = duty;
        r = follow(l, tbagent_now(l->gpio->host));
        if (r == 0)
                tell(l);
        gpio_remember(l->gpio);
        gpio_arm(l->gpio);
        return r;
}

int output_set(Line *l, double duty) {
        if (l->fd < 0)
                return -ENODEV;
        l->pulse_end_ns = NEVER;
        return become(l, duty);
}

int output_pulse(Line *l, int64_t length_ns) {
        if (l->fd < 0)
                return -ENODEV;
        l->pulse_end_ns = tbagent_now(l->gpio->host) + length_ns;
        return become(l, 100);
}

int output_sample(Line *l) {
        int level = output_emit(l);

        if (level < 0)
                return level;
        if (l->contradicted == (level != l->level))
                return 0;
        l->contradicted = !l->contradicted;
        if (l->contradicted && l->o.drive == DRIVE_PUSH_PULL)
                gpio_say(l->gpio, TBAGENT_WARNING, "%s is %s though it is driven %s: is something else connected to it?", l->key,
                         level ? "on" : "off", l->level ? "on" : "off");
        return 0;
}

/* ---- what comes by itself */

void output_attribute(Line *l, const char *json) {
        double duty;

        if (!json) { /* deleted: nobody wants anything of it any more */
                l->has_attribute = false;
                gpio_remember(l->gpio);
                return;
        }
        if (params_duty(json, l->o.mode == MODE_PWM, &duty) < 0) {
                gpio_say(l->gpio, TBAGENT_WARNING, "%s: its attribute %s = %.60s is not %s", l->key, l->o.attribute, json,
                         l->o.mode == MODE_PWM ? "a number from 0 to 100" : "true or false");
                return;
        }
        if (l->has_attribute && l->attribute == duty)
                return;
        l->has_attribute = true;
        l->attribute = duty;
        if (output_set(l, duty) == -ENODEV)
                gpio_say(l->gpio, TBAGENT_INFO, "%s: its attribute waits for the line to be there", l->key);
}

void output_connection(Line *l, bool online) {
        int64_t now = tbagent_now(l->gpio->host);

        if (!online) {
                l->disconnect_ns = l->o.on_disconnect == PRESET_AS_IS ? NEVER : now + l->o.on_disconnect_after_ns;
                return;
        }
        l->disconnect_ns = NEVER;
        if (l->disconnected && l->has_attribute)
                (void)output_set(l, l->attribute);
        l->disconnected = false;
}

static void disconnect(Line *l) {
        double duty = l->o.on_disconnect == PRESET_ON ? 100 : 0;

        l->disconnect_ns = NEVER;
        l->disconnected = true;
        gpio_say(l->gpio, TBAGENT_NOTICE, "%s: the server is away: %s (on_disconnect)", l->key, duty > 0 ? "on" : "off");
        (void)output_set(l, duty);
}

int64_t output_next(const Line *l) {
        int64_t next = l->pwm_next_ns < l->pulse_end_ns ? l->pwm_next_ns : l->pulse_end_ns;

        return l->fd < 0 ? NEVER : next < l->disconnect_ns ? next : l->disconnect_ns;
}

void output_due(Line *l, int64_t now_ns) {
        if (l->fd >= 0 && l->disconnect_ns <= now_ns)
                disconnect(l);
        if (l->fd >= 0 && l->pulse_end_ns <= now_ns)
                (void)output_set(l, 0);
        if (l->fd >= 0 && l->pwm_next_ns <= now_ns)
                (void)follow(l, now_ns);
}

/* Nobody is going to drive it: what was asked of it last is remembered before. */
int output_exit(Line *l) {
        const char *to = l->o.on_exit == PRESET_ON ? "on" : "off";
        int r;

        if (l->o.on_exit == PRESET_AS_IS)
                return 0;
        r = request_set(l->fd, l->o.on_exit == PRESET_ON);
        if (r == 0)
                gpio_say(l->gpio, TBAGENT_INFO, "%s is %s (on_exit)", l->key, to);
        else
                gpio_say(l->gpio, TBAGENT_WARNING, "%s cannot be set to on_exit, %s: %s", l->key, to, strerrordesc_np(-r));
        return r;
}

void output_remember(const Line *l, Remembered *m) {
        m->driven = true;
        m->duty = l->duty;
        m->has_wanted = l->has_attribute;
        m->wanted = l->attribute;
        m->disconnected = l->disconnected;
        m->pulse_end_ns = l->pulse_end_ns == NEVER ? 0 : l->pulse_end_ns;
}
