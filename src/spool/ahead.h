/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the store that are done with before their turn: acknowledged out of order, or sent while they still
 * stood in the ring. A sorted set of numbers with the points of each, bounded. In memory only: after a crash
 * these rows are sent once more, and the server has them already. Pure. */
#pragma once

#include "base/macro.h"

#define AHEAD_MAX 32768

typedef struct AheadRow {
        uint64_t seq;
        uint32_t points;
} AheadRow;

typedef struct Ahead {
        AheadRow *rows;
        size_t n, room;
        uint64_t points;
} Ahead;

typedef struct AheadTaken {
        uint64_t rows, points;
} AheadTaken;

void ahead_done(Ahead *a);
/* true: it is new there. false: it was there already, or there is no room: the row will be sent again. */
bool ahead_add(Ahead *a, uint64_t seq, uint32_t points);
bool ahead_has(const Ahead *a, uint64_t seq);
/* Forgets the rows first..last. */
AheadTaken ahead_take(Ahead *a, uint64_t first, uint64_t last);
