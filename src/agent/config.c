/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a configuration: the text of each file is held to the grammar (agent/config-text), which tells all
 * of its mistakes and refuses what the versions of libconfig read differently; libconfig reads it; its tree
 * becomes settings that know file and line; the files are merged; the result is checked (agent/config-check).
 * After a mistake of grammar in any file nothing is checked, because half of a configuration would be told
 * to lack the other half.
 *
 * The configuration that ran last is kept as the merged tree in the form that hosts get it too, so that it can
 * be used when the files cannot, with the file and line of each setting in messages.
 */
#include <dirent.h>
#include <libconfig.h>
#include <stdio.h>

#include "agent/config-text.h"
#include "agent/config.h"
#include "agent/credentials.h"
#include "base/file.h"

#define FILE_SIZE_MAX MIB
#define SAVED_MAGIC "tbagent configuration 1\n"

struct Config {
        Setting *root;
        Node *top;
        ConfigInstance *instances;
        Setting **settings; /* of the instances */
        size_t n_instances;
};

Config *config_free(Config *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_instances; i++)
                setting_free(c->settings[i]);
        free(c->settings);
        free(c->instances);
        node_free(c->top);
        setting_free(c->root);
        free(c);
        return NULL;
}

/* ---- from libconfig */

static int convert(const config_setting_t *from, const char *file, Setting **ret);

