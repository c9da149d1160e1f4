/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances are held to the configuration by reconcile(), which may run at any time and any number of
 * times: what is gone or changed is asked to stop, what has stopped is freed, what is missing is started.
 * Start, reload and the end of a process are all the same to it. Freeing happens in a deferred call only,
 * because news of a process come from inside that process's own object. Nothing is started while something
 * is still ending: it may hold the keys and the hardware that the new one wants. A process that hangs in the
 * kernel holds up nobody but its own instance.
 *
 * Stopping: hosts first, so that the rows they still hold arrive; then what waits is sent without regard to
 * the batch interval; then the connection is closed. Every step has a bound, and a worker thread that does
 * not come back (DNS) is left behind.
 */
#include <inttypes.h>
#include <systemd/sd-daemon.h>
#include <sysexits.h>

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/instance.h"
#include "agent/server.h"
#include "agent/status.h"
#include "base/log.h"

#define HOST_STOP_WAIT (800 * USEC_PER_MSEC)
#define HOST_RELOAD_WAIT (2 * USEC_PER_SEC) /* there is time then: a slow sample may end */
#define DRAIN_WAIT (1500 * USEC_PER_MSEC) /* hosts and sending together */
#define SERVER_STOP_WAIT (300 * USEC_PER_MSEC)
#define STATUS_EVERY (30 * USEC_PER_SEC)
#define LIVENESS_EVERY (20 * USEC_PER_SEC)

typedef struct Slot {
        Instance *instance;
        bool leaving;
} Slot;

struct Agent {
        AgentParams params;
        Config *config;
        char *config_error;
        char digits[IDENTITY_DIGITS + 1];
        Spool *spool;
        Keys *keys;
        Server *server; /* NULL: none set */
        Slot *slots;
        size_t n_slots;
        unsigned next_owner;
        bool deferred;
        bool stopping;
        bool server_left_behind;
        LoopTimer *status_timer;
        LoopTimer *liveness_timer;
        LoopTimer *stop_timer;
        usec_t liveness_every;
};

/* ---- status */

static void send_status(Agent *a) {
        _cleanup_(freep) Instance **instances = calloc(a->n_slots + 1, sizeof(Instance *));
        _cleanup_(freep) char *text = NULL;
        StatusView v = { .url = config_url(a->config), .config_error = a->config_error, .config_path = a->params.config_path,
                         .clock_trusted = true, .spool = spool_stats(a->spool), .instances = instances,
                         .n_instances = a->n_slots };

        if (!instances)
                return;
        for (size_t i = 0; i < a->n_slots; i++)
                instances[i] = a->slots[i].instance;
        if (a->server) {
                v.session = server_state(a->server);
                v.protocol = server_protocol(a->server);
                v.session_text = server_text(a->server);
                v.retry_in = server_retry_in(a->server);
                v.clock_trusted = server_clock_trusted(a->server);
        }
        text = status_text(&v);
        if (text && !a->stopping)
                sd_notifyf(0, "STATUS=%s", text);
}

static void on_status_timer(void *userdata) {
        Agent *a = userdata;

        send_status(a);
        loop_timer_arm_in(a->status_timer, STATUS_EVERY, STATUS_EVERY / 4);
}

/* News come in bursts: one status for all of them, a moment later. */
static void status_changed(void *userdata) {
        Agent *a = userdata;

        loop_timer_arm_in(a->status_timer, 200 * USEC_PER_MSEC, 50 * USEC_PER_MSEC);
}

/* ---- instances */

static void reconcile(Agent *a);

static void on_deferred(void *userdata) {
        Agent *a = userdata;

        a->deferred = false;
        reconcile(a);
}

static void on_appended(void *userdata, bool immediate) {
        Agent *a = userdata;

        if (a->server && a->stopping)
                server_flush(a->server);
        else if (a->server)
                server_notify(a->server, immediate);
}

static void defer_reconcile(Agent *a) {
        if (!a->deferred && loop_defer(a->params.loop, on_deferred, a) == 0)
                a->deferred = true;
}

static void on_instance(void *userdata, Instance *i _unused_) {
        Agent *a = userdata;

        status_changed(a);
        defer_reconcile(a);
}

static void on_acknowledged(void *userdata) {
        Agent *a = userdata;

        if (a->stopping)
                defer_reconcile(a);
}

static const char *owner_name(void *userdata, unsigned owner) {
        Agent *a = userdata;

        for (size_t i = 0; i < a->n_slots; i++)
                if (instance_owner(a->slots[i].instance) == owner)
                        return instance_name(a->slots[i].instance);
        return NULL;
}

static const ConfigInstance *wanted(const Agent *a, const char *name) {
        for (size_t i = 0; i < config_n_instances(a->config); i++) {
                const ConfigInstance *c = config_instance(a->config, i);
                if (streq(c->name, name))
                        return c->enabled ? c : NULL;
        }
        return NULL;
}

