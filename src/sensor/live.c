/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change goes through three checks: the option table (type, range, whether it may change at all), the rules
 * of all keys (bounds in order, names that do not meet), the plugin. After a refusal the value that held before
 * must hold again, and that need not be the file's; so the settings in effect are kept here.
 */
#include <stdio.h>

#include "sensor/live.h"

typedef struct Override {
        char *path;
        Setting *setting;
} Override;

struct Live {
        LiveParams params;
        Override *overrides;
        size_t n;
        char *text; /* of the open live_apply() */
        size_t text_size;
};

int live_new(Live **ret, const LiveParams *params) {
        Live *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        l->params = *params;
        *ret = l;
        return 0;
}

Live *live_free(Live *l) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < l->n; i++) {
                free(l->overrides[i].path);
                setting_free(l->overrides[i].setting);
        }
        free(l->overrides);
        free(l);
        return NULL;
}

static Override *override_find(Live *l, const char *path) {
        for (size_t i = 0; i < l->n; i++)
                if (streq(l->overrides[i].path, path))
                        return &l->overrides[i];
        return NULL;
}

/* Takes setting. Without memory the change holds but could not be gone back to. */
static void override_keep(Live *l, const char *path, Setting *setting) {
        Override *o = override_find(l, path);

        if (!o) {
                Override *bigger = reallocarray(l->overrides, l->n + 1, sizeof *bigger);
                char *copy = strdup(path);

                if (bigger)
                        l->overrides = bigger;
                if (!bigger || !copy) {
                        free(copy);
                        setting_free(setting);
                        return;
                }
                o = &l->overrides[l->n++];
                *o = (Override){ .path = copy };
        }
        setting_free(o->setting);
        o->setting = setting;
}

static void on_problem(void *userdata, bool fatal _unused_, const char *file _unused_, unsigned line _unused_, const char *text) {
        Live *l = userdata;

        snprintf(l->text, l->text_size, "%s", text);
}

static int refuse(Live *l, int error, const char *text) {
        snprintf(l->text, l->text_size, "%s", text);
        return error;
}

static bool concerns_rules(const char *path) {
        const char *dot = strrchr(path, '.');

        for (const struct tbagent_option *o = report_options; dot && o->name; o++)
                if (streq(dot + 1, o->name))
                        return true;
        return false;
}

static int renew_rules(Live *l) {
        ChannelsParams params = { .instance = l->params.instance, .options = l->params.options, .settings = l->params.settings,
                                  .plugin_options = l->params.plugin->ops.options };
        Services *s = l->params.services;
        Channels *c;
        int r = channels_new(&c, &params, on_problem, l);

        if (r < 0)
                return refuse(l, r, strerror(-r));
        if (r > 0) {
                channels_free(c);
                return -EINVAL;
        }
        sampler_flush(s->sampler, services_wall_ns(s));
        channels_free(*l->params.channels);
        *l->params.channels = c;
        sampler_reload(s->sampler);
        return 0;
}

static int ask_plugin(Live *l, const char *path) {
        const struct tbagent_plugin *ops = &l->params.plugin->ops;
        Services *s = l->params.services;
        int r;

        if (!ops->setting || !life_is_open(l->params.life))
                return 0;
        services_enter(s, SAMPLER_EVENT);
        r = ops->setting(&s->host, life_state(l->params.life), path);
        services_returned(s);
        if (r == -EINVAL)
                refuse(l, r, s->complaint[0] ? s->complaint : "the plugin refuses this value");
        services_leave(s);
        return r == -EINVAL ? r : 0;
}

static int set(Live *l, const char *path, const Setting *setting) {
        int r = node_set(l->params.options, path, setting, on_problem, l);

        if (r == -ENOENT)
                return refuse(l, r, "there is no such option");
        if (r == -EPERM)
                return refuse(l, r, "this option cannot change while the instance runs; it belongs into the file");
        return r;
}

static int set_and_ask(Live *l, const char *path, const Setting *setting) {
        const Override *before = override_find(l, path);
        int r = set(l, path, setting);

        if (r < 0)
                return r;
        if (concerns_rules(path))
                r = renew_rules(l);
        if (r == 0)
                r = ask_plugin(l, path);
        if (r < 0) {
                char text[sizeof l->params.services->complaint];

                snprintf(text, sizeof text, "%s", l->text);
                if (set(l, path, before ? before->setting : NULL) == 0 && concerns_rules(path))
                        (void)!renew_rules(l);
                refuse(l, r, text);
        }
        return r;
}

int live_apply(Live *l, const char *path, const uint8_t *data, size_t size, char *ret_text, size_t text_size) {
        _cleanup_(setting_freep) Setting *setting = NULL;
        int r;

        l->text = ret_text;
        l->text_size = text_size;
        ret_text[0] = '\0';
        if (size > 0 && setting_decode(data, size, &setting) < 0)
                return refuse(l, -EBADMSG, "the setting cannot be read");
        r = set_and_ask(l, path, setting);
        if (r < 0)
                return r;
        override_keep(l, path, TAKE_PTR(setting));
        return 0;
}
