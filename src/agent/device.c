/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      server --updates, answers--> attributes --+--> shared.conf (mirror-file)
 *                                                +--> overrides --SETTING--> host --EFFECT--> published --> server
 *                                                '--> subscriptions --ATTRIBUTE--> host
 *      server --requests--> rpc --RPC--> host --REPLY--> rpc --> server
 *      host --CALL, ATTRIBUTES_REQUEST--> questions --answer--> host
 *      host --ATTRIBUTES--> published --> server
 */
#include <stdio.h>

#include "agent/builtin.h"
#include "agent/device.h"
#include "agent/mirror-file.h"
#include "agent/published.h"
#include "agent/questions.h"
#include "agent/rpc.h"
#include "agent/subscriptions.h"
#include "base/log.h"
#include "model/json.h"
#include "model/option-json.h"
#include "tb/tree.h"

#define SYNC_TIMEOUT (15 * USEC_PER_SEC)
#define READY_WITHIN (3 * USEC_PER_SEC) /* after the connection */
#define LOG_INTERVAL (10 * USEC_PER_SEC)
#define LOG_BURST 10

struct Device {
        DeviceParams params;
        const Config *config;
        Server *server; /* NULL: none */
        bool online, ready; /* ready: and what the server wants is known, or has not come in time */
        Attributes *attributes;
        MirrorFile *mirror;
        Methods *methods;
        Rpc *rpc;
        Published *published;
        Overrides *overrides;
        Subscriptions *subscriptions;
        QuestionsParams questions;
        LoopTimer *ready_timer;
        char *rpc_path;
        BuiltinParams builtin;
};

static Instances *instances_of(const Device *d) {
        return d->params.instances(d->params.userdata);
}

static Instance *instance_of(const Device *d, const char *name) {
        return instances_find(instances_of(d), name);
}

static Client *on_client(void *userdata) {
        return device_client(userdata);
}

static Instance *on_instance(void *userdata, const char *name) {
        return instance_of(userdata, name);
}

static void say(const char *key, int level, const char *text) {
        if (log_allow(key, LOG_INTERVAL, LOG_BURST, NULL))
                log_fields(level, NULL, 0, "%s", text);
}

/* ---- to the server */

/* Whose token it is that a message goes out with. */
typedef enum Sent { SENT_REPLY, SENT_ATTRIBUTES, SENT_CLAIM, SENT_MASK = 3 } Sent;

static uint64_t context_of(Sent sent, uint64_t token) {
        return token << 2 | sent;
}

Client *device_client(Device *d) {
        return d->server && d->online ? server_client(d->server) : NULL;
}

static int publish_attributes(void *userdata, const char *json, size_t size, uint64_t context) {
        Client *c = device_client(userdata);

        return c ? client_publish_attributes(c, json, size, context_of(SENT_ATTRIBUTES, context)) : -ENOTCONN;
}

static usec_t take_points(void *userdata, uint32_t *points) {
        const Device *d = userdata;

        return d->server ? server_take_points(d->server, points) : USEC_PER_SEC;
}

static int reply(void *userdata, uint32_t id, const char *json, size_t size, uint64_t token) {
        const Device *d = userdata;

        return d->server ? client_reply(server_client(d->server), id, json, size, context_of(SENT_REPLY, token)) : -ENOTCONN;
}

void device_delivered(Device *d, uint64_t context, int code) {
        uint64_t token = context >> 2;

        switch ((Sent)(context & SENT_MASK)) {
        case SENT_REPLY:
                rpc_delivered(d->rpc, token, code);
                break;
        case SENT_ATTRIBUTES:
                published_delivered(d->published, token, code);
                break;
        case SENT_CLAIM:
                d->params.claimed(d->params.userdata, token, code);
                break;
        case SENT_MASK:
                break;
        }
}

int device_publish(Device *d, const char *json) {
        return published_set_all(d->published, json, strlen(json));
}

int device_claim(Device *d, const char *secret, usec_t duration, uint64_t token) {
        Client *c = device_client(d);

        return c ? client_claim(c, secret, duration, context_of(SENT_CLAIM, token)) : -ENOTCONN;
}

/* ---- shared attributes */

/* Who acts on shared attributes when the server is back must not act on what they were before. */
static void tell_ready(Device *d) {
        if (!d->online || d->ready)
                return;
        loop_timer_disarm(d->ready_timer);
        d->ready = true;
        d->params.ready(d->params.userdata);
}

