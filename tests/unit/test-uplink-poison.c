/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that the server cannot read, and all that only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "uplink-world.h"

static void put_poison(World *w) {
        char text[64];

        snprintf(text, sizeof(text), "{\"poison\":{\"k\":%u}}", (unsigned)w->made);
        put_text(w, text, 1, 0);
}

static void world_speaks(World *w, int protocol) {
        w->protocol = protocol;
        if (protocol != 5) /* a server before 3.8: closes without a word, tells no limits */
                w->limits = (ClientLimits){ .settled = true, .max_payload = 65536, .max_inflight = 100 };
}

/* Lines of rejected.jsonl. */
static unsigned count_rejected(World *w) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        unsigned n = 0;

        advance(w, 0);
        assert_true(asprintf(&path, "%s/rejected.jsonl", w->folder) > 0);
        if (file_read(path, MIB, &text, NULL) < 0)
                return 0;
        for (const char *at = text; (at = strchr(at, '\n')); at++)
                n++;
        return n;
}

static usec_t run_until_empty(World *w, usec_t longest) {
        usec_t begin = loop_monotonic(w->loop);

        while (spool_stats(w->spool).rows > 0 && loop_monotonic(w->loop) - begin < longest)
                advance(w, 100 * MSEC);
        return loop_monotonic(w->loop) - begin;
}

/* One bad row among 1000 good ones: at the start, in the middle, at the end. */
static void one_bad_row(int protocol, unsigned at, usec_t longest) {
        usec_t took;
        World w;

        world_new(&w, MIB, true, (UplinkParams){ .backlog_rate = 2000 });
        world_speaks(&w, protocol);
        for (unsigned i = 0; i < 1000; i++)
                if (i == at)
                        put_poison(&w);
                else
                        put(&w, 1, false);
        world_up(&w);
        took = run_until_empty(&w, 600 * SEC);
        print_message("# MQTT %s, row %u of 1000 is bad: %.1f s, %u closes\n", protocol == 5 ? "5" : "3.1.1", at,
                      (double)took / SEC, w.closes_n);
        assert_true(took <= longest);
        assert_all_delivered(&w);
        assert_int_equal(w.distinct, 999);
        assert_int_equal(count_rejected(&w), 1);
        assert_int_equal(spool_stats(w.spool).rejected_points, 1);
        assert_true(uplink_stats(w.uplink).point_rate == 0); /* nothing was taken for a limit in the end */
        assert_true(uplink_stats(w.uplink).message_rate == 0);
        for (int i = 0; i < 100; i++) /* and all goes on at once */
                put(&w, 1, false);
        advance(&w, 1100 * MSEC);
        assert_all_delivered(&w);
        world_done(&w);
}

static void test_one_bad_row_5(void **state) {
        (void)state;
        one_bad_row(5, 0, 2 * SEC);
        one_bad_row(5, 500, 2 * SEC);
        one_bad_row(5, 999, 2 * SEC);
}

static void test_one_bad_row_311(void **state) {
        (void)state;
        one_bad_row(4, 0, 180 * SEC);
        one_bad_row(4, 500, 180 * SEC);
        one_bad_row(4, 999, 180 * SEC);
}

/* The only row there is: kept until the server takes another one. */
static void test_alone(int protocol) {
        World w;

        world_new(&w, MIB, true, (UplinkParams){ 0 });
        world_speaks(&w, protocol);
        world_up(&w);
        put_poison(&w);
        advance(&w, 300 * SEC);
        assert_int_equal(count_rejected(&w), 0);
        assert_int_equal(spool_stats(w.spool).rows, 1);
        assert_in_range(w.sends, 6, 25);
        assert_true(uplink_stats(w.uplink).refused);
        put(&w, 1, false);
        run_until_empty(&w, 300 * SEC);
        assert_false(uplink_stats(w.uplink).refused);
        assert_all_delivered(&w);
        assert_int_equal(count_rejected(&w), 1);
        world_done(&w);
}

static void test_alone_5(void **state) {
        (void)state;
        test_alone(5);
}

static void test_alone_311(void **state) {
        (void)state;
        test_alone(4);
}

/* New rows go on while one of them is looked for. */
static void test_new_rows_go_on(void **state) {
        usec_t longest = 0;
        uint64_t before;
        World w;

        (void)state;
        for (int protocol = 4; protocol <= 5; protocol++) {
                world_new(&w, MIB, true, (UplinkParams){ 0 });
                world_speaks(&w, protocol);
                world_up(&w);
                for (int i = 0; i < 3000; i++) { /* 5 min at 10/s */
                        if (i == 600)
                                put_poison(&w);
                        else
                                put(&w, 1, false);
                        before = w.distinct;
                        advance(&w, 100 * MSEC);
                        longest = w.distinct > before ? 0 : longest + 100 * MSEC;
                        assert_true(longest < 12 * SEC);
                }
                advance(&w, 30 * SEC);
                assert_all_delivered(&w);
                world_done(&w);
        }
}

static unsigned warnings;

static void on_line(void *userdata, int level, const char *line) {
        (void)userdata;
        warnings += level == LOG_WARNING && strstr(line, "refuses our telemetry");
}

