/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/limbo.h"

void limbo_done(Limbo *l) {
        free(l->rows);
        *l = (Limbo){ 0 };
}

bool limbo_add(Limbo *l, uint64_t seq, uint32_t points, bool evicted) {
        if (l->n == l->room) {
                size_t room = MIN(MAX(2 * l->room, (size_t)64), (size_t)LIMBO_MAX);
                LimboRow *rows = l->n < room ? reallocarray(l->rows, room, sizeof(*rows)) : NULL;

                if (!rows)
                        return false;
                l->rows = rows;
                l->room = room;
        }
        l->rows[l->n++] = (LimboRow){ .seq = seq, .points = points, .evicted = evicted };
        return true;
}

bool limbo_take(Limbo *l, uint64_t first, uint64_t last, LimboRow *ret) {
        size_t i = 0;

        while (i < l->n && l->rows[i].seq < first)
                i++;
        if (i == l->n || l->rows[i].seq > last)
                return false;
        *ret = l->rows[i];
        memmove(l->rows + i, l->rows + i + 1, (l->n - i - 1) * sizeof(*l->rows));
        if (--l->n == 0)
                limbo_done(l);
        return true;
}
