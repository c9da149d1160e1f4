/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a counter's total goes on from (counter.c has the arithmetic):
 *
 *      same boot              what was remembered, and the edges by their numbers since
 *      another boot           the larger of what was remembered and what the server has: the last minutes before a power cut may
 * be on the card or not; the one with the later epoch, where somebody has set the total neither knows it       initial_total
 *
 * The server has it as the client attribute of the counter's key, sent with each sample, so before any value that was told
 * upstream; beside it KEY_set, the epoch, once that is not 0. Until the server has answered no total is told.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "gpio.h"
#include "params.h"

#define ASK_WITHIN_USEC UINT64_C(15000000)
#define ASK_AGAIN_NS    INT64_C(30000000000)
#define NAMES_SIZE      16384

static uint32_t request_id(const Line *l) {
        return (uint32_t)memory_id(l->kept);
}

int total_begin(Line *l) {
        Gpio *g = l->gpio;
        const Remembered *m = memory_find(g->memory, g->n_memory, memory_id(l->channel));
        Counter *c = l->counter ? l->counter : calloc(1, sizeof(*c));
        bool other = !l->counter && m && m->request != request_id(l); /* the line in the file is another one */

        if (!c)
                return -ENOMEM;
        if (!l->counter) {
                c->per_unit = l->o.per_unit;
                if (m && m->counted) {
                        c->per_unit = m->per_unit;
                        c->pulses = m->pulses + (m->known ? m->added : 0);
                        c->added = m->known ? 0 : m->added;
                        c->epoch = m->epoch;
                        c->known = m->known && g->same_boot;
                        c->has_seqno = m->has_seqno;
                        c->seqno = m->seqno;
                        counter_rescale(c, l->o.per_unit);
                }
                l->has_base = m && m->counted && (m->known || m->has_base);
                l->counter = c;
        }
        if (!l->taken)
                counter_new_request(c);
        else if (!g->same_boot || other)
                counter_lost_request(c);
        return 0;
}

void total_edge(Line *l, const Edge *e, int64_t time_ns) {
        uint32_t missed = counter_edge(l->counter, e->seqno, time_ns);

        if (missed > 0)
                gpio_say(l->gpio, TBAGENT_INFO, "%s: %u edges were not seen one by one; they are counted", l->key, missed);
        gpio_remember_soon(l->gpio);
}

/* ---- upstream */

static void emit(Line *l, double total) {
        if (l->counter->per_unit == 1 && total < 0x1p53)
                tbagent_emit_int(l->gpio->host, l->key, (int64_t)total);
        else
                tbagent_emit_double(l->gpio->host, l->key, total);
}

static void set_name(const Line *l, char out[static 256]) {
        snprintf(out, 256, "%.250s_set", l->key);
}

static json_object *number_object(double number) {
        char text[40];

        if (number == floor(number) && number < 0x1p53)
                return json_object_new_int64((int64_t)number);
        snprintf(text, sizeof(text), "%.15g", number);
        return json_object_new_double_s(number, text);
}

static void publish(Line *l) {
        const Counter *c = l->counter;
        double total = counter_total(c);
        json_object *o;
        char name[256];

        if (l->published && l->published_total == total && l->published_epoch == c->epoch)
                return;
        o = json_object_new_object();
        if (!o)
                return;
        json_object_object_add(o, l->key, number_object(total));
        set_name(l, name);
        if (c->epoch > 0)
                json_object_object_add(o, name, json_object_new_int64(c->epoch));
        l->published = tbagent_publish_attributes(l->gpio->host, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN)) == 0;
        l->published_total = total;
        l->published_epoch = c->epoch;
        json_object_put(o);
}

