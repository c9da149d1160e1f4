/* SPDX-License-Identifier: Apache-2.0 */
/* One handle of the MQTT library per attempt to connect. That costs a few system calls per reconnect and buys
 * that nothing of an old connection lives on in a new one: no queued publish that is sent again behind our
 * back, no callback pointers of a former connect (1.3.12 calls them after connectionLost), no connect that
 * can't be aborted. MQTTAsync_destroy() closes the socket, calls onFailure for all that was open, and after
 * it no callback comes: each runs under the library's global lock and finds its handle in the list first.
 *
 * Rules the library asks for (ENGINE.md 1; read in the source of 1.3.12):
 * - Callbacks run in its threads, under that lock. They copy and post; they call nothing of the library but
 *   the functions that free what they were given.
 * - A publish is told by its context (a Pending of the connection), never by its token: that is 0 in a
 *   failed write.
 * - failureData5.packet_type is read from freed memory, and outside of acknowledgements failureData5 may
 *   not be filled in beyond `code`: `reasonCode` counts only where code is 0.
 * - A refused CONNACK stands in `code`. Why a connect failed otherwise is not said: `message` tells a close
 *   after CONNECT from the rest, and probe.c finds words for that.
 * - subscribeMany gives an array without its length on 3.1.1 (and another union member if there is one
 *   code), so each topic is subscribed by itself and the codes are put together here.
 * - After a DISCONNECT from the server there is no connectionLost; after a lost socket no disconnected.
 * - 1.3.12's destroy forgets topic and payload of publishes that its send thread had not begun: on a live
 *   connection it has, after our DISCONNECT; on a dead one unless the socket is full. Whoever keeps less in
 *   flight than a socket buffer takes (about 64 KiB) loses no memory when a dead link is given up, and is
 *   spared the library's 1 s sleep on a partial write. */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include <MQTTAsync.h>

#include "mqtt/connection.h"

#define MAX_INFLIGHT     1000 /* the library's window, out of the way of ours: it sleeps 1 s when it is reached */
#define FINISH_WAIT      (100 * USEC_PER_MSEC)
#define LIBRARY_PATIENCE 10 /* seconds on top of connect_timeout: the session's own timer comes first */

typedef struct Pending { /* the library's context of a publish */
        Connection *connection;
        uint32_t id;
} Pending;

typedef struct Subscription Subscription;

typedef struct SubscriptionPart { /* the library's context of one topic */
        Subscription *subscription;
        uint8_t code;
} SubscriptionPart;

struct Subscription {
        Connection *connection;
        uint32_t id;
        atomic_uint left; /* parts without an answer: the last one, in whatever thread, posts */
        atomic_bool lost;
        size_t n;
        SubscriptionPart parts[];
};

struct Connection {
        ConnectionParams params;
        uint64_t generation;
        int protocol;
        MQTTAsync handle;
        bool flooded;   /* the library's receive thread alone */
        sem_t finished; /* its send thread has come to our DISCONNECT */
        Pending pending[FLIGHT_MAX];
};

Event *event_new(LinkEventKind kind, uint64_t generation, size_t data_size) {
        Event *e = calloc(1, sizeof(*e) + data_size);

        if (e) {
                e->generation = generation;
                e->event.kind = kind;
        }
        return e;
}

static bool post(const Connection *c, Event *e) {
        return c->params.post(c->params.userdata, e);
}

static void post_code(const Connection *c, LinkEventKind kind, uint32_t id, int code) {
        Event *e = event_new(kind, c->generation, 0);

        if (e) {
                e->event.id = id;
                e->event.code = code;
        }
        (void)post(c, e);
}

/* ---- the library's callbacks: its threads, or ours inside MQTTAsync_destroy() */

static void connect_failed(Connection *c, int code, const char *message) {
        if (code <= 0)
                code = message && streq(message, "TCP connect completion failure") ? LINK_CLOSED : -1;
        post_code(c, LINK_FAILED, 0, code);
}

