/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the values of one key before they are sent: the report rules, in their fixed order (valid,
 * median, calibrate, scale/offset, clamp, aggregate, deadband, on_change, min_interval, max_interval,
 * decimals, drop). Pure; times are arguments, CLOCK_BOOTTIME in ns. */
#pragma once

#include "model/value.h"
#include "sensor/rules.h"

/* One value to be sent: of one moment, or of a window (count > 0), whose last value and its time stand in
 * value and time_ns. */
typedef struct ReportPoint {
        int64_t time_ns;
        Value value;
        uint64_t count;
        double min, max, mean;
} ReportPoint;

typedef struct ReportCall {
        int64_t time_ns; /* of the value, or now for report_tick() */
        int64_t wall_ns; /* CLOCK_REALTIME - CLOCK_BOOTTIME: windows are aligned to the wall clock */
        bool scheduled;  /* the next sample comes by itself, a value held back need not be sent by a timer */
} ReportCall;

typedef struct ReportState ReportState; /* of one key */

_must_check_ int report_state_new(ReportState **ret, const ReportRules *r);
ReportState *report_state_free(ReportState *st);
DEFINE_CLEANUP(ReportState *, report_state_free)

/* Takes one value. Returns how many points are to be sent now (0..2, oldest first), borrowed until the next
 * call for this state; -ERANGE: outside `valid`; -ENOMEM. */
_must_check_ int report_put(const ReportRules *r, ReportState *st, const ReportCall *call, const Value *v,
                            ReportPoint ret[static 2]);
/* The key could not be read: what comes later shares no median with what was before. */
void report_interrupt(ReportState *st);
/* Closes a window that has ended and sends what min_interval held back; everything: whether due or not (before
 * the end). Returns as report_put(); to be called until it returns 0. */
_must_check_ int report_tick(const ReportRules *r, ReportState *st, const ReportCall *call, bool everything,
                             ReportPoint ret[static 2]);
/* When report_tick() wants to be called; INT64_MAX: not at all. */
int64_t report_due(const ReportRules *r, const ReportState *st, int64_t wall_ns);
/* Values taken with time `from` are of time `to`: the mid-point of a call is known only at its end. */
void report_retime(ReportState *st, int64_t from, int64_t to);