/* It does not answer, or something moves all the time: that it is there is news all the same. */
static void on_ready_timer(void *userdata) {
        tell_ready(userdata);
}

static void on_all(void *userdata, int error, const char *json, size_t size) {
        Device *d = userdata;

        attributes_answer(d->attributes, error, json, size);
        if (error < 0)
                tell_ready(d); /* it cannot be asked */
}

static int ask_all(void *userdata) {
        Device *d = userdata;

        return d->server ? client_request_attributes(server_client(d->server), NULL, NULL, SYNC_TIMEOUT, on_all, d) : -ENOTCONN;
}

static void on_shared(void *userdata, const char *key, const Attribute *now) {
        Device *d = userdata;

        mirror_file_changed(d->mirror, false);
        overrides_set(d->overrides, key, now ? now->json : NULL);
        subscriptions_changed(d->subscriptions, key, now ? now->json : NULL);
}

static void on_client_scope(void *userdata, struct json_object *client) {
        const Device *d = userdata;

        published_compare(d->published, client);
}

static void on_synced(void *userdata) {
        Device *d = userdata;

        tell_ready(d);
        mirror_file_changed(d->mirror, true);
        log_debug("shared attributes are as the server has them: %zu", attributes_n(d->attributes));
}

static void on_warning(void *userdata _unused_, const char *text) {
        say("attributes", LOG_WARNING, text);
}

/* ---- live settings */

static int is_configured(void *userdata, const char *instance) {
        const Device *d = userdata;

        for (size_t i = 0; d->config && i < config_n_instances(d->config); i++)
                if (streq(config_instance(d->config, i)->name, instance))
                        return config_instance(d->config, i)->enabled;
        return -ENOENT;
}

static int apply_setting(void *userdata, const char *instance, const char *path, const Setting *setting) {
        const Device *d = userdata;
        Instance *i = instance_of(d, instance);

        return i ? instance_setting(i, path, setting) : -ENOTCONN;
}

static void publish_one(void *userdata, const char *key, const char *json) {
        const Device *d = userdata;

        (void)!(json ? published_set(d->published, key, json) : published_clear(d->published, key));
}

static void on_enabled(void *userdata) {
        const Device *d = userdata;

        if (instances_of(d))
                instances_look_again(instances_of(d));
}

static void on_override_log(void *userdata _unused_, const char *text) {
        say("overrides", LOG_NOTICE, text);
}

bool device_enabled(const Device *d, const char *instance, bool configured) {
        return overrides_enabled(d->overrides, instance, configured);
}

/* ---- requests of the server */

static const Setting *aliases(void *userdata) {
        const Device *d = userdata;
        const Setting *rpc = d->config ? setting_child(config_root(d->config), "rpc") : NULL;

        return rpc ? setting_child(rpc, "aliases") : NULL;
}

/* By its full name; a short one may be of any instance that is just starting. */
static const char *unready(void *userdata, const char *method) {
        Instances *all = instances_of(userdata);

        for (size_t i = 0; i < instances_n(all); i++) {
                const Instance *instance = instances_at(all, i);
                const char *name = instance_name(instance);
                size_t n = strlen(name);
                HostState s = instance_state(instance);

                if (strncmp(method, name, n) == 0 && method[n] == '.')
                        return s == HOST_RUNNING || s == HOST_ILL || s == HOST_WAITING ? NULL : name;
        }
        for (size_t i = 0; i < instances_n(all); i++)
                if (instance_state(instances_at(all, i)) == HOST_OPENING)
                        return instance_name(instances_at(all, i));
        return NULL;
}

static int run_method(void *userdata, const Method *m, uint64_t token, const char *params) {
        const Device *d = userdata;
        Instance *i = instance_of(d, m->instance);

        return i ? instance_rpc(i, token, m->channel, m->name, params) : -ENOTCONN;
}

static char *run_builtin(void *userdata, const char *name, const char *params, const char **ret_code, const char **ret_text) {
        const Device *d = userdata;

        return builtin_call(&d->builtin, name, params, ret_code, ret_text);
}

static int64_t now_ms(void *userdata) {
        const Device *d = userdata;

        return d->params.now_ms(d->params.userdata);
}

static void on_rpc_log(void *userdata _unused_, const char *text) {
        say("rpc", LOG_NOTICE, text);
}

/* ---- frames of hosts */

