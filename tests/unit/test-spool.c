/* SPDX-License-Identifier: Apache-2.0 */
/* The spool on a real ring file and a real store in a scratch folder. A crash is an object that is freed without a
 * word; a power cut takes the ring file, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "spool/ring.h"
#include "spool/spool.h"
#include "tree.h"

#define REALTIME (1700000000 * USEC_PER_SEC)
#define OFFSET_MS (INT64_C(1700000000000) - 1000000)

typedef struct World {
        char *folder, *ring;
        Loop *loop;
        Spool *spool;
        SpoolParams params;
        unsigned ready;
} World;

static char *path_in(const char *folder, const char *name) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
        return path;
}

static void on_ready(void *userdata) {
        World *w = userdata;

        w->ready++;
}

static void open_spool(World *w) {
        assert_int_equal(spool_new(&w->spool, &w->params), 0);
}

static World *new_world(size_t ring_size, bool store) {
        World *w = calloc(1, sizeof(*w));

        w->folder = tree_new();
        w->ring = path_in(w->folder, "ring");
        assert_int_equal(loop_new_simulated(&w->loop, REALTIME), 0);
        w->params = (SpoolParams){ .loop = w->loop, .ring_path = w->ring, .state_dir = store ? w->folder : NULL,
                                   .ring_size = ring_size, .store_max = 16 * MIB, .batch_interval = USEC_PER_SEC,
                                   .store_after = 5 * USEC_PER_SEC,
                                   .era = { .boot_id = "0123456789abcde", .offset_ms = OFFSET_MS, .quality = CLOCK_TRUSTED },
                                   .events = { .ready = on_ready, .userdata = w } };
        open_spool(w);
        return w;
}

static World *world_free(World *w) {
        if (!w)
                return NULL;
        spool_stop(w->spool, USEC_PER_SEC);
        spool_free(w->spool);
        loop_free(w->loop);
        tree_free(w->folder);
        free(w->ring);
        free(w);
        return NULL;
}
DEFINE_CLEANUP(World *, world_free)

static void crash(World *w) {
        spool_stop(w->spool, USEC_PER_SEC);
        w->spool = spool_free(w->spool);
        open_spool(w);
}

static void power_cut(World *w) {
        spool_stop(w->spool, USEC_PER_SEC);
        w->spool = spool_free(w->spool);
        assert_int_equal(unlink(w->ring), 0);
        open_spool(w);
}

#define WAIT_FOR(w, condition)                                                                          \
        do {                                                                                            \
                for (unsigned _i = 0; _i < 1000 && !(condition); _i++)                                  \
                        assert_true(loop_iterate((w)->loop, 10 * USEC_PER_MSEC) >= 0);                  \
                assert_true(condition);                                                                 \
        } while (0)

static uint64_t put_row(World *w, unsigned n, uint32_t flags) {
        char text[64];
        uint64_t seq = 0;
        Row row = { .boottime_ns = (int64_t)loop_boottime(w->loop) * NSEC_PER_USEC, .points = 1, .flags = flags, .device = "",
                    .text = text, .text_size = (size_t)snprintf(text, sizeof(text), "{\"n\":%u}", n) };

        assert_int_equal(spool_append(w->spool, &row, &seq), 0);
        return seq;
}

static void put_rows(World *w, unsigned from, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                put_row(w, from + i, 0);
}

/* The value of the row, -1: none. */
static int value_of(const SpoolRow *r) {
        char text[64] = "";
        unsigned n = 0;

        memcpy(text, r->row.text, MIN(r->row.text_size, sizeof(text) - 1));
        return sscanf(text, "{\"n\":%u}", &n) == 1 ? (int)n : -1;
}