static const Slot *slot_of(const Agent *a, const char *name) {
        for (size_t i = 0; i < a->n_slots; i++)
                if (streq(instance_name(a->slots[i].instance), name))
                        return &a->slots[i];
        return NULL;
}

static int add_instance(Agent *a, const ConfigInstance *config) {
        InstanceParams p = { .loop = a->params.loop, .spool = a->spool, .keys = a->keys, .owner = a->next_owner++,
                             .host_path = a->params.host_path, .plugin_dirs = a->params.plugin_dirs,
                             .log_level = a->params.log_level, .appended = on_appended, .changed = on_instance,
                             .owner_name = owner_name, .userdata = a };
        Slot *slots = reallocarray(a->slots, a->n_slots + 1, sizeof(*slots));
        Instance *instance;
        int r;

        if (!slots)
                return -ENOMEM;
        a->slots = slots;
        r = instance_new(&instance, &p, config);
        if (r < 0)
                return r;
        a->slots[a->n_slots++] = (Slot){ .instance = instance };
        instance_start(instance);
        return 0;
}

static void remove_slot(Agent *a, size_t i) {
        keys_release(a->keys, instance_owner(a->slots[i].instance));
        instance_free(a->slots[i].instance);
        a->slots[i] = a->slots[--a->n_slots];
}

static void leave(const Agent *a, Slot *s) {
        if (s->leaving)
                return;
        s->leaving = true;
        instance_stop(s->instance, a->stopping ? HOST_STOP_WAIT : HOST_RELOAD_WAIT);
}

/* true: some are still ending. */
static bool leave_unwanted(Agent *a) {
        bool ending = false;

        for (size_t i = 0; i < a->n_slots; i++) {
                const Instance *in = a->slots[i].instance;
                const ConfigInstance *c = a->stopping ? NULL : wanted(a, instance_name(in));
                if (!c || !instance_is_same(in, c))
                        leave(a, &a->slots[i]);
        }
        for (size_t i = a->n_slots; i-- > 0;) {
                const Slot *s = &a->slots[i];
                bool stuck = instance_is_stuck(s->instance);
                if (s->leaving && (instance_is_stopped(s->instance) || (stuck && a->stopping)))
                        remove_slot(a, i);
                else
                        ending |= s->leaving && !stuck;
        }
        return ending;
}

/* What was wrong may be mended elsewhere: a plugin is installed, another instance gave up a key. */
static void leave_misconfigured(Agent *a) {
        for (size_t i = 0; i < a->n_slots; i++)
                if (instance_state(a->slots[i].instance) == HOST_MISCONFIGURED)
                        leave(a, &a->slots[i]);
}

static void check_stopped(Agent *a);

static void reconcile(Agent *a) {
        bool ending = leave_unwanted(a);

        for (size_t i = 0; !ending && !a->stopping && i < config_n_instances(a->config); i++) {
                const ConfigInstance *c = config_instance(a->config, i);
                int r = c->enabled && !slot_of(a, c->name) ? add_instance(a, c) : 0;
                if (r < 0)
                        log_instance(LOG_ERR, c->name, "cannot be set up: %s", strerror(-r));
        }
        if (a->stopping)
                check_stopped(a);
}

/* ---- server */

static int add_server(Agent *a) {
        ServerParams p = { .loop = a->params.loop, .spool = a->spool, .config = a->config, .digits = a->digits,
                           .changed = status_changed, .acknowledged = on_acknowledged, .userdata = a };
        int r;

        spool_set_discard(a->spool, !config_url(a->config));
        if (!config_url(a->config))
                return 0;
        r = server_new(&a->server, &p);
        if (r == 0)
                server_start(a->server);
        return r;
}

/* A thread that hangs keeps its memory: the object is leaked on purpose. */
static void drop_server(Agent *a, usec_t wait) {
        if (a->server && server_stop(a->server, wait) == -ETIMEDOUT) {
                a->server_left_behind = true;
                a->server = NULL;
        }
        a->server = server_free(a->server);
}

/* WATCHDOG=1 says more than that the loop turns: the MQTT worker answered lately, too. */
static void on_liveness(void *userdata) {
        Agent *a = userdata;
        usec_t deaf = a->server ? server_ping(a->server) : 0;

        if (deaf >= a->params.deaf_after) {
                log_error("the MQTT thread has not answered for %" PRIu64 " s (a name server that hangs?): starting anew",
                          deaf / USEC_PER_SEC);
                loop_exit(a->params.loop, EX_SOFTWARE);
                return;
        }
        sd_notify(0, "WATCHDOG=1");
        loop_timer_arm_in(a->liveness_timer, a->liveness_every, a->liveness_every / 8);
}

