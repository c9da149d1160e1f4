/* SPDX-License-Identifier: Apache-2.0 */
/* A total of pulses that never loses one and never goes back, and how fast they come. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNTER_WAITING_MAX 256

typedef struct CounterPoint {
        int64_t time_ns;
        uint64_t added;
} CounterPoint;

typedef struct Counter {
        double per_unit;    /* pulses */
        uint64_t pulses;    /* what the total goes on from */
        uint64_t added;     /* counted since */
        bool known;         /* pulses is more than a guess: there is a total */
        uint32_t epoch;     /* how often somebody has set the total: a later one counts, whatever its total */
        bool has_seqno;
        uint32_t seqno;     /* of the edge that was counted last */

        /* samples that were taken while the total was not known; every stride-th */
        CounterPoint waiting[COUNTER_WAITING_MAX];
        size_t n_waiting;
        unsigned stride, skipped;

        /* speed */
        uint64_t n_recent;  /* edges since the last counter_rate() */
        int64_t last_ns;    /* of the last edge; 0: none yet */
        int64_t before_ns;  /* of the last one before n_recent began; 0: none */
        int64_t since_ns;   /* it is asked for; 0: not yet */
        double rate;        /* as told last, pulses a second */
} Counter;

/* An edge, by its number in its request. How many between it and the one before were never seen: they are counted as well. */
uint32_t counter_edge(Counter *c, uint32_t seqno, int64_t time_ns);
/* The line has another request: its numbers begin anew. */
void counter_new_request(Counter *c);
/* The line's request is one that was kept, but nothing is known of what was counted of it. */
void counter_lost_request(Counter *c);

double counter_total(const Counter *c); /* in units */
/* What the server has: has_remote with total and epoch. has_local: c->pulses is a total of before. initial: where neither is. */
void counter_settle(Counter *c, bool has_local, bool has_remote, double total, uint32_t epoch, double initial);
/* Somebody says what it is. */
void counter_set(Counter *c, double total);
/* Another number of pulses for a unit: the total in units stays. */
void counter_rescale(Counter *c, double per_unit);

/* A sample that cannot be told yet. */
void counter_wait(Counter *c, int64_t time_ns);
/* What one of these is, now that the total is known. */
double counter_waited(const Counter *c, size_t index);

/* Pulses a second since the last call; 0 when none has come for timeout_ns. -1: not known yet. */
double counter_rate(Counter *c, int64_t now_ns, int64_t timeout_ns);
