/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin i2c with any configuration that its option tables allow, and chips that send anything: registers, commands,
 * built-in drivers, pins. The input is drawn from as it is needed: first what the configuration says, then what the bus
 * answers; behind its end everything is unset and zero. bus.c is replaced, all else is the plugin as it is.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/i2c/bus.h"
#include <tbagent/plugin.h>

#define MEMBERS_MAX 8
#define NODES_MAX   512
#define VALUES_MAX  24
#define TEXTS_MAX   33
#define TEXT_SIZE   200
#define ROUNDS      3

typedef struct Value {
        bool set;
        int64_t i;
        double d;
        char *texts[TEXTS_MAX];
        struct tbagent_node *members[MEMBERS_MAX];
} Value;

struct tbagent_node {
        const struct tbagent_option *table;
        char name[8];
        Value values[VALUES_MAX];
};

extern const struct tbagent_plugin tbagent_plugin;

static const uint8_t *input;
static size_t left;
static struct tbagent_node *nodes[NODES_MAX];
static size_t n_nodes;

static uint8_t take(void) {
        if (left == 0)
                return 0;
        left--;
        return *input++;
}

static uint32_t take32(void) {
        uint32_t v = take();

        for (int i = 0; i < 3; i++)
                v = v << 8 | take();
        return v;
}

/* ---- a configuration */

/* One of "a|b|c". */
static char *choice_draw(const char *choices) {
        size_t n = 1, wanted;

        for (const char *c = choices; *c; c++)
                n += *c == '|';
        for (wanted = take() % n; wanted > 0; wanted--)
                choices = strchr(choices, '|') + 1;
        return strndup(choices, strcspn(choices, "|"));
}

/* Bytes as they are written in a file, or any text. */
static char *text_draw(void) {
        uint8_t style = take();
        size_t size = style % 40, n = 0;
        char text[TEXT_SIZE];

        text[0] = '\0';
        for (size_t i = 0; i < size; i++) {
                uint8_t b = take();

                if (style & 0x80)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s0x%02x", i > 0 ? " " : "", b);
                else
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "%c", b ? b : ' ');
        }
        return strdup(text);
}

static void texts_draw(const struct tbagent_option *o, Value *v) {
        size_t n = o->type == TBAGENT_STRINGS ? (size_t)o->min + take() % ((size_t)(o->max - o->min) + 1) : 1;

        for (size_t i = 0; i < n && i < TEXTS_MAX - 1; i++) {
                v->texts[i] = o->choices ? choice_draw(o->choices) : text_draw();
                assert(v->texts[i]);
        }
}

static double number_draw(const struct tbagent_option *o) {
        uint32_t bits = take32();
        float f;

        if (o->type != TBAGENT_FLOAT)
                return o->min + bits % (uint64_t)(o->max - o->min + 1);
        memcpy(&f, &bits, sizeof(f));
        if (!isfinite(f))
                f = 0;
        return o->max > o->min ? fmin(fmax((double)f, o->min), o->max) : (double)f;
}

static struct tbagent_node *node_new(const struct tbagent_option *table, size_t index);

static void value_draw(const struct tbagent_option *o, Value *v) {
        size_t n;

        switch (o->type) {
        case TBAGENT_BOOL:
                v->i = take() & 1;
                break;
        case TBAGENT_INT:
                v->i = (int64_t)number_draw(o);
                break;
        case TBAGENT_DURATION:
                v->i = (int64_t)(number_draw(o) * 1e6);
                break;
        case TBAGENT_FLOAT:
                v->d = number_draw(o);
                break;
        case TBAGENT_STRING:
        case TBAGENT_STRINGS:
                texts_draw(o, v);
                break;
        case TBAGENT_GROUP:
        case TBAGENT_MAP:
                n = o->type == TBAGENT_MAP ? take() % MEMBERS_MAX : 1;
                for (size_t i = 0; i < n; i++)
                        v->members[i] = node_new(o->members, i);
                break;
        default:
                abort();
        }
}

static void value_default(const struct tbagent_option *o, Value *v) {
        if (o->type == TBAGENT_GROUP)
                v->members[0] = node_new(o->members, 0);
        if (!o->fallback)
                return;
        v->i = o->type == TBAGENT_BOOL ? strcmp(o->fallback, "true") == 0 : strtoll(o->fallback, NULL, 0);
        if (o->type == TBAGENT_STRING)
                v->texts[0] = strdup(o->fallback);
}

static struct tbagent_node *node_new(const struct tbagent_option *table, size_t index) {
        struct tbagent_node *n;

