/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row's text goes into the payload as it stands. Only a row that alone is larger than what one message may
 * carry (its points above the server's data-point capacity, or its bytes above the payload limit) is cut, at
 * a top-level comma, and always ends its batch: the rest starts the next one, with the same time, so that
 * the server sees one row. Such a row counts as delivered when its last part is; that is the caller's part.
 */
#include "tb/batch.h"

#define HEAD "{\"ts\":"
#define MIDDLE ",\"values\":"
#define ENTRY_OVERHEAD (sizeof(HEAD) - 1 + 20 + sizeof(MIDDLE) - 1 + sizeof("},") - 1)

void batch_done(Batch *b) {
        free(b->data);
        *b = (Batch){ 0 };
}

void batch_begin(Batch *b, size_t max_size, size_t hard_size, uint32_t max_points) {
        *b = (Batch){
                .data = b->data,
                .capacity = b->capacity,
                .max_size = max_size,
                .hard_size = hard_size,
                .max_points = max_points,
        };
}

static int reserve(Batch *b, size_t more) {
        size_t capacity = MAX(b->capacity * 2, b->size + more);
        char *data;

        if (b->size + more <= b->capacity)
                return 0;
        capacity = MAX(MIN(capacity, b->max_size), b->size + more);
        data = realloc(b->data, capacity);
        if (!data)
                return -ENOMEM;
        b->data = data;
        b->capacity = capacity;
        return 0;
}

static char *write_text(char *at, const char *text, size_t size) {
        memcpy(at, text, size);
        return at + size;
}

/* {"ts":...,"values": ; rows of one sample() follow each other with one time. */
static char *write_front(Batch *b, char *at, int64_t ts_ms) {
        char *start = b->front;

        if (b->front_size == 0 || ts_ms != b->front_ms) {
                start = write_text(start, HEAD, sizeof(HEAD) - 1);
                start += number_format_int(start, ts_ms);
                start = write_text(start, MIDDLE, sizeof(MIDDLE) - 1);
                b->front_size = (size_t)(start - b->front);
                b->front_ms = ts_ms;
        }
        return write_text(at, b->front, b->front_size);
}

/* Room for `text` was reserved. braces: it is members without them. */
static void write_entry(Batch *b, int64_t ts_ms, const char *text, size_t size, bool braces) {
        char *at = b->data + b->size;

        *at++ = b->rows == 0 ? '[' : ',';
        b->last_at = b->size + 1;
        at = write_front(b, at, ts_ms);
        if (braces)
                *at++ = '{';
        at = write_text(at, text, size);
        if (braces)
                *at++ = '}';
        *at++ = '}';
        b->size = (size_t)(at - b->data);
}

static bool continues_run(const Batch *b, uint64_t seq) {
        return b->n_runs > 0 && b->runs[b->n_runs - 1].last + 1 == seq;
}

static void note_row(Batch *b, uint64_t seq, size_t from, uint32_t points) {
        if (b->rows == 0)
                b->from = from;
        if (!continues_run(b, seq))
                b->runs[b->n_runs++].first = seq;
        b->runs[b->n_runs - 1].last = seq;
        b->last_points = points;
        b->rows++;
        b->points += points;
}

/* Into an empty batch, as much of the row as fits. */
static int add_part(Batch *b, uint64_t seq, const Row *row, size_t from, int64_t ts_ms) {
        size_t start, len, next;
        uint32_t points;
        int r;

        if (b->hard_size <= ENTRY_OVERHEAD + 2)
                return -E2BIG;
        r = row_cut(row->text, row->text_size, from, b->max_points, b->hard_size - ENTRY_OVERHEAD - 2, &start, &len,
                    &points, &next);
        if (r < 0)
                return r;
        r = reserve(b, len + ENTRY_OVERHEAD + 4);
        if (r < 0)
                return r;
        write_entry(b, ts_ms, row->text + start, len, true);
        note_row(b, seq, from, points);
        if (next >= row->text_size)
                return 1;
        b->next = next;
        return 0;
}

int batch_add(Batch *b, uint64_t seq, const Row *row, size_t from, int64_t ts_ms) {
        size_t size = row->text_size + ENTRY_OVERHEAD + 2;
        size_t limit = b->rows == 0 ? b->hard_size : b->max_size;
        bool fits = from == 0 && b->size + size <= limit && row->points <= b->max_points - b->points;
        int r;

        if (b->next > 0 || (b->n_runs == BATCH_RUNS_MAX && !continues_run(b, seq)))
                return 0;
        if (!fits)
                return b->rows == 0 ? add_part(b, seq, row, from, ts_ms) : 0;
        r = reserve(b, size);
        if (r < 0)
                return r;
        write_entry(b, ts_ms, row->text, row->text_size, false);
        note_row(b, seq, 0, row->points);
        return 1;
}

int batch_copy(Batch *b, const char *entry, size_t size, uint32_t points) {
        int r;

        batch_begin(b, size + 2, size + 2, UINT32_MAX);
        r = reserve(b, size + 2);
        if (r < 0)
                return r;
        b->data[0] = '[';
        memcpy(b->data + 1, entry, size);
        b->size = size + 1;
        b->points = points;
        return 0;
}

const char *batch_payload(Batch *b, size_t *ret_size) {
        b->data[b->size] = ']'; /* every entry reserved a byte for it */
        *ret_size = b->size + 1;
        return b->data;
}

const char *batch_last_entry(const Batch *b, size_t *ret_size) {
        *ret_size = b->size - b->last_at;
        return b->data + b->last_at;
}
