/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "store-fixture.h"

static void test_keep_and_read(void **state) {
        Fixture *f = *state;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.last, 0);
        assert_int_equal(fixture_append(f, 1, 100), 0);
        assert_int_equal(fixture_append(f, 101, 200), 0);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 200);
        fixture_close(f);

        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.rows, 200);
        assert_int_equal(f->found.points, 200);
        assert_int_equal(f->found.first, 1);
        assert_int_equal(f->found.last, 200);
        assert_int_equal(f->found.known_rows, 0);
        assert_int_equal(fixture_append(f, 201, 300), 0);
        fixture_read(f, 150);
        fixture_assert_read(f, 101, 300); /* whole blocks */
        assert_int_equal(store_stats(f->store).segments, 2); /* no ring: a new one is numbered above the highest name */
        assert_int_equal(store_highest_name(f->dir), 201);
        assert_int_equal(store_stats(f->store).rows, 300);
        assert_int_equal(f->losts, 0);
        assert_int_equal(f->states, 0);
}

static void test_reads_on(void **state) {
        Fixture *f = *state;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(fixture_append_noise(f, 1 + 10 * i, 10 + 10 * i, 0, 0), 0);
        assert_true(store_stats(f->store).segments > 3);
        /* in steps of a block, while more comes */
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(store_read(f->store, f->last, 1), 0);
                assert_int_equal(store_read(f->store, f->last, 1), -EAGAIN);
                fixture_wait(f);
                assert_int_equal(f->last, 10 + 10 * i);
        }
        assert_int_equal(fixture_append_noise(f, 201, 210, 0, 0), 0);
        assert_int_equal(store_read(f->store, f->last, 1), 0);
        fixture_wait(f);
        fixture_assert_read(f, 1, 210);
        /* and back */
        fixture_forget(f);
        fixture_read(f, 55);
        fixture_assert_read(f, 51, 210);
}

static void test_acknowledged_files_go(void **state) {
        Fixture *f = *state;
        uint64_t written;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(fixture_append_noise(f, 1 + 10 * i, 10 + 10 * i, 0, 0), 0);
        written = store_stats(f->store).bytes_written;
        store_acked(f->store, 105);
        fixture_wait(f);
        assert_true(store_stats(f->store).first == 106);
        assert_true(store_stats(f->store).segments < 6);
        store_acked(f->store, 200);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).segments, 0);
        assert_int_equal(store_stats(f->store).rows, 0);
        assert_int_equal(store_stats(f->store).last, 0);
        assert_int_equal(fixture_count(f), 0);
        assert_int_equal(store_stats(f->store).bytes_written, written);
        assert_int_equal(fixture_append(f, 201, 210), 0);
        fixture_read(f, 200);
        fixture_assert_read(f, 201, 210);
        assert_int_equal(f->losts, 0);
}

static void test_position(void **state) {
        Fixture *f = *state;
        uint64_t written;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 100), 0);
        assert_int_equal(fixture_append(f, 101, 200), 0);
        written = store_stats(f->store).bytes_written;
        store_acked(f->store, 50);
        assert_true(store_is_idle(f->store)); /* nobody was woken */
        assert_int_equal(loop_advance(f->loop, 9 * USEC_PER_SEC), 0);
        store_acked(f->store, 120);
        assert_true(store_is_idle(f->store));
        assert_int_equal(loop_advance(f->loop, 3 * USEC_PER_SEC), 0);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).bytes_written, written + 16);
        assert_int_equal(store_stats(f->store).rows, 80);
        assert_int_equal(loop_advance(f->loop, 60 * USEC_PER_SEC), 0);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).bytes_written, written + 16);
        store_acked(f->store, 130);
        store_write_position(f->store);
        fixture_wait(f);
        fixture_close(f);

        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.acked, 130);
        assert_int_equal(f->found.rows, 70);
        assert_int_equal(f->found.points, 70);
        assert_int_equal(f->found.first, 131);
        fixture_close(f);
        /* what the ring says wins */
        fixture_open(f, 0, 150, 199);
        assert_int_equal(f->found.acked, 150);
        assert_int_equal(f->found.rows, 50);
        assert_int_equal(f->found.known_rows, 0);
        fixture_close(f);
        fixture_open(f, 0, 50, 100);
        assert_int_equal(f->found.rows, 150);
        assert_int_equal(f->found.known_rows, 50);
        fixture_close(f);
        fixture_open(f, 0, 200, 200);
        assert_int_equal(f->found.rows, 0);
        assert_int_equal(fixture_count(f), 0);
}

