/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a folder of its own, the rows that are put into it, and what it tells. */
#pragma once

#include "spool/segment.h"
#include "spool/store.h"

#define FIXTURE_ROWS_MAX 20000

typedef struct Fixture {
        char dir[64];
        Loop *loop;
        Store *store;
        /* told by the store */
        bool opened, read_ended;
        StoreFound found;
        unsigned committed, blocks, losts, states;
        int error;
        uint64_t lost_rows, lost_points, lost_first, lost_last;
        int64_t lost_from_ms, lost_to_ms;
        const char *lost_why; /* of the last one */
        StoreState state;
        char text[256];
        uint64_t rows, points, last; /* that were read */
        Era era;                     /* of the last block that was read */
        uint8_t seen[FIXTURE_ROWS_MAX]; /* by number: times it was read */
        bool out_of_order;
} Fixture;

/* A folder of its own below TMPDIR. */
void fixture_init(Fixture *f);
void fixture_done(Fixture *f); /* removes it */
/* Opens and waits until it is open. max_bytes 0: 64 MiB. */
void fixture_open(Fixture *f, uint64_t max_bytes, uint64_t known_acked, uint64_t known_last);
void fixture_close(Fixture *f);
void fixture_forget(Fixture *f); /* what was told so far */
void fixture_wait(Fixture *f);   /* until nothing waits to be done */
char *fixture_path(const Fixture *f, uint64_t segment); /* owned by the caller */

/* Rows first..last, one point each where points is 1, text as a sensor's; time = number ms, offset 1000000 ms. */
StoreBlock block_of(uint64_t first, uint64_t last, uint32_t points);
StoreBlock block_with(uint64_t first, uint64_t last, uint32_t points, unsigned noise, const Era *era); /* noise: random bytes in a text */
void block_done(StoreBlock *b);
extern const Era fixture_era;

/* Commits rows as one block: the store's answer. */
int fixture_append(Fixture *f, uint64_t first, uint64_t last);
/* Reads all there is above `after`, in steps. */
void fixture_read(Fixture *f, uint64_t after);
/* Two points a row, 200 bytes that zstd cannot make smaller by much. */
int fixture_append_noise(Fixture *f, uint64_t first, uint64_t last, uint64_t spare_first, uint64_t spare_last);
/* Each row was read once, none else, in order. */
void fixture_assert_read(const Fixture *f, uint64_t first, uint64_t last);

/* For cmocka. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

#define FIXTURE_SMALL (64 * KIB) /* a store with segments of 8 KiB */

/* ---- files below its folder */
char *fixture_file(const Fixture *f, const char *name); /* owned by the caller */
void fixture_put(const Fixture *f, const char *name, const void *data, size_t size);
bool fixture_has(const Fixture *f, const char *name);
void fixture_fifo(const Fixture *f, const char *name);
unsigned fixture_count(const Fixture *f); /* in spool/ */
void fixture_remove_folder(const Fixture *f); /* spool/ */
