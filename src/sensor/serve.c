/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames come from our own daemon, but nothing in them is taken for granted: a frame that is not one for a host
 * is left aside. The daemon may answer later or not at all; the host never waits for it, with one exception:
 * fd_take() inside the plugin's open() has to come back with a descriptor. It waits for FRAME_FD, at most 5 s
 * and below the kill timer, and keeps what arrives before it for later.
 *
 * The end: on STOP, on end of file, on SIGTERM the plugin is closed, what rules hold back is sent, and the queue
 * gets a moment to empty. When the plugin eats memory or cannot be opened there is nothing to close.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sysexits.h>

#include "sensor/life.h"
#include "sensor/live.h"
#include "sensor/operations.h"
#include "sensor/serve.h"
#include "sensor/wire.h"

#define FD_WAIT_MS 5000
#define DRAIN_WAIT (2 * USEC_PER_SEC)
#define ONCE_WAIT (10 * USEC_PER_SEC)
#define DEFERRED_MAX 256

typedef struct Deferred Deferred;
struct Deferred {
        Deferred *next;
        size_t size;
        uint8_t data[];
};

struct Serve {
        ServeParams params;
        Channels *channels;
        Services *services;
        Life *life;
        Live *live;
        LoopIo *io;
        bool peer_gone;
        char end_reason[320];

        Deferred *deferred, **deferred_end; /* arrived while fd_take() waited */
        size_t n_deferred;
};

static uint8_t receive_buffer[FRAME_SIZE_MAX]; /* of the one socket; never used across a call into the plugin */

static void end(Serve *s, int code, const char *reason) {
        if (loop_exiting(s->params.loop))
                return;
        snprintf(s->end_reason, sizeof s->end_reason, "%s", reason);
        loop_exit(s->params.loop, code);
}

/* ---- what frames ask for */

static void rpc_refuse(Serve *s, uint64_t id, const char *code, const char *format, const char *name) {
        char message[400];

        snprintf(message, sizeof message, format, name);
        (void)outbox_send(s->params.outbox, FRAME_ERROR, id, code, message);
}

static void on_rpc(Serve *s, const Frame *f) {
        const struct tbagent_plugin *ops = &s->params.plugin->ops;
        const char *channel = f->f[1].data, *method = f->f[2].data;
        const struct tbagent_method *m = plugin_method(s->params.plugin, method);
        uint64_t id = f->f[0].u;
        int r;

        if (!m || !ops->rpc)
                rpc_refuse(s, id, "unknown_method", "there is no method \"%.200s\"", method);
        else if (!(m->flags & TBAGENT_METHOD_CHANNEL) != (channel[0] == '\0'))
                rpc_refuse(s, id, "unknown_method",
                           channel[0] ? "method \"%.200s\" has no channel" : "method \"%.200s\" wants a channel", method);
        else if (!life_is_open(s->life))
                rpc_refuse(s, id, "not_ready", "the hardware of %.200s is not there", s->params.instance);
        else if (services_rpc_begin(s->services, id) < 0)
                rpc_refuse(s, id, "busy", "%.200s has too many open requests", s->params.instance);
        else {
                services_enter(s->services, SAMPLER_EVENT);
                r = ops->rpc(&s->services->host, life_state(s->life), id, channel[0] ? channel : NULL, method, f->f[3].data);
                if (r < 0 && services_rpc_end(s->services, id))
                        rpc_refuse(s, id, r == -EINVAL ? "bad_params" : "failed", "%.300s",
                                   s->services->complaint[0] ? s->services->complaint : strerror(-r));
                services_leave(s->services);
        }
}

static void on_attribute(Serve *s, const Frame *f) {
        const struct tbagent_plugin *ops = &s->params.plugin->ops;
        const char *json = f->f[1].data;

        if (!ops->attribute || !life_is_open(s->life))
                return;
        services_enter(s->services, SAMPLER_EVENT);
        (void)ops->attribute(&s->services->host, life_state(s->life), f->f[0].data, json[0] ? json : NULL);
        services_leave(s->services);
}

