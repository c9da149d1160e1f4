/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in a file mapped from tmpfs: a crash of the daemon at any instruction takes none of them, and nothing
 * wears the card. Numbers rise without holes; each call below is one step: after a `kill -9` in the middle
 * of it either all of it has happened or nothing. Policy (what goes when it is full) is spool/spool's. Main
 * thread. */
#pragma once

#include "spool/ledger.h"
#include "spool/record.h"

typedef struct Ring Ring;

typedef struct RingParams {
        const char *path;   /* NULL: memory of this process alone, for tests and where there is no /run */
        size_t size;        /* bytes of records, at least 16 KiB */
        uint64_t first_seq; /* of a ring that is made anew */
} RingParams;

typedef struct RingOpened {
        enum { RING_NEW, RING_KEPT, RING_SET_ASIDE } how; /* set aside: what was there cannot be trusted, see text */
        uint64_t lost_points; /* of damaged records in a ring that was kept; told again until the first change is made */
        uint64_t lost_rows;   /* gone from the front, or numbers in the ring that cannot be read */
        char text[256];       /* for the log; "" where there is nothing to say */
} RingOpened;

/* A ring of another size is taken over: its rows move, the oldest go where they do not fit (lost_*). One with a
 * damaged header or of a version that is not ours becomes `path`.bad (one is kept). -EBUSY: another process has
 * it. -ENOSPC, -EACCES...: the caller may try again with path NULL. */
_must_check_ int ring_open(Ring **ret, const RingParams *params, RingOpened *ret_opened);
/* For looking only, in a copy; the file may be in use. -EBADMSG: ret_opened->text says what is wrong with it. */
_must_check_ int ring_open_readonly(Ring **ret, const char *path, RingOpened *ret_opened);
Ring *ring_free(Ring *r); /* the file stays */
DEFINE_CLEANUP(Ring *, ring_free)

size_t ring_size(const Ring *r);
uint64_t ring_first(const Ring *r); /* oldest row in it; == ring_next(): empty */
uint64_t ring_next(const Ring *r);  /* number of the row appended next */
size_t ring_used(const Ring *r);    /* bytes of the records in it */
const RingLedger *ring_ledger(const Ring *r);
const void *ring_cell(const Ring *r, unsigned cell); /* RING_CELL_SIZE bytes, borrowed until it changes; zeros at first */

/* ledger (NULL: as it is, made_points included) and change (NULL: none) take effect with the row. -ENOSPC: no room now;
 * -E2BIG: larger than the ring; -ENOMEM. */
_must_check_ int ring_append(Ring *r, const Row *row, uint32_t era, const RingLedger *ledger, const RingChange *change,
                             uint64_t *ret_seq);
bool ring_fits(const Ring *r, const Row *row);
/* true: rows appended from now on take effect together, with the next other change or, at the latest, with false. */
void ring_gather(Ring *r, bool gather);
/* Rows up to `last` leave (last < ring_first(): none do). */
void ring_release(Ring *r, uint64_t last, const RingLedger *ledger, const RingChange *change);

/* 0: *ret borrows until the row is released; -ENOENT: not in the ring, damaged, or done with. */
_must_check_ int ring_read(const Ring *r, uint64_t seq, Record *ret);
/* The same of a row that was read before: its checksum is not looked at again. */
_must_check_ int ring_look(const Ring *r, uint64_t seq, Record *ret);
bool ring_has(const Ring *r, uint64_t seq); /* it is there and not done with; damage since it was appended is not looked for */
/* Its owner is done with the row: it cannot be read any more, and keeps its place until it is released. */
void ring_set_done(Ring *r, uint64_t seq);
/* 32 bits beside each number for the owner's use, 0 at first, borrowed until the next append; not kept in the file. NULL:
 * not in the ring. */
uint32_t *ring_note(Ring *r, uint64_t seq);
