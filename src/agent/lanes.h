/* SPDX-License-Identifier: Apache-2.0 */
/* The spool's rows on their way into batches: a cursor for each lane, and what of a lane may not go now. */
#pragma once

#include "spool/spool.h"
#include "tb/window.h"

#define LANES_PARTS 8u

typedef struct Lanes {
        Spool *spool;         /* borrowed */
        const Window *window; /* borrowed */
        bool (*may_estimate)(void *userdata);
        void *userdata;
        uint64_t cursor[_LANE_MAX]; /* the next row of the lane is numbered so, or higher */
        struct {
                uint64_t seq; /* of this row, the text before `next` is acknowledged */
                size_t next;
        } parts[LANES_PARTS];
        unsigned n_parts; /* noted so far; the oldest is forgotten for a new one */
        uint64_t strict_first, strict_last; /* passed over, because the backlog comes first; 0: none */
        size_t strict_bytes;
} Lanes;

typedef struct LaneSpan {
        uint64_t first, last; /* rows that may go */
        uint32_t max_rows;
} LaneSpan;

enum { LANE_END, LANE_FULL, LANE_STOPPED };

/* Adds rows of the span to b, which was begun. LANE_FULL: no more fits, or max_rows; LANE_END: there are no more
 * rows; LANE_STOPPED: rows wait for the clock; -EAGAIN: they are being read; -ENOMEM. Whatever it returns, what is
 * in b may be sent. */
_must_check_ int lanes_fill(Lanes *l, SpoolLane lane, const LaneSpan *span, Batch *b);
/* The first row of the lane in first..last that may be sent: as spool_next(). */
_must_check_ int lanes_find(Lanes *l, SpoolLane lane, uint64_t first, uint64_t last, SpoolRow *ret);

/* b was sent. */
void lanes_advance(Lanes *l, SpoolLane lane, const Batch *b);
void lanes_rewind(Lanes *l);
/* A batch was acknowledged: its whole rows leave the spool, a part is remembered. The number of rows that left. */
uint32_t lanes_ack(Lanes *l, const WindowEntry *e);
/* Brings the live cursor back to strict rows whose time has come. */
void lanes_refresh(Lanes *l);

/* ts of a row, in ms. */
int64_t lanes_row_ts(const SpoolRow *row);
