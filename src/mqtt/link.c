/* SPDX-License-Identifier: Apache-2.0 */
/* One MQTT library handle per attempt to connect, made and destroyed in the worker thread. That costs a few
 * system calls per reconnect and buys that nothing of an old connection lives on in a new one: no queued
 * publish that is sent again behind our back, no callback pointers of a former connect (1.3.12 calls them
 * after connectionLost), no connect that can't be aborted. MQTTAsync_destroy() closes the socket, calls
 * onFailure for all that was open, and after it no callback comes: each runs under the library's global lock
 * and finds its handle in the list first.
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
 *   spared the library's 1 s sleep on a partial write.
 *
 * Every event carries the generation of its attempt and reaches the session only while that is the wanted
 * one. A connect job that comes late (a lookup before it took a minute) is not begun at all. Jobs end with
 * a look at `abandoned`: a thread that was left behind and returns after all must not leave a connection. */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include <MQTTAsync.h>

#include "mqtt/link.h"

#define JOBS_MAX         (LINK_IN_FLIGHT + 64)
#define EVENTS_MAX       1024
#define MESSAGES_MAX     256  /* waiting for the loop; the rest of EVENTS_MAX is for acknowledgements */
#define MAX_INFLIGHT     1000 /* the library's window, out of the way of ours: it sleeps 1 s when it is reached */
#define FINISH_WAIT      (100 * USEC_PER_MSEC)
#define LIBRARY_PATIENCE 10 /* seconds on top of connect_timeout: the session's own timer comes first */

typedef enum JobKind { JOB_CONNECT, JOB_DROP, JOB_PROBE, JOB_PUBLISH, JOB_SUBSCRIBE, JOB_STOP } JobKind;

typedef struct Job {
        JobKind kind;
        int protocol, qos;
        uint32_t id;
        uint64_t generation;
        usec_t wait;
        char *topic, *username, *password; /* into data, or NULL */
        void *payload;
        size_t size, n_topics, data_size;
        char data[];
} Job;

typedef struct Event {
        uint64_t generation;
        LinkEvent event; /* points into data */
        char data[];
} Event;

typedef struct Connection Connection;

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
        Link *link;
        uint64_t generation;
        int protocol;
        MQTTAsync handle;
        bool flooded;   /* the library's receive thread alone */
        sem_t finished; /* its send thread has come to our DISCONNECT */
        Pending pending[LINK_IN_FLIGHT];
};

struct Link {
        LinkParams params;
        char *url, *client_id, *ca, *cert, *key;
        Worker *worker;
        int stopped_fd;
        bool left_behind;

        atomic_uint_fast64_t wanted;           /* generation; 0 is none */
        atomic_bool abandoned;                 /* link_stop() gave up waiting */
        atomic_size_t messages, message_bytes; /* posted and not dispatched */

        Connection *connection; /* the thread's alone */
        ProbeAddress address;   /* of the last lookup; the thread's alone */
        bool resolved;
};

void link_init_process(void) {
        (void)setenv("RES_OPTIONS", "timeout:3 attempts:1", 0);
        (void)unsetenv("http_proxy");
        (void)unsetenv("https_proxy");
}

/* ---- events, from any thread */

static Event *event_new(LinkEventKind kind, uint64_t generation, size_t data_size) {
        Event *e = calloc(1, sizeof(*e) + data_size);

        if (e) {
                e->generation = generation;
                e->event.kind = kind;
        }
        return e;
}

static bool event_post(Link *link, Event *e) {
        if (e && worker_post(link->worker, e) == 0)
                return true;
        free(e);
        return false;
}

static void post_code(Link *link, LinkEventKind kind, uint64_t generation, uint32_t id, int code) {
        Event *e = event_new(kind, generation, 0);

        if (e) {
                e->event.id = id;
                e->event.code = code;
        }
        (void)event_post(link, e);
}

static void post_text(Link *link, LinkEventKind kind, uint64_t generation, const char *text) {
        size_t size = text ? strlen(text) + 1 : 0;
        Event *e = event_new(kind, generation, size);

        if (e && text)
                e->event.text = memcpy(e->data, text, size);
        (void)event_post(link, e);
}

static void on_event(void *userdata, void *event) {
        Link *link = userdata;
        _cleanup_(freep) Event *e = event;

        if (e->event.kind == LINK_MESSAGE) {
                atomic_fetch_sub(&link->messages, 1);
                atomic_fetch_sub(&link->message_bytes, e->event.payload ? e->event.size : 0);
        }
        if (e->generation == atomic_load(&link->wanted))
                link->params.event(link->params.userdata, &e->event);
}

static void on_drop_event(_unused_ void *userdata, void *event) {
        free(event);
}