/* Takes every row of a lane in order, acknowledging each; returns how many. */
static unsigned drain(World *w, SpoolLane lane, int *ret_first, int *ret_last) {
        unsigned n = 0;
        SpoolRow row;
        int r;

        for (unsigned turns = 0; turns < 1000;) {
                r = spool_next(w->spool, lane, 0, &row);
                if (r == -EAGAIN) {
                        assert_true(loop_iterate(w->loop, 10 * USEC_PER_MSEC) >= 0);
                        turns++;
                        continue;
                }
                if (r == 0)
                        break;
                if (n++ == 0 && ret_first)
                        *ret_first = value_of(&row);
                if (ret_last)
                        *ret_last = value_of(&row);
                spool_ack(w->spool, row.seq, row.seq);
        }
        return n;
}

static void check_sum(const World *w) {
        SpoolStats s = spool_stats(w->spool);

        assert_int_equal(s.made_points, s.acked_points + s.evicted_points + s.rejected_points + s.points);
}

static void wait_opened(World *w) {
        WAIT_FOR(w, spool_stats(w->spool).store.state != STORE_OPENING);
}

/* Moves what waits: time passes until it is due for the store. */
static void wait_moved(World *w) {
        wait_opened(w);
        assert_true(loop_advance(w->loop, 6 * USEC_PER_SEC) >= 0);
        WAIT_FOR(w, spool_stats(w->spool).live_rows == 0);
}

/* What gap records tell, taking them as the uplink does. */
static uint64_t told(World *w) {
        uint64_t points = 0;
        SpoolRow row;
        Gap gap;

        spool_append_gaps(w->spool);
        for (uint64_t from = 0; spool_next(w->spool, LANE_LIVE, from, &row) == 1; from = row.seq + 1)
                if (row.row.flags & ROW_GAP) {
                        assert_int_equal(gap_read(row.row.text, row.row.text_size, &gap), 0);
                        points += gap.points;
                        spool_ack(w->spool, row.seq, row.seq);
                }
        return points;
}

/* ---- the ring */

static void test_numbers_and_order(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, false);
        SpoolRow row;

        (void)state;
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 0);
        assert_int_equal(spool_next(w->spool, LANE_BACKLOG, 0, &row), 0);
        assert_int_equal(put_row(w, 10, 0), 1);
        assert_int_equal(put_row(w, 11, ROW_STRICT), 2);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(value_of(&row), 10);
        assert_int_equal(row.offset_ms, OFFSET_MS);
        assert_false(row.estimated);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 2, &row), 1);
        assert_int_equal(row.row.flags, ROW_STRICT);
        spool_ack(w->spool, 1, 1);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(row.seq, 2);
        assert_int_equal(spool_stats(w->spool).points, 1);
        assert_false(spool_has_backlog(w->spool));
        check_sum(w);
}

static void test_eviction_is_told(void **state) {
        _cleanup_(world_freep) World *w = new_world(16 * KIB, false);
        SpoolStats s;
        SpoolRow row;

        (void)state;
        put_rows(w, 0, 2000);
        s = spool_stats(w->spool);
        assert_true(s.evicted_points > 0);
        check_sum(w);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(value_of(&row), s.evicted_points);
        assert_true(spool_has_gap(w->spool));
        crash(w);
        assert_true(spool_has_gap(w->spool));
        uint64_t points = told(w); /* its row pushes out one more, told in turn */
        points += told(w);
        assert_int_equal(points, spool_stats(w->spool).evicted_points);
        assert_int_equal(points, spool_stats(w->spool).gap_points);
        check_sum(w);
}

