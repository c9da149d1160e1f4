/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#include "agent/check.h"
#include "agent/config.h"
#include "agent/mirror-file.h"
#include "agent/probe.h"
#include "model/row.h"

#define CHECK_TIMEOUT (20 * USEC_PER_SEC)
#define ONCE_TIMEOUT (60 * USEC_PER_SEC)

/* What a host tells: without a place of its own it is told of the line where its instance begins. */
static void add_problem(void *userdata, const ConfigInstance *instance, bool fatal, const char *file, unsigned line,
                        const char *text) {
        ConfigProblems *p = userdata;

        if (file)
                config_problems_add(p, fatal, instance->name, file, line, "%s", text);
        else
                config_problems_add(p, fatal, instance->name, instance->file, instance->line, "plugins.%s: %s",
                                    instance->name, text);
}

static size_t print_problems(ConfigProblems *p) {
        size_t fatal = 0;

        config_problems_sort(p);
        for (size_t i = 0; i < p->n; i++) {
                _cleanup_(freep) char *text = config_problem_text(&p->list[i]);
                fprintf(stderr, "%s\n", text ? text : "out of memory");
                fatal += p->list[i].fatal;
        }
        return fatal;
}

static ProbeParams probe_params(const CheckParams *params, const Config *config, ConfigProblems *problems) {
        size_t n = config_n_instances(config);

        return (ProbeParams){ .instances = n > 0 ? config_instance(config, 0) : NULL, .n_instances = n,
                              .host_path = params->host_path, .plugin_dirs = params->plugin_dirs,
                              .log_level = params->log_level, .problem = add_problem, .userdata = problems };
}

/* A connection would fail at once for want of these. A token that is still to be put there is no mistake of the file, two of
 * them are: which one is meant only people know. */
static void check_credentials(const Config *config, ConfigProblems *problems) {
        _cleanup_(freep) char *username = NULL, *password = NULL, *text = NULL;
        unsigned line = 0;
        const char *file = node_file(node_member(config_top(config), "server", 0), "url", &line);
        int r;

        if (!config_url(config) || config_problems_fatal(problems, 0)) /* which may say this already */
                return;
        r = config_credentials(config, &username, &password, &text);
        if (r < 0)
                config_problems_add(problems, r == -EINVAL, "", file, line, "%s",
                                    text ? text : "there are no credentials for the server");
        if (password)
                explicit_bzero(password, strlen(password));
        if (username)
                explicit_bzero(username, strlen(username));
}

static void check_certificates(const Config *config, ConfigProblems *problems) {
        static const char *const names[] = { "ca", "cert", "key" };
        const Node *server = node_member(config_top(config), "server", 0);

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const char *path = node_string(server, names[i], 0), *file;
                unsigned line = 0;

                if (!path || access(path, F_OK) == 0 || errno != ENOENT)
                        continue;
                file = node_file(server, names[i], &line);
                config_problems_add(problems, false, "", file, line,
                                    "server.%s: %s is not there: put it there (/usr/share/doc/tbagent/TLS.md)", names[i], path);
        }
}

static void print_summary(const Config *config, const char *path) {
        size_t n = config_n_instances(config);

        printf("%s: no mistakes; %zu instance%s", path, n, n == 1 ? "" : "s");
        for (size_t i = 0; i < n; i++)
                printf("%s%s (%s)%s", i ? ", " : ": ", config_instance(config, i)->name, config_instance(config, i)->plugin,
                       config_instance(config, i)->enabled ? "" : " disabled");
        printf("; server %s\n", config_url(config) ? config_url(config) : "not set");
}

/* No mistake, but not to be found out on the day of the power cut. */
static void print_promise(const Config *config) {
        const Node *n = config_telemetry(config);
        int64_t usec = node_int(n, "batch_interval") + node_int(n, "store_after");

        if (config_url(config))
                printf("a power cut may take the last %g s of values (telemetry.batch_interval + telemetry.store_after), "
                       "a crash none\n",
                       (double)usec / USEC_PER_SEC);
        else
                printf("without a server values stay in memory: a power cut takes them, and the oldest go when it is full\n");
}

