/* SPDX-License-Identifier: Apache-2.0 */
/* The uplink on the simulated clock, against a server in this file: it has round-trip times, token buckets and
 * closes, and remembers which rows it stored. Each row says its number: {"k":7,...}. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>

#include <cmocka.h>

#include "agent/uplink.h"
#include "base/log.h"
#include "tb/limits.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC
#define MINUTE (60 * SEC)
#define START (1700000000 * SEC)
#define RTT (4 * MSEC)
#define NEVER USEC_INFINITY
#define ACKS_MAX 64
#define ROWS_MAX 400000

typedef struct Ack {
        uint64_t context;
        usec_t due;
        int code;
} Ack;

typedef struct World {
        Loop *loop;
        Spool *spool;
        Uplink *uplink;
        LoopTimer *acks_timer, *reconnect;
        ClientLimits limits;
        Bucket messages, points; /* hidden; what arrives too fast closes */
        SessionReason reason;    /* of such a close */
        bool trusted, silent;    /* silent: takes all, answers nothing */
        int code;                /* of every answer */
        Ack acks[ACKS_MAX];
        unsigned n_acks, most_acks;
        uint8_t *stored;
        uint64_t made, sends, bytes, distinct, gap_points;
        size_t largest;
        unsigned closes, early_closes;
        usec_t last_close;
        char last[4096]; /* start of the payload that came last */
} World;

static int64_t offset_ms(void *userdata) {
        World *w = userdata;

        return (int64_t)(loop_realtime(w->loop) - loop_boottime(w->loop)) / 1000;
}

static bool is_trusted(void *userdata) {
        return ((World *)userdata)->trusted;
}

static void store(World *w, const char *payload, size_t size) {
        char *text = strndup(payload, size), *at = text;

        assert_non_null(text);
        assert_true(size > 2 && text[0] == '[' && text[size - 1] == ']');
        while ((at = strstr(at, "\"k\":"))) {
                uint64_t k = strtoull(at + 4, &at, 10);

                assert_true(k < ROWS_MAX);
                w->distinct += !w->stored[k];
                w->stored[k] = 1;
        }
        at = text;
        while ((at = strstr(at, "{\"tbagent_gap\":{\"dropped\":")))
                w->gap_points += strtoull(at + 26, &at, 10);
        free(text);
}

static uint32_t count_text(const char *payload, size_t size, const char *text) {
        size_t n = strlen(text);
        uint32_t count = 0;

        for (size_t i = 0; i + n <= size; i++)
                count += memcmp(payload + i, text, n) == 0;
        return count;
}

/* Every key has a colon; a row has two more, a gap record five. */
static uint32_t count_points(const char *payload, size_t size) {
        return count_text(payload, size, ":") - 2 * count_text(payload, size, "{\"ts\":") -
               5 * count_text(payload, size, "\"tbagent_gap\":");
}

static void go_down(World *w, SessionReason reason) {
        usec_t now = loop_monotonic(w->loop);

        for (unsigned i = 0; i < w->n_acks; i++)
                uplink_published(w->uplink, w->acks[i].context, SESSION_LOST);
        w->n_acks = 0;
        uplink_offline(w->uplink, reason);
        w->early_closes += w->closes == 0 || now - w->last_close < 10 * MINUTE;
        w->closes++;
        w->last_close = now;
        loop_timer_arm_in(w->reconnect, 300 * MSEC, 0);
}

static void arm_acks(World *w) {
        if (w->n_acks > 0)
                loop_timer_arm(w->acks_timer, w->acks[0].due, 0);
}

static void on_acks(void *userdata) {
        World *w = userdata;

        while (w->n_acks > 0 && w->acks[0].due <= loop_monotonic(w->loop)) {
                Ack a = w->acks[0];

                memmove(w->acks, w->acks + 1, --w->n_acks * sizeof(Ack));
                if (a.code < 0) {
                        w->acks[w->n_acks++] = a; /* lost like the others */
                        go_down(w, w->reason);
                        return;
                }
                uplink_published(w->uplink, a.context, a.code);
        }
        arm_acks(w);
}

static void go_up(void *userdata) {
        World *w = userdata;
        ClientLimits unknown = { .max_payload = 65536, .max_inflight = 100 };

        uplink_online(w->uplink, &unknown);
        if (w->limits.known)
                uplink_online(w->uplink, &w->limits);
}

