/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After each CONNACK, in this order: SUBSCRIBE to the exact topics (the server keeps no subscriptions and
 * grants nothing with #) and right behind it subscribing(), its SUBACK checked code by code, online(),
 * getSessionLimits, online() again with what it answered. A server that does not answer (before 3.8, or another
 * broker) is online all the same.
 *
 * All but telemetry shares the server's limit of messages: over it nothing is sent, rather than have the session
 * closed.
 *
 * All that arrives is foreign: bounded in size here, and parsed by those who get it.
 */
#include <stdio.h>

#include "model/value.h"
#include "tb/client.h"
#include "tb/limits.h"
#include "tb/topic.h"
#include "tb/tree.h"

#define DOWNLINKS_MAX 60000 /* the server's packet ids break at 65535 (THINGSBOARD.md 1.3) */
#define LIMITS_TIMEOUT (10 * USEC_PER_SEC)
#define RETRY_SUBSCRIBE USEC_PER_SEC
#define PAYLOAD_DEFAULT 65536
#define PAYLOAD_LEAST 256
#define INFLIGHT_DEFAULT 100
#define SHARE 0.8
#define CONTEXT_OWN (UINT64_C(1) << 63) /* publishes of our own: nobody is told */
#define CONTEXT_OTHER (UINT64_C(1) << 62) /* not telemetry: delivered() */

struct Client {
        Loop *loop;
        Session *session;
        LoopTimer *reconnect_timer;
        ClientEvents events;
        void *userdata;
        usec_t limits_timeout;
        bool online, reconnecting;
        Calls calls;
        size_t max_payload; /* as the server told */
        Bucket messages;    /* for what we send beside telemetry */
};

static const TopicKind subscriptions[] = { TOPIC_ATTRIBUTES, TOPIC_ATTRIBUTES_RESPONSE, TOPIC_RPC_REQUEST, TOPIC_RPC_RESPONSE };

/* ---- what is not telemetry */

/* Bytes of a PUBLISH beside topic and payload, counted on the remaining length: the topic's length, packet id, properties */
static size_t overhead(const Client *c) {
        return 2 + 2 + (session_protocol(c->session) == 5 ? 1 : 0);
}

static int publish(Client *c, TopicKind kind, uint32_t id, const char *text, size_t size, uint64_t context) {
        char topic[TOPIC_TEXT_MAX];

        topic_build(kind, id, topic);
        if (strlen(topic) + size + overhead(c) > c->max_payload)
                return -E2BIG;
        return session_publish(c->session, topic, text, size, 1, context);
}

/* What the server counts as a message. */
static int publish_counted(Client *c, TopicKind kind, uint32_t id, const char *text, size_t size, uint64_t context) {
        usec_t now = loop_monotonic(c->loop);
        int r;

        if (bucket_delay(&c->messages, 1, now) > 0)
                return -EAGAIN;
        r = publish(c, kind, id, text, size, context);
        if (r == 0)
                bucket_take(&c->messages, 1, now);
        return r;
}

static void on_limits(void *userdata, int error, const char *json, size_t size);

static int ask(Client *c, CallKind kind, TopicKind topic, const char *body, usec_t timeout, client_answer_fn fn, void *userdata) {
        uint32_t id = calls_next_id(&c->calls);
        int r;

        if (id == 0)
                return -EAGAIN;
        if (fn == on_limits) /* the server does not count this one */
                r = publish(c, topic, id, body, strlen(body), CONTEXT_OWN);
        else
                r = publish_counted(c, topic, id, body, strlen(body), CONTEXT_OWN);
        if (r == 0)
                calls_add(&c->calls, id, kind, timeout, fn, userdata);
        return r;
}

int client_call(Client *c, const char *method, const char *params, usec_t timeout, client_answer_fn fn, void *userdata) {
        _cleanup_(freep) char *quoted = json_string(method), *body = NULL;

        if (!quoted || asprintf(&body, "{\"method\":%s%s%s}", quoted, params ? ",\"params\":" : "", params ?: "") < 0) {
                body = NULL;
                return -ENOMEM;
        }
        return ask(c, CALL_RPC, TOPIC_RPC_REQUEST, body, timeout, fn, userdata);
}

/* An empty part makes the server forget the answer (THINGSBOARD.md 4). */
static bool keys_are_good(const char *keys) {
        for (;; keys++) {
                size_t size = strcspn(keys, ",");

                if (key_check(keys, size, NULL) < 0)
                        return false;
                keys += size;
                if (*keys == '\0')
                        return true;
        }
}

/* "clientKeys":"a,b"; owned by the caller. */
static char *keys_member(const char *name, const char *keys) {
        _cleanup_(freep) char *quoted = json_string(keys);
        char *text = NULL;

        return quoted && asprintf(&text, "\"%s\":%s", name, quoted) >= 0 ? text : NULL;
}

int client_request_attributes(Client *c, const char *client_keys, const char *shared_keys, usec_t timeout, client_answer_fn fn,
                              void *userdata) {
        _cleanup_(freep) char *client = client_keys ? keys_member("clientKeys", client_keys) : strdup("");
        _cleanup_(freep) char *shared = shared_keys ? keys_member("sharedKeys", shared_keys) : strdup(""), *body = NULL;

        if ((client_keys && !keys_are_good(client_keys)) || (shared_keys && !keys_are_good(shared_keys)))
                return -EINVAL;
        if (!client || !shared || asprintf(&body, "{%s%s%s}", client, client[0] && shared[0] ? "," : "", shared) < 0) {
                body = NULL;
                return -ENOMEM;
        }
        return ask(c, CALL_ATTRIBUTES, TOPIC_ATTRIBUTES_REQUEST, body, timeout, fn, userdata);
}

int client_publish_attributes(Client *c, const char *json, size_t size, uint64_t context) {
        return c->online ? publish(c, TOPIC_ATTRIBUTES, 0, json, size, context | CONTEXT_OTHER) : -ENOTCONN;
}

int client_reply(Client *c, uint32_t id, const char *json, size_t size, uint64_t context) {
        return publish_counted(c, TOPIC_RPC_RESPONSE, id, json, size, context | CONTEXT_OTHER);
}

int client_claim(Client *c, const char *secret, usec_t duration, uint64_t context) {
        _cleanup_(freep) char *quoted = json_string(secret ?: ""), *body = NULL;
        int r;

        if (!c->online)
                return -ENOTCONN;
        if (duration > 0)
                r = asprintf(&body, "{\"secretKey\":%s,\"durationMs\":%llu}", quoted ?: "",
                             (unsigned long long)(duration / USEC_PER_MSEC));
        else
                r = asprintf(&body, "{\"secretKey\":%s}", quoted ?: "");
        if (r < 0 || !quoted) {
                body = r < 0 ? NULL : body;
                return -ENOMEM;
        }
        return publish_counted(c, TOPIC_CLAIM, 0, body, (size_t)r, context | CONTEXT_OTHER);
}

/* ---- limits */

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
        _cleanup_(tree_putp) json_object *o = NULL;
        ClientLimits limits = limits_unknown();

        if (error == -ETIMEDOUT) { /* a server before 3.8: it does not tell, and that is that */
                limits.settled = true;
                c->events.online(c->userdata, &limits);
        }
        if (error < 0)
                return;
        if (!json || tree_parse(json, size, &o) < 0 || read_limits(o, &limits) < 0) {
                c->events.warning(c->userdata,
                                  "the server's answer to getSessionLimits is not understood: "
                                  "it is taken as one without limits known");
                limits = limits_unknown();
                limits.settled = true;
                c->events.online(c->userdata, &limits);
                return;
        }
        c->max_payload = limits.max_payload;
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

static void tell_subscribing(const Client *c) {
        if (c->events.subscribing)
                c->events.subscribing(c->userdata);
}

static void subscribe(Client *c) {
        const char *topics[ELEMENTS(subscriptions)];

        for (size_t i = 0; i < ELEMENTS(topics); i++)
                topics[i] = topic_filter(subscriptions[i]);
        if (session_subscribe(c->session, topics, ELEMENTS(topics), CONTEXT_OWN) < 0)
                loop_timer_arm_in(c->reconnect_timer, RETRY_SUBSCRIBE, 0);
        else
                tell_subscribing(c);
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
        if (was_online)
                c->events.offline(c->userdata, reason);
        calls_fail(&c->calls, -ENOTCONN);
}

static void on_published(void *userdata, uint64_t context, int code) {
        Client *c = userdata;

        if ((context & CONTEXT_OTHER) && c->events.delivered)
                c->events.delivered(c->userdata, context & ~CONTEXT_OTHER, code);
        else if (!(context & (CONTEXT_OWN | CONTEXT_OTHER)))
                c->events.published(c->userdata, context, code);
}

static int on_credentials(void *userdata, SessionCredentials *ret, char **ret_text) {
        Client *c = userdata;

        return c->events.credentials ? c->events.credentials(c->userdata, ret, ret_text) : 0;
}

/* ---- what arrives */

static bool is_timeout_answer(const char *json, size_t size) {
        _cleanup_(tree_putp) json_object *o = NULL;
        json_object *error;

        if (size > 64 || tree_parse(json, size, &o) < 0)
                return false;
        error = tree_member(o, "error");
        return json_object_is_type(error, json_type_string) && json_object_object_length(o) == 1 &&
               streq(json_object_get_string(error), "timeout");
}

static void take_answer(Client *c, CallKind kind, uint32_t id, const char *json, size_t size) {
        int error = 0;

        if (!json || (kind == CALL_RPC && size > TREE_TEXT_MAX))
                error = -E2BIG;
        else if (kind == CALL_RPC && is_timeout_answer(json, size))
                error = -ETIMEDOUT;
        (void)calls_answer(&c->calls, kind, id, error, error == 0 ? json : NULL, error == 0 ? size : 0); /* or it came too late */
}

static void on_message(void *userdata, const char *topic, const void *payload, size_t size) {
        Client *c = userdata;
        uint32_t id;

        switch (topic_parse(topic, &id)) {
        case TOPIC_ATTRIBUTES:
                if (c->events.attributes)
                        c->events.attributes(c->userdata, payload, size);
                break;
        case TOPIC_ATTRIBUTES_RESPONSE:
                take_answer(c, CALL_ATTRIBUTES, id, payload, size);
                break;
        case TOPIC_RPC_REQUEST:
                if (c->events.request)
                        c->events.request(c->userdata, id, size > TREE_TEXT_MAX ? NULL : payload, size);
                break;
        case TOPIC_RPC_RESPONSE:
                take_answer(c, CALL_RPC, id, payload, size);
                break;
        case TOPIC_TELEMETRY:
        case TOPIC_ATTRIBUTES_REQUEST:
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
        c->max_payload = PAYLOAD_DEFAULT;
        r = calls_init(&c->calls, c->loop);
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
        calls_done(&c->calls);
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
        return session_publish(c->session, topic_build(TOPIC_TELEMETRY, 0, topic), payload, size, 1,
                               context & ~(CONTEXT_OWN | CONTEXT_OTHER));
}

bool client_is_online(const Client *c) {
        return c->online;
}

Session *client_session(Client *c) {
        return c->session;
}

size_t client_telemetry_overhead(const Client *c) {
        return strlen(topic_filter(TOPIC_TELEMETRY)) + overhead(c);
}
