/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/pack.h"

#define VARINT_MAX 10

enum { COLUMN_SEQ, COLUMN_TIME, COLUMN_POINTS, COLUMN_FLAGS, COLUMN_ERA, COLUMN_DEVICE, COLUMN_TEXT, _COLUMN_MAX };

/* Bytes that a number of the column takes at most. */
static const uint8_t column_width[_COLUMN_MAX] = { VARINT_MAX, VARINT_MAX, 1, 1, 5, 2, 2 };
#define COLUMNS_WIDTH (2 * VARINT_MAX + 1 + 1 + 5 + 2 + 2)

_Static_assert(COLUMNS_WIDTH <= RECORD_HEADER_SIZE, "packed records are not larger than records");
_Static_assert(ROW_KEYS_MAX < 1 << 7 && ROW_DEVICE_MAX < 1 << 14 && ROW_TEXT_MAX < 1 << 14, "numbers fit their columns");

static uint8_t *put_number(uint8_t *p, uint64_t n) {
        for (; n >= 0x80; n >>= 7)
                *p++ = (uint8_t)(n | 0x80);
        *p++ = (uint8_t)n;
        return p;
}

/* -EBADMSG: it does not end before `end`, or is longer than it has to be. */
static int take_number(const uint8_t **p, const uint8_t *end, uint64_t *ret) {
        uint64_t n = 0;

        for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
                uint8_t byte = *(*p)++;

                if ((shift == 63 && byte > 1) || (byte == 0 && shift > 0))
                        return -EBADMSG;
                n |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) {
                        *ret = n;
                        return 0;
                }
        }
        return -EBADMSG;
}

/* Small differences of either sign are small numbers. */
static uint64_t fold(uint64_t difference) {
        return difference << 1 ^ (uint64_t)-(int64_t)(difference >> 63);
}

static uint64_t unfold(uint64_t n) {
        return n >> 1 ^ (uint64_t)-(int64_t)(n & 1);
}

/* ---- writing */

static void put_row(uint8_t *columns[static _COLUMN_MAX], const Record *r, const Record *before) {
        const uint64_t numbers[_COLUMN_MAX] = {
                [COLUMN_SEQ] = r->seq - before->seq,
                [COLUMN_TIME] = fold((uint64_t)r->row.boottime_ns - (uint64_t)before->row.boottime_ns),
                [COLUMN_POINTS] = r->row.points,
                [COLUMN_FLAGS] = r->row.flags,
                [COLUMN_ERA] = r->era,
                [COLUMN_DEVICE] = r->row.device_size,
                [COLUMN_TEXT] = r->row.text_size,
        };

        for (unsigned c = 0; c < _COLUMN_MAX; c++)
                columns[c] = put_number(columns[c], numbers[c]);
}

static void note_row(Packed *p, const Record *r, bool first) {
        if (first)
                *p = (Packed){ .first = r->seq, .from_ns = r->row.boottime_ns, .to_ns = r->row.boottime_ns };
        p->last = r->seq;
        p->from_ns = MIN(p->from_ns, r->row.boottime_ns);
        p->to_ns = MAX(p->to_ns, r->row.boottime_ns);
}

static int put_rows(const uint8_t *records, size_t size, uint32_t rows, uint8_t *columns[static _COLUMN_MAX], Packed *p) {
        Record r, before = { 0 };
        size_t at = 0;

        for (uint32_t i = 0; i < rows; i++) {
                ssize_t n = record_read(records + at, size - at, &r);

                if (n < 0 || (i > 0 && r.seq <= before.seq))
                        return -EBADMSG;
                note_row(p, &r, i == 0);
                put_row(columns, &r, &before);
                before = r;
                at += (size_t)n;
        }
        return at == size && rows > 0 ? 0 : -EBADMSG;
}

static uint8_t *put_bytes(uint8_t *out, const uint8_t *records, size_t size, bool device) {
        Record r;

        for (size_t at = 0; at < size; at += record_size(&r.row)) {
                (void)!record_read(records + at, size - at, &r); /* it was read before */
                out = device ? mempcpy(out, r.row.device, r.row.device_size) : mempcpy(out, r.row.text, r.row.text_size);
        }
        return out;
}