static void test_one_record_at_a_time(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, false);
        SpoolRow row;
        Gap gap;

        (void)state;
        spool_record_gap(w->spool, "io", "why", 3, 5, 9);
        spool_append_gaps(w->spool);
        spool_record_gap(w->spool, "io", "why", 4, 1, 7);
        assert_false(spool_has_gap(w->spool)); /* the first is on its way */
        crash(w);
        assert_false(spool_has_gap(w->spool));
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(gap_read(row.row.text, row.row.text_size, &gap), 0);
        assert_int_equal(gap.points, 3);
        assert_int_equal(gap.from_ns, 5);
        assert_string_equal(gap.instance, "io");
        spool_ack(w->spool, row.seq, row.seq);
        assert_int_equal(told(w), 4);
        assert_int_equal(spool_stats(w->spool).gap_points, 7);
        assert_int_equal(spool_stats(w->spool).made_points, 0);
        for (unsigned i = 0; i < 200; i++) {
                char why[32];

                snprintf(why, sizeof(why), "why %u", i);
                spool_record_gap(w->spool, "", why, 1, 1, 1);
        }
        uint64_t points = 0;
        for (unsigned i = 0; i < 10; i++)
                points += told(w);
        assert_int_equal(points, 200); /* more reasons than cells: counted all the same */
}

static void test_limbo(void **state) {
        _cleanup_(world_freep) World *w = new_world(16 * KIB, false);
        uint64_t evicted;

        (void)state;
        put_rows(w, 0, 10);
        spool_sent(w->spool, 10);
        put_rows(w, 10, 1000);
        evicted = 1010 - spool_stats(w->spool).points;
        assert_int_equal(spool_stats(w->spool).evicted_points, evicted);
        spool_ack(w->spool, 1, 6);
        assert_int_equal(spool_stats(w->spool).acked_points, 6);
        assert_int_equal(spool_stats(w->spool).evicted_points, evicted - 6);
        check_sum(w);
        uint64_t early = told(w), late; /* four may still arrive */
        assert_int_equal(early, spool_stats(w->spool).evicted_points - 4);
        assert_false(spool_has_gap(w->spool));
        spool_unsent(w->spool);
        assert_true(spool_has_gap(w->spool));
        late = told(w);
        assert_int_equal(early + late, spool_stats(w->spool).evicted_points);
        check_sum(w);
}

static void test_drop_and_reject(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        _cleanup_(freep) char *path = path_in(w->folder, "rejected.jsonl"), *text = NULL;
        uint64_t seq;

        (void)state;
        wait_opened(w);
        put_rows(w, 0, 5);
        spool_drop(w->spool, 2, "too large");
        spool_reject(w->spool, 3, "the server says \"no\"");
        spool_reject(w->spool, 3, "twice is once");
        assert_int_equal(spool_append(w->spool, &(Row){ .text = "{\"a\":tru}", .text_size = 9, .points = 1, .device = "" }, &seq), 0);
        spool_reject(w->spool, seq, "bad");
        assert_int_equal(told(w), 1);
        WAIT_FOR(w, store_is_idle(spool_store(w->spool)));
        assert_int_equal(file_read(path, 4096, &text, NULL), 0);
        assert_non_null(strstr(text, "\"seq\":3,\"ts\":1700000000000,\"reason\":\"the server says \\\"no\\\"\",\"values\":{\"n\":2}}\n"));
        assert_non_null(strstr(text, "\"text\":\"{\\\"a\\\":tru}\"}\n"));
        assert_int_equal(spool_stats(w->spool).rejected_points, 2);
        assert_int_equal(spool_stats(w->spool).evicted_points, 1);
        assert_int_equal(drain(w, LANE_LIVE, NULL, NULL), 3);
        check_sum(w);
}

static void test_without_server(void **state) {
        _cleanup_(world_freep) World *w = new_world(16 * KIB, true);

        (void)state;
        spool_set_discard(w->spool, true);
        wait_opened(w);
        put_rows(w, 0, 2000);
        assert_true(loop_advance(w->loop, 60 * USEC_PER_SEC) >= 0);
        assert_int_equal(spool_stats(w->spool).evicted_points, 0);
        assert_int_equal(spool_stats(w->spool).store.bytes_written, 0);
        assert_false(spool_has_gap(w->spool));
        spool_flush(w->spool);
        assert_true(spool_is_flushed(w->spool));
}

/* ---- the store */

