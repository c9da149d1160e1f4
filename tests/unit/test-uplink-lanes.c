/* SPDX-License-Identifier: Apache-2.0 */
/* New rows and the backlog beside each other, with a store on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "uplink-world.h"

/* So many rows wait in the store, and none in the ring. */
static void make_backlog(World *w, unsigned rows) {
        w->measures = false;
        for (unsigned i = 0; i < rows; i++) {
                put(w, 1, false);
                if (i % 1000 == 999)
                        advance(w, SEC);
        }
        advance(w, 5 * SEC);
        assert_int_equal(spool_stats(w->spool).live_rows, 0);
        assert_int_equal(spool_stats(w->spool).rows, rows);
        w->measures = true;
}

/* per_sec rows a second for so long. */
static void produce(World *w, usec_t duration, unsigned per_sec) {
        for (usec_t t = 0; t < duration; t += 100 * MSEC) {
                for (unsigned n = 0; n < per_sec / 10; n++)
                        put(w, 1, false);
                advance(w, 100 * MSEC);
        }
}

/* The figure, scaled: server limits, new rows at 100/s, and a backlog that takes all of the rest. */
static void backfill(unsigned per_sec, UplinkParams params) {
        usec_t begin, p99;
        World w;

        params.splay = 370 * MSEC;
        world_new(&w, MIB, true, params);
        w.limits.telemetry_messages = "100:1";
        w.limits.telemetry_points = "1000:1";
        assert_int_equal(bucket_parse("100:1", 1, loop_monotonic(w.loop), &w.messages), 0);
        assert_int_equal(bucket_parse("1000:1", 1, loop_monotonic(w.loop), &w.points), 0);
        make_backlog(&w, 12000);
        begin = loop_monotonic(w.loop);
        world_up(&w);
        produce(&w, 8 * SEC, per_sec);
        assert_int_equal(w.closes_n, 0);
        assert_in_range(w.distinct, 8 * 780, 8 * 800 + 800); /* all of the pace is used */
        while (spool_has_backlog(w.spool))
                produce(&w, SEC, per_sec);
        p99 = world_lag_p99(&w);
        print_message("# %u rows/s beside a backlog of 12000 at 800/s: gone in %.1f s, lag p99 %.3f s\n", per_sec,
                      (double)(loop_monotonic(w.loop) - begin) / SEC, (double)p99 / SEC);
        advance(&w, 2 * SEC);
        assert_int_equal(w.closes_n, 0);
        assert_true(p99 <= params.batch_interval + 500 * MSEC);
        assert_all_delivered(&w);
        world_done(&w);
}

static void test_backfill(void **state) {
        (void)state;
        backfill(100, (UplinkParams){ .batch_interval = SEC });
        backfill(500, (UplinkParams){ .batch_interval = SEC });
        backfill(100, (UplinkParams){ .batch_interval = 200 * MSEC });
}

/* More new rows than the server takes: the backlog gets its fifth, oldest first, and nothing is lost. */
static void test_backlog_does_not_starve(void **state) {
        uint64_t old = 0;
        World w;

        (void)state;
        world_new(&w, 4 * MIB, true, (UplinkParams){ 0 });
        w.limits.telemetry_points = "1000:1";
        assert_int_equal(bucket_parse("1000:1", 1, loop_monotonic(w.loop), &w.points), 0);
        make_backlog(&w, 20000);
        world_up(&w);
        produce(&w, 30 * SEC, 1500);
        for (uint64_t k = 0; k < 20000; k++)
                old += w.rows[k].stored;
        print_message("# overloaded for 30 s at 800/s: %u of the backlog, %u new\n", (unsigned)old, (unsigned)(w.distinct - old));
        assert_in_range(w.distinct, 30 * 780, 31 * 800);
        assert_in_range(old, 29 * 160, 35 * 160);
        assert_int_equal(w.closes_n, 0);
        advance(&w, 60 * SEC);
        assert_all_delivered(&w);
        world_done(&w);
}

