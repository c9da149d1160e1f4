/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "spool/ring-file.h"

#include "ring-fixture.h"

#define SIZE (16 * KIB)
#define CELL 5u

/* A ring that went round, with a few dozen rows in both parts. */
typedef struct Sample {
        uint8_t *bytes;
        size_t size;
        uint64_t digest, first, next;
        RingState state;
} Sample;

static void sample_make(const RingFixture *f, Sample *s) {
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");
        const RingTop *top;

        while (put(r, CELL) == 0)
                ;
        take(r, ring_next(r) - 10, -1);
        put_many(r, 8);
        s->digest = digest_of(r);
        s->first = ring_first(r);
        s->next = ring_next(r);
        ring_free(r);
        s->bytes = slurp(f->path, &s->size);
        top = &((const RingHeader *)s->bytes)->top;
        s->state = top->states[top->generation % 2];
        assert_true(s->state.wrap > s->state.tail && s->state.head > 0);
        assert_int_equal(s->size, sizeof(RingHeader) + SIZE);
}

static void expect_set_aside(const RingFixture *f, const char *text) {
        char bad[80];
        Ring *r;

        snprintf(bad, sizeof(bad), "%s.bad", f->path);
        unlink(bad);
        r = must_open(f->path, SIZE, RING_SET_ASIDE, text);
        assert_int_equal(ring_first(r), 1);
        assert_int_equal(ring_next(r), 1);
        assert_int_equal(access(bad, F_OK), 0);
        ring_free(r);
        assert_int_equal(unlink(f->path), 0);
}

/* The damaged record and nothing else is gone, and is counted, each time until something was changed. */
static void expect_lost(const RingFixture *f, const Sample *s, uint64_t lost) {
        for (unsigned turn = 0; turn < 3; turn++) {
                RingOpened opened;
                Record record;
                Ring *r;

                assert_int_equal(ring_open(&r, &(RingParams){ .path = f->path, .size = SIZE }, &opened), 0);
                assert_int_equal(opened.how, RING_KEPT);
                assert_int_equal(opened.lost_rows, turn < 2);
                assert_int_equal(opened.lost_points, turn < 2 ? points_of(lost) : 0);
                assert_int_equal(opened.text[0] != 0, turn < 2);
                assert_int_equal(ring_next(r), s->next);
                for (uint64_t seq = s->first; seq < s->next; seq++)
                        assert_int_equal(ring_read(r, seq, &record), seq == lost ? -ENOENT : 0);
                assert_null(fault_of(r, points_of(lost)));
                if (turn == 1)
                        ring_release(r, 0, ring_ledger(r), NULL);
                ring_free(r);
        }
}

static void expect_cell_wiped(const RingFixture *f) {
        static const uint8_t zeros[RING_CELL_SIZE];
        Ring *r = must_open(f->path, SIZE, RING_KEPT, "1 damaged entries");

        assert_memory_equal(ring_cell(r, CELL), zeros, sizeof(zeros));
        assert_string_equal(fault_of(r, 0), "cells do not add up");
        ring_free(r);
}

static void expect_untouched(const RingFixture *f, const Sample *s) {
        Ring *r = must_open(f->path, SIZE, RING_KEPT, "");

        assert_true(digest_of(r) == s->digest);
        ring_free(r);
}

/* The number of the row whose record holds this byte of the file; 0: none. */
static uint64_t row_at(const Sample *s, size_t byte) {
        size_t at = s->state.tail;

        for (uint64_t seq = s->first; seq < s->next; seq++) {
                Row row = row_of(seq);
                size_t size = record_size(&row);

                if (s->state.wrap - at == 0)
                        at = 0;
                if (byte >= sizeof(RingHeader) + at && byte < sizeof(RingHeader) + at + size)
                        return seq;
                at += size;
        }
        return 0;
}

static void expect_after_flip(const RingFixture *f, const Sample *s, size_t byte) {
        const RingTop *top = &((const RingHeader *)s->bytes)->top;
        size_t state = offsetof(RingTop, states) + top->generation % 2 * sizeof(RingState);
        size_t cell = offsetof(RingHeader, cells[CELL]) + (s->state.cells[0] >> CELL & 1) * sizeof(RingCell);
        uint64_t row = row_at(s, byte);

        if (byte < 8)
                expect_set_aside(f, "not the file of a ring");
        else if (byte < 12)
                expect_set_aside(f, "of version");
        else if (byte < 32)
                expect_set_aside(f, "header is damaged");
        else if (byte < 36 || (byte >= state && byte < state + sizeof(RingState)))
                expect_set_aside(f, "state is damaged");
        else if (byte >= cell && byte < cell + sizeof(RingCell))
                expect_cell_wiped(f);
        else if (row > 0)
                expect_lost(f, s, row);
        else
                expect_untouched(f, s);
}

