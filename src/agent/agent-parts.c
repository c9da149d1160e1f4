/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is, and who tells whom:
 *
 *      instances --rows--> spool --ready--> server (client, uplink) --acknowledged--> spool
 *      clock -----era----> spool            worker that hangs --liveness--> exit 70
 *
 * agent-server has the connection, agent-stop the end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <sysexits.h>
#include <time.h>

#include "agent/agent-inside.h"
#include "agent/report.h"
#include "agent/status.h"
#include "base/log.h"

#define STATUS_EVERY (30 * USEC_PER_SEC)
#define LIVENESS_EVERY (20 * USEC_PER_SEC)

/* ---- status */

static StatusView view(Agent *a) {
        StatusView v = { .config = a->config, .url = config_url(a->config), .config_error = a->config_error,
                         .config_path = a->params.config_path,
                         .now = loop_realtime(a->params.loop), .clock_trusted = clock_is_trusted(a->clock),
                         .spool = spool_stats(a->spool), .instances = a->instances, .overrides = device_overrides(a->device) };

        v.shared = device_shared_n(a->device, &v.shared_synced);
        v.enrolling = a->enroll && !enroll_may_connect(a->enroll) ? enroll_text(a->enroll) : NULL;
        if (a->server) {
                v.session = server_state(a->server);
                v.protocol = server_protocol(a->server);
                v.session_text = server_text(a->server);
                v.retry_in = server_retry_in(a->server);
                v.refused = server_uplink_stats(a->server).refused;
        }
        v.written_today = written_today(&a->written, v.now, v.clock_trusted, v.spool.store.bytes_written);
        return v;
}

static void send_status(Agent *a) {
        StatusView v = view(a);
        _cleanup_(freep) char *text = status_text(&v);

        if (text && a->phase == PHASE_RUN)
                sd_notifyf(0, "STATUS=%s", text);
}

static void on_status_timer(void *userdata) {
        Agent *a = userdata;

        send_status(a);
        loop_timer_arm_in(a->status_timer, STATUS_EVERY, STATUS_EVERY / 4);
}

/* ---- news */

void agent_status_changed(void *userdata) {
        const Agent *a = userdata;

        if (a->phase == PHASE_RUN)
                loop_timer_arm_in(a->status_timer, 200 * USEC_PER_MSEC, 50 * USEC_PER_MSEC);
        else
                agent_stop_look(userdata);
}

void agent_notify_server(Agent *a, bool immediate) {
        if (!a->server || a->server_leaving)
                return;
        if (a->phase == PHASE_RUN)
                server_notify(a->server, immediate);
        else
                server_flush(a->server);
}

static void on_appended(void *userdata, bool immediate) {
        agent_notify_server(userdata, immediate);
}

static void on_ready(void *userdata) {
        agent_notify_server(userdata, false);
        agent_stop_look(userdata);
}

static void on_notice(void *userdata, int level, const char *text) {
        log_fields(level, NULL, 0, "%s", text);
        agent_status_changed(userdata);
}

static void on_era(void *userdata, const Era *era) {
        const Agent *a = userdata;

        spool_set_era(a->spool, era);
}

static void on_trusted(void *userdata, const char *why) {
        Agent *a = userdata;

        log_info("the time is trusted: %s", why);
        if (a->estimating)
                instances_time_trusted(a->instances);
        a->estimating = false;
        agent_notify_server(a, false);
        agent_status_changed(a);
}

static void on_gave_up(void *userdata) {
        Agent *a = userdata;

        log_warning("nothing has synchronized the clock in %" PRIu64 " s: timestamps are estimates, marked INSTANCE_time; is "
                    "systemd-timesyncd (or chrony) running, and does it reach its servers?",
                    (uint64_t)node_int(config_telemetry(a->config), "wait_for_clock") / USEC_PER_SEC);
        a->estimating = true;
        agent_notify_server(a, false);
        agent_status_changed(a);
}

static void on_stepped(void *userdata, int64_t by_ms) {
        if (log_allow("clock-step", 60 * USEC_PER_SEC, 5, NULL))
                log_notice("the clock was set by %+.3f s: values from now on have the new time, earlier ones keep theirs",
                           (double)by_ms / 1000);
        agent_status_changed(userdata);
}

static bool time_trusted(void *userdata) {
        const Agent *a = userdata;

        return clock_is_trusted(a->clock);
}

/* ---- the device API */

static Instances *instances_of(void *userdata) {
        const Agent *a = userdata;

        return a->instances;
}

char *agent_status_json(Agent *a) {
        StatusView v = view(a);

        return report_json(&v);
}

static char *status_json(void *userdata) {
        return agent_status_json(userdata);
}

static void on_reload_deferred(void *userdata) {
        const Agent *a = userdata;

        if (a->phase == PHASE_RUN)
                a->params.reload(a->params.userdata);
}

/* Whoever asks is in the middle of something that a reload might free. */
static void reload_soon(void *userdata) {
        const Agent *a = userdata;

        (void)!loop_defer(a->params.loop, on_reload_deferred, userdata);
}

