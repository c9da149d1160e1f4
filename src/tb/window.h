/* SPDX-License-Identifier: Apache-2.0 */
/* The batches that have no answer yet, each with the rows it holds. A batch has a number of its own as context;
 * an answer to one that is not here is nobody's (an earlier connection's). Pure. */
#pragma once

#include "tb/batch.h"

#define WINDOW_MAX 8u

typedef enum WindowKind {
        WINDOW_ROWS,
        WINDOW_PROBE, /* does the server take telemetry at all (tb/suspect)? May hold no rows */
        WINDOW_TEST,  /* rows that are suspected (tb/suspect) */
} WindowKind;

typedef struct WindowEntry {
        uint64_t context; /* 0: unused */
        WindowKind kind;
        unsigned lane;
        RowRun runs[BATCH_RUNS_MAX];
        unsigned n_runs; /* 0: a row that the server has, once more */
        size_t next; /* > 0: the last row is there only up to here */
        size_t size;
        uint32_t rows, points;
        usec_t sent;
} WindowEntry;

typedef struct Window {
        WindowEntry entries[WINDOW_MAX];
        uint64_t contexts; /* given so far */
        unsigned n;
        size_t bytes;
} Window;

/* The context of the batch that is added next. */
uint64_t window_next_context(const Window *w);
/* b was sent; there must be room. */
void window_add(Window *w, const Batch *b, WindowKind kind, unsigned lane, size_t size, usec_t now);
/* false: not one of ours. */
bool window_take(Window *w, uint64_t context, WindowEntry *ret);
/* Any entry; false: none is left. */
bool window_pop(Window *w, WindowEntry *ret);

/* The lowest number >= seq that is not in flight. */
uint64_t window_skip(const Window *w, uint64_t seq);
size_t window_lane_bytes(const Window *w, unsigned lane);
bool window_has_part(const Window *w);

/* First and last row; the entry holds rows. */
RowRun window_hull(const WindowEntry *e);