static void on_method(Device *d, const char *instance, const Frame *f) {
        int r = methods_add(d->methods, instance, f->f[0].data, f->f[1].data, f->f[2].data, f->f[3].data, (uint32_t)f->f[4].u);

        if (r < 0 && log_allow("methods", 3600 * USEC_PER_SEC, 1, NULL))
                log_instance(LOG_WARNING, instance, "method %.100s cannot be offered: %s", f->f[1].data, strerror(-r));
}

static void on_published_frame(Device *d, const char *instance, const Frame *f) {
        int r = published_set_all(d->published, f->f[0].data, f->f[0].size);

        if (r < 0 && log_allow("published", 60 * USEC_PER_SEC, 5, NULL))
                log_instance(LOG_WARNING, instance, "client attributes are left out: %s",
                             r == -E2BIG ? "a value is larger than 16 KiB, or there are more than 4096"
                                         : "a name or a value is not allowed");
}

void device_frame(Device *d, Instance *i, const Frame *f) {
        const char *name = instance_name(i);

        switch (f->type) {
        case FRAME_HELLO:
                methods_clear(d->methods, name);
                subscriptions_forget(d->subscriptions, name);
                break;
        case FRAME_METHOD:
                on_method(d, name, f);
                break;
        case FRAME_CHECKED:
                overrides_begin(d->overrides, name);
                break;
        case FRAME_REPLY:
                rpc_answer(d->rpc, f->f[0].u, f->f[1].data);
                break;
        case FRAME_ERROR:
                rpc_fail(d->rpc, f->f[0].u, f->f[1].data, f->f[2].data);
                break;
        case FRAME_EFFECT:
                overrides_effect(d->overrides, name, f->f[0].data, -(int)MIN(f->f[1].u, (uint64_t)4095), f->f[2].data,
                                 f->f[3].data, f->f[4].data);
                break;
        case FRAME_SUBSCRIBE:
                if (subscriptions_add(d->subscriptions, name, f->f[0].data) < 0)
                        log_instance(LOG_WARNING, name, "shared attribute %s cannot be watched: too many are", f->f[0].data);
                break;
        case FRAME_ATTRIBUTES:
                on_published_frame(d, name, f);
                break;
        case FRAME_ATTRIBUTES_REQUEST:
        case FRAME_CALL:
                questions_ask(&d->questions, i, f);
                break;
        default:
                break;
        }
}

void device_instance_changed(Device *d, Instance *i) {
        HostState s = instance_state(i);

        if (s == HOST_BACKOFF || s == HOST_STOPPED || s == HOST_STUCK || s == HOST_MISCONFIGURED)
                rpc_instance_gone(d->rpc, instance_name(i), instance_reason(i));
}

/* ---- what the configuration says of the device */

static void publish_static(Device *d, const Setting *s) {
        _cleanup_(freep) char *filled = NULL, *json = NULL;

        if (s->type == SETTING_STRING) {
                filled = board_text(d->params.board, s->s);
                json = filled ? json_string(filled) : NULL;
        } else
                json = setting_json(s);
        if (!json || published_set(d->published, s->name, json) < 0)
                log_warning("client attribute %s of the configuration cannot be sent: its name or its value is not allowed",
                            s->name);
}

static void publish_plugins(Device *d) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return;
        fputc('"', f);
        for (size_t i = 0; i < config_n_instances(d->config); i++) {
                const ConfigInstance *c = config_instance(d->config, i);

                fprintf(f, "%s%s (%s)", i > 0 ? ", " : "", c->name, c->plugin);
        }
        fputc('"', f);
        if (fclose(f) == 0)
                publish_one(d, "tbagent_plugins", text);
        free(text);
}

void device_set_config(Device *d, const Config *config) {
        const Setting *own = setting_child(config_root(config), "attributes");
        const Setting *fixed = own ? setting_child(own, "client") : NULL;

        d->config = config;
        publish_one(d, "tbagent_version", "\"" PACKAGE_VERSION "\"");
        publish_plugins(d);
        for (size_t i = 0; fixed && i < fixed->n_children; i++)
                publish_static(d, fixed->children[i]);
        overrides_allow(d->overrides, node_int(node_member(config_top(config), "attributes", 0), "remote_settings"));
        overrides_reloaded(d->overrides);
}

void device_set_config_error(Device *d, const char *text) {
        _cleanup_(freep) char *json = json_string(text);

        if (json)
                publish_one(d, "tbagent_config_error", json);
}

/* ---- the connection */

void device_set_server(Device *d, Server *server) {
        if (d->server && d->server != server)
                device_offline(d);
        d->server = server;
}

