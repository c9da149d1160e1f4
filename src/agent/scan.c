/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every plugin gets an instance that is called like it and has nothing but defaults: scan() runs without open(). A plugin that
 * crashes, hangs or tells nonsense costs what it would have found, and a line.
 *
 * What is printed is checked before, as --check would, because it is meant to be saved and to run. It is meant to be saved
 * beside what is there, so what an instance reads already is printed as a comment that says so.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/plugins.h"
#include "agent/probe.h"
#include "agent/scan-text.h"
#include "agent/scan.h"
#include "base/file.h"

#define SCAN_TIMEOUT  (300 * USEC_PER_SEC) /* a plugin has less; but it may ask for more, and hang in the kernel */
#define CHECK_TIMEOUT (20 * USEC_PER_SEC)
#define THINGS_MAX    2000
#define LINES_MAX     100

typedef struct Scan {
        const CheckParams *params;
        char *names[PLUGINS_MAX];
        Setting *settings[PLUGINS_MAX];
        ConfigInstance plugins[PLUGINS_MAX];
        size_t n_plugins;
        Thing *things;
        size_t n_things;
        char *lines[LINES_MAX]; /* of stderr: none is said twice */
        size_t n_lines;
        Config *config; /* what runs here, or would; NULL: it cannot be read */
        int code;
} Scan;

static void scan_done(Scan *s) {
        for (size_t i = 0; i < s->n_plugins; i++) {
                free(s->names[i]);
                setting_free(s->settings[i]);
        }
        for (size_t i = 0; i < s->n_things; i++)
                found_done(&s->things[i].found);
        free(s->things);
        while (s->n_lines > 0)
                free(s->lines[--s->n_lines]);
        config_free(s->config);
}

/* code: the worst one that was said is how it ends. */
_printf_(3, 4) static void say(Scan *s, int code, const char *format, ...) {
        _cleanup_(freep) char *line = NULL;
        va_list ap;
        int r;

        s->code = MAX(s->code, code);
        va_start(ap, format);
        r = vasprintf(&line, format, ap);
        va_end(ap);
        if (r < 0) {
                line = NULL;
                return;
        }
        for (size_t i = 0; i < s->n_lines; i++)
                if (strncmp(s->lines[i], line, strlen(line)) == 0) /* a reason may be a warning that was cut */
                        return;
        if (s->n_lines == LINES_MAX)
                return;
        fprintf(stderr, "tbagent: %s\n", line);
        s->lines[s->n_lines++] = TAKE_PTR(line);
}

/* ---- what the hosts tell */

static void on_problem(void *userdata, const ConfigInstance *instance, bool fatal, const char *file _unused_,
                       unsigned line _unused_, const char *text) {
        say(userdata, fatal ? EX_SOFTWARE : EX_UNAVAILABLE, "%s: %s", instance->plugin, text);
}

static void on_found(void *userdata, const ConfigInstance *instance, const char *json, size_t size) {
        Scan *s = userdata;
        const char *why;
        Found f;
        int r;

        if (s->n_things == THINGS_MAX) {
                say(s, EX_SOFTWARE, "%s: more than %d things were found; the rest is left out", instance->plugin, THINGS_MAX);
                return;
        }
        r = found_parse(json, size, &f, &why);
        if (r < 0)
                say(s, EX_SOFTWARE, "%s: told of something that is of no use: %s", instance->plugin,
                    r == -ENOMEM ? "no memory" : why);
        else {
                s->things[s->n_things] = (Thing){ .plugin = instance->plugin, .found = f, .at = s->n_things };
                s->n_things++;
        }
}

/* ---- the plugins */

static int add_plugin(Scan *s, char *name) {
        Setting *settings, *plugin;
        int r;

        s->names[s->n_plugins] = name;
        r = setting_new(&s->settings[s->n_plugins], SETTING_GROUP, name, "", 0);
        settings = s->settings[s->n_plugins];
        s->plugins[s->n_plugins++] =
                (ConfigInstance){ .name = name, .plugin = name, .enabled = true, .settings = settings, .file = "" };
        if (r == 0)
                r = setting_new(&plugin, SETTING_STRING, "plugin", "", 0);
        if (r == 0) {
                r = setting_set_string(plugin, name);
                if (r == 0)
                        r = setting_add(settings, plugin);
                else
                        setting_free(plugin);
        }
        return r;
}