static int on_send(void *userdata, const void *payload, size_t size, uint64_t context) {
        World *w = userdata;
        usec_t now = loop_monotonic(w->loop);
        uint32_t points = count_points(payload, size);
        bool passes;

        assert_true(w->n_acks < ACKS_MAX);
        assert_true(points > 0);
        w->sends++;
        w->bytes += size;
        w->largest = MAX(w->largest, size);
        snprintf(w->last, sizeof(w->last), "%.*s", (int)MIN(size, sizeof(w->last) - 1), (const char *)payload);
        passes = bucket_delay(&w->messages, 1, now) == 0 && bucket_tokens(&w->points, now) >= points;
        if (passes) {
                bucket_take(&w->messages, 1, now);
                bucket_take(&w->points, points, now);
        }
        if (passes && w->code == 0)
                store(w, payload, size);
        if (!w->silent)
                w->acks[w->n_acks++] = (Ack){ .context = context, .due = now + RTT, .code = passes ? w->code : -1 };
        w->most_acks = MAX(w->most_acks, w->n_acks);
        arm_acks(w);
        return 0;
}

static void world_new(World *w, size_t ring_size, UplinkParams params) {
        *w = (World){ .trusted = true, .limits = { .known = true, .max_payload = 65536, .max_inflight = 100 } };
        assert_int_equal(loop_new_simulated(&w->loop, START), 0);
        assert_int_equal(spool_new(&w->spool, &(SpoolParams){ .ring_size = ring_size }), 0);
        assert_int_equal(loop_timer_new(&w->acks_timer, w->loop, "acks", on_acks, w), 0);
        assert_int_equal(loop_timer_new(&w->reconnect, w->loop, "up", go_up, w), 0);
        w->stored = calloc(1, ROWS_MAX);
        assert_non_null(w->stored);
        params.loop = w->loop;
        params.spool = w->spool;
        params.batch_interval = params.batch_interval ?: SEC;
        params.batch_size = params.batch_size ?: 16 * KIB;
        params.window = 8;
        params.clock_offset_ms = offset_ms;
        params.clock_trusted = is_trusted;
        params.send = on_send;
        params.userdata = w;
        assert_int_equal(uplink_new(&w->uplink, &params), 0);
}

static void world_done(World *w) {
        uplink_free(w->uplink);
        spool_free(w->spool);
        loop_timer_free(w->acks_timer);
        loop_timer_free(w->reconnect);
        loop_free(w->loop);
        free(w->stored);
}

static void advance(World *w, usec_t by) {
        assert_true(loop_advance(w->loop, by) >= 0);
}

static void put(World *w, unsigned points, bool immediate) {
        char text[2048];
        size_t n = (size_t)snprintf(text, sizeof(text), "{\"k\":%u", (unsigned)w->made++);

        for (unsigned i = 1; i < points; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, ",\"x%u\":1.25", i);
        text[n++] = '}';
        assert_int_equal(spool_append(w->spool, &(Row){ .boottime_ns = (int64_t)loop_boottime(w->loop) * 1000, .points = points,
                                                        .flags = immediate ? ROW_IMMEDIATE : 0, .device = "", .text = text,
                                                        .text_size = n }, NULL), 0);
        uplink_notify(w->uplink, immediate);
}

static void test_interval(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ .splay = 250 * MSEC });
        go_up(&w);
        advance(&w, 100 * MSEC);
        put(&w, 1, false);
        put(&w, 2, false);
        assert_int_equal(w.sends, 0);
        advance(&w, 140 * MSEC);
        assert_int_equal(w.sends, 0);
        advance(&w, 20 * MSEC); /* the tick is at x.250 */
        assert_int_equal(w.sends, 1);
        assert_string_equal(w.last, "[{\"ts\":1700000000100,\"values\":{\"k\":0}},{\"ts\":1700000000100,\"values\":{\"k\":1,\"x1\":1.25}}]");
        assert_true(uplink_idle(w.uplink));
        assert_int_equal(spool_stats(w.spool).rows, 0);
        advance(&w, 60 * SEC); /* nothing to do, nothing sent */
        assert_int_equal(w.sends, 1);
        put(&w, 1, true);
        assert_int_equal(w.sends, 2);
        advance(&w, RTT);
        put(&w, 1, false);
        put(&w, 1, true); /* takes what waits with it */
        assert_int_equal(w.sends, 3);
        advance(&w, SEC);
        assert_int_equal(w.distinct, 5);
        assert_int_equal(uplink_stats(w.uplink).points_acked, 6);
        assert_int_equal(uplink_stats(w.uplink).rows_acked, 5);
        assert_int_equal(uplink_stats(w.uplink).in_flight, 0);
        world_done(&w);
}

