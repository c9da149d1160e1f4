/* SPDX-License-Identifier: Apache-2.0 */
/* The uplink with a real spool on the simulated clock, against a server in the fixture: it has round-trip times,
 * token buckets and closes, rows that it cannot read, and remembers what it stored and in which order. Each row says its
 * number: {"k":7,...}. */
#pragma once

#include "agent/uplink.h"
#include "tb/limits.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC
#define MINUTE (60 * SEC)
#define START (1700000000 * SEC)
#define RTT (4 * MSEC)
#define ACKS_MAX 64
#define ROWS_MAX 400000

typedef struct Ack {
        uint64_t context;
        usec_t due;
        int code;
} Ack;

typedef struct WorldRow {
        uint64_t seq;
        usec_t made;
        bool strict, poison, stored;
        bool mixed; /* was in a message that MQTT 5 refused: its order is not what it was */
} WorldRow;

typedef struct World {
        Loop *loop;
        Spool *spool;
        Uplink *uplink;
        LoopTimer *acks_timer, *reconnect;
        char *folder; /* NULL: no store */
        SpoolParams spool_params;
        UplinkParams params;

        /* the server */
        int protocol;            /* 5: a row that it cannot read is answered 0x99; 4: it closes */
        ClientLimits limits;
        Bucket messages, points; /* hidden; what arrives too fast closes */
        SessionReason reason;    /* of such a close */
        bool silent;             /* takes all, answers nothing */
        bool closes;             /* on every publish */
        bool deaf;               /* it closes, and takes nothing any more in this session */
        int code;                /* of every answer */
        usec_t rtt, jitter;      /* answers come in any order within it */
        unsigned rnd;

        bool may_estimate, online;
        Ack acks[ACKS_MAX];
        unsigned n_acks, most_acks;

        WorldRow *rows;
        uint64_t made, sends, bytes, distinct, gap_points;
        uint64_t inversions;  /* a row came first after a younger one of its lane, or, of strict rows, of either */
        uint64_t last_new[_LANE_MAX + 1];
        size_t largest;
        unsigned closes_n, early_closes;
        usec_t last_close, reconnect_after;
        usec_t *lags; /* of new rows, from the sample to the server */
        size_t n_lags;
        bool measures;
        char last[4096]; /* start of the payload that came last */
} World;

/* params: batch_interval 1 s, batch_size 16 KiB, window 8 unless it says otherwise. store: a folder of its own. */
void world_new(World *w, size_t ring_size, bool store, UplinkParams params);
/* A ring of 1 MiB, and a clock that is not trusted yet. */
void world_new_untrusted(World *w, int64_t offset_ms);
void world_done(World *w);
/* The uplink and the spool as after an orderly start; rows in ring memory are gone. */
void world_new_uplink(World *w);

void world_up(World *w);
void world_down(World *w, SessionReason reason);
/* Lets time pass, and the store's thread keep up. */
void advance(World *w, usec_t by);
/* One row of so many keys. */
void put_flags(World *w, unsigned points, uint32_t flags);
void put(World *w, unsigned points, bool immediate);
void put_text(World *w, const char *text, unsigned points, uint32_t flags);
/* The clock as it is from now on. */
void world_era(World *w, int64_t offset_ms, ClockQuality quality);
unsigned world_random(World *w, unsigned below);
/* The longest of all but one in a hundred. */
usec_t world_lag_p99(World *w);
/* Every row arrived, but those that are poison were rejected. */
void assert_all_arrived(World *w);
/* And in order. */
void assert_all_delivered(World *w);
