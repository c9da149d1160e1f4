/* SPDX-License-Identifier: Apache-2.0 */
/* Suspicion against servers in this file: rows are numbers, some of them poisonous. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tb/suspect.h"

#define SEC USEC_PER_SEC
#define ROWS 4000

typedef struct Server {
        Suspect s;
        usec_t now;
        bool closes;       /* MQTT 3.1.1: a close where 5 would answer */
        bool takes_nothing; /* a quota */
        bool lives_short;  /* no session lasts longer than 3 s */
        unsigned rnd;
        bool poison[ROWS + 1], taken[ROWS + 1], rejected[ROWS + 1];
        /* of the last closes with a single row: what the rule wants to be true */
        usec_t single_at[ROWS + 1];
        usec_t session_began, session_took; /* 0: nothing yet */
        unsigned closes_n, tests, probes, rejections;
} Server;

static unsigned random_below(Server *v, unsigned n) {
        v->rnd ^= v->rnd << 13;
        v->rnd ^= v->rnd >> 17;
        v->rnd ^= v->rnd << 5;
        return v->rnd % n;
}

static void server_new(Server *v, unsigned seed, bool closes) {
        *v = (Server){ .now = 1000 * SEC, .closes = closes, .rnd = seed * 2654435761u };
        v->session_began = v->now;
        suspect_session(&v->s, v->now);
}

static void reconnect(Server *v) {
        v->closes_n++;
        v->now += random_below(v, SEC);
        v->session_began = v->now;
        v->session_took = 0;
        suspect_session(&v->s, v->now);
}

static bool taken_by(const Server *v, RowRun run) {
        if (v->takes_nothing)
                return false;
        for (uint64_t seq = run.first; seq <= run.last; seq++)
                if (v->poison[seq])
                        return false;
        return true;
}

/* Rows of it that are left, as runs, at most 300 and in 32 runs. */
static unsigned rows_of(const Server *v, SuspectRange range, RowRun out[static BATCH_RUNS_MAX]) {
        unsigned n = 0, rows = 0;

        for (uint64_t seq = range.first; seq <= range.last && rows < 300; seq++) {
                if (v->taken[seq] || v->rejected[seq])
                        continue;
                if (n > 0 && out[n - 1].last + 1 == seq)
                        out[n - 1].last = seq;
                else if (n == BATCH_RUNS_MAX)
                        break;
                else
                        out[n++] = (RowRun){ seq, seq };
                rows++;
        }
        return n;
}

static void took(Server *v) {
        v->session_took = v->now;
        suspect_accepted(&v->s, v->now);
}

static void reject(Server *v, uint64_t seq) {
        assert_true(v->poison[seq]); /* never a good row */
        assert_false(v->rejected[seq]);
        v->rejected[seq] = true;
        v->rejections++;
        suspect_cleared(&v->s, seq);
}

static void test_refused_by(Server *v, const RowRun *runs, unsigned n) {
        bool single = n == 1 && runs[0].first == runs[0].last;
        uint64_t seq;

        assert_true(v->session_took > 0); /* nothing is tested where nothing was taken in this session */
        seq = suspect_failed(&v->s, runs, n, v->closes, v->now);
        if (seq > 0) {
                assert_true(single && seq == runs[0].first);
                if (v->closes) /* the same row before, at least 10 s ago */
                        assert_true(v->single_at[seq] > 0 && v->now - v->single_at[seq] >= 10 * SEC);
                reject(v, seq);
        }
        if (single && v->single_at[runs[0].first] == 0)
                v->single_at[runs[0].first] = v->now;
        if (v->closes)
                reconnect(v);
}

static void try_rows(Server *v) {
        RowRun runs[BATCH_RUNS_MAX];
        SuspectRange range = v->s.ranges[0];
        unsigned n = rows_of(v, range, runs);
        bool good = true;

        v->tests++;
        if (n == 0) {
                suspect_cleared(&v->s, range.last);
                return;
        }
        for (unsigned i = 0; i < n; i++)
                good &= taken_by(v, runs[i]);
        if (!good) {
                test_refused_by(v, runs, n);
                return;
        }
        for (unsigned i = 0; i < n; i++)
                for (uint64_t seq = runs[i].first; seq <= runs[i].last; seq++)
                        v->taken[seq] = true;
        took(v);
        suspect_cleared(&v->s, runs[n - 1].last);
}

static void try_probe(Server *v) {
        v->probes++;
        if (!v->takes_nothing) {
                took(v);
                suspect_probed(&v->s);
                return;
        }
        suspect_probe_failed(&v->s, v->now);
        if (v->closes)
                reconnect(v);
}

