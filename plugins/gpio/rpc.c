/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Methods of a line, and those that ThingsBoard's stock widgets call: switches getValue/setValue and getState/setState (the bare
 * value, an object would be taken for on), GPIO panels getGpioStatus/setGpioStatus with numbers of the 40-pin header.
 * setGpioStatus is answered with all pins, of which the widget shows those that it knows.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gpio.h"
#include "params.h"

#define OUT "direction=out"

const struct tbagent_method gpio_methods[] = {
        {"set", "true, false, 1, 0, \"on\", \"off\"; of pwm 0 to 100", "Sets the output, answers with its value.",
         TBAGENT_METHOD_CHANNEL, OUT},
        {"get", NULL, "The value of the line.", TBAGENT_METHOD_CHANNEL, NULL},
        {"toggle", NULL, "On becomes off, off on; answers with the new value.", TBAGENT_METHOD_CHANNEL, OUT},
        {"pulse", "how long, \"500ms\" or a number of milliseconds, or nothing for the option pulse",
         "On, then off; answers with the value.", TBAGENT_METHOD_CHANNEL, OUT},
        {"set_total", "a number", "The counter goes on from this total.", TBAGENT_METHOD_CHANNEL, "mode=counter"},
        {"setValue", "as set", "As set, for ThingsBoard's switches.", TBAGENT_METHOD_CHANNEL, OUT},
        {"getValue", NULL, "As get, for ThingsBoard's switches.", TBAGENT_METHOD_CHANNEL, OUT},
        {"setState", "as set", "As set, for ThingsBoard's switches.", TBAGENT_METHOD_CHANNEL, OUT},
        {"getState", NULL, "As get, for ThingsBoard's switches.", TBAGENT_METHOD_CHANNEL, OUT},
        {"checkStatus", NULL, "true: lines can be read; false: none of them can.", 0, NULL},
        {"getGpioStatus", NULL, "The lines on the 40-pin header: {\"11\":true}.", 0, NULL},
        {"setGpioStatus", "{\"pin\":11,\"enabled\":true}", "Sets the output on this pin of the header, answers as getGpioStatus.",
         0, NULL},
        {NULL, NULL, NULL, 0, NULL},
};

typedef struct Request {
        Gpio *gpio;
        uint64_t id;
        const char *params;
} Request;

static int refuse(const Request *q, const char *code, const char *text) {
        return tbagent_reply_error(q->gpio->host, q->id, code, text);
}

static int reply_failure(const Request *q, const Line *l, int error) {
        return refuse(q, error == -ENODEV ? "not_ready" : "failed", l->fd < 0 ? l->why : strerrordesc_np(-error));
}

/* What a counter has counted, the duty of PWM, else on or off. */
static int reply_value(const Request *q, Line *l) {
        char text[40];
        int level;

        if (l->fd < 0)
                return reply_failure(q, l, -ENODEV);
        if (l->counter && !l->counter->known)
                return refuse(q, "not_ready", "the total is not known before the server has told what it has");
        level = l->counter ? 0 : request_get(l->fd);
        if (level < 0)
                return reply_failure(q, l, level);
        if (l->counter)
                snprintf(text, sizeof(text), "%.15g", counter_total(l->counter));
        else if (l->o.mode == MODE_PWM)
                snprintf(text, sizeof(text), "%.6g", l->duty);
        else
                snprintf(text, sizeof(text), "%s", level ? "true" : "false");
        return tbagent_reply(q->gpio->host, q->id, text);
}

static int done(const Request *q, Line *l, int r) {
        return r < 0 ? reply_failure(q, l, r) : reply_value(q, l);
}

/* ---- of a line */

static int set(const Request *q, Line *l) {
        double duty;

        if (params_duty(q->params, l->o.mode == MODE_PWM, &duty) < 0)
                return refuse(q, "bad_params", l->o.mode == MODE_PWM ? "wants a number from 0 to 100" : "wants true or false");
        return done(q, l, output_set(l, duty));
}

