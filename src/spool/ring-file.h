/* SPDX-License-Identifier: Apache-2.0 */
/* The file behind a ring: its layout, how it is made, locked, trusted and set aside, and how a new state of it
 * takes effect. For spool/ring and the tests. Numbers are the machine's own: the file never leaves it. */
#pragma once

#include "spool/ledger.h"
#include "spool/record.h"

#define RING_MAGIC UINT64_C(0x676e697274626174) /* "tabtring" */
#define RING_VERSION 1u
#define RING_SIZE_MIN (16 * KIB)
#if SIZE_MAX > UINT32_MAX
#define RING_SIZE_MAX (16 * 1024 * MIB) /* offsets are kept in 32 bits, as multiples of RECORD_ALIGN */
#else
#define RING_SIZE_MAX (1024 * MIB)
#endif
#define RING_SEQ_MAX (UINT64_MAX / 2)

/* All that changes from call to call. There are two copies, the generation in the header says which holds. */
typedef struct RingState {
        uint64_t check; /* XXH3_64 of what follows */
        uint32_t generation;
        uint32_t unused;
        uint64_t first, next;
        uint64_t rows, points; /* in the ring; what is found less at the next start is lost */
        uint64_t head, tail;   /* offsets: of the row appended next, of the oldest */
        uint64_t wrap;         /* where the upper part ends when the rows go on at 0; 0: they do not */
        uint64_t cells[RING_CELLS / 64]; /* bits: which copy of a cell holds */
        RingLedger ledger;
} RingState;

typedef struct RingCell {
        uint64_t check; /* XXH3_64 of data */
        uint8_t data[RING_CELL_SIZE];
} RingCell;

typedef struct RingTop {
        uint64_t magic;
        uint32_t version;
        uint32_t header_size;
        uint64_t size;  /* of the records behind the header */
        uint64_t check; /* XXH3_64 of what stands before it; it and they never change */
        uint32_t generation;
        uint32_t unused[7];
        RingState states[2];
} RingTop;

#define RING_PAGE 4096
typedef struct RingHeader {
        RingTop top;
        uint8_t rest_of_page[RING_PAGE - sizeof(RingTop)];
        RingCell cells[RING_CELLS][2];
        uint8_t records[];
} RingHeader;

typedef struct RingFile {
        RingHeader *map; /* NULL: none */
        size_t size;     /* of the records */
        int fd;          /* holds the lock; -EBADF: memory of this process alone */
} RingFile;

typedef struct RingWhy {
        char text[96];
} RingWhy;

/* An empty one in which no state holds yet, locked, under a name beside path until ring_file_publish(), which replaces
 * only on demand: -EBUSY. path NULL: memory. */
_must_check_ int ring_file_new(RingFile *ret, const char *path, size_t size);
_must_check_ int ring_file_publish(const char *path, bool replace);
/* -ENOENT; -EBUSY: somebody has it; -EBADMSG: not to be trusted, ret_why says why; others from the kernel. What could be
 * opened is locked even then, until ring_file_close(). */
_must_check_ int ring_file_open(RingFile *ret, const char *path, RingState *ret_state, RingWhy *ret_why);
/* The same of a file that may be in use, in memory. 1: while it was copied rows have left it; they are no longer in the
 * state, whose counts are wrong. */
_must_check_ int ring_file_copy(RingFile *ret, const char *path, RingState *ret_state, RingWhy *ret_why);
void ring_file_close(RingFile *f);
/* It becomes `path`.bad, in the place of an older one. */
_must_check_ int ring_file_set_aside(const char *path);

/* The state takes effect: with it all that was written before. Sets its generation and check. */
void ring_file_commit(RingFile *f, RingState *s);
/* The cell as s has it; a new content is in effect when s is. */
const RingCell *ring_file_cell(const RingFile *f, const RingState *s, unsigned cell);
void ring_file_set_cell(RingFile *f, RingState *s, unsigned cell, const void *data, size_t size);
/* Wipes those that are damaged and returns their number. */
unsigned ring_file_check_cells(RingFile *f, const RingState *s);