static void test_nothing_written_while_idle(void **state) {
        Fixture *f = *state;
        uint64_t written;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(store_stats(f->store).bytes_written, 0);
        assert_int_equal(fixture_append(f, 1, 100), 0);
        written = store_stats(f->store).bytes_written;
        assert_int_equal(loop_advance(f->loop, 3600 * USEC_PER_SEC), 0);
        store_set_era(f->store, &fixture_era);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).bytes_written, written);
        fixture_close(f);
        fixture_open(f, 0, 0, 0);
        assert_int_equal(loop_advance(f->loop, 3600 * USEC_PER_SEC), 0);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).bytes_written, 0);
}

static void test_oldest_goes(void **state) {
        Fixture *f = *state;
        uint64_t made = 0, bytes = 0;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < 60; i++) {
                assert_int_equal(fixture_append_noise(f, 1 + 10 * i, 10 + 10 * i, 0, 0), 0);
                made += 20;
                bytes = MAX(bytes, store_stats(f->store).bytes);
        }
        assert_true(bytes <= FIXTURE_SMALL && bytes > FIXTURE_SMALL / 2);
        assert_true(f->lost_points > 0);
        assert_string_equal(f->lost_why, "store full");
        assert_int_equal(f->lost_rows * 2, f->lost_points);
        assert_int_equal(f->lost_to_ms, (int64_t)f->lost_last + fixture_era.offset_ms);
        assert_int_equal(f->lost_from_ms, (int64_t)f->lost_first + fixture_era.offset_ms);
        assert_int_equal(f->losts, store_stats(f->store).evicted_segments);
        assert_int_equal(store_stats(f->store).points + f->lost_points, made);
        assert_int_equal(f->states, 0);
        fixture_read(f, 0);
        assert_int_equal(f->points + f->lost_points, made);
        fixture_assert_read(f, f->lost_last + 1, 600);
}

/* A part of what goes is at the server. */
static void test_evicts_half_acknowledged(void **state) {
        Fixture *f = *state;
        uint64_t made = 0;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < 40; i++) {
                assert_int_equal(fixture_append_noise(f, 1 + 10 * i, 10 + 10 * i, 0, 0), 0);
                made += 20;
                if (i == 10)
                        store_acked(f->store, 14);
        }
        assert_true(f->losts > 0);
        assert_int_equal(store_stats(f->store).points + f->lost_points, made - 2 * 14);
}

static void test_spares_what_is_read(void **state) {
        Fixture *f = *state;
        unsigned full = 0;
        uint64_t seq;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < 60; i++)
                full += fixture_append_noise(f, 1 + 10 * i, 10 + 10 * i, 15, 25) < 0;
        assert_int_equal(full, 0);
        fixture_read(f, 0);
        for (seq = 11; seq <= 30; seq++)
                assert_int_equal(f->seen[seq], 1);
        assert_int_equal(f->seen[40 * 5], 0);
        /* all of it */
        for (seq = 601; fixture_append_noise(f, seq, seq + 9, 1, 10000) == 0; seq += 10)
                assert_true(seq < 2000);
        assert_int_equal(f->error, -ENOSPC);
        assert_int_equal(f->state, STORE_FULL);
        assert_int_equal(fixture_append_noise(f, seq, seq + 9, 1, 10000), -ENOSPC);
        assert_int_equal(f->states, 1);
        assert_int_equal(fixture_append_noise(f, seq, seq + 9, 0, 0), 0);
        assert_int_equal(f->state, STORE_OK);
        assert_int_equal(f->states, 2);
}

