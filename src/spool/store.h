/* SPDX-License-Identifier: Apache-2.0 */
/* What must survive a power cut: blocks of rows in segment files, written and read by a thread of its own,
 * because an SD card may take seconds. The only user of that thread also writes the daemon's other files in
 * the state directory (rejected rows, plugins' state). Every answer comes as an event in the loop. Nothing
 * that happens to the disk is fatal. Main thread. */
#pragma once

#include "base/loop.h"
#include "spool/record.h"

typedef struct Store Store;

typedef struct StoreBlock { /* rows of one era, whole */
        uint64_t first, last; /* numbers of its first and last row; between them there may be holes */
        uint32_t rows, points; /* without the rows of gaps: points */
        Era era;
        const uint8_t *records; /* record_read() one after the other */
        size_t size;
} StoreBlock;

typedef enum StoreState {
        STORE_OPENING,
        STORE_OK,
        STORE_FULL,   /* the disk has no room and there is nothing left to evict */
        STORE_FAILED, /* EIO, EROFS, folder gone, fdatasync failed: tried again with growing pauses */
} StoreState;

typedef struct StoreStats {
        StoreState state;
        uint64_t segments, bytes;  /* on the disk */
        uint64_t rows, points;     /* unacknowledged, as far as known */
        uint64_t first, last;      /* numbers; last 0: empty */
        uint64_t bytes_written;    /* since the start: segments, positions, files */
        uint64_t commits, evicted_segments;
        char text[192];            /* of the state, what to do about it; "" where it is STORE_OK */
} StoreStats;

typedef struct StoreFound { /* at opening, above the position up to which rows were acknowledged */
        uint64_t first, last; /* last 0: nothing */
        uint64_t acked;       /* the position as the files have it */
        uint64_t rows, points;
        uint64_t damaged_rows, damaged_points; /* of blocks that cannot be read but whose header can: not in rows, points; told by
                                                  lost() as well, after opened() */
        uint64_t known_points, known_rows; /* the part of points, rows that stands in blocks up to StoreParams.known_last */
} StoreFound;

typedef struct StoreEvents {
        void (*opened)(void *userdata, const StoreFound *found); /* once; whatever happened: found may be empty */
        /* Answer to store_append(). 0: durable, and stats count it; < 0: nothing of it is on the disk, keep the rows; when
         * to try again is the caller's business. */
        void (*committed)(void *userdata, uint64_t first, uint64_t last, int error);
        /* Answer to store_read(): blocks in order, then the end with block NULL. Borrowed during the call: copy, or
         * take it with store_block_take(). */
        void (*block)(void *userdata, StoreBlock *block);
        /* Rows first..last cannot come any more: evicted for room (oldest first), or damaged. points, from, to: what
         * of them was above the acknowledged position; from_ns and to_ns are ms of the server's time. */
        void (*lost)(void *userdata, uint64_t first, uint64_t last, uint64_t rows, uint64_t points, int64_t from_ms,
                     int64_t to_ms, const char *why);
        void (*state)(void *userdata, StoreState state, const char *text); /* it changed: one line for the log */
} StoreEvents;

typedef struct StoreParams {
        Loop *loop;
        const char *dir;       /* the state directory; segments stand in dir/spool. Made where it is not there */
        uint64_t max_bytes;    /* of segments; never above 10 % of the file system */
        uint64_t known_acked;  /* the ring's position; 0: no ring survived, the files' own is used */
        uint64_t known_last;   /* the ring's stored_last; 0: as above, unless */
        bool ring_kept;        /* a ring survived that knew of nothing in the store */
        StoreEvents events;
        void *userdata;
} StoreParams;

/* The highest name in dir/spool: a ring that is made anew numbers from above it (+ 2^32). 0: none. Reads names only,
 * in the caller's thread. */
uint64_t store_highest_name(const char *dir);

_must_check_ int store_new(Store **ret, const StoreParams *params);
/* Ends the thread after the job it is at; -ETIMEDOUT: it hangs and is left behind, as worker_stop(). */
int store_stop(Store *s, usec_t wait);
Store *store_free(Store *s);
DEFINE_CLEANUP(Store *, store_free)

/* Owns copies: block->records is copied. spare_first..spare_last: rows being read or on their way, their segments are
 * not evicted (spare_last 0: none). One commit for n blocks. -EAGAIN: a commit is under way, or the store has not opened. */
_must_check_ int store_append(Store *s, const StoreBlock *blocks, size_t n, uint64_t spare_first, uint64_t spare_last);
/* Reads on: blocks with a row above `after`, up to about max_bytes of records (at least one). What the disk does not
 * give now is tried again later: the end comes with a delay then. -EAGAIN: being read, or not open. */
_must_check_ int store_read(Store *s, uint64_t after, size_t max_bytes);
/* Every row of the store up to `seq` is at the server: whole segments go, the position in one is written at most every
 * 10 s. Cheap to call often: the thread is woken only where a file goes or the position is due. */
void store_acked(Store *s, uint64_t seq);
/* Within block(): its records are the caller's from now on, to free(). */
uint8_t *store_block_take(StoreBlock *block);
/* The position goes to the disk now, before an orderly end. */
void store_write_position(Store *s);
/* The time of this boot came to be known: estimates of it in files that stay get it as well, so that a reboot does not
 * lose it. Nothing is written where no block of this boot was stored with an estimate. */
void store_set_era(Store *s, const Era *era);

/* Replaces dir/name (atomic, durable), or appends a line to it; beyond max_size it becomes name.1 first. Never blocks;
 * 0, or -EAGAIN: too many wait. */
_must_check_ int store_write_file(Store *s, const char *name, const void *data, size_t size, mode_t mode);
_must_check_ int store_append_line(Store *s, const char *name, const char *line, size_t max_size);
bool store_is_idle(const Store *s); /* nothing submitted waits to be done */

StoreStats store_stats(const Store *s);
const char *store_state_name(StoreState state); /* "ok" "full" ... */
