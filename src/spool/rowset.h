/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted, bounded set of rows, by number, with the points of each. Pure. */
#pragma once

#include "base/macro.h"

typedef struct RowSetRow {
        uint64_t seq;
        uint32_t points;
        bool evicted; /* in limbo: counted as lost, until the answer says that it arrived; else it moved to the store */
} RowSetRow;

typedef struct RowSet {
        RowSetRow *rows;
        size_t n, room;
        uint64_t points;
} RowSet;

typedef struct RowSetTaken {
        uint64_t rows, points;
} RowSetTaken;

void rowset_done(RowSet *s);
/* true: it is new there. false: it was there already, or there are `max` rows, or no memory. */
bool rowset_add(RowSet *s, RowSetRow row, size_t max);
bool rowset_has(const RowSet *s, uint64_t seq);
size_t rowset_find(const RowSet *s, uint64_t seq); /* index of the first row numbered >= seq */
/* Forgets the rows first..last. */
RowSetTaken rowset_take(RowSet *s, uint64_t first, uint64_t last);