static void test_larger_than_the_store(void **state) {
        Fixture *f = *state;
        StoreBlock b = block_with(1, 1000, 1, 200, &fixture_era);

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        assert_int_equal(store_append(f->store, &b, 1, 0, 0), 0);
        fixture_wait(f);
        assert_int_equal(f->error, -ENOSPC);
        b.size = 512 * KIB + 8;
        assert_int_equal(store_append(f->store, &b, 1, 0, 0), -E2BIG);
        block_done(&b);
        assert_int_equal(fixture_count(f), 0);
        assert_int_equal(fixture_append(f, 1001, 1010), 0);
}

/* Many blocks, one answer; they may need more than one file. */
static void test_one_commit_of_many(void **state) {
        Fixture *f = *state;
        StoreBlock blocks[8];
        uint64_t written;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < ELEMENTS(blocks); i++)
                blocks[i] = block_with(1 + 20 * i, 20 + 20 * i, 1, 200, &fixture_era);
        assert_int_equal(store_append(f->store, blocks, ELEMENTS(blocks), 0, 0), 0);
        assert_int_equal(store_append(f->store, blocks, ELEMENTS(blocks), 0, 0), -EAGAIN);
        fixture_wait(f);
        assert_int_equal(f->committed, 1);
        assert_int_equal(f->error, 0);
        assert_true(store_stats(f->store).segments > 2);
        written = store_stats(f->store).bytes_written;
        assert_int_equal(store_stats(f->store).bytes, written);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 160);
        for (unsigned i = 0; i < ELEMENTS(blocks); i++)
                block_done(&blocks[i]);
}

/* ---- the clock */

static void append_estimate(Fixture *f, uint64_t first, uint64_t last, const Era *era) {
        StoreBlock b = block_with(first, last, 1, 0, era);

        assert_int_equal(store_append(f->store, &b, 1, 0, 0), 0);
        block_done(&b);
        fixture_wait(f);
        assert_int_equal(f->error, 0);
}

static void test_time_comes_late(void **state) {
        Fixture *f = *state;
        const Era estimate = { .boot_id = { 9 }, .offset_ms = 7, .quality = CLOCK_ESTIMATED };
        const Era other = { .boot_id = { 8 }, .offset_ms = 7, .quality = CLOCK_ESTIMATED };
        Era trusted = { .boot_id = { 9 }, .offset_ms = 5000, .quality = CLOCK_TRUSTED };
        uint64_t written;

        fixture_open(f, 0, 0, 0);
        append_estimate(f, 1, 10, &estimate);
        append_estimate(f, 11, 20, &other);
        fixture_read(f, 0);
        assert_int_equal(f->era.quality, CLOCK_ESTIMATED);
        written = store_stats(f->store).bytes_written;
        store_set_era(f->store, &trusted);
        fixture_wait(f);
        assert_true(store_stats(f->store).bytes_written > written);
        written = store_stats(f->store).bytes_written;
        trusted.offset_ms = 6000; /* a step: for later rows */
        store_set_era(f->store, &trusted);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).bytes_written, written);
        append_estimate(f, 21, 30, &trusted);
        fixture_close(f);

        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.rows, 30);
        assert_int_equal(store_read(f->store, 0, 1), 0);
        fixture_wait(f);
        assert_int_equal(f->era.offset_ms, 5000);
        assert_int_equal(f->era.quality, CLOCK_TRUSTED);
        assert_int_equal(store_read(f->store, 10, 1), 0);
        fixture_wait(f);
        assert_int_equal(f->era.offset_ms, 7);
        assert_int_equal(f->era.quality, CLOCK_ESTIMATED);
        assert_int_equal(store_read(f->store, 20, 1), 0);
        fixture_wait(f);
        assert_int_equal(f->era.offset_ms, 6000);
        store_acked(f->store, 30);
        fixture_wait(f);
        assert_int_equal(fixture_count(f), 0);
}

/* ---- other files */

static void assert_content(const Fixture *f, const char *name, const char *content) {
        _cleanup_(freep) char *path = fixture_file(f, name), *data = NULL;

        assert_int_equal(file_read(path, KIB, &data, NULL), 0);
        assert_string_equal(data, content);
}