static void test_online_writes_nothing(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);

        (void)state;
        wait_opened(w);
        for (unsigned i = 0; i < 100; i++) {
                put_rows(w, 10 * i, 10);
                assert_true(loop_advance(w->loop, USEC_PER_SEC) >= 0);
                assert_int_equal(drain(w, LANE_LIVE, NULL, NULL), 10);
        }
        assert_int_equal(spool_stats(w->spool).store.bytes_written, 0);
        check_sum(w);
}

static void test_moves_and_comes_back(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        int first, last;

        (void)state;
        put_rows(w, 0, 300);
        wait_moved(w);
        assert_true(spool_has_backlog(w->spool));
        put_rows(w, 300, 50);
        check_sum(w);
        assert_int_equal(drain(w, LANE_LIVE, &first, &last), 50);
        assert_int_equal(first, 300);
        assert_int_equal(drain(w, LANE_BACKLOG, &first, &last), 300);
        assert_int_equal(first, 0);
        assert_int_equal(last, 299);
        assert_false(spool_has_backlog(w->spool));
        assert_int_equal(spool_stats(w->spool).points, 0);
        check_sum(w);
        WAIT_FOR(w, spool_stats(w->spool).store.bytes == 0);
}

static void test_half_full_moves_at_once(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);

        (void)state;
        wait_opened(w);
        for (unsigned i = 0; i < 100; i++) {
                put_rows(w, 100 * i, 100);
                WAIT_FOR(w, spool_stats(w->spool).live_bytes < 32 * KIB);
        }
        assert_int_equal(spool_stats(w->spool).evicted_points, 0);
        assert_int_equal(drain(w, LANE_BACKLOG, NULL, NULL) + drain(w, LANE_LIVE, NULL, NULL), 10000);
        check_sum(w);
}

static void test_crash_keeps_all(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        int first, last;

        (void)state;
        put_rows(w, 0, 200);
        wait_moved(w);
        put_rows(w, 200, 20);
        crash(w);
        put_rows(w, 220, 20);
        assert_int_equal(drain(w, LANE_BACKLOG, &first, &last), 200);
        assert_int_equal(first, 0);
        assert_int_equal(last, 199);
        assert_int_equal(drain(w, LANE_LIVE, &first, &last), 40);
        assert_int_equal(first, 200);
        assert_int_equal(spool_stats(w->spool).made_points, 240);
        check_sum(w);
}

static void test_power_cut_keeps_the_store(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        int first, last;

        (void)state;
        put_rows(w, 0, 200);
        wait_moved(w);
        put_rows(w, 200, 20);
        power_cut(w);
        assert_true(put_row(w, 999, 0) > UINT64_C(1) << 32);
        assert_int_equal(drain(w, LANE_BACKLOG, &first, &last), 200);
        assert_int_equal(last, 199);
        assert_int_equal(drain(w, LANE_LIVE, &first, &last), 1);
        assert_int_equal(first, 999);
        assert_int_equal(spool_stats(w->spool).points, 0);
}

/* Each new ring has numbers of its own, also where nothing was delivered in between. */
static void test_power_cut_after_power_cut(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        int first, last;

        (void)state;
        for (unsigned i = 0; i < 4; i++) {
                put_rows(w, 50 * i, 50);
                wait_moved(w);
                power_cut(w);
        }
        assert_int_equal(drain(w, LANE_BACKLOG, &first, &last), 200);
        assert_int_equal(first, 0);
        assert_int_equal(last, 199);
}

