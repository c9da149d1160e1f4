/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an instance and its process, and what it is told; what it tells is in instance-events.c. */
#include <stdio.h>

#include "agent/instance-inside.h"
#include "agent/plugins.h"
#include "base/log.h"

/* ---- life */

static int load_kept(Instance *i, const ConfigInstance *config) {
        PluginStateParams p = {
                .loop = i->params.loop,
                .instance = i->name,
                .runtime_dir = i->params.runtime_dir,
                .state_dir = i->params.state_dir,
                .store = spool_store(i->params.spool),
                .persist = config->persist,
        };
        const void *data;
        size_t size;
        int r = plugin_state_new(&i->kept, &p);

        if (r < 0)
                return r;
        data = plugin_state_data(i->kept, &size);
        return child_set_state_blob(i->child, data, size);
}

static int make_child(Instance *i, const ConfigInstance *config) {
        ChildParams p = {
                .loop = i->params.loop,
                .host_path = i->params.host_path,
                .instance = i->name,
                .plugin_file = i->plugin_file,
                .mode = MODE_RUN,
                .settings = i->settings,
                .settings_size = i->settings_size,
                .intake_rate = config->intake_rate,
                .intake_burst = i->params.burst_max > 0 ? MIN(config->intake_burst, i->params.burst_max) : config->intake_burst,
                .log_level = i->params.log_level,
#ifdef TBAGENT_SANITIZED
                .sanitized = true,
#endif
                .events = instance_events,
                .userdata = i,
        };

        int r = child_new(&i->child, &p);

        return r < 0 ? r : load_kept(i, config);
}

static int encode_settings(const ConfigInstance *config, uint8_t **ret, size_t *ret_size) {
        size_t size = setting_encoded_size(config->settings);
        uint8_t *data = malloc(size);

        if (!data)
                return -ENOMEM;
        *ret_size = setting_encode(config->settings, data);
        *ret = data;
        return 0;
}

/* Where another instance makes one of them on purpose, this one must have another name. */
static void reserve_keys(Instance *i, const ConfigInstance *config) {
        KeysConflict with;
        char why[512], text[1024];

        if (keys_reserve(i->params.keys, i->name, i->params.owner, config->file, config->line, &with) != 1)
                return;
        i->mute = true;
        snprintf(text, sizeof(text), "%s:%u: %s", config->file, config->line, keys_conflict_text(&with, why, sizeof(why)));
        instance_mark_misconfigured(i, text);
}

int instance_new(Instance **ret, const InstanceParams *params, const ConfigInstance *config) {
        _cleanup_(instance_freep) Instance *i = calloc(1, sizeof(*i));
        _cleanup_(freep) char *text = NULL;
        int r;

        if (!i)
                return -ENOMEM;
        i->params = *params;
        i->optional = config->optional;
        i->strict = config->strict_order;
        i->on_exit_after = config->on_exit_after;
        i->name = strdup(config->name);
        i->plugin = strdup(config->plugin);
        if (!i->name || !i->plugin)
                return -ENOMEM;
        r = encode_settings(config, &i->settings, &i->settings_size);
        if (r < 0)
                return r;
        reserve_keys(i, config);
        if (config->misconfigured)
                instance_mark_misconfigured(i, "its part of the configuration is wrong: see tbagent --check");
        else if (plugins_find(params->plugin_dirs, config->plugin, &i->plugin_file, &text) < 0)
                instance_mark_misconfigured(i, text ? text : "out of memory");
        else if (!i->misconfigured)
                r = make_child(i, config);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(i);
        return 0;
}

Instance *instance_free(Instance *i) {
        if (!i)
                return NULL;
        child_free(i->child);
        if (i->params.exits && i->name)
                exits_ended(i->params.exits, i->name, i->final);
        plugin_state_free(i->kept);
        keys_release(i->params.keys, i->params.owner);
        free(i->plugin_file);
        free(i->settings);
        free(i->reason);
        free(i->plugin);
        free(i->name);
        free(i);
        return NULL;
}

