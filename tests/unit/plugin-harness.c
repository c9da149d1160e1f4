/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <dlfcn.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "plugin-harness.h"

#define EMITS_MAX   200000
#define WATCHES_MAX 16
#define LINES_MAX   4096
#define RPC_ID      4711

struct tbagent_node {
        Harness *harness;
        const struct tbagent_option *table;
        char *path; /* "" or "sensors.boiler." */
        char *name;
        struct tbagent_node *next;
};

typedef struct Timer {
        uint64_t usec;
        tbagent_timer_fn fn;
        void *userdata;
} Timer;

struct Harness {
        struct tbagent_host host; /* first: the services get its address */
        struct tbagent_services services;
        const struct tbagent_plugin *plugin;
        void *state, *library;
        const Option *options;
        struct tbagent_node root, *nodes;

        Emit *emits;
        size_t n_emits, row;
        bool row_open, once;
        int64_t row_time, now;
        char *lines[LINES_MAX], *found[256], *reply;
        int levels[LINES_MAX];
        size_t n_lines, n_found, n_problems;

        int epoll;
        int watched[WATCHES_MAX];
        tbagent_fd_fn watchers[WATCHES_MAX];
        Timer timers[64];
        size_t n_timers;
        uint64_t timeout;
        uint8_t kept[4096];
        size_t kept_size;
};

static Harness *harness(struct tbagent_host *host) {
        return (Harness *)host;
}

static char *copy(const char *text) {
        char *s = strdup(text);

        assert_non_null(s);
        return s;
}

/* ---- values */

static int emit_add(struct tbagent_host *host, const char *key, Emit value) {
        Harness *h = harness(host);

        assert_true(h->n_emits < EMITS_MAX);
        assert_non_null(key);
        if (!h->row_open) {
                h->row++;
                h->row_open = true;
        }
        value.key = copy(key);
        value.row = h->row;
        value.time_ns = h->row_time;
        h->emits[h->n_emits++] = value;
        return 0;
}

static int emit_bool(struct tbagent_host *host, const char *key, int value) {
        return emit_add(host, key, (Emit){.type = EMIT_BOOL, .i = value});
}

static int emit_int(struct tbagent_host *host, const char *key, int64_t value) {
        return emit_add(host, key, (Emit){.type = EMIT_INT, .i = value});
}

static int emit_double(struct tbagent_host *host, const char *key, double value) {
        return emit_add(host, key, (Emit){.type = EMIT_DOUBLE, .d = value});
}

static int emit_string(struct tbagent_host *host, const char *key, const char *value) {
        return emit_add(host, key, (Emit){.type = EMIT_STRING, .text = copy(value)});
}

static int emit_json(struct tbagent_host *host, const char *key, const char *json) {
        return emit_add(host, key, (Emit){.type = EMIT_JSON, .text = copy(json)});
}

static int emit_bad(struct tbagent_host *host, const char *key, const char *reason) {
        return emit_add(host, key, (Emit){.type = EMIT_BAD, .text = copy(reason)});
}

static void row_end(struct tbagent_host *host, uint32_t flags) {
        assert_true(flags == 0 || flags == TBAGENT_IMMEDIATE);
        harness(host)->row_open = false;
        harness(host)->row_time = 0;
}

static void row_time(struct tbagent_host *host, int64_t boottime_ns) {
        row_end(host, 0);
        harness(host)->row_time = boottime_ns;
}

/* ---- the instance */

static void log_line(struct tbagent_host *host, int level, const char *text) {
        Harness *h = harness(host);

        assert_true(level >= TBAGENT_ERROR && level <= TBAGENT_DEBUG);
        assert_true(h->n_lines < LINES_MAX);
        if (getenv("HARNESS_VERBOSE"))
                print_message("# <%d> %s\n", level, text);
        h->levels[h->n_lines] = level;
        h->lines[h->n_lines++] = copy(text);
}

static int problem(struct tbagent_host *host, const struct tbagent_node *n, const char *option, const char *text) {
        char line[512];

        snprintf(line, sizeof(line), "%s%s: %s", n->path, option, text);
        log_line(host, TBAGENT_ERROR, line);
        harness(host)->n_problems++;
        return 0;
}

