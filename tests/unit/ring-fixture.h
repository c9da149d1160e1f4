/* SPDX-License-Identifier: Apache-2.0 */
/* Rings whose every row follows from its number, and whose ledger follows from rows and cells. */
#pragma once

#include "spool/ring.h"

typedef struct RingFixture {
        char *dir; /* on tmpfs where there is one */
        char path[64];
} RingFixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Expects `how`. text "": nothing was said; else a part of what was. path NULL: memory. */
Ring *must_open(const char *path, size_t size, int how, const char *text);

/* Device, flags, points and a text of 24 to 204 bytes, valid until the next call. */
Row row_of(uint64_t seq);
uint32_t points_of(uint64_t seq); /* 0: it tells of a gap */
/* Appends the row of the next number and counts it as made. cell >= 0: counts there, too. -ENOSPC. */
int put(Ring *r, int cell);
void put_many(Ring *r, unsigned n);
/* Releases rows up to `last` and counts them as acknowledged. */
void take(Ring *r, uint64_t last, int cell);

/* What is wrong: rows that are not as they were put (holes are not), or do not make up the ledger less lost_points,
 * or cells that do not. NULL: nothing. */
const char *fault_of(const Ring *r, uint64_t lost_points);
#define assert_whole(r) assert_null(fault_of((r), 0))
/* Of everything that is in it. */
uint64_t digest_of(const Ring *r);

void *slurp(const char *path, size_t *ret_size);
void spit(const char *path, const void *data, size_t size);