/* The library sets no TCP_NODELAY and does not say which socket is its own: it is the one that leads to the server's port. With
 * Nagle's algorithm a reply behind another small message waits up to 40 ms for an acknowledgement. */
static void set_nodelay(const Connection *c) {
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;

        while (d && (e = readdir(d))) {
                union {
                        struct sockaddr any;
                        struct sockaddr_in v4;
                        struct sockaddr_in6 v6;
                } peer;
                socklen_t size = sizeof(peer);
                int fd = atoi(e->d_name), on = 1;
                in_port_t port;

                if (fd == 0 || getpeername(fd, &peer.any, &size) < 0)
                        continue;
                port = peer.any.sa_family == AF_INET ? peer.v4.sin_port : peer.any.sa_family == AF_INET6 ? peer.v6.sin6_port : 0;
                if (port != 0 && ntohs(port) == c->params.port)
                        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        }
        if (d)
                closedir(d);
}

static void on_connected(void *context, _unused_ MQTTAsync_successData *data) {
        set_nodelay(context);
        post_code(context, LINK_CONNECTED, 0, 0);
}

static void on_connected5(void *context, _unused_ MQTTAsync_successData5 *data) {
        on_connected(context, NULL);
}

static void on_connect_failed(void *context, MQTTAsync_failureData *data) {
        connect_failed(context, data->code, data->message);
}

static void on_connect_failed5(void *context, MQTTAsync_failureData5 *data) {
        connect_failed(context, data->code, data->message);
}

static void on_connection_lost(void *context, _unused_ char *cause) {
        post_code(context, LINK_LOST, 0, LINK_CLOSED);
}

static void on_disconnected(void *context, _unused_ MQTTProperties *properties, enum MQTTReasonCodes code) {
        post_code(context, LINK_LOST, 0, (int)code);
}

static void published(Pending *p, int code) {
        post_code(p->connection, LINK_PUBLISHED, p->id, code);
}

static void on_published(void *context, _unused_ MQTTAsync_successData *data) {
        published(context, 0);
}

static void on_published5(void *context, _unused_ MQTTAsync_successData5 *data) {
        published(context, 0);
}

static void on_publish_failed(void *context, _unused_ MQTTAsync_failureData *data) {
        published(context, -1);
}

static void on_publish_failed5(void *context, MQTTAsync_failureData5 *data) {
        published(context, data->code == 0 && data->reasonCode >= 0x80 ? (int)data->reasonCode : -1);
}

/* code < 0: lost. */
static void part_done(SubscriptionPart *part, int code) {
        Subscription *s = part->subscription;
        Event *e;

        part->code = (uint8_t)code;
        if (code < 0)
                atomic_store(&s->lost, true);
        if (atomic_fetch_sub(&s->left, 1) > 1)
                return;

        e = event_new(LINK_SUBSCRIBED, s->connection->generation, s->n);
        if (e) {
                e->event.id = s->id;
                e->event.codes = (const uint8_t *)e->data;
                e->event.n = atomic_load(&s->lost) ? 0 : s->n;
                for (size_t i = 0; i < s->n; i++)
                        e->data[i] = (char)s->parts[i].code;
        }
        (void)post(s->connection, e);
        free(s);
}

/* A grant is a QoS: whatever else an odd server writes there counts as refused. */
static int grant_code(int code) {
        return (code >= 0 && code <= 2) || (code >= 0x80 && code <= 0xFF) ? code : 0x80;
}

static void on_subscribed(void *context, MQTTAsync_successData *data) {
        part_done(context, grant_code(data->alt.qos));
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *data) {
        part_done(context, grant_code((int)data->reasonCode)); /* alt.sub.reasonCodes dangles where it has one */
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData *data) {
        part_done(context, data->code > 0 ? grant_code(data->code) : -1);
}

