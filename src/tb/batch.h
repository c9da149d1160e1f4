/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to one telemetry payload, [{"ts":..,"values":{..}},...], within a size and a number of points. Rows are
 * only copied. Knows which rows it holds, as runs of numbers without a hole, so that the PUBACK can release just
 * them. Pure. */
#pragma once

#include "model/row.h"

#define BATCH_RUNS_MAX 32u

typedef struct RowRun { /* rows first..last, inclusive */
        uint64_t first, last;
} RowRun;

typedef struct Batch {
        char *data;
        size_t size, capacity;
        size_t max_size;     /* of the payload */
        size_t hard_size;    /* what a row alone in its batch may use */
        uint32_t max_points; /* UINT32_MAX: no limit */
        uint32_t points, rows;
        RowRun runs[BATCH_RUNS_MAX]; /* rising */
        unsigned n_runs;             /* 0: it is empty */
        size_t from;     /* where in the text of the first row it starts; 0: at the beginning */
        size_t next;     /* where in the text of the last row it ends; 0: that row is whole */
        size_t last_at;  /* where in the payload the last row's entry starts */
        uint32_t last_points;
        char front[NUMBER_TEXT_MAX + 32]; /* what the last entry begins with, and the time in it */
        size_t front_size;                /* 0: nothing yet */
        int64_t front_ms;
} Batch;

void batch_done(Batch *b);

/* Empties it. max_size is what is aimed at, hard_size (>= max_size) what may never be passed. */
void batch_begin(Batch *b, size_t max_size, size_t hard_size, uint32_t max_points);
/* Adds row `seq` (numbers rise) from `from` in its text, 0: all of it. 1: it is in, and there may be room for
 * more; 0: the batch is complete, without this row (its runs may be used up) or (b->next > 0) with only its first
 * part. -E2BIG: the batch is empty and not even one member of the row fits. -ENOMEM. */
_must_check_ int batch_add(Batch *b, uint64_t seq, const Row *row, size_t from, int64_t ts_ms);
/* Empties it and makes it one entry of an earlier payload; it holds no rows. -ENOMEM. */
_must_check_ int batch_copy(Batch *b, const char *entry, size_t size, uint32_t points);
/* The payload, borrowed until the next call; the batch holds at least one row. */
const char *batch_payload(Batch *b, size_t *ret_size);
/* The last row's entry in it, as borrowed as the payload. */
const char *batch_last_entry(const Batch *b, size_t *ret_size);
