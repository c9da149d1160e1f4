/* SPDX-License-Identifier: Apache-2.0 */
/* The queue between sampling and sending. A row that spool_append() took has a sequence number and stays
 * until spool_ack(), whatever happens to the connection, the daemon or (within store_after) the power; when
 * there is no room its oldest rows go and are counted. Rows live in the ring (spool/ring); what the server
 * does not take in time moves to the store (spool/store). Main thread. */
#pragma once

#include "base/loop.h"
#include "spool/gap.h"
#include "spool/record.h"
#include "spool/store.h"

typedef struct Spool Spool;

/* Live: rows in the ring. Backlog: rows in the store, which are older. */
typedef enum SpoolLane { LANE_LIVE, LANE_BACKLOG, _LANE_MAX } SpoolLane;

typedef struct SpoolRow {
        uint64_t seq;
        Row row; /* borrowed until the next append, ack or turn of the loop */
        int64_t offset_ms; /* ts = boottime_ms + offset_ms, as far as it is known now */
        bool estimated;    /* of a time when the clock was not to be trusted */
} SpoolRow;

typedef struct SpoolEvents {
        void (*ready)(void *userdata); /* spool_next() that said -EAGAIN may have something now */
        /* The store's or the ring's state changed: one line for the log, at a LOG_ level. May be NULL. */
        void (*notice)(void *userdata, int level, const char *text);
        void *userdata;
} SpoolEvents;

typedef struct SpoolParams {
        Loop *loop;
        const char *ring_path; /* NULL: in memory only */
        const char *state_dir; /* NULL: no store */
        size_t ring_size;      /* bytes of rows in the ring */
        uint64_t store_max;    /* bytes of segments */
        usec_t batch_interval; /* a row is due to be sent so long after it came */
        usec_t store_after;    /* and on the disk so long after that, 0: at once; the move starts at half of it */
        bool discard;          /* no server configured: rows stay in the ring, overwritten ones are not lost */
        Era era;               /* of this boot as it is known at the start */
        SpoolEvents events;
} SpoolParams;

typedef struct SpoolStats {
        uint64_t next_seq;      /* of the row appended next */
        uint64_t rows, bytes, points; /* waiting, unacknowledged, in ring and store; bytes: of the ring alone */
        uint64_t live_rows, live_bytes; /* of them in the ring and not in the store */
        int64_t oldest_ms;      /* of the oldest waiting row, as the server would have it; 0: none, or not known yet */
        uint64_t made_points;   /* of every row that got a number; rows of gap records are counted nowhere but in rows, bytes */
        uint64_t acked_points;
        uint64_t evicted_points; /* dropped for whatever reason after they had a number, rejected ones left out */
        uint64_t rejected_points;
        uint64_t gap_points; /* told in gap records that are at the server */
        bool ring_in_memory; /* a crash would lose what waits */
        StoreStats store;
} SpoolStats;

_must_check_ int spool_new(Spool **ret, const SpoolParams *params);
/* Ends the store's thread: at most `wait`; -ETIMEDOUT: it hangs in the kernel and is left behind. */
int spool_stop(Spool *s, usec_t wait);
Spool *spool_free(Spool *s);
DEFINE_CLEANUP(Spool *, spool_free)
void spool_set_discard(Spool *s, bool discard);
void spool_set_times(Spool *s, usec_t batch_interval, usec_t store_after);

/* The clock as it is now. From an estimate to trust in the same boot: rows taken before get the new offset, too. A trusted
 * era followed by another one: a step, for later rows only. */
void spool_set_era(Spool *s, const Era *era);

/* row was validated. 0: *ret_seq (may be NULL) is its number; -E2BIG: larger than the whole queue. */
_must_check_ int spool_append(Spool *s, const Row *row, uint64_t *ret_seq);
/* true: a crash before spool_gather(false) may take the rows that are appended in between, which costs less. */
void spool_gather(Spool *s, bool gather);
/* The first row of the lane numbered >= from that is not acknowledged: 1; 0: none; -EAGAIN: it is being read, ready()
 * follows. */
_must_check_ int spool_next(Spool *s, SpoolLane lane, uint64_t from, SpoolRow *ret);
/* The store holds rows that are not acknowledged (or is not open yet and may). */
bool spool_has_backlog(const Spool *s);
/* Rows up to `last` are on their way. What is evicted of them counts as dropped only when it turns out that it
 * did not arrive: spool_ack() says it did, spool_unsent() that nothing is on its way any more. */
void spool_sent(Spool *s, uint64_t last);
void spool_unsent(Spool *s);
/* Rows first..last (inclusive) are at the server. Any order; numbers already gone are fine. */
void spool_ack(Spool *s, uint64_t first, uint64_t last);
/* Row seq can never be sent: it goes, counted and told as one that was evicted, for this reason. */
void spool_drop(Spool *s, uint64_t seq, const char *why);
/* Row seq is refused by the server for good: it goes to rejected.jsonl as {"seq":..,"ts":..,"reason":"..","values":{..}}. */
void spool_reject(Spool *s, uint64_t seq, const char *why);

/* Adds to the gap record of (instance, why): used for everything dropped anywhere before it had a number. */
void spool_record_gap(Spool *s, const char *instance, const char *why, uint64_t points, int64_t from_ns, int64_t to_ns);
/* Makes rows of what has been dropped and not told; an (instance, why) whose last record is not acknowledged waits and goes
 * on counting. Called when a batch is due, so that few records tell much. */
void spool_append_gaps(Spool *s);
bool spool_has_gap(const Spool *s); /* spool_append_gaps() would append one */

/* Moves all that waits to the store (orderly stop); spool_is_flushed(): it is there, or can't be put there. */
void spool_flush(Spool *s);
bool spool_is_flushed(const Spool *s);

SpoolStats spool_stats(const Spool *s);
Store *spool_store(Spool *s); /* borrowed, for other files of the state directory; NULL: none */
