/* SPDX-License-Identifier: Apache-2.0 */
/* The report rules of a key as the configuration gives them: table of options, and what they come to. Pure. */
#pragma once

#include <tbagent/plugin.h>

#include "model/option.h"

/* Of `report = {}`, of every channel, and of each entry of `keys = {}`. All are runtime options. */
extern const struct tbagent_option report_options[];

#define REPORT_MEDIAN_MAX 31
#define REPORT_CALIBRATE_MAX 64

typedef struct ReportRules {
        bool has_valid, has_clamp, deadband_percent, on_change, drop;
        bool plain; /* nothing but decimals and drop: report_put() need not be asked */
        bool announce; /* KEY_ok = true goes with the first good value: the key may go bad */
        unsigned median; /* 0: none */
        int decimals;    /* -1: all */
        double valid[2], clamp[2];
        double scale, offset, deadband;
        double *calibrate; /* n_calibrate pairs (raw, real), raw rising; owned */
        size_t n_calibrate;
        int64_t aggregate_ns, min_interval_ns, max_interval_ns; /* 0: none */
} ReportRules;

/* No rule at all. */
void report_rules_init(ReportRules *r);
void report_rules_done(ReportRules *r);
_must_check_ int report_rules_copy(ReportRules *r, const ReportRules *from);
/* Puts what is set in n (a node made with report_options) over r. path: of n, for messages. Returns the number
 * of problems, told through fn (may be NULL), or -ENOMEM; r can be used in either case. */
_must_check_ int report_rules_overlay(ReportRules *r, const Node *n, const char *path, problem_fn fn, void *userdata);
