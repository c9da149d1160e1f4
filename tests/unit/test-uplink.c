/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/log.h"
#include "uplink-world.h"

static void test_interval(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, false, (UplinkParams){ .splay = 250 * MSEC });
        world_up(&w);
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
        world_new(&w, MIB, false, (UplinkParams){ .batch_interval = 10 * SEC });
        world_up(&w);
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
        world_new(&w, 8 * MIB, false, (UplinkParams){ 0 });
        for (int i = 0; i < 20000; i++)
                put(&w, 1, false);
        w.limits.known = false;
        world_up(&w);
        advance(&w, SEC);
        assert_int_equal(w.most_acks, 0); /* the limits are waited for ... */
        advance(&w, 2 * SEC);
        assert_int_equal(w.most_acks, 1); /* ... a moment, then one goes until they are known */
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
        world_new(&w, MIB, false, (UplinkParams){ 0 });
        w.silent = true;
        world_up(&w);
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
        world_up(&w);
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
        world_new(&w, MIB, false, (UplinkParams){ 0 });
        w.limits.telemetry_points = "5:1"; /* 80 %: four points a message */
        assert_int_equal(bucket_parse("5:1", 1, loop_monotonic(w.loop), &w.points), 0);
        world_up(&w);
        put(&w, 10, false);
        put(&w, 1, false);
        advance(&w, 2100 * MSEC);
        assert_int_equal(spool_stats(w.spool).rows, 2); /* parts of a row release nothing */
        advance(&w, 10 * SEC);
        assert_int_equal(w.sends, 3);
        assert_string_equal(w.last, "[{\"ts\":1700000000000,\"values\":{\"x8\":1.25,\"x9\":1.25}},{\"ts\":1700000000000,\"values\":{\"k\":1}}]");
        assert_int_equal(w.closes_n, 0);
        assert_true(uplink_idle(w.uplink));
        assert_int_equal(uplink_stats(w.uplink).rows_acked, 2);
        assert_int_equal(uplink_stats(w.uplink).points_acked, 11);
        world_done(&w);
}

static void test_payload_limit(void **state) {
        World w;

        (void)state;
        world_new(&w, MIB, false, (UplinkParams){ 0 });
        w.limits.max_payload = 400;
        world_up(&w);
        for (int i = 0; i < 50; i++)
                put(&w, i % 10 == 0 ? 60 : 1, false);
        advance(&w, 5 * SEC);
        assert_int_equal(w.distinct, 50);
        assert_true(w.largest <= 400 - 28);
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

/* An estimate waits; when the time comes to be known it is that of the row, whenever it was taken. */
static void test_clock(void **state) {
        World w;

        (void)state;
        world_new_untrusted(&w, 5000000);
        w.may_estimate = false;
        world_up(&w);
        put(&w, 1, true);
        put_flags(&w, 1, ROW_ESTIMATED); /* the mark of a time that is an estimate */
        advance(&w, 30 * SEC);
        assert_int_equal(w.sends, 0);
        assert_true(uplink_idle(w.uplink)); /* it could not go if we waited */
        w.may_estimate = true;
        world_era(&w, (int64_t)(START / 1000) - 1000000 + 3600000, CLOCK_TRUSTED);
        advance(&w, 1100 * MSEC);
        assert_int_equal(w.sends, 1);
        assert_string_equal(w.last, "[{\"ts\":1700003600000,\"values\":{\"k\":0}}]");
        assert_int_equal(spool_stats(w.spool).rows, 0); /* the mark is forgotten */
        assert_int_equal(uplink_stats(w.uplink).rows_acked, 1);
        world_done(&w);
}

static void test_estimates_go(void **state) {
        World w;

        (void)state;
        world_new_untrusted(&w, 5000000);
        world_up(&w);
        put(&w, 1, false);
        put_flags(&w, 1, ROW_ESTIMATED);
        advance(&w, 1100 * MSEC);
        assert_string_equal(w.last, "[{\"ts\":6000000,\"values\":{\"k\":0}},{\"ts\":6000000,\"values\":{\"k\":1}}]");
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

static void test_time_before_boot(void **state) {
        World w;

        (void)state;
        world_new_untrusted(&w, 0);
        world_era(&w, 1000, CLOCK_TRUSTED);
        world_up(&w);
        assert_int_equal(spool_append(w.spool, &(Row){ .boottime_ns = -1, .points = 1, .flags = ROW_IMMEDIATE, .device = "",
                                                       .text = "{\"k\":0}", .text_size = 7 }, NULL), 0);
        uplink_notify(w.uplink, true);
        assert_string_equal(w.last, "[{\"ts\":999,\"values\":{\"k\":0}}]"); /* rounded down, as any other */
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
        world_new(&w, MIB, false, (UplinkParams){ 0 });
        w.code = 0x99;
        world_up(&w);
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
        world_new(&w, 64 * KIB, false, (UplinkParams){ 0 });
        for (int i = 0; i < 5000; i++) {
                put(&w, 2, false);
                advance(&w, 10 * MSEC);
        }
        spool_record_gap(w.spool, "io", "flood \"x\"", 7, 1000, 2000);
        world_up(&w);
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
        world_new(&w, 32 * KIB, false, (UplinkParams){ 0 });
        w.limits.telemetry_points = "200:1";
        world_up(&w);
        for (int i = 0; i < 20000; i++) {
                put(&w, 2, false);
                advance(&w, MSEC);
                if (i % 3000 == 2999) {
                        world_down(&w, SESSION_TIMEOUT);
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
        world_new(&w, 64 * KIB, false, (UplinkParams){ 0 });
        w.limits.max_payload = 1024;
        world_up(&w);
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
        world_new(&w, MIB, false, (UplinkParams){ .batch_interval = MINUTE });
        world_up(&w);
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
        world_new(&w, 2 * MIB, true, (UplinkParams){ .backlog_rate = 2000 });
        for (int i = 0; i < 60000; i++)
                put(&w, 1, false);
        advance(&w, MINUTE);
        world_up(&w);
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

        world_new(&w, 64 * MIB, false, (UplinkParams){ .backlog_rate = 2000 });
        w.reason = reason;
        w.limits.known = reason == SESSION_RATE_LIMITED; /* one that closes without a word does not tell limits either */
        w.limits.settled = true;
        assert_int_equal(bucket_parse(messages, 1, loop_monotonic(w.loop), &w.messages), 0);
        assert_int_equal(bucket_parse(points, 1, loop_monotonic(w.loop), &w.points), 0);
        world_up(&w);
        produce(&w, 15 * MINUTE, per_sec, per_row, immediate);
        if (w.early_closes > 3 || (keeps_up && w.made - w.distinct > 3 * per_sec))
                print_error("%s %s: %u closes, %u early, %u of %u rows\n", messages ?: "", points ?: "", w.closes_n, w.early_closes,
                            (unsigned)w.distinct, (unsigned)w.made);
        assert_in_range(w.closes_n, 1, 3);
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
                cmocka_unit_test(test_estimates_go),
                cmocka_unit_test(test_time_before_boot),
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
