/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs keep their level over a restart of this process: the latch is read back first, and a pin that the expander
 * already drives goes on as it is. A pin that it does not drive yet (it was powered on a moment ago) has no level to
 * go on with, and begins as off; `initial` says otherwise. The latch of an expander without registers cannot be read, and
 * an output that is on may have a load that holds it low: what was set last is kept for it (Kept).
 *
 * An expander that lost its supply for a moment comes back with all pins as inputs. Where its registers can be read,
 * each sample and each method sees that, and gives it back what was set; for one without registers the level that
 * differs from what was set tells it.
 *
 * Inputs are looked at when a sample is due. A set output is sent at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pins.h"

#define TOGGLE 2

typedef struct Pin {
        const char *key, *channel; /* borrowed from the options; rpc() names it by its channel */
        uint16_t bit;
        bool output, active_low;
        bool begins, begins_on; /* `initial` is not "as-is" */
        char invalid[WHY_SIZE];
} Pin;

/* Of an expander without registers, as it is kept over a restart. */
typedef struct Kept {
        int32_t bus;
        Route route;
        uint8_t zero;
        uint16_t outputs, latch;
} Kept;

struct Expander {
        I2c *i2c;
        Device device;
        const Port *port;
        const char *name;
        PortState state;
        bool known; /* state.latch is what we have set */
        Kept kept;  /* no outputs: nothing is */
        Pin *pins[PINS_MAX];
        size_t n_pins;
};

/* ---- the expander */

Device *expander_device(Expander *e) {
        return &e->device;
}

static uint16_t level_of(const Pin *p, bool on) {
        return on != p->active_low ? p->bit : 0;
}

static void latch_set(Expander *e, const Pin *p, bool on) {
        e->state.latch = (uint16_t)((e->state.latch & ~p->bit) | level_of(p, on));
}

static void kept_load(Expander *e) {
        Kept all[EXPANDERS_MAX];
        int size;

        if (!e->port->no_registers)
                return;
        size = tbagent_state_get(e->i2c->host, all, sizeof(all));
        for (int n = 0; n < size / (int)sizeof(all[0]); n++)
                if (all[n].bus == e->device.adapter->number &&
                    memcmp(&all[n].route, &e->device.route, sizeof(all[n].route)) == 0)
                        e->kept = all[n];
}

/* After the expander was told. */
static void kept_store(Expander *e) {
        Kept now = {.bus = e->device.adapter->number, .route = e->device.route, .outputs = e->state.outputs};
        Kept all[EXPANDERS_MAX];
        const I2c *i = e->i2c;
        size_t n = 0;

        now.latch = e->state.latch & now.outputs;
        if (!e->port->no_registers || memcmp(&now, &e->kept, sizeof(now)) == 0)
                return;
        e->kept = now;
        for (size_t x = 0; x < i->n_named; x++)
                if (i->expanders[x]->kept.outputs != 0)
                        all[n++] = i->expanders[x]->kept;
        (void)tbagent_state_put(i->host, all, n * sizeof(all[0]));
}

/* One that was set low and is high was without power meanwhile: the latch is 1 for all. */
static uint16_t kept_apply(const Kept *kept, uint16_t levels) {
        if (levels & kept->outputs & ~kept->latch)
                return levels | kept->outputs;
        return (uint16_t)((levels & ~kept->outputs) | kept->latch);
}

/* What each output begins with, from what the expander shows. */
static void latch_begin(Expander *e, uint16_t latch, uint16_t driven) {
        uint16_t set = e->state.latch;

        e->state.latch = latch;
        for (size_t i = 0; i < e->n_pins; i++) {
                const Pin *p = e->pins[i];

                if (!p->output || p->invalid[0])
                        continue;
                if (e->known)
                        e->state.latch = (uint16_t)((e->state.latch & ~p->bit) | (set & p->bit));
                else if (p->begins)
                        latch_set(e, p, p->begins_on);
                else if (!(driven & p->bit))
                        latch_set(e, p, false);
        }
}

static int expander_begin(Expander *e) {
        uint16_t latch, driven;
        int r;

        if (e->device.invalid[0])
                return device_fail(&e->device, -EINVAL, "%s", e->device.invalid);
        if (e->device.ready)
                return 0;
        r = device_init(&e->device);
        if (r == 0)
                r = e->port->look(&e->device, &latch, &driven);
        if (r == 0) {
                latch_begin(e, kept_apply(&e->kept, latch), driven);
                r = e->port->setup(&e->device, &e->state);
        }
        if (r == 0)
                kept_store(e);
        e->device.ready = r == 0;
        e->known |= r == 0;
        return r;
}

static int levels_read(Expander *e, uint16_t *ret) {
        int r;

        for (int i = 0;; i++) {
                r = expander_begin(e);
                if (r == 0)
                        r = e->port->read(&e->device, &e->state, ret);
                if (r == 0)
                        return 0;
                e->device.ready = false;
                if (r != -ESTALE || i > 0)
                        return r;
        }
}