static void on_connection(Serve *s, bool online) {
        const struct tbagent_plugin *ops = &s->params.plugin->ops;

        if (s->services->online == online)
                return;
        s->services->online = online;
        if (!ops->connection || !life_is_open(s->life))
                return;
        services_enter(s->services, SAMPLER_EVENT);
        (void)ops->connection(&s->services->host, life_state(s->life), online);
        services_leave(s->services);
}

static void on_setting(Serve *s, const Frame *f) {
        const char *path = f->f[0].data;
        char text[400];
        int r = live_apply(s->live, path, (const uint8_t *)f->f[1].data, f->f[1].size, text, sizeof text);
        _cleanup_(freep) char *now = node_json(s->params.options, path, true), *file = node_json(s->params.options, path, false);

        (void)outbox_send(s->params.outbox, FRAME_EFFECT, path, (uint64_t)-MIN(r, 0), now ? now : "", file ? file : "", text);
        if (r == 0 && streq(path, "every"))
                life_reschedule(s->life);
}

static void dispatch(Serve *s, const Frame *f) {
        switch (f->type) {
        case FRAME_SAMPLE:
                (void)life_sample(s->life);
                break;
        case FRAME_RPC:
                on_rpc(s, f);
                break;
        case FRAME_ATTRIBUTE:
                on_attribute(s, f);
                break;
        case FRAME_SETTING:
                on_setting(s, f);
                break;
        case FRAME_ANSWER:
                events_answer(s->services->events, f->f[0].u, f->f[1].u ? -(int)MIN(f->f[1].u, (uint64_t)4095) : 0,
                              f->f[1].u ? NULL : f->f[2].data);
                break;
        case FRAME_LEVEL:
                s->services->log_level = (int)MIN(f->f[0].u, (uint64_t)TBAGENT_DEBUG);
                break;
        case FRAME_CONNECTION:
                on_connection(s, f->f[0].u != 0);
                break;
        case FRAME_STOP:
                s->services->final = f->f[0].u != 0;
                end(s, 0, "");
                break;
        default: /* ROWS_ACK: see outbox.c; a late FD: its taker has given up; what a later daemon may say */
                break;
        }
}

/* The frame outlives the buffer: a plugin that is called may wait for a descriptor. */
static void dispatch_datagram(Serve *s, const uint8_t *data, size_t size) {
        _cleanup_(freep) uint8_t *copy = malloc(size);
        Frame f;

        if (!copy)
                return;
        memcpy(copy, data, size);
        if (frame_parse(copy, size, &f) == 0)
                dispatch(s, &f);
}

/* ---- the socket */

static void flush(Serve *s) {
        int r = s->peer_gone ? 1 : outbox_flush(s->params.outbox);

        if (r < 0) {
                s->peer_gone = true;
                end(s, 0, "");
        }
        if (s->io)
                loop_io_set_events(s->io, EPOLLIN | (r == 0 ? EPOLLOUT : 0));
}

/* 1: a datagram is in the buffer; 0: nothing waits; negative: nobody is there. */
static ssize_t receive(Serve *s, int *ret_fd) {
        ssize_t n = wire_receive(s->params.fd, receive_buffer, sizeof receive_buffer, ret_fd);

        if (n > 0)
                return n;
        closep(ret_fd);
        *ret_fd = -EBADF;
        if (n == -EAGAIN || n == -EBADMSG)
                return 0;
        s->peer_gone = true;
        end(s, 0, "");
        return n == 0 ? -ENOTCONN : n;
}

static void run_deferred(void *userdata) {
        Serve *s = userdata;

        while (s->deferred) {
                Deferred *d = s->deferred;

                s->deferred = d->next;
                if (!s->deferred)
                        s->deferred_end = &s->deferred;
                s->n_deferred--;
                if (!loop_exiting(s->params.loop))
                        dispatch_datagram(s, d->data, d->size);
                free(d);
        }
}

