/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of a session: a worker thread that looks names up, makes every call into the MQTT library
 * and hands back what it and the library's threads have to tell. Main thread only, like the session. */
#pragma once

#include "base/worker.h"
#include "mqtt/connection.h"

typedef struct Link Link;

#define LINK_TOPICS 8 /* in one subscription */

typedef struct LinkParams { /* texts are copied */
        Loop *loop;
        const char *url, *client_id;
        Endpoint endpoint; /* of url */
        usec_t keepalive, connect_timeout;
        ProbeFiles files;
        size_t message_max;
        void (*event)(void *userdata, const LinkEvent *event); /* borrowed; never of an attempt that was dropped */
        void *userdata;
} LinkParams;

/* What must be set before the first thread starts; see session_init_process(). */
void link_init_process(void);

_must_check_ int link_new(Link **ret, const LinkParams *params);
Link *link_free(Link *link); /* stops it where nobody did; leaks what a thread left behind still holds */
DEFINE_CLEANUP(Link *, link_free)
int link_stop(Link *link, usec_t wait);
/* As session_stop_later(). */
_must_check_ int link_stop_later(Link *link, void (*stopped)(void *userdata), void *userdata);

/* Each drops what was before. */
_must_check_ int link_connect(Link *link, int protocol, const char *username, const char *password);
void link_drop(Link *link);
/* Drops, then tries without the MQTT library; answered by LINK_PROBED. */
_must_check_ int link_probe(Link *link, usec_t wait);

/* id: rising by one for each publish or subscription that was taken, so that no two of FLIGHT_MAX meet. */
_must_check_ int link_publish(Link *link, uint32_t id, const char *topic, const void *payload, size_t size, int qos);
_must_check_ int link_subscribe(Link *link, uint32_t id, const char *const *topics, size_t n);

void link_ping(Link *link);
usec_t link_deaf_for(const Link *link);