void instance_start(Instance *i) {
        int r = 0;

        if (!i->child) {
                instance_on_state(i, NULL, HOST_MISCONFIGURED, i->reason ? i->reason : "");
                return;
        }
        if (i->params.exits)
                r = exits_begin(i->params.exits, i->name, i->plugin, i->settings, i->settings_size, i->on_exit_after);
        if (r == 0)
                r = child_start(i->child);
        if (r < 0)
                log_instance(LOG_ERR, i->name, "cannot start %s: %s", i->params.host_path, strerror(-r));
}

void instance_set_final(Instance *i, bool final) {
        i->final = final;
}

void instance_stop(Instance *i, usec_t wait, bool final) {
        i->final = final;
        if (i->child)
                child_stop(i->child, wait, final);
}

bool instance_is_stopped(const Instance *i) {
        HostState s = i->child ? child_state(i->child) : HOST_STOPPED;

        return s == HOST_STOPPED || s == HOST_MISCONFIGURED;
}

bool instance_is_stuck(const Instance *i) {
        return i->child && child_state(i->child) == HOST_STUCK;
}

bool instance_is_same(const Instance *i, const ConfigInstance *config) {
        _cleanup_(setting_freep) Setting *own = NULL;

        return setting_decode(i->settings, i->settings_size, &own) == 0 && setting_same(own, config->settings);
}

/* ---- what it is told */

void instance_give(Instance *i, const char *name, int fd) {
        int r;

        if (!i->child)
                r = -ENOTCONN;
        else if (fd >= 0)
                r = child_send_fd(i->child, fd, FRAME_FD, name, (uint64_t)0);
        else
                r = child_send(i->child, FRAME_FD, name, (uint64_t)-fd);
        closep(&fd);
        if (r < 0)
                log_debug("%s: descriptor %s: %s", i->name, name, strerror(-r)); /* it waits 5 s for it, then asks anew */
}

void instance_connection(Instance *i, bool online) {
        if (i->child)
                (void)!child_send(i->child, FRAME_CONNECTION,
                                  (uint64_t)online); /* one that does not read now is told with the next change */
}

int instance_rpc(Instance *i, uint64_t token, const char *channel, const char *method, const char *params) {
        return i->child ? child_send(i->child, FRAME_RPC, token, channel, method, params) : -ENOTCONN;
}

int instance_attribute(Instance *i, const char *key, const char *json) {
        return i->child ? child_send(i->child, FRAME_ATTRIBUTE, key, json ? json : "") : -ENOTCONN;
}

int instance_setting(Instance *i, const char *path, const Setting *setting) {
        size_t size = setting ? setting_encoded_size(setting) : 0;
        _cleanup_(freep) uint8_t *data = malloc(size + 1);

        if (!data)
                return -ENOMEM;
        if (setting)
                setting_encode(setting, data);
        return i->child ? child_send(i->child, FRAME_SETTING, path, (const void *)data, size) : -ENOTCONN;
}

int instance_answer(Instance *i, uint64_t token, int error, const char *json) {
        return i->child ? child_send(i->child, FRAME_ANSWER, token, (uint64_t)-error, json ? json : "") : -ENOTCONN;
}

int instance_sample(Instance *i) {
        return i->child ? child_send(i->child, FRAME_SAMPLE) : -ENOTCONN;
}

int instance_level(Instance *i, int log_level) {
        return i->child ? child_send(i->child, FRAME_LEVEL, (uint64_t)log_level) : -ENOTCONN;
}

/* ---- what is known of it */

const char *instance_name(const Instance *i) {
        return i->name;
}

const char *instance_plugin(const Instance *i) {
        return i->plugin;
}

unsigned instance_restarts(const Instance *i) {
        return i->child ? child_restarts(i->child) : 0;
}

HostState instance_state(const Instance *i) {
        return i->misconfigured || !i->child ? HOST_MISCONFIGURED : child_state(i->child);
}

const char *instance_reason(const Instance *i) {
        if (i->misconfigured || !i->child)
                return i->reason ? i->reason : "";
        return child_reason(i->child);
}

unsigned instance_owner(const Instance *i) {
        return i->params.owner;
}

InstanceStats instance_stats(const Instance *i) {
        return i->stats;
}