        if (n_nodes == NODES_MAX)
                return NULL;
        n = calloc(1, sizeof(*n));
        assert(n);
        nodes[n_nodes++] = n;
        n->table = table;
        snprintf(n->name, sizeof(n->name), "n%zu", index);
        for (size_t i = 0; table[i].name; i++) {
                Value *v = &n->values[i];

                assert(i < VALUES_MAX);
                v->set = strcmp(table[i].name, "root") != 0 && (table[i].flags & TBAGENT_REQUIRED || take() & 1);
                if (v->set)
                        value_draw(&table[i], v);
                else
                        value_default(&table[i], v);
        }
        return n;
}

static void nodes_free(void) {
        while (n_nodes > 0) {
                struct tbagent_node *n = nodes[--n_nodes];

                for (size_t i = 0; i < VALUES_MAX; i++)
                        for (size_t t = 0; t < TEXTS_MAX; t++)
                                free(n->values[i].texts[t]);
                free(n);
        }
}

/* The option has to be in the table, and of that type. */
static const Value *value_of(const struct tbagent_node *n, const char *name, uint32_t types) {
        for (size_t i = 0; n->table[i].name; i++)
                if (strcmp(n->table[i].name, name) == 0) {
                        assert(types & 1u << n->table[i].type);
                        return &n->values[i];
                }
        abort();
}

/* ---- the host */

static const struct tbagent_node *top;
static int64_t clock_ns;

static const struct tbagent_node *host_options(struct tbagent_host *h) {
        (void)h;
        return top;
}

static const struct tbagent_node *host_member(const struct tbagent_node *n, const char *name, size_t index) {
        const Value *v = value_of(n, name, 1u << TBAGENT_GROUP | 1u << TBAGENT_MAP);

        return index < MEMBERS_MAX ? v->members[index] : NULL;
}

static const char *host_name(const struct tbagent_node *n) {
        return n->name;
}

static int host_is_set(const struct tbagent_node *n, const char *name) {
        return value_of(n, name, UINT32_MAX)->set;
}

static int64_t host_int(const struct tbagent_node *n, const char *name) {
        if (strcmp(name, "timeout") == 0) /* every instance has that */
                return 30 * 1000000;
        return value_of(n, name, 1u << TBAGENT_INT | 1u << TBAGENT_BOOL | 1u << TBAGENT_DURATION)->i;
}

static double host_float(const struct tbagent_node *n, const char *name) {
        return value_of(n, name, 1u << TBAGENT_FLOAT)->d;
}

static const char *host_string(const struct tbagent_node *n, const char *name, size_t index) {
        const Value *v = value_of(n, name, 1u << TBAGENT_STRING | 1u << TBAGENT_STRINGS);

        return index < TEXTS_MAX ? v->texts[index] : NULL;
}

static int emit_bool(struct tbagent_host *h, const char *key, int value) {
        (void)h;
        assert(strlen(key) < 400 && (value == 0 || value == 1));
        return 0;
}

static int emit_int(struct tbagent_host *h, const char *key, int64_t value) {
        (void)h;
        assert(strlen(key) < 400 && value >= INT32_MIN && value <= UINT32_MAX);
        return 0;
}

static int emit_double(struct tbagent_host *h, const char *key, double value) {
        (void)h;
        (void)value;
        assert(strlen(key) < 400);
        return 0;
}

static int emit_bad(struct tbagent_host *h, const char *key, const char *reason) {
        (void)h;
        assert(strlen(key) < 400 && strlen(reason) > 0);
        return 0;
}

static void row_end(struct tbagent_host *h, uint32_t flags) {
        (void)h;
        assert(flags == TBAGENT_IMMEDIATE);
}

static void log_line(struct tbagent_host *h, int level, const char *text) {
        (void)h;
        assert(level >= TBAGENT_ERROR && level <= TBAGENT_DEBUG && strlen(text) < 1000);
}

static int64_t now(struct tbagent_host *h) {
        (void)h;
        return clock_ns += (int64_t)take() * 100000000;
}

static int timeout(struct tbagent_host *h, uint64_t usec) {
        (void)h;
        assert(usec < 1000000000);
        return 0;
}

static int reply(struct tbagent_host *h, uint64_t id, const char *json) {
        (void)h;
        assert(id == 1 && strlen(json) > 0);
        return 0;
}

static int reply_error(struct tbagent_host *h, uint64_t id, const char *code, const char *message) {
        (void)h;
        assert(id == 1 && strlen(code) > 0 && strlen(message) > 0);
        return 0;
}

