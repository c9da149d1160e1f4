/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an output was driven with counts more than what the configuration says now, and is there when that cannot be read, which
 * is the usual reason to be here: so the records of the hosts that drove them (agent/exit-record) come first. An instance
 * without one has driven nothing since the boot; its outputs are set all the same, as the configuration says, or the last one
 * that ran.
 *
 * The descriptors are gone with the daemon: systemd closes them when the unit fails. The plugins open their lines by name.
 */
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "agent/config.h"
#include "agent/exit-host.h"
#include "agent/exit-state.h"
#include "base/log.h"

typedef struct ExitState ExitState;

typedef struct Member {
        ExitState *all;
        char *instance;
        ExitHost *host;
        bool done, ended;
} Member;

struct ExitState {
        const ExitStateParams *params;
        Loop *loop;
        Member **members;
        size_t n;
        bool ready;
};

/* ---- hosts */

/* False: no host is left, so nothing is held. */
static bool look(ExitState *s) {
        size_t done = 0, ended = 0;

        for (size_t i = 0; i < s->n; i++) {
                done += s->members[i]->done || s->members[i]->ended;
                ended += s->members[i]->ended;
        }
        if (done == s->n && !s->ready) {
                s->ready = true;
                sd_notify(0, "READY=1\nSTATUS=The daemon has failed: outputs have their on_exit values.");
        }
        return ended < s->n;
}

static void on_done(void *userdata) {
        Member *m = userdata;

        m->done = true;
        (void)look(m->all);
}

static void on_ended(void *userdata) {
        Member *m = userdata;

        m->ended = true;
        if (!look(m->all))
                loop_exit(m->all->loop, EXIT_SUCCESS);
}

static int on_take(void *userdata _unused_, const char *name _unused_) {
        return -ENOENT;
}

static bool has(const ExitState *s, const char *instance) {
        for (size_t i = 0; i < s->n; i++)
                if (streq(s->members[i]->instance, instance))
                        return true;
        return false;
}

/* A host that cannot be started costs the others nothing. */
static int add(void *userdata, const char *instance, const ExitRecord *record) {
        ExitState *s = userdata;
        Member **members = reallocarray(s->members, s->n + 1, sizeof(*members)), *m = calloc(1, sizeof(*m));
        ExitHostParams p = { .loop = s->loop, .host_path = s->params->host_path, .plugin_dirs = s->params->plugin_dirs,
                             .instance = instance, .record = record, .log_level = log_level(), .take = on_take, .done = on_done,
                             .ended = on_ended, .userdata = m };
        int r;

        if (members)
                s->members = members;
        if (!members || !m || !(m->instance = strdup(instance))) {
                free(m);
                return -ENOMEM;
        }
        m->all = s;
        s->members[s->n++] = m;
        r = exit_host_new(&m->host, &p);
        m->ended = r < 0;
        if (r < 0)
                log_instance(LOG_ERR, instance, "its outputs cannot get their on_exit values: %s",
                             r == -ENOENT ? "its plugin is not installed" : strerror(-r));
        return 0;
}

/* ---- what there is to go by */

static int load_config(const ExitStateParams *p, Config **ret) {
        ConfigProblem *problems = NULL;
        size_t n = 0;
        int r = config_load(ret, p->config_path, &problems, &n);

        config_problems_free(problems, n);
        if (r < 0)
                r = config_load_saved(ret, p->last_good_path);
        return r;
}

static int add_configured(ExitState *s, const ConfigInstance *c) {
        _cleanup_(freep) uint8_t *data = malloc(setting_encoded_size(c->settings));
        ExitRecord record = { 0 };
        int r;

        if (!data)
                return -ENOMEM;
        r = exit_record_set(&record, c->plugin, data, setting_encode(c->settings, data), c->on_exit_after);
        if (r == 0)
                r = add(s, c->name, &record);
        exit_record_done(&record);
        return r;
}

static int add_all(ExitState *s) {
        _cleanup_(config_freep) Config *config = NULL;
        int r = exit_record_each(s->params->runtime_dir, add, s), e;

        e = load_config(s->params, &config);
        if (r == 0 && e < 0 && s->n == 0)
                log_error("no configuration can be read, and no output has been driven since the boot: nothing is set");
        for (size_t i = 0; r == 0 && e == 0 && i < config_n_instances(config); i++) {
                const ConfigInstance *c = config_instance(config, i);

                if (c->enabled && !c->misconfigured && !has(s, c->name))
                        r = add_configured(s, c);
        }
        return r < 0 ? r : s->n == 0 ? e : 0;
}

/* ---- */

static void on_signal(void *userdata, int signo _unused_) {
        loop_exit(userdata, EXIT_SUCCESS);
}

static int run(ExitState *s) {
        int r = loop_signal(s->loop, SIGTERM, on_signal, s->loop);

        if (r == 0)
                r = loop_signal(s->loop, SIGINT, on_signal, s->loop);
        if (r < 0)
                return EX_OSERR;
        r = add_all(s);
        if (r < 0)
                return r == -ENOMEM ? EX_OSERR : EX_CONFIG;
        r = look(s) ? loop_run(s->loop) : EXIT_SUCCESS;
        return r < 0 ? EX_OSERR : r;
}

int exit_state_run(const ExitStateParams *params) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        ExitState s = { .params = params };
        int code = EX_OSERR;

        if (loop_new(&loop) == 0) {
                s.loop = loop;
                code = run(&s);
        }
        for (size_t i = 0; i < s.n; i++) {
                exit_host_free(s.members[i]->host);
                free(s.members[i]->instance);
                free(s.members[i]);
        }
        free(s.members);
        return code;
}