void device_subscribing(Device *d) {
        attributes_online(d->attributes);
}

void device_online(Device *d) {
        d->online = true;
        published_online(d->published);
        if (attributes_are_synced(d->attributes))
                tell_ready(d);
        else if (!d->ready)
                loop_timer_arm_in(d->ready_timer, READY_WITHIN, 10 * USEC_PER_MSEC);
}

void device_offline(Device *d) {
        d->online = d->ready = false;
        loop_timer_disarm(d->ready_timer);
        attributes_offline(d->attributes);
        published_offline(d->published);
        rpc_offline(d->rpc);
}

void device_attributes(Device *d, const char *json, size_t size) {
        attributes_update(d->attributes, json, size);
}

void device_request(Device *d, uint32_t id, const char *json, size_t size) {
        rpc_request(d->rpc, id, json, size);
}

bool device_is_ready(const Device *d) {
        return d->ready;
}

void device_flush(Device *d) {
        mirror_file_flush(d->mirror);
}

const Overrides *device_overrides(const Device *d) {
        return d->overrides;
}

size_t device_shared_n(const Device *d, bool *ret_synced) {
        *ret_synced = attributes_are_synced(d->attributes);
        return attributes_n(d->attributes);
}

/* ---- making */

static int make_rpc(Device *d) {
        RpcParams p = { .loop = d->params.loop, .methods = d->methods, .aliases = aliases, .reply = reply, .run = run_method,
                        .builtin = run_builtin, .unready = unready, .now_ms = now_ms, .log = on_rpc_log, .userdata = d };
        int file, r;

        if (asprintf(&d->rpc_path, "%s/rpc", d->params.runtime_dir) < 0) {
                d->rpc_path = NULL;
                return -ENOMEM;
        }
        p.path = d->rpc_path;
        r = rpc_new(&d->rpc, &p, &file);
        if (r == 0 && file < 0)
                log_warning("%s cannot be used (%s): after a crash a request of the server may be run a second time", d->rpc_path,
                            strerror(-file));
        return r;
}

static int make_parts(Device *d) {
        Loop *loop = d->params.loop;
        AttributesEvents shared = { ask_all, on_shared, on_client_scope, on_synced, on_warning, d };
        PublishedParams published = { loop, publish_attributes, take_points, d };
        OverridesParams overrides = { loop, is_configured, apply_setting, publish_one, on_enabled, on_override_log, d };
        int r = methods_new(&d->methods);

        if (r == 0)
                r = published_new(&d->published, &published);
        if (r == 0)
                r = overrides_new(&d->overrides, &overrides);
        if (r == 0)
                r = attributes_new(&d->attributes, loop, &shared);
        if (r == 0)
                r = mirror_file_new(&d->mirror, loop, d->params.store, d->attributes);
        if (r == 0)
                r = subscriptions_new(&d->subscriptions, &(SubscriptionsParams){ loop, d->attributes, on_instance, d });
        if (r == 0)
                r = loop_timer_new(&d->ready_timer, loop, "server is there", on_ready_timer, d);
        return r < 0 ? r : make_rpc(d);
}

/* What the server said last is in force until it says something else. */
static void load_shared(Device *d) {
        _cleanup_(freep) char *why = NULL;
        int r = mirror_file_load(d->params.state_dir, d->attributes, &why);

        if (r < 0)
                log_warning("the shared attributes of the last time are lost, the server has them: %s", why ? why : strerror(-r));
        for (size_t i = 0; i < attributes_n(d->attributes); i++) {
                const Attribute *a = attributes_at(d->attributes, i);

                overrides_set(d->overrides, a->key, a->json);
        }
}

int device_new(Device **ret, const DeviceParams *params) {
        _cleanup_(device_freep) Device *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->params = *params;
        r = make_parts(d);
        if (r < 0)
                return r;
        d->questions = (QuestionsParams){ on_client, on_instance, d };
        d->builtin = (BuiltinParams){ d->methods, params->instances, params->status, params->reload, params->userdata };
        load_shared(d);
        *ret = TAKE_PTR(d);
        return 0;
}

Device *device_free(Device *d) {
        if (!d)
                return NULL;
        rpc_free(d->rpc);
        mirror_file_free(d->mirror);
        subscriptions_free(d->subscriptions);
        attributes_free(d->attributes);
        overrides_free(d->overrides);
        published_free(d->published);
        methods_free(d->methods);
        loop_timer_free(d->ready_timer);
        free(d->rpc_path);
        free(d);
        return NULL;
}