static const char *instance(struct tbagent_host *host) {
        (void)host;
        return "unit";
}

static int64_t now(struct tbagent_host *host) {
        struct timespec ts;

        if (harness(host)->now)
                return harness(host)->now;
        clock_gettime(CLOCK_BOOTTIME, &ts);
        return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* ---- options */

static const struct tbagent_option *option_find(const struct tbagent_node *n, const char *name) {
        for (const struct tbagent_option *o = n->table; o && o->name; o++)
                if (strcmp(o->name, name) == 0)
                        return o;
        fail_msg("the plugin's table has no option %s%s", n->path, name);
        return NULL;
}

static const char *value_set(const struct tbagent_node *n, const char *name) {
        char path[256];

        snprintf(path, sizeof(path), "%s%s", n->path, name);
        for (const Option *o = n->harness->options; o && o->path; o++)
                if (strcmp(o->path, path) == 0)
                        return o->value;
        return NULL;
}

static const char *value_text(const struct tbagent_node *n, const char *name) {
        const char *value = value_set(n, name);

        return value ? value : option_find(n, name)->fallback;
}

static int is_set(const struct tbagent_node *n, const char *name) {
        option_find(n, name);
        return value_set(n, name) != NULL;
}

static double number_with_unit(const char *text) {
        static const struct {
                const char *unit;
                double factor;
        } units[] = {{"", 1}, {"ms", 1e3}, {"s", 1e6}, {"min", 60e6}, {"h", 3600e6}, {"k", 1024}, {"M", 1048576}};
        double number;
        char *end;

        number = strtod(text, &end);
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
                if (strcmp(end, units[i].unit) == 0)
                        return number * units[i].factor;
        fail_msg("no number: %s", text);
        return 0;
}

static int64_t get_int(const struct tbagent_node *n, const char *name) {
        const struct tbagent_option *o;
        const char *text;

        if (!*n->path && strcmp(name, "timeout") == 0) /* one of the options that every instance has */
                return (int64_t)number_with_unit("30s");
        o = option_find(n, name);
        text = value_text(n, name);
        if (!text)
                return 0;
        if (o->type == TBAGENT_BOOL)
                return strcmp(text, "true") == 0;
        assert_true(o->type == TBAGENT_INT || o->type == TBAGENT_DURATION || o->type == TBAGENT_SIZE);
        return (int64_t)number_with_unit(text);
}

static double get_float(const struct tbagent_node *n, const char *name) {
        const char *text = value_text(n, name);

        assert_int_equal(option_find(n, name)->type, TBAGENT_FLOAT);
        return text ? number_with_unit(text) : 0;
}

static const char *get_string(const struct tbagent_node *n, const char *name, size_t index) {
        const struct tbagent_option *o = option_find(n, name);
        const char *text = value_text(n, name);
        struct tbagent_node *element;

        assert_true(o->type == TBAGENT_STRING || o->type == TBAGENT_STRINGS);
        for (size_t i = 0; text && i < index; i++) {
                text = strchr(text, '\n');
                if (text)
                        text++;
        }
        if (!text || o->type == TBAGENT_STRING)
                return text;
        /* Elements live as long as the options do, so they are kept like nodes. */
        element = calloc(1, sizeof(*element));
        assert_non_null(element);
        element->name = strndup(text, strcspn(text, "\n"));
        element->next = n->harness->nodes;
        n->harness->nodes = element;
        return element->name;
}

static const struct tbagent_node *node_add(const struct tbagent_node *parent, const struct tbagent_option *o, const char *path,
                                           const char *name) {
        struct tbagent_node *n;

        for (n = parent->harness->nodes; n; n = n->next)
                if (n->path && strcmp(n->path, path) == 0)
                        return n;
        n = calloc(1, sizeof(*n));
        assert_non_null(n);
        *n = (struct tbagent_node){parent->harness, o->members, copy(path), copy(name), parent->harness->nodes};
        parent->harness->nodes = n;
        return n;
}

static const struct tbagent_node *member(const struct tbagent_node *n, const char *name, size_t index) {
        const struct tbagent_option *o = option_find(n, name);
        char prefix[128], path[256], *seen[64];
        const struct tbagent_node *ret = NULL;
        size_t n_seen = 0;

        assert_true(o->type == TBAGENT_GROUP || o->type == TBAGENT_MAP);
        snprintf(prefix, sizeof(prefix), "%s%s.", n->path, name);
        if (o->type == TBAGENT_GROUP)
                return index == 0 ? node_add(n, o, prefix, name) : NULL;
        for (const Option *v = n->harness->options; v && v->path && !ret; v++) {
                const char *rest = v->path + strlen(prefix);
                bool known = false;
                char *channel;

                if (strncmp(v->path, prefix, strlen(prefix)) != 0)
                        continue;
                channel = strndup(rest, strcspn(rest, "."));
                for (size_t i = 0; i < n_seen; i++)
                        known |= strcmp(seen[i], channel) == 0;
                if (known) {
                        free(channel);
                        continue;
                }
                seen[n_seen++] = channel;
                if (n_seen - 1 == index) {
                        snprintf(path, sizeof(path), "%s%s.", prefix, channel);
                        ret = node_add(n, o, path, channel);
                }
        }
        while (n_seen > 0)
                free(seen[--n_seen]);
        return ret;
}

static const struct tbagent_node *options(struct tbagent_host *host) {
        return &harness(host)->root;
}

static const char *channel(const struct tbagent_node *n) {
        return n->name;
}

static const char *node_name(const struct tbagent_node *n) {
        const char *key = value_set(n, "key"); /* an option that each channel has, and not in the plugin's table */

        return key ? key : n->name;
}

/* ---- events */

static int watch_fd(struct tbagent_host *host, int fd, uint32_t events, tbagent_fd_fn fn) {
        struct epoll_event e = {.events = events, .data.fd = fd};
        Harness *h = harness(host);

        for (size_t i = 0; i < WATCHES_MAX; i++) {
                if (h->watchers[i])
                        continue;
                assert_int_equal(epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &e), 0);
                h->watched[i] = fd;
                h->watchers[i] = fn;
                return 0;
        }
        fail_msg("too many watched descriptors");
        return -ENOSPC;
}

