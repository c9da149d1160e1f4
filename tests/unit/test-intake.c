/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/intake.h"

#define NOW (1000 * NSEC_PER_SEC)

typedef struct Fixture {
        Loop *loop;
        Spool *spool;
        Keys *keys;
        uint8_t data[32 * KIB];
        size_t size;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_int_equal(loop_new_simulated(&f->loop, 0), 0);
        assert_int_equal(spool_new(&f->spool, &(SpoolParams){ .loop = f->loop, .ring_size = 64 * KIB }), 0);
        assert_int_equal(keys_new(&f->keys), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        spool_free(f->spool);
        keys_free(f->keys);
        loop_free(f->loop);
        free(f);
        return 0;
}

static void add(Fixture *f, const char *text, uint32_t points, uint32_t flags, int64_t ns) {
        Row row = { .boottime_ns = ns, .points = points, .flags = flags, .device = "", .text = text, .text_size = strlen(text) };

        assert_true(f->size + row_encoded_size(&row) <= sizeof(f->data));
        f->size += row_encode(f->data + f->size, &row);
}

static IntakeResult take(Fixture *f, unsigned owner) {
        IntakeResult r = intake_rows(f->spool, f->keys, owner, "test", NOW, f->data, f->size);

        f->size = 0;
        return r;
}

static SpoolRow expect_row(Fixture *f, uint64_t seq, const char *text) {
        SpoolRow r;

        assert_int_equal(spool_next(f->spool, LANE_LIVE, seq, &r), 1);
        assert_int_equal(r.seq, seq);
        assert_int_equal(r.row.text_size, strlen(text));
        assert_memory_equal(r.row.text, text, r.row.text_size);
        return r;
}

/* What was dropped is told by the row that comes next. */
static void expect_gap(Fixture *f, uint64_t points, const char *why) {
        uint64_t seq = spool_stats(f->spool).next_seq;
        SpoolRow r;
        Gap gap;

        spool_append_gaps(f->spool);
        assert_int_equal(spool_next(f->spool, LANE_LIVE, seq, &r), 1);
        assert_int_equal(r.row.flags, ROW_GAP);
        assert_int_equal(gap_read(r.row.text, r.row.text_size, &gap), 0);
        assert_int_equal(gap.points, points);
        assert_string_equal(gap.why, why);
        assert_string_equal(gap.instance, "test");
}

static void good_rows_are_copied(void **state) {
        Fixture *f = *state;
        IntakeResult r;

        add(f, "{\"a\":1}", 1, 0, NOW - 5);
        add(f, "{\"a\":2,\"b\":true}", 2, ROW_IMMEDIATE, NOW);
        r = take(f, 1);
        assert_int_equal(r.error, 0);
        assert_int_equal(r.rows, 2);
        assert_int_equal(r.points, 3);
        assert_true(r.immediate);
        assert_int_equal(r.first_ns, NOW - 5);
        expect_row(f, 1, "{\"a\":1}");
        expect_row(f, 2, "{\"a\":2,\"b\":true}");
        assert_int_equal(spool_stats(f->spool).made_points, 3);
}

static void bad_rows_become_a_gap(void **state) {
        Fixture *f = *state;
        IntakeResult r;

        add(f, "{\"a\":NaN}", 1, 0, NOW);
        add(f, "{\"a\":1e400}", 1, 0, NOW);
        add(f, "{\"ts\":1}", 1, 0, NOW);
        add(f, "{}", 1, 0, NOW);
        add(f, "{\"a\":1}", 1, 0, NOW + 24 * 3600 * NSEC_PER_SEC);
        add(f, "{\"a\":3}", 1, 0, NOW);
        r = take(f, 1);
        assert_int_equal(r.refused_rows, 5);
        assert_int_equal(r.rows, 1);
        expect_row(f, 1, "{\"a\":3}");
        expect_gap(f, 5, "not a valid row");
}

static void points_are_counted_here_not_believed(void **state) {
        Fixture *f = *state;

        add(f, "{\"a\":1,\"b\":2,\"c\":3}", 1, 0, NOW);
        assert_int_equal(take(f, 1).points, 3);
        assert_int_equal(spool_stats(f->spool).made_points, 3);
}

static void foreign_keys_are_cut_out(void **state) {
        Fixture *f = *state;
        IntakeResult r;

        add(f, "{\"mine\":1,\"both\":1}", 2, 0, NOW);
        take(f, 1);
        add(f, "{\"both\":2,\"other\":\"x,}\",\"mine\":{\"k\":[1]}}", 3, 0, NOW);
        add(f, "{\"both\":3}", 1, 0, NOW);
        r = take(f, 2);
        assert_int_equal(r.foreign_points, 3);
        assert_int_equal(r.foreign_owner, 1);
        assert_int_equal(r.rows, 1);
        assert_int_equal(r.points, 1);
        expect_row(f, 2, "{\"other\":\"x,}\"}");
        assert_int_equal(spool_stats(f->spool).next_seq, 3);
        expect_gap(f, 3, "key of another instance");
}

static void keys_of_the_daemon_are_cut_out(void **state) {
        Fixture *f = *state;
        KeysConflict with;
        IntakeResult r;

        assert_int_equal(keys_reserve(f->keys, "boiler", 1, "a.conf", 1, &with), 0);
        add(f, "{\"boiler\":1,\"boiler_ok\":false,\"boiler_time\":3}", 3, 0, NOW);
        r = take(f, 1);
        assert_int_equal(r.foreign_points, 2);
        assert_int_equal(r.foreign_owner, KEYS_AGENT);
        assert_int_equal(r.points, 1);
        expect_row(f, 1, "{\"boiler\":1}");
        expect_gap(f, 2, "key of the daemon itself");
}

static void a_damaged_frame_keeps_what_came_before(void **state) {
        Fixture *f = *state;
        IntakeResult r;

        add(f, "{\"a\":1}", 1, 0, NOW);
        memset(f->data + f->size, 0xff, 40);
        f->size += 40;
        r = take(f, 1);
        assert_true(r.error < 0);
        assert_int_equal(r.rows, 1);
}

static void the_daemons_own_row(void **state) {
        static const Value no = { .type = VALUE_BOOL }, text = { .type = VALUE_STRING, .s = { "estimated", 9 } };
        Fixture *f = *state;
        Row row;

        assert_int_equal(intake_own(f->spool, NOW, "boiler_ok", &no, ROW_IMMEDIATE), 0);
        assert_int_equal(intake_own(f->spool, NOW - 5, "boiler_time", &text, ROW_ESTIMATED), 0);
        row = expect_row(f, 1, "{\"boiler_ok\":false}").row;
        assert_int_equal(row.flags, ROW_IMMEDIATE);
        row = expect_row(f, 2, "{\"boiler_time\":\"estimated\"}").row;
        assert_int_equal(row.flags, ROW_ESTIMATED);
        assert_int_equal(row.boottime_ns, NOW - 5);
        assert_int_equal(spool_stats(f->spool).made_points, 1); /* a mark of the time is none */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(good_rows_are_copied, setup, teardown),
                cmocka_unit_test_setup_teardown(bad_rows_become_a_gap, setup, teardown),
                cmocka_unit_test_setup_teardown(points_are_counted_here_not_believed, setup, teardown),
                cmocka_unit_test_setup_teardown(foreign_keys_are_cut_out, setup, teardown),
                cmocka_unit_test_setup_teardown(keys_of_the_daemon_are_cut_out, setup, teardown),
                cmocka_unit_test_setup_teardown(a_damaged_frame_keeps_what_came_before, setup, teardown),
                cmocka_unit_test_setup_teardown(the_daemons_own_row, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