/* A quota that is used up: it closes on every publish, for ten minutes. */
static void test_quota(void **state) {
        World w;

        (void)state;
        for (int acked = 0; acked < 2; acked++) { /* with and without a row that it took before */
                warnings = 0;
                world_new(&w, MIB, true, (UplinkParams){ 0 });
                world_speaks(&w, 4);
                world_up(&w);
                if (acked) {
                        put(&w, 1, true);
                        advance(&w, SEC);
                        assert_int_equal(w.distinct, 1);
                }
                log_tap(on_line, NULL);
                w.closes = true;
                for (int i = 0; i < 6000; i++) {
                        put(&w, 1, i % 10 == 0);
                        advance(&w, 100 * MSEC);
                }
                assert_int_equal(uplink_stats(w.uplink).rejected_rows, 0);
                assert_in_range(w.sends, 8, 40);
                assert_int_equal(warnings, 1);
                w.closes = false;
                run_until_empty(&w, 120 * SEC);
                assert_all_arrived(&w);
                if (acked) /* else another row than the oldest may be the first that is taken */
                        assert_all_delivered(&w);
                assert_int_equal(count_rejected(&w), 0);
                assert_true(uplink_stats(w.uplink).message_rate == 0); /* and that was no rate limit */
                log_tap(NULL, NULL);
                world_done(&w);
        }
}

/* The same on MQTT 5, where it is answered: a device profile that wants another format refuses each message. */
static void test_refuses_all_5(void **state) {
        World w;

        (void)state;
        warnings = 0;
        log_tap(on_line, NULL);
        world_new(&w, MIB, true, (UplinkParams){ 0 });
        w.code = 0x99;
        world_up(&w);
        for (int i = 0; i < 6000; i++) {
                put(&w, 1, i % 10 == 0);
                advance(&w, 100 * MSEC);
        }
        assert_int_equal(uplink_stats(w.uplink).rejected_rows, 0);
        assert_in_range(w.sends, 10, 40);
        assert_int_equal(warnings, 1);
        w.code = 0;
        run_until_empty(&w, 120 * SEC);
        assert_all_arrived(&w);
        log_tap(NULL, NULL);
        world_done(&w);
}

/* Other answers never reject a row. */
static void test_other_codes(void **state) {
        static const int codes[] = { 0x80, 0x83, 0x87, 0x90, 0x97 };
        World w;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(codes); i++) {
                world_new(&w, MIB, true, (UplinkParams){ 0 });
                world_up(&w);
                put(&w, 1, true);
                advance(&w, SEC);
                w.code = codes[i];
                for (int n = 0; n < 300; n++) {
                        put(&w, 1, true);
                        advance(&w, SEC);
                }
                assert_in_range(w.sends, 5, 40);
                w.code = 0;
                run_until_empty(&w, 120 * SEC);
                assert_all_delivered(&w);
                world_done(&w);
        }
}

/* A second session with the same credentials: each throws the other out, at any moment, for ten minutes; and both protocols'
 * closes look the same here. */
static void test_takeover(void **state) {
        World w;

        (void)state;
        for (unsigned seed = 1; seed <= 3; seed++) {
                world_new(&w, MIB, true, (UplinkParams){ 0 });
                world_speaks(&w, 4);
                w.rnd += seed * 7919;
                w.rtt = (seed % 3 == 0 ? 1000 : 20) * MSEC; /* far away, so that it often hits what is in flight */
                world_up(&w);
                for (int i = 0; i < 6000; i++) {
                        put(&w, 1, i % 7 == 0);
                        advance(&w, 100 * MSEC);
                        if (w.online && world_random(&w, seed % 2 ? 10 : 100) == 0) {
                                w.reconnect_after = (100 + world_random(&w, 1000)) * MSEC;
                                world_down(&w, SESSION_CLOSED);
                        }
                }
                run_until_empty(&w, 3600 * SEC);
                assert_all_delivered(&w);
                assert_int_equal(count_rejected(&w), 0);
                world_done(&w);
        }
}

/* Rows of more points than the server takes at once, and it does not say so. */
static void test_hidden_capacity(void **state) {
        static const char *const limits[] = { "50:1", "20:1", "200:1" };
        World w;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(limits); i++) {
                world_new(&w, MIB, true, (UplinkParams){ .backlog_rate = 2000 });
                world_speaks(&w, 4);
                assert_int_equal(bucket_parse(limits[i], 1, loop_monotonic(w.loop), &w.points), 0);
                world_up(&w);
                for (int n = 0; n < 60; n++) {
                        put(&w, 64, false);
                        advance(&w, 10 * SEC);
                }
                run_until_empty(&w, 3600 * SEC);
                print_message("# 64 points in a row, %s points hidden: %u closes\n", limits[i], w.closes_n);
                assert_int_equal(uplink_stats(w.uplink).rejected_rows, 0);
                assert_all_delivered(&w);
                world_done(&w);
        }
}

/* Without a store to move to, new rows do not wait behind a suspect. */
static void test_without_a_store(void **state) {
        World w;

        (void)state;
        world_new(&w, 64 * KIB, false, (UplinkParams){ 0 });
        world_speaks(&w, 4);
        world_up(&w);
        for (int i = 0; i < 30000; i++) { /* the ring holds about 10 s */
                if (i == 300)
                        put_poison(&w);
                else
                        put(&w, 1, false);
                advance(&w, 10 * MSEC);
        }
        advance(&w, 60 * SEC);
        assert_int_equal(spool_stats(w.spool).points, 0);
        assert_in_range(w.distinct, 24000, 29999); /* of the 15000 of those 150 s, most */
        world_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_bad_row_5),
                cmocka_unit_test(test_one_bad_row_311),
                cmocka_unit_test(test_alone_5),
                cmocka_unit_test(test_alone_311),
                cmocka_unit_test(test_new_rows_go_on),
                cmocka_unit_test(test_quota),
                cmocka_unit_test(test_refuses_all_5),
                cmocka_unit_test(test_other_codes),
                cmocka_unit_test(test_takeover),
                cmocka_unit_test(test_hidden_capacity),
                cmocka_unit_test(test_without_a_store),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
