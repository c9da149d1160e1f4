/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tb/batch.h"

static Row row_of(const char *text, uint32_t points) {
        return (Row){ .text = text, .text_size = strlen(text), .points = points, .device = "" };
}

static void assert_payload(Batch *b, const char *expected) {
        size_t size;
        const char *data = batch_payload(b, &size);

        assert_int_equal(size, strlen(expected));
        assert_memory_equal(data, expected, size);
}

static void assert_runs(const Batch *b, const RowRun *runs, unsigned n) {
        assert_int_equal(b->n_runs, n);
        assert_memory_equal(b->runs, runs, n * sizeof(RowRun));
}

static void test_rows(void **state) {
        Row a = row_of("{\"a\":1.5}", 1), c = row_of("{\"b\":2,\"c\":\"x\"}", 2);
        Batch b = { 0 };

        (void)state;
        batch_begin(&b, 1000, 1000, UINT32_MAX);
        assert_int_equal(batch_add(&b, 7, &a, 0, 1700000000123), 1);
        assert_int_equal(batch_add(&b, 9, &c, 0, -5), 1);
        assert_payload(&b, "[{\"ts\":1700000000123,\"values\":{\"a\":1.5}},{\"ts\":-5,\"values\":{\"b\":2,\"c\":\"x\"}}]");
        assert_runs(&b, (const RowRun[]){ { 7, 7 }, { 9, 9 } }, 2);
        assert_int_equal(b.rows, 2);
        assert_int_equal(b.points, 3);
        assert_int_equal(b.next, 0);
        batch_begin(&b, 1000, 1000, UINT32_MAX); /* the memory is used again */
        assert_int_equal(b.rows, 0);
        assert_int_equal(batch_add(&b, 10, &a, 0, INT64_MIN), 1);
        assert_payload(&b, "[{\"ts\":-9223372036854775808,\"values\":{\"a\":1.5}}]");
        batch_done(&b);
}

static void test_size_is_kept(void **state) {
        Batch b = { 0 };

        (void)state;
        for (size_t max = 60; max < 600; max += 7) {
                Row a = row_of("{\"temperature\":21.25}", 1);
                uint64_t seq = 1;
                size_t size;
                int r;

                batch_begin(&b, max, 1000, UINT32_MAX);
                while ((r = batch_add(&b, seq, &a, 0, INT64_MIN)) == 1)
                        seq++;
                assert_int_equal(r, 0);
                assert_runs(&b, &(RowRun){ 1, seq - 1 }, 1);
                assert_int_equal(b.next, 0);
                batch_payload(&b, &size);
                assert_true(size <= max || b.rows == 1);
                assert_true(size + 62 > max); /* one more would not have fitted */
        }
        batch_done(&b);
}

static void test_points_are_kept(void **state) {
        Row a = row_of("{\"a\":1,\"b\":2,\"c\":3}", 3);
        Batch b = { 0 };

        (void)state;
        batch_begin(&b, 1000, 1000, 7);
        assert_int_equal(batch_add(&b, 1, &a, 0, 1), 1);
        assert_int_equal(batch_add(&b, 2, &a, 0, 1), 1);
        assert_int_equal(batch_add(&b, 3, &a, 0, 1), 0);
        assert_runs(&b, &(RowRun){ 1, 2 }, 1);
        assert_int_equal(b.points, 6);
        batch_done(&b);
}

/* A row of more points than a message may hold goes in parts, each with its time. */
static void test_cut_by_points(void **state) {
        Row a = row_of("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}", 5), c = row_of("{\"z\":0}", 1);
        Batch b = { 0 };
        size_t from;

        (void)state;
        batch_begin(&b, 1000, 1000, 2);
        assert_int_equal(batch_add(&b, 4, &a, 0, 10), 0);
        assert_payload(&b, "[{\"ts\":10,\"values\":{\"a\":1,\"b\":2}}]");
        assert_runs(&b, &(RowRun){ 4, 4 }, 1);
        assert_true(b.next > 0);
        assert_int_equal(batch_add(&b, 5, &c, 0, 11), 0); /* a part ends the batch */
        from = b.next;
        batch_begin(&b, 1000, 1000, 2);
        assert_int_equal(batch_add(&b, 4, &a, from, 10), 0);
        assert_payload(&b, "[{\"ts\":10,\"values\":{\"c\":3,\"d\":4}}]");
        assert_int_equal(b.from, from);
        from = b.next;
        batch_begin(&b, 1000, 1000, 2);
        assert_int_equal(batch_add(&b, 4, &a, from, 10), 1);
        assert_int_equal(b.next, 0);
        assert_int_equal(batch_add(&b, 5, &c, 0, 11), 1);
        assert_payload(&b, "[{\"ts\":10,\"values\":{\"e\":5}},{\"ts\":11,\"values\":{\"z\":0}}]");
        assert_int_equal(b.points, 2);
        batch_done(&b);
}

