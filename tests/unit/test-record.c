/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <xxhash.h>

#include "spool/record.h"

static const Row sample = {
        .boottime_ns = -5, .points = 2, .flags = ROW_STRICT, .device = "pump", .device_size = 4,
        .text = "{\"a\":1,\"b\":2}", .text_size = 13,
};

static void expect_same(const Record *r, const Row *row) {
        assert_true(r->row.boottime_ns == row->boottime_ns);
        assert_int_equal(r->row.points, row->points);
        assert_int_equal(r->row.flags, row->flags);
        assert_int_equal(r->row.device_size, row->device_size);
        assert_memory_equal(r->row.device, row->device, row->device_size);
        assert_int_equal(r->row.text_size, row->text_size);
        assert_memory_equal(r->row.text, row->text, row->text_size);
}

/* A file written today is read by the next version: the very bytes. */
static void test_bytes(_unused_ void **state) {
        static const uint8_t expected[] = {
                0x7f, 0x3a, 0xb6, 0x87, 13, 0, 4, 2, 8, 7, 6, 5, 4, 3, 2, 1,
                0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 9, 0, 0, 0,
                'p', 'u', 'm', 'p', '{', '"', 'a', '"', ':', '1', ',', '"', 'b', '"', ':', '2', '}', 0, 0, 0, 0, 0, 0, 0,
        };
        uint8_t bytes[sizeof(expected)];
        Record r;

        memset(bytes, 0xaa, sizeof(bytes));
        assert_int_equal(record_size(&sample), sizeof(expected));
        assert_int_equal(record_write(bytes, 0x0102030405060708, 9, &sample), sizeof(expected));
        assert_memory_equal(bytes, expected, sizeof(expected));
        assert_int_equal(record_read(bytes, sizeof(bytes), &r), sizeof(bytes));
        assert_true(r.seq == 0x0102030405060708);
        assert_int_equal(r.era, 9);
        expect_same(&r, &sample);
        assert_int_equal(record_points(bytes), 2);
}

static void test_all_sizes(_unused_ void **state) {
        static char text[ROW_TEXT_MAX], device[ROW_DEVICE_MAX];
        static uint8_t bytes[RECORD_SIZE_MAX + 1];
        Row row = { .text = text, .device = device, .points = ROW_KEYS_MAX, .flags = ROW_IMMEDIATE | ROW_ESTIMATED };
        Record r;

        memset(text, 't', sizeof(text));
        memset(device, 'd', sizeof(device));
        for (row.text_size = 2; row.text_size <= ROW_TEXT_MAX; row.text_size += row.text_size < 100 ? 1 : 809)
                for (row.device_size = 0; row.device_size <= ROW_DEVICE_MAX; row.device_size += 51) {
                        size_t n = record_size(&row);

                        assert_true(n <= RECORD_SIZE_MAX && n % RECORD_ALIGN == 0);
                        memset(bytes, 0xaa, sizeof(bytes));
                        assert_int_equal(record_write(bytes, row.text_size, 1, &row), n);
                        assert_int_equal(bytes[n], 0xaa);
                        assert_int_equal(record_read(bytes, sizeof(bytes), &r), n);
                        assert_int_equal(record_read(bytes, n - 1, &r), -EBADMSG);
                        assert_int_equal(r.seq, row.text_size);
                        expect_same(&r, &row);
                }
        row.text_size = ROW_TEXT_MAX;
        row.device_size = ROW_DEVICE_MAX;
        assert_int_equal(record_size(&row), RECORD_SIZE_MAX);
}

static void test_damage(_unused_ void **state) {
        uint8_t bytes[64];
        size_t n = record_write(bytes, 1, 2, &sample);
        Record r = { .seq = 77 };

        for (size_t cut = 0; cut < n; cut++)
                assert_int_equal(record_read(bytes, cut, &r), -EBADMSG);
        for (size_t bit = 0; bit < 8 * n; bit++) {
                bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_int_equal(record_read(bytes, n, &r), -EBADMSG);
                bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(r.seq, 77);
        assert_int_equal(record_read(bytes, n, &r), n);
}

/* A checksum alone does not make a record. */
static void test_lies(_unused_ void **state) {
        const struct {
                size_t at;
                uint8_t value;
        } lies[] = {
                { 4, 1 },    /* no room for {} */
                { 4, 30 },   /* longer than what is there */
                { 5, 0x20 }, /* longer than ROW_TEXT_MAX */
                { 6, 255 },  /* device */
                { 7, 0x10 }, /* unknown flag */
                { 7, 0x80 },
                { 24, ROW_KEYS_MAX + 1 },
                { 27, 1 },
                { 55, 1 }, /* behind the text */
        };

        for (size_t i = 0; i < ELEMENTS(lies); i++) {
                uint8_t bytes[64];
                size_t n = record_write(bytes, 1, 2, &sample);
                Record r = { .seq = 77 };
                uint32_t check;

                bytes[lies[i].at] = lies[i].value;
                check = htole32((uint32_t)XXH3_64bits(bytes + 4, n - 4));
                memcpy(bytes, &check, sizeof(check));
                assert_int_equal(record_read(bytes, n, &r), -EBADMSG);
                assert_int_equal(r.seq, 77);
        }
}

static void test_done(_unused_ void **state) {
        _Alignas(RECORD_ALIGN) uint8_t bytes[64];
        size_t n = record_write(bytes, 1, 2, &sample);
        Record r;

        assert_int_equal(record_read(bytes, n, &r), n);
        assert_false(r.done);
        record_set_done(bytes);
        assert_int_equal(record_read(bytes, n, &r), n);
        assert_true(r.done);
        expect_same(&r, &sample);
        for (size_t byte = 0; byte < n; byte++) {
                bytes[byte] ^= 0xff;
                assert_int_equal(record_read(bytes, n, &r), -EBADMSG);
                bytes[byte] ^= 0xff;
        }
}

static void test_own_rows_count_nothing(_unused_ void **state) {
        uint8_t bytes[64];
        Row row = sample;
        Record r;

        row.flags = ROW_ESTIMATED | ROW_STRICT;
        record_write(bytes, 1, 0, &row);
        assert_int_equal(record_points(bytes), 0);
        row.flags = ROW_GAP;
        record_write(bytes, 1, 0, &row);
        assert_int_equal(record_points(bytes), 0);
        row.points = 0;
        assert_int_equal(record_read(bytes, record_write(bytes, 1, 0, &row), &r), record_size(&row));
        assert_int_equal(r.row.points, 0);
        assert_int_equal(r.row.flags, ROW_GAP);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_all_sizes),
                cmocka_unit_test(test_damage),
                cmocka_unit_test(test_lies),
                cmocka_unit_test(test_done),
                cmocka_unit_test(test_own_rows_count_nothing),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
