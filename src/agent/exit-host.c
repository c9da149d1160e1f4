/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/exit-host.h"
#include "agent/plugins.h"
#include "base/log.h"
#include "sensor/child.h"

struct ExitHost {
        ExitHostParams params;
        char *instance;
        Child *child;
        bool started, done, stopping;
};

static void on_state(void *userdata, Child *c _unused_, HostState state, const char *reason) {
        ExitHost *h = userdata;

        if (state < HOST_MISCONFIGURED || !h->started)
                return;
        if (!h->done && !h->stopping && reason[0])
                log_instance(LOG_ERR, h->instance, "its outputs cannot get their on_exit values: %s", reason);
        h->params.ended(h->params.userdata);
}

static void on_rows(void *userdata _unused_, Child *c _unused_, const uint8_t *data _unused_, size_t size _unused_) {
}

static void give(ExitHost *h, const char *name) {
        int fd = h->params.take(h->params.userdata, name);
        int r = fd >= 0 ? child_send_fd(h->child, fd, FRAME_FD, name, (uint64_t)0)
                        : child_send(h->child, FRAME_FD, name, (uint64_t)-fd);

        closep(&fd);
        if (r < 0)
                log_debug("%s: %s: %s", h->instance, name, strerror(-r));
}

static void on_log(const ExitHost *h, const Frame *f) {
        int level = f->f[0].u <= LOG_DEBUG && f->f[0].u >= LOG_ERR ? (int)f->f[0].u : LOG_INFO;

        if (level <= log_level() && log_allow(h->instance, 10 * USEC_PER_SEC, 100, NULL))
                log_instance(level, h->instance, "%s", f->f[1].data);
}

static void on_frame(void *userdata, Child *c _unused_, const Frame *f, int fd) {
        ExitHost *h = userdata;

        closep(&fd);
        if (f->type == FRAME_FD_TAKE)
                give(h, f->f[0].data);
        else if (f->type == FRAME_LOG)
                on_log(h, f);
        else if (f->type == FRAME_DONE && !h->done) {
                h->done = true;
                h->params.done(h->params.userdata);
        }
}

int exit_host_new(ExitHost **ret, const ExitHostParams *params) {
        _cleanup_(exit_host_freep) ExitHost *h = calloc(1, sizeof(*h));
        _cleanup_(freep) char *file = NULL, *text = NULL;
        ChildParams p = {
                .loop = params->loop, .host_path = params->host_path, .instance = params->instance, .mode = MODE_EXIT_STATE,
                .settings = params->record->settings, .settings_size = params->record->settings_size,
                .log_level = params->log_level,
#ifdef TBAGENT_SANITIZED
                .sanitized = true,
#endif
                .events = { on_state, on_rows, on_frame }, .userdata = h,
        };
        int r;

        if (!h)
                return -ENOMEM;
        h->params = *params;
        h->instance = strdup(params->instance);
        if (!h->instance)
                return -ENOMEM;
        r = plugins_find(params->plugin_dirs, params->record->plugin, &file, &text);
        if (r < 0)
                return r;
        p.plugin_file = file;
        r = child_new(&h->child, &p);
        if (r == 0)
                r = child_start(h->child);
        if (r < 0)
                return r;
        h->started = true;
        *ret = TAKE_PTR(h);
        return 0;
}

ExitHost *exit_host_free(ExitHost *h) {
        if (!h)
                return NULL;
        child_free(h->child);
        free(h->instance);
        free(h);
        return NULL;
}

void exit_host_stop(ExitHost *h, usec_t wait) {
        h->stopping = true;
        child_stop(h->child, wait, false);
}