static int unwatch_fd(struct tbagent_host *host, int fd) {
        Harness *h = harness(host);

        for (size_t i = 0; i < WATCHES_MAX; i++) {
                if (!h->watchers[i] || h->watched[i] != fd)
                        continue;
                assert_int_equal(epoll_ctl(h->epoll, EPOLL_CTL_DEL, fd, NULL), 0);
                h->watchers[i] = NULL;
                return 0;
        }
        return -ENOENT;
}

static int timer(struct tbagent_host *host, uint64_t usec, tbagent_timer_fn fn, void *userdata) {
        Harness *h = harness(host);

        assert_true(h->n_timers < 64);
        h->timers[h->n_timers++] = (Timer){usec, fn, userdata};
        return 0;
}

static int timeout(struct tbagent_host *host, uint64_t usec) {
        harness(host)->timeout = usec;
        return 0;
}

static int is_once(struct tbagent_host *host) {
        return harness(host)->once;
}

static int found(struct tbagent_host *host, const char *json) {
        Harness *h = harness(host);

        assert_true(h->n_found < sizeof(h->found) / sizeof(h->found[0]));
        h->found[h->n_found++] = copy(json);
        return 0;
}

static int reply(struct tbagent_host *host, uint64_t id, const char *json) {
        Harness *h = harness(host);

        assert_int_equal(id, RPC_ID);
        assert_null(h->reply);
        h->reply = copy(json);
        return 0;
}

static int reply_error(struct tbagent_host *host, uint64_t id, const char *code, const char *message) {
        char text[512];

        snprintf(text, sizeof(text), "%s: %s", code, message);
        return reply(host, id, text);
}