static void test_partly_sent_then_crash(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        unsigned n = 0;
        SpoolRow row;

        (void)state;
        put_rows(w, 0, 100);
        wait_moved(w);
        WAIT_FOR(w, spool_next(w->spool, LANE_BACKLOG, 0, &row) == 1);
        while (n < 40 && spool_next(w->spool, LANE_BACKLOG, 0, &row) == 1) {
                assert_int_equal(value_of(&row), n++);
                spool_ack(w->spool, row.seq, row.seq);
        }
        assert_int_equal(spool_next(w->spool, LANE_BACKLOG, 71, &row), 1);
        spool_ack(w->spool, 71, 80); /* out of order: ahead */
        assert_int_equal(spool_stats(w->spool).points, 50);
        check_sum(w);
        spool_unsent(w->spool);
        assert_int_equal(spool_stats(w->spool).points, 50);
        crash(w);
        wait_opened(w);
        assert_int_equal(spool_stats(w->spool).points, 60); /* what was ahead is sent again */
        assert_false(spool_has_gap(w->spool));
        assert_int_equal(drain(w, LANE_BACKLOG, NULL, NULL), 60);
        assert_false(spool_has_backlog(w->spool));
}

static void test_acked_while_moving(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);

        (void)state;
        wait_opened(w);
        put_rows(w, 0, 100);
        spool_sent(w->spool, 100);
        assert_true(loop_advance(w->loop, 6 * USEC_PER_SEC) >= 0); /* the move may be under way, or through */
        spool_ack(w->spool, 11, 30);
        WAIT_FOR(w, spool_stats(w->spool).live_rows == 0);
        spool_ack(w->spool, 31, 60); /* from limbo */
        assert_int_equal(spool_stats(w->spool).acked_points, 50);
        assert_int_equal(spool_stats(w->spool).points, 50);
        check_sum(w);
        spool_unsent(w->spool);
        assert_int_equal(drain(w, LANE_BACKLOG, NULL, NULL), 50);
        assert_false(spool_has_backlog(w->spool));
        check_sum(w);
}

/* New rows are faster than the old ones, and are on the disk when they are acknowledged: more than can be remembered. */
static void test_far_ahead(void **state) {
        _cleanup_(world_freep) World *w = new_world(4 * MIB, true);
        const unsigned old = 100, round = 12000, rounds = 4, kept = 32768;
        unsigned next = old;
        int first, last;

        (void)state;
        wait_opened(w);
        put_rows(w, 0, old);
        wait_moved(w);
        for (unsigned i = 0; i < rounds; i++, next += round) {
                put_rows(w, next, round);
                spool_sent(w->spool, next + round);
                wait_moved(w);
                spool_ack(w->spool, next + 1, next + round);
        }
        assert_int_equal(spool_stats(w->spool).acked_points, kept);
        assert_int_equal(drain(w, LANE_BACKLOG, &first, &last), old + rounds * round - kept);
        assert_int_equal(first, 0);
        assert_int_equal(last, next - 1);
        assert_false(spool_has_backlog(w->spool));
        assert_int_equal(spool_stats(w->spool).points, 0);
        check_sum(w);
}

static void test_flush(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        int first, last;

        (void)state;
        wait_opened(w);
        put_rows(w, 0, 30);
        spool_record_gap(w->spool, "io", "why", 3, 5, 9);
        spool_flush(w->spool);
        WAIT_FOR(w, spool_is_flushed(w->spool));
        power_cut(w);
        assert_int_equal(drain(w, LANE_BACKLOG, &first, &last), 31);
        assert_int_equal(spool_stats(w->spool).gap_points, 3);
        assert_int_equal(first, 0);
}

static void test_lost_files_are_counted(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);

        (void)state;
        put_rows(w, 0, 100);
        wait_moved(w);
        spool_stop(w->spool, USEC_PER_SEC);
        w->spool = spool_free(w->spool);
        tree_put(w->folder, "spool", NULL);
        open_spool(w);
        wait_opened(w);
        WAIT_FOR(w, spool_has_gap(w->spool));
        put_rows(w, 100, 1);
        assert_int_equal(told(w), 100);
        assert_int_equal(drain(w, LANE_LIVE, NULL, NULL), 1);
        check_sum(w);
        assert_int_equal(spool_stats(w->spool).points, 0);
}

/* ---- the clock */

