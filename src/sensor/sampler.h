/* SPDX-License-Identifier: Apache-2.0 */
/* From emitted values to rows: one table of keys, the report rules of each, one time for all values of a
 * call, rows closed by their limits, and no two rows of a key in one millisecond. Needs no process and no
 * clock of its own but `now`. */
#pragma once

#include "model/row.h"
#include "sensor/keytable.h"

typedef struct Sampler Sampler;

typedef struct SamplerEvents {
        /* a finished row, borrowed during the call */
        void (*row)(void *userdata, const Row *row);
        /* points that were accepted and then lost, of that time */
        void (*dropped)(void *userdata, uint32_t points, int64_t time_ns, const char *why);
        /* a key went bad (reason) or is good again (NULL) */
        void (*health)(void *userdata, const char *key, const char *reason);
        /* an emit call was refused with this errno */
        void (*refused)(void *userdata, const char *key, int error, const char *why);
        /* rules of a key, borrowed until sampler_reload(); NULL: none */
        const ReportRules *(*rules)(void *userdata, const char *key);
        int64_t (*now)(void *userdata); /* CLOCK_BOOTTIME in ns */
} SamplerEvents;

typedef struct SamplerParams {
        uint32_t row_flags; /* ROW_STRICT */
        SamplerEvents events; /* any but `row` and `now` may be NULL */
        void *userdata;
} SamplerParams;

typedef struct SamplerCounters {
        uint64_t points;  /* delivered in rows */
        uint64_t dropped; /* accepted and lost: a millisecond taken, a number that grew too large */
        uint64_t refused; /* told to the plugin by an error */
} SamplerCounters;

typedef enum SamplerCall {
        SAMPLER_SAMPLE, /* its values have the mid-point of the call as their time */
        SAMPLER_EVENT   /* its values have the time at which the call began */
} SamplerCall;

_must_check_ int sampler_new(Sampler **ret, const SamplerParams *params);
Sampler *sampler_free(Sampler *s);
DEFINE_CLEANUP(Sampler *, sampler_free)

/* A call into the plugin begins and ends; values are taken only in between (-EINVAL elsewhere). wall_ns:
 * CLOCK_REALTIME - CLOCK_BOOTTIME. Rows leave at the end. */
void sampler_begin(Sampler *s, SamplerCall kind, int64_t wall_ns);
void sampler_end(Sampler *s);

/* 0, or as <tbagent/plugin.h> says: -EINVAL, -ERANGE, -E2BIG. */
_must_check_ int sampler_emit(Sampler *s, const char *key, const Value *v);
/* KEY_ok = false, once. */
_must_check_ int sampler_bad(Sampler *s, const char *key, const char *reason);
void sampler_row_time(Sampler *s, int64_t boottime_ns);
void sampler_row_end(Sampler *s, uint32_t flags);

/* Between calls: sends what windows and intervals have made due. */
void sampler_tick(Sampler *s, int64_t wall_ns);
/* When sampler_tick() wants to be called, CLOCK_BOOTTIME in ns; INT64_MAX: not at all. */
int64_t sampler_due(Sampler *s, int64_t wall_ns);
/* Between calls: sends all that is held, as before the end. */
void sampler_flush(Sampler *s, int64_t wall_ns);
/* Rules have changed: asks for those of every key again and begins their state anew. */
void sampler_reload(Sampler *s);

const SamplerCounters *sampler_counters(const Sampler *s);
