/* SPDX-License-Identifier: Apache-2.0 */
/* One hour of one key every second, in a second or two: schedule, report rules, writer, validator, spool and
 * uplink on the simulated clock, a real session, the stand-in ThingsBoard server at the other end. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/uplink.h"
#include "sensor/sampler.h"
#include "sensor/schedule.h"
#include "standin.h"

#define START (1700000000 * USEC_PER_SEC + 300 * USEC_PER_MSEC) /* not on a full second */
#define HOUR 3600

typedef struct World {
        Standin server;
        Loop *loop;
        Schedule schedule;
        LoopTimer *timer;
        Sampler *sampler;
        Spool *spool;
        Client *client;
        Uplink *uplink;
        unsigned rows;
        bool limits_known;
} World;

static int64_t wall_ns(const World *w) {
        return ((int64_t)loop_realtime(w->loop) - (int64_t)loop_boottime(w->loop)) * NSEC_PER_USEC;
}

static int64_t boottime_ns(void *userdata) {
        return (int64_t)loop_boottime(((World *)userdata)->loop) * NSEC_PER_USEC;
}

static void on_row(void *userdata, const Row *row) {
        World *w = userdata;
        uint32_t points;

        w->rows++;
        assert_int_equal(row_validate(row->text, row->text_size, NULL, NULL, &points), 0);
        assert_int_equal(points, row->points);
        assert_int_equal(spool_append(w->spool, row, NULL), 0);
        uplink_notify(w->uplink, false);
}

/* A value with two decimals, whole numbers among them: all of them have to arrive as DOUBLE. */
static void on_sample(void *userdata) {
        World *w = userdata;
        Value v = { .type = VALUE_DOUBLE, .d = 20 + (double)(w->rows % 700) / 100 };

        sampler_begin(w->sampler, SAMPLER_SAMPLE, wall_ns(w));
        assert_int_equal(sampler_emit(w->sampler, "temperature", &v), 0);
        sampler_end(w->sampler);
        schedule_taken(&w->schedule, loop_monotonic(w->loop), loop_realtime(w->loop));
        loop_timer_arm(w->timer, w->schedule.due, 1);
}

static void on_state(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry) {
        (void)userdata, (void)state, (void)reason, (void)code, (void)text, (void)retry;
}

static void on_online(void *userdata, const ClientLimits *limits) {
        World *w = userdata;

        w->limits_known = limits->known;
        uplink_online(w->uplink, limits);
}

static void on_offline(void *userdata, SessionReason reason) {
        uplink_offline(((World *)userdata)->uplink, reason);
}

static void on_published(void *userdata, uint64_t context, int code) {
        uplink_published(((World *)userdata)->uplink, context, code);
}

static void on_warning(void *userdata, const char *text) {
        (void)userdata;
        fail_msg("%s", text);
}

static int on_credentials(void *userdata, SessionCredentials *ret, char **ret_text) {
        (void)userdata, (void)ret_text;
        ret->username = strdup("TOKEN");
        return ret->username ? 0 : -ENOMEM;
}

static void world_new(World *w) {
        *w = (World){ 0 };
        signal(SIGPIPE, SIG_IGN);
        session_init_process();
        standin_start(&w->server);
        assert_int_equal(loop_new_simulated(&w->loop, START), 0);
        assert_int_equal(spool_new(&w->spool, &(SpoolParams){
                .loop = w->loop, .ring_size = MIB, .batch_interval = USEC_PER_SEC, .store_after = 5 * USEC_PER_SEC,
                .era = { .offset_ms = wall_ns(w) / NSEC_PER_MSEC, .quality = CLOCK_TRUSTED },
        }), 0);
        assert_int_equal(loop_timer_new(&w->timer, w->loop, "sample", on_sample, w), 0);
        assert_int_equal(sampler_new(&w->sampler, &(SamplerParams){ .events = { .row = on_row, .now = boottime_ns }, .userdata = w }), 0);
        assert_int_equal(client_new(&w->client, &(ClientParams){
                .session = { .loop = w->loop, .url = w->server.url, .client_id = "tbagent-hour", .keepalive = 30 * USEC_PER_SEC },
                .events = { .state = on_state, .online = on_online, .offline = on_offline, .published = on_published,
                            .warning = on_warning, .credentials = on_credentials },
                .userdata = w,
        }), 0);
        assert_int_equal(uplink_new(&w->uplink, &(UplinkParams){
                .loop = w->loop, .spool = w->spool, .client = w->client, .batch_interval = USEC_PER_SEC, .batch_size = 16 * KIB,
                .window = 8, .splay = 50 * USEC_PER_MSEC, .backlog_rate = 2000, .userdata = w,
        }), 0);
}

