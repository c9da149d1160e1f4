/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "spool/spool.h"

static Spool *new_spool(size_t size, bool discard) {
        Spool *s = NULL;

        assert_int_equal(spool_new(&s, &(SpoolParams){ .ring_size = size, .discard = discard }), 0);
        return s;
}

static uint64_t put(Spool *s, const char *text, uint32_t points, int64_t ns) {
        uint64_t seq = 0;

        assert_int_equal(spool_append(s, &(Row){ .text = text, .text_size = strlen(text), .points = points,
                                                 .boottime_ns = ns, .device = "" }, &seq), 0);
        return seq;
}

static uint64_t get(const Spool *s, uint64_t from, char out[64]) {
        uint64_t seq = 0;
        Row row;

        if (spool_next(s, from, &seq, &row) == 0)
                return 0;
        memcpy(out, row.text, row.text_size);
        out[row.text_size] = 0;
        return seq;
}

static void test_numbers_and_order(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(4096, false);
        char text[64];
        uint64_t seq = 99;
        Row row;

        (void)state;
        assert_int_equal(spool_next(s, 0, &seq, &row), 0);
        assert_int_equal(seq, 99);
        assert_int_equal(put(s, "{\"a\":1}", 1, 10), 1);
        assert_int_equal(put(s, "{\"a\":2}", 2, 20), 2);
        assert_int_equal(spool_append(s, &(Row){ .device = "dev", .device_size = 3, .text = "{}", .text_size = 2,
                                                 .flags = ROW_IMMEDIATE, .boottime_ns = -5 }, NULL), 0);
        assert_int_equal(get(s, 0, text), 1);
        assert_string_equal(text, "{\"a\":1}");
        assert_int_equal(get(s, 2, text), 2);
        assert_string_equal(text, "{\"a\":2}");
        assert_int_equal(spool_next(s, 3, &seq, &row), 1);
        assert_memory_equal(row.device, "dev", 3);
        assert_int_equal(row.device_size, 3);
        assert_int_equal(row.flags, ROW_IMMEDIATE);
        assert_true(row.boottime_ns == -5);
        assert_int_equal(spool_next(s, 4, &seq, &row), 0);
        assert_int_equal(spool_stats(s).made_points, 3);
        assert_int_equal(spool_stats(s).next_seq, 4);
        assert_int_equal(spool_stats(s).oldest_ns, 10);
}

static void test_ack_in_any_order(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(4096, false);
        char text[64];

        (void)state;
        for (int i = 1; i <= 9; i++)
                put(s, "{\"k\":0}", 1, i);
        spool_ack(s, 4, 6);
        spool_ack(s, 5, 6); /* again: counted once */
        assert_int_equal(spool_stats(s).acked_points, 3);
        assert_int_equal(spool_stats(s).rows, 6);
        assert_int_equal(get(s, 4, text), 7);
        assert_int_equal(get(s, 0, text), 1);
        assert_int_equal(spool_stats(s).oldest_ns, 1);
        spool_ack(s, 1, 3); /* the prefix 1..6 goes */
        assert_int_equal(spool_stats(s).oldest_ns, 7);
        spool_ack(s, 0, UINT64_MAX);
        assert_int_equal(spool_stats(s).rows, 0);
        assert_int_equal(spool_stats(s).bytes, 0);
        assert_int_equal(spool_stats(s).oldest_ns, 0);
        assert_int_equal(spool_stats(s).acked_points, 9);
        assert_int_equal(put(s, "{}", 0, 1), 10);
}

static void test_eviction_is_counted(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(1024, false);
        SpoolStats stats;
        SpoolGap gap;
        char text[64];

        (void)state;
        for (int i = 1; i <= 100; i++)
                put(s, "{\"temperature\":12.25}", 2, i * 1000);
        stats = spool_stats(s);
        assert_true(stats.rows > 10 && stats.rows < 40 && stats.bytes <= 1024);
        assert_int_equal(stats.evicted_points, 200 - stats.points);
        assert_int_equal(stats.points, 2 * stats.rows);
        assert_int_equal(get(s, 0, text), 101 - stats.rows);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(gap.points, stats.evicted_points);
        assert_int_equal(gap.from_ns, 1000);
        assert_int_equal(gap.to_ns, (100 - stats.rows) * 1000);
        assert_string_equal(gap.why, "queue full");
        assert_int_equal(spool_take_gap(s, &gap), 0);
        assert_int_equal(spool_append(s, &(Row){ .text = "", .text_size = 1100 }, NULL), -E2BIG);
        assert_int_equal(spool_stats(s).rows, stats.rows);
}