/* ---- the library's callbacks: its threads, or ours inside MQTTAsync_destroy() */

static void connect_failed(Connection *c, int code, const char *message) {
        if (code <= 0)
                code = message && streq(message, "TCP connect completion failure") ? LINK_CLOSED : -1;
        post_code(c->link, LINK_FAILED, c->generation, 0, code);
}

static void on_connected(void *context, _unused_ MQTTAsync_successData *data) {
        Connection *c = context;
        post_code(c->link, LINK_CONNECTED, c->generation, 0, 0);
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
        Connection *c = context;
        post_code(c->link, LINK_LOST, c->generation, 0, LINK_CLOSED);
}

static void on_disconnected(void *context, _unused_ MQTTProperties *properties, enum MQTTReasonCodes code) {
        Connection *c = context;
        post_code(c->link, LINK_LOST, c->generation, 0, (int)code);
}

static void published(Pending *p, int code) {
        post_code(p->connection->link, LINK_PUBLISHED, p->connection->generation, p->id, code);
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
        (void)event_post(s->connection->link, e);
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
        bool fits = size <= c->link->params.message_max;
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
        Link *link = c->link;
        Event *e = NULL;
        size_t bytes;

        if (atomic_load(&link->messages) < MESSAGES_MAX && atomic_load(&link->message_bytes) <= 4 * link->params.message_max)
                e = message_event(c, topic, topic_size > 0 ? (size_t)topic_size : strlen(topic), message);
        MQTTAsync_freeMessage(&message);
        MQTTAsync_free(topic);

        if (e) {
                bytes = e->event.payload ? e->event.size : 0;
                atomic_fetch_add(&link->messages, 1);
                atomic_fetch_add(&link->message_bytes, bytes);
                if (event_post(link, e))
                        return 1;
                atomic_fetch_sub(&link->messages, 1);
                atomic_fetch_sub(&link->message_bytes, bytes);
        }
        if (!c->flooded)
                post_code(link, LINK_FLOOD, c->generation, 0, 0);
        c->flooded = true;
        return 1;
}

/* ---- jobs, in the worker thread */

static bool is_wanted(Link *link, uint64_t generation) {
        return generation == atomic_load(&link->wanted);
}

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

static void connection_drop(Link *link) {
        Connection *c = TAKE_PTR(link->connection);

        if (!c)
                return;
        if (c->handle) {
                connection_finish(c);
                MQTTAsync_destroy(&c->handle);
        }
        sem_destroy(&c->finished);
        free(c);
}

static int connection_new(Link *link, const Job *job) {
        MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
        Connection *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (Connection){ .link = link, .generation = job->generation, .protocol = job->protocol };
        sem_init(&c->finished, 0, 0);
        link->connection = c;

        options.MQTTVersion = job->protocol == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
        options.sendWhileDisconnected = 0;
        options.maxBufferedMessages = MAX_INFLIGHT;
        if (MQTTAsync_createWithOptions(&c->handle, link->url, link->client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options) !=
            MQTTASYNC_SUCCESS)
                return -EIO;
        if (MQTTAsync_setCallbacks(c->handle, c, on_connection_lost, on_message, NULL) != MQTTASYNC_SUCCESS ||
            MQTTAsync_setDisconnected(c->handle, c, on_disconnected) != MQTTASYNC_SUCCESS)
                return -EIO;
        return 0;
}