/* Immediate rows of a server that counts messages: four of five are theirs. */
static void test_messages_are_shared(void **state) {
        uint64_t old = 0;
        World w;

        (void)state;
        world_new(&w, 4 * MIB, true, (UplinkParams){ 0 });
        w.limits.telemetry_messages = "10:1";
        assert_int_equal(bucket_parse("10:1", 1, loop_monotonic(w.loop), &w.messages), 0);
        make_backlog(&w, 20000);
        world_up(&w);
        for (int i = 0; i < 20 * 20; i++) {
                put(&w, 1, true);
                advance(&w, 50 * MSEC);
        }
        for (uint64_t k = 0; k < 20000; k++)
                old += w.rows[k].stored;
        assert_in_range(w.sends, 150, 180);
        assert_in_range(old, 200 * 32, 400 * 40); /* a fifth of 160 messages, of some 270 rows each */
        assert_true(world_lag_p99(&w) < SEC);
        assert_int_equal(w.closes_n, 0);
        world_done(&w);
}

/* Where no limits are named. */
static void test_backlog_rate(void **state) {
        World w;

        (void)state;
        for (unsigned rate = 0; rate <= 2000; rate += 2000) {
                world_new(&w, MIB, true, (UplinkParams){ .backlog_rate = rate });
                make_backlog(&w, 20000);
                world_up(&w);
                produce(&w, 5 * SEC, 100);
                assert_int_equal(w.distinct < 20000, rate > 0);
                if (rate > 0)
                        assert_in_range(w.distinct, 9500, 10600);
                advance(&w, 10 * SEC);
                assert_true(world_lag_p99(&w) <= 1100 * MSEC);
                assert_true(w.most_acks <= 8);
                assert_all_delivered(&w);
                world_done(&w);
        }
}

/* Rows whose order matters wait for the backlog; the others do not. */
static void test_strict(void **state) {
        uint64_t last = 0;
        World w;

        (void)state;
        world_new(&w, MIB, true, (UplinkParams){ .backlog_rate = 500 });
        w.measures = false;
        for (int i = 0; i < 3000; i++)
                put_flags(&w, 1, i % 3 == 0 ? ROW_STRICT : 0);
        advance(&w, 5 * SEC);
        world_up(&w);
        for (int i = 0; i < 30; i++) {
                put_flags(&w, 1, ROW_STRICT);
                put(&w, 1, true);
                put(&w, 1, true);
                advance(&w, 100 * MSEC);
                for (uint64_t k = 0; k < w.made; k++) { /* no strict row before an older one of any kind that is strict */
                        if (w.rows[k].strict && !w.rows[k].stored)
                                break;
                        last = w.rows[k].strict ? k : last;
                }
                for (uint64_t k = last + 1; k < w.made; k++)
                        assert_false(w.rows[k].strict && w.rows[k].stored);
        }
        assert_true(w.rows[w.made - 1].stored); /* the newest, which may overtake */
        advance(&w, 10 * SEC);
        for (uint64_t k = 0; k < w.made; k++)
                assert_true(w.rows[k].stored);
        assert_int_equal(spool_stats(w.spool).rows, 0);
        put_flags(&w, 1, ROW_STRICT); /* nothing waits any more */
        advance(&w, 1100 * MSEC);
        assert_true(w.rows[w.made - 1].stored);
        world_done(&w);
}

/* A server that is silent: rows in flight move to the store. They are not sent twice, and not lost. */
static void test_rows_move_while_in_flight(void **state) {
        uint64_t sends;
        World w;

        (void)state;
        world_new(&w, MIB, true, (UplinkParams){ 0 });
        world_up(&w);
        w.rtt = 12 * SEC;
        for (int i = 0; i < 1000; i++)
                put(&w, 1, false);
        advance(&w, 2 * SEC);
        sends = w.sends;
        assert_in_range(sends, 2, 8);
        advance(&w, 8 * SEC);
        assert_int_equal(spool_stats(w.spool).live_rows, 0);
        assert_int_equal(w.sends, sends);
        advance(&w, 6 * SEC);
        assert_int_equal(w.sends, sends);
        assert_all_delivered(&w);
        w.silent = true; /* and again, with the connection lost in the end */
        for (int i = 0; i < 1000; i++)
                put(&w, 1, false);
        advance(&w, 10 * SEC);
        world_down(&w, SESSION_TIMEOUT);
        w.silent = false;
        w.rtt = RTT;
        advance(&w, 5 * SEC);
        assert_all_delivered(&w);
        world_done(&w);
}

