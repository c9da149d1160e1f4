/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs go to the thread, events come back. Every event carries the generation of its attempt and reaches the
 * session only while that is the wanted one. A connect job that comes late (a lookup before it took a minute)
 * is not begun at all. Jobs end with a look at `abandoned`: a thread that was left behind, or that nobody
 * waits for, must not leave a connection when it returns after all, and says that it did. */
#include <assert.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "mqtt/link.h"

#define JOBS_MAX     (FLIGHT_MAX + 64)
#define EVENTS_MAX   1024
#define MESSAGES_MAX 256 /* waiting for the loop; the rest of EVENTS_MAX is for acknowledgements */

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

struct Link {
        LinkParams params;
        ConnectionParams connection_params;
        char *url, *client_id, *ca, *cert, *key; /* what both point to */
        Worker *worker;
        int stopped_fd; /* the thread has dropped its connection and makes no new one */
        LoopIo *stopped_io;
        void (*stopped)(void *userdata);
        void *stopped_userdata;
        bool ended, left_behind;

        atomic_uint_fast64_t wanted;           /* generation; 0 is none */
        atomic_bool abandoned;                 /* nobody waits for the thread */
        atomic_size_t messages, message_bytes; /* posted and not dispatched */

        Connection *connection; /* the thread's alone */
        ProbeAddress address;   /* of the last lookup; the thread's alone */
        bool resolved;
};

void link_init_process(void) {
        (void)setenv("RES_OPTIONS", "timeout:3 attempts:1", 0);
        (void)unsetenv("http_proxy");
        (void)unsetenv("https_proxy");
        connection_init_process();
}

/* ---- events, from any thread */

/* Before it is posted, so that the loop never counts down first. false: too many wait. */
static bool message_enter(Link *link, const LinkEvent *message) {
        if (atomic_load(&link->messages) >= MESSAGES_MAX || atomic_load(&link->message_bytes) > 4 * link->params.message_max)
                return false;
        atomic_fetch_add(&link->messages, 1);
        atomic_fetch_add(&link->message_bytes, message->payload ? message->size : 0);
        return true;
}

static void message_leave(Link *link, const LinkEvent *message) {
        atomic_fetch_sub(&link->messages, 1);
        atomic_fetch_sub(&link->message_bytes, message->payload ? message->size : 0);
}

static bool event_post(void *userdata, Event *e) {
        Link *link = userdata;

        if (e && (e->event.kind != LINK_MESSAGE || message_enter(link, &e->event))) {
                if (worker_post(link->worker, e) == 0)
                        return true;
                if (e->event.kind == LINK_MESSAGE)
                        message_leave(link, &e->event);
        }
        free(e);
        return false;
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

        if (e->event.kind == LINK_MESSAGE)
                message_leave(link, &e->event);
        if (e->generation == atomic_load(&link->wanted))
                link->params.event(link->params.userdata, &e->event);
}

static void on_drop_event(_unused_ void *userdata, void *event) {
        free(event);
}

/* ---- jobs, in the worker thread */

static bool is_wanted(Link *link, uint64_t generation) {
        return generation == atomic_load(&link->wanted);
}

static void connection_drop(Link *link) {
        link->connection = connection_free(link->connection);
}

/* The connection a job is meant for; NULL: it is gone. */
static Connection *connection_of(const Link *link, const Job *job) {
        Connection *c = link->connection;

        return c && connection_generation(c) == job->generation ? c : NULL;
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
        post_text(link, LINK_RESOLVED, job->generation, NULL);
        if (connection_new(&link->connection, &link->connection_params, job->generation, job->protocol, job->username,
                           job->password) < 0)
                post_text(link, LINK_FAILED, job->generation,
                          "the MQTT library refuses to connect: is the user name or password valid UTF-8?");
}

