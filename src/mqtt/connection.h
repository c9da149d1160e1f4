/* SPDX-License-Identifier: Apache-2.0 */
/* One connection, from the attempt to its end: the only module that sees the MQTT library. Every function
 * here may block on the library's lock: for a worker thread alone. What happens comes as events from the
 * library's own threads. */
#pragma once

#include "mqtt/flight.h"
#include "mqtt/probe.h"

typedef struct Connection Connection;

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

typedef struct LinkEvent {
        LinkEventKind kind;
        int code;
        uint32_t id;
        const char *text, *topic;
        const void *payload; /* NULL: larger than message_max */
        size_t size;
        const uint8_t *codes;
        size_t n;
} LinkEvent;

typedef struct Event {       /* one block of the heap */
        uint64_t generation; /* of the attempt */
        LinkEvent event;     /* points into data */
        char data[];
} Event;

Event *event_new(LinkEventKind kind, uint64_t generation, size_t data_size); /* NULL: no memory */

typedef struct ConnectionParams { /* borrowed for the life of the connection */
        const char *url, *client_id;
        uint16_t port;
        bool tls;
        ProbeFiles files;
        usec_t keepalive, connect_timeout;
        size_t message_max;
        bool (*post)(void *userdata, Event *event); /* from any thread; owns event, which may be NULL. false: it is gone */
        void *userdata;
} ConnectionParams;

/* Before the first connection. */
void connection_init_process(void);

/* Begins to connect; told by LINK_CONNECTED or LINK_FAILED. protocol: 5 or 4 */
_must_check_ int connection_new(Connection **ret, const ConnectionParams *params, uint64_t generation, int protocol,
                                const char *username, const char *password);
/* What was published before is written if the connection lives, then it is ended. No event comes after this. */
Connection *connection_free(Connection *c);
DEFINE_CLEANUP(Connection *, connection_free)

uint64_t connection_generation(const Connection *c);
/* id: rising by one for each publish or subscription, so that no two of FLIGHT_MAX meet. */
void connection_publish(Connection *c, uint32_t id, const char *topic, const void *payload, size_t size, int qos);
/* topics: n texts, each with its NUL, one behind the other. */
void connection_subscribe(Connection *c, uint32_t id, const char *topics, size_t n);
