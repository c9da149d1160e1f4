/* SPDX-License-Identifier: Apache-2.0 */
/* The queue between sampling and sending. A row that spool_append() took has a sequence number and stays
 * until spool_ack(), whatever happens to the connection; when the queue is full its oldest rows go and are
 * counted. Rows live in memory here; ring file and segments come behind this same interface. Main thread. */
#pragma once

#include "model/row.h"

typedef struct Spool Spool;

typedef struct SpoolParams {
        size_t ring_size; /* bytes of rows kept */
        bool discard;     /* no server configured: overwritten rows are not lost, no gap is recorded */
} SpoolParams;

typedef struct SpoolGap { /* rows that were dropped and that the server should hear of */
        uint64_t points;
        int64_t from_ns, to_ns; /* BOOTTIME */
        char why[64];
        char instance[64]; /* "": of several */
} SpoolGap;

typedef struct SpoolStats {
        uint64_t next_seq;      /* of the row appended next; the first ever is 1 */
        uint64_t rows, bytes, points; /* waiting, unacknowledged */
        int64_t oldest_ns;      /* BOOTTIME of the oldest waiting row; 0: none */
        uint64_t made_points;   /* of every row that got a number; rows of gap records are counted nowhere but in rows, bytes */
        uint64_t acked_points;
        uint64_t evicted_points;
        uint64_t gap_points; /* told in gap records that are at the server */
} SpoolStats;

_must_check_ int spool_new(Spool **ret, const SpoolParams *params);
Spool *spool_free(Spool *s);
DEFINE_CLEANUP(Spool *, spool_free)
void spool_set_discard(Spool *s, bool discard);

/* row was validated. 0: *ret_seq (may be NULL) is its number; -E2BIG: larger than the whole queue. */
_must_check_ int spool_append(Spool *s, const Row *row, uint64_t *ret_seq);
/* The first row numbered >= from that is not acknowledged: 1, *ret borrowed until the next append or ack; 0: none. */
_must_check_ int spool_next(const Spool *s, uint64_t from, uint64_t *ret_seq, Row *ret);
/* Rows up to `last` are on their way. What is evicted of them counts as dropped only when it turns out that it
 * did not arrive: spool_ack() says it did, spool_unsent() that nothing is on its way any more. */
void spool_sent(Spool *s, uint64_t last);
void spool_unsent(Spool *s);
/* Rows first..last (inclusive) are at the server. Any order; numbers already gone are fine. */
void spool_ack(Spool *s, uint64_t first, uint64_t last);
/* Row seq can never be sent: it goes, counted and told as one that was evicted, for this reason. */
void spool_drop(Spool *s, uint64_t seq, const char *why);

/* Adds to the gap record of (instance, why): used for everything dropped anywhere before it had a number. */
void spool_record_gap(Spool *s, const char *instance, const char *why, uint64_t points, int64_t from_ns, int64_t to_ns);
/* Takes one gap record out: 1; 0: none that may go now. The caller makes a tbagent_gap row of it and hands
 * both to spool_append_gap(): a gap that is evicted or fails to be appended is recorded again, so none is
 * forgotten. A (instance, why) whose last record is not acknowledged yet waits and goes on counting. */
_must_check_ int spool_take_gap(Spool *s, SpoolGap *ret);
bool spool_has_gap(const Spool *s); /* spool_take_gap() would give one */
_must_check_ int spool_append_gap(Spool *s, const Row *row, const SpoolGap *gap);

SpoolStats spool_stats(const Spool *s);