static void test_full_batches_do_not_wait(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ .batch_interval = 10 * SEC });
        go_up(&w);
        advance(&w, 100 * MSEC);
        for (int i = 0; i < 2000; i++)
                put(&w, 1, false);
        advance(&w, 100 * MSEC);
        assert_true(w.sends >= 3 && w.sends <= 6);
        assert_true(w.largest > 16 * KIB - 80 && w.largest <= 16 * KIB);
        assert_true(w.distinct < 2000);
        advance(&w, 10 * SEC);
        assert_int_equal(w.distinct, 2000);
        world_done(&w);
}

static void test_window(void **state) {
        World w;

        (void)state;
        world_new(&w, 8 * MIB, (UplinkParams){ 0 });
        for (int i = 0; i < 20000; i++)
                put(&w, 1, false);
        w.limits.known = false;
        go_up(&w);
        advance(&w, 50 * MSEC);
        assert_int_equal(w.most_acks, 1); /* one until the limits are known */
        w.limits.known = true;
        uplink_online(w.uplink, &w.limits);
        assert_in_range(w.n_acks, 4, 8);
        advance(&w, SEC);
        assert_in_range(w.most_acks, 4, 8);
        assert_int_equal(w.distinct, 20000);
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

static void test_loss(void **state) {
        uint64_t stale;
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ 0 });
        w.silent = true;
        go_up(&w);
        for (int i = 0; i < 1000; i++)
                put(&w, 1, false);
        advance(&w, 2 * SEC);
        stale = w.sends;
        assert_true(stale >= 3);
        assert_int_equal(spool_stats(w.spool).rows, 1000);
        uplink_offline(w.uplink, SESSION_TIMEOUT);
        uplink_published(w.uplink, 1, 0); /* of the connection that is gone */
        assert_int_equal(spool_stats(w.spool).rows, 1000);
        put(&w, 1, true);
        w.silent = false;
        go_up(&w);
        uplink_published(w.uplink, 2, 0);
        advance(&w, 2 * SEC);
        assert_int_equal(w.distinct, 1001);
        assert_true(uplink_idle(w.uplink));
        assert_int_equal(uplink_stats(w.uplink).resent_batches, stale);
        assert_true(uplink_stats(w.uplink).point_rate == 0); /* no rate limit was blamed */
        world_done(&w);
}

static void test_rows_are_cut(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ 0 });
        w.limits.telemetry_points = "5:1"; /* 80 %: four points a message */
        assert_int_equal(bucket_parse("5:1", 1, loop_monotonic(w.loop), &w.points), 0);
        go_up(&w);
        put(&w, 10, false);
        put(&w, 1, false);
        advance(&w, 2100 * MSEC);
        assert_int_equal(spool_stats(w.spool).rows, 2); /* parts of a row release nothing */
        advance(&w, 10 * SEC);
        assert_int_equal(w.sends, 3);
        assert_string_equal(w.last, "[{\"ts\":1700000000000,\"values\":{\"x8\":1.25,\"x9\":1.25}},{\"ts\":1700000000000,\"values\":{\"k\":1}}]");
        assert_int_equal(w.closes, 0);
        assert_true(uplink_idle(w.uplink));
        assert_int_equal(uplink_stats(w.uplink).rows_acked, 2);
        assert_int_equal(uplink_stats(w.uplink).points_acked, 11);
        world_done(&w);
}

static void test_payload_limit(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ 0 });
        w.limits.max_payload = 400;
        go_up(&w);
        for (int i = 0; i < 50; i++)
                put(&w, i % 10 == 0 ? 60 : 1, false);
        advance(&w, 5 * SEC);
        assert_int_equal(w.distinct, 50);
        assert_true(w.largest <= 400 - 28);
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

static void test_clock(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ 0 });
        w.trusted = false;
        go_up(&w);
        put(&w, 1, true);
        advance(&w, 30 * SEC);
        assert_int_equal(w.sends, 0);
        loop_step_realtime(w.loop, 3600 * (int64_t)SEC);
        w.trusted = true;
        advance(&w, 1100 * MSEC);
        assert_int_equal(w.sends, 1);
        assert_string_equal(w.last, "[{\"ts\":1700003600000,\"values\":{\"k\":0}}]"); /* the offset of now, the time of then */
        world_done(&w);
}

