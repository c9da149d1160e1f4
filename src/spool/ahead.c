/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/ahead.h"

void ahead_done(Ahead *a) {
        free(a->rows);
        *a = (Ahead){ 0 };
}

/* Where seq stands, or would. Mostly it is the end: acknowledgements come nearly in order. */
static size_t find(const Ahead *a, uint64_t seq) {
        size_t low = 0, high = a->n;

        if (a->n > 0 && a->rows[a->n - 1].seq < seq)
                return a->n;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (a->rows[middle].seq < seq)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool reserve(Ahead *a) {
        size_t room = MIN(MAX(2 * a->room, (size_t)64), (size_t)AHEAD_MAX);
        AheadRow *rows;

        if (a->n < a->room)
                return true;
        rows = a->n < room ? reallocarray(a->rows, room, sizeof(*rows)) : NULL;
        if (!rows)
                return false;
        a->rows = rows;
        a->room = room;
        return true;
}

bool ahead_add(Ahead *a, uint64_t seq, uint32_t points) {
        size_t at = find(a, seq);

        if ((at < a->n && a->rows[at].seq == seq) || !reserve(a))
                return false;
        memmove(a->rows + at + 1, a->rows + at, (a->n - at) * sizeof(*a->rows));
        a->rows[at] = (AheadRow){ .seq = seq, .points = points };
        a->n++;
        a->points += points;
        return true;
}

bool ahead_has(const Ahead *a, uint64_t seq) {
        size_t at = a->n > 0 ? find(a, seq) : 0;

        return at < a->n && a->rows[at].seq == seq;
}

AheadTaken ahead_take(Ahead *a, uint64_t first, uint64_t last) {
        size_t from = find(a, first), to = from;
        AheadTaken taken = { 0 };

        for (; to < a->n && a->rows[to].seq <= last; to++) {
                taken.rows++;
                taken.points += a->rows[to].points;
        }
        if (to > from)
                memmove(a->rows + from, a->rows + to, (a->n - to) * sizeof(*a->rows));
        a->n -= to - from;
        a->points -= taken.points;
        if (a->n == 0)
                ahead_done(a);
        return taken;
}
