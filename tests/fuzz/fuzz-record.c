/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that may be a record, as they are and with their checksum put right. What is taken as one is written
 * as the same bytes again and reads nothing behind its end. */
#include <assert.h>
#include <endian.h>
#include <xxhash.h>

#include "spool/record.h"

static void check_record(const uint8_t *data, size_t size) {
        static _Alignas(RECORD_ALIGN) uint8_t again[RECORD_SIZE_MAX];
        Record r;
        ssize_t n = record_read(data, size, &r);

        if (n < 0) {
                assert(n == -EBADMSG);
                return;
        }
        assert((size_t)n <= size && n % RECORD_ALIGN == 0 && (size_t)n == record_size(&r.row));
        assert(r.row.text_size >= 2 && r.row.text_size <= ROW_TEXT_MAX && r.row.points <= ROW_KEYS_MAX);
        assert(r.row.device == (const char *)data + RECORD_HEADER_SIZE && r.row.text == r.row.device + r.row.device_size);
        assert(record_points(data) == (r.row.flags & (ROW_GAP | ROW_ESTIMATED) ? 0 : r.row.points));
        assert(record_write(again, r.seq, r.era, &r.row) == (size_t)n);
        if (r.done)
                record_set_done(again);
        assert(memcmp(again, data, (size_t)n) == 0);
        for (ssize_t cut = n - RECORD_ALIGN; cut < n; cut++)
                assert(record_read(data, (size_t)cut, &r) == -EBADMSG);
}

static void put_check_right(uint8_t *data, size_t size) {
        size_t total = RECORD_HEADER_SIZE;
        uint32_t check;

        if (size < total)
                return;
        total += data[4] + 256u * data[5] + data[6];
        total = (total + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
        if (total > size)
                return;
        check = htole32((uint32_t)XXH3_64bits(data + sizeof(check), total - sizeof(check)));
        memcpy(data, &check, sizeof(check));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t *copy = calloc(1, MAX(size, (size_t)1));

        if (!copy)
                abort();
        if (size > 0)
                memcpy(copy, data, size);
        check_record(copy, size);
        put_check_right(copy, size);
        check_record(copy, size);
        free(copy);
        return 0;
}