void total_sample(Line *l, int64_t now_ns) {
        Counter *c = l->counter;
        double rate;

        if (c->known) {
                publish(l);
                emit(l, counter_total(c));
        } else
                counter_wait(c, now_ns);
        if (!l->o.rate_key)
                return;
        rate = counter_rate(c, now_ns, l->o.rate_timeout_ns);
        if (rate >= 0)
                tbagent_emit_double(l->gpio->host, l->o.rate_key, rate / c->per_unit * (double)l->o.rate_per_ns / 1e9);
}

int total_set(Line *l, double total) {
        struct tbagent_host *host = l->gpio->host;

        if (!(total >= 0 && total * l->counter->per_unit < 0x1p63))
                return -ERANGE;
        counter_set(l->counter, total);
        publish(l);
        gpio_remember(l->gpio);
        tbagent_row_time(host, tbagent_now(host));
        emit(l, counter_total(l->counter));
        tbagent_row_end(host, TBAGENT_IMMEDIATE);
        return 0;
}

/* ---- the server's answer */

static void settle(Line *l, const char *json) {
        struct tbagent_host *host = l->gpio->host;
        Counter *c = l->counter;
        double total = 0, epoch = 0;
        char name[256];
        bool has;

        has = params_attribute(json, l->key, &total) == 0;
        set_name(l, name);
        if (params_attribute(json, name, &epoch) < 0 || epoch < 0 || epoch > UINT32_MAX)
                epoch = 0;
        counter_settle(c, l->has_base, has, total, (uint32_t)epoch, l->o.initial_total);
        gpio_say(l->gpio, TBAGENT_INFO, "%s goes on from %.15g%s", l->key, counter_total(c),
                 has ? "" : ": the server has no total of it");
        publish(l);
        for (size_t i = 0; i < c->n_waiting; i++) {
                tbagent_row_time(host, c->waiting[i].time_ns);
                emit(l, counter_waited(c, i));
        }
        tbagent_row_end(host, 0);
        c->n_waiting = 0;
        c->stride = c->skipped = 0;
}

static void on_answer(struct tbagent_host *host, void *state, int error, const char *json, void *userdata) {
        Gpio *g = state;

        (void)userdata;
        g->asking = false;
        if (error < 0) {
                g->ask_ns = tbagent_is_online(host) ? tbagent_now(host) + ASK_AGAIN_NS : NEVER; /* else when it is */
                gpio_arm(g);
                return;
        }
        for (size_t i = 0; i < g->n_lines; i++)
                if (g->lines[i].asked && !g->lines[i].counter->known)
                        settle(&g->lines[i], json);
        gpio_remember(g);
        total_ask(g);
}

void total_ask(Gpio *g) {
        char names[NAMES_SIZE];
        size_t used = 0;

        g->ask_ns = NEVER;
        if (g->asking || !tbagent_is_online(g->host))
                return;
        for (size_t i = 0; i < g->n_lines; i++) {
                Line *l = &g->lines[i];
                char name[256];
                int n;

                l->asked = false;
                if (!l->counter || l->counter->known)
                        continue;
                set_name(l, name);
                n = snprintf(names + used, sizeof(names) - used, "%s%s,%s", used > 0 ? "," : "", l->key, name);
                if (n < 0 || (size_t)n >= sizeof(names) - used)
                        break; /* the rest is asked for when these are known */
                used += (size_t)n;
                l->asked = true;
        }
        names[used] = '\0';
        if (used == 0)
                return;
        if (tbagent_request_attributes(g->host, names, NULL, ASK_WITHIN_USEC, on_answer, NULL) == 0)
                g->asking = true;
        else
                g->ask_ns = tbagent_now(g->host) + ASK_AGAIN_NS;
}

void total_remember(const Line *l, Remembered *m) {
        const Counter *c = l->counter;

        m->counted = true;
        m->known = c->known;
        m->has_base = l->has_base;
        m->has_seqno = c->has_seqno;
        m->pulses = c->pulses;
        m->added = c->added;
        m->per_unit = c->per_unit;
        m->epoch = c->epoch;
        m->seqno = c->seqno;
        m->request = request_id(l);
}