static void expander_sample(I2c *i, Expander *e, Tally *tally) {
        uint16_t levels = 0;
        int r;

        r = levels_read(e, &levels);
        for (size_t n = 0; n < e->n_pins; n++) {
                const Pin *p = e->pins[n];
                const char *why = p->invalid[0] ? p->invalid : r < 0 ? e->device.why : NULL;

                if (!why) {
                        tally->good++;
                        tbagent_emit_bool(i->host, p->key, !(levels & p->bit) == p->active_low);
                        continue;
                }
                tally->bad++;
                tbagent_emit_bad(i->host, p->key, why);
                if (tally->error == 0) {
                        tally->error = r < 0 ? r : -EINVAL;
                        tally->why = why;
                }
        }
}

void pins_sample(I2c *i, Tally *tally) {
        for (size_t n = 0; n < i->n_expanders; n++)
                if (i->expanders[n]->n_pins > 0)
                        expander_sample(i, i->expanders[n], tally);
}

/* ---- methods */

static Pin *pin_find(I2c *i, const char *channel, Expander **ret) {
        for (size_t n = 0; n < i->n_expanders; n++)
                for (size_t p = 0; p < i->expanders[n]->n_pins; p++)
                        if (strcmp(i->expanders[n]->pins[p]->channel, channel) == 0) {
                                *ret = i->expanders[n];
                                return i->expanders[n]->pins[p];
                        }
        return NULL;
}

/* 1, 0, or -EINVAL */
static int bool_parse(const char *json) {
        static const char *const words[] = {"false", "true", "0", "1"};
        size_t n;

        json += strspn(json, " \t\r\n");
        n = strcspn(json, " \t\r\n");
        if (json[n + strspn(json + n, " \t\r\n")])
                return -EINVAL;
        for (int i = 0; i < 4; i++)
                if (strlen(words[i]) == n && strncmp(json, words[i], n) == 0)
                        return i & 1;
        return -EINVAL;
}

static int refuse(I2c *i, uint64_t id, const char *code, const char *key, const char *what) {
        char text[WHY_SIZE + 80];

        snprintf(text, sizeof(text), "%s %s", key, what);
        return tbagent_reply_error(i->host, id, code, text);
}

/* on: 1, 0, or TOGGLE */
static int output_set(I2c *i, Expander *e, const Pin *p, uint64_t id, int on) {
        uint16_t before, levels;
        int r;

        /* What it holds has to be known, or the other outputs would be changed, too. And one that was without power a moment
         * ago acknowledges, but drives nothing. */
        r = levels_read(e, &levels);
        if (r == 0) {
                before = e->state.latch;
                if (on == TOGGLE)
                        on = (before & p->bit) != level_of(p, true);
                latch_set(e, p, on);
                r = e->port->write(&e->device, &e->state);
                if (r < 0)
                        e->state.latch = before;
        }
        if (r < 0) {
                e->device.ready = false;
                return refuse(i, id, "failed", p->key, e->device.why);
        }
        kept_store(e);
        tbagent_emit_bool(i->host, p->key, on);
        tbagent_row_end(i->host, TBAGENT_IMMEDIATE);
        return tbagent_reply(i->host, id, on ? "true" : "false");
}

static int pin_get(I2c *i, Expander *e, const Pin *p, uint64_t id) {
        uint16_t levels;

        if (levels_read(e, &levels) < 0)
                return refuse(i, id, "failed", p->key, e->device.why);
        return tbagent_reply(i->host, id, !(levels & p->bit) == p->active_low ? "true" : "false");
}

int pins_rpc(I2c *i, uint64_t id, const char *channel, const char *method, const char *params) {
        Expander *e = NULL;
        Pin *p = pin_find(i, channel, &e);
        int on = TOGGLE;

        if (!p)
                return refuse(i, id, "unknown_channel", channel, "is none of `pins`");
        if (p->invalid[0])
                return refuse(i, id, "failed", channel, p->invalid);
        if (strcmp(method, "get") == 0)
                return pin_get(i, e, p, id);
        if (!p->output)
                return refuse(i, id, "bad_params", channel, "is an input: direction = \"out\" makes it an output");
        if (strcmp(method, "toggle") != 0)
                on = bool_parse(params);
        if (on < 0)
                return refuse(i, id, "bad_params", channel, "is set to true or false");
        return output_set(i, e, p, id, on);
}

/* ---- from the options */

static int pin_refuse(I2c *i, Pin *p, const char *what, const char *name) {
        char line[WHY_SIZE + 80];

        snprintf(p->invalid, sizeof(p->invalid), "%s%.60s", what, name);
        snprintf(line, sizeof(line), "%s: %s", p->key, p->invalid);
        tbagent_log(i->host, TBAGENT_ERROR, line);
        return -EINVAL;
}

static const Port *port_find(const char *name) {
        for (size_t i = 0; ports[i]; i++)
                if (strcmp(ports[i]->driver.name, name) == 0)
                        return ports[i];
        return NULL;
}