static void on_socket(void *userdata, uint32_t events) {
        Serve *s = userdata;
        int fd = -EBADF;
        ssize_t n;

        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                n = receive(s, &fd);
                closep(&fd);
                if (n > 0)
                        dispatch_datagram(s, receive_buffer, (size_t)n);
        }
        flush(s);
}

static void defer(Serve *s, size_t size) {
        Deferred *d = s->n_deferred < DEFERRED_MAX ? malloc(sizeof *d + size) : NULL;

        if (!d)
                return;
        d->next = NULL;
        d->size = size;
        memcpy(d->data, receive_buffer, size);
        *s->deferred_end = d;
        s->deferred_end = &d->next;
        if (s->n_deferred++ == 0 && loop_defer(s->params.loop, run_deferred, s) < 0)
                end(s, EX_OSERR, "out of memory");
}

static int fd_answer(const Frame *f, int *fd) {
        if (f->f[1].u != 0)
                return -(int)MIN(f->f[1].u, (uint64_t)4095);
        return *fd >= 0 ? TAKE_FD(*fd) : -EBADMSG;
}

static int take_fd(void *userdata, const char *name) {
        Serve *s = userdata;
        int r;

        if (s->params.once)
                return -ENOENT; /* what is kept is not for who only looks */
        r = outbox_send(s->params.outbox, FRAME_FD_TAKE, name);
        if (r == 0)
                r = outbox_drain(s->params.outbox, DRAIN_WAIT);
        if (r <= 0)
                return r < 0 ? r : -ETIMEDOUT;
        for (;;) {
                _cleanup_(closep) int fd = -EBADF;
                Frame f;
                ssize_t n;

                if (poll(&(struct pollfd){ .fd = s->params.fd, .events = POLLIN }, 1, FD_WAIT_MS) == 0)
                        return -ETIMEDOUT;
                n = receive(s, &fd);
                if (n < 0)
                        return (int)n;
                if (n == 0 || frame_parse(receive_buffer, (size_t)n, &f) < 0)
                        continue;
                if (f.type == FRAME_FD && streq(f.f[0].data, name))
                        return fd_answer(&f, &fd);
                defer(s, (size_t)n);
        }
}

/* ---- from below */

static void on_left(void *userdata) {
        Serve *s = userdata;

        life_settle(s->life);
        flush(s);
}

static void on_memory_short(void *userdata, uint64_t used) {
        Serve *s = userdata;
        char reason[128];

        snprintf(reason, sizeof reason, "memory: uses %llu of %llu MiB (memory_max)", (unsigned long long)(used / MIB),
                 (unsigned long long)(s->params.guard->memory_max / MIB));
        end(s, EX_OSERR, reason);
}

static void on_fatal(void *userdata, const char *reason) {
        end(userdata, EX_UNAVAILABLE, reason);
}

static void on_sigterm(void *userdata, int signo _unused_) {
        end(userdata, 0, "ended from outside (SIGTERM)");
}

/* ---- modes */

static void finish(Serve *s, bool close) {
        if (close)
                life_close(s->life);
        else
                sampler_flush(s->services->sampler, services_wall_ns(s->services));
        life_send_counters(s->life);
        (void)outbox_send(s->params.outbox, FRAME_DONE, s->end_reason);
        if (!s->peer_gone)
                (void)outbox_drain(s->params.outbox, DRAIN_WAIT);
}

int serve_run(Serve *s) {
        int code;

        life_start(s->life);
        code = loop_run(s->params.loop);
        finish(s, code == 0);
        return code < 0 ? EX_SOFTWARE : code;
}