/* Until nothing is suspected any more, or for so long. */
static void run(Server *v, usec_t duration) {
        usec_t end = v->now + duration, when;

        while (v->s.n > 0 && v->now < end) {
                v->now += 4000;
                if (v->lives_short && v->now - v->session_began > 3 * SEC) {
                        suspect_other_close(&v->s);
                        reconnect(v);
                }
                switch (suspect_step(&v->s, v->now, &when)) {
                case SUSPECT_NONE:
                        fail();
                        break;
                case SUSPECT_HOLD:
                case SUSPECT_PAUSE:
                        assert_true(when > v->now);
                        v->now = v->lives_short ? MIN(when, v->now + SEC) : when;
                        break;
                case SUSPECT_PROBE:
                        try_probe(v);
                        break;
                case SUSPECT_TEST:
                        try_rows(v);
                        break;
                }
        }
}

static void assert_all_told(const Server *v, uint64_t first, uint64_t last) {
        for (uint64_t seq = first; seq <= last; seq++) {
                assert_int_equal(v->rejected[seq], v->poison[seq]);
                assert_int_equal(v->taken[seq], !v->poison[seq]);
        }
}

static void test_one_bad_row_5(void **state) {
        static Server v;

        (void)state;
        server_new(&v, 1, false);
        v.poison[777] = true;
        suspect_refused(&v.s, (RowRun){ 600, 869 });
        run(&v, 60 * SEC);
        assert_int_equal(v.s.n, 0);
        assert_all_told(&v, 600, 869);
        assert_int_equal(v.probes, 1);
        assert_in_range(v.tests, 10, 36);
        assert_true(v.now - 1000 * SEC < SEC); /* 4 ms a round trip */
}

static void test_one_bad_row_311(void **state) {
        static const RowRun hulls[] = { { 600, 869 }, { 870, 1139 }, { 1140, 1200 } };
        static Server v;

        (void)state;
        server_new(&v, 1, true);
        v.poison[777] = true;
        assert_false(suspect_lost(&v.s, hulls, 3));
        assert_int_equal(v.s.n, 0); /* one close is nothing */
        reconnect(&v);
        assert_true(suspect_lost(&v.s, hulls, 3));
        reconnect(&v);
        run(&v, 600 * SEC);
        assert_int_equal(v.s.n, 0);
        assert_all_told(&v, 600, 1200);
        print_message("# a bad row of 270 on 3.1.1: %u closes, %u s\n", v.closes_n, (unsigned)((v.now - 1000 * SEC) / SEC));
        assert_in_range(v.closes_n, 7, 7); /* two before, two for the batch, one for the sixteenth, two for the row */
        assert_true(v.now - 1000 * SEC < 150 * SEC);
}

static void test_random(bool closes) {
        static Server v;

        for (unsigned seed = 1; seed <= 60; seed++) {
                uint64_t first = 1, last;

                server_new(&v, seed, closes);
                for (unsigned i = random_below(&v, 12); i > 0; i--)
                        v.poison[1 + random_below(&v, 1600)] = true;
                for (unsigned i = 0; i < 300; i++) /* holes */
                        v.taken[1 + random_below(&v, 1600)] = true;
                for (unsigned i = 1; i <= 1600; i++)
                        v.taken[i] = v.taken[i] && !v.poison[i];
                for (int batch = 0; batch < 8 && first <= 1600; batch++, first = last + 1) {
                        last = MIN(first + random_below(&v, 300), (uint64_t)1600);
                        suspect_refused(&v.s, (RowRun){ first, last });
                }
                last = first - 1;
                run(&v, 7200 * SEC);
                assert_int_equal(v.s.n, 0);
                assert_all_told(&v, 1, last);
        }
}

static void test_random_5(void **state) {
        (void)state;
        test_random(false);
}

static void test_random_311(void **state) {
        (void)state;
        test_random(true);
}

/* A quota: nothing is tested, nothing rejected, and it is asked seldom. */
static void test_server_takes_nothing(void **state) {
        static Server v;

        (void)state;
        for (int closes = 0; closes < 2; closes++) {
                server_new(&v, 3, closes);
                v.takes_nothing = true;
                suspect_refused(&v.s, (RowRun){ 1, 300 });
                run(&v, 600 * SEC);
                assert_int_equal(v.s.n, 1);
                assert_int_equal(v.tests, 0);
                assert_int_equal(v.rejections, 0);
                assert_in_range(v.probes, 8, 16);
                v.takes_nothing = false;
                run(&v, 61 * SEC);
                assert_int_equal(v.s.n, 0);
                assert_all_told(&v, 1, 300);
        }
}

/* No session lasts long enough to hold back: it takes its time, but comes to an end. */
static void test_short_sessions(void **state) {
        static Server v;

        (void)state;
        server_new(&v, 5, true);
        v.lives_short = true;
        v.poison[100] = true;
        suspect_refused(&v.s, (RowRun){ 1, 200 });
        run(&v, 3600 * SEC);
        assert_int_equal(v.s.n, 0);
        assert_all_told(&v, 1, 200);
        assert_true(v.now - 1000 * SEC > 1200 * SEC); /* it was proven ten times */
}