static void test_eras(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, true);
        Era era = { .boot_id = "another boot...", .offset_ms = 5, .quality = CLOCK_ESTIMATED };
        SpoolRow row;

        (void)state;
        spool_set_era(w->spool, &era);
        put_row(w, 0, 0);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(row.offset_ms, 5);
        assert_true(row.estimated);
        wait_moved(w);
        put_row(w, 1, 0);
        era.offset_ms = 1000;
        era.quality = CLOCK_TRUSTED;
        spool_set_era(w->spool, &era);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(row.offset_ms, 1000); /* also for what was taken before */
        assert_false(row.estimated);
        era.offset_ms = 777000;
        spool_set_era(w->spool, &era); /* a step: for later rows only */
        put_row(w, 2, 0);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, 0, &row), 1);
        assert_int_equal(row.offset_ms, 1000);
        assert_int_equal(spool_next(w->spool, LANE_LIVE, row.seq + 1, &row), 1);
        assert_int_equal(row.offset_ms, 777000);
        WAIT_FOR(w, spool_next(w->spool, LANE_BACKLOG, 0, &row) == 1);
        assert_int_equal(row.offset_ms, 1000); /* stored as an estimate of this boot */
        assert_false(row.estimated);
        WAIT_FOR(w, store_is_idle(spool_store(w->spool)));
        w->params.era = (Era){ .boot_id = "a third boot...", .offset_ms = 1, .quality = CLOCK_ESTIMATED };
        power_cut(w);
        WAIT_FOR(w, spool_next(w->spool, LANE_BACKLOG, 0, &row) == 1);
        assert_int_equal(row.offset_ms, 1000); /* the store was told */
}

static void test_marks_count_nowhere(void **state) {
        _cleanup_(world_freep) World *w = new_world(64 * KIB, false);

        (void)state;
        put_row(w, 0, ROW_ESTIMATED);
        assert_int_equal(spool_stats(w->spool).rows, 1);
        assert_int_equal(spool_stats(w->spool).points, 0);
        assert_int_equal(spool_stats(w->spool).made_points, 0);
        assert_int_equal(drain(w, LANE_LIVE, NULL, NULL), 1);
        assert_int_equal(spool_stats(w->spool).acked_points, 0);
}

/* ---- at random: whatever happens, the sum is right and every row is somewhere */

static unsigned seed_of_rand = 1;
static unsigned roll(unsigned n) {
        seed_of_rand = seed_of_rand * 1103515245u + 12345u;
        return (seed_of_rand >> 16) % n;
}

/* What a server has: rows that are sent again change nothing. */
typedef struct Server {
        uint8_t arrived[100000];
        uint32_t gaps[200000]; /* points, by number of the row */
} Server;

static void take(Server *server, const SpoolRow *row) {
        Gap gap;

        if (value_of(row) >= 0)
                server->arrived[value_of(row)] = 1;
        assert_true(row->seq < ELEMENTS(server->gaps));
        if ((row->row.flags & ROW_GAP) && gap_read(row->row.text, row->row.text_size, &gap) == 0)
                server->gaps[row->seq] = (uint32_t)gap.points;
}

static void random_acks(World *w, Server *server, unsigned made) {
        SpoolLane lane = roll(2) ? LANE_LIVE : LANE_BACKLOG;
        uint64_t from = 0;
        SpoolRow row;

        for (unsigned i = roll(60); i > 0 && spool_next(w->spool, lane, from, &row) == 1; i--) {
                int n = value_of(&row);

                from = row.seq + 1;
                assert_true(n < (int)made);
                spool_sent(w->spool, row.seq);
                if (roll(4) == 0)
                        continue; /* on its way, no answer yet */
                take(server, &row);
                spool_ack(w->spool, row.seq, row.seq);
        }
}