/* ---- stop */

static void print_counts(const Agent *a) {
        SpoolStats s = spool_stats(a->spool);

        log_info("stopped: %" PRIu64 " values made, %" PRIu64 " acknowledged, %" PRIu64 " waiting, %" PRIu64
                 " dropped; longest turn %.1f ms",
                 s.made_points, s.acked_points, s.points, s.evicted_points,
                 (double)loop_longest_turn(a->params.loop) / USEC_PER_MSEC);
}

static void end_loop(Agent *a) {
        drop_server(a, SERVER_STOP_WAIT);
        print_counts(a);
        loop_exit(a->params.loop, EXIT_SUCCESS);
}

static void check_stopped(Agent *a) {
        bool sent = !a->server || !server_is_online(a->server) || server_is_idle(a->server);

        if (a->n_slots > 0)
                return;
        if (sent || !loop_timer_armed(a->stop_timer)) {
                loop_timer_disarm(a->stop_timer);
                end_loop(a);
        }
}

/* Time is up: what has not ended is killed, what is not sent stays unsent. */
static void on_stop_timer(void *userdata) {
        Agent *a = userdata;

        while (a->n_slots > 0)
                remove_slot(a, a->n_slots - 1);
        check_stopped(a);
}

int agent_new(Agent **ret, const AgentParams *params, Config *config) {
        _cleanup_(agent_freep) Agent *a = calloc(1, sizeof(*a));
        SpoolParams spool;
        uint64_t watchdog = 0;
        int r;

        if (!a) {
                config_free(config);
                return -ENOMEM;
        }
        a->params = *params;
        a->config = config;
        a->next_owner = 1;
        agent_set_config_error(a, params->config_error);
        identity_get(params->state_dir, a->digits);
        a->liveness_every = sd_watchdog_enabled(0, &watchdog) > 0 ? watchdog / 3 : LIVENESS_EVERY;
        a->liveness_every = MIN(a->liveness_every, MAX(params->deaf_after / 4, 100 * USEC_PER_MSEC));
        spool = (SpoolParams){ .ring_size = (size_t)node_int(config_telemetry(config), "ring_size"),
                                .discard = !config_url(config) };
        r = spool_new(&a->spool, &spool);
        if (r == 0)
                r = keys_new(&a->keys);
        if (r == 0)
                r = loop_timer_new(&a->status_timer, params->loop, "status", on_status_timer, a);
        if (r == 0)
                r = loop_timer_new(&a->liveness_timer, params->loop, "liveness", on_liveness, a);
        if (r == 0)
                r = loop_timer_new(&a->stop_timer, params->loop, "stop", on_stop_timer, a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

Agent *agent_free(Agent *a) {
        if (!a)
                return NULL;
        for (size_t i = 0; i < a->n_slots; i++)
                instance_free(a->slots[i].instance);
        free(a->slots);
        drop_server(a, 0);
        loop_timer_free(a->status_timer);
        loop_timer_free(a->liveness_timer);
        loop_timer_free(a->stop_timer);
        keys_free(a->keys);
        if (!a->server_left_behind) {
                spool_free(a->spool);
                config_free(a->config);
        }
        free(a->config_error);
        free(a);
        return NULL;
}

int agent_start(Agent *a) {
        int r;

        reconcile(a);
        r = add_server(a);
        on_liveness(a);
        on_status_timer(a);
        return r;
}

void agent_stop(Agent *a) {
        if (a->stopping)
                return;
        a->stopping = true;
        sd_notify(0, "STOPPING=1\nSTATUS=Stopping.");
        loop_timer_disarm(a->status_timer);
        if (a->server)
                server_flush(a->server);
        loop_timer_arm_in(a->stop_timer, DRAIN_WAIT, 10 * USEC_PER_MSEC);
        reconcile(a);
}

bool agent_left_thread(const Agent *a) {
        return a->server_left_behind;
}

int agent_reload(Agent *a, Config *config) {
        Config *old = a->config;
        bool same = config_same_server(old, config);
        int r = 0;

        if (a->stopping) {
                config_free(config);
                return 0;
        }
        a->config = config;
        if (!same || !a->server) {
                drop_server(a, SERVER_STOP_WAIT);
                r = add_server(a);
                if (r < 0)
                        log_error("the connection to the server cannot be set up: %s", strerror(-r));
        } else
                server_set_config(a->server, config);
        if (!a->server_left_behind)
                config_free(old);
        leave_misconfigured(a);
        reconcile(a);
        status_changed(a);
        return r;
}

void agent_set_config_error(Agent *a, const char *text) {
        free(a->config_error);
        a->config_error = text ? strdup(text) : NULL;
        if (a->status_timer)
                status_changed(a);
}