static bool is_tried(const Sample *s, size_t byte) {
        size_t cells = offsetof(RingHeader, cells), chosen = offsetof(RingHeader, cells[CELL]);

        if (byte < sizeof(RingTop) || row_at(s, byte) > 0)
                return true;
        if (byte >= chosen && byte < chosen + 2 * sizeof(RingCell))
                return true;
        if (byte >= cells && byte < sizeof(RingHeader)) /* the other cells: every second copy is in use */
                return false;
        return byte % 61 == 0;
}

/* Every byte of what is in use, and some of the rest. */
static void test_every_byte(void **state) {
        RingFixture *f = *state;
        unsigned n = 0;
        Sample s;

        sample_make(f, &s);
        for (size_t byte = 0; byte < s.size; byte++) {
                if (!is_tried(&s, byte))
                        continue;
                s.bytes[byte] ^= (uint8_t)(1 << byte % 8);
                spit(f->path, s.bytes, s.size);
                s.bytes[byte] ^= (uint8_t)(1 << byte % 8);
                expect_after_flip(f, &s, byte);
                n++;
        }
        print_message("# %u bytes flipped\n", n);
        free(s.bytes);
}

static void test_every_length(void **state) {
        RingFixture *f = *state;
        Sample s;
        uint8_t *longer;

        sample_make(f, &s);
        for (size_t size = 0; size < s.size; size += size < 1200 || s.size - size < 300 ? 1 : 127) {
                spit(f->path, s.bytes, size);
                expect_set_aside(f, "cut short");
        }
        longer = calloc(1, s.size + 1);
        assert_non_null(longer);
        memcpy(longer, s.bytes, s.size);
        spit(f->path, longer, s.size + 1);
        expect_set_aside(f, "too long");
        free(longer);
        free(s.bytes);
}

/* Whatever is damaged of the records: what is left is right and what is not is counted. */
static void test_many_bytes(void **state) {
        RingFixture *f = *state;
        uint32_t random = 1;
        Sample s;

        sample_make(f, &s);
        for (unsigned turn = 0; turn < 400; turn++) {
                uint8_t *bytes = malloc(s.size);
                RingOpened opened;
                uint64_t rows = 0;
                Record record;
                Ring *r;

                assert_non_null(bytes);
                memcpy(bytes, s.bytes, s.size);
                for (unsigned i = 0; i < turn; i++) {
                        random = random * 1664525 + 1013904223;
                        bytes[sizeof(RingHeader) + (random >> 8) % SIZE] = (uint8_t)(random >> 3);
                }
                spit(f->path, bytes, s.size);
                free(bytes);
                assert_int_equal(ring_open(&r, &(RingParams){ .path = f->path, .size = SIZE }, &opened), 0);
                assert_int_equal(opened.how, RING_KEPT);
                assert_int_equal(ring_next(r), s.next);
                for (uint64_t seq = ring_first(r); seq < ring_next(r); seq++)
                        rows += ring_read(r, seq, &record) == 0;
                assert_int_equal(rows + opened.lost_rows, s.next - s.first);
                assert_null(fault_of(r, opened.lost_points));
                while (put(r, -1) == 0) /* it is as good as any */
                        ;
                take(r, ring_next(r) - 3, -1);
                put_many(r, 5);
                assert_null(fault_of(r, opened.lost_points));
                ring_free(r);
        }
        free(s.bytes);
}