static void test_other_files(void **state) {
        Fixture *f = *state;
        uint64_t written;
        unsigned taken = 0;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(store_write_file(f->store, "state/boiler", "abc", 3, 0600), 0);
        assert_int_equal(store_append_line(f->store, "rejected.jsonl", "{\"a\":1}", 20), 0);
        assert_int_equal(store_append_line(f->store, "rejected.jsonl", "{\"a\":2}", 20), 0);
        fixture_wait(f);
        assert_content(f, "state/boiler", "abc");
        assert_content(f, "rejected.jsonl", "{\"a\":1}\n{\"a\":2}\n");
        fixture_put(f, "rejected.jsonl", "{\"to", 4); /* a power cut */
        assert_int_equal(store_append_line(f->store, "rejected.jsonl", "{\"a\":3}", 20), 0);
        assert_int_equal(store_append_line(f->store, "rejected.jsonl", "{\"a\":4}", 20), 0);
        fixture_wait(f);
        assert_content(f, "rejected.jsonl.1", "{\"to\n{\"a\":3}\n");
        assert_content(f, "rejected.jsonl", "{\"a\":4}\n");
        written = store_stats(f->store).bytes_written;
        assert_int_equal(store_write_file(f->store, "state/boiler", "abc", 3, 0600), 0);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).bytes_written, written); /* as it was */

        while (taken < 1000 && store_write_file(f->store, "state/boiler", "abc", 3, 0600) == 0)
                taken++;
        assert_true(taken > 10 && taken < 100);
        fixture_wait(f);
}

static void test_file_fails(void **state) {
        Fixture *f = *state;

        fixture_open(f, 0, 0, 0);
        fixture_put(f, "state", "", 0); /* no folder */
        assert_int_equal(store_write_file(f->store, "state/boiler", "abc", 3, 0600), 0);
        assert_int_equal(store_write_file(f->store, "state/boiler", "abd", 3, 0600), 0);
        fixture_wait(f);
        assert_int_equal(f->states, 1);
        assert_int_equal(f->state, STORE_FAILED);
        assert_int_equal(store_append_line(f->store, "rejected.jsonl", "{}", 20), 0);
        fixture_wait(f);
        assert_int_equal(f->state, STORE_OK);
        assert_int_equal(f->states, 2);
}

/* ---- beginning and end */

static void test_before_it_is_open(void **state) {
        Fixture *f = *state;
        StoreBlock b = block_of(1, 2, 1);
        const StoreParams p = { .loop = f->loop, .dir = f->dir, .max_bytes = MIB };

        assert_int_equal(store_new(&f->store, &p), 0);
        assert_int_equal(store_append(f->store, &b, 1, 0, 0), -EAGAIN);
        assert_int_equal(store_read(f->store, 0, 1), -EAGAIN);
        store_acked(f->store, 100);
        assert_int_equal(store_stats(f->store).state, STORE_OPENING);
        assert_string_equal(store_state_name(STORE_OPENING), "opening");
        block_done(&b);
}

/* The thread hangs in the kernel: it is left behind. */
static void test_thread_hangs(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *line = malloc(200 * KIB), *path = fixture_file(f, "rejected.jsonl");
        _cleanup_(closep) int fd = -EBADF;
        char byte;

        fixture_open(f, 0, 0, 0);
        fixture_fifo(f, "rejected.jsonl");
        memset(line, 'x', 200 * KIB - 1);
        line[200 * KIB - 1] = 0;
        assert_int_equal(store_append_line(f->store, "rejected.jsonl", line, MIB), 0);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(fd, &byte, 1), 1); /* it is at it, and a pipe holds less */
        assert_int_equal(store_stop(f->store, 20 * USEC_PER_MSEC), -ETIMEDOUT);
        f->store = store_free(f->store);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_keep_and_read),
                TEST(test_reads_on),
                TEST(test_acknowledged_files_go),
                TEST(test_position),
                TEST(test_nothing_written_while_idle),
                TEST(test_oldest_goes),
                TEST(test_evicts_half_acknowledged),
                TEST(test_spares_what_is_read),
                TEST(test_larger_than_the_store),
                TEST(test_one_commit_of_many),
                TEST(test_time_comes_late),
                TEST(test_other_files),
                TEST(test_file_fails),
                TEST(test_before_it_is_open),
                TEST(test_thread_hangs),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
