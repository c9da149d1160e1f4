/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of a ring keeps in its file beside the rows: a ledger and cells. */
#pragma once

#include "base/macro.h"

/* Kept in the file's header, changed together with the rows. */
typedef struct RingLedger {
        uint64_t made_points;    /* of every row that ever got a number in this ring; rows of gaps count nowhere */
        uint64_t acked_points;
        uint64_t dropped_points; /* evicted or damaged: each of them stands in a gap record */
        uint64_t gap_points;     /* told in gap records that are at the server */
        uint64_t rejected_points;
        uint64_t stored_last;    /* rows up to it stand in the store or were never put there; 0: none */
        uint64_t stored_acked;   /* rows of the store up to it are at the server */
        uint64_t stored_rows, stored_points; /* in the store, above stored_acked */
        uint64_t era;            /* cell of the era of new rows */
        uint64_t discarded_points; /* overwritten while there was no server: not lost */
        uint64_t moving_last;      /* rows up to it are being stored; 0: none are */
        uint64_t unsure_points;    /* of dropped_points: evicted while they were being stored, so perhaps safe; not told yet */
        uint64_t spare[3];
} RingLedger;

/* Small things of the owner that survive with the rows: gaps not yet told, eras. */
#define RING_CELLS 128u
#define RING_CELL_SIZE 184u
typedef struct RingChange {
        unsigned cell;
        const void *data; /* padded with zeros */
        size_t size;      /* <= RING_CELL_SIZE */
} RingChange;