static void job_probe(Link *link, const Job *job) {
        char text[512];
        int r = 0;

        connection_drop(link);
        if (!is_wanted(link, job->generation))
                return;
        if (!link->resolved)
                r = probe_name(&link->params.endpoint, &link->address, text, sizeof(text));
        if (r == 0)
                r = probe_connect(&link->params.endpoint, &link->address, &link->params.files, job->wait, text, sizeof(text));
        post_text(link, LINK_PROBED, job->generation, r < 0 ? text : NULL);
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
        bool stop = job->kind == JOB_STOP;

        switch (job->kind) {
        case JOB_CONNECT:
                job_connect(link, job);
                break;
        case JOB_PROBE:
                job_probe(link, job);
                break;
        case JOB_PUBLISH:
                if (connection_of(link, job))
                        connection_publish(link->connection, job->id, job->topic, job->payload, job->size, job->qos);
                break;
        case JOB_SUBSCRIBE:
                if (connection_of(link, job))
                        connection_subscribe(link->connection, job->id, job->topic, job->n_topics);
                break;
        case JOB_DROP:
        case JOB_STOP:
                connection_drop(link);
                break;
        }
        job_free(job);
        if (atomic_load(&link->abandoned)) {
                connection_drop(link);
                stop = true;
        }
        if (stop && write(link->stopped_fd, &one, sizeof(one)) < 0)
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

static int params_copy(Link *link, const LinkParams *params) {
        if (text_copy(&link->url, params->url) < 0 || text_copy(&link->client_id, params->client_id) < 0 ||
            text_copy(&link->ca, params->files.ca) < 0 || text_copy(&link->cert, params->files.cert) < 0 ||
            text_copy(&link->key, params->files.key) < 0)
                return -ENOMEM;
        link->params = *params;
        link->params.url = link->url;
        link->params.client_id = link->client_id;
        link->params.files = (ProbeFiles){ .ca = link->ca, .cert = link->cert, .key = link->key };
        link->connection_params = (ConnectionParams){
                .url = link->url,
                .client_id = link->client_id,
                .port = (uint16_t)atoi(params->endpoint.port),
                .tls = params->endpoint.tls,
                .files = link->params.files,
                .keepalive = params->keepalive,
                .connect_timeout = params->connect_timeout,
                .message_max = params->message_max,
                .post = event_post,
                .userdata = link,
        };
        return 0;
}

int link_new(Link **ret, const LinkParams *params) {
        _cleanup_(link_freep) Link *link = NULL;
        int r;

        link = calloc(1, sizeof(*link));
        if (!link)
                return -ENOMEM;
        link->stopped_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (link->stopped_fd < 0)
                return -errno;
        r = params_copy(link, params);
        if (r < 0)
                return r;

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
        if (link->worker && !link->ended)
                (void)link_stop(link, USEC_PER_SEC);
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

static int end_worker(Link *link, usec_t wait) {
        int r = worker_stop(link->worker, wait);

        link->stopped_io = loop_io_free(link->stopped_io);
        link->ended = true;
        if (r < 0)
                link->left_behind = true;
        else
                connection_drop(link); /* the thread is gone and had no turn for JOB_STOP */
        return r;
}

int link_stop(Link *link, usec_t wait) {
        struct pollfd p = { .fd = link->stopped_fd, .events = POLLIN };
        int r;

        if (link->ended)
                return link->left_behind ? -ETIMEDOUT : 0;
        atomic_store(&link->wanted, 0);
        r = job_submit_bare(link, JOB_STOP, 0, 0);
        if (r == 0 && poll(&p, 1, (int)MIN(wait / USEC_PER_MSEC, (usec_t)60000)) > 0)
                wait = USEC_PER_SEC; /* idle now: it only has to end */
        else {
                atomic_store(&link->abandoned, true);
                wait = 0;
        }
        return end_worker(link, wait);
}

/* What waits in the queue now is no work any more: nothing of it is wanted. */
static void on_stopped(void *userdata, uint32_t events _unused_) {
        Link *link = userdata;

        (void)end_worker(link, USEC_PER_SEC);
        link->stopped(link->stopped_userdata);
}

int link_stop_later(Link *link, void (*stopped)(void *userdata), void *userdata) {
        int r = loop_io_new(&link->stopped_io, link->params.loop, "mqtt-stopped", link->stopped_fd, EPOLLIN, on_stopped, link);

        if (r < 0)
                return r;
        link->stopped = stopped;
        link->stopped_userdata = userdata;
        atomic_store(&link->wanted, 0);
        atomic_store(&link->abandoned, true);
        (void)job_submit_bare(link, JOB_STOP, 0, 0); /* where the queue is full one of those that wait says so */
        return 0;
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