static int connection_open(Link *link, const Job *job) {
        MQTTAsync_connectOptions v5 = MQTTAsync_connectOptions_initializer5, v4 = MQTTAsync_connectOptions_initializer;
        MQTTAsync_connectOptions *o = job->protocol == 5 ? &v5 : &v4;
        MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;

        if (job->protocol == 5) {
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
        o->context = link->connection;
        o->keepAliveInterval = (int)(link->params.keepalive / USEC_PER_SEC);
        o->connectTimeout = (int)(link->params.connect_timeout / USEC_PER_SEC) + LIBRARY_PATIENCE;
        o->maxInflight = MAX_INFLIGHT;
        o->automaticReconnect = 0;
        o->username = job->username;
        o->password = job->password;
        if (link->params.endpoint.tls) {
                ssl.trustStore = link->ca;
                ssl.keyStore = link->cert;
                ssl.privateKey = link->key;
                ssl.enableServerCertAuth = 1;
                ssl.verify = 1; /* the host name */
                o->ssl = &ssl;
        }
        return MQTTAsync_connect(link->connection->handle, o) == MQTTASYNC_SUCCESS ? 0 : -EIO;
}

static void job_connect(Link *link, const Job *job) {
        char text[512];

        link->resolved = false;
        connection_drop(link);
        if (!is_wanted(link, job->generation))
                return;
        if (probe_name(&link->params.endpoint, &link->address, text, sizeof(text)) < 0) {
                post_text(link, LINK_FAILED, job->generation, text);
                return;
        }
        link->resolved = true;
        if (!is_wanted(link, job->generation))
                return;
        post_code(link, LINK_RESOLVED, job->generation, 0, 0);
        if (connection_new(link, job) < 0 || connection_open(link, job) < 0)
                post_text(link, LINK_FAILED, job->generation,
                          "the MQTT library refuses to connect: is the user name or password valid UTF-8?");
}

static void job_probe(Link *link, const Job *job) {
        const ProbeFiles files = { .ca = link->ca, .cert = link->cert, .key = link->key };
        char text[512];
        int r = 0;

        connection_drop(link);
        if (!is_wanted(link, job->generation))
                return;
        if (!link->resolved)
                r = probe_name(&link->params.endpoint, &link->address, text, sizeof(text));
        if (r == 0)
                r = probe_connect(&link->params.endpoint, &link->address, &files, job->wait, text, sizeof(text));
        post_text(link, LINK_PROBED, job->generation, r < 0 ? text : NULL);
}

static void job_publish(Link *link, const Job *job) {
        MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
        Connection *c = link->connection;
        Pending *p;

        if (!c || c->generation != job->generation)
                return;
        p = &c->pending[job->id % LINK_IN_FLIGHT];
        *p = (Pending){ .connection = c, .id = job->id };
        options.context = p;
        if (c->protocol == 5) {
                options.onSuccess5 = on_published5;
                options.onFailure5 = on_publish_failed5;
        } else {
                options.onSuccess = on_published;
                options.onFailure = on_publish_failed;
        }
        if (MQTTAsync_send(c->handle, job->topic, (int)job->size, job->payload, job->qos, 0, &options) != MQTTASYNC_SUCCESS)
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

static void job_subscribe(Link *link, const Job *job) {
        Connection *c = link->connection;
        const char *topic = job->topic;
        Subscription *s;

        if (!c || c->generation != job->generation)
                return;
        s = calloc(1, sizeof(*s) + job->n_topics * sizeof(s->parts[0]));
        if (!s) {
                post_code(link, LINK_SUBSCRIBED, job->generation, job->id, 0);
                return;
        }
        s->connection = c;
        s->id = job->id;
        s->n = job->n_topics;
        atomic_init(&s->left, (unsigned)job->n_topics);
        for (size_t i = 0; i < job->n_topics; i++)
                s->parts[i].subscription = s;
        for (size_t i = 0; i < job->n_topics; i++, topic += strlen(topic) + 1)
                subscribe_part(c, &s->parts[i], topic); /* frees s with the last one */
}

static void job_free(Job *job) {
        if (job && job->kind == JOB_CONNECT)
                explicit_bzero(job->data, job->data_size);
        free(job);
}

static void on_job(void *userdata, void *data) {
        Link *link = userdata;
        Job *job = data;
        const uint64_t one = 1;
        JobKind kind = job->kind;

        switch (kind) {
        case JOB_CONNECT:
                job_connect(link, job);
                break;
        case JOB_PROBE:
                job_probe(link, job);
                break;
        case JOB_PUBLISH:
                job_publish(link, job);
                break;
        case JOB_SUBSCRIBE:
                job_subscribe(link, job);
                break;
        case JOB_DROP:
        case JOB_STOP:
                connection_drop(link);
                break;
        }
        job_free(job);
        if (atomic_load(&link->abandoned))
                connection_drop(link);
        if (kind == JOB_STOP && write(link->stopped_fd, &one, sizeof(one)) < 0)
                assert(errno == EAGAIN);
}

static void on_drop_job(_unused_ void *userdata, void *job) {
        job_free(job);
}

/* ---- the loop's side */

static int text_copy(char **ret, const char *text) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

int link_new(Link **ret, const LinkParams *params) {
        _cleanup_(link_freep) Link *link = NULL;
        int r;

        link = calloc(1, sizeof(*link));
        if (!link)
                return -ENOMEM;
        link->params = *params;
        link->stopped_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (link->stopped_fd < 0)
                return -errno;
        if (text_copy(&link->url, params->url) < 0 || text_copy(&link->client_id, params->client_id) < 0 ||
            text_copy(&link->ca, params->files.ca) < 0 || text_copy(&link->cert, params->files.cert) < 0 ||
            text_copy(&link->key, params->files.key) < 0)
                return -ENOMEM;

        r = worker_new(&link->worker, params->loop,
                       &(const WorkerParams){
                               .name = "mqtt",
                               .jobs_max = JOBS_MAX,
                               .events_max = EVENTS_MAX,
                               .job = on_job,
                               .event = on_event,
                               .drop_job = on_drop_job,
                               .drop_event = on_drop_event,
                               .userdata = link,
                       });
        if (r < 0)
                return r;
        *ret = TAKE_PTR(link);
        return 0;
}

Link *link_free(Link *link) {
        if (!link)
                return NULL;
        worker_free(link->worker);
        if (link->left_behind)
                return NULL;
        if (link->stopped_fd >= 0)
                close(link->stopped_fd);
        free(link->url);
        free(link->client_id);
        free(link->ca);
        free(link->cert);
        free(link->key);
        free(link);
        return NULL;
}

/* Owns job, whatever becomes of it. */
static int job_submit(Link *link, Job *job) {
        int r = worker_submit(link->worker, job);

        if (r < 0)
                job_free(job);
        return r;
}

static int job_submit_bare(Link *link, JobKind kind, uint64_t generation, usec_t wait) {
        Job *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        job->kind = kind;
        job->generation = generation;
        job->wait = wait;
        return job_submit(link, job);
}

int link_stop(Link *link, usec_t wait) {
        struct pollfd p = { .fd = link->stopped_fd, .events = POLLIN };
        int r;

        atomic_store(&link->wanted, 0);
        r = job_submit_bare(link, JOB_STOP, 0, 0);
        if (r == 0 && poll(&p, 1, (int)MIN(wait / USEC_PER_MSEC, (usec_t)60000)) > 0)
                wait = USEC_PER_SEC; /* idle now: it only has to end */
        else {
                atomic_store(&link->abandoned, true);
                wait = 0;
        }
        r = worker_stop(link->worker, wait);
        if (r < 0)
                link->left_behind = true;
        else
                connection_drop(link); /* the thread is gone and had no turn for JOB_STOP */
        return r;
}

/* What was before is dropped by the job itself; its events are unwanted from here on. */
static uint64_t next_generation(Link *link) {
        return atomic_fetch_add(&link->wanted, 1) + 1;
}

static char *put_string(char **at, const char *text) {
        size_t size = text ? strlen(text) + 1 : 0;
        char *to = *at;

        if (!text)
                return NULL;
        memcpy(to, text, size);
        *at += size;
        return to;
}

int link_connect(Link *link, int protocol, const char *username, const char *password) {
        size_t data_size = (username ? strlen(username) + 1 : 0) + (password ? strlen(password) + 1 : 0);
        Job *job = calloc(1, sizeof(*job) + data_size);
        char *at;

        if (!job)
                return -ENOMEM;
        job->kind = JOB_CONNECT;
        job->generation = next_generation(link);
        job->protocol = protocol;
        job->data_size = data_size;
        at = job->data;
        job->username = put_string(&at, username);
        job->password = put_string(&at, password);
        return job_submit(link, job);
}

void link_drop(Link *link) {
        (void)job_submit_bare(link, JOB_DROP, next_generation(link), 0); /* else the next connect drops it */
}

int link_probe(Link *link, usec_t wait) {
        return job_submit_bare(link, JOB_PROBE, next_generation(link), wait);
}

int link_publish(Link *link, uint32_t id, const char *topic, const void *payload, size_t size, int qos) {
        size_t topic_size = strlen(topic) + 1;
        Job *job;

        if (size > INT32_MAX)
                return -EINVAL;
        job = malloc(sizeof(*job) + topic_size + size);
        if (!job)
                return -ENOMEM;
        *job = (Job){ .kind = JOB_PUBLISH, .generation = atomic_load(&link->wanted), .id = id, .qos = qos, .size = size };
        job->topic = memcpy(job->data, topic, topic_size);
        job->payload = job->data + topic_size;
        if (size > 0)
                memcpy(job->payload, payload, size);
        return job_submit(link, job);
}

int link_subscribe(Link *link, uint32_t id, const char *const *topics, size_t n) {
        size_t size = 0;
        Job *job;
        char *at;

        for (size_t i = 0; i < n; i++)
                size += strlen(topics[i]) + 1;
        job = calloc(1, sizeof(*job) + size);
        if (!job)
                return -ENOMEM;
        job->kind = JOB_SUBSCRIBE;
        job->generation = atomic_load(&link->wanted);
        job->id = id;
        job->n_topics = n;
        job->topic = at = job->data;
        for (size_t i = 0; i < n; i++)
                (void)put_string(&at, topics[i]);
        return job_submit(link, job);
}

void link_ping(Link *link) {
        worker_ping(link->worker);
}

usec_t link_deaf_for(const Link *link) {
        return worker_deaf_for(link->worker);
}
