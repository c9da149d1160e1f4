/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After each CONNACK, in this order: SUBSCRIBE to the exact topics (the server keeps no subscriptions and
 * grants nothing with #), its SUBACK checked code by code, online(), getSessionLimits, online() again with what
 * it answered. A server that does not answer (before 3.8, or another broker) is online all the same.
 *
 * Requests to the server stand in a small table by id. Ids rise and go round after 2^31: the server keeps a
 * timer of 60 s for each that a new connection does not stop. An answer whose id is not in the table came too
 * late and is dropped.
 *
 * What the server asks of us has no handler in this part: RPCs are answered with an error, so that the caller does
 * not wait for its timeout, except where a dashboard would take any answer for "on". Replies share the server's
 * message limit with everything else; over it they are left out rather than have the session closed.
 *
 * All that arrives is foreign: parsed with bounded depth and size, checked for shape, never asserted.
 */
#include <json-c/json.h>
#include <stdio.h>

#include "model/value.h"
#include "tb/client.h"
#include "tb/limits.h"
#include "tb/topic.h"

#define CALLS_MAX 32
#define BODY_MAX (64 * KIB)
#define JSON_DEPTH 32
#define DOWNLINKS_MAX 60000 /* the server's packet ids break at 65535 (THINGSBOARD.md 1.3) */
#define LIMITS_TIMEOUT (10 * USEC_PER_SEC)
#define RETRY_SUBSCRIBE USEC_PER_SEC
#define PAYLOAD_DEFAULT 65536
#define PAYLOAD_LEAST 256
#define INFLIGHT_DEFAULT 100
#define SHARE 0.8
#define CONTEXT_OWN (UINT64_C(1) << 63) /* publishes of our own: nobody is told */

typedef struct Call {
        uint32_t id; /* 0: unused */
        usec_t deadline;
        client_answer_fn fn;
        void *userdata;
} Call;

struct Client {
        Loop *loop;
        Session *session;
        LoopTimer *call_timer, *reconnect_timer;
        ClientEvents events;
        void *userdata;
        usec_t limits_timeout;
        bool online, reconnecting;
        uint32_t last_id;
        Call calls[CALLS_MAX];
        Bucket messages; /* for what we send beside telemetry */
};

static const TopicKind subscriptions[] = { TOPIC_ATTRIBUTES, TOPIC_ATTRIBUTES_RESPONSE, TOPIC_RPC_REQUEST, TOPIC_RPC_RESPONSE };

/* ---- calls */

static void calls_arm(Client *c) {
        usec_t deadline = USEC_INFINITY;

        for (size_t i = 0; i < CALLS_MAX; i++)
                if (c->calls[i].id != 0)
                        deadline = MIN(deadline, c->calls[i].deadline);
        if (deadline == USEC_INFINITY)
                loop_timer_disarm(c->call_timer);
        else
                loop_timer_arm(c->call_timer, deadline, 10 * USEC_PER_MSEC);
}

static void call_end(Client *c, Call *call, int error, const char *json, size_t size) {
        Call ended = *call;

        *call = (Call){ 0 };
        calls_arm(c);
        ended.fn(ended.userdata, error, json, size);
}

static void calls_fail(Client *c, int error, usec_t due) {
        for (size_t i = 0; i < CALLS_MAX; i++)
                if (c->calls[i].id != 0 && c->calls[i].deadline <= due)
                        call_end(c, &c->calls[i], error, NULL, 0);
}

static void on_call_timer(void *userdata) {
        Client *c = userdata;

        calls_fail(c, -ETIMEDOUT, loop_monotonic(c->loop));
        calls_arm(c);
}

static Call *call_find(Client *c, uint32_t id) {
        for (size_t i = 0; i < CALLS_MAX; i++)
                if (c->calls[i].id == id)
                        return &c->calls[i];
        return NULL;
}

/* Never 0, never one that waits. */
static uint32_t next_id(Client *c) {
        do
                c->last_id = c->last_id >= TOPIC_ID_MAX ? 1 : c->last_id + 1;
        while (call_find(c, c->last_id));
        return c->last_id;
}

static int publish(Client *c, TopicKind kind, uint32_t id, const char *text, size_t size) {
        char topic[TOPIC_TEXT_MAX];

        return session_publish(c->session, topic_build(kind, id, topic), text, size, 1, CONTEXT_OWN);
}

int client_call(Client *c, const char *method, const char *params, usec_t timeout, client_answer_fn fn, void *userdata) {
        _cleanup_(freep) char *quoted = malloc(6 * strlen(method) + 2), *body = NULL;
        Call *call = call_find(c, 0);
        uint32_t id;
        int size, r;

        if (!quoted)
                return -ENOMEM;
        if (!call)
                return -EAGAIN;
        size = asprintf(&body, "{\"method\":%.*s%s%s}", (int)json_quote(quoted, method, strlen(method)), quoted,
                        params ? ",\"params\":" : "", params ?: "");
        if (size < 0)
                return -ENOMEM;
        id = next_id(c);
        r = publish(c, TOPIC_RPC_REQUEST, id, body, (size_t)size);
        if (r < 0)
                return r;
        *call = (Call){ .id = id, .deadline = loop_monotonic(c->loop) + timeout, .fn = fn, .userdata = userdata };
        calls_arm(c);
        return 0;
}

/* ---- JSON from outside */

static void json_putp(json_object **o) {
        json_object_put(*o);
}

static json_object *parse_json(const char *text, size_t size) {
        struct json_tokener *t;
        json_object *o = NULL;

        t = json_tokener_new_ex(JSON_DEPTH);
        if (!t)
                return NULL;
        json_tokener_set_flags(t, JSON_TOKENER_STRICT);
        o = json_tokener_parse_ex(t, text, (int)size);
        /* A number at the very end waits for more: only objects matter here, those are complete. */
        if (json_tokener_get_error(t) != json_tokener_success) {
                json_object_put(o);
                o = NULL;
        }
        json_tokener_free(t);
        return o;
}

static bool is_timeout_answer(json_object *o) {
        json_object *error;

        return json_object_is_type(o, json_type_object) && json_object_object_length(o) == 1 &&
               json_object_object_get_ex(o, "error", &error) && json_object_is_type(error, json_type_string) &&
               streq(json_object_get_string(error), "timeout");
}

/* -EBADMSG: neither text of the form "cap:sec,..." nor null. */
static int read_rate(json_object *rates, const char *name, const char **ret) {
        json_object *v = NULL;
        Bucket b;

        *ret = NULL;
        json_object_object_get_ex(rates, name, &v);
        if (!v)
                return 0;
        if (!json_object_is_type(v, json_type_string) || bucket_parse(json_object_get_string(v), 1, 0, &b) < 0)
                return -EBADMSG;
        *ret = json_object_get_string(v);
        return 0;
}

static int read_limits(json_object *o, ClientLimits *ret) {
        json_object *payload, *inflight, *rates;
        int64_t size, n;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "maxPayloadSize", &payload) ||
            !json_object_object_get_ex(o, "maxInflightMessages", &inflight) ||
            !json_object_object_get_ex(o, "rateLimits", &rates) ||
            !json_object_is_type(payload, json_type_int) || !json_object_is_type(inflight, json_type_int) ||
            !json_object_is_type(rates, json_type_object))
                return -EBADMSG;
        size = json_object_get_int64(payload);
        n = json_object_get_int64(inflight);
        if (size < PAYLOAD_LEAST || n < 1 || read_rate(rates, "messages", &ret->messages) < 0 ||
            read_rate(rates, "telemetryMessages", &ret->telemetry_messages) < 0 ||
            read_rate(rates, "telemetryDataPoints", &ret->telemetry_points) < 0)
                return -EBADMSG;
        ret->known = ret->settled = true;
        ret->max_payload = (size_t)MIN(size, (int64_t)256 * 1024 * 1024);
        ret->max_inflight = (unsigned)MIN(n, (int64_t)65535);
        return 0;
}