static int state_put(struct tbagent_host *host, const void *data, size_t size) {
        Harness *h = harness(host);

        assert_true(size <= sizeof(h->kept));
        memcpy(h->kept, data, size);
        h->kept_size = size;
        return 0;
}

static int state_get(struct tbagent_host *host, void *data, size_t size) {
        Harness *h = harness(host);
        size_t n = h->kept_size < size ? h->kept_size : size;

        memcpy(data, h->kept, n);
        return (int)n;
}

/* What a plugin does not use yet has no stand-in: a NULL service would crash, which a test shall see. */
static const struct tbagent_services services = {
        .abi = TBAGENT_PLUGIN_ABI,
        .size = sizeof(struct tbagent_services),
        .emit_bool = emit_bool,
        .emit_int = emit_int,
        .emit_double = emit_double,
        .emit_string = emit_string,
        .emit_json = emit_json,
        .emit_bad = emit_bad,
        .row_time = row_time,
        .row_end = row_end,
        .log = log_line,
        .instance = instance,
        .now = now,
        .options = options,
        .member = member,
        .node_name = node_name,
        .channel = channel,
        .is_set = is_set,
        .get_int = get_int,
        .get_float = get_float,
        .get_string = get_string,
        .watch_fd = watch_fd,
        .unwatch_fd = unwatch_fd,
        .timer = timer,
        .timeout = timeout,
        .reply = reply,
        .reply_error = reply_error,
        .found = found,
        .problem = problem,
        .is_once = is_once,
        .state_put = state_put,
        .state_get = state_get,
};

/* ---- the test's side */

Harness *harness_new(const char *plugin, const Option *table) {
        const char *tree = getenv("TBAGENT_PLUGIN_TREE");
        char path[512];
        Harness *h;

        h = calloc(1, sizeof(*h));
        assert_non_null(h);
        h->emits = calloc(EMITS_MAX, sizeof(*h->emits));
        assert_non_null(h->emits);
        h->epoll = epoll_create1(EPOLL_CLOEXEC);
        assert_true(h->epoll >= 0);
        snprintf(path, sizeof(path), "%s/%s/.libs/%s.so", tree ? tree : "plugins", plugin, plugin);
        h->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!h->library)
                fail_msg("%s", dlerror());
        h->plugin = dlsym(h->library, "tbagent_plugin");
        assert_non_null(h->plugin);
        assert_int_equal(h->plugin->abi, TBAGENT_PLUGIN_ABI);
        assert_int_equal(h->plugin->size, sizeof(*h->plugin));
        assert_string_equal(h->plugin->name, plugin);
        h->services = services;
        h->host.services = &h->services;
        h->options = table;
        h->root = (struct tbagent_node){.harness = h, .table = h->plugin->options, .path = (char *)"", .name = (char *)"unit"};
        return h;
}

Harness *harness_free(Harness *h) {
        struct tbagent_node *next;

        if (!h)
                return NULL;
        if (h->state)
                h->plugin->close(&h->host, h->state);
        harness_clear(h);
        for (struct tbagent_node *n = h->nodes; n; n = next) {
                next = n->next;
                free(n->path);
                free(n->name);
                free(n);
        }
        for (size_t i = 0; i < h->n_found; i++)
                free(h->found[i]);
        free(h->reply);
        free(h->emits);
        close(h->epoll);
        free(h); /* the library stays loaded, so that sanitizers can name its functions */
        return NULL;
}

const struct tbagent_plugin *harness_plugin(Harness *h) {
        return h->plugin;
}

struct tbagent_services *harness_services(Harness *h) {
        return &h->services;
}

struct tbagent_host *harness_host(Harness *h) {
        return &h->host;
}

void *harness_state(Harness *h) {
        return h->state;
}

void *harness_symbol(Harness *h, const char *name) {
        return dlsym(h->library, name);
}

void harness_row_end(Harness *h) {
        row_end(&h->host, 0);
}

size_t harness_check(Harness *h) {
        h->n_problems = 0;
        assert_int_equal(h->plugin->check(&h->host), 0);
        return h->n_problems;
}