/* -ENOENT: told. */
static int choose_plugin(Scan *s, const char *plugin) {
        _cleanup_(freep) char *file = NULL, *text = NULL;
        char *name;
        int r = plugins_find(s->params->plugin_dirs, plugin, &file, &text);

        if (r < 0) {
                fprintf(stderr, "tbagent: %s\n", text ? text : strerror(-r));
                return -ENOENT;
        }
        name = strdup(plugin);
        return name ? add_plugin(s, name) : -ENOMEM;
}

static int choose(Scan *s, const char *plugin) {
        char *names[PLUGINS_MAX];
        size_t n;
        int r = 0;

        if (plugin)
                return choose_plugin(s, plugin);
        n = plugins_list(s->params->plugin_dirs, names);
        for (size_t i = 0; i < n; i++)
                if (r < 0)
                        free(names[i]);
                else
                        r = add_plugin(s, names[i]);
        return r;
}

static int look(Scan *s) {
        ProbeParams p = {
                .instances = s->plugins, .n_instances = s->n_plugins, .mode = MODE_SCAN, .host_path = s->params->host_path,
                .plugin_dirs = s->params->plugin_dirs, .timeout = SCAN_TIMEOUT, .log_level = s->params->log_level,
                .problem = on_problem, .found = on_found, .userdata = s,
        };

        s->things = calloc(THINGS_MAX, sizeof(*s->things));
        return s->things ? probe_run(&p) : -ENOMEM;
}

/* ---- what is read already */

/* What a thing would have its instance be; NULL: no memory, or no configuration, which is told later. */
static Setting *setting_of(const Found *f) {
        _cleanup_(closep) int fd = memfd_create("thing.conf", MFD_CLOEXEC);
        _cleanup_(freep) char *text = NULL;
        Setting *tree = NULL;
        char path[40];

        if (fd < 0 || dprintf(fd, "%s\n%s = { %s };\n", f->options, f->group, f->config) < 0)
                return NULL;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        return config_load_tree(path, &tree, &text) < 0 ? NULL : tree;
}

static bool has_all(const Setting *have, const Setting *want) {
        for (size_t i = 0; i < want->n_children; i++)
                if (!setting_same(setting_child(have, want->children[i]->name), want->children[i]))
                        return false;
        return true;
}

/* The same place under another name. */
static bool has_place(const Setting *group, const Setting *want) {
        for (size_t i = 0; i < group->n_children; i++)
                if (group->children[i]->type == SETTING_GROUP && has_all(group->children[i], want))
                        return true;
        return false;
}

/* By its name, which would be the same keys twice, or by what it is. */
static bool is_read(const ConfigInstance *in, const Thing *t, const Setting *want) {
        const Setting *group = setting_child(in->settings, t->found.group), *things = setting_child(want, t->found.group);
        bool same = true;

        if (!in->enabled || !streq(in->plugin, t->plugin) || !group || group->type != SETTING_GROUP || !things)
                return false;
        for (size_t i = 0; i < want->n_children; i++)
                same &= want->children[i] == things ||
                        setting_same(setting_child(in->settings, want->children[i]->name), want->children[i]);
        for (size_t i = 0; i < things->n_children; i++) {
                const Setting *one = things->children[i];

                if (setting_child(group, one->name) ||
                    (same && one->type == SETTING_GROUP && one->n_children > 0 && has_place(group, one)))
                        return true;
        }
        return false;
}

static int comment_out(Thing *t, const char *instance) {
        char *what;

        if (asprintf(&what, "%s; read by %s already", t->found.what, instance) < 0)
                return -ENOMEM;
        free(t->found.what);
        t->found.what = what;
        t->found.commented = true;
        return 0;
}