static int64_t now_ms(void *userdata) {
        const Agent *a = userdata;

        return clock_is_trusted(a->clock) ? (int64_t)(loop_realtime(a->params.loop) / USEC_PER_MSEC) : 0;
}

static void on_reachable(void *userdata) {
        const Agent *a = userdata;

        if (a->instances)
                instances_connection(a->instances, true);
}

static bool is_online(void *userdata) {
        const Agent *a = userdata;

        return device_is_ready(a->device);
}

static void on_claimed(void *userdata, uint64_t token, int code) {
        const Agent *a = userdata;

        bus_claimed(a->bus, token, code);
}

static void on_frame(void *userdata, Instance *i, const Frame *f) {
        const Agent *a = userdata;

        device_frame(a->device, i, f);
}

static void on_instance_changed(void *userdata, Instance *i) {
        const Agent *a = userdata;

        device_instance_changed(a->device, i);
}

static bool is_enabled(void *userdata, const char *name, bool configured) {
        const Agent *a = userdata;

        return device_enabled(a->device, name, configured);
}

/* ---- liveness */

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

/* ---- making */

static int make_paths(Agent *a) {
        const char *names[] = { "ring", "clock", "limits" };
        char **paths[] = { &a->ring_path, &a->clock_path, &a->limits_path };

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (asprintf(paths[i], "%s/%s", a->params.runtime_dir, names[i]) < 0) {
                        *paths[i] = NULL;
                        return -ENOMEM;
                }
        return 0;
}

static int make_clock(Agent *a) {
        const char *clock = node_string(config_top(a->config), "clock", 0);
        ClockParams p = { .loop = a->params.loop, .always_trusted = clock && streq(clock, "system"),
                          .wait = (usec_t)node_int(config_telemetry(a->config), "wait_for_clock"), .keep = a->clock_path,
                          .ask_bus = true, .events = { on_era, on_trusted, on_gave_up, on_stepped }, .userdata = a };
        Clock *new;
        int r = clock_new(&new, &p);

        if (r < 0)
                return r;
        clock_free(a->clock);
        a->clock = new;
        return 0;
}

static int make_spool(Agent *a) {
        const Node *n = config_telemetry(a->config);
        SpoolParams p = { .loop = a->params.loop, .ring_path = a->ring_path, .state_dir = a->params.state_dir,
                          .ring_size = (size_t)node_int(n, "ring_size"), .store_max = (uint64_t)node_int(n, "store_max"),
                          .batch_interval = (usec_t)node_int(n, "batch_interval"),
                          .store_after = (usec_t)node_int(n, "store_after"), .discard = !config_url(a->config),
                          .era = clock_era(a->clock), .events = { on_ready, on_notice, a } };

        return spool_new(&a->spool, &p);
}

static int make_enroll(Agent *a) {
        EnrollParams p = { .loop = a->params.loop, .board = &a->board, .state_dir = a->params.state_dir,
                           .store = spool_store(a->spool), .changed = agent_on_enroll_changed, .userdata = a };

        return enroll_new(&a->enroll, &p);
}

/* Before anything of the state directory is read. */
static void mind_board(Agent *a) {
        const Node *n = node_member(config_top(a->config), "provision", 0);
        _cleanup_(freep) char *text = NULL;

        board_read(&a->board, a->params.device_tree, a->params.state_dir);
        if (!node_is_set(n, "key") || !streq(node_string(n, "identity", 0), "board") ||
            own_mind_board(a->params.state_dir, &a->board, &text) == 0)
                return;
        log_warning("%s", text ? text : "out of memory");
        board_read(&a->board, a->params.device_tree, a->params.state_dir); /* the id may have gone */
}

static int make_instances(Agent *a) {
        InstancesParams p = {.instance = {.loop = a->params.loop,
                                          .spool = a->spool,
                                          .exits = a->params.exits,
                                          .host_path = a->params.host_path,
                                          .plugin_dirs = a->params.plugin_dirs,
                                          .runtime_dir = a->params.runtime_dir,
                                          .state_dir = a->params.state_dir,
                                          .log_level = a->params.log_level,
                                          .burst_max = (uint64_t)node_int(config_telemetry(a->config), "ring_size") / 4},
                             .appended = on_appended,
                             .changed = agent_status_changed,
                             .time_trusted = time_trusted,
                             .instance_changed = on_instance_changed,
                             .frame = on_frame,
                             .enabled = is_enabled,
                             .online = is_online,
                             .userdata = a};

        return instances_new(&a->instances, &p);
}

static int make_device(Agent *a) {
        DeviceParams p = { .loop = a->params.loop, .board = &a->board, .runtime_dir = a->params.runtime_dir,
                           .state_dir = a->params.state_dir, .store = spool_store(a->spool), .instances = instances_of,
                           .status = status_json, .reload = reload_soon, .now_ms = now_ms, .ready = on_reachable,
                           .claimed = on_claimed,
                           .userdata = a };

        return device_new(&a->device, &p);
}

static int make_bus(Agent *a) {
        BusParams p = { .loop = a->params.loop, .device = a->device, .status = status_json, .userdata = a };

        return bus_new(&a->bus, &p);
}