/* A second session with the same credentials, a bad network: closes at any time, also on a single row; its rows are good. */
static void test_accidents(void **state) {
        static Server v;

        (void)state;
        for (unsigned seed = 1; seed <= 50; seed++) {
                server_new(&v, seed, true);
                suspect_refused(&v.s, (RowRun){ 1, 300 });
                for (int i = 0; i < 400 && v.s.n > 0; i++) {
                        RowRun runs[BATCH_RUNS_MAX];
                        SuspectRange range = v.s.ranges[0];
                        usec_t when = 0;
                        SuspectStep step = suspect_step(&v.s, v.now, &when);
                        unsigned n;

                        v.now = MAX(v.now + 4000, when);
                        if (step == SUSPECT_PROBE && random_below(&v, 10) > 0) {
                                try_probe(&v);
                        } else if (step == SUSPECT_PROBE) {
                                suspect_probe_failed(&v.s, v.now);
                                reconnect(&v);
                        } else if (step == SUSPECT_TEST && random_below(&v, 5) > 0) {
                                try_rows(&v);
                        } else if (step == SUSPECT_TEST) { /* far more often than it can happen by chance */
                                n = rows_of(&v, range, runs);
                                if (n == 1 && runs[0].first == runs[0].last && v.single_at[runs[0].first] > 0)
                                        continue; /* twice on the same row alone, after a probe: that is the proof */
                                if (n > 0)
                                        test_refused_by(&v, runs, n);
                        }
                }
                assert_int_equal(v.rejections, 0);
                assert_int_equal(v.s.n, 0);
                assert_all_told(&v, 1, 300);
        }
}

/* Closes that take other batches each time are the network's, or a rate limit's. */
static void test_ordinary_closes(void **state) {
        static Server v;

        (void)state;
        server_new(&v, 1, true);
        for (uint64_t i = 1; i < 50; i++) {
                assert_false(suspect_lost(&v.s, (const RowRun[]){ { i * 100, i * 100 + 50 }, { i * 100 + 51, i * 100 + 99 } }, 2));
                assert_int_equal(v.s.n, 0);
        }
        assert_true(suspect_lost(&v.s, &(RowRun){ 4951, 4960 }, 1)); /* any that was in flight, not just the oldest */
}

/* Two closes that are less than 10 s apart are one. */
static void test_strikes_are_apart(void **state) {
        const RowRun run = { 7, 7 };
        Suspect s = { 0 };

        (void)state;
        suspect_refused(&s, run);
        for (usec_t t = 100 * SEC; t < 110 * SEC; t += SEC)
                assert_int_equal(suspect_failed(&s, &run, 1, true, t), 0);
        assert_int_equal(suspect_failed(&s, &run, 1, true, 110 * SEC), 7);
        s = (Suspect){ 0 };
        suspect_refused(&s, run);
        assert_int_equal(suspect_failed(&s, &run, 1, true, 100 * SEC), 0);
        suspect_cleared(&s, 6); /* a part of the row was taken in between: it begins anew */
        assert_int_equal(suspect_failed(&s, &run, 1, true, 120 * SEC), 0);
        assert_int_equal(suspect_failed(&s, &run, 1, true, 131 * SEC), 7);
        assert_int_equal(suspect_failed(&s, &run, 1, false, 131 * SEC), 7); /* an answer needs no second */
}

/* More ranges than there is room for: some are forgotten, none is mixed up. */
static void test_many_ranges(void **state) {
        const RowRun runs[] = { { 10, 500 }, { 502, 900 } };
        Suspect s = { 0 };

        (void)state;
        for (uint64_t i = 0; i < 100; i++)
                suspect_refused(&s, (RowRun){ 10000 - 20 * i, 10009 - 20 * i });
        assert_int_equal(s.n, SUSPECT_RANGES_MAX);
        suspect_refused(&s, (RowRun){ 1, 20000 }); /* all in one */
        assert_int_equal(s.n, 1);
        suspect_cleared(&s, 9);
        for (uint64_t i = 0; i < 100; i++)
                suspect_refused(&s, (RowRun){ 30000 + 20 * i, 30009 + 20 * i });
        assert_int_equal(suspect_failed(&s, runs, 2, false, SEC), 0);
        assert_int_equal(s.n, SUSPECT_RANGES_MAX);
        for (unsigned i = 1; i < s.n; i++)
                assert_true(s.ranges[i - 1].first <= s.ranges[i - 1].last && s.ranges[i - 1].last < s.ranges[i].first);
        assert_int_equal(s.ranges[0].first, 10);
        assert_int_equal(suspect_hull(&s).first, 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_bad_row_5),
                cmocka_unit_test(test_one_bad_row_311),
                cmocka_unit_test(test_random_5),
                cmocka_unit_test(test_random_311),
                cmocka_unit_test(test_server_takes_nothing),
                cmocka_unit_test(test_short_sessions),
                cmocka_unit_test(test_accidents),
                cmocka_unit_test(test_ordinary_closes),
                cmocka_unit_test(test_strikes_are_apart),
                cmocka_unit_test(test_many_ranges),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