/* ---- after CONNACK */

static ClientLimits limits_unknown(void) {
        return (ClientLimits){ .max_payload = PAYLOAD_DEFAULT, .max_inflight = INFLIGHT_DEFAULT };
}

static void on_limits(void *userdata, int error, const char *json, size_t size) {
        Client *c = userdata;
        _cleanup_(json_putp) json_object *o = error == 0 ? parse_json(json, size) : NULL;
        ClientLimits limits = limits_unknown();

        if (error == -ETIMEDOUT) { /* a server before 3.8: it does not tell, and that is that */
                limits.settled = true;
                c->events.online(c->userdata, &limits);
        }
        if (error < 0)
                return;
        if (read_limits(o, &limits) < 0) {
                c->events.warning(c->userdata,
                                  "the server's answer to getSessionLimits is not understood: "
                                  "it is taken as one without limits known");
                limits = limits_unknown();
                limits.settled = true;
                c->events.online(c->userdata, &limits);
                return;
        }
        if (bucket_parse(limits.messages, SHARE, loop_monotonic(c->loop), &c->messages) == 0)
                c->events.online(c->userdata, &limits);
}

static void go_online(Client *c) {
        ClientLimits limits = limits_unknown();

        c->online = true;
        c->events.online(c->userdata, &limits);
        if (c->online && client_call(c, "getSessionLimits", "{}", c->limits_timeout, on_limits, c) < 0)
                c->events.warning(c->userdata, "the server could not be asked for its limits");
}