/* At an orderly stop new rows go; the backlog stays where it is. */
static void test_flush_leaves_the_backlog(void **state) {
        uint64_t stored;
        World w;

        (void)state;
        world_new(&w, MIB, true, (UplinkParams){ .backlog_rate = 500 });
        make_backlog(&w, 5000);
        world_up(&w);
        advance(&w, 500 * MSEC);
        put(&w, 1, false);
        uplink_flush(w.uplink);
        assert_false(uplink_idle(w.uplink));
        advance(&w, 20 * MSEC);
        assert_true(uplink_idle(w.uplink));
        assert_true(w.rows[w.made - 1].stored);
        stored = w.distinct;
        advance(&w, SEC);
        assert_int_equal(w.distinct, stored);
        assert_true(spool_has_backlog(w.spool));
        put(&w, 1, false);
        assert_false(uplink_idle(w.uplink));
        advance(&w, 20 * MSEC);
        assert_true(uplink_idle(w.uplink));
        world_done(&w);
}

static char *limits_file(const World *w) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s/limits", w->folder) > 0);
        return path;
}

/* What was told and learned is there after a restart, where the server tells nothing. */
static void test_limits_are_kept(void **state) {
        char *path, *text = NULL;
        struct stat st;
        World w;

        (void)state;
        world_new(&w, MIB, true, (UplinkParams){ 0 });
        path = limits_file(&w);
        uplink_free(w.uplink);
        w.params.limits_file = path;
        w.params.limits_server = "mqtt://a:1883";
        world_new_uplink(&w);
        w.limits.telemetry_points = "1000:1";
        world_up(&w);
        advance(&w, SEC);
        assert_int_equal(file_read(path, 4096, &text, NULL), 0);
        assert_non_null(strstr(text, "told - 1000:1\n"));
        assert_int_equal(stat(path, &st), 0);
        for (int i = 0; i < 5; i++) { /* at most once a minute */
                w.limits.telemetry_points = i % 2 ? "1000:1" : "500:1";
                uplink_online(w.uplink, &w.limits);
                advance(&w, 5 * SEC);
        }
        free(text);
        assert_int_equal(file_read(path, 4096, &text, NULL), 0);
        assert_non_null(strstr(text, "told - 1000:1\n"));
        advance(&w, 60 * SEC);
        free(text);
        assert_int_equal(file_read(path, 4096, &text, NULL), 0);
        assert_non_null(strstr(text, "told - 500:1\n"));
        uplink_free(w.uplink);

        world_new_uplink(&w);
        w.limits = (ClientLimits){ .settled = true, .max_payload = 65536, .max_inflight = 100 };
        assert_true(uplink_stats(w.uplink).point_rate == 400);
        world_up(&w);
        assert_true(uplink_stats(w.uplink).point_rate == 400);
        uplink_free(w.uplink);

        w.params.limits_server = "mqtt://b:1883"; /* not those of another one */
        world_new_uplink(&w);
        assert_true(uplink_stats(w.uplink).point_rate == 0);
        free(text);
        free(path);
        world_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_backfill),
                cmocka_unit_test(test_backlog_does_not_starve),
                cmocka_unit_test(test_messages_are_shared),
                cmocka_unit_test(test_backlog_rate),
                cmocka_unit_test(test_strict),
                cmocka_unit_test(test_rows_move_while_in_flight),
                cmocka_unit_test(test_flush_leaves_the_backlog),
                cmocka_unit_test(test_limits_are_kept),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
