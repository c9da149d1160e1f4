/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the server lets a device send: its own token buckets where it tells them, learned ones where it
 * closes the connection instead. Pure; the caller brings the time (monotonic). */
#pragma once

#include "base/macro.h"

#define BUCKET_BANDS_MAX 8

/* "cap:sec,cap:sec": tokens flow in steadily, a take must pass all bands. */
typedef struct Bucket {
        struct {
                double capacity, rate, tokens;
        } bands[BUCKET_BANDS_MAX];
        unsigned n; /* 0: no limit */
        usec_t updated;
} Bucket;

/* text NULL or empty: no limit. Only `share` (0 .. 1) of each band is used, but never less than one token of
 * capacity. -EINVAL: not of that form, or out of range; *ret is unchanged. */
_must_check_ int bucket_parse(const char *text, double share, usec_t now, Bucket *ret);
/* How long until `n` tokens are there; 0: now. More than the capacity counts as the capacity. */
usec_t bucket_delay(Bucket *b, double n, usec_t now);
void bucket_take(Bucket *b, double n, usec_t now);
double bucket_tokens(Bucket *b, usec_t now); /* INFINITY: no limit */
double bucket_capacity(const Bucket *b);     /* of the smallest band; INFINITY: no limit */
void bucket_drain(Bucket *b, usec_t now);    /* all tokens are gone */

/* One learned rate, see limits.c. */
typedef struct Learned {
        double limit;         /* believed limit per second; we use 80 % of it. INFINITY: none known */
        double tokens;
        double ceiling;       /* `limit` grows up to it */
        usec_t ceiling_until; /* 0: no ceiling */
        double growth;        /* factor of `limit` per second */
        double target;        /* grown to it and not used up, the limit is forgotten; INFINITY: never */
        usec_t updated;
} Learned;

typedef struct LimitsLearned {
        Learned messages, points;
        unsigned point_trials; /* how often points were let off with a trial in a row */
        double points_proven;  /* points per second held for ten seconds */
        usec_t suspected;      /* when a close last looked like a limit; 0: never */
} LimitsLearned;

#define LIMITS_SLOTS 64
#define LIMITS_TOLD_MAX 256

typedef struct Limits {
        Bucket messages, points; /* of telemetry, as the server told */
        bool named;              /* it told at least one of them */
        char told_messages[LIMITS_TOLD_MAX], told_points[LIMITS_TOLD_MAX]; /* in its words */
        LimitsLearned learned;
        LimitsLearned before; /* the closes that came within ten minutes of each other lately */
        usec_t resumed;        /* first message since the last close; 0: none */
        usec_t good_since;     /* first acknowledgement since then; 0: none */
        usec_t proof_since;
        double proof_points;
        struct {
                usec_t at;
                double messages, points;
        } sent[LIMITS_SLOTS]; /* what the last second holds */
        unsigned slot;
        double backlog_rate, backlog_tokens; /* rows per second; 0: no limit */
        usec_t backlog_updated;
} Limits;

/* What new rows will want, and when. */
typedef struct LimitsNeed {
        double messages, points;
        usec_t until; /* from now */
} LimitsNeed;

void limits_init(Limits *l, double backlog_rate, usec_t now);
/* What the server told (NULL: no such limit), after each connect. -EINVAL: a text is not of the form, or too long; nothing
 * changed. */
_must_check_ int limits_told(Limits *l, const char *telemetry_messages, const char *telemetry_points, usec_t now);

/* Most points that one message may hold; UINT32_MAX: any number. */
uint32_t limits_max_points(Limits *l, usec_t now);
/* Points that could go right now, at least 1. */
uint32_t limits_points_now(Limits *l, usec_t now);
/* Points that a message of the backlog may hold so that what new rows need will be there; 0: no message. */
uint32_t limits_spare_points(Limits *l, const LimitsNeed *need, usec_t now);
/* How long a message of so many points must wait; 0: it may go. */
usec_t limits_delay(Limits *l, uint32_t points, usec_t now);
/* How long backlog pacing makes so many rows wait beside. */
usec_t limits_backlog_delay(Limits *l, uint32_t rows, usec_t now);
/* backlog_rows: of the message, where it is of the backlog. */
void limits_take(Limits *l, uint32_t points, uint32_t backlog_rows, usec_t now);
/* A message of so many points was acknowledged. */
void limits_acked(Limits *l, uint32_t points, usec_t now);

/* Rows that backlog pacing lets through now. */
uint32_t limits_backlog_now(Limits *l, usec_t now);
void limits_reset_backlog(Limits *l, usec_t now); /* after a connect */

/* The server closed the connection on us. certain: it said why; otherwise it only looks so. */
void limits_failed(Limits *l, bool certain, usec_t now);
/* It did so for another reason, each time of late: what was learned from that is forgotten. */
void limits_acquit(Limits *l, usec_t now);
/* The pace in force, per second; INFINITY: none. */
double limits_message_pace(Limits *l, usec_t now);
double limits_point_pace(Limits *l, usec_t now);