static int convert_value(const config_setting_t *from, Setting *s) {
        switch (s->type) {
        case SETTING_BOOL:
                s->b = config_setting_get_bool(from);
                return 0;
        case SETTING_INT:
                s->i = config_setting_type(from) == CONFIG_TYPE_INT ? config_setting_get_int(from)
                                                                    : config_setting_get_int64(from);
                return 0;
        case SETTING_FLOAT:
                s->d = config_setting_get_float(from);
                return 0;
        case SETTING_STRING:
                return setting_set_string(s, config_setting_get_string(from));
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        for (int i = 0; i < config_setting_length(from); i++) {
                Setting *child;
                int r = convert(config_setting_get_elem(from, (unsigned)i), s->file, &child);

                if (r >= 0)
                        r = setting_add(s, child);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int convert(const config_setting_t *from, const char *file, Setting **ret) {
        static const SettingType types[] = {
                [CONFIG_TYPE_GROUP] = SETTING_GROUP, [CONFIG_TYPE_INT] = SETTING_INT,   [CONFIG_TYPE_INT64] = SETTING_INT,
                [CONFIG_TYPE_FLOAT] = SETTING_FLOAT, [CONFIG_TYPE_STRING] = SETTING_STRING, [CONFIG_TYPE_BOOL] = SETTING_BOOL,
                [CONFIG_TYPE_ARRAY] = SETTING_LIST,  [CONFIG_TYPE_LIST] = SETTING_LIST,
        };
        _cleanup_(setting_freep) Setting *s = NULL;
        int r;

        r = setting_new(&s, types[config_setting_type(from)], config_setting_name(from), file,
                        config_setting_source_line(from));
        if (r < 0)
                return r;
        r = convert_value(from, s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static int parse(const char *text, const char *file, Setting **ret, ConfigProblems *problems) {
        _cleanup_(freep) char *lines = NULL;
        config_t config;
        int r = 0;

        /* libconfig 1.5 takes no comment without an end of line */
        if (asprintf(&lines, "%s\n", text) < 0) {
                lines = NULL;
                return -ENOMEM;
        }
        config_init(&config);
        if (config_read_string(&config, lines))
                r = convert(config_root_setting(&config), file, ret);
        else {
                /* what config_text_check() lets through, libconfig takes: the fuzzer looks for the opposite */
                config_problems_add(problems, true, "", file, (unsigned)MAX(config_error_line(&config), 0),
                                    "libconfig cannot read this: %s", config_error_text(&config));
                r = -EBADMSG;
        }
        config_destroy(&config);
        return r;
}

/* ---- files */

static int load_file(Setting *root, const char *file, ConfigProblems *problems) {
        _cleanup_(freep) char *text = NULL;
        Setting *s;
        size_t size;
        int r;

        r = file_read(file, FILE_SIZE_MAX, &text, &size);
        if (r == -E2BIG)
                config_problems_add(problems, true, "", file, 0, "the file is larger than 1 MiB");
        else if (r < 0)
                config_problems_add(problems, true, "", file, 0, "cannot be read: %s", strerror(-r));
        if (r < 0)
                return r;
        if (config_text_check(text, size, file, problems) > 0)
                return -EBADMSG;
        r = parse(text, file, &s, problems);
        return r < 0 ? r : setting_merge(root, s);
}

static int is_part(const struct dirent *entry) {
        size_t n = strlen(entry->d_name);

        return entry->d_name[0] != '.' && n > 5 && streq(entry->d_name + n - 5, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

/* Every file of PATH.d, also after one that cannot be used, so that all mistakes are told. */
static int load_parts(Setting *root, const char *path, ConfigProblems *problems) {
        _cleanup_(freep) char *folder = NULL;
        struct dirent **entries;
        int n, r = 0;

        if (asprintf(&folder, "%s.d", path) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        n = scandir(folder, &entries, is_part, by_name);
        if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        if (n < 0) {
                r = -errno;
                config_problems_add(problems, true, "", folder, 0, "cannot be read: %s", strerror(-r));
                return r;
        }
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *file = NULL;
                int e = asprintf(&file, "%s/%s", folder, entries[i]->d_name);

                if (e < 0)
                        file = NULL;
                e = e < 0 ? -ENOMEM : load_file(root, file, problems);
                r = r < 0 ? r : e;
                free(entries[i]);
        }
        free(entries);
        return r;
}

/* ---- the whole */

static int make_instances(Config *c, ConfigProblems *problems) {
        const Setting *plugins = setting_child(c->root, "plugins");

        if (!plugins || plugins->type != SETTING_GROUP)
                return 0;
        c->instances = calloc(plugins->n_children + 1, sizeof(*c->instances));
        c->settings = calloc(plugins->n_children + 1, sizeof(*c->settings));
        if (!c->instances || !c->settings)
                return -ENOMEM;
        for (size_t i = 0; i < plugins->n_children; i++)
                if (config_check_instance(c->root, plugins->children[i], &c->instances[c->n_instances],
                                          &c->settings[c->n_instances], problems))
                        c->n_instances++;
        return 0;
}

/* Consumes root. */
static int make_config(Config **ret, Setting *root, const char *path, bool rights, ConfigProblems *problems) {
        _cleanup_(config_freep) Config *c = calloc(1, sizeof(*c));
        int r;

        if (!c) {
                setting_free(root);
                return -ENOMEM;
        }
        c->root = root;
        config_check_top(root, path, rights, &c->top, problems);
        if (!c->top)
                return -ENOMEM;
        r = make_instances(c, problems);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

static size_t count(const Setting *s) {
        size_t n = 1;

        for (size_t i = 0; i < s->n_children; i++)
                n += count(s->children[i]);
        return n;
}

int config_load(Config **ret, const char *path, ConfigProblem **ret_problems, size_t *ret_n) {
        _cleanup_(setting_freep) Setting *root = NULL;
        ConfigProblems problems = { 0 };
        int r, e;

        r = setting_new(&root, SETTING_GROUP, NULL, path, 0);
        if (r >= 0) {
                r = load_file(root, path, &problems);
                e = load_parts(root, path, &problems);
                r = r < 0 ? r : e;
        }
        if (r >= 0 && count(root) > SETTING_NODES_MAX) {
                config_problems_add(&problems, true, "", path, 0, "there are more than %d settings in all files",
                                    SETTING_NODES_MAX);
                r = -E2BIG;
        }
        if (r >= 0)
                r = make_config(ret, TAKE_PTR(root), path, true, &problems);
        config_problems_sort(&problems);
        *ret_problems = problems.list;
        *ret_n = problems.n;
        return r;
}

int config_load_saved(Config **ret, const char *path) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(freep) char *data = NULL;
        ConfigProblems problems = { 0 };
        const size_t magic = strlen(SAVED_MAGIC);
        Setting *root;
        size_t size;
        bool fatal;
        int r;

        r = file_read(path, 16 * FILE_SIZE_MAX, &data, &size);
        if (r < 0)
                return r;
        if (size < magic || memcmp(data, SAVED_MAGIC, magic) != 0)
                return -EBADMSG;
        r = setting_decode((const uint8_t *)data + magic, size - magic, &root);
        if (r < 0)
                return r;
        if (root->type != SETTING_GROUP) {
                setting_free(root);
                return -EBADMSG;
        }
        /* It ran: that a file of it may be read by more people now is told when the files are loaded. */
        r = make_config(&c, root, path, false, &problems);
        fatal = config_problems_fatal(&problems, 0);
        config_problems_free(problems.list, problems.n);
        if (r < 0)
                return r;
        if (fatal)
                return -EBADMSG; /* this version wants more than the one that wrote it */
        *ret = TAKE_PTR(c);
        return 0;
}

int config_save(const Config *c, const char *path) {
        const size_t magic = strlen(SAVED_MAGIC), size = magic + setting_encoded_size(c->root);
        _cleanup_(freep) char *data = malloc(size);
        int r;

        if (!data)
                return -ENOMEM;
        memcpy(data, SAVED_MAGIC, magic);
        setting_encode(c->root, (uint8_t *)data + magic);
        r = file_replace(path, data, size, 0600);
        return r < 0 ? r : 0;
}

int config_load_tree(const char *path, Setting **ret, char **ret_text) {
        _cleanup_(freep) char *text = NULL;
        ConfigProblems problems = { 0 };
        int r = file_read(path, 16 * FILE_SIZE_MAX, &text, NULL);

        *ret_text = NULL;
        if (r == -ENOENT)
                return r;
        if (r < 0) {
                if (asprintf(ret_text, "%s cannot be read: %s", path, strerror(-r)) < 0)
                        *ret_text = NULL;
                return r;
        }
        r = parse(text, path, ret, &problems);
        if (r < 0 && problems.n > 0)
                *ret_text = config_problem_text(&problems.list[0]);
        config_problems_free(problems.list, problems.n);
        return r;
}

const Setting *config_root(const Config *c) {
        return c->root;
}

const Node *config_server(const Config *c) {
        return node_member(c->top, "server", 0);
}

const Node *config_telemetry(const Config *c) {
        return node_member(c->top, "telemetry", 0);
}

const Node *config_top(const Config *c) {
        return c->top;
}

size_t config_n_instances(const Config *c) {
        return c->n_instances;
}

const ConfigInstance *config_instance(const Config *c, size_t i) {
        return &c->instances[i];
}

const char *config_url(const Config *c) {
        return node_string(config_server(c), "url", 0);
}

int config_credentials(const Config *c, char **ret_username, char **ret_password, char **ret_text) {
        return credentials_read(config_server(c), node_member(c->top, "provision", 0), ret_username, ret_password, ret_text);
}

static bool same_parts(const Config *a, const Config *b, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!setting_same(setting_child(a->root, names[i]), setting_child(b->root, names[i])))
                        return false;
        return true;
}

bool config_same_provision(const Config *a, const Config *b) {
        static const char *const names[] = { "server", "provision" };

        return same_parts(a, b, names, ELEMENTS(names));
}

bool config_same_server(const Config *a, const Config *b) {
        static const char *const names[] = { "server", "telemetry", "provision" };

        return same_parts(a, b, names, ELEMENTS(names));
}
