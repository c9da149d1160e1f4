/* SPDX-License-Identifier: Apache-2.0 */
/* One move of rows from the ring to the store: the blocks that are built, and what happens to their rows until
 * they are durable. */
#pragma once

#include "spool/rowset.h"
#include "spool/store.h"

typedef struct MoveBlocks MoveBlocks;

typedef struct Move {
        bool running; /* submitted, not yet answered */
        uint64_t first, last; /* numbers; of the rows between them those that were live at the start */
        uint64_t rows, points;
        RowSet done; /* acknowledged or given up since */
        MoveBlocks *blocks; /* while they are built */
} Move;

void move_begin(Move *m);
/* Rows come in order of number. 1: it is in; 0: enough for one commit, without this row; -ENOMEM. */
_must_check_ int move_add(Move *m, uint64_t seq, const Row *row, const Era *era, uint32_t points);
/* As store_append(); the move is running then. -ENODATA: no rows. */
_must_check_ int move_submit(Move *m, Store *store, uint64_t spare_first, uint64_t spare_last);
void move_end(Move *m);
