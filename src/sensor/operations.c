/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each operation is a thin hand-over to the part that knows. A plugin is believed to be well meant, not to be
 * right: every text is checked and bounded before it becomes a frame.
 */
#include <stdio.h>
#include <time.h>

#include "sensor/operations.h"

#define JSON_MAX (64 * KIB)
#define NAME_TEXT_MAX 255
#define KEPT_NAME_MAX 128 /* with the instance's name before it 255 at most */

static Services *of(struct tbagent_host *host) {
        return CONTAINER_OF(host, Services, host);
}

/* ---- values */

static int op_emit_bool(struct tbagent_host *h, const char *key, int value) {
        return sampler_emit(of(h)->sampler, key, &(Value){ .type = VALUE_BOOL, .b = value != 0 });
}

static int op_emit_int(struct tbagent_host *h, const char *key, int64_t value) {
        return sampler_emit(of(h)->sampler, key, &(Value){ .type = VALUE_INT, .i = value });
}

static int op_emit_double(struct tbagent_host *h, const char *key, double value) {
        return sampler_emit(of(h)->sampler, key, &(Value){ .type = VALUE_DOUBLE, .d = value });
}

static int emit_text(struct tbagent_host *h, ValueType type, const char *key, const char *text) {
        Value v = { .type = type };

        if (!text)
                return -EINVAL;
        v.s.text = text;
        v.s.size = strnlen(text, VALUE_TEXT_MAX + 1);
        return sampler_emit(of(h)->sampler, key, &v);
}

static int op_emit_string(struct tbagent_host *h, const char *key, const char *value) {
        return emit_text(h, VALUE_STRING, key, value);
}

static int op_emit_json(struct tbagent_host *h, const char *key, const char *json) {
        return emit_text(h, VALUE_JSON, key, json);
}

static int op_emit_bad(struct tbagent_host *h, const char *key, const char *reason) {
        return sampler_bad(of(h)->sampler, key, reason);
}

static void op_row_time(struct tbagent_host *h, int64_t boottime_ns) {
        sampler_row_time(of(h)->sampler, boottime_ns);
}

static void op_row_end(struct tbagent_host *h, uint32_t flags) {
        sampler_row_end(of(h)->sampler, flags & TBAGENT_IMMEDIATE ? ROW_IMMEDIATE : 0);
}

/* ---- the instance */

static void op_log(struct tbagent_host *h, int level, const char *text) {
        Services *s = of(h);

        if (!text)
                return;
        level = MIN(MAX(level, TBAGENT_ERROR), TBAGENT_DEBUG);
        if (level <= TBAGENT_WARNING) {
                snprintf(s->complaint, sizeof s->complaint, "%s", text);
                if (streq(s->complaint, s->complained))
                        return;
                memcpy(s->complained, s->complaint, sizeof s->complained);
        }
        services_say(s, s->quiet ? TBAGENT_DEBUG : level, "%s", text);
}

static const char *op_instance(struct tbagent_host *h) {
        return of(h)->params.instance;
}

