/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the spool know of each other: rows.c (rows in and out), moving.c (to the store and what
 * comes back from it), ending.c (how a row ends). For them alone. */
#pragma once

#include "spool/backlog.h"
#include "spool/eras.h"
#include "spool/gaps.h"
#include "spool/move.h"
#include "spool/ring.h"
#include "spool/rowset.h"
#include "spool/spool.h"

#define AHEAD_MAX 32768
/* Rows that were read have room when others, far ahead of them, fill the set: without it the position would never pass them and
 * nothing behind them be read. At most READ_AHEAD and a block of SEGMENT_RAW_MAX are read, 40 bytes or more for each. */
#define AHEAD_READ_MAX (2 * AHEAD_MAX)
#define LIMBO_MAX 16384 /* more than a window of batches holds */

struct Spool {
        SpoolParams params;
        Ring *ring;
        Store *store; /* NULL: none */
        bool in_memory, kept;
        bool opened; /* the store knows what it holds */
        Gaps gaps;
        int64_t gap_ns; /* time of the last gap row */
        Backlog backlog;
        RowSet ahead; /* rows of the store that are done with before their turn: after a crash they are sent once more */
        RowSet limbo; /* rows that left the ring, moved or evicted, on their way to the server: how it ended is known later */
        uint64_t limbo_points; /* of evicted rows in limbo: count as lost, but are not told yet */
        uint64_t sent; /* rows up to it may be on their way */
        struct {
                bool running;
                bool stale;  /* what comes is not what is wanted any more: it starts behind rows that are */
                bool got;    /* at least a block came */
                uint64_t to; /* stored_last when it was asked for */
        } reading;
        Move move;
        LoopTimer *move_timer;
        usec_t retry_at, retry_wait;
        bool flushing, flush_failed;
        uint64_t live_rows, live_bytes, live_points;
};

static inline int64_t spool_now_ns(const Spool *s) {
        return (int64_t)loop_boottime(s->params.loop) * NSEC_PER_USEC;
}

/* ---- rows.c */
void spool_notice(const Spool *s, int level, const char *text);
void spool_tell_ready(const Spool *s);
/* Made points but for those that are acknowledged: where each of them is. */
uint64_t spool_not_acked(const Spool *s, const RingLedger *l);
void spool_count_live(Spool *s, const Row *row, int by);
/* Counts a gap as dropped, to be told, while rows up to `release` leave the ring: one step. unsure: the store may have it. */
void spool_lose(Spool *s, const Gap *gap, uint64_t release, bool unsure);
/* It was not lost after all. ledger takes effect with it. */
void spool_find(Spool *s, const Gap *gap, uint64_t points, RingLedger *ledger);
/* Rows that left for want of room: their gap. */
extern const Gap spool_queue_full;
void spool_release_prefix(Spool *s);
uint32_t spool_note_now(const Spool *s); /* the note of a row in the ring: ms when it was accepted */
/* BOOTTIME of this boot for a time of the server. */
int64_t spool_boottime_ns(const Spool *s, int64_t ms);

/* ---- moving.c */
extern const StoreEvents spool_store_events;
void spool_on_move_timer(void *userdata);
bool spool_is_moving(const Spool *s, uint64_t seq);
void spool_commit(Spool *s, const RingLedger *ledger); /* the ledger alone */
void spool_arm_move(Spool *s);
void spool_start_move(Spool *s);
bool spool_is_half_full(const Spool *s);
/* Asks for more of the backlog where there is room; true: more may come. */
bool spool_read_on(Spool *s);
/* Forgets what was read: it is read again from the first row that is not done with. */
void spool_read_again(Spool *s);
/* The store is done with up to position: with `passed` of its rows and with those that were ahead. false: nothing is new. */
bool spool_pass(Spool *s, uint64_t position, RowSetTaken passed, RingLedger *ledger);
/* Passes what is done with at the front of the store. */
void spool_advance(Spool *s);