static int get(const Request *q, Line *l) {
        return reply_value(q, l);
}

static int toggle(const Request *q, Line *l) {
        return done(q, l, output_set(l, l->duty > 0 ? 0 : 100));
}

static int pulse(const Request *q, Line *l) {
        int64_t length = l->o.pulse_ns;

        if (params_time(q->params, &length) < 0)
                return refuse(q, "bad_params", "wants how long, like \"500ms\" or \"2s\", 1 ms to 24 h, or nothing");
        return done(q, l, output_pulse(l, length));
}

static int set_total(const Request *q, Line *l) {
        double total;

        if (params_number(q->params, &total) < 0 || !l->counter)
                return refuse(q, "bad_params", "wants a number");
        if (total_set(l, total) < 0)
                return refuse(q, "bad_params", "wants a number from 0 on, and not as large as that");
        return done(q, l, 0);
}

/* ---- of the instance */

static int reply_pins(const Request *q) {
        char text[LINES_MAX * 16 + 3];
        size_t used = 1;

        text[0] = '{';
        for (size_t i = 0; i < q->gpio->n_lines; i++) {
                const Line *l = &q->gpio->lines[i];
                int level = l->fd >= 0 && l->place.pin > 0 ? request_get(l->fd) : -1;

                if (level >= 0)
                        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\"%u\":%s", used > 1 ? "," : "",
                                                 l->place.pin, (l->o.mode == MODE_PWM ? l->duty > 0 : level) ? "true" : "false");
        }
        text[used++] = '}';
        text[used] = '\0';
        return tbagent_reply(q->gpio->host, q->id, text);
}

/* A line whose chip has gone a moment ago looks as if it were there until it is asked. */
static bool can_read(const Gpio *g) {
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].fd >= 0 && request_get(g->lines[i].fd) >= 0)
                        return true;
        return false;
}

static int set_pin(const Request *q) {
        Line *found = NULL;
        unsigned pin;
        char text[120];
        bool on;
        int r;

        if (params_pin(q->params, &pin, &on) < 0)
                return refuse(q, "bad_params", "wants {\"pin\":11,\"enabled\":true}");
        for (size_t i = 0; i < q->gpio->n_lines; i++)
                if (q->gpio->lines[i].place.pin == pin)
                        found = &q->gpio->lines[i];
        if (!found || !found->o.output) {
                snprintf(text, sizeof(text), "pin %u of the header is no %s of %s", pin, found ? "output" : "line",
                         tbagent_instance(q->gpio->host));
                return refuse(q, "bad_params", text);
        }
        r = output_set(found, on ? 100 : 0);
        return r < 0 ? reply_failure(q, found, r) : reply_pins(q);
}

/* ---- */

int gpio_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method, const char *params) {
        static const struct {
                const char *name;
                int (*fn)(const Request *q, Line *l);
        } of_lines[] = {{"set", set},      {"get", get},      {"toggle", toggle}, {"pulse", pulse}, {"set_total", set_total},
                        {"setValue", set}, {"getValue", get}, {"setState", set},  {"getState", get}};
        Request q = {state, id, params ? params : "null"};
        Line *l = channel ? gpio_find(q.gpio, channel) : NULL;

        for (size_t i = 0; l && i < sizeof(of_lines) / sizeof(of_lines[0]); i++)
                if (strcmp(of_lines[i].name, method) == 0)
                        return of_lines[i].fn == get || of_lines[i].fn == set_total || l->o.output
                                       ? of_lines[i].fn(&q, l)
                                       : refuse(&q, "bad_params", "is an input");
        if (!channel && strcmp(method, "setGpioStatus") == 0)
                return set_pin(&q);
        if (!channel && strcmp(method, "getGpioStatus") == 0)
                return reply_pins(&q);
        if (!channel && strcmp(method, "checkStatus") == 0)
                return tbagent_reply(host, id, can_read(q.gpio) ? "true" : "false");
        return refuse(&q, "unknown_method", "there is no such method, or no such line");
}