static void random_step(World *w, Server *server, unsigned *made, bool crashes) {
        switch (roll(12)) {
        case 0 ... 3:
                for (unsigned i = roll(120); i > 0; i--)
                        put_row(w, (*made)++, 0);
                break;
        case 4 ... 7:
                random_acks(w, server, *made);
                break;
        case 8:
                spool_unsent(w->spool);
                break;
        case 9:
                assert_true(loop_advance(w->loop, roll(3000) * USEC_PER_MSEC) >= 0);
                break;
        case 10:
                spool_append_gaps(w->spool);
                break;
        default:
                if (roll(6) == 0 && crashes)
                        crash(w);
                break;
        }
        assert_true(loop_iterate(w->loop, 0) >= 0);
}

static void random_life(size_t ring_size, bool store, bool crashes, unsigned seed) {
        _cleanup_(world_freep) World *w = new_world(ring_size, store);
        static Server server;
        unsigned made = 0, there = 0, gaps = 0;
        SpoolStats s;

        memset(&server, 0, sizeof(server));
        seed_of_rand = seed;
        for (unsigned i = 0; i < 600; i++) {
                random_step(w, &server, &made, crashes);
                check_sum(w);
        }
        spool_unsent(w->spool);
        if (store)
                wait_opened(w);
        for (unsigned round = 0; round < 4; round++)
                for (SpoolLane lane = 0; lane < _LANE_MAX; lane++) {
                        SpoolRow row;
                        int r;

                        WAIT_FOR(w, !store || store_is_idle(spool_store(w->spool)));
                        spool_append_gaps(w->spool);
                        while ((r = spool_next(w->spool, lane, 0, &row)) != 0) {
                                if (r == 1) {
                                        take(&server, &row);
                                        spool_ack(w->spool, row.seq, row.seq);
                                } else
                                        assert_true(loop_iterate(w->loop, 10 * USEC_PER_MSEC) >= 0);
                        }
                }
        for (unsigned i = 0; i < made; i++)
                there += server.arrived[i];
        for (unsigned i = 0; i < ELEMENTS(server.gaps); i++)
                gaps += server.gaps[i];
        s = spool_stats(w->spool);
        check_sum(w);
        assert_int_equal(s.made_points, made);
        assert_int_equal(s.points, 0);
        assert_int_equal(s.rows, 0);
        if (!store || !crashes) {
                assert_int_equal(gaps, s.evicted_points);
                assert_int_equal(there, made - s.evicted_points);
        } else { /* a crash between the disk's answer and ours: what is told twice is told once too often, never too little */
                assert_true(gaps >= s.evicted_points);
                assert_true(there >= made - s.evicted_points);
        }
        print_message("# %zu KiB%s%s: %u made, %u arrived, %u dropped, %u told\n", ring_size / KIB, store ? " and store" : "",
                      crashes ? ", crashes" : "", made, there, (unsigned)s.evicted_points, gaps);
}

static void test_random(void **state) {
        (void)state;
        for (unsigned seed = 1; seed < 6; seed++) {
                random_life(16 * KIB, false, true, seed);
                random_life(64 * KIB, true, false, seed + 100);
                random_life(64 * KIB, true, true, seed + 200);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_and_order),
                cmocka_unit_test(test_eviction_is_told),
                cmocka_unit_test(test_one_record_at_a_time),
                cmocka_unit_test(test_limbo),
                cmocka_unit_test(test_drop_and_reject),
                cmocka_unit_test(test_without_server),
                cmocka_unit_test(test_online_writes_nothing),
                cmocka_unit_test(test_moves_and_comes_back),
                cmocka_unit_test(test_half_full_moves_at_once),
                cmocka_unit_test(test_crash_keeps_all),
                cmocka_unit_test(test_power_cut_keeps_the_store),
                cmocka_unit_test(test_power_cut_after_power_cut),
                cmocka_unit_test(test_partly_sent_then_crash),
                cmocka_unit_test(test_acked_while_moving),
                cmocka_unit_test(test_far_ahead),
                cmocka_unit_test(test_flush),
                cmocka_unit_test(test_lost_files_are_counted),
                cmocka_unit_test(test_eras),
                cmocka_unit_test(test_marks_count_nowhere),
                cmocka_unit_test(test_random),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