static void world_done(World *w) {
        assert_int_equal(client_stop(w->client, 10 * USEC_PER_SEC), 0);
        uplink_free(w->uplink);
        client_free(w->client);
        sampler_free(w->sampler);
        loop_timer_free(w->timer);
        spool_free(w->spool);
        loop_free(w->loop);
        standin_stop(&w->server);
}

/* What the server has: 3600 rows on full seconds one after the other, and the one at the start. */
static void assert_aligned(World *w) {
        char id[64], path[256];
        json_object *all, *series;
        size_t aligned = 0, n;
        int64_t before = 0;

        standin_device_id(&w->server, id);
        snprintf(path, sizeof(path), "/api/plugins/telemetry/DEVICE/%s/values/timeseries?keys=temperature&startTs=0"
                                     "&endTs=9999999999999&limit=10000&orderBy=ASC&useStrictDataTypes=true", id);
        all = standin_call(&w->server, path, NULL);
        assert_true(json_object_object_get_ex(all, "temperature", &series));
        n = json_object_array_length(series);
        for (size_t i = 0; i < n; i++) {
                int64_t ts = standin_number(json_object_array_get_idx(series, i), "ts");

                if (ts % 1000 != 0) {
                        assert_int_equal(i, 0); /* the sample at the start */
                        assert_int_equal(ts, START / 1000);
                        continue;
                }
                if (aligned++ > 0)
                        assert_int_equal(ts - before, 1000);
                before = ts;
        }
        assert_int_equal(aligned, HOUR);
        assert_in_range(n, HOUR, HOUR + 1);
        json_object_put(all);
}

static void test_hour(void **state) {
        usec_t end = standin_clock() + 60 * USEC_PER_SEC;
        json_object *count = NULL, *types;
        SpoolStats spool;
        World w;

        (void)state;
        world_new(&w);
        client_start(w.client);
        run_until(w.loop, w.limits_known);
        schedule_start(&w.schedule, USEC_PER_SEC, loop_monotonic(w.loop));
        loop_timer_arm(w.timer, w.schedule.due, 1);
        for (unsigned second = 0; second < HOUR; second++) {
                assert_true(loop_advance(w.loop, USEC_PER_SEC) >= 0);
                run_until(w.loop, spool_stats(w.spool).rows < 4); /* else timers of ours end before the server can answer */
        }
        loop_timer_disarm(w.timer);
        uplink_flush(w.uplink);
        run_until(w.loop, uplink_idle(w.uplink));
        spool = spool_stats(w.spool);
        assert_int_equal(spool.made_points, spool.acked_points);
        assert_int_equal(spool.made_points, w.rows);
        assert_int_equal(w.schedule.overruns, 0);

        do { /* the server stores after its PUBACK */
                json_object_put(count);
                count = standin_call(&w.server, "/standin/count?device=boiler", NULL);
        } while (standin_number(count, "stored") < (int64_t)w.rows && standin_clock() < end);
        assert_int_equal(standin_number(count, "stored"), w.rows);
        assert_int_equal(standin_number(count, "duplicated"), 0);
        assert_int_equal(standin_number(count, "reordered"), 0);
        assert_true(json_object_object_get_ex(count, "types", &types));
        assert_int_equal(standin_number(types, "DOUBLE"), w.rows);
        assert_int_equal(json_object_object_length(types), 1);
        json_object_put(count);
        assert_aligned(&w);
        world_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_hour) };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
