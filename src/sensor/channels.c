/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a key come from up to three places, each of which says only what it wants to differ: `report` of
 * the instance (into which the daemon has merged the one at the top), the channel whose key it is or whose prefix
 * it has, and the entry of `keys` with its name. They are laid over each other once, when the configuration is
 * read or changes; a key is looked up once, when it is first emitted.
 *
 * Within one instance no two channels may have the same key, nor the name of one that is generated from another.
 * Between instances the daemon looks.
 */
#include <stdarg.h>
#include <stdio.h>

#include "sensor/channels.h"
#include "sensor/keytable.h"

#define YEAR 31536000
#define R TBAGENT_RUNTIME

const struct tbagent_option instance_options[] = {
        { "plugin", TBAGENT_STRING, TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL,
          "Name of the plugin, as in tbagent --options.", NULL },
        { "enabled", TBAGENT_BOOL, R, "true", 0, 0, NULL, NULL,
          "false stops the instance and keeps its configuration.", NULL },
        { "optional", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "Hardware that is not there is no fault, and not told.", NULL },
        { "every", TBAGENT_DURATION, R, "10s", 0.01, 7 * 86400, NULL, "s",
          "Time between two samples, aligned to the wall clock.", NULL },
        { "timeout", TBAGENT_DURATION, R, "30s", 0.1, 3600, NULL, "s",
          "A call into the plugin that takes longer is ended with its process.", NULL },
        { "memory_max", TBAGENT_SIZE, 0, "64M", 8 << 20, 1e12, NULL, "bytes",
          "Memory that the instance's process may use.", NULL },
        { "order", TBAGENT_STRING, 0, "live-first", 0, 0, "live-first|strict", NULL,
          "strict sends this instance's values in the order of their making, also after an outage.", NULL },
        { "intake", TBAGENT_SIZE, 0, "256k", 0, 1e12, NULL, "bytes per second",
          "What the daemon takes from this instance; 0 is all.", NULL },
        { "intake_burst", TBAGENT_SIZE, 0, "1M", 0, 1e12, NULL, "bytes", "What it takes at once beyond intake.", NULL },
        { "persist", TBAGENT_DURATION, 0, "15min", 1, YEAR, NULL, "s",
          "Longest time between two writes of kept totals to the disk.", NULL },
        { "on_exit_after", TBAGENT_DURATION, 0, "1s", 0, 3600, NULL, "s",
          "When its process ends and is not back after this time, its outputs get their on_exit values.", NULL },
        { "report", TBAGENT_GROUP, R, NULL, 0, 0, NULL, NULL, "Report rules of all keys of the instance.", report_options },
        { "keys", TBAGENT_MAP, R, NULL, 0, 0, NULL, NULL, "Report rules of single keys, by their names.", report_options },
        { "device", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "Reserved for sub-devices.", NULL },
        { 0 },
};
#undef R

struct Channels {
        ChannelsParams params;
        problem_fn fn;
        void *userdata;
        int n_problems;
        ReportRules defaults;
        Channel *all; /* of maps, then of `keys` */
        size_t n, n_maps;
};

static void tell(Channels *c, const char *file, unsigned line, const char *format, ...) _printf_(4, 5);
static void tell(Channels *c, const char *file, unsigned line, const char *format, ...) {
        char text[512];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        c->n_problems++;
        if (c->fn)
                c->fn(c->userdata, true, file, line, text);
}

static int channel_append(Channels *c, Channel *ch) {
        Channel *bigger = reallocarray(c->all, c->n + 1, sizeof *bigger);

        if (!bigger) {
                report_rules_done(&ch->rules);
                free(ch->path);
                return -ENOMEM;
        }
        c->all = bigger;
        c->all[c->n++] = *ch;
        return 0;
}

/* A channel's rules go over `base`. */
static int channel_add(Channels *c, const Node *node, const char *map, const Setting *group, bool prefix,
                       const ReportRules *base) {
        const Setting *s = group ? setting_child(group, node_own_name(node)) : NULL;
        Channel ch = { .node = node, .name = node_own_name(node), .key = node_key(node), .prefix = prefix,
                       .file = s ? s->file : NULL, .line = s ? s->line : 0 };
        int r = report_rules_copy(&ch.rules, base);

        if (r < 0)
                return r;
        if (asprintf(&ch.path, "plugins.%s.%s.%s", c->params.instance, map, ch.name) < 0)
                ch.path = NULL;
        else
                r = report_rules_overlay(&ch.rules, node, ch.path, c->fn, c->userdata);
        if (!ch.path || r < 0) {
                report_rules_done(&ch.rules);
                free(ch.path);
                return -ENOMEM;
        }
        c->n_problems += r;
        return channel_append(c, &ch);
}

