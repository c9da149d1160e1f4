/* SPDX-License-Identifier: Apache-2.0 */
/* The server side of the daemon: one client and its uplink, made from the configuration's server and
 * telemetry parts. Logs every change of the connection once. Main thread. */
#pragma once

#include "agent/board.h"
#include "agent/config.h"
#include "agent/uplink.h"

typedef struct Server Server;

typedef struct ServerParams {
        Loop *loop;
        Spool *spool;         /* borrowed */
        const Config *config; /* borrowed until server_set_config(); has a URL */
        const Board *board;   /* borrowed for life */
        const char *client_id; /* that goes with the credentials; NULL: the configuration's, or one of the machine */
        const char *cert_file, *key_file; /* in place of the configuration's; NULL: that */
        const char *limits_file; /* as in UplinkParams */
        void (*changed)(void *userdata); /* something a status would show */
        void (*acknowledged)(void *userdata); /* a batch is at the server, or lost with the connection */
        bool (*may_estimate)(void *userdata); /* as in UplinkParams */
        /* as in ClientEvents */
        void (*subscribing)(void *userdata);
        void (*attributes)(void *userdata, const char *json, size_t size);
        void (*request)(void *userdata, uint32_t id, const char *json, size_t size);
        void (*delivered)(void *userdata, uint64_t context, int code);
        void (*online)(void *userdata);  /* what is not telemetry may flow; perhaps again */
        void (*offline)(void *userdata);
        void (*refused)(void *userdata); /* the server does not take the credentials */
        /* Credentials that are not the configuration's; 0: they are; < 0: as in SessionEvents; 1: filled. */
        int (*credentials)(void *userdata, SessionCredentials *ret, char **ret_text);
        void *userdata;
} ServerParams;

_must_check_ int server_new(Server **ret, const ServerParams *params);
Server *server_free(Server *s);
DEFINE_CLEANUP(Server *, server_free)

void server_start(Server *s);
/* As session_stop() and session_stop_later(). */
int server_stop(Server *s, usec_t wait);
_must_check_ int server_stop_later(Server *s, void (*stopped)(void *userdata), void *userdata);
/* Another configuration with the same server part (config_same_server()); a wait for the next try is cut short. */
void server_set_config(Server *s, const Config *config);
void server_notify(Server *s, bool immediate);
void server_flush(Server *s);
bool server_is_idle(const Server *s); /* nothing waits to be acknowledged */
bool server_is_online(const Server *s);
Client *server_client(Server *s); /* borrowed */
usec_t server_take_points(Server *s, uint32_t *points); /* uplink_take() */

/* The thread that talks to the broker is asked for a sign of life; how long it has not given one. */
usec_t server_ping(Server *s);

SessionState server_state(const Server *s);
const char *server_text(const Server *s); /* why not connected; never NULL */
usec_t server_retry_in(const Server *s);
int server_protocol(const Server *s);
UplinkStats server_uplink_stats(const Server *s);
