/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a ring: opened, walked, changed and opened again. The first byte tells how it is written:
 *      1  checksums and what never changes are put right, so that the rest is looked at
 *      2  only the top and the records stand in the input, the cells are empty
 *      4  it is opened with another size */
#include <assert.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/file.h"
#include "spool/ring-file.h"
#include "spool/ring.h"

#define SIZE RING_SIZE_MIN
#define FILE_MAX (4 * SIZE + sizeof(RingHeader))

static char in_memory[] = "/dev/shm/tbagent-fuzz-XXXXXX", on_disk[] = "/tmp/tbagent-fuzz-XXXXXX", path[64], bad[80];
static const char *dir;

static void clean_up(void) {
        unlink(path);
        unlink(bad);
        rmdir(dir);
}

static void make_folder(void) {
        if (*path)
                return;
        dir = mkdtemp(in_memory) ?: mkdtemp(on_disk);
        if (!dir)
                abort();
        snprintf(path, sizeof(path), "%s/ring", dir);
        snprintf(bad, sizeof(bad), "%s.bad", path);
        atexit(clean_up);
}

/* ---- the file */

static void put_cells_right(RingHeader *h) {
        for (unsigned i = 0; i < RING_CELLS; i++)
                for (unsigned copy = 0; copy < 2; copy++)
                        h->cells[i][copy].check = XXH3_64bits(h->cells[i][copy].data, RING_CELL_SIZE);
}

static void put_records_right(uint8_t *records, size_t at) {
        while (at % RECORD_ALIGN == 0 && at < SIZE && SIZE - at >= RECORD_HEADER_SIZE) {
                const uint8_t *p = records + at;
                size_t total = RECORD_HEADER_SIZE + p[4] + 256u * p[5] + p[6];
                uint32_t check;

                total = (total + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
                if (total > SIZE - at)
                        return;
                check = htole32((uint32_t)XXH3_64bits(p + sizeof(check), total - sizeof(check)));
                memcpy(records + at, &check, sizeof(check));
                at += total;
        }
}

static void put_right(RingHeader *h) {
        RingState *held = &h->top.states[h->top.generation % 2];

        h->top.magic = RING_MAGIC;
        h->top.version = RING_VERSION;
        h->top.header_size = sizeof(*h);
        h->top.size = SIZE;
        h->top.check = XXH3_64bits(h, offsetof(RingTop, check));
        put_cells_right(h);
        put_records_right(h->records, 0);
        put_records_right(h->records, held->tail);
        held->generation = h->top.generation;
        held->check = XXH3_64bits(&held->generation, sizeof(*held) - offsetof(RingState, generation));
}

static void write_file(const uint8_t *data, size_t size, unsigned how) {
        RingHeader *h = calloc(1, FILE_MAX);
        _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        size_t total = sizeof(*h) + SIZE, top = MIN(size, sizeof(RingTop));

        if (!h || fd < 0)
                abort();
        if (how & 2) {
                memcpy(h, data, top);
                memcpy(h->records, data + top, MIN(size - top, SIZE));
                put_cells_right(h);
        } else {
                total = MIN(size, FILE_MAX);
                memcpy(h, data, total);
        }
        if (how & 1) {
                total = sizeof(*h) + SIZE;
                put_right(h);
        }
        if (file_write_all(fd, h, total) < 0)
                abort();
        free(h);
}

/* ---- what is in it */

static bool has_holes(const Ring *r) {
        Record record;

        for (uint64_t seq = ring_first(r); seq < ring_next(r); seq++)
                if (ring_read(r, seq, &record) < 0)
                        return true;
        return false;
}

static uint64_t walk(const Ring *r) {
        uint64_t digest = XXH3_64bits(ring_ledger(r), sizeof(RingLedger));
        size_t bytes = 0;
        Record record;

        assert(ring_first(r) <= ring_next(r) && ring_used(r) <= ring_size(r));
        assert(ring_next(r) - ring_first(r) <= ring_used(r) / (RECORD_HEADER_SIZE + 8));
        for (unsigned i = 0; i < RING_CELLS; i++)
                digest = XXH3_64bits_withSeed(ring_cell(r, i), RING_CELL_SIZE, digest);
        for (uint64_t seq = ring_first(r); seq < ring_next(r); seq++) {
                assert(ring_note((Ring *)r, seq));
                if (ring_read(r, seq, &record) < 0)
                        continue;
                assert(record.seq == seq);
                bytes += record_size(&record.row);
                digest = XXH3_64bits_withSeed(record.row.text, record.row.text_size, digest + seq + record.era);
        }
        assert(bytes <= ring_used(r));
        assert(ring_read(r, ring_next(r), &record) == -ENOENT && !ring_note((Ring *)r, ring_next(r)));
        return digest;
}

static void change(Ring *r) {
        Row row = { .text = "{\"a\":1}", .text_size = 7, .device = "", .points = 1 };
        RingLedger ledger = { .made_points = 3 };
        uint64_t seq, next = ring_next(r);

        while (!ring_fits(r, &row))
                ring_release(r, ring_first(r), NULL, NULL);
        for (unsigned i = 0; i < 4; i++)
                if (ring_fits(r, &row)) {
                        assert(ring_append(r, &row, i, &ledger, &(RingChange){ .cell = i, .data = &i, .size = 4 }, &seq) == 0);
                        assert(seq == next++);
                } else
                        assert(ring_append(r, &row, i, &ledger, NULL, &seq) == -ENOSPC);
        ring_release(r, ring_first(r) + 1, NULL, NULL);
}

static Ring *reopen(Ring *r, size_t size, RingOpened *opened) {
        ring_free(r);
        if (ring_open(&r, &(RingParams){ .path = path, .size = size, .first_seq = 1 }, opened) < 0)
                abort();
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t wanted = size > 0 && data[0] & 4 ? SIZE + 4096 : SIZE;
        Ring *r = NULL, *copy;
        RingOpened opened, again;
        uint64_t digest;
        bool holes;

        if (size == 0)
                return 0;
        make_folder();
        write_file(data + 1, size - 1, data[0]);
        r = reopen(NULL, wanted, &opened);
        digest = walk(r);
        assert(opened.how != RING_NEW && (opened.how == RING_KEPT || (opened.lost_rows == 0 && opened.text[0])));
        if (ring_open_readonly(&copy, path, &again) < 0)
                abort();
        assert(walk(copy) == digest && again.lost_points == opened.lost_points && again.lost_rows == opened.lost_rows);
        ring_free(copy);
        r = reopen(r, wanted, &again);
        assert(walk(r) == digest && again.how == RING_KEPT);
        assert(again.lost_points == opened.lost_points && again.lost_rows == opened.lost_rows);
        holes = has_holes(r);
        change(r);
        digest = walk(r);
        r = reopen(r, wanted, &again);
        if (holes) /* numbers that are possible now may be forged in what was skipped */
                walk(r);
        else
                assert(walk(r) == digest && again.lost_points == 0 && again.lost_rows == 0);
        ring_free(r);
        return 0;
}
