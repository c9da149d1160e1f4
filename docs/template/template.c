/* SPDX-License-Identifier: 0BSD */
/*
 * A plugin to begin with: numbers that the kernel shows as files, such as /sys/class/thermal/thermal_zone0/temp. Copy it, give it
 * a name of its own (below in TBAGENT_PLUGIN, in NAME of the Makefile, and plugin = "..." in the configuration), and put your
 * hardware in place of the files.
 *
 * Who calls what, on which thread, and what a return value means, is told in <tbagent/plugin.h>.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tbagent/plugin.h>

#define CHANNELS_MAX 32

/* What the configuration may say. The daemon checks it by these tables and tells mistakes with file and line, so that the code
 * below need not look whether an option is there or of the right type. */
static const struct tbagent_option channel_options[] = {
        { "path", TBAGENT_STRING, TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL, "File that holds the number.", NULL },
        { "limit", TBAGENT_FLOAT, TBAGENT_RUNTIME, NULL, 0, 0, NULL, NULL, "Above it the log says so.", NULL },
        { 0 },
};

static const struct tbagent_option options[] = {
        { "channels", TBAGENT_MAP, TBAGENT_REQUIRED | TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "Files to read; the name of each is its telemetry key.", channel_options },
        { 0 },
};

/* What the server may ask: INSTANCE.CHANNEL.peak, or CHANNEL.peak, or peak where there is only one. */
static const struct tbagent_method methods[] = {
        { .name = "peak", .help = "The highest value so far.", .flags = TBAGENT_METHOD_CHANNEL },
        { 0 },
};

/* Kept by the daemon, so that it outlives a crash and a reboot. A plugin that changes its form should notice the old one. */
struct kept {
        uint32_t version;
        uint32_t n;
        double peak[CHANNELS_MAX];
};

struct template {
        struct kept kept;
        int above[CHANNELS_MAX];
};

/* ---- the hardware */

static int read_number(const char *path, double *ret) {
        char text[64], *end;
        FILE *f = fopen(path, "re");
        int r = 0;

        if (!f)
                return -errno;
        if (!fgets(text, sizeof text, f))
                r = ferror(f) ? -EIO : -ENODATA;
        fclose(f);
        if (r < 0)
                return r;
        *ret = strtod(text, &end);
        return end == text ? -EINVAL : 0;
}

/* ---- verbs */

/* -ENOENT and -ENODEV: not there yet; the daemon says so, and asks again later. */
static int template_open(struct tbagent_host *host, void **ret_state) {
        const struct tbagent_node *c, *o = tbagent_options(host);
        struct template *t;
        uint32_t n = 0;
        double value;

        for (; (c = tbagent_member(host, o, "channels", n)) && n < CHANNELS_MAX; n++) {
                int r = read_number(tbagent_string(host, c, "path", 0), &value);
                if (r < 0)
                        return r;
        }
        if (c)
                tbagent_log(host, TBAGENT_WARNING, "only the first 32 channels are read");
        t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        if (tbagent_state_get(host, &t->kept, sizeof t->kept) != (int)sizeof t->kept || t->kept.version != 1 || t->kept.n != n) {
                t->kept = (struct kept){ .version = 1, .n = n };
                for (uint32_t i = 0; i < n; i++)
                        t->kept.peak[i] = -1e308;
        }
        *ret_state = t;
        return 0;
}

/* Said once, and again when it has been below. */
static void mind_limit(struct tbagent_host *host, struct template *t, uint32_t i, const struct tbagent_node *c, double value) {
        int above = tbagent_is_set(host, c, "limit") && value > tbagent_float(host, c, "limit");
        char text[128];

        if (above && !t->above[i]) {
                snprintf(text, sizeof text, "%s is %g, which is above its limit", tbagent_name(host, c), value);
                tbagent_log(host, TBAGENT_NOTICE, text);
        }
        t->above[i] = above;
}

/* A value that cannot be read costs the other ones nothing: KEY_ok says so. The row's time is taken by the daemon. */
static int template_sample(struct tbagent_host *host, void *state) {
        struct template *t = state;

        for (uint32_t i = 0; i < t->kept.n; i++) {
                const struct tbagent_node *c = tbagent_member(host, tbagent_options(host), "channels", i);
                double value;
                int r = read_number(tbagent_string(host, c, "path", 0), &value);

                if (r < 0) {
                        (void)tbagent_emit_bad(host, tbagent_name(host, c), strerror(-r));
                        continue;
                }
                if (value > t->kept.peak[i])
                        t->kept.peak[i] = value;
                mind_limit(host, t, i, c, value);
                (void)tbagent_emit_double(host, tbagent_name(host, c), value);
        }
        return tbagent_state_put(host, &t->kept, sizeof t->kept);
}

/* Only methods and channels that exist get here. A negative return is answered as an error. */
static int template_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method,
                        const char *params) {
        const struct template *t = state;
        char json[32];

        (void)method;
        (void)params;
        for (uint32_t i = 0; i < t->kept.n; i++) {
                const struct tbagent_node *c = tbagent_member(host, tbagent_options(host), "channels", i);
                if (strcmp(channel, tbagent_channel(host, c)) != 0)
                        continue;
                snprintf(json, sizeof json, "%.15g", t->kept.peak[i]);
                return tbagent_reply(host, id, json);
        }
        return -ENOENT;
}

/* limit is read anew for every sample, so there is nothing to do but to agree. */
static int template_setting(struct tbagent_host *host, void *state, const char *path) {
        (void)host;
        (void)state;
        (void)path;
        return 0;
}

/* What is there, and what to write to have it: for tbagent --scan. */
static int template_scan(struct tbagent_host *host) {
        glob_t zones;
        char json[512];

        if (glob("/sys/class/thermal/thermal_zone*/temp", 0, NULL, &zones) != 0)
                return 0;
        for (size_t i = 0; i < zones.gl_pathc; i++) {
                snprintf(json, sizeof json,
                         "{\"id\":\"%s\",\"what\":\"temperature\",\"group\":\"channels\","
                         "\"config\":\"zone%zu = { path = \\\"%s\\\"; scale = 0.001; };\"}",
                         zones.gl_pathv[i], i, zones.gl_pathv[i]);
                (void)tbagent_found(host, json);
        }
        globfree(&zones);
        return 0;
}

static void template_close(struct tbagent_host *host, void *state) {
        (void)host;
        free(state);
}

TBAGENT_PLUGIN(.name = "template", .summary = "numbers that the kernel shows as files", .options = options, .methods = methods,
               .open = template_open, .sample = template_sample, .rpc = template_rpc, .setting = template_setting,
               .scan = template_scan, .close = template_close);