static unsigned warnings;

static void on_line(void *userdata, int level, const char *line) {
        (void)userdata;
        (void)line;
        warnings += level == LOG_WARNING;
}

static void test_refused(void **state) {
        World w;

        (void)state;
        warnings = 0;
        log_tap(on_line, NULL);
        world_new(&w, MIB, (UplinkParams){ 0 });
        w.code = 0x99;
        go_up(&w);
        for (int i = 0; i < 300; i++) {
                put(&w, 1, true);
                advance(&w, SEC);
        }
        assert_in_range(w.sends, 5, 40); /* no hot loop */
        assert_int_equal(spool_stats(w.spool).rows, 300);
        assert_int_equal(warnings, 1);
        w.code = 0;
        advance(&w, 70 * SEC);
        assert_int_equal(w.distinct, 300);
        assert_true(uplink_idle(w.uplink));
        put(&w, 1, true);
        advance(&w, 10 * MSEC);
        assert_int_equal(w.distinct, 301);
        log_tap(NULL, NULL);
        world_done(&w);
}

static void test_gaps(void **state) {
        SpoolStats spool;
        World w;

        (void)state;
        world_new(&w, 64 * KIB, (UplinkParams){ 0 });
        for (int i = 0; i < 5000; i++) {
                put(&w, 2, false);
                advance(&w, 10 * MSEC);
        }
        spool_record_gap(w.spool, "io", "flood \"x\"", 7, 1000, 2000);
        go_up(&w);
        advance(&w, 20 * SEC);
        spool = spool_stats(w.spool);
        assert_int_equal(spool.made_points, 10000);
        assert_true(spool.evicted_points > 1000);
        assert_int_equal(w.gap_points, spool.evicted_points + 7);
        assert_int_equal(2 * w.distinct + spool.evicted_points, 10000);
        assert_int_equal(spool.gap_points, w.gap_points);
        assert_int_equal(spool.points, 0);
        world_done(&w);
}

/* More comes than the server takes: what is dropped is told exactly, rows that were on their way included. */
static void test_full_while_sending(void **state) {
        SpoolStats spool;
        World w;

        (void)state;
        world_new(&w, 32 * KIB, (UplinkParams){ 0 });
        w.limits.telemetry_points = "200:1";
        go_up(&w);
        for (int i = 0; i < 20000; i++) {
                put(&w, 2, false);
                advance(&w, MSEC);
                if (i % 3000 == 2999) {
                        go_down(&w, SESSION_TIMEOUT);
                        advance(&w, 2 * SEC);
                }
        }
        advance(&w, 60 * SEC);
        spool = spool_stats(w.spool);
        assert_int_equal(spool.made_points, 40000);
        assert_true(spool.evicted_points > 10000);
        assert_int_equal(spool.points, 0);
        assert_int_equal(spool.acked_points + spool.evicted_points, 40000);
        assert_int_equal(w.gap_points, spool.evicted_points);
        assert_in_range(2 * w.distinct, spool.acked_points, 40000); /* stored, but its PUBACK lost: resent or evicted */
        world_done(&w);
}