static int comment_out_present(Scan *s) {
        int r = 0;

        for (size_t i = 0; i < s->n_things && s->config; i++) {
                Thing *t = &s->things[i];
                _cleanup_(setting_freep) Setting *want = t->found.config[0] && t->found.group[0] ? setting_of(&t->found) : NULL;

                for (size_t n = 0; r == 0 && want && n < config_n_instances(s->config); n++)
                        if (is_read(config_instance(s->config, n), t, want)) {
                                r = comment_out(t, config_instance(s->config, n)->name);
                                break;
                        }
        }
        return r;
}

/* A name for it that does not replace what was found before. */
static void name_file(const Scan *s, char *out, size_t size) {
        _cleanup_(freep) char *path = NULL;

        snprintf(out, size, "found.conf");
        for (unsigned n = 2; n < 100; n++) {
                free(path);
                if (asprintf(&path, "%s.d/%s", s->params->config_path, out) < 0) {
                        path = NULL;
                        return;
                }
                if (access(path, F_OK) < 0)
                        return;
                snprintf(out, size, "found-%u.conf", n);
        }
}

/* ---- what is printed */

static bool is_taken(const void *userdata, const char *instance) {
        const Scan *s = userdata;

        for (size_t i = 0; s->config && i < config_n_instances(s->config); i++)
                if (streq(config_instance(s->config, i)->name, instance))
                        return true;
        return false;
}

/* Hosts tell of their things as they find them, side by side. */
static int by_plugin(const void *a, const void *b) {
        const Thing *x = a, *y = b;
        int r = strcmp(x->plugin, y->plugin);

        return r != 0 ? r : x->at < y->at ? -1 : x->at > y->at;
}

static void on_mistake(void *userdata, const ConfigInstance *instance, bool fatal, const char *file _unused_, unsigned line,
                       const char *text) {
        if (fatal)
                say(userdata, EX_SOFTWARE, "%s: line %u of what it found is no configuration: %s", instance->plugin, line, text);
}

static int check_text(Scan *s, const char *text) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(closep) int fd = memfd_create("found.conf", MFD_CLOEXEC);
        ConfigProblem *problems = NULL;
        char path[40];
        size_t n = 0;
        int r = fd < 0 ? -errno : file_write_all(fd, text, strlen(text));

        if (r < 0)
                return r;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        r = config_load(&config, path, &problems, &n);
        for (size_t i = 0; i < n; i++)
                if (problems[i].fatal)
                        say(s, EX_SOFTWARE, "line %u of what was found is no configuration: %s", problems[i].line,
                            problems[i].text);
        config_problems_free(problems, n);
        if (r < 0 || config_n_instances(config) == 0)
                return n > 0 ? 0 : r;
        return probe_run(&(ProbeParams){
                .instances = config_instance(config, 0), .n_instances = config_n_instances(config), .mode = MODE_CHECK,
                .host_path = s->params->host_path, .plugin_dirs = s->params->plugin_dirs, .timeout = CHECK_TIMEOUT,
                .log_level = s->params->log_level, .problem = on_mistake, .userdata = s });
}

static int print(Scan *s) {
        _cleanup_(freep) char *text = NULL;
        char file[24];
        int r;

        r = comment_out_present(s);
        if (r < 0)
                return r;
        name_file(s, file, sizeof file);
        qsort(s->things, s->n_things, sizeof(*s->things), by_plugin);
        text = scan_text(&(ScanText){ .things = s->things, .n = s->n_things, .file = file, .is_taken = is_taken,
                                      .userdata = s });
        if (!text)
                return -ENOMEM;
        r = check_text(s, text);
        fputs(text, stdout);
        return fflush(stdout) == 0 ? r : -errno;
}

int scan(const CheckParams *params, const char *plugin) {
        _cleanup_(scan_done) Scan s = { .params = params };
        ConfigProblem *problems = NULL;
        size_t n = 0;
        int r;

        (void)!config_load(&s.config, params->config_path, &problems, &n); /* only to keep away from its names */
        config_problems_free(problems, n);
        r = choose(&s, plugin);
        if (r == -ENOENT)
                return EX_USAGE;
        if (r == 0)
                r = look(&s);
        if (r == 0)
                r = print(&s);
        if (r < 0)
                fprintf(stderr, "tbagent: cannot scan: %s\n", strerror(-r));
        return r < 0 ? EX_OSERR : s.code;
}