static void test_acked_rows_are_not_evicted(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(512, false);
        char text[64];

        (void)state;
        for (int i = 1; i <= 10; i++)
                put(s, "{\"k\":123456}", 1, i);
        spool_ack(s, 2, 10); /* only 1 waits, its bytes hold up the ring */
        for (int i = 11; i <= 13; i++)
                put(s, "{\"k\":123456}", 1, i);
        assert_int_equal(spool_stats(s).evicted_points, 1);
        assert_int_equal(get(s, 0, text), 11);
        assert_int_equal(spool_stats(s).rows, 3);
}

static void test_discard(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(512, true);
        SpoolGap gap;

        (void)state;
        for (int i = 1; i <= 100; i++)
                put(s, "{\"k\":123456}", 1, i);
        spool_record_gap(s, "a", "b", 5, 0, 0);
        assert_int_equal(spool_take_gap(s, &gap), 0);
        assert_int_equal(spool_stats(s).evicted_points, 0);
        assert_int_equal(spool_stats(s).made_points, 100);
        spool_set_discard(s, false);
        for (int i = 1; i <= 100; i++)
                put(s, "{\"k\":123456}", 1, i);
        assert_int_equal(spool_stats(s).evicted_points, 100);
}

static void test_gaps_merge(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(512, false);
        uint64_t points = 0, n = 0;
        SpoolGap gap;

        (void)state;
        spool_record_gap(s, "io", "flood", 3, 50, 60);
        spool_record_gap(s, "io", "flood", 4, 40, 55);
        spool_record_gap(s, "io", "other", 1, 1, 1);
        spool_record_gap(s, "io", "other", 0, 0, 99);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(gap.points, 7);
        assert_int_equal(gap.from_ns, 40);
        assert_int_equal(gap.to_ns, 60);
        assert_string_equal(gap.instance, "io");
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(gap.to_ns, 1);
        assert_int_equal(spool_take_gap(s, &gap), 0);

        for (int i = 0; i < 1000; i++) {
                char name[32];

                snprintf(name, sizeof(name), "i%d", i);
                spool_record_gap(s, name, "x", 2, i, i);
        }
        for (; spool_take_gap(s, &gap) == 1; n++)
                points += gap.points;
        assert_int_equal(points, 2000);
        assert_true(n <= 64);
        assert_string_equal(gap.why, "several reasons");
}

static void test_long_names_merge(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(512, false);
        char name[200];
        SpoolGap gap;

        (void)state;
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        spool_record_gap(s, name, name, 1, 0, 0);
        spool_record_gap(s, name, name, 1, 0, 0);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(gap.points, 2);
}

/* A gap that became a row is not lost when the row is evicted, and the row is no point that was made. */
static void test_gap_rows(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(512, false);
        const Row row = { .text = "{\"tbagent_gap\":{}}", .text_size = 18, .points = 1, .device = "" };
        SpoolGap gap, again;

        (void)state;
        spool_record_gap(s, "io", "flood", 3, 50, 60);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(spool_append_gap(s, &row, &gap), 0);
        assert_int_equal(spool_stats(s).made_points, 0);
        assert_int_equal(spool_stats(s).rows, 1);
        spool_record_gap(s, "io", "flood", 4, 70, 80);
        assert_int_equal(spool_take_gap(s, &again), 0); /* the first is on its way */
        for (int i = 0; i < 100; i++)
                put(s, "{\"k\":123456}", 1, i);
        assert_int_equal(spool_take_gap(s, &again), 1);
        assert_int_equal(again.points, 7);
        assert_int_equal(again.from_ns, 50);
        assert_int_equal(again.to_ns, 80);
        assert_int_equal(spool_append_gap(s, &row, &again), 0);
        spool_ack(s, 0, UINT64_MAX);
        assert_int_equal(spool_stats(s).gap_points, 7);
        spool_record_gap(s, "io", "flood", 1, 1, 2);
        assert_int_equal(spool_take_gap(s, &again), 1);
        assert_int_equal(again.points, 1);
        assert_int_equal(spool_append_gap(s, &(Row){ .text = row.text, .text_size = 600 }, &again), -E2BIG);
        assert_int_equal(spool_take_gap(s, &again), 1); /* recorded again */
        assert_int_equal(again.points, 1);
}