static void on_subscribe_failed5(void *context, MQTTAsync_failureData5 *data) {
        part_done(context, data->code == 0 ? grant_code((int)data->reasonCode) : -1);
}

static Event *message_event(Connection *c, const char *topic, size_t topic_size, const MQTTAsync_message *message) {
        size_t size = message->payloadlen > 0 ? (size_t)message->payloadlen : 0;
        bool fits = size <= c->params.message_max;
        Event *e = event_new(LINK_MESSAGE, c->generation, topic_size + 1 + (fits ? size + 1 : 0));

        if (!e)
                return NULL;
        e->event.topic = memcpy(e->data, topic, topic_size);
        e->event.size = size;
        if (fits) {
                e->event.payload = e->data + topic_size + 1;
                if (size > 0)
                        memcpy(e->data + topic_size + 1, message->payload, size);
        }
        return e;
}

/* Always takes the message: what is handed back, the library would keep in a list without bounds. */
static int on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message) {
        Connection *c = context;
        Event *e = message_event(c, topic, topic_size > 0 ? (size_t)topic_size : strlen(topic), message);

        MQTTAsync_freeMessage(&message);
        MQTTAsync_free(topic);
        if (!post(c, e) && !c->flooded) {
                c->flooded = true;
                post_code(c, LINK_FLOOD, 0, 0);
        }
        return 1;
}

/* ---- calls into the library */

static void on_finished(void *context, _unused_ MQTTAsync_successData *data) {
        Connection *c = context;
        sem_post(&c->finished);
}

static void on_finished5(void *context, _unused_ MQTTAsync_successData5 *data) {
        on_finished(context, NULL);
}

/* On a live connection what was published before is written, then a DISCONNECT; on a dead one it is not waited for long. */
static void connection_finish(Connection *c) {
        MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
        struct timespec deadline;

        options.context = c;
        if (c->protocol == 5)
                options.onSuccess5 = on_finished5;
        else
                options.onSuccess = on_finished;
        if (MQTTAsync_disconnect(c->handle, &options) != MQTTASYNC_SUCCESS)
                return;
        clock_gettime(CLOCK_MONOTONIC, &deadline);
        deadline.tv_nsec += FINISH_WAIT * NSEC_PER_USEC;
        if (deadline.tv_nsec >= NSEC_PER_SEC) {
                deadline.tv_sec++;
                deadline.tv_nsec -= NSEC_PER_SEC;
        }
        while (sem_clockwait(&c->finished, CLOCK_MONOTONIC, &deadline) < 0 && errno == EINTR)
                ;
}

Connection *connection_free(Connection *c) {
        if (!c)
                return NULL;
        if (c->handle) {
                connection_finish(c);
                MQTTAsync_destroy(&c->handle);
        }
        sem_destroy(&c->finished);
        free(c);
        return NULL;
}

/* OpenSSL starts by itself when the first TLS connection is made (a plain one is spared 100 KiB of its error texts), and
 * the library need not note each call of its functions in a table of 120 KiB. */
void connection_init_process(void) {
        MQTTAsync_init_options options = MQTTAsync_init_options_initializer;

        MQTTAsync_global_init(&options);
        if (!getenv("MQTT_C_CLIENT_TRACE"))
                MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
}

static int connection_create(Connection *c) {
        MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;

        options.MQTTVersion = c->protocol == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
        options.sendWhileDisconnected = 0;
        options.maxBufferedMessages = MAX_INFLIGHT;
        if (MQTTAsync_createWithOptions(&c->handle, c->params.url, c->params.client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                        &options) != MQTTASYNC_SUCCESS)
                return -EIO;
        if (MQTTAsync_setCallbacks(c->handle, c, on_connection_lost, on_message, NULL) != MQTTASYNC_SUCCESS ||
            MQTTAsync_setDisconnected(c->handle, c, on_disconnected) != MQTTASYNC_SUCCESS)
                return -EIO;
        return 0;
}

