/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/backlog.h"

struct BacklogBlock {
        BacklogBlock *next;
        uint64_t first, last;
        Era era;
        size_t size;
        uint32_t n;      /* rows */
        uint32_t passed; /* of them, at the front */
        struct {
                uint64_t seq;
                uint32_t offset;
        } *rows;
        uint8_t *records;
};

static BacklogBlock *block_free(BacklogBlock *b) {
        if (!b)
                return NULL;
        free(b->rows);
        free(b->records);
        free(b);
        return NULL;
}
DEFINE_CLEANUP(BacklogBlock *, block_free)

static void pop(Backlog *b) {
        BacklogBlock *head = b->head;

        b->head = head->next;
        if (!b->head)
                b->tail = NULL;
        b->bytes -= head->size;
        block_free(head);
}

void backlog_reset(Backlog *b) {
        while (b->head)
                pop(b);
        b->loaded = 0;
}

/* Where the rows stand. Numbers that do not rise are not ours: they would be sent twice. */
static int index_rows(BacklogBlock *b, uint32_t room, uint64_t position) {
        uint64_t last = position;
        Record r;

        for (size_t at = 0; at < b->size && b->n < room;) {
                ssize_t size = record_read(b->records + at, b->size - at, &r);

                if (size < 0)
                        return (int)size;
                if (r.seq > last) {
                        b->rows[b->n].seq = last = r.seq;
                        b->rows[b->n++].offset = (uint32_t)at;
                }
                at += (size_t)size;
        }
        return 0;
}

int backlog_load(Backlog *b, StoreBlock *block, uint64_t position) {
        _cleanup_(block_freep) BacklogBlock *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        *n = (BacklogBlock){ .first = block->first, .last = block->last, .era = block->era, .size = block->size };
        n->rows = calloc(MAX(block->rows, 1u), sizeof(*n->rows));
        if (!n->rows)
                return -ENOMEM;
        n->records = store_block_take(block);
        r = index_rows(n, block->rows, MAX(position, b->tail ? b->tail->last : 0));
        b->loaded = MAX(b->loaded, block->last);
        b->bytes += n->size;
        if (b->tail)
                b->tail->next = n;
        else
                b->head = n;
        b->tail = TAKE_PTR(n);
        return r;
}

static uint32_t first_from(const BacklogBlock *b, uint64_t from) {
        uint32_t low = b->passed, high = b->n;

        while (low < high) {
                uint32_t middle = low + (high - low) / 2;

                if (b->rows[middle].seq < from)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool give(const BacklogBlock *b, uint32_t i, Record *ret, Era *ret_era) {
        *ret_era = b->era;
        return record_read(b->records + b->rows[i].offset, b->size - b->rows[i].offset, ret) > 0;
}

bool backlog_find(const Backlog *b, uint64_t from, const RowSet *ahead, Record *ret, Era *ret_era) {
        for (const BacklogBlock *block = b->head; block; block = block->next)
                for (uint32_t i = block->last < from ? block->n : first_from(block, from); i < block->n; i++)
                        if (!rowset_has(ahead, block->rows[i].seq))
                                return give(block, i, ret, ret_era);
        return false;
}

bool backlog_get(const Backlog *b, uint64_t seq, Record *ret, Era *ret_era) {
        for (const BacklogBlock *block = b->head; block; block = block->next)
                if (block->first <= seq && seq <= block->last) {
                        uint32_t i = first_from(block, seq);

                        return i < block->n && block->rows[i].seq == seq && give(block, i, ret, ret_era);
                }
        return false;
}

bool backlog_pass(Backlog *b, uint64_t seq) {
        while (b->head && b->head->passed == b->head->n)
                pop(b);
        if (!b->head || b->head->rows[b->head->passed].seq != seq)
                return false;
        b->head->passed++;
        return true;
}

uint64_t backlog_advance(Backlog *b, uint64_t position, const RowSet *ahead) {
        while (b->head) {
                BacklogBlock *block = b->head;

                for (; block->passed < block->n && rowset_has(ahead, block->rows[block->passed].seq); block->passed++)
                        position = MAX(position, block->rows[block->passed].seq);
                if (block->passed < block->n)
                        break;
                position = MAX(position, block->last);
                pop(b);
        }
        return position;
}

void backlog_forget(Backlog *b, uint64_t first, uint64_t last) {
        BacklogBlock **link = &b->head;

        b->tail = NULL;
        while (*link) {
                BacklogBlock *block = *link;

                if (first <= block->first && block->last <= last) {
                        *link = block->next;
                        b->bytes -= block->size;
                        block_free(block);
                } else {
                        b->tail = block;
                        link = &block->next;
                }
        }
}
