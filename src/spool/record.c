/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <xxhash.h>

#include "spool/record.h"

typedef struct RecordHead {
        uint32_t check;
        uint16_t text_size;
        uint8_t device_size;
        uint8_t flags;
        uint64_t seq;
        uint64_t boottime_ns;
        uint32_t points;
        uint32_t era;
} RecordHead;

_Static_assert(sizeof(RecordHead) == RECORD_HEADER_SIZE, "a record's head has no padding");
_Static_assert(RECORD_HEADER_SIZE % RECORD_ALIGN == 0 && RECORD_ALIGN == sizeof(uint64_t), "zeros are written as one number");
_Static_assert(ROW_TEXT_MAX <= UINT16_MAX && ROW_DEVICE_MAX <= UINT8_MAX, "lengths fit");

static size_t size_of(size_t device_size, size_t text_size) {
        return (RECORD_HEADER_SIZE + device_size + text_size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static uint32_t check_of(const uint8_t *data, size_t size) {
        return (uint32_t)XXH3_64bits(data + sizeof(uint32_t), size - sizeof(uint32_t));
}

/* No points: the row of a gap. */
static bool limits_hold(size_t text_size, size_t device_size, uint32_t points, uint32_t flags) {
        return text_size >= 2 && text_size <= ROW_TEXT_MAX && device_size <= ROW_DEVICE_MAX && points <= ROW_KEYS_MAX &&
               (flags & ~(ROW_IMMEDIATE | ROW_STRICT | ROW_GAP | ROW_ESTIMATED)) == 0;
}

size_t record_size(const Row *row) {
        return size_of(row->device_size, row->text_size);
}

size_t record_write(uint8_t *out, uint64_t seq, uint32_t era, const Row *row) {
        RecordHead head = {
                .text_size = htole16((uint16_t)row->text_size),
                .device_size = (uint8_t)row->device_size,
                .flags = (uint8_t)row->flags,
                .seq = htole64(seq),
                .boottime_ns = htole64((uint64_t)row->boottime_ns),
                .points = htole32(row->points),
                .era = htole32(era),
        };
        size_t size = record_size(row);
        uint8_t *p;

        assert(limits_hold(row->text_size, row->device_size, row->points, row->flags));
        memset(out + size - RECORD_ALIGN, 0, RECORD_ALIGN); /* what the text leaves of it stays zero */
        p = mempcpy(out, &head, sizeof(head));
        if (row->device_size > 0)
                p = mempcpy(p, row->device, row->device_size);
        memcpy(p, row->text, row->text_size);
        head.check = htole32(check_of(out, size));
        memcpy(out, &head.check, sizeof(head.check));
        return size;
}

void record_set_done(uint8_t *data) {
        uint32_t check;

        memcpy(&check, data, sizeof(check));
        check = ~check;
        __atomic_store_n((uint32_t *)(void *)data, check, __ATOMIC_RELEASE);
}

ssize_t record_look(const uint8_t *data, size_t size, Record *ret) {
        RecordHead head;
        size_t text_size, total;
        uint32_t points;
        const char *p;

        if (size < sizeof(head))
                return -EBADMSG;
        memcpy(&head, data, sizeof(head));
        text_size = le16toh(head.text_size);
        points = le32toh(head.points);
        total = size_of(head.device_size, text_size);
        if (!limits_hold(text_size, head.device_size, points, head.flags) || total > size)
                return -EBADMSG;
        p = (const char *)data + sizeof(head);
        *ret = (Record){
                .seq = le64toh(head.seq),
                .era = le32toh(head.era),
                .row = {
                        .boottime_ns = (int64_t)le64toh(head.boottime_ns),
                        .points = points,
                        .flags = head.flags,
                        .device = p,
                        .device_size = head.device_size,
                        .text = p + head.device_size,
                        .text_size = text_size,
                },
        };
        return (ssize_t)total;
}

ssize_t record_read(const uint8_t *data, size_t size, Record *ret) {
        Record record;
        ssize_t total = record_look(data, size, &record);
        uint32_t check, written;
        size_t used;

        if (total < 0)
                return total;
        check = check_of(data, (size_t)total);
        memcpy(&written, data, sizeof(written));
        written = le32toh(written);
        if (written != check && written != ~check)
                return -EBADMSG;
        for (used = (size_t)((const uint8_t *)record.row.text - data) + record.row.text_size; used < (size_t)total; used++)
                if (data[used] != 0)
                        return -EBADMSG;
        record.done = written != check;
        *ret = record;
        return total;
}

uint32_t record_points(const uint8_t *data) {
        RecordHead head;

        memcpy(&head, data, sizeof(head));
        return row_counted_points(&(Row){ .flags = head.flags, .points = le32toh(head.points) });
}