static int is_once(struct tbagent_host *h) {
        (void)h;
        return 0;
}

static int state_put(struct tbagent_host *h, const void *data, size_t size) {
        (void)h;
        assert(data && size <= 4096);
        return 0;
}

static int state_get(struct tbagent_host *h, void *data, size_t size) {
        size_t n = take() * 4u;

        (void)h;
        for (size_t i = 0; i < n && i < size; i++)
                ((uint8_t *)data)[i] = take();
        return (int)(n < size ? n : size);
}

static const struct tbagent_services services = {
        .emit_bool = emit_bool, .emit_int = emit_int, .emit_double = emit_double, .emit_bad = emit_bad, .row_end = row_end,
        .log = log_line, .now = now, .options = host_options, .member = host_member, .node_name = host_name,
        .is_set = host_is_set, .get_int = host_int, .get_float = host_float, .get_string = host_string, .timeout = timeout,
        .reply = reply, .reply_error = reply_error, .channel = host_name, .state_put = state_put, .state_get = state_get,
        .is_once = is_once,
};

/* ---- the bus */

struct Bus {
        unsigned retries;
        Counters counters;
};

static Bus the_bus;

const char *const fault_names[FAULT_COUNT] = {"nack", "timeout", "stuck", "short", "checksum", "other"};

int bus_open(Bus **ret, const char *path) {
        assert(strlen(path) > 0);
        the_bus = (Bus){0};
        *ret = &the_bus;
        return 0;
}

Bus *bus_free(Bus *b) {
        (void)b;
        return NULL;
}

void bus_set_retries(Bus *b, unsigned retries) {
        assert(retries <= BUS_RETRIES_MAX);
        b->retries = retries;
}

unsigned bus_retries(const Bus *b) {
        return b->retries;
}

int bus_transfer(Bus *b, const Route *route, const void *out, size_t n_out, void *in, size_t n_in) {
        static const int errors[] = {-ENXIO, -ETIMEDOUT, -EBUSY, -ENODATA, -EIO, -ENODEV, -EOPNOTSUPP};
        uint8_t what = take(), sum = 0, *bytes = in;

        assert(route->address >= 0x08 && route->address <= 0x77 && route->channel <= 7);
        for (size_t i = 0; i < n_out; i++) /* all of it can be read */
                sum ^= ((const uint8_t *)out)[i];
        b->counters.transactions += 1 + (sum & 1);
        if (what >= 248)
                return errors[what % (sizeof(errors) / sizeof(errors[0]))];
        for (size_t i = 0; i < n_in; i++)
                bytes[i] = take();
        return 0;
}

void bus_count(Bus *b, Fault fault) {
        b->counters.faults[fault]++;
}

const Counters *bus_counters(const Bus *b) {
        return &b->counters;
}

int bus_claim(Bus *b, uint8_t address) {
        (void)b;
        assert(address >= 0x08 && address <= 0x77);
        return 0;
}

int bus_probe(Bus *b, uint8_t address, bool read) {
        (void)b;
        (void)address;
        (void)read;
        return -ENXIO;
}

bool bus_can_quick(const Bus *b) {
        (void)b;
        return true;
}

bool bus_is_low(Bus *b) {
        (void)b;
        return false;
}

uint64_t bus_usec(const Bus *b, bool mux) {
        (void)b;
        return 1000u + mux;
}

int bus_hold(Bus *b) {
        (void)b;
        return 0;
}

void bus_release(Bus *b) {
        (void)b;
}

void bus_suspect(Bus *b, uint8_t mux) {
        (void)b;
        (void)mux;
}

void bus_wait(uint32_t usec) {
        assert(usec <= 10000000);
}

/* ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const methods[] = {"set", "get", "toggle"}, *const params[] = {"true", "false", " 1 ", "{}", ""};
        struct tbagent_host host = {&services};
        char channel[8];
        void *state;
        int r;

        input = data;
        left = size;
        clock_ns = 0;
        top = node_new(tbagent_plugin.options, 0);
        r = tbagent_plugin.open(&host, &state);
        if (r == 0) {
                for (int i = 0; i < ROUNDS; i++) {
                        (void)tbagent_plugin.sample(&host, state);
                        snprintf(channel, sizeof(channel), "n%d", take() % MEMBERS_MAX);
                        (void)tbagent_plugin.rpc(&host, state, 1, channel, methods[take() % 3], params[take() % 5]);
                        (void)tbagent_plugin.rpc(&host, state, 1, NULL, "counters", "");
                }
                tbagent_plugin.close(&host, state);
        }
        nodes_free();
        return 0;
}