static int add_maps(Channels *c, const struct tbagent_option *table, const Node *node, const Setting *group) {
        for (const struct tbagent_option *o = table; o && o->name; o++) {
                const Setting *below = group ? setting_child(group, o->name) : NULL;
                const Node *member;
                int r;

                if (o->type == TBAGENT_GROUP) {
                        r = add_maps(c, o->members, node_member(node, o->name, 0), below);
                        if (r < 0)
                                return r;
                }
                if (o->type != TBAGENT_MAP || !(o->flags & (TBAGENT_KEYS | TBAGENT_PREFIXES)))
                        continue;
                for (size_t i = 0; (member = node_member(node, o->name, i)); i++) {
                        r = channel_add(c, member, o->name, below, o->flags & TBAGENT_PREFIXES, &c->defaults);
                        if (r < 0)
                                return r;
                        /* one that is configured is one that may fail */
                        c->all[c->n - 1].rules.announce |= !(o->flags & TBAGENT_PREFIXES);
                }
        }
        return 0;
}

static int add_keys(Channels *c) {
        const Setting *group = c->params.settings ? setting_child(c->params.settings, "keys") : NULL;
        const Node *member;

        for (size_t i = 0; (member = node_member(c->params.options, "keys", i)); i++) {
                int r = channel_add(c, member, "keys", group, false, channels_rules(c, node_own_name(member)));

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- names that meet */

static void check_device(Channels *c) {
        unsigned line;
        const char *file = node_file(c->params.options, "device", &line);

        if (node_is_set(c->params.options, "device"))
                tell(c, file, line, "plugins.%s.device: sub-devices come with a later version; delete the line",
                     c->params.instance);
}

static bool is_generated(const Channels *c, const char *key, const Channel *from) {
        size_t n = strlen(from->key);

        if (from->prefix || strncmp(key, from->key, n) != 0)
                return false;
        for (size_t i = 0; i < _DERIVED_MAX; i++)
                if (streq(key + n, derived_suffix[i]))
                        return i == DERIVED_OK || channels_rules(c, from->key)->aggregate_ns > 0;
        return false;
}

static bool is_own_key(const char *key, const char *instance) {
        size_t n = strlen(instance);

        return strncmp(key, instance, n) == 0 && (streq(key + n, "_ok") || streq(key + n, "_time"));
}

static void check_pair(Channels *c, const Channel *a, const Channel *b, bool both_maps) {
        if (both_maps && a < b && a->prefix == b->prefix && streq(a->key, b->key))
                tell(c, b->file, b->line, "%s is called \"%s\" like %s: give one of them another %s", b->path,
                     b->key, a->path, a->prefix ? "prefix" : "key");
        if (!b->prefix && is_generated(c, b->key, a))
                tell(c, b->file, b->line, "%s is called \"%s\", a key that is made from %s (line %u): give it another one",
                     b->path, b->key, a->path, a->line);
}

static void check_names(Channels *c) {
        for (size_t i = 0; i < c->n; i++) {
                const Channel *a = &c->all[i];
                const char *why;

                if (key_check(a->key, strlen(a->key), &why) < 0)
                        tell(c, a->file, a->line, "%s: \"%.64s\" cannot be a telemetry key: %s", a->path, a->key, why);
                if (!a->prefix && is_own_key(a->key, c->params.instance))
                        tell(c, a->file, a->line,
                             "%s is called \"%s\", a key that is made for the instance itself: give it another one", a->path,
                             a->key);
                for (size_t j = 0; j < c->n; j++)
                        if (i != j)
                                check_pair(c, a, &c->all[j], i < c->n_maps && j < c->n_maps);
        }
}

/* ---- */

int channels_new(Channels **ret, const ChannelsParams *params, problem_fn fn, void *userdata) {
        _cleanup_(channels_freep) Channels *c = calloc(1, sizeof *c);
        char path[256];
        int r;

        if (!c)
                return -ENOMEM;
        c->params = *params;
        c->fn = fn;
        c->userdata = userdata;
        snprintf(path, sizeof path, "plugins.%s.report", params->instance);
        report_rules_init(&c->defaults);
        r = report_rules_overlay(&c->defaults, node_member(params->options, "report", 0), path, fn, userdata);
        if (r < 0)
                return r;
        c->n_problems = r;
        r = add_maps(c, params->plugin_options, params->options, params->settings);
        c->n_maps = c->n;
        if (r == 0)
                r = add_keys(c);
        if (r < 0)
                return r;
        check_device(c);
        check_names(c);
        r = c->n_problems;
        *ret = TAKE_PTR(c);
        return r;
}

Channels *channels_free(Channels *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n; i++) {
                report_rules_done(&c->all[i].rules);
                free(c->all[i].path);
        }
        free(c->all);
        report_rules_done(&c->defaults);
        free(c);
        return NULL;
}

static bool has_prefix(const char *key, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(key, prefix, n) == 0 && key[n] == '_';
}

const ReportRules *channels_rules(const Channels *c, const char *key) {
        const Channel *best = NULL;

        for (size_t i = c->n; i-- > 0;) { /* `keys` first */
                const Channel *ch = &c->all[i];

                if (!ch->prefix && streq(ch->key, key))
                        return &ch->rules;
                if (ch->prefix && has_prefix(key, ch->key) && (!best || strlen(ch->key) > strlen(best->key)))
                        best = ch;
        }
        return best ? &best->rules : &c->defaults;
}

size_t channels_count(const Channels *c) {
        return c->n;
}

const Channel *channels_get(const Channels *c, size_t i) {
        return &c->all[i];
}

size_t channels_count_maps(const Channels *c) {
        return c->n_maps;
}
