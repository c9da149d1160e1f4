/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <xxhash.h>

#include "base/file.h"

#include "ring-fixture.h"
#include "tree.h"

int fixture_setup(void **state) {
        RingFixture *f = calloc(1, sizeof(*f));
        char dir[] = "/dev/shm/tbagent-test-XXXXXX";

        assert_non_null(f);
        f->dir = mkdtemp(dir) ? strdup(dir) : tree_new();
        assert_non_null(f->dir);
        assert_true(snprintf(f->path, sizeof(f->path), "%s/ring", f->dir) < (int)sizeof(f->path));
        *state = f;
        return 0;
}

int fixture_teardown(void **state) {
        RingFixture *f = *state;

        tree_free(f->dir);
        free(f);
        return 0;
}

Ring *must_open(const char *path, size_t size, int how, const char *text) {
        RingOpened opened = { .how = -1 };
        Ring *r = NULL;

        assert_int_equal(ring_open(&r, &(RingParams){ .path = path, .size = size, .first_seq = 1 }, &opened), 0);
        assert_int_equal(opened.how, how);
        if (*text == 0)
                assert_string_equal(opened.text, "");
        else
                assert_non_null(strstr(opened.text, text));
        return r;
}

/* ---- rows */

static uint64_t mixed(uint64_t seq) {
        return XXH3_64bits(&seq, sizeof(seq));
}

/* Written by hand, because a test goes through it instruction by instruction. */
Row row_of(uint64_t seq) {
        static char text[256];
        size_t zeros = mixed(seq) % 180;
        char *p = mempcpy(text, "{\"k\":\"", 6);

        for (unsigned shift = 64; shift > 0; shift -= 4)
                *p++ = "0123456789abcdef"[seq >> (shift - 4) & 15];
        memset(p, '0', zeros);
        p = mempcpy(p + zeros, "\"}", 2);
        return (Row){
                .boottime_ns = (int64_t)seq * 1000 - 5000,
                .points = 1 + seq % 7,
                .flags = seq % 13 == 0 ? ROW_GAP : seq % 4,
                .device = seq % 5 == 0 ? "pump" : "",
                .device_size = seq % 5 == 0 ? 4 : 0,
                .text = text,
                .text_size = (size_t)(p - text),
        };
}

uint32_t points_of(uint64_t seq) {
        return seq % 13 == 0 ? 0 : 1 + seq % 7;
}

static uint64_t counter_in(const Ring *r, unsigned cell) {
        uint64_t n;

        memcpy(&n, ring_cell(r, cell), sizeof(n));
        return n;
}

int put(Ring *r, int cell) {
        uint64_t counter = cell < 0 ? 0 : counter_in(r, (unsigned)cell) + 1, seq = 0, expected = ring_next(r);
        RingChange change = { .cell = (unsigned)cell, .data = &counter, .size = sizeof(counter) };
        RingLedger ledger = *ring_ledger(r);
        Row row = row_of(expected);
        int e;

        ledger.made_points += points_of(expected);
        ledger.spare[0] += cell >= 0;
        e = ring_append(r, &row, (uint32_t)(expected % 3), &ledger, cell < 0 ? NULL : &change, &seq);
        if (e == 0 && seq != expected)
                abort();
        return e;
}

void put_many(Ring *r, unsigned n) {
        while (n-- > 0)
                assert_int_equal(put(r, -1), 0);
}

void take(Ring *r, uint64_t last, int cell) {
        uint64_t counter = cell < 0 ? 0 : counter_in(r, (unsigned)cell) + 1;
        RingChange change = { .cell = (unsigned)cell, .data = &counter, .size = sizeof(counter) };
        RingLedger ledger = *ring_ledger(r);
        Record record;

        for (uint64_t seq = ring_first(r); seq < ring_next(r) && seq <= last; seq++)
                if (ring_read(r, seq, &record) == 0)
                        ledger.acked_points += points_of(seq);
        ledger.spare[0] += cell >= 0;
        ring_release(r, last, &ledger, cell < 0 ? NULL : &change);
}

/* ---- checks */

static bool row_is_right(const Record *r, uint64_t seq) {
        Row row = row_of(seq);

        return r->seq == seq && r->era == seq % 3 && r->row.boottime_ns == row.boottime_ns && r->row.points == row.points &&
               r->row.flags == row.flags && r->row.device_size == row.device_size && r->row.text_size == row.text_size &&
               memcmp(r->row.device, row.device, row.device_size) == 0 && memcmp(r->row.text, row.text, row.text_size) == 0;
}

const char *fault_of(const Ring *r, uint64_t lost_points) {
        const RingLedger *ledger = ring_ledger(r);
        uint64_t points = 0, counted = 0;
        size_t used = 0;
        bool holes = false;
        Record record;

        for (uint64_t seq = ring_first(r); seq < ring_next(r); seq++) {
                if (ring_read(r, seq, &record) < 0) {
                        holes = true;
                        continue;
                }
                if (!row_is_right(&record, seq))
                        return "a row is not what it was";
                points += points_of(seq);
                used += record_size(&record.row);
        }
        for (unsigned i = 0; i < RING_CELLS; i++)
                counted += counter_in(r, i);
        if (!holes && used != ring_used(r))
                return "bytes do not add up";
        if (points + ledger->acked_points + lost_points != ledger->made_points)
                return "points do not add up";
        return counted != ledger->spare[0] ? "cells do not add up" : NULL;
}

uint64_t digest_of(const Ring *r) {
        const uint64_t numbers[] = { ring_first(r), ring_next(r), ring_used(r) };
        uint64_t digest = XXH3_64bits_withSeed(numbers, sizeof(numbers), 0);
        Record record;

        digest = XXH3_64bits_withSeed(ring_ledger(r), sizeof(RingLedger), digest);
        for (unsigned i = 0; i < RING_CELLS; i++)
                digest = XXH3_64bits_withSeed(ring_cell(r, i), RING_CELL_SIZE, digest);
        for (uint64_t seq = ring_first(r); seq < ring_next(r); seq++)
                digest += ring_read(r, seq, &record) == 0 && row_is_right(&record, seq) ? mixed(seq) : 1;
        return digest;
}

/* ---- files */

void *slurp(const char *path, size_t *ret_size) {
        char *data = NULL;

        assert_int_equal(file_read(path, 64 * MIB, &data, ret_size), 0);
        return data;
}

void spit(const char *path, const void *data, size_t size) {
        _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(file_write_all(fd, data, size), 0);
}
