/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All hosts run side by side. Each has come through when its process has ended; what it told as problems,
 * declared keys and rows is passed on as it comes. Declared keys meet in one table, so two instances with
 * one key are told here too.
 */
#include <stdio.h>

#include "agent/keys.h"
#include "agent/plugins.h"
#include "agent/probe.h"
#include "base/log.h"
#include "sensor/child.h"

typedef struct Probe Probe;

typedef struct Probed {
        Probe *probe;
        const ConfigInstance *instance;
        unsigned owner;
        Child *child;
        bool through;
        bool told; /* a problem of its own: how it ended adds nothing */
        bool done; /* it said so itself */
} Probed;

struct Probe {
        const ProbeParams *params;
        Loop *loop;
        Keys *keys;
        LoopTimer *timer;
        Probed *probed;
        size_t n, waiting;
};

static void tell(Probed *p, bool fatal, const char *file, unsigned line, const char *text) {
        const ProbeParams *params = p->probe->params;

        p->told = true;
        params->problem(params->userdata, p->instance, fatal, file, line, text);
}

static void come_through(Probed *p) {
        if (p->through)
                return;
        p->through = true;
        if (--p->probe->waiting == 0)
                loop_exit(p->probe->loop, 0);
}

/* In mode ONCE what it is doing says more. */
static bool ended_early(const Probed *p, const char *reason) {
        switch (p->probe->params->mode) {
        case MODE_CHECK:
                return !p->told && reason[0];
        case MODE_SCAN:
                return !p->done;
        case MODE_RUN:
        case MODE_ONCE:
        case MODE_EXIT_STATE:
                break;
        }
        return false;
}

static void on_state(void *userdata, Child *c _unused_, HostState state, const char *reason) {
        Probed *p = userdata;
        char text[512];

        switch (state) {
        case HOST_OPENING:
        case HOST_RUNNING:
                return;
        case HOST_WAITING:
        case HOST_ILL:
                if (p->probe->params->mode == MODE_ONCE) {
                        snprintf(text, sizeof(text), "%s: %s", host_state_name(state), reason);
                        tell(p, false, NULL, 0, text);
                }
                return;
        case HOST_BACKOFF:
        case HOST_STUCK:
                snprintf(text, sizeof(text), "the plugin host ended: %s", reason);
                tell(p, true, NULL, 0, text);
                break;
        case HOST_MISCONFIGURED:
                if (!p->told)
                        tell(p, true, NULL, 0, reason);
                break;
        case HOST_STOPPED:
                if (ended_early(p, reason)) {
                        snprintf(text, sizeof(text), "the plugin host ended: %s", reason[0] ? reason : "by itself");
                        tell(p, true, NULL, 0, text);
                }
                break;
        case _HOST_STATE_MAX:
                break;
        }
        come_through(p);
}

static void on_rows(void *userdata, Child *c _unused_, const uint8_t *data, size_t size) {
        Probed *p = userdata;
        const ProbeParams *params = p->probe->params;
        Row row;

        while (params->row && size > 0 && row_decode(&data, &size, &row) == 0)
                params->row(params->userdata, p->instance, &row);
}

static void on_declare(Probed *p, const Frame *f) {
        KeysConflict with;
        char text[512];

        if (keys_declare(p->probe->keys, f->f[0].data, p->owner, f->f[1].data, (unsigned)f->f[2].u, &with) != 1 ||
            with.owner == p->owner) /* within one instance the host itself looks */
                return;
        tell(p, true, f->f[1].data, (unsigned)f->f[2].u, keys_conflict_text(&with, text, sizeof(text)));
}

/* What is found, and what could not be looked at: why scan() failed, and what it warned of. */
static bool on_scan_frame(Probed *p, const Frame *f) {
        const ProbeParams *params = p->probe->params;

        if (f->type == FRAME_FOUND && params->found)
                params->found(params->userdata, p->instance, f->f[0].data, f->f[0].size);
        else if (f->type == FRAME_DONE) {
                p->done = true;
                if (f->f[0].size > 0)
                        tell(p, false, NULL, 0, f->f[0].data);
        } else if (f->type == FRAME_LOG && f->f[0].u <= LOG_WARNING)
                tell(p, false, NULL, 0, f->f[1].data);
        else
                return false;
        return true;
}

