/* SPDX-License-Identifier: Apache-2.0 */
/* A row: values of one device at one moment, with its {"key":value,...} text written once, in the host.
 * Writer (host), validator (daemon, before it accepts a row), cutter (batches), and the record form in
 * which rows cross the socket. Pure; validator, cutter and records are fuzzed. */
#pragma once

#include "model/value.h"

#define ROW_TEXT_MAX (8 * KIB)
#define ROW_KEYS_MAX 64
#define ROW_DEPTH_MAX 32
#define ROW_DEVICE_MAX 255

#define ROW_IMMEDIATE 1u
#define ROW_STRICT 2u /* of an instance with order = "strict" */

typedef struct Row {
        int64_t boottime_ns; /* CLOCK_BOOTTIME, signed: a time before boot is possible with emit_at */
        uint32_t points;
        uint32_t flags;
        const char *device; /* borrowed; empty: the device itself */
        size_t device_size;
        const char *text; /* borrowed */
        size_t text_size;
} Row;

/* ---- writer: a growing text of at most ROW_TEXT_MAX */
typedef struct RowWriter {
        size_t size;     /* of text, without the closing brace */
        uint32_t points;
        char text[ROW_TEXT_MAX];
} RowWriter;

void row_writer_reset(RowWriter *w);
/* The key was checked by key_check(). decimals as number_format_double(). 0; -ENOSPC: does not fit, close the
 * row first; -ERANGE: number out of range; -E2BIG: can never fit; -EINVAL: JSON text not valid. */
_must_check_ int row_writer_add(RowWriter *w, const char *key, size_t key_size, const Value *v, int decimals);
/* The finished text, borrowed until the next call. */
const char *row_writer_text(RowWriter *w, size_t *ret_size);

/* ---- validator: strict JSON object, depth <= ROW_DEPTH_MAX, keys by key_check() on their decoded form, no
 * duplicate check, no number that is not finite as a double. *ret_points: members at the top. For each top
 * member `member` (may be NULL) is told the raw key (without quotes, escapes not decoded) and the raw value. -EBADMSG: not valid. */
typedef int (*row_member_fn)(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size);
_must_check_ int row_validate(const char *text, size_t size, row_member_fn member, void *userdata, uint32_t *ret_points);
/* Any one JSON text (for emit_json, RPC replies). -EBADMSG: not valid. */
_must_check_ int json_validate(const char *text, size_t size);

/* ---- cutter: the longest prefix of members from `from` (0: first) with at most max_points members and
 * max_size bytes as an object of its own; *ret_next = where to go on (== size: done). text was validated.
 * *ret_start, *ret_len: the members without braces. -E2BIG: not even one member fits. */
_must_check_ int row_cut(const char *text, size_t size, size_t from, uint32_t max_points, size_t max_size,
                         size_t *ret_start, size_t *ret_len, uint32_t *ret_points, size_t *ret_next);

/* ---- record: how a row stands in a ROWS frame; little endian, lengths first, checked by row_decode(). */
size_t row_encoded_size(const Row *row);
size_t row_encode(uint8_t *out, const Row *row);
/* Takes one record from *data; the Row borrows from it. -EBADMSG: lengths or limits wrong. */
_must_check_ int row_decode(const uint8_t **data, size_t *size, Row *ret);