/* The index-th group of `expanders` has no name that the host would tell, but tbagent_name() does for any group. */
static int expander_add(I2c *i, const struct tbagent_node *node) {
        Expander *e;

        if (i->n_expanders == EXPANDERS_MAX) {
                if (!i->expanders_told)
                        tbagent_log(i->host, TBAGENT_ERROR, "more than 63 expanders: give the others an instance of their own");
                i->expanders_told = true;
                return 0;
        }
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        i->expanders[i->n_expanders++] = e;
        e->i2c = i;
        e->port = port_find(tbagent_string(i->host, node, "chip", 0));
        e->name = tbagent_name(i->host, node);
        e->device = (Device){.host = i->host, .bus = i->bus, .root = i->root, .adapter = &i->adapter, .driver = &e->port->driver};
        e->device.name = e->name;
        route_configure(&e->device, node);
        kept_load(e);
        return 0;
}

static Expander *expander_of(I2c *i, const char *name) {
        for (size_t n = 0; n < i->n_expanders; n++)
                if (i->expanders[n]->port && (name ? strcmp(i->expanders[n]->name, name) == 0 : i->n_named == 1))
                        return i->expanders[n];
        return NULL;
}

static void pin_check(I2c *i, Expander *e, Pin *p, const struct tbagent_node *node) {
        unsigned number = (unsigned)tbagent_int(i->host, node, "pin");
        bool pull_up = tbagent_int(i->host, node, "pull_up");

        if (number >= e->port->n_pins)
                pin_refuse(i, p, "pin is 0 to 7 with a ", e->port->driver.name);
        else if (pull_up && !e->port->has_pull_ups)
                pin_refuse(i, p, "pull_up: there is none to switch on in a ", e->port->driver.name);
        else if (!p->output && p->begins)
                pin_refuse(i, p, "initial is for outputs: direction = \"out\";", "");
        else if ((e->state.inputs | e->state.outputs) & p->bit)
                pin_refuse(i, p, "another one of pins has this pin of ", e->name);
        if (p->invalid[0])
                return;
        if (p->output)
                e->state.outputs |= p->bit;
        else
                e->state.inputs |= p->bit;
        if (pull_up)
                e->state.pull_ups |= p->bit;
}

/* Where the pins are that have no expander: it is never asked, and they are bad. */
static Expander *nowhere(I2c *i) {
        Expander *e = i->n_expanders > 0 ? i->expanders[i->n_expanders - 1] : NULL;

        if (e && !e->port)
                return e;
        e = i->n_expanders < DEVICES_MAX ? calloc(1, sizeof(*e)) : NULL;
        if (!e)
                return NULL;
        i->expanders[i->n_expanders++] = e;
        e->name = "";
        e->device.bus = i->bus;
        snprintf(e->device.invalid, sizeof(e->device.invalid), "it has no expander");
        return e;
}

static int pin_add(I2c *i, const struct tbagent_node *node) {
        const char *name = tbagent_string(i->host, node, "expander", 0), *initial = tbagent_string(i->host, node, "initial", 0);
        Expander *e = expander_of(i, name);
        Pin *p;

        if (!e)
                e = nowhere(i);
        if (!e || e->n_pins == PINS_MAX)
                return -ENOMEM;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        e->pins[e->n_pins++] = p;
        p->key = tbagent_name(i->host, node);
        p->channel = tbagent_channel(i->host, node);
        p->bit = (uint16_t)(1u << tbagent_int(i->host, node, "pin"));
        p->output = strcmp(tbagent_string(i->host, node, "direction", 0), "out") == 0;
        p->active_low = tbagent_int(i->host, node, "active_low");
        p->begins = strcmp(initial, "as-is") != 0;
        p->begins_on = strcmp(initial, "on") == 0;
        if (e->port)
                pin_check(i, e, p, node);
        else
                pin_refuse(i, p, name ? "there is none of expanders called " : "expander is missing: one of them by its name",
                           name ? name : "");
        return 0;
}

/* Nobody who only looks is to move an output: an expander that has one is not asked at all. */
static void outputs_leave_alone(I2c *i) {
        char line[WHY_SIZE];

        for (size_t n = 0; n < i->n_expanders; n++) {
                Expander *e = i->expanders[n];

                if (e->state.outputs == 0)
                        continue;
                snprintf(line, sizeof(line), "%.60s has outputs: --once leaves it alone", e->name);
                tbagent_log(i->host, TBAGENT_WARNING, line);
                while (e->n_pins > 0)
                        free(e->pins[--e->n_pins]);
        }
}

int pins_configure(I2c *i) {
        const struct tbagent_node *options = tbagent_options(i->host), *node;
        int r = 0;

        for (size_t n = 0; r == 0 && (node = tbagent_member(i->host, options, "expanders", n)); n++)
                r = expander_add(i, node);
        i->n_named = i->n_expanders;
        for (size_t n = 0; r == 0 && (node = tbagent_member(i->host, options, "pins", n)); n++)
                r = pin_add(i, node);
        if (r == 0 && tbagent_is_once(i->host))
                outputs_leave_alone(i);
        return r;
}

void pins_unconfigure(I2c *i) {
        while (i->n_expanders > 0) {
                Expander *e = i->expanders[--i->n_expanders];

                while (e->n_pins > 0)
                        free(e->pins[--e->n_pins]);
                free(e);
        }
}