/* A plugin whose child or bus takes its time says -EAGAIN, or emits later by itself. */
int serve_once(Serve *s) {
        usec_t until = loop_monotonic(s->params.loop) + ONCE_WAIT;
        int r = life_open(s->life);

        while (r == 0 && !loop_exiting(s->params.loop) && loop_monotonic(s->params.loop) < until) {
                int sampled = life_sample(s->life);

                if (sampled < 0 && sampled != -EAGAIN && sampled != -ENOTCONN)
                        break;
                sampler_flush(s->services->sampler, services_wall_ns(s->services));
                if (sampler_counters(s->services->sampler)->points > 0)
                        break;
                if (loop_iterate(s->params.loop, 100 * USEC_PER_MSEC) < 0)
                        break;
        }
        finish(s, true);
        return 0;
}

int serve_scan(Serve *s) {
        const struct tbagent_plugin *ops = &s->params.plugin->ops;
        int r = 0;

        if (ops->scan) {
                services_enter(s->services, SAMPLER_EVENT);
                r = ops->scan(&s->services->host);
                services_leave(s->services);
        }
        if (r < 0)
                end(s, 0, s->services->complaint[0] ? s->services->complaint : strerror(-r));
        finish(s, false);
        return 0;
}

/* What the plugin holds open stays open until somebody ends this process. */
int serve_exit_state(Serve *s) {
        const struct tbagent_plugin *ops = &s->params.plugin->ops;
        int code = 0;

        if (ops->exit_state) {
                services_enter(s->services, SAMPLER_EVENT);
                (void)ops->exit_state(&s->services->host);
                services_leave(s->services);
        }
        (void)outbox_send(s->params.outbox, FRAME_DONE, "");
        flush(s);
        if (ops->exit_state)
                code = loop_run(s->params.loop);
        return code < 0 ? EX_SOFTWARE : code;
}

/* ---- */

static int serve_wire(Serve *s) {
        ServicesParams services = {
                .operations = &operations,
                .loop = s->params.loop,
                .outbox = s->params.outbox,
                .guard = s->params.guard,
                .instance = s->params.instance,
                .options = s->params.options,
                .channels = &s->channels,
                .strict = streq(node_string(s->params.options, "order", 0), "strict"),
                .once = s->params.once,
                .state = s->params.state,
                .state_size = s->params.state_size,
                .take_fd = take_fd,
                .memory_short = on_memory_short,
                .left = on_left,
                .userdata = s,
        };
        int r = services_new(&s->services, &services);

        if (r == 0)
                r = life_new(&s->life, &(LifeParams){ .loop = s->params.loop, .services = s->services, .outbox = s->params.outbox,
                                                      .plugin = s->params.plugin, .options = s->params.options,
                                                      .fatal = on_fatal, .userdata = s });
        if (r == 0)
                r = live_new(&s->live, &(LiveParams){ .services = s->services, .life = s->life, .plugin = s->params.plugin,
                                                      .options = s->params.options, .channels = &s->channels,
                                                      .instance = s->params.instance, .settings = s->params.settings });
        if (r == 0)
                r = loop_io_new(&s->io, s->params.loop, "daemon", s->params.fd, EPOLLIN, on_socket, s);
        return r < 0 ? r : loop_signal(s->params.loop, SIGTERM, on_sigterm, s);
}

int serve_new(Serve **ret, const ServeParams *params) {
        Serve *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return -ENOMEM;
        s->params = *params;
        s->channels = params->channels;
        s->deferred_end = &s->deferred;
        r = serve_wire(s);
        if (r < 0) {
                s->channels = NULL;
                serve_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

Serve *serve_free(Serve *s) {
        if (!s)
                return NULL;
        while (s->deferred) {
                Deferred *next = s->deferred->next;

                free(s->deferred);
                s->deferred = next;
        }
        loop_io_free(s->io);
        live_free(s->live);
        life_free(s->life);
        services_free(s->services);
        channels_free(s->channels);
        free(s);
        return NULL;
}
