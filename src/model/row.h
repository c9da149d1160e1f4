/* SPDX-License-Identifier: Apache-2.0 */
/* A row: values of one device at one moment, with its {"key":value,...} text written once, in the host.
 * Writer (host), validator (daemon, before it accepts a row), cutter (batches), and the record form in
 * which rows cross the socket. Pure; validator, cutter and records are fuzzed. */
#pragma once

#include "model/json.h"
#include "model/value.h"

#define ROW_TEXT_MAX (8 * KIB)
#define ROW_KEYS_MAX 64
#define ROW_DEPTH_MAX JSON_DEPTH_MAX
#define ROW_DEVICE_MAX 255

#define ROW_IMMEDIATE 1u
#define ROW_STRICT 2u /* of an instance with order = "strict" */
/* The daemon's own, never in a frame: */
#define ROW_GAP 4u       /* tells of a gap: the text is spool/gap's, the batch writes what the server gets */
#define ROW_ESTIMATED 8u /* `<instance>_time`: goes only where the row's time is an estimate, else it is forgotten */

typedef struct Row {
        int64_t boottime_ns; /* CLOCK_BOOTTIME, signed: a time before boot is possible with emit_at */
        uint32_t points;
        uint32_t flags;
        const char *device; /* borrowed; empty: the device itself */
        size_t device_size;
        const char *text; /* borrowed */
        size_t text_size;
} Row;

/* What is counted as made, acknowledged, dropped: gaps and time marks are not. */
static inline uint32_t row_counted_points(const Row *row) {
        return row->flags & (ROW_GAP | ROW_ESTIMATED) ? 0 : row->points;
}

/* The millisecond in which a time lies, also before boot. */
static inline int64_t row_ms(int64_t boottime_ns) {
        return boottime_ns / NSEC_PER_MSEC - (boottime_ns % NSEC_PER_MSEC < 0);
}

/* ---- writer: a growing text of at most ROW_TEXT_MAX. Behind it there is room for the longest member, so
 * that one is written first and judged then. */
#define ROW_MEMBER_MAX (6 * (KEY_TEXT_MAX + VALUE_TEXT_MAX) + 8)
typedef struct RowWriter {
        size_t size;     /* of text, without the closing brace */
        uint32_t points;
        char text[ROW_TEXT_MAX + ROW_MEMBER_MAX];
} RowWriter;

void row_writer_reset(RowWriter *w);
/* The key was checked by key_check(). decimals as number_format_double(). 0; -ENOSPC: does not fit, close the
 * row first; -ERANGE: number out of range; -E2BIG: can never fit; -EINVAL: JSON text not valid, or null. */
_must_check_ int row_writer_add(RowWriter *w, const char *key, size_t key_size, const Value *v, int decimals);
/* The finished text, borrowed until the next call. */
const char *row_writer_text(RowWriter *w, size_t *ret_size);

/* ---- validator: strict JSON object from the first byte to the last, depth (its own level counts) <=
 * ROW_DEPTH_MAX, top keys by key_check() on their decoded form, no duplicate check, no null at the top (the
 * server would store nothing), no number that is not finite as a double or has an exponent beyond +-999.
 * *ret_points: members at the top. For each top member `member` (may be NULL) is told the raw key (without
 * quotes, escapes not decoded) and the raw value; a negative return ends the work. -EBADMSG: not valid. */
typedef int (*row_member_fn)(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size);
_must_check_ int row_validate(const char *text, size_t size, row_member_fn member, void *userdata, uint32_t *ret_points);

/* ---- cutter: the longest prefix of members from `from` (0: first) with at most max_points members and
 * max_size bytes as an object of its own; *ret_next = where to go on (== size: done). text was validated.
 * *ret_start, *ret_len: the members without braces. -E2BIG: not even one member fits. */
_must_check_ int row_cut(const char *text, size_t size, size_t from, uint32_t max_points, size_t max_size,
                         size_t *ret_start, size_t *ret_len, uint32_t *ret_points, size_t *ret_next);

/* ---- record: how a row stands in a ROWS frame; little endian, lengths first, checked by row_decode(). A row
 * has 1 to ROW_KEYS_MAX points, a text of 2 to ROW_TEXT_MAX bytes and no flags of the daemon's own. */
size_t row_encoded_size(const Row *row);
size_t row_encode(uint8_t *out, const Row *row);
/* Takes one record from *data; the Row borrows from it. -EBADMSG: lengths or limits wrong. */
_must_check_ int row_decode(const uint8_t **data, size_t *size, Row *ret);