/* One value that no message holds: dropped and told, never counted as acknowledged. */
static void test_larger_than_the_server_takes(void **state) {
        char text[2048];
        SpoolStats spool;
        World w;

        (void)state;
        world_new(&w, 64 * KIB, (UplinkParams){ 0 });
        w.limits.max_payload = 1024;
        go_up(&w);
        put(&w, 1, false);
        snprintf(text, sizeof(text), "{\"big\":\"%01500d\"}", 0);
        assert_int_equal(spool_append(w.spool, &(Row){ .boottime_ns = (int64_t)loop_boottime(w.loop) * 1000, .points = 1, .device = "",
                                                       .text = text, .text_size = strlen(text) }, NULL), 0);
        put(&w, 1, false);
        advance(&w, 5 * SEC);
        spool = spool_stats(w.spool);
        assert_int_equal(spool.made_points, 3);
        assert_int_equal(spool.acked_points, 2);
        assert_int_equal(spool.evicted_points, 1);
        assert_int_equal(w.distinct, 2);
        assert_int_equal(w.gap_points, 1);
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

static void test_flush(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, (UplinkParams){ .batch_interval = MINUTE });
        go_up(&w);
        advance(&w, 100 * MSEC);
        put(&w, 1, false);
        advance(&w, SEC);
        assert_int_equal(w.sends, 0);
        uplink_flush(w.uplink);
        assert_int_equal(w.sends, 1);
        put(&w, 1, false); /* what still comes goes too */
        assert_int_equal(w.sends, 2);
        assert_false(uplink_idle(w.uplink));
        advance(&w, 10 * MSEC);
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

static void test_backlog(void **state) {
        uint64_t after_5s;
        World w;

        (void)state;
        world_new(&w, 16 * MIB, (UplinkParams){ .backlog_rate = 2000 });
        for (int i = 0; i < 60000; i++)
                put(&w, 1, false);
        advance(&w, MINUTE);
        go_up(&w);
        for (int i = 0; i < 50; i++) { /* 100 new rows a second */
                for (int n = 0; n < 10; n++)
                        put(&w, 1, false);
                advance(&w, 100 * MSEC);
        }
        after_5s = w.distinct;
        assert_in_range(after_5s, 9000, 10700);
        advance(&w, 60 * SEC);
        assert_int_equal(w.distinct, w.made);
        world_done(&w);
}

/* `per_sec` rows a second of `points` each, for so long; closes and what waits are counted by the world. */
static void produce(World *w, usec_t duration, unsigned per_sec, unsigned points, bool immediate) {
        for (uint64_t i = 0; i < duration / SEC * per_sec; i++) {
                put(w, points, immediate);
                advance(w, SEC / per_sec);
        }
}

static void hidden(const char *messages, const char *points, unsigned per_sec, unsigned per_row, bool immediate,
                   SessionReason reason, bool keeps_up) {
        World w;

        world_new(&w, 64 * MIB, (UplinkParams){ .backlog_rate = 2000 });
        w.reason = reason;
        w.limits.known = reason == SESSION_RATE_LIMITED; /* one that closes without a word does not tell limits either */
        assert_int_equal(bucket_parse(messages, 1, loop_monotonic(w.loop), &w.messages), 0);
        assert_int_equal(bucket_parse(points, 1, loop_monotonic(w.loop), &w.points), 0);
        go_up(&w);
        produce(&w, 15 * MINUTE, per_sec, per_row, immediate);
        if (w.early_closes > 3 || (keeps_up && w.made - w.distinct > 3 * per_sec))
                print_error("%s %s: %u closes, %u early, %u of %u rows\n", messages ?: "", points ?: "", w.closes, w.early_closes,
                            (unsigned)w.distinct, (unsigned)w.made);
        assert_in_range(w.closes, 1, 3);
        assert_true(loop_monotonic(w.loop) - w.last_close >= 10 * MINUTE);
        assert_int_equal(spool_stats(w.spool).evicted_points, 0);
        if (keeps_up)
                assert_in_range(w.made - w.distinct, 0, 3 * per_sec);
        else
                assert_true(w.distinct * per_row > 100 * 15 * 60); /* of 200 points a second */
        assert_int_equal(spool_stats(w.spool).rows + w.distinct >= w.made, true);
        world_done(&w);
}

static void test_hidden_message_limit(void **state) {
        (void)state;
        hidden("10:1", NULL, 20, 1, true, SESSION_RATE_LIMITED, true);
        hidden("10:1", NULL, 20, 10, true, SESSION_RATE_LIMITED, true);
        hidden("10:1", NULL, 20, 1, true, SESSION_CLOSED, true);
}

static void test_hidden_point_limit(void **state) {
        (void)state;
        hidden(NULL, "200:1", 50, 8, false, SESSION_RATE_LIMITED, false);
        hidden(NULL, "200:1", 20, 20, true, SESSION_RATE_LIMITED, false);
        hidden(NULL, "200:1", 50, 8, false, SESSION_CLOSED, false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_interval),
                cmocka_unit_test(test_full_batches_do_not_wait),
                cmocka_unit_test(test_window),
                cmocka_unit_test(test_loss),
                cmocka_unit_test(test_rows_are_cut),
                cmocka_unit_test(test_payload_limit),
                cmocka_unit_test(test_clock),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_gaps),
                cmocka_unit_test(test_larger_than_the_server_takes),
                cmocka_unit_test(test_full_while_sending),
                cmocka_unit_test(test_flush),
                cmocka_unit_test(test_backlog),
                cmocka_unit_test(test_hidden_message_limit),
                cmocka_unit_test(test_hidden_point_limit),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
