/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin is code that runs as the daemon's user, so a file or folder that anybody may write is refused before
 * it is loaded; its constructors run with dlopen(). Everything else guards against mistakes, not malice: what a
 * table points to is believed, what it says is checked, so that an author hears of it here and not from a user.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "sensor/plugin.h"
#include "sensor/rules.h"

#define SYMBOL "tbagent_plugin"
#define NAME_MAX_SIZE 64
#define DEPTH_MAX 8
#define SIZE_MIN offsetof(struct tbagent_plugin, open) /* less has not even a name */

static int refuse(char **ret_why, const char *format, ...) _printf_(2, 3);
static int refuse(char **ret_why, const char *format, ...) {
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(ret_why, format, args);
        va_end(args);
        if (n < 0) {
                *ret_why = NULL;
                return -ENOMEM;
        }
        return -EINVAL;
}

/* ---- the file */

static int check_file(const char *path, char **ret_why) {
        _cleanup_(freep) char *copy = strdup(path);
        struct stat st;
        const char *folder;

        if (!copy)
                return -ENOMEM;
        if (stat(path, &st) < 0)
                return refuse(ret_why, "plugin %s cannot be read: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return refuse(ret_why, "plugin %s is not a regular file", path);
        if (st.st_mode & S_IWOTH)
                return refuse(ret_why, "plugin %s can be written by anybody: chmod o-w %s", path, path);
        folder = dirname(copy);
        if (stat(folder, &st) < 0)
                return refuse(ret_why, "folder %s cannot be read: %s", folder, strerror(errno));
        if (st.st_mode & S_IWOTH)
                return refuse(ret_why, "folder %s of the plugin can be written by anybody: chmod o-w %s", folder, folder);
        return 0;
}

static bool name_matches_file(const char *name, const char *path) {
        const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
        size_t n = strlen(name);

        return strncmp(file, name, n) == 0 && streq(file + n, ".so");
}

/* ---- its tables */

static bool name_is_plain(const char *name) {
        size_t n = 0;

        if (!name || !isalpha((unsigned char)name[0]))
                return false;
        for (; name[n]; n++)
                if (!isalnum((unsigned char)name[n]) && name[n] != '_' && name[n] != '-')
                        return false;
        return n <= NAME_MAX_SIZE;
}

static bool table_has(const struct tbagent_option *table, const char *name) {
        for (; table && table->name; table++)
                if (streq(table->name, name))
                        return true;
        return false;
}

/* Before the one that stands at `end` of the same table. */
static bool table_has_before(const struct tbagent_option *table, const struct tbagent_option *end) {
        for (; table < end; table++)
                if (streq(table->name, end->name))
                        return true;
        return false;
}

static bool is_channel_map(const struct tbagent_option *o) {
        return o->flags & (TBAGENT_KEYS | TBAGENT_PREFIXES);
}

static const char *option_fault(const struct tbagent_option *o) {
        const uint32_t known = TBAGENT_REQUIRED | TBAGENT_RUNTIME | TBAGENT_KEYS | TBAGENT_PREFIXES | TBAGENT_SECRET;
        bool holds = o->type == TBAGENT_GROUP || o->type == TBAGENT_MAP;

        if (o->type < TBAGENT_BOOL || o->type > TBAGENT_MAP)
                return "has an unknown type";
        if (o->flags & ~known)
                return "has unknown flags";
        if (is_channel_map(o) && o->type != TBAGENT_MAP)
                return "has channels but is no map";
        if ((o->flags & TBAGENT_KEYS) && (o->flags & TBAGENT_PREFIXES))
                return "has both keys and prefixes";
        if (holds && !o->members)
                return "has no members";
        if (!holds && o->members)
                return "has members but is no group";
        if (holds && o->fallback)
                return "is a group with a default";
        if (o->min > o->max || o->min != o->min || o->max != o->max)
                return "has a range that begins behind its end";
        if (o->choices && o->type != TBAGENT_STRING)
                return "has choices but is no text";
        if ((o->flags & TBAGENT_REQUIRED) && o->fallback)
                return "is required and has a default";
        return NULL;
}

static int check_options(const struct tbagent_option *table, const struct tbagent_option *reserved, bool channel,
                         unsigned depth, char **ret_why) {
        if (depth > DEPTH_MAX)
                return refuse(ret_why, "the plugin's option table is nested too deeply");
        for (const struct tbagent_option *o = table; o && o->name; o++) {
                const char *fault = NULL;
                int r;

                if (!name_is_plain(o->name))
                        return refuse(ret_why, "the plugin has an option with a name that no file can hold: \"%.64s\"", o->name);
                if (table_has(reserved, o->name) ||
                    (channel && (table_has(report_options, o->name) || streq(o->name, "key") || streq(o->name, "prefix"))))
                        fault = "has the name of an option that every plugin has";
                else if (table_has_before(table, o))
                        fault = "stands twice in its table";
                else
                        fault = option_fault(o);
                if (fault)
                        return refuse(ret_why, "the plugin's option \"%s\" %s", o->name, fault);
                if (!o->members)
                        continue;
                r = check_options(o->members, NULL, is_channel_map(o), depth + 1, ret_why);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Every map of channels has this option, as text. */
static bool channels_have(const struct tbagent_option *table, const char *name, size_t size) {
        for (const struct tbagent_option *o = table; o && o->name; o++) {
                const struct tbagent_option *m = o->members;

                if (o->type == TBAGENT_GROUP && !channels_have(o->members, name, size))
                        return false;
                if (!is_channel_map(o))
                        continue;
                while (m->name && (strlen(m->name) != size || strncmp(m->name, name, size) != 0))
                        m++;
                if (!m->name || m->type != TBAGENT_STRING)
                        return false;
        }
        return true;
}

static bool condition_holds(const struct tbagent_method *m, const struct tbagent_option *options) {
        const char *equals = m->when ? strchr(m->when, '=') : NULL;

        return !m->when || ((m->flags & TBAGENT_METHOD_CHANNEL) && equals && equals - m->when < NAME_MAX_SIZE &&
                            channels_have(options, m->when, (size_t)(equals - m->when)));
}

static int check_methods(const struct tbagent_method *table, const struct tbagent_option *options, char **ret_why) {
        for (const struct tbagent_method *m = table; m && m->name; m++) {
                if (!name_is_plain(m->name))
                        return refuse(ret_why, "the plugin has a method with a name that cannot be called: \"%.64s\"", m->name);
                if (m->flags & ~(TBAGENT_METHOD_CHANNEL | TBAGENT_METHOD_TEXT))
                        return refuse(ret_why, "the plugin's method \"%s\" has unknown flags", m->name);
                if (!condition_holds(m, options))
                        return refuse(ret_why,
                                      "the plugin's method \"%s\" has a condition on an option that its channels lack: \"%.64s\"",
                                      m->name, m->when);
                for (const struct tbagent_method *before = table; before < m; before++)
                        if (streq(before->name, m->name))
                                return refuse(ret_why, "the plugin's method \"%s\" stands twice in its table", m->name);
        }
        return 0;
}

static int check_ops(const struct tbagent_plugin *p, const char *path, const struct tbagent_option *reserved, char **ret_why) {
        int r;

        if (!p->name || !name_matches_file(p->name, path))
                return refuse(ret_why, "plugin %s calls itself \"%.64s\": name and file have to be the same", path,
                              p->name ? p->name : "");
        if (!p->open && !p->sample)
                return refuse(ret_why, "plugin \"%s\" has neither open nor sample: nothing to run", p->name);
        if (p->methods && p->methods->name && !p->rpc)
                return refuse(ret_why, "plugin \"%s\" lists methods but has no rpc", p->name);
        r = check_options(p->options, reserved, false, 0, ret_why);
        return r < 0 ? r : check_methods(p->methods, p->options, ret_why);
}

int plugin_new(Plugin **ret, const char *path, const struct tbagent_option *reserved, char **ret_why) {
        _cleanup_(plugin_freep) Plugin *p = calloc(1, sizeof *p);
        const struct tbagent_plugin *given;
        int r;

        if (!p)
                return -ENOMEM;
        r = check_file(path, ret_why);
        if (r < 0)
                return r;
        /* NODELETE: threads or exit handlers of its libraries may outlive plugin_free() */
        p->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!p->handle)
                return refuse(ret_why, "plugin %s cannot be loaded: %s", path, dlerror());
        given = dlsym(p->handle, SYMBOL);
        if (!given)
                return refuse(ret_why, "%s is no plugin: it has no symbol " SYMBOL, path);
        if (given->abi != TBAGENT_PLUGIN_ABI)
                return refuse(ret_why, "plugin %s was built for interface %u, this is %u: build it again", path,
                              given->abi, TBAGENT_PLUGIN_ABI);
        if (given->size < SIZE_MIN || given->size > 64 * KIB)
                return refuse(ret_why, "plugin %s says that it is %u bytes large: build it with TBAGENT_PLUGIN()", path,
                              given->size);
        /* It may call what is not there. */
        if (given->size > sizeof p->ops || given->services_size > sizeof(struct tbagent_services))
                return refuse(ret_why, "plugin %s was built with a newer tbagent: update this one, or build the plugin again",
                              path);
        memcpy(&p->ops, given, given->size);
        r = check_ops(&p->ops, path, reserved, ret_why);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Plugin *plugin_free(Plugin *p) {
        if (!p)
                return NULL;
        if (p->handle)
                dlclose(p->handle);
        free(p);
        return NULL;
}

const struct tbagent_method *plugin_method(const Plugin *p, const char *name) {
        for (const struct tbagent_method *m = p->ops.methods; m && m->name; m++)
                if (streq(m->name, name))
                        return m;
        return NULL;
}
