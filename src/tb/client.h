/* SPDX-License-Identifier: Apache-2.0 */
/* The device's conversation with ThingsBoard over one MQTT session: what is subscribed and asked after each
 * CONNACK, request ids, timeouts, and who gets what arrives. Owns the Session. Main thread only. */
#pragma once

#include "mqtt/session.h"
#include "tb/calls.h"

typedef struct Client Client;

/* "cap:sec,cap:sec" as getSessionLimits tells them; NULL text: unlimited. */
typedef struct ClientLimits {
        bool known;               /* false: the server did not tell (old, or no answer) */
        bool settled;             /* it has told, or let the time for it pass: no answer is to be waited for */
        size_t max_payload;       /* bound on the MQTT remaining length; 65536 unless told */
        unsigned max_inflight;
        const char *messages, *telemetry_messages, *telemetry_points; /* borrowed during the callback */
} ClientLimits;

typedef struct ClientEvents {
        /* As the session's, for log and status. */
        void (*state)(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry);
        /* Telemetry may flow. First with limits not known, when the subscriptions are checked (refused ones are
         * told by warning()), and again when the server told its limits. */
        void (*online)(void *userdata, const ClientLimits *limits);
        void (*offline)(void *userdata, SessionReason reason);
        void (*published)(void *userdata, uint64_t context, int code); /* of client_telemetry() */
        /* The next four may be NULL. Of client_publish_attributes(), client_reply() and client_claim(): 0, or as in
         * SessionEvents. */
        void (*delivered)(void *userdata, uint64_t context, int code);
        /* SUBSCRIBE has just been sent: what is asked now is asked behind it. */
        void (*subscribing)(void *userdata);
        /* Shared attributes have changed; json NULL: larger than 1 MiB. */
        void (*attributes)(void *userdata, const char *json, size_t size);
        /* The server's request `id` (from 0, not unique over time); json NULL: larger than 64 KiB. */
        void (*request)(void *userdata, uint32_t id, const char *json, size_t size);
        /* Something an operator should read once: a refused subscription, an answer of odd shape. */
        void (*warning)(void *userdata, const char *text);
        int (*credentials)(void *userdata, SessionCredentials *ret, char **ret_text);
} ClientEvents;

typedef struct ClientParams {
        SessionParams session; /* its events and userdata are the client's own: leave them zero */
        usec_t limits_timeout; /* getSessionLimits; default 10 s */
        ClientEvents events;
        void *userdata;
} ClientParams;

_must_check_ int client_new(Client **ret, const ClientParams *params);
Client *client_free(Client *c);
DEFINE_CLEANUP(Client *, client_free)
void client_start(Client *c);
int client_stop(Client *c, usec_t wait); /* as session_stop() */
_must_check_ int client_stop_later(Client *c, void (*stopped)(void *userdata), void *userdata); /* as session_stop_later() */

/* Publishes one telemetry payload at QoS 1; context < 2^62. Errors as session_publish(). */
_must_check_ int client_telemetry(Client *c, const void *payload, size_t size, uint64_t context);

/* The rest. -ENOTCONN: offline; -EAGAIN: the limit of messages that the server told, or too much waits: later;
 * -E2BIG: larger than the server takes; -EINVAL. context < 2^62, told by delivered(). */

/* Client RPC. params: JSON, NULL: none. */
_must_check_ int client_call(Client *c, const char *method, const char *params, usec_t timeout, client_answer_fn fn,
                             void *userdata);
/* Keys are separated by commas; both NULL: all client and all shared attributes. The answer is {"client":{..},"shared":{..}},
 * without what is not there. */
_must_check_ int client_request_attributes(Client *c, const char *client_keys, const char *shared_keys, usec_t timeout,
                                           client_answer_fn fn, void *userdata);
/* json: an object whose keys were checked. Counts as telemetry for the server's limits, which is the caller's part. */
_must_check_ int client_publish_attributes(Client *c, const char *json, size_t size, uint64_t context);
/* Answers the server's request; json was checked. */
_must_check_ int client_reply(Client *c, uint32_t id, const char *json, size_t size, uint64_t context);
/* secret NULL: none; duration 0: the server's default. */
_must_check_ int client_claim(Client *c, const char *secret, usec_t duration, uint64_t context);

bool client_is_online(const Client *c);
Session *client_session(Client *c); /* borrowed */
/* Bytes of the telemetry PUBLISH beside its payload, counted on the MQTT remaining length. */
size_t client_telemetry_overhead(const Client *c);
