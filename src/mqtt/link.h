/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of a session: a worker thread that makes every call into the MQTT library, and the
 * library's callbacks, which only copy what they are given into events. link.c alone knows the library.
 * Main thread only, like the session it serves. */
#pragma once

#include "base/worker.h"
#include "mqtt/probe.h"

typedef struct Link Link;

#define LINK_IN_FLIGHT 256 /* publishes and subscriptions that have no answer yet */
#define LINK_TOPICS    8   /* in one subscription */

typedef enum LinkEventKind {
        LINK_RESOLVED, /* the name has an address; TCP, TLS and CONNACK come next */
        LINK_FAILED,   /* connect: code > 0 CONNACK; LINK_CLOSED; else unknown, text says why where it is known */
        LINK_CONNECTED,
        LINK_LOST,       /* code >= 0 from the server's DISCONNECT; LINK_CLOSED */
        LINK_PUBLISHED,  /* id; code 0 PUBACK, >= 0x80 refused, < 0 lost */
        LINK_SUBSCRIBED, /* id; codes[n]; n 0: lost */
        LINK_MESSAGE,
        LINK_FLOOD,  /* more messages than the queue holds: one or more are gone */
        LINK_PROBED, /* text NULL: a connection works now */
} LinkEventKind;

#define LINK_CLOSED (-1000) /* the server closed the connection without a word */

typedef struct LinkEvent { /* borrowed by the receiver */
        LinkEventKind kind;
        int code;
        uint32_t id;
        const char *text, *topic;
        const void *payload; /* NULL: larger than message_max */
        size_t size;
        const uint8_t *codes;
        size_t n;
} LinkEvent;

typedef struct LinkParams { /* texts are copied */
        Loop *loop;
        const char *url, *client_id;
        Endpoint endpoint; /* of url */
        usec_t keepalive, connect_timeout;
        ProbeFiles files;
        size_t message_max;
        void (*event)(void *userdata, const LinkEvent *event); /* never of an attempt that was dropped */
        void *userdata;
} LinkParams;

/* What must be set before the first thread starts; see session_init_process(). */
void link_init_process(void);

_must_check_ int link_new(Link **ret, const LinkParams *params);
Link *link_free(Link *link); /* after link_stop(); leaks what a thread left behind still holds */
DEFINE_CLEANUP(Link *, link_free)
int link_stop(Link *link, usec_t wait);

/* Each drops what was before. */
_must_check_ int link_connect(Link *link, int protocol, const char *username, const char *password);
void link_drop(Link *link);
/* Drops, then tries without the MQTT library; answered by LINK_PROBED. */
_must_check_ int link_probe(Link *link, usec_t wait);

/* id: rising by one for each publish or subscription that was taken, so that no two of LINK_IN_FLIGHT meet. */
_must_check_ int link_publish(Link *link, uint32_t id, const char *topic, const void *payload, size_t size, int qos);
_must_check_ int link_subscribe(Link *link, uint32_t id, const char *const *topics, size_t n);

void link_ping(Link *link);
usec_t link_deaf_for(const Link *link);