static int connection_open(Connection *c, const char *username, const char *password) {
        MQTTAsync_connectOptions v5 = MQTTAsync_connectOptions_initializer5, v4 = MQTTAsync_connectOptions_initializer;
        MQTTAsync_connectOptions *o = c->protocol == 5 ? &v5 : &v4;
        MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;

        if (c->protocol == 5) {
                o->MQTTVersion = MQTTVERSION_5;
                o->cleanstart = 1;
                o->onSuccess5 = on_connected5;
                o->onFailure5 = on_connect_failed5;
        } else {
                o->MQTTVersion = MQTTVERSION_3_1_1;
                o->cleansession = 1;
                o->onSuccess = on_connected;
                o->onFailure = on_connect_failed;
        }
        o->context = c;
        o->keepAliveInterval = (int)(c->params.keepalive / USEC_PER_SEC);
        o->connectTimeout = (int)(c->params.connect_timeout / USEC_PER_SEC) + LIBRARY_PATIENCE;
        o->maxInflight = MAX_INFLIGHT;
        o->automaticReconnect = 0;
        o->username = username;
        o->password = password;
        if (c->params.tls) {
                ssl.trustStore = c->params.files.ca;
                ssl.keyStore = c->params.files.cert;
                ssl.privateKey = c->params.files.key;
                ssl.enableServerCertAuth = 1;
                ssl.verify = 1; /* the host name */
                o->ssl = &ssl;
        }
        return MQTTAsync_connect(c->handle, o) == MQTTASYNC_SUCCESS ? 0 : -EIO;
}

int connection_new(Connection **ret, const ConnectionParams *params, uint64_t generation, int protocol, const char *username,
                   const char *password) {
        _cleanup_(connection_freep) Connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->params = *params;
        c->generation = generation;
        c->protocol = protocol;
        sem_init(&c->finished, 0, 0);
        r = connection_create(c);
        if (r < 0)
                return r;
        r = connection_open(c, username, password);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

uint64_t connection_generation(const Connection *c) {
        return c->generation;
}

void connection_publish(Connection *c, uint32_t id, const char *topic, const void *payload, size_t size, int qos) {
        MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
        Pending *p = &c->pending[id % FLIGHT_MAX];

        *p = (Pending){ .connection = c, .id = id };
        options.context = p;
        if (c->protocol == 5) {
                options.onSuccess5 = on_published5;
                options.onFailure5 = on_publish_failed5;
        } else {
                options.onSuccess = on_published;
                options.onFailure = on_publish_failed;
        }
        if (MQTTAsync_send(c->handle, topic, (int)size, payload, qos, 0, &options) != MQTTASYNC_SUCCESS)
                published(p, -1);
}

static void subscribe_part(Connection *c, SubscriptionPart *part, const char *topic) {
        MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;

        options.context = part;
        if (c->protocol == 5) {
                options.onSuccess5 = on_subscribed5;
                options.onFailure5 = on_subscribe_failed5;
        } else {
                options.onSuccess = on_subscribed;
                options.onFailure = on_subscribe_failed;
        }
        if (MQTTAsync_subscribe(c->handle, topic, 1, &options) != MQTTASYNC_SUCCESS)
                part_done(part, -1);
}

void connection_subscribe(Connection *c, uint32_t id, const char *topics, size_t n) {
        Subscription *s = calloc(1, sizeof(*s) + n * sizeof(s->parts[0]));

        if (!s) {
                post_code(c, LINK_SUBSCRIBED, id, 0);
                return;
        }
        s->connection = c;
        s->id = id;
        s->n = n;
        atomic_init(&s->left, (unsigned)n);
        for (size_t i = 0; i < n; i++)
                s->parts[i].subscription = s;
        for (size_t i = 0; i < n; i++, topics += strlen(topics) + 1)
                subscribe_part(c, &s->parts[i], topics); /* frees s with the last one */
}