static int64_t op_now(struct tbagent_host *h _unused_) {
        struct timespec t;

        clock_gettime(CLOCK_BOOTTIME, &t);
        return (int64_t)t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* ---- options */

static const struct tbagent_node *op_options(struct tbagent_host *h) {
        return of(h)->params.options;
}

static const struct tbagent_node *op_member(const struct tbagent_node *n, const char *name, size_t index) {
        return node_member(n, name, index);
}

static const char *op_node_name(const struct tbagent_node *n) {
        return node_key(n);
}

static const char *op_channel(const struct tbagent_node *n) {
        return node_own_name(n);
}

static int op_is_set(const struct tbagent_node *n, const char *name) {
        return node_is_set(n, name);
}

static int64_t op_get_int(const struct tbagent_node *n, const char *name) {
        return node_int(n, name);
}

static double op_get_float(const struct tbagent_node *n, const char *name) {
        return node_float(n, name);
}

static const char *op_get_string(const struct tbagent_node *n, const char *name, size_t index) {
        return node_string(n, name, index);
}

/* ---- events */

static int op_watch_fd(struct tbagent_host *h, int fd, uint32_t events, tbagent_fd_fn fn) {
        return events_watch(of(h)->events, fd, events, fn);
}

static int op_unwatch_fd(struct tbagent_host *h, int fd) {
        return events_unwatch(of(h)->events, fd);
}

static int op_timer(struct tbagent_host *h, uint64_t usec, tbagent_timer_fn fn, void *userdata) {
        return events_timer(of(h)->events, usec, fn, userdata);
}

static int op_timeout(struct tbagent_host *h, uint64_t usec) {
        Services *s = of(h);

        if (!s->in_call || usec == 0)
                return -EINVAL;
        guard_arm(s->params.guard, usec);
        return 0;
}

/* ---- the server */

static bool json_is_object(const char *json) {
        json += strspn(json, " \t\r\n");
        return json[0] == '{';
}

static int json_check(const char *json) {
        size_t size = json ? strnlen(json, JSON_MAX + 1) : 0;

        if (size > JSON_MAX)
                return -E2BIG;
        return size == 0 || json_validate(json, size) < 0 ? -EINVAL : 0;
}

static int op_reply(struct tbagent_host *h, uint64_t id, const char *json) {
        Services *s = of(h);
        int r = json_check(json);

        if (!services_rpc_end(s, id))
                return -ENOENT;
        if (r == 0)
                return outbox_send(s->params.outbox, FRAME_REPLY, id, json);
        (void)outbox_send(s->params.outbox, FRAME_ERROR, id, r == -E2BIG ? "too_large" : "bad_reply",
                          "the plugin's answer cannot be sent");
        return r;
}

static int op_reply_error(struct tbagent_host *h, uint64_t id, const char *code, const char *message) {
        Services *s = of(h);
        char bounded[SERVICES_TEXT_MAX];

        if (!code || !message || strlen(code) > NAME_TEXT_MAX)
                return -EINVAL;
        if (!services_rpc_end(s, id))
                return -ENOENT;
        snprintf(bounded, sizeof bounded, "%s", message);
        return outbox_send(s->params.outbox, FRAME_ERROR, id, code, bounded);
}

static int op_subscribe(struct tbagent_host *h, const char *attribute) {
        if (!attribute || key_check(attribute, strlen(attribute), NULL) < 0)
                return -EINVAL;
        return outbox_send(of(h)->params.outbox, FRAME_SUBSCRIBE, attribute);
}

static int op_publish_attributes(struct tbagent_host *h, const char *json_object) {
        int r = json_check(json_object);

        if (r < 0 || !json_is_object(json_object))
                return r < 0 ? r : -EINVAL;
        return outbox_send(of(h)->params.outbox, FRAME_ATTRIBUTES, json_object);
}

/* r: of sending the question. What was refused here is not answered, too. */
static int asked(Services *s, uint64_t token, int r) {
        if (r < 0)
                events_forget(s->events, token);
        return r;
}

static int op_request_attributes(struct tbagent_host *h, const char *client_keys, const char *shared_keys, uint64_t usec,
                                 tbagent_answer_fn fn, void *userdata) {
        Services *s = of(h);
        uint64_t token;
        int r;

        client_keys = client_keys ? client_keys : "";
        shared_keys = shared_keys ? shared_keys : "";
        if (strlen(client_keys) + strlen(shared_keys) > 16 * KIB)
                return -E2BIG;
        r = events_expect(s->events, usec, fn, userdata, &token);
        if (r < 0)
                return r;
        return asked(s, token, outbox_send(s->params.outbox, FRAME_ATTRIBUTES_REQUEST, token, client_keys, shared_keys, usec));
}

static int op_call(struct tbagent_host *h, const char *method, const char *params, uint64_t usec, tbagent_answer_fn fn,
                   void *userdata) {
        Services *s = of(h);
        uint64_t token;
        int r = json_check(params ? params : "{}");

        if (!method || !method[0] || strlen(method) > NAME_TEXT_MAX)
                return -EINVAL;
        if (r == 0)
                r = events_expect(s->events, usec, fn, userdata, &token);
        if (r < 0)
                return r;
        return asked(s, token, outbox_send(s->params.outbox, FRAME_CALL, token, method, params ? params : "{}", usec));
}

/* ---- what survives */

static int op_state_put(struct tbagent_host *h, const void *data, size_t size) {
        Services *s = of(h);

        if (size > SERVICES_STATE_MAX || (size > 0 && !data))
                return -E2BIG;
        if (size == s->state_size && (size == 0 || memcmp(s->state, data, size) == 0))
                return 0;
        if (size > 0)
                memcpy(s->state, data, size);
        s->state_size = size;
        s->state_changed = true;
        return 0;
}

static int op_state_get(struct tbagent_host *h, void *data, size_t size) {
        const Services *s = of(h);
        size_t n = MIN(size, s->state_size);

        if (n > 0)
                memcpy(data, s->state, n);
        return (int)n;
}

/* What systemd's store takes as part of a name. */
static bool kept_name_valid(const char *name) {
        size_t n = 0;

        for (; name && name[n]; n++)
                if (name[n] <= ' ' || name[n] > '~' || name[n] == ':' || n == KEPT_NAME_MAX)
                        return false;
        return n > 0;
}

static int op_fd_keep(struct tbagent_host *h, const char *name, int fd) {
        if (!kept_name_valid(name) || fd < 0)
                return -EINVAL;
        return outbox_send_fd(of(h)->params.outbox, fd, FRAME_FD_KEEP, name);
}

static int op_fd_take(struct tbagent_host *h, const char *name) {
        Services *s = of(h);

        if (!kept_name_valid(name))
                return -EINVAL;
        return s->params.take_fd(s->params.userdata, name);
}

static int op_fd_forget(struct tbagent_host *h, const char *name) {
        return kept_name_valid(name) ? outbox_send(of(h)->params.outbox, FRAME_FD_FORGET, name) : -EINVAL;
}

static int op_is_final(struct tbagent_host *h) {
        return of(h)->final;
}

static int op_is_once(struct tbagent_host *h) {
        return of(h)->params.once;
}

static int op_is_online(struct tbagent_host *h) {
        return of(h)->online;
}

static int op_lost(struct tbagent_host *h, uint32_t points, int64_t from_ns, int64_t to_ns, const char *why) {
        if (points == 0 || from_ns > to_ns || !why || strlen(why) > NAME_TEXT_MAX)
                return -EINVAL;
        outbox_add_gap(of(h)->params.outbox, points, from_ns, to_ns, why);
        return 0;
}

static int op_problem(struct tbagent_host *h, const struct tbagent_node *n, const char *option, const char *text) {
        const Services *s = of(h);
        char line[SERVICES_TEXT_MAX];
        unsigned number = 0;
        const char *file;

        if (!s->problem || !n || !option || !text)
                return -EINVAL;
        file = node_file(n, option, &number);
        snprintf(line, sizeof line, "%s.%s %s", node_path(n), option, text);
        s->problem(s->problem_userdata, true, file, number, line);
        return 0;
}

static int op_found(struct tbagent_host *h, const char *json_object) {
        int r = json_check(json_object);

        if (r < 0 || !json_is_object(json_object))
                return r < 0 ? r : -EINVAL;
        r = outbox_send(of(h)->params.outbox, FRAME_FOUND, json_object);
        (void)outbox_flush(of(h)->params.outbox); /* what comes next may crash or hang */
        return r;
}

const struct tbagent_services operations = {
        .abi = TBAGENT_PLUGIN_ABI,
        .size = sizeof operations,
        .emit_bool = op_emit_bool,
        .emit_int = op_emit_int,
        .emit_double = op_emit_double,
        .emit_string = op_emit_string,
        .emit_json = op_emit_json,
        .emit_bad = op_emit_bad,
        .row_time = op_row_time,
        .row_end = op_row_end,
        .log = op_log,
        .instance = op_instance,
        .now = op_now,
        .options = op_options,
        .member = op_member,
        .node_name = op_node_name,
        .is_set = op_is_set,
        .get_int = op_get_int,
        .get_float = op_get_float,
        .get_string = op_get_string,
        .watch_fd = op_watch_fd,
        .unwatch_fd = op_unwatch_fd,
        .timer = op_timer,
        .timeout = op_timeout,
        .reply = op_reply,
        .reply_error = op_reply_error,
        .subscribe = op_subscribe,
        .publish_attributes = op_publish_attributes,
        .request_attributes = op_request_attributes,
        .call = op_call,
        .state_put = op_state_put,
        .state_get = op_state_get,
        .fd_keep = op_fd_keep,
        .fd_take = op_fd_take,
        .found = op_found,
        .fd_forget = op_fd_forget,
        .is_final = op_is_final,
        .is_once = op_is_once,
        .is_online = op_is_online,
        .lost = op_lost,
        .problem = op_problem,
        .channel = op_channel,
};

/* ---- check */

static const struct tbagent_services check_operations = {
        .abi = TBAGENT_PLUGIN_ABI,
        .size = sizeof check_operations,
        .log = op_log,
        .instance = op_instance,
        .options = op_options,
        .member = op_member,
        .node_name = op_node_name,
        .is_set = op_is_set,
        .get_int = op_get_int,
        .get_float = op_get_float,
        .get_string = op_get_string,
        .problem = op_problem,
        .channel = op_channel,
};

void operations_check(const struct tbagent_plugin *plugin, const ServicesParams *params, problem_fn fn, void *userdata) {
        _cleanup_(freep) Services *s = calloc(1, sizeof *s);

        if (!s)
                return;
        s->host.services = &check_operations;
        s->params = *params;
        s->log_level = TBAGENT_INFO;
        s->problem = fn;
        s->problem_userdata = userdata;
        (void)plugin->check(&s->host);
}