static void on_subscribed(void *userdata, uint64_t context _unused_, const uint8_t *codes, size_t n) {
        Client *c = userdata;

        if (n == 0)
                return; /* lost with the connection */
        for (size_t i = 0; i < ELEMENTS(subscriptions); i++) {
                char text[256];

                if (i < n && codes[i] < 0x80)
                        continue;
                snprintf(text, sizeof(text),
                         "the server refuses the subscription to %s (MQTT code 0x%02x): "
                         "is this the address of a ThingsBoard server?",
                         topic_filter(subscriptions[i]), i < n ? codes[i] : 0);
                c->events.warning(c->userdata, text);
        }
        go_online(c);
}

static void subscribe(Client *c) {
        const char *topics[ELEMENTS(subscriptions)];

        for (size_t i = 0; i < ELEMENTS(topics); i++)
                topics[i] = topic_filter(subscriptions[i]);
        if (session_subscribe(c->session, topics, ELEMENTS(topics), CONTEXT_OWN) < 0)
                loop_timer_arm_in(c->reconnect_timer, RETRY_SUBSCRIBE, 0);
}

static void on_reconnect_timer(void *userdata) {
        Client *c = userdata;

        session_reconnect(c->session, 0);
}

static void on_state(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry) {
        Client *c = userdata;
        bool was_online = c->online;

        c->online = c->reconnecting = false;
        loop_timer_disarm(c->reconnect_timer);
        c->events.state(c->userdata, state, reason, code, text, retry);
        if (state == SESSION_CONNECTED) {
                subscribe(c);
                return;
        }
        calls_fail(c, -ENOTCONN, USEC_INFINITY);
        if (was_online)
                c->events.offline(c->userdata, reason);
}

static void on_published(void *userdata, uint64_t context, int code) {
        Client *c = userdata;

        if (!(context & CONTEXT_OWN))
                c->events.published(c->userdata, context, code);
}

static int on_credentials(void *userdata, SessionCredentials *ret, char **ret_text) {
        Client *c = userdata;

        return c->events.credentials ? c->events.credentials(c->userdata, ret, ret_text) : 0;
}

/* ---- what arrives */

/* The stock widgets show any object as "on", an error too: silence is what they understand. */
static bool is_stock_getter(const char *text, size_t size) {
        _cleanup_(json_putp) json_object *o = parse_json(text, size);
        json_object *method;
        const char *name;

        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "method", &method) ||
            !json_object_is_type(method, json_type_string))
                return false;
        name = json_object_get_string(method);
        return streq(name, "getValue") || streq(name, "getState") || streq(name, "checkStatus");
}