static int make_timers(Agent *a) {
        Loop *loop = a->params.loop;
        int r = loop_timer_new(&a->status_timer, loop, "status", on_status_timer, a);

        if (r == 0)
                r = loop_timer_new(&a->liveness_timer, loop, "liveness", on_liveness, a);
        if (r == 0)
                r = loop_timer_new(&a->stop_timer, loop, "stop", agent_stop_go_on, a);
        return r;
}

int agent_new(Agent **ret, const AgentParams *params, Config *config) {
        _cleanup_(agent_freep) Agent *a = calloc(1, sizeof(*a));
        uint64_t watchdog = 0;
        int r;

        if (!a) {
                config_free(config);
                return -ENOMEM;
        }
        a->params = *params;
        a->config = config;
        mind_board(a);
        a->liveness_every = sd_watchdog_enabled(0, &watchdog) > 0 ? watchdog / 3 : LIVENESS_EVERY;
        a->liveness_every = MIN(a->liveness_every, MAX(params->deaf_after / 4, 100 * USEC_PER_MSEC));
        r = make_paths(a);
        if (r == 0)
                r = make_timers(a);
        if (r == 0)
                r = make_clock(a);
        if (r == 0)
                r = make_spool(a);
        if (r == 0)
                r = make_device(a);
        if (r == 0)
                r = make_enroll(a);
        if (r == 0)
                r = make_bus(a);
        if (r == 0)
                r = make_instances(a);
        if (r < 0)
                return r;
        agent_set_config_error(a, params->config_error);
        *ret = TAKE_PTR(a);
        return 0;
}

Agent *agent_free(Agent *a) {
        if (!a)
                return NULL;
        a->instances = instances_free(a->instances);
        if (a->phase != PHASE_END)
                agent_stop_server(a);
        if (a->phase != PHASE_END && a->spool)
                agent_stop_store(a);
        bus_free(a->bus);
        device_free(a->device);
        enroll_free(a->enroll);
        clock_free(a->clock);
        loop_timer_free(a->status_timer);
        loop_timer_free(a->liveness_timer);
        loop_timer_free(a->stop_timer);
        if (!a->left_thread) { /* else the process is about to end by _exit() */
                spool_free(a->spool);
                config_free(a->config);
        }
        free(a->limits_path);
        free(a->clock_path);
        free(a->ring_path);
        free(a->config_error);
        free(a);
        return NULL;
}

int agent_start(Agent *a) {
        int r;

        device_set_config(a->device, a->config);
        instances_set_config(a->instances, a->config);
        enroll_set_config(a->enroll, a->config);
        r = agent_add_server(a);
        bus_start(a->bus);
        on_liveness(a);
        on_status_timer(a);
        return r;
}

/* ---- reload */

static bool same_int(const Config *a, const Config *b, const char *name) {
        return node_int(config_telemetry(a), name) == node_int(config_telemetry(b), name);
}

static bool same_clock(const Config *a, const Config *b) {
        return same_int(a, b, "wait_for_clock") &&
               streq(node_string(config_top(a), "clock", 0), node_string(config_top(b), "clock", 0));
}

/* Trust is for good: only a clock that still waits for it is made anew. */
static void reload_clock(Agent *a, const Config *old) {
        Era era;

        if (clock_is_trusted(a->clock) || same_clock(old, a->config))
                return;
        if (make_clock(a) < 0) {
                log_error("what the configuration says of the clock takes effect at the next start: out of memory");
                return;
        }
        era = clock_era(a->clock);
        spool_set_era(a->spool, &era);
}

static void reload_spool(const Agent *a, const Config *old) {
        const Node *n = config_telemetry(a->config);

        spool_set_times(a->spool, (usec_t)node_int(n, "batch_interval"), (usec_t)node_int(n, "store_after"));
        if (!same_int(old, a->config, "ring_size") || !same_int(old, a->config, "store_max"))
                log_notice("telemetry.ring_size and telemetry.store_max take effect at the next start: "
                           "systemctl restart tbagent");
}

static int reload_server(Agent *a, const Config *old) {
        if (a->server && !a->server_leaving && config_same_server(old, a->config)) {
                server_set_config(a->server, a->config);
                return 0;
        }
        if (!a->server)
                return agent_add_server(a);
        agent_leave_server(a);
        if (a->server_leaving)
                server_set_config(a->server, a->config); /* it outlives the old one */
        return 0;
}

int agent_reload(Agent *a, Config *config) {
        Config *old = a->config;
        int r;

        if (a->phase != PHASE_RUN) {
                config_free(config);
                return 0;
        }
        a->config = config;
        reload_clock(a, old);
        reload_spool(a, old);
        enroll_set_config(a->enroll, config);
        r = reload_server(a, old);
        device_set_config(a->device, config);
        instances_set_config(a->instances, config);
        config_free(old);
        agent_status_changed(a);
        return r;
}

void agent_set_config_error(Agent *a, const char *text) {
        free(a->config_error);
        a->config_error = text ? strdup(text) : NULL;
        device_set_config_error(a->device, text ? text : "");
        agent_status_changed(a);
}