/* Evicted on the way to the server: lost only if it does not arrive. */
static void test_evicted_on_the_way(void **state) {
        _cleanup_(spool_freep) Spool *s = new_spool(512, false);
        const Row row = { .text = "{\"tbagent_gap\":{}}", .text_size = 18, .points = 1, .device = "" };
        SpoolStats stats;
        SpoolGap gap;

        (void)state;
        put(s, "{\"k\":123456}", 5, 10);
        put(s, "{\"k\":123456}", 7, 20);
        spool_record_gap(s, "io", "flood", 3, 50, 60);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(spool_append_gap(s, &row, &gap), 0);
        spool_sent(s, 3);
        for (int i = 0; i < 30; i++)
                put(s, "{\"k\":123456}", 1, 100);
        stats = spool_stats(s);
        assert_true(stats.evicted_points > 10); /* of those behind, none of the first three */
        assert_int_equal(stats.evicted_points + stats.points, 30);
        spool_ack(s, 1, 1);
        assert_int_equal(spool_stats(s).acked_points, 5);
        assert_int_equal(spool_stats(s).evicted_points, stats.evicted_points);
        spool_unsent(s); /* the second one did not arrive, nor the gap record */
        assert_int_equal(spool_stats(s).evicted_points, stats.evicted_points + 7);
        spool_ack(s, 2, 3);
        assert_int_equal(spool_stats(s).acked_points, 5);
        assert_int_equal(spool_stats(s).gap_points, 0);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(gap.points, stats.evicted_points + 7);
        assert_int_equal(spool_take_gap(s, &gap), 1);
        assert_int_equal(gap.points, 3);
        assert_string_equal(gap.instance, "io");
}

/* Random use against a plain model: what waits is what was put in, less what was acknowledged or evicted. */
static void test_model(void **state) {
        enum { N = 20000 };
        static uint8_t acked[N + 1];
        static uint32_t texts[N + 1];
        _cleanup_(spool_freep) Spool *s = new_spool(8 * KIB, false);
        uint64_t seq = 0, evicted = 0, acks = 0, cursor = 0;
        unsigned rnd = 12345;
        char text[9000];

        (void)state;
        memset(text, 'x', sizeof(text));
        for (int round = 0; round < N; round++) {
                uint64_t found;
                Row row;

                rnd = rnd * 1103515245 + 12345;
                texts[seq + 1] = (rnd >> 16) % 100 == 0 ? 4000 : (rnd >> 16) % 300;
                memcpy(text, &texts[seq + 1], sizeof(uint32_t));
                assert_int_equal(spool_append(s, &(Row){ .text = text, .text_size = texts[seq + 1] + 4, .points = 1 },
                                              &found), 0);
                assert_int_equal(found, ++seq);
                if ((rnd >> 8) % 3 == 0) {
                        uint64_t back = (rnd >> 12) % 30, a = seq > back ? seq - back : 1;
                        uint64_t b = MIN(a + (rnd >> 20) % 7, seq);

                        spool_ack(s, a, b);
                        for (; a <= b; a++)
                                acked[a] = 1;
                }
                if (round % 64 == 0)
                        cursor = 0;
                if (spool_next(s, cursor, &found, &row) == 1) {
                        for (uint64_t q = MAX(cursor, (uint64_t)1); q < found; q++)
                                if (!acked[q])
                                        acked[q] = 2; /* gone: must be by eviction */
                        assert_int_not_equal(acked[found], 1);
                        assert_memory_equal(row.text, &texts[found], sizeof(uint32_t));
                        assert_int_equal(row.text_size, texts[found] + 4);
                        cursor = found + 1;
                }
        }
        acks = spool_stats(s).acked_points;
        evicted = spool_stats(s).evicted_points;
        assert_true(evicted > 1000 && acks > 1000);
        assert_int_equal(acks + evicted + spool_stats(s).points, N);
        assert_int_equal(spool_stats(s).points, spool_stats(s).rows);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_and_order),
                cmocka_unit_test(test_ack_in_any_order),
                cmocka_unit_test(test_eviction_is_counted),
                cmocka_unit_test(test_acked_rows_are_not_evicted),
                cmocka_unit_test(test_discard),
                cmocka_unit_test(test_gaps_merge),
                cmocka_unit_test(test_long_names_merge),
                cmocka_unit_test(test_gap_rows),
                cmocka_unit_test(test_evicted_on_the_way),
                cmocka_unit_test(test_model),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