/* Nothing but noise where the rows were: an empty ring that goes on with the next number. */
static void test_no_row_left(void **state) {
        RingFixture *f = *state;
        RingOpened opened;
        Sample s;
        Ring *r;

        sample_make(f, &s);
        memset(s.bytes + sizeof(RingHeader), 0x5a, SIZE);
        for (size_t size = SIZE; size <= 2 * SIZE; size += SIZE) {
                spit(f->path, s.bytes, s.size);
                assert_int_equal(ring_open(&r, &(RingParams){ .path = f->path, .size = size }, &opened), 0);
                assert_int_equal(opened.how, RING_KEPT);
                assert_int_equal(opened.lost_rows, s.next - s.first);
                assert_int_equal(opened.lost_points, s.state.points);
                assert_int_equal(ring_size(r), size);
                assert_int_equal(ring_first(r), s.next);
                assert_int_equal(ring_next(r), s.next);
                assert_int_equal(ring_used(r), 0);
                put_many(r, 30);
                assert_null(fault_of(r, opened.lost_points));
                ring_free(r);
        }
        free(s.bytes);
}

/* Damage and another size at once. */
static void test_damaged_and_resized(void **state) {
        RingFixture *f = *state;
        const RingHeader *header;
        RingOpened opened;
        Sample s;
        uint64_t lost;
        Ring *r;

        sample_make(f, &s);
        header = (const RingHeader *)s.bytes;
        s.bytes[(size_t)(header->records - s.bytes) + s.state.tail + 300] ^= 1;
        lost = row_at(&s, sizeof(RingHeader) + s.state.tail + 300);
        spit(f->path, s.bytes, s.size);
        for (unsigned turn = 0; turn < 2; turn++) {
                Record record;

                assert_int_equal(ring_open(&r, &(RingParams){ .path = f->path, .size = 2 * SIZE }, &opened), 0);
                assert_int_equal(opened.lost_rows, 1);
                assert_int_equal(opened.lost_points, points_of(lost));
                for (uint64_t seq = s.first; seq < s.next; seq++)
                        assert_int_equal(ring_read(r, seq, &record), seq == lost ? -ENOENT : 0);
                if (turn == 1)
                        take(r, lost - 1, -1); /* what follows cannot be read and goes along */
                ring_free(r);
        }
        r = must_open(f->path, 2 * SIZE, RING_KEPT, "");
        assert_int_equal(ring_first(r), lost + 1);
        assert_null(fault_of(r, points_of(lost)));
        ring_free(r);
        free(s.bytes);
}

/* ---- a state with a right checksum that cannot be */

static size_t row_size(uint64_t seq) {
        Row row = row_of(seq);

        return record_size(&row);
}

static void spit_state(const RingFixture *f, const Sample *s, const RingState *state) {
        RingHeader *h = (RingHeader *)s->bytes;
        RingState *held = &h->top.states[h->top.generation % 2], old = *held;

        *held = *state;
        held->check = XXH3_64bits(&held->generation, sizeof(*held) - offsetof(RingState, generation));
        spit(f->path, s->bytes, s->size);
        *held = old;
}

static void test_lies(void **state) {
        RingFixture *f = *state;
        Sample s;

        sample_make(f, &s);
#define LIE(field, value)                                               \
        do {                                                            \
                RingState lie = s.state;                                \
                lie.field = (value);                                    \
                spit_state(f, &s, &lie);                                \
                expect_set_aside(f, "contradict");                      \
        } while (0)
        LIE(head, s.state.head + 1);
        LIE(head, SIZE + 8);
        LIE(head, s.state.tail + 8);
        LIE(head, UINT64_MAX - 7);
        LIE(tail, s.state.tail + 4);
        LIE(tail, SIZE);
        LIE(tail, UINT64_MAX - 7);
        LIE(wrap, 0);
        LIE(wrap, SIZE + 8);
        LIE(wrap, s.state.wrap - 1);
        LIE(wrap, s.state.tail);
        LIE(wrap, UINT64_MAX - 7);
        LIE(first, s.state.next + 1);
        LIE(first, s.state.next);
        LIE(next, UINT64_MAX);
        LIE(next, s.state.next + 1);
        LIE(next, s.state.next + (1ull << 40));
        LIE(next, s.state.first);
        LIE(head, s.state.head - row_size(s.next - 1)); /* one number more than rows */
        LIE(next, s.state.next - 1); /* and one less */
#undef LIE
        free(s.bytes);
}

