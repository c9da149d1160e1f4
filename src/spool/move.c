/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/move.h"

#define BLOCK_MAX (256 * KIB) /* of records; what reading one costs in memory */
#define COMMIT_MAX MIB
#define BLOCKS_MAX 64

struct MoveBlocks {
        size_t n;
        StoreBlock blocks[BLOCKS_MAX]; /* records: set when all are written, the buffer may move before */
        size_t start[BLOCKS_MAX];
        uint8_t *records;
        size_t size, room;
};

static void blocks_free(Move *m) {
        if (m->blocks)
                free(m->blocks->records);
        free(m->blocks);
        m->blocks = NULL;
}

void move_begin(Move *m) {
        move_end(m);
        m->blocks = calloc(1, sizeof(*m->blocks));
}

static int reserve(MoveBlocks *b, size_t more) {
        size_t room = MAX(2 * b->room, b->size + more + 16 * KIB);
        uint8_t *records;

        if (b->size + more <= b->room)
                return 0;
        records = realloc(b->records, MIN(room, COMMIT_MAX + RECORD_SIZE_MAX));
        if (!records)
                return -ENOMEM;
        b->records = records;
        b->room = MIN(room, COMMIT_MAX + RECORD_SIZE_MAX);
        return 0;
}

/* The block that takes a row of so many bytes; NULL: no more blocks. */
static StoreBlock *block_for(MoveBlocks *b, size_t size, const Era *era) {
        StoreBlock *last = b->n > 0 ? &b->blocks[b->n - 1] : NULL;

        if (last && last->size + size <= BLOCK_MAX && memcmp(&last->era, era, sizeof(*era)) == 0)
                return last;
        if (b->n == BLOCKS_MAX)
                return NULL;
        b->start[b->n] = b->size;
        b->blocks[b->n] = (StoreBlock){ .era = *era };
        return &b->blocks[b->n++];
}

int move_add(Move *m, uint64_t seq, const Row *row, const Era *era, uint32_t points) {
        MoveBlocks *b = m->blocks;
        size_t size = record_size(row);
        StoreBlock *block;

        if (!b || reserve(b, size) < 0)
                return -ENOMEM;
        if (b->size + size > COMMIT_MAX)
                return 0;
        block = block_for(b, size, era);
        if (!block)
                return 0;
        record_write(b->records + b->size, seq, 0, row);
        b->size += size;
        block->size += size;
        block->first = block->rows == 0 ? seq : block->first;
        block->last = seq;
        block->rows++;
        block->points += points;
        m->first = m->rows == 0 ? seq : m->first;
        m->last = seq;
        m->rows++;
        m->points += points;
        return 1;
}

int move_submit(Move *m, Store *store, uint64_t spare_first, uint64_t spare_last) {
        MoveBlocks *b = m->blocks;
        int r;

        if (!b || b->n == 0)
                return b ? -ENODATA : -ENOMEM;
        for (size_t i = 0; i < b->n; i++)
                b->blocks[i].records = b->records + b->start[i];
        r = store_append(store, b->blocks, b->n, spare_first, spare_last);
        blocks_free(m);
        m->running = r == 0;
        return r;
}

void move_end(Move *m) {
        blocks_free(m);
        rowset_done(&m->done);
        *m = (Move){ 0 };
}
