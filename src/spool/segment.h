/* SPDX-License-Identifier: Apache-2.0 */
/* A segment file: a head of 64 bytes, which also keeps how far its rows are acknowledged, then blocks, one behind the
 * other. A block is one zstd frame of packed records with the same header before and behind it, so that a byte
 * that went bad costs nothing where it hits a header, and that block, counted, where it hits the frame.
 * Knows nothing of other files; the only file that knows zstd. Fuzzed. */
#pragma once

#include "spool/record.h"

#define SEGMENT_VERSION 1u
#define SEGMENT_HEAD_SIZE 64u
#define SEGMENT_NAME_SIZE 21u            /* 16 hexadecimal digits, ".seg", NUL */
#define SEGMENT_FILE_MAX (16 * MIB)      /* a larger file is none of ours */
#define SEGMENT_RAW_MAX (512 * KIB)      /* of the records of a block */
#define SEGMENT_BLOCK_HEADER_SIZE 104u

/* ---- names: the number of the first row */
void segment_name(char out[static SEGMENT_NAME_SIZE], uint64_t first);
/* Numbers from 1 to INT64_MAX: one can be counted on from. */
bool segment_name_parse(const char *name, uint64_t *ret_first);
/* The numbers of all segments in a folder, rising; owned by the caller. */
_must_check_ int segment_list(const char *folder, uint64_t **ret, size_t *ret_n);
/* A file descriptor, -errno. flags: as open(). */
_must_check_ int segment_open(const char *folder, uint64_t first, int flags);

/* ---- head */
typedef struct SegmentHead {
        uint64_t first; /* as its name says when it was made */
        uint64_t acked; /* rows up to it are at the server; 0: none, or not readable */
        bool damaged;   /* magic or checksum: blocks may still be there */
} SegmentHead;

/* -EPROTONOSUPPORT: sound, of another version; -ENODATA: the file is shorter; from pread. Damage is no error. */
_must_check_ int segment_read_head(int fd, SegmentHead *ret);
_must_check_ int segment_write_head(int fd, uint64_t first, uint64_t acked);
/* In place; not synced. */
_must_check_ int segment_write_position(int fd, uint64_t first, uint64_t acked);

/* ---- blocks */
typedef enum BlockState {
        BLOCK_WHOLE,  /* a header could be read and all of it is in the file: segment_load() shows the rest */
        BLOCK_TORN,   /* the file ends within it */
        BLOCK_UNREADABLE, /* bytes that no header describes: only at and end mean something */
} BlockState;

typedef struct SegmentBlock {
        BlockState state;
        uint64_t at, end; /* in the file, with both headers */
        uint64_t first, last;
        uint32_t rows, points; /* rows 0: carries an era alone */
        uint32_t raw_size, packed_size, frame_size;
        Era era;
        int64_t from_ns, to_ns; /* BOOTTIME of its earliest and its latest row */
        uint64_t frame_check;
} SegmentBlock;

/* The bytes of a block, owned by the caller. rows, points, era, raw_size of b are given, and first and last where there are
 * no rows; the rest is filled in, at and end from 0. -E2BIG: more than SEGMENT_RAW_MAX; -EBADMSG: not b->rows whole
 * records in rising order. */
_must_check_ int segment_build(SegmentBlock *b, const uint8_t *records, uint8_t **ret);
_must_check_ int segment_write(int fd, uint64_t at, const void *data, size_t size);
/* -ENODATA: the file ends before. */
_must_check_ int segment_read(int fd, uint64_t at, void *data, size_t size);
/* Takes a block's headers away: it is bytes that nobody describes, from now on. */
_must_check_ int segment_void(int fd, const SegmentBlock *b);
/* The header alone, for tests. */
void segment_write_header(uint8_t out[static SEGMENT_BLOCK_HEADER_SIZE], const SegmentBlock *b, bool behind);

typedef struct SegmentReader {
        int fd; /* borrowed */
        uint64_t at, end;
        uint64_t buffer_at;
        size_t buffer_size;
        uint8_t buffer[8 * KIB];
} SegmentReader;

/* Blocks between two places of a file, `from` being the start of one; from 0: of the first. */
void segment_reader_init(SegmentReader *r, int fd, uint64_t from, uint64_t end);
/* 1: *ret is the next; 0: no more; -errno of pread. Reads headers only. */
_must_check_ int segment_next(SegmentReader *r, SegmentBlock *ret);
/* Its records, checked: b->rows whole ones that rise from b->first to b->last. Owned by the caller. -EBADMSG: damaged;
 * -errno of pread. */
_must_check_ int segment_load(int fd, const SegmentBlock *b, uint8_t **ret);
