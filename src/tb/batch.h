/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to one telemetry payload, [{"ts":..,"values":{..}},...], within a size and a number of points. Rows are
 * only copied. Knows which rows it holds, so that the PUBACK can release them. Pure. */
#pragma once

#include "model/row.h"

typedef struct Batch {
        char *data;
        size_t size, capacity;
        size_t max_size;     /* of the payload */
        size_t hard_size;    /* what a row alone in its batch may use */
        uint32_t max_points; /* UINT32_MAX: no limit */
        uint32_t points, rows;
        uint64_t first, last; /* rows in it, inclusive; rows 0: none */
        size_t from;          /* where in the text of `first` it starts; 0: at the beginning */
        size_t next;          /* where in the text of `last` it ends; 0: `last` is whole */
} Batch;

void batch_done(Batch *b);

/* Empties it. max_size is what is aimed at, hard_size (>= max_size) what may never be passed. */
void batch_begin(Batch *b, size_t max_size, size_t hard_size, uint32_t max_points);
/* Adds row `seq` (numbers rise) from `from` in its text, 0: all of it. 1: it is in, and there may be room for
 * more; 0: the batch is complete, without this row or (b->next > 0) with only its first part. -E2BIG: the batch
 * is empty and not even one member of the row fits. -ENOMEM. */
_must_check_ int batch_add(Batch *b, uint64_t seq, const Row *row, size_t from, int64_t ts_ms);
/* The payload, borrowed until the next call; the batch holds at least one row. */
const char *batch_payload(Batch *b, size_t *ret_size);