static void answer_rpc(Client *c, uint32_t id, const char *text, size_t size) {
        static const char unsupported[] = "{\"error\":{\"code\":\"unsupported\",\"message\":\"this device has no such method\"}}";
        static const char too_large[] = "{\"error\":{\"code\":\"too_large\",\"message\":\"the request is larger than 64 KiB\"}}";
        usec_t now = loop_monotonic(c->loop);
        bool fits = text && size <= BODY_MAX;

        if ((fits && is_stock_getter(text, size)) || bucket_delay(&c->messages, 1, now) > 0)
                return;
        if (publish(c, TOPIC_RPC_RESPONSE, id, fits ? unsupported : too_large,
                    fits ? sizeof(unsupported) - 1 : sizeof(too_large) - 1) == 0)
                bucket_take(&c->messages, 1, now);
}

static void take_answer(Client *c, uint32_t id, const char *text, size_t size) {
        Call *call = id != 0 ? call_find(c, id) : NULL;
        _cleanup_(json_putp) json_object *o = NULL;

        if (!call)
                return;
        if (!text || size > BODY_MAX) {
                call_end(c, call, -E2BIG, NULL, 0);
                return;
        }
        o = parse_json(text, size);
        if (is_timeout_answer(o))
                call_end(c, call, -ETIMEDOUT, NULL, 0);
        else
                call_end(c, call, 0, text, size);
}

static void on_message(void *userdata, const char *topic, const void *payload, size_t size) {
        Client *c = userdata;
        uint32_t id;

        switch (topic_parse(topic, &id)) {
        case TOPIC_RPC_REQUEST:
                answer_rpc(c, id, payload, size);
                break;
        case TOPIC_RPC_RESPONSE:
                take_answer(c, id, payload, size);
                break;
        case TOPIC_TELEMETRY:
        case TOPIC_ATTRIBUTES:
        case TOPIC_ATTRIBUTES_REQUEST:
        case TOPIC_ATTRIBUTES_RESPONSE:
        case TOPIC_CLAIM:
        case _TOPIC_MAX:
        case _TOPIC_INVALID:
                break;
        }
        if (session_downlinks(c->session) >= DOWNLINKS_MAX && !c->reconnecting) {
                c->reconnecting = true;
                loop_timer_arm_in(c->reconnect_timer, 0, 0); /* not from within the session's own event */
        }
}

/* ---- life */

int client_new(Client **ret, const ClientParams *params) {
        _cleanup_(client_freep) Client *c = calloc(1, sizeof(*c));
        SessionParams session = params->session;
        int r;

        if (!c)
                return -ENOMEM;
        c->loop = session.loop;
        c->events = params->events;
        c->userdata = params->userdata;
        c->limits_timeout = params->limits_timeout ?: LIMITS_TIMEOUT;
        r = loop_timer_new(&c->call_timer, c->loop, "client-calls", on_call_timer, c);
        if (r < 0)
                return r;
        r = loop_timer_new(&c->reconnect_timer, c->loop, "client-reconnect", on_reconnect_timer, c);
        if (r < 0)
                return r;
        session.events = (SessionEvents){ on_state, on_message, on_published, on_subscribed, on_credentials };
        session.userdata = c;
        r = session_new(&c->session, &session);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        session_free(c->session);
        loop_timer_free(c->call_timer);
        loop_timer_free(c->reconnect_timer);
        free(c);
        return NULL;
}

void client_start(Client *c) {
        session_start(c->session);
}

int client_stop(Client *c, usec_t wait) {
        return session_stop(c->session, wait);
}

int client_stop_later(Client *c, void (*stopped)(void *userdata), void *userdata) {
        return session_stop_later(c->session, stopped, userdata);
}

int client_telemetry(Client *c, const void *payload, size_t size, uint64_t context) {
        char topic[TOPIC_TEXT_MAX];

        if (!c->online)
                return -ENOTCONN;
        return session_publish(c->session, topic_build(TOPIC_TELEMETRY, 0, topic), payload, size, 1, context & ~CONTEXT_OWN);
}

bool client_is_online(const Client *c) {
        return c->online;
}

Session *client_session(Client *c) {
        return c->session;
}

size_t client_telemetry_overhead(const Client *c) {
        /* length of the topic and the topic, packet id, and the length of MQTT 5's properties */
        return 2 + strlen(topic_filter(TOPIC_TELEMETRY)) + 2 + (session_protocol(c->session) == 5 ? 1 : 0);
}
