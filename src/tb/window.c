/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "tb/window.h"

static WindowEntry *entry_find(Window *w, uint64_t context) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (w->entries[i].context == context)
                        return &w->entries[i];
        return NULL;
}

uint64_t window_next_context(const Window *w) {
        return w->contexts + 1;
}

void window_add(Window *w, const Batch *b, WindowKind kind, unsigned lane, size_t size, usec_t now) {
        WindowEntry *e = entry_find(w, 0);

        assert(e);
        *e = (WindowEntry){
                .context = ++w->contexts, .kind = kind, .lane = lane, .n_runs = b->n_runs, .next = b->next, .size = size,
                .rows = b->rows, .points = b->points, .sent = now,
        };
        memcpy(e->runs, b->runs, b->n_runs * sizeof(RowRun));
        w->n++;
        w->bytes += size;
}

static void entry_take(Window *w, WindowEntry *e, WindowEntry *ret) {
        *ret = *e;
        w->n--;
        w->bytes -= e->size;
        *e = (WindowEntry){ 0 };
}

bool window_take(Window *w, uint64_t context, WindowEntry *ret) {
        WindowEntry *e = context != 0 ? entry_find(w, context) : NULL;

        if (e)
                entry_take(w, e, ret);
        return e;
}

bool window_pop(Window *w, WindowEntry *ret) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (w->entries[i].context != 0) {
                        entry_take(w, &w->entries[i], ret);
                        return true;
                }
        return false;
}

RowRun window_hull(const WindowEntry *e) {
        return (RowRun){ e->runs[0].first, e->runs[e->n_runs - 1].last };
}

/* Behind the run that holds seq, or seq itself. */
static uint64_t entry_skip(const WindowEntry *e, uint64_t seq) {
        if (e->n_runs == 0 || seq < e->runs[0].first || seq > e->runs[e->n_runs - 1].last)
                return seq;
        for (unsigned i = 0; i < e->n_runs; i++)
                if (seq >= e->runs[i].first && seq <= e->runs[i].last)
                        return e->runs[i].last + 1;
        return seq;
}

uint64_t window_skip(const Window *w, uint64_t seq) {
        uint64_t before;

        if (w->n == 0)
                return seq;
        do {
                before = seq;
                for (size_t i = 0; i < WINDOW_MAX; i++)
                        seq = entry_skip(&w->entries[i], seq);
        } while (seq != before);
        return seq;
}

size_t window_lane_bytes(const Window *w, unsigned lane) {
        size_t bytes = 0;

        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (w->entries[i].lane == lane)
                        bytes += w->entries[i].size;
        return bytes;
}

bool window_has_part(const Window *w) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (w->entries[i].next > 0)
                        return true;
        return false;
}
