/* SPDX-License-Identifier: Apache-2.0 */
/* One MQTT session. All calls into the MQTT library are made by one worker thread (mqtt/link), because DNS
 * may block it for a minute; the library's callbacks only post events. This side is a state machine in the
 * loop: connect, back-off, reconnect, protocol fallback, a PUBACK timer of its own. Knows nothing of
 * ThingsBoard's topics. Main thread only. */
#pragma once

#include "base/loop.h"
#include "mqtt/reason.h"

typedef struct Session Session;

typedef enum SessionState {
        SESSION_IDLE, /* not started, or stopped */
        SESSION_CONNECTING,
        SESSION_CONNECTED, /* CONNACK was fine */
        SESSION_WAITING,   /* back-off before the next try */
} SessionState;

typedef struct SessionCredentials { /* filled by the callback for each connect; owned by the session afterwards */
        char *username;
        char *password;
} SessionCredentials;

#define SESSION_LOST (-ENOTCONN) /* code of what was in flight when the connection went */

typedef struct SessionEvents {
        /* text: one sentence for the log with what to do about it. code: MQTT reason code, 0 if none.
         * retry: when the next try is made (monotonic), for WAITING. When a connection ends, what was in
         * flight is told lost before. */
        void (*state)(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry);
        /* payload is borrowed; at most message_max bytes, larger ones come with payload NULL and their size */
        void (*message)(void *userdata, const char *topic, const void *payload, size_t size);
        /* exactly once per accepted publish: 0 PUBACK, > 0 MQTT 5 reason code >= 0x80, or SESSION_LOST */
        void (*published)(void *userdata, uint64_t context, int code);
        /* codes as granted, one per topic; n 0: lost */
        void (*subscribed)(void *userdata, uint64_t context, const uint8_t *codes, size_t n);
        /* < 0: where token and password come from failed; *ret_text says what to do, owned by the session */
        int (*credentials)(void *userdata, SessionCredentials *ret, char **ret_text);
} SessionEvents;

typedef struct SessionParams { /* texts are copied */
        Loop *loop;
        const char *url; /* mqtt://host[:port] or mqtts://host[:port], checked by the configuration */
        const char *client_id;
        int protocol;                     /* 0 auto (5, then 4), 5, 4 */
        usec_t keepalive;                 /* seconds resolution, 10 s .. 5 min */
        usec_t connect_timeout;           /* default 20 s */
        usec_t ack_timeout;               /* default 15 s: the oldest publish without PUBACK ends the connection */
        usec_t backoff_min, backoff_max;  /* full jitter; default 1 s .. 2 min */
        const char *ca_file;              /* NULL: the system's */
        const char *cert_file, *key_file; /* NULL: none */
        size_t message_max;               /* default 1 MiB + some */
        SessionEvents events;
        void *userdata;
} SessionParams;

/* Sets what the resolver and the MQTT library read from the environment: RES_OPTIONS (a silent name server
 * costs 3 s, not 10; the administrator's own value stays), no http_proxy. In main(), before any thread. */
void session_init_process(void);

_must_check_ int session_new(Session **ret, const SessionParams *params);
/* After session_stop(), else it waits up to a second; frees what the thread does not hold any more. */
Session *session_free(Session *s);
DEFINE_CLEANUP(Session *, session_free)

void session_start(Session *s);
/* Ends the connection orderly and the thread, waiting at most `wait` in all; not to be started again.
 * -ETIMEDOUT: the thread did not come back: end the process by _exit(), exit handlers would run under it. */
int session_stop(Session *s, usec_t wait);
/* The same without waiting: what was in flight is lost at once; `stopped` is called from the loop when the thread has
 * ended, and session_free() may come from there. session_stop() may still follow, and then it is not called. */
_must_check_ int session_stop_later(Session *s, void (*stopped)(void *userdata), void *userdata);
/* Drops the connection (if any) and connects again after `delay`: pacing after limits, packet ids used up. */
void session_reconnect(Session *s, usec_t delay);

/* 0; -ENOTCONN; -EAGAIN: too many have no answer yet. The payload is copied. qos 0 or 1. At most 8 topics. */
_must_check_ int session_publish(Session *s, const char *topic, const void *payload, size_t size, int qos, uint64_t context);
_must_check_ int session_subscribe(Session *s, const char *const *topics, size_t n, uint64_t context);

SessionState session_state(const Session *s);
int session_protocol(const Session *s);        /* 5 or 4 while connected */
uint64_t session_generation(const Session *s); /* counts connections */
uint64_t session_downlinks(const Session *s);  /* PUBLISH received in this connection */

/* Liveness of the thread (DESIGN.md 2): ping, then ask how long it has not answered. */
void session_ping(Session *s);
usec_t session_deaf_for(const Session *s);