static void on_frame(void *userdata, Child *c _unused_, const Frame *f, int fd) {
        Probed *p = userdata;

        if (p->probe->params->mode == MODE_SCAN && on_scan_frame(p, f)) {
                closep(&fd);
                return;
        }
        if (f->type == FRAME_PROBLEM)
                tell(p, f->f[0].u != 0, f->f[1].size ? f->f[1].data : NULL, (unsigned)f->f[2].u, f->f[3].data);
        else if (f->type == FRAME_DECLARE)
                on_declare(p, f);
        else if (f->type == FRAME_LOG && f->f[0].u <= (uint64_t)log_level())
                log_instance((int)MAX(f->f[0].u, (uint64_t)LOG_ERR), p->instance->name, "%s", f->f[1].data);
        closep(&fd);
}

static int start(Probed *p) {
        const ProbeParams *params = p->probe->params;
        _cleanup_(freep) char *file = NULL, *text = NULL;
        _cleanup_(freep) uint8_t *settings = malloc(setting_encoded_size(p->instance->settings));
        const char *where = p->instance->file;
        unsigned line = p->instance->line;
        const Setting *plugin = setting_child(p->instance->settings, "plugin");
        KeysConflict none; /* nobody has declared anything yet */
        int r;

        if (!settings)
                return -ENOMEM;
        (void)!keys_reserve(p->probe->keys, p->instance->name, p->owner, where, line, &none);
        if (plugin && plugin->file)
                where = plugin->file, line = plugin->line;
        if (plugins_find(params->plugin_dirs, p->instance->plugin, &file, &text) < 0) {
                tell(p, true, where, line, text ? text : "out of memory");
                come_through(p);
                return 0;
        }
        ChildParams c = {
                .loop = p->probe->loop, .host_path = params->host_path, .instance = p->instance->name, .plugin_file = file,
                .mode = params->mode, .settings = settings, .settings_size = setting_encode(p->instance->settings, settings),
                .log_level = params->log_level,
#ifdef TBAGENT_SANITIZED
                .sanitized = true,
#endif
                .events = { on_state, on_rows, on_frame }, .userdata = p,
        };
        r = child_new(&p->child, &c);
        return r < 0 ? r : child_start(p->child);
}

static void on_timeout(void *userdata) {
        Probe *probe = userdata;

        for (size_t i = 0; i < probe->n; i++)
                if (!probe->probed[i].through) {
                        tell(&probe->probed[i], true, NULL, 0, "did not answer in time");
                        come_through(&probe->probed[i]);
                }
}

static void choose(Probe *probe) {
        for (size_t i = 0; i < probe->params->n_instances; i++) {
                const ConfigInstance *instance = &probe->params->instances[i];
                const char *only = probe->params->only;

                /* a disabled instance is checked all the same, but never opened */
                if (only ? !streq(instance->name, only) : !instance->enabled && probe->params->mode != MODE_CHECK)
                        continue;
                if (instance->misconfigured)
                        continue; /* config_load() told why */
                probe->probed[probe->n++] = (Probed){ .probe = probe, .instance = instance, .owner = (unsigned)i + 1 };
        }
        probe->waiting = probe->n;
}

static int run(Probe *probe) {
        int r;

        choose(probe);
        if (probe->n == 0)
                return probe->params->only ? -ENOENT : 0;
        r = loop_timer_new(&probe->timer, probe->loop, "probe-timeout", on_timeout, probe);
        if (r < 0)
                return r;
        loop_timer_arm_in(probe->timer, probe->params->timeout, 0);
        for (size_t i = 0; i < probe->n; i++) {
                r = start(&probe->probed[i]);
                if (r < 0)
                        return r;
        }
        return probe->waiting > 0 ? loop_run(probe->loop) : 0;
}

int probe_run(const ProbeParams *params) {
        _cleanup_(keys_freep) Keys *keys = NULL;
        _cleanup_(loop_freep) Loop *loop = NULL;
        Probe probe = { .params = params };
        int r = loop_new(&loop);

        if (r == 0)
                r = keys_new(&keys);
        probe.loop = loop;
        probe.keys = keys;
        probe.probed = calloc(params->n_instances + 1, sizeof(Probed));
        if (r == 0)
                r = probe.probed ? run(&probe) : -ENOMEM;
        for (size_t i = 0; i < probe.n; i++)
                child_free(probe.probed[i].child);
        loop_timer_free(probe.timer);
        free(probe.probed);
        return r;
}