/* What the server said last of options of instances; only their hosts know which of these there are. */
static void print_server_settings(const Config *config, const char *state_dir) {
        _cleanup_(loop_freep) Loop *loop = NULL; /* before what has timers in it: it goes last */
        _cleanup_(attributes_freep) Attributes *a = NULL;
        _cleanup_(freep) char *why = NULL;
        bool allowed = node_int(node_member(config_top(config), "attributes", 0), "remote_settings");

        if (!allowed || loop_new(&loop) < 0 || attributes_new(&a, loop, &(AttributesEvents){ 0 }) < 0)
                return;
        if (mirror_file_load(state_dir, a, &why) < 0 && why)
                fprintf(stderr, "%s\n", why);
        for (size_t i = 0; i < config_n_instances(config); i++) {
                const ConfigInstance *in = config_instance(config, i);
                size_t size = strlen(in->name);

                for (size_t k = attributes_lower_bound(a, in->name); k < attributes_n(a); k++) {
                        const Attribute *at = attributes_at(a, k);
                        const Setting *own = at->key[size] == '.' ? setting_lookup(in->settings, at->key + size + 1) : NULL;
                        char text[120];

                        if (strncmp(at->key, in->name, size) != 0)
                                break;
                        if (at->key[size] == '.')
                                printf("%s = %s (server; file says %s)\n", at->key, at->json,
                                       own ? setting_text(own, text, sizeof(text)) : "nothing");
                }
        }
}

int check_configuration(const CheckParams *params) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigProblems problems = { 0 };
        size_t fatal;
        int r;

        r = config_load(&config, params->config_path, &problems.list, &problems.n);
        if (config) {
                ProbeParams p = probe_params(params, config, &problems);
                p.mode = MODE_CHECK;
                p.timeout = CHECK_TIMEOUT;
                r = probe_run(&p);
                check_credentials(config, &problems);
                check_certificates(config, &problems);
        }
        fatal = print_problems(&problems);
        config_problems_free(problems.list, problems.n);
        if (fatal == 0 && r < 0)
                fprintf(stderr, "tbagent: %s: %s\n", params->config_path, strerror(-r));
        if (fatal > 0)
                fprintf(stderr, "%zu mistake%s\n", fatal, fatal == 1 ? "" : "s");
        else if (r == 0) {
                print_summary(config, params->config_path);
                print_promise(config);
                print_server_settings(config, params->state_dir);
        }
        return fatal > 0 || r == -ENOENT ? EX_CONFIG : r < 0 ? EX_OSERR : EXIT_SUCCESS;
}

/* ---- once */

typedef struct Once {
        ConfigProblems problems; /* first: add_problem() gets it */
        int64_t offset_ns; /* REALTIME - BOOTTIME */
        uint64_t points;
        const ConfigInstance *instance;
        char time[40];
} Once;

static int print_member(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size) {
        Once *o = userdata;

        printf("%-16s %-28.*s %-24.*s %s\n", o->instance->name, (int)key_size, key, (int)value_size, value, o->time);
        o->points++;
        return 0;
}

static void print_row(void *userdata, const ConfigInstance *instance, const Row *row) {
        Once *o = userdata;
        int64_t ms = row_ms(row->boottime_ns + o->offset_ns);
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        uint32_t points;
        char text[32];

        localtime_r(&seconds, &tm);
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(o->time, sizeof(o->time), "%s.%03d", text, (int)(ms % 1000));
        o->instance = instance;
        if (row_validate(row->text, row->text_size, print_member, o, &points) < 0)
                fprintf(stderr, "%s: sent a row that is not valid\n", instance->name);
}

static int64_t clock_ns(clockid_t id) {
        struct timespec t;

        clock_gettime(id, &t);
        return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

int check_once(const CheckParams *params, const char *instance) {
        _cleanup_(config_freep) Config *config = NULL;
        Once once = { .offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) };
        size_t fatal;
        int r;

        r = config_load(&config, params->config_path, &once.problems.list, &once.problems.n);
        if (config) {
                ProbeParams p = probe_params(params, config, &once.problems);
                p.mode = MODE_ONCE;
                p.only = instance;
                p.timeout = ONCE_TIMEOUT;
                p.row = print_row;
                p.userdata = &once;
                r = probe_run(&p);
        }
        fflush(stdout);
        fatal = print_problems(&once.problems);
        config_problems_free(once.problems.list, once.problems.n);
        if (r == -ENOENT && config) {
                fprintf(stderr, "tbagent: no instance \"%s\" in %s\n", instance, params->config_path);
                return EX_USAGE;
        }
        if (r < 0 && fatal == 0)
                fprintf(stderr, "tbagent: %s: %s\n", params->config_path, strerror(-r));
        return fatal > 0 ? EX_CONFIG : r < 0 ? EX_OSERR : once.points > 0 ? EXIT_SUCCESS : EX_UNAVAILABLE;
}
