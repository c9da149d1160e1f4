/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/rowset.h"

void rowset_done(RowSet *s) {
        free(s->rows);
        *s = (RowSet){ 0 };
}

/* Where seq stands, or would. Mostly it is the end: acknowledgements come nearly in order. */
size_t rowset_find(const RowSet *s, uint64_t seq) {
        size_t low = 0, high = s->n;

        if (s->n > 0 && s->rows[s->n - 1].seq < seq)
                return s->n;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (s->rows[middle].seq < seq)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool reserve(RowSet *s, size_t max) {
        size_t room = MIN(MAX(2 * s->room, (size_t)64), max);
        RowSetRow *rows;

        if (s->n < s->room)
                return true;
        rows = s->n < room ? reallocarray(s->rows, room, sizeof(*rows)) : NULL;
        if (!rows)
                return false;
        s->rows = rows;
        s->room = room;
        return true;
}

bool rowset_add(RowSet *s, RowSetRow row, size_t max) {
        size_t at = rowset_find(s, row.seq);

        if ((at < s->n && s->rows[at].seq == row.seq) || !reserve(s, max))
                return false;
        memmove(s->rows + at + 1, s->rows + at, (s->n - at) * sizeof(*s->rows));
        s->rows[at] = row;
        s->n++;
        s->points += row.points;
        return true;
}

bool rowset_has(const RowSet *s, uint64_t seq) {
        size_t at = s->n > 0 ? rowset_find(s, seq) : 0;

        return at < s->n && s->rows[at].seq == seq;
}

RowSetTaken rowset_take(RowSet *s, uint64_t first, uint64_t last) {
        size_t from = rowset_find(s, first), to = from;
        RowSetTaken taken = { 0 };

        for (; to < s->n && s->rows[to].seq <= last; to++) {
                taken.rows++;
                taken.points += s->rows[to].points;
        }
        if (to > from)
                memmove(s->rows + from, s->rows + to, (s->n - to) * sizeof(*s->rows));
        s->n -= to - from;
        s->points -= taken.points;
        if (s->n == 0)
                rowset_done(s);
        return taken;
}
