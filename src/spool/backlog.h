/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that were read from the store and wait to be sent, in order of number; a few hundred KiB at
 * most, and nothing while there is no connection. Pure but for memory. */
#pragma once

#include "spool/rowset.h"
#include "spool/store.h"

typedef struct BacklogBlock BacklogBlock;

typedef struct Backlog {
        BacklogBlock *head, *tail;
        size_t bytes;        /* of records */
        uint64_t loaded;     /* number of the last row that was read; 0: none since the last reset */
} Backlog;

void backlog_reset(Backlog *b);
/* Takes the records of block over (store_block_take()). Rows up to `position` are done with and left out. 0, -ENOMEM;
 * -EBADMSG: a record in it is damaged, what is before it is taken. */
_must_check_ int backlog_load(Backlog *b, StoreBlock *block, uint64_t position);
/* The first row numbered >= from that is not in `ahead`: its era is borrowed as the row is. */
bool backlog_find(const Backlog *b, uint64_t from, const RowSet *ahead, Record *ret, Era *ret_era);
/* Row seq as it stands here. */
bool backlog_get(const Backlog *b, uint64_t seq, Record *ret, Era *ret_era);
/* Row seq is done with: true where it is the first one that was not, so that only the new position has to be remembered. */
bool backlog_pass(Backlog *b, uint64_t seq);
/* Passes rows at the front that are in `ahead`, and blocks that are through: the new position (at least `position`). */
uint64_t backlog_advance(Backlog *b, uint64_t position, const RowSet *ahead);
/* Forgets blocks that lie within first..last. */
void backlog_forget(Backlog *b, uint64_t first, uint64_t last);
