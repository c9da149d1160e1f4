/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "spool/gaps.h"

_Static_assert(sizeof(Gap) <= RING_CELL_SIZE, "a gap fits a cell");

const Gap *gaps_at(const Ring *ring, unsigned cell) {
        return ring_cell(ring, cell);
}

void gaps_changed(Gaps *g, const Ring *ring) {
        g->waiting = 0;
        for (unsigned i = 0; i < GAPS_CELLS; i++)
                g->waiting += gaps_at(ring, i)->points > 0;
}

void gaps_init(Gaps *g, const Ring *ring) {
        *g = (Gaps){ 0 };
        gaps_changed(g, ring);
}

/* Its cell, or a free one; the last is kept for what does not fit. */
static unsigned find(const Ring *ring, const Gap *gap) {
        unsigned unused = GAPS_CELLS;

        for (unsigned i = 0; i < GAPS_CELLS - 1; i++) {
                const Gap *at = gaps_at(ring, i);

                if (at->points == 0)
                        unused = MIN(unused, i);
                else if (gap_same(at, gap))
                        return i;
        }
        return unused;
}

void gaps_add(const Ring *ring, const Gap *gap, Gap *ret_value, RingChange *ret) {
        unsigned cell = find(ring, gap);
        Gap value = *gap;

        if (cell == GAPS_CELLS) {
                cell = GAPS_CELLS - 1;
                value = (Gap){ .why = "several reasons", .points = gap->points, .from_ns = gap->from_ns, .to_ns = gap->to_ns };
        }
        if (gaps_at(ring, cell)->points > 0) {
                value = *gaps_at(ring, cell);
                value.points += gap->points;
                value.from_ns = MIN(value.from_ns, gap->from_ns);
                value.to_ns = MAX(value.to_ns, gap->to_ns);
        }
        *ret_value = value;
        *ret = (RingChange){ .cell = cell, .data = ret_value, .size = sizeof(*ret_value) };
}

void gaps_take(const Ring *ring, const Gap *gap, uint64_t points, Gap *ret_value, RingChange *ret) {
        unsigned cell = find(ring, gap);

        if (cell == GAPS_CELLS || gaps_at(ring, cell)->points == 0)
                cell = GAPS_CELLS - 1; /* it went with the several reasons */
        *ret_value = *gaps_at(ring, cell);
        ret_value->points -= MIN(points, ret_value->points);
        *ret = (RingChange){ .cell = cell, .data = ret_value, .size = ret_value->points > 0 ? sizeof(*ret_value) : 0 };
}

static bool is_told(const Gaps *g, const Gap *gap) {
        for (size_t i = 0; i < GAPS_TOLD_MAX; i++)
                if (g->told[i].seq != 0 && gap_same(&g->told[i].gap, gap))
                        return true;
        return false;
}

unsigned gaps_ready(const Gaps *g, const Ring *ring, const Gap *of, uint64_t held) {
        size_t used = 0;

        if (g->waiting == 0)
                return GAPS_CELLS;
        for (size_t i = 0; i < GAPS_TOLD_MAX; i++)
                used += g->told[i].seq != 0;
        for (unsigned i = 0; used < GAPS_TOLD_MAX && i < GAPS_CELLS; i++) {
                const Gap *at = gaps_at(ring, i);

                if (at->points > (gap_same(at, of) ? held : 0) && !is_told(g, at))
                        return i;
        }
        return GAPS_CELLS;
}

GapTold *gaps_told_find(Gaps *g, uint64_t seq) {
        for (size_t i = 0; i < GAPS_TOLD_MAX; i++)
                if (g->told[i].seq == seq)
                        return &g->told[i];
        return NULL;
}
