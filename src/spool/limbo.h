/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that left the ring while they were on their way to the server: how it ended is known later. Bounded by
 * what a window of batches holds. Pure. */
#pragma once

#include "base/macro.h"

#define LIMBO_MAX 16384

typedef struct LimboRow {
        uint64_t seq;
        uint32_t points;
        bool evicted; /* counted as lost, until the answer says that it arrived; else it moved to the store */
} LimboRow;

typedef struct Limbo { /* numbers rise */
        LimboRow *rows;
        size_t n, room;
} Limbo;

void limbo_done(Limbo *l);
/* seq is above all before it. false: no room. */
bool limbo_add(Limbo *l, uint64_t seq, uint32_t points, bool evicted);
/* Takes one row of first..last out; false: none is there. */
bool limbo_take(Limbo *l, uint64_t first, uint64_t last, LimboRow *ret);