int pack_write(const uint8_t *records, size_t size, uint32_t rows, uint8_t *out, Packed *ret) {
        _cleanup_(freep) uint8_t *scratch = NULL;
        uint8_t *starts[_COLUMN_MAX], *columns[_COLUMN_MAX], *p = out;
        Packed packed = { 0 };
        int r;

        if (rows > size / RECORD_HEADER_SIZE)
                return -EBADMSG;
        scratch = malloc((size_t)rows * COLUMNS_WIDTH + 1);
        if (!scratch)
                return -ENOMEM;
        starts[0] = scratch;
        for (unsigned c = 1; c < _COLUMN_MAX; c++)
                starts[c] = starts[c - 1] + (size_t)rows * column_width[c - 1];
        memcpy(columns, starts, sizeof(columns));
        r = put_rows(records, size, rows, columns, &packed);
        if (r < 0)
                return r;
        for (unsigned c = 0; c < _COLUMN_MAX; c++)
                p = mempcpy(p, starts[c], (size_t)(columns[c] - starts[c]));
        p = put_bytes(p, records, size, true);
        p = put_bytes(p, records, size, false);
        packed.size = (size_t)(p - out);
        *ret = packed;
        return 0;
}

/* ---- reading */

typedef struct Unpacking {
        const uint8_t *columns[_COLUMN_MAX], *end_of_columns;
        const uint8_t *devices, *texts, *end;
} Unpacking;

static int find_columns(Unpacking *u, const uint8_t *data, size_t size, uint32_t rows) {
        const uint8_t *p = data;
        uint64_t n, devices = 0, texts = 0;

        u->end = data + size;
        for (unsigned c = 0; c < _COLUMN_MAX; c++) {
                u->columns[c] = p;
                for (uint32_t i = 0; i < rows; i++) {
                        if (take_number(&p, u->end, &n) < 0 || ((c == COLUMN_DEVICE || c == COLUMN_TEXT) && n > size))
                                return -EBADMSG;
                        devices += c == COLUMN_DEVICE ? n : 0;
                        texts += c == COLUMN_TEXT ? n : 0;
                }
        }
        u->end_of_columns = u->devices = p;
        if (devices + texts != (uint64_t)(u->end - p))
                return -EBADMSG;
        u->texts = p + devices;
        return 0;
}

static int take_row(Unpacking *u, Record *r, bool first) {
        uint64_t n[_COLUMN_MAX];

        for (unsigned c = 0; c < _COLUMN_MAX; c++)
                (void)!take_number(&u->columns[c], u->end_of_columns, &n[c]); /* they were all taken once */
        if ((n[COLUMN_SEQ] == 0 && !first) || r->seq + n[COLUMN_SEQ] < r->seq || n[COLUMN_ERA] > UINT32_MAX ||
            n[COLUMN_POINTS] > ROW_KEYS_MAX || n[COLUMN_FLAGS] > (ROW_IMMEDIATE | ROW_STRICT | ROW_GAP | ROW_ESTIMATED) ||
            n[COLUMN_DEVICE] > ROW_DEVICE_MAX || n[COLUMN_TEXT] > ROW_TEXT_MAX || n[COLUMN_TEXT] < 2)
                return -EBADMSG;
        r->seq += n[COLUMN_SEQ];
        r->era = (uint32_t)n[COLUMN_ERA];
        r->row.boottime_ns = (int64_t)((uint64_t)r->row.boottime_ns + unfold(n[COLUMN_TIME]));
        r->row.points = (uint32_t)n[COLUMN_POINTS];
        r->row.flags = (uint32_t)n[COLUMN_FLAGS];
        r->row.device = (const char *)u->devices;
        r->row.device_size = n[COLUMN_DEVICE];
        r->row.text = (const char *)u->texts;
        r->row.text_size = n[COLUMN_TEXT];
        u->devices += n[COLUMN_DEVICE];
        u->texts += n[COLUMN_TEXT];
        return 0;
}

int pack_read(const uint8_t *data, size_t size, uint32_t rows, uint8_t *records, size_t records_size, Packed *ret) {
        Packed packed = { 0 };
        Unpacking u;
        Record r = { 0 };
        size_t at = 0;

        if (rows == 0 || rows > records_size / RECORD_HEADER_SIZE || find_columns(&u, data, size, rows) < 0)
                return -EBADMSG;
        for (uint32_t i = 0; i < rows; i++) {
                if (take_row(&u, &r, i == 0) < 0 || record_size(&r.row) > records_size - at)
                        return -EBADMSG;
                note_row(&packed, &r, i == 0);
                at += record_write(records + at, r.seq, r.era, &r.row);
        }
        if (at != records_size)
                return -EBADMSG;
        packed.size = at;
        *ret = packed;
        return 0;
}
