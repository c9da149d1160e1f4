/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <xxhash.h>
#include <zstd.h>

#include <cmocka.h>

#include "spool/pack.h"
#include "store-fixture.h"

#define HEADER SEGMENT_BLOCK_HEADER_SIZE

/* A file of blocks in memory. */
typedef struct File {
        int fd;
        uint64_t end;
        uint64_t starts[8];
        unsigned n;
} File;

static int setup(void **state) {
        File *f = calloc(1, sizeof(*f));

        f->fd = memfd_create("segment", MFD_CLOEXEC);
        assert_true(f->fd >= 0);
        f->end = SEGMENT_HEAD_SIZE;
        assert_int_equal(segment_write_head(f->fd, 1, 0), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        File *f = *state;

        close(f->fd);
        free(f);
        return 0;
}

static int build(const StoreBlock *b, SegmentBlock *ret, uint8_t **ret_bytes) {
        *ret = (SegmentBlock){ .first = b->first, .last = b->last, .rows = b->rows, .points = b->points, .era = b->era,
                               .raw_size = (uint32_t)b->size };
        return segment_build(ret, b->records, ret_bytes);
}

static void add(File *f, uint64_t first, uint64_t last, unsigned noise) {
        StoreBlock b = block_with(first, last, 1, noise, &fixture_era);
        _cleanup_(freep) uint8_t *bytes = NULL;
        SegmentBlock built;

        assert_int_equal(build(&b, &built, &bytes), 0);
        assert_int_equal(segment_write(f->fd, f->end, bytes, built.end), 0);
        f->starts[f->n++] = f->end;
        f->end += built.end;
        block_done(&b);
}

static void flip(const File *f, uint64_t at) {
        uint8_t byte;

        assert_int_equal(segment_read(f->fd, at, &byte, 1), 0);
        byte ^= 0x40;
        assert_int_equal(segment_write(f->fd, at, &byte, 1), 0);
}

static unsigned read_all(const File *f, SegmentBlock blocks[static 16]) {
        SegmentReader reader;
        unsigned n = 0;

        segment_reader_init(&reader, f->fd, 0, f->end);
        while (n < 16 && segment_next(&reader, &blocks[n]) > 0) {
                assert_int_equal(blocks[n].at, n == 0 ? SEGMENT_HEAD_SIZE : blocks[n - 1].end);
                n++;
        }
        assert_int_equal(blocks[n - 1].end, f->end);
        return n;
}

static void test_names(_unused_ void **state) {
        static const char *const wrong[] = { "", "1.seg", "0000000000000001.SEG", "000000000000000A.seg", "0000000000000001.seg.bad",
                                             "0000000000000000.seg", "8000000000000000.seg", " 000000000000001.seg", "-000000000000001.seg",
                                             "0x00000000000001.seg" };
        char name[SEGMENT_NAME_SIZE];
        uint64_t n;

        segment_name(name, 0x1234abcd);
        assert_string_equal(name, "000000001234abcd.seg");
        assert_true(segment_name_parse(name, &n));
        assert_int_equal(n, 0x1234abcd);
        assert_true(segment_name_parse("7fffffffffffffff.seg", &n));
        for (unsigned i = 0; i < ELEMENTS(wrong); i++)
                assert_false(segment_name_parse(wrong[i], &n));
}

static void test_head(void **state) {
        File *f = *state;
        SegmentHead head;

        assert_int_equal(segment_write_head(f->fd, 77, 5), 0);
        assert_int_equal(segment_read_head(f->fd, &head), 0);
        assert_int_equal(head.first, 77);
        assert_int_equal(head.acked, 5);
        assert_int_equal(segment_write_position(f->fd, 77, 99), 0);
        assert_int_equal(segment_read_head(f->fd, &head), 0);
        assert_int_equal(head.acked, 99);
        for (unsigned at = 0; at < SEGMENT_HEAD_SIZE; at++) {
                flip(f, at);
                assert_int_equal(segment_read_head(f->fd, &head), 0);
                assert_true(head.damaged || (head.first == 77 && (head.acked == 99 || head.acked == 0)));
                assert_int_equal(head.damaged, at < 32);
                flip(f, at);
        }
        assert_int_equal(segment_write_position(f->fd, 78, 100), 0); /* of another file */
        assert_int_equal(segment_read_head(f->fd, &head), 0);
        assert_int_equal(head.acked, 0);
        assert_int_equal(ftruncate(f->fd, SEGMENT_HEAD_SIZE - 1), 0);
        assert_int_equal(segment_read_head(f->fd, &head), -ENODATA);
}

static void assert_loads(const File *f, const SegmentBlock *b, const StoreBlock *as) {
        _cleanup_(freep) uint8_t *records = NULL;

        assert_int_equal(b->state, BLOCK_WHOLE);
        assert_int_equal(segment_load(f->fd, b, &records), 0);
        assert_int_equal(b->raw_size, as->size);
        assert_memory_equal(records, as->records, as->size);
        assert_int_equal(b->first, as->first);
        assert_int_equal(b->last, as->last);
        assert_int_equal(b->points, as->points);
        assert_memory_equal(b->era.boot_id, as->era.boot_id, BOOT_ID_SIZE);
        assert_int_equal(b->era.offset_ms, as->era.offset_ms);
        assert_int_equal(b->era.quality, as->era.quality);
        assert_int_equal(b->from_ns, (int64_t)as->first * NSEC_PER_MSEC);
        assert_int_equal(b->to_ns, (int64_t)as->last * NSEC_PER_MSEC);
}

static void test_blocks(void **state) {
        File *f = *state;
        SegmentBlock blocks[16];

        add(f, 1, 1, 0);
        add(f, 5, 3000, 0);
        add(f, 3001, 3500, 300);
        assert_int_equal(read_all(f, blocks), 3);
        for (unsigned i = 0; i < 2; i++) {
                StoreBlock b = i == 0 ? block_of(1, 1, 1) : block_of(5, 3000, 1);

                assert_loads(f, &blocks[i], &b);
                block_done(&b);
        }
        /* a sensor's rows become a twentieth */
        assert_true(blocks[1].frame_size * 20 < blocks[1].raw_size);
        assert_true(blocks[2].packed_size < blocks[2].raw_size);
}

/* Everything that a record has comes back: devices, flags, times before boot, holes between the numbers. */
static void test_every_field(void **state) {
        File *f = *state;
        static char text[ROW_TEXT_MAX], device[ROW_DEVICE_MAX];
        uint8_t *records = malloc(8 * RECORD_SIZE_MAX);
        const Row rows[] = {
                { .boottime_ns = INT64_MIN, .points = 0, .flags = ROW_GAP, .text = text, .text_size = 2 },
                { .boottime_ns = INT64_MAX, .points = 1, .flags = ROW_ESTIMATED, .text = text, .text_size = 3, .device = device, .device_size = 1 },
                { .boottime_ns = -1, .points = ROW_KEYS_MAX, .flags = 15, .text = text, .text_size = ROW_TEXT_MAX, .device = device, .device_size = 255 },
                { .boottime_ns = 0, .points = 1, .text = text, .text_size = 127 },
                { .boottime_ns = 0, .points = 1, .text = text, .text_size = 128, .device = device, .device_size = 128 },
        };
        static const uint64_t seqs[] = { 1, 2, 1000, UINT64_MAX / 2, UINT64_MAX - 1 };
        StoreBlock b = { .first = 1, .last = UINT64_MAX - 1, .rows = ELEMENTS(rows), .points = 67, .records = records };
        _cleanup_(freep) uint8_t *bytes = NULL, *back = NULL;
        SegmentBlock built;

        for (unsigned i = 0; i < sizeof(text); i++)
                text[i] = (char)(i * 7 % 251);
        memset(device, 'd', sizeof(device));
        for (unsigned i = 0; i < ELEMENTS(rows); i++)
                b.size += record_write(records + b.size, seqs[i], i == 3 ? UINT32_MAX : 0, &rows[i]);
        assert_int_equal(build(&b, &built, &bytes), 0);
        assert_int_equal(built.from_ns, INT64_MIN);
        assert_int_equal(built.to_ns, INT64_MAX);
        assert_int_equal(segment_write(f->fd, 0, bytes, built.end), 0);
        assert_int_equal(segment_load(f->fd, &built, &back), 0);
        assert_memory_equal(back, records, b.size);
        block_done(&b);
}

static void test_refuses(_unused_ void **state) {
        StoreBlock b = block_of(1, 10, 1);
        uint8_t *bytes, *twice;
        SegmentBlock built;

        b.rows = 9;
        assert_int_equal(build(&b, &built, &bytes), -EBADMSG);
        b.rows = 11;
        assert_int_equal(build(&b, &built, &bytes), -EBADMSG);
        b.rows = UINT32_MAX;
        assert_int_equal(build(&b, &built, &bytes), -EBADMSG);
        b.rows = 0;
        assert_int_equal(build(&b, &built, &bytes), -EBADMSG);
        b.rows = 10;
        b.size -= RECORD_ALIGN;
        assert_int_equal(build(&b, &built, &bytes), -EBADMSG);
        b.size = SEGMENT_RAW_MAX + RECORD_ALIGN;
        assert_int_equal(build(&b, &built, &bytes), -E2BIG);
        block_done(&b);

        b = block_of(1, 10, 1); /* numbers that do not rise */
        twice = malloc(2 * b.size);
        memcpy(twice, b.records, b.size);
        memcpy(twice + b.size, b.records, b.size);
        block_done(&b);
        b.records = twice;
        b.rows = 20;
        b.size *= 2;
        assert_int_equal(build(&b, &built, &bytes), -EBADMSG);
        block_done(&b);
}

/* One header is enough; without both, the next block is found. */
static void test_damaged_headers(void **state) {
        File *f = *state;
        SegmentBlock blocks[16];

        add(f, 1, 10, 0);
        add(f, 11, 20, 900); /* longer than what is read at once */
        add(f, 21, 30, 0);
        flip(f, f->starts[1] + 20);
        assert_int_equal(read_all(f, blocks), 3);
        assert_int_equal(blocks[1].state, BLOCK_WHOLE);
        assert_int_equal(blocks[1].first, 11);
        flip(f, f->starts[2] - HEADER + 20);
        assert_int_equal(read_all(f, blocks), 3);
        assert_int_equal(blocks[1].state, BLOCK_UNREADABLE);
        assert_int_equal(blocks[2].first, 21);
        flip(f, f->starts[1] + 20);
        assert_int_equal(read_all(f, blocks), 3);
        assert_int_equal(blocks[1].first, 11);
        flip(f, f->starts[0]);
        flip(f, f->starts[1] - HEADER);
        assert_int_equal(read_all(f, blocks), 3);
        assert_int_equal(blocks[0].state, BLOCK_UNREADABLE);
        /* two neighbours */
        flip(f, f->starts[1]);
        assert_int_equal(read_all(f, blocks), 2);
        assert_int_equal(blocks[0].end, f->starts[2]);
        assert_int_equal(blocks[1].first, 21);
}

/* A header that is sound but stands where another one should. */
static void test_misplaced_header(void **state) {
        File *f = *state;
        SegmentBlock blocks[16];
        uint8_t header[HEADER];

        add(f, 1, 10, 0);
        add(f, 11, 20, 0);
        assert_int_equal(segment_read(f->fd, f->starts[1] - HEADER, header, HEADER), 0); /* from behind the first */
        assert_int_equal(segment_write(f->fd, f->starts[1], header, HEADER), 0);
        assert_int_equal(read_all(f, blocks), 2);
        assert_int_equal(blocks[0].first, 1);
        assert_int_equal(blocks[1].first, 11); /* its own, behind it */
}

static void test_torn(void **state) {
        File *f = *state;
        SegmentBlock blocks[16];
        uint8_t *records;

        add(f, 1, 10, 0);
        add(f, 11, 20, 0);
        f->end -= 8;
        assert_int_equal(read_all(f, blocks), 2);
        assert_int_equal(blocks[1].state, BLOCK_TORN);
        assert_int_equal(blocks[1].points, 10);
        assert_int_equal(segment_load(f->fd, &blocks[1], &records), -EBADMSG);
        f->end = f->starts[1] + HEADER - 1;
        assert_int_equal(read_all(f, blocks), 2);
        assert_int_equal(blocks[1].state, BLOCK_UNREADABLE);
}

static void test_file_shrinks(void **state) {
        File *f = *state;
        SegmentReader reader;
        SegmentBlock b;
        uint8_t *records;

        add(f, 1, 10, 0);
        add(f, 11, 20, 900);
        segment_reader_init(&reader, f->fd, 0, f->end);
        assert_int_equal(segment_next(&reader, &b), 1);
        assert_int_equal(ftruncate(f->fd, (off_t)f->starts[1] - 10), 0);
        assert_int_equal(segment_load(f->fd, &b, &records), 0);
        free(records);
        assert_int_equal(ftruncate(f->fd, (off_t)f->starts[0] + HEADER + 10), 0);
        assert_int_equal(segment_load(f->fd, &b, &records), -EBADMSG);
        segment_reader_init(&reader, f->fd, 0, f->end);
        assert_int_equal(segment_next(&reader, &b), 1);
        assert_int_equal(segment_next(&reader, &b), 0);
}

static void test_voided(void **state) {
        File *f = *state;
        SegmentBlock blocks[16];

        for (unsigned i = 0; i < 3; i++)
                add(f, 1 + 10 * i, 10 + 10 * i, 0);
        assert_int_equal(read_all(f, blocks), 3);
        assert_int_equal(segment_void(f->fd, &blocks[1]), 0);
        assert_int_equal(read_all(f, blocks), 3);
        assert_int_equal(blocks[1].state, BLOCK_UNREADABLE);
        assert_int_equal(blocks[2].first, 21);
}

/* What a block says of its size is not believed beyond the bounds, and no frame grows beyond what it says. */
static void test_bomb(void **state) {
        File *f = *state;
        _cleanup_(freep) uint8_t *zeros = calloc(1, 4 * MIB), *frame = malloc(ZSTD_COMPRESSBOUND(4 * MIB)), *padded = NULL;
        static const uint32_t raw[] = { 512 * KIB, 512 * KIB, 512 * KIB + 8, UINT32_MAX, 64 }, packed[] = { 1000, 512 * KIB, 4 * MIB, UINT32_MAX, 64 };
        uint8_t header[HEADER], *records;
        SegmentReader reader;
        SegmentBlock b = { .first = 1, .last = 2, .rows = 2, .points = 2 }, found;

        b.frame_size = (uint32_t)ZSTD_compress(frame, ZSTD_COMPRESSBOUND(4 * MIB), zeros, 4 * MIB, 1);
        b.frame_check = XXH3_64bits(frame, b.frame_size);
        padded = calloc(1, b.frame_size + 8);
        memcpy(padded, frame, b.frame_size);
        for (unsigned i = 0; i < ELEMENTS(raw); i++) {
                b.raw_size = raw[i];
                b.packed_size = packed[i];
                segment_write_header(header, &b, false);
                assert_int_equal(segment_write(f->fd, SEGMENT_HEAD_SIZE, header, HEADER), 0);
                assert_int_equal(segment_write(f->fd, SEGMENT_HEAD_SIZE + HEADER, padded, (b.frame_size + 7) / 8 * 8), 0);
                f->end = SEGMENT_HEAD_SIZE + 2 * HEADER + (b.frame_size + 7) / 8 * 8;
                segment_reader_init(&reader, f->fd, 0, f->end);
                assert_int_equal(segment_next(&reader, &found), 1);
                assert_int_equal(found.state, i < 2 ? BLOCK_WHOLE : BLOCK_UNREADABLE);
                if (i < 2)
                        assert_int_equal(segment_load(f->fd, &found, &records), -EBADMSG);
        }
}

static void test_packed_damage(_unused_ void **state) {
        StoreBlock b = block_of(1, 50, 1);
        _cleanup_(freep) uint8_t *packed = malloc(b.size), *copy = malloc(b.size), *records = malloc(b.size);
        Packed p, q;

        assert_int_equal(pack_write(b.records, b.size, b.rows, packed, &p), 0);
        assert_true(p.size < b.size);
        assert_int_equal(pack_read(packed, p.size, b.rows, records, b.size, &q), 0);
        assert_memory_equal(records, b.records, b.size);
        for (size_t size = 0; size < p.size; size++)
                assert_int_equal(pack_read(packed, size, b.rows, records, b.size, &q), -EBADMSG);
        for (size_t at = 0; at < p.size; at++) {
                memcpy(copy, packed, p.size);
                copy[at] ^= 0xff;
                (void)!pack_read(copy, p.size, b.rows, records, b.size, &q); /* no byte beyond its buffers */
        }
        assert_int_equal(pack_read(packed, p.size, b.rows - 1, records, b.size, &q), -EBADMSG);
        assert_int_equal(pack_read(packed, p.size, b.rows, records, b.size - 8, &q), -EBADMSG);
        assert_int_equal(pack_read(packed, p.size, UINT32_MAX, records, b.size, &q), -EBADMSG);
        block_done(&b);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                TEST(test_head),
                TEST(test_blocks),
                TEST(test_every_field),
                TEST(test_refuses),
                TEST(test_damaged_headers),
                TEST(test_misplaced_header),
                TEST(test_torn),
                TEST(test_file_shrinks),
                TEST(test_voided),
                TEST(test_bomb),
                cmocka_unit_test(test_packed_damage),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
