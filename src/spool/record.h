/* SPDX-License-Identifier: Apache-2.0 */
/* A row at rest: the same bytes in the ring file and, compressed, in the blocks of a segment file. Little
 * endian, 8-byte aligned, checksummed (xxHash). And the era: what turns a row's BOOTTIME into the server's
 * milliseconds. Pure; fuzzed. */
#pragma once

#include "model/row.h"

#define RECORD_ALIGN 8
#define BOOT_ID_SIZE 16

typedef enum ClockQuality { CLOCK_ESTIMATED, CLOCK_TRUSTED } ClockQuality;

/* One boot, or the part of it between two steps of the clock: ts = boottime_ms + offset_ms. */
typedef struct Era {
        uint8_t boot_id[BOOT_ID_SIZE];
        int64_t offset_ms;
        uint32_t quality; /* ClockQuality */
} Era;

/* check 4 (low half of XXH3_64 over all that follows), text_size 2, device_size 1, flags 1, seq 8,
 * boottime_ns 8, points 4, era 4, device, text, zeros up to RECORD_ALIGN. */
#define RECORD_HEADER_SIZE 32
#define RECORD_SIZE_MAX ((RECORD_HEADER_SIZE + ROW_DEVICE_MAX + ROW_TEXT_MAX + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN)

typedef struct Record {
        uint64_t seq;
        uint32_t era; /* the ring's number of it; 0 in a block, which has its era in its header */
        bool done;    /* record_set_done() */
        Row row;      /* borrows from the bytes */
} Record;

size_t record_size(const Row *row);
/* Writes record_size() bytes. */
size_t record_write(uint8_t *out, uint64_t seq, uint32_t era, const Row *row);
/* The record is done with but keeps its place: its checksum is turned over, in one store. */
void record_set_done(uint8_t *data);
/* The record that starts at data: its size (> 0), or -EBADMSG: lengths, limits or checksum wrong. */
_must_check_ ssize_t record_read(const uint8_t *data, size_t size, Record *ret);
/* The same of a record that was read before: its checksum is not looked at, `done` is false. */
_must_check_ ssize_t record_look(const uint8_t *data, size_t size, Record *ret);
/* The points of a whole record; 0 where it is one of the daemon's own, whatever stands in it. */
uint32_t record_points(const uint8_t *data);