int harness_open(Harness *h) {
        int r;

        assert_null(h->state);
        r = h->plugin->open(&h->host, &h->state);
        assert_true(r == 0 || !h->state);
        row_end(&h->host, 0);
        return r;
}

int harness_sample(Harness *h) {
        int r;

        h->timeout = 0;
        r = h->plugin->sample(&h->host, h->state);
        row_end(&h->host, 0);
        return r;
}

int harness_setting(Harness *h, const char *path) {
        return h->plugin->setting(&h->host, h->state, path);
}

int harness_rpc(Harness *h, const char *channel, const char *method, const char *params) {
        int r;

        free(h->reply);
        h->reply = NULL;
        r = h->plugin->rpc(&h->host, h->state, RPC_ID, channel, method, params);
        row_end(&h->host, 0);
        return r;
}

const char *harness_reply(Harness *h) {
        return h->reply;
}

int harness_scan(Harness *h) {
        return h->plugin->scan(&h->host);
}

void harness_close(Harness *h) {
        h->plugin->close(&h->host, h->state);
        h->state = NULL;
        h->n_timers = 0; /* the host drops them with the instance */
        for (size_t i = 0; i < WATCHES_MAX; i++)
                assert_null(h->watchers[i]);
}

void harness_set_once(Harness *h, bool once) {
        h->once = once;
}

void harness_set_now(Harness *h, int64_t boottime_ns) {
        h->now = boottime_ns;
}

bool harness_turn(Harness *h, int timeout_msec) {
        struct epoll_event events[WATCHES_MAX];
        int n;

        n = epoll_wait(h->epoll, events, WATCHES_MAX, timeout_msec);
        for (int e = 0; e < n; e++)
                for (size_t i = 0; i < WATCHES_MAX; i++)
                        /* One that an earlier function has unwatched in this turn isn't called any more. */
                        if (h->watchers[i] && h->watched[i] == events[e].data.fd) {
                                h->watchers[i](&h->host, h->state, events[e].data.fd, events[e].events);
                                row_end(&h->host, 0);
                                break;
                        }
        return n > 0;
}

bool harness_timer(Harness *h, uint64_t *ret_usec) {
        size_t first = 0;
        Timer due;

        if (h->n_timers == 0)
                return false;
        for (size_t i = 1; i < h->n_timers; i++)
                if (h->timers[i].usec < h->timers[first].usec)
                        first = i;
        due = h->timers[first];
        h->timers[first] = h->timers[--h->n_timers];
        *ret_usec = due.usec;
        due.fn(&h->host, h->state, due.userdata);
        row_end(&h->host, 0);
        return true;
}

void harness_clear(Harness *h) {
        for (size_t i = 0; i < h->n_emits; i++) {
                free(h->emits[i].key);
                free(h->emits[i].text);
        }
        for (size_t i = 0; i < h->n_lines; i++)
                free(h->lines[i]);
        h->n_emits = h->n_lines = 0;
}

size_t harness_emits(Harness *h) {
        return h->n_emits;
}

const Emit *harness_emit(Harness *h, size_t index) {
        assert_true(index < h->n_emits);
        return &h->emits[index];
}

size_t harness_count(Harness *h, const char *key) {
        size_t n = 0;

        for (size_t i = 0; i < h->n_emits; i++)
                n += h->emits[i].type != EMIT_BAD && strcmp(h->emits[i].key, key) == 0;
        return n;
}

const Emit *harness_last(Harness *h, const char *key) {
        for (size_t i = h->n_emits; i > 0; i--)
                if (strcmp(h->emits[i - 1].key, key) == 0)
                        return &h->emits[i - 1];
        return NULL;
}

size_t harness_logged(Harness *h, int level, const char *part) {
        size_t n = 0;

        for (size_t i = 0; i < h->n_lines; i++)
                n += h->levels[i] == level && strstr(h->lines[i], part);
        return n;
}

const char *harness_found(Harness *h, size_t index) {
        return index < h->n_found ? h->found[index] : NULL;
}

uint64_t harness_timeout(Harness *h) {
        return h->timeout;
}
