/* SPDX-License-Identifier: Apache-2.0 */
/* Gaps that are not told yet stand in cells of the ring, merged by instance and reason; and the gap rows that
 * are on their way, so that no reason is told by two rows at once. Main thread. */
#pragma once

#include "spool/gap.h"
#include "spool/ring.h"

#define GAPS_CELLS 64u /* cells 0 .. 63 of the ring are ours */
#define GAPS_TOLD_MAX 32

typedef struct GapTold {
        uint64_t seq; /* 0: unused */
        bool again;   /* the row was evicted: it stands in its cell again, until the answer says that it arrived */
        Gap gap;
} GapTold;

typedef struct Gaps {
        unsigned waiting; /* cells in use */
        GapTold told[GAPS_TOLD_MAX];
} Gaps;

/* Counts what a ring holds. */
void gaps_init(Gaps *g, const Ring *ring);
/* Prepares the change of one cell that adds `gap`: *ret_value is its new content, which *ret borrows. After it took effect
 * in the ring: gaps_changed(). A table that is full keeps the count under "several reasons". */
void gaps_add(const Ring *ring, const Gap *gap, Gap *ret_value, RingChange *ret);
/* As gaps_add(): the change that takes points of a gap back. */
void gaps_take(const Ring *ring, const Gap *gap, uint64_t points, Gap *ret_value, RingChange *ret);
void gaps_changed(Gaps *g, const Ring *ring);
/* The cell of a gap that may become a row now; GAPS_CELLS: none. held: so much of `of` is not to be told yet. */
unsigned gaps_ready(const Gaps *g, const Ring *ring, const Gap *of, uint64_t held);
const Gap *gaps_at(const Ring *ring, unsigned cell);

GapTold *gaps_told_find(Gaps *g, uint64_t seq); /* 0: a free one; NULL: none */