static void test_cut_by_size(void **state) {
        static char text[4096];
        size_t from = 0, size, n = 0, rounds = 0;
        Batch b = { 0 };
        Row a;
        int r;

        (void)state;
        text[n++] = '{';
        for (int i = 0; i < 64; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"key%02d\":%d.5", i ? "," : "", i, i);
        snprintf(text + n, sizeof(text) - n, "}");
        a = row_of(text, 64);
        do {
                batch_begin(&b, 100, 200, UINT32_MAX);
                r = batch_add(&b, 1, &a, from, 1700000000000);
                assert_in_range(r, 0, 1);
                batch_payload(&b, &size);
                assert_true(size <= 200);
                from = b.next;
                n = b.points;
                rounds++;
        } while (from > 0);
        assert_true(rounds > 5);
        batch_begin(&b, 50, 50, UINT32_MAX);
        assert_int_equal(batch_add(&b, 1, &a, 0, 1700000000000), -E2BIG);
        batch_begin(&b, 10, 10, UINT32_MAX);
        assert_int_equal(batch_add(&b, 1, &a, 0, 1700000000000), -E2BIG);
        batch_done(&b);
}

/* Numbers with holes: the batch ends when its runs are used up, and not before. */
static void test_runs(void **state) {
        Row a = row_of("{\"a\":1}", 1);
        uint64_t seq = 10;
        Batch b = { 0 };

        (void)state;
        batch_begin(&b, 100000, 100000, UINT32_MAX);
        for (unsigned i = 0; i < BATCH_RUNS_MAX; i++, seq += 2) {
                assert_int_equal(batch_add(&b, seq++, &a, 0, 1), 1);
                assert_int_equal(batch_add(&b, seq++, &a, 0, 1), 1);
        }
        assert_int_equal(batch_add(&b, seq, &a, 0, 1), 0);
        assert_int_equal(b.rows, 2 * BATCH_RUNS_MAX);
        assert_int_equal(batch_add(&b, seq - 2, &a, 0, 1), 1); /* the last run goes on */
        assert_int_equal(b.n_runs, BATCH_RUNS_MAX);
        assert_int_equal(b.runs[0].first, 10);
        assert_int_equal(b.runs[0].last, 11);
        assert_int_equal(b.runs[BATCH_RUNS_MAX - 1].last, seq - 2);
        batch_done(&b);
}

static void test_copy(void **state) {
        Row a = row_of("{\"a\":1}", 1), c = row_of("{\"b\":2,\"c\":3}", 2);
        Batch b = { 0 }, again = { 0 };
        const char *entry;
        size_t size;

        (void)state;
        batch_begin(&b, 1000, 1000, UINT32_MAX);
        assert_int_equal(batch_add(&b, 1, &a, 0, 5), 1);
        entry = batch_last_entry(&b, &size);
        assert_int_equal(size, strlen("{\"ts\":5,\"values\":{\"a\":1}}"));
        assert_memory_equal(entry, "{\"ts\":5,\"values\":{\"a\":1}}", size);
        assert_int_equal(batch_add(&b, 2, &c, 0, 6), 1);
        assert_int_equal(b.last_points, 2);
        entry = batch_last_entry(&b, &size);
        assert_int_equal(batch_copy(&again, entry, size, b.last_points), 0);
        assert_payload(&again, "[{\"ts\":6,\"values\":{\"b\":2,\"c\":3}}]");
        assert_int_equal(again.rows, 0);
        assert_int_equal(again.n_runs, 0);
        assert_int_equal(again.points, 2);
        batch_done(&b);
        batch_done(&again);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_runs),
                cmocka_unit_test(test_copy),
                cmocka_unit_test(test_size_is_kept),
                cmocka_unit_test(test_points_are_kept),
                cmocka_unit_test(test_cut_by_points),
                cmocka_unit_test(test_cut_by_size),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