/* Counts that are too large or too small: what can be told is told, nothing is below zero. */
static void test_wrong_counts(void **state) {
        RingFixture *f = *state;
        RingState lie;
        RingOpened opened;
        Sample s;
        Ring *r;

        sample_make(f, &s);
        lie = s.state;
        lie.rows += 3;
        lie.points += 10;
        spit_state(f, &s, &lie);
        assert_int_equal(ring_open(&r, &(RingParams){ .path = f->path, .size = SIZE }, &opened), 0);
        assert_int_equal(opened.lost_rows, 3);
        assert_int_equal(opened.lost_points, 10);
        assert_whole(r);
        ring_free(r);
        lie.rows = lie.points = 0;
        spit_state(f, &s, &lie);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        assert_whole(r);
        take(r, UINT64_MAX, -1);
        ring_free(r);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        ring_free(r);
        free(s.bytes);
}

/* ---- what is no ring of ours */

static void test_newer_version(void **state) {
        RingFixture *f = *state;
        RingHeader *h;
        Sample s;
        char bad[80];
        uint8_t *kept;
        size_t size;

        sample_make(f, &s);
        h = (RingHeader *)s.bytes;
        h->top.version = 2;
        for (unsigned turn = 0; turn < 2; turn++) {
                spit(f->path, s.bytes, s.size);
                expect_set_aside(f, "version 2 ");
                h->top.check = XXH3_64bits(h, offsetof(RingTop, check));
        }
        snprintf(bad, sizeof(bad), "%s.bad", f->path); /* whole, for the version that knows it */
        kept = slurp(bad, &size);
        assert_int_equal(size, s.size);
        assert_memory_equal(kept, s.bytes, s.size);
        free(kept);
        free(s.bytes);
}

static void test_readonly_says_why(void **state) {
        RingFixture *f = *state;
        RingOpened opened = { .how = RING_NEW };
        Sample s;
        Ring *r = NULL;

        assert_int_equal(ring_open_readonly(&r, f->path, &opened), -ENOENT);
        sample_make(f, &s);
        s.bytes[64 + 20] ^= 1;
        s.bytes[64 + sizeof(RingState) + 20] ^= 1;
        spit(f->path, s.bytes, s.size);
        assert_int_equal(ring_open_readonly(&r, f->path, &opened), -EBADMSG);
        assert_string_equal(opened.text, "its state is damaged");
        spit(f->path, s.bytes, 100);
        assert_int_equal(ring_open_readonly(&r, f->path, &opened), -EBADMSG);
        assert_string_equal(opened.text, "it is cut short");
        assert_null(r);
        assert_int_equal(access(f->path, F_OK), 0);
        free(s.bytes);
}

static void test_other_things(void **state) {
        RingFixture *f = *state;
        char target[80];
        struct stat st;

        snprintf(target, sizeof(target), "%s-target", f->path);
        spit(target, "x", 1);
        assert_int_equal(symlink(target, f->path), 0);
        expect_set_aside(f, "no regular file");
        assert_int_equal(stat(target, &st), 0);
        assert_int_equal(st.st_size, 1);
        assert_int_equal(mkfifo(f->path, 0600), 0);
        expect_set_aside(f, "no regular file");
        assert_int_equal(mkdir(f->path, 0700), 0);
        expect_set_aside(f, "no regular file");
}

/* A copy of a file has no blocks where there are zeros: there is room for all of it before it is used. */
static void test_sparse(void **state) {
        RingFixture *f = *state;
        struct stat st;
        Ring *r = must_open(f->path, 256 * KIB, RING_NEW, "");
        int fd;

        ring_free(r);
        fd = open(f->path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, sizeof(RingHeader) + 4096), 0);
        assert_int_equal(ftruncate(fd, sizeof(RingHeader) + 256 * KIB), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_blocks * 512 < st.st_size);
        r = must_open(f->path, 256 * KIB, RING_KEPT, "");
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_blocks * 512 >= st.st_size);
        close(fd);
        ring_free(r);
}

int main(void) {
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        static const struct CMUnitTest tests[] = {
                WITH_FOLDER(test_every_byte),
                WITH_FOLDER(test_every_length),
                WITH_FOLDER(test_many_bytes),
                WITH_FOLDER(test_no_row_left),
                WITH_FOLDER(test_damaged_and_resized),
                WITH_FOLDER(test_lies),
                WITH_FOLDER(test_wrong_counts),
                WITH_FOLDER(test_newer_version),
                WITH_FOLDER(test_readonly_says_why),
                WITH_FOLDER(test_other_things),
                WITH_FOLDER(test_sparse),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
