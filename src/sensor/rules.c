/* SPDX-License-Identifier: Apache-2.0 */
/* From options to rules: what a group sets goes over what wider groups have set before, so that an instance
 * gives defaults for its channels, and these for the keys they are called by. */
#include <stdio.h>

#include "sensor/rules.h"

const struct tbagent_option report_options[] = {
        { "valid", TBAGENT_NUMBERS, TBAGENT_RUNTIME, NULL, 2, 2, NULL, NULL,
          "Numbers outside (lo, hi) are taken as failed reads: KEY_ok becomes false.", NULL },
        { "median", TBAGENT_INT, TBAGENT_RUNTIME, NULL, 1, REPORT_MEDIAN_MAX, NULL, NULL,
          "Sends the median of the last so many numbers, against single outliers.", NULL },
        { "calibrate", TBAGENT_PAIRS, TBAGENT_RUNTIME, NULL, 0, 0, NULL, NULL,
          "Pairs (raw, real) with straight lines between them and beyond the outer ones.", NULL },
        { "scale", TBAGENT_FLOAT, TBAGENT_RUNTIME, NULL, 0, 0, NULL, NULL, "Factor for numbers.", NULL },
        { "offset", TBAGENT_FLOAT, TBAGENT_RUNTIME, NULL, 0, 0, NULL, NULL, "Added to numbers, after scale.", NULL },
        { "clamp", TBAGENT_NUMBERS, TBAGENT_RUNTIME, NULL, 2, 2, NULL, NULL,
          "Numbers outside (lo, hi) become the nearer of the two.", NULL },
        { "aggregate", TBAGENT_DURATION, TBAGENT_RUNTIME, NULL, 0, 86400, NULL, "s",
          "Gathers values for so long and sends KEY_min, KEY_max, KEY_mean, KEY_count and the last one as KEY.", NULL },
        { "deadband", TBAGENT_DELTA, TBAGENT_RUNTIME, NULL, 0, 1e300, NULL, NULL,
          "Sends a number only when it differs by so much (0.5, or \"5%\") from the one sent last.", NULL },
        { "on_change", TBAGENT_BOOL, TBAGENT_RUNTIME, NULL, 0, 0, NULL, NULL,
          "Sends a value only when it differs from the one sent last.", NULL },
        { "min_interval", TBAGENT_DURATION, TBAGENT_RUNTIME, NULL, 0, 31536000, NULL, "s",
          "Sends no more often than this; of several values the newest goes.", NULL },
        { "max_interval", TBAGENT_DURATION, TBAGENT_RUNTIME, NULL, 0, 31536000, NULL, "s",
          "Sends the next value after this time also where deadband or on_change would not.", NULL },
        { "decimals", TBAGENT_INT, TBAGENT_RUNTIME, NULL, 0, 15, NULL, NULL, "Rounds numbers to so many decimals.", NULL },
        { "drop", TBAGENT_BOOL, TBAGENT_RUNTIME, NULL, 0, 0, NULL, NULL, "Never sends this key.", NULL },
        { 0 },
};

void report_rules_init(ReportRules *r) {
        *r = (ReportRules){ .decimals = -1, .scale = 1, .plain = true };
}

void report_rules_done(ReportRules *r) {
        free(r->calibrate);
        report_rules_init(r);
}

int report_rules_copy(ReportRules *r, const ReportRules *from) {
        double *pairs = NULL;

        if (from->n_calibrate > 0) {
                pairs = malloc(from->n_calibrate * 2 * sizeof(double));
                if (!pairs)
                        return -ENOMEM;
                memcpy(pairs, from->calibrate, from->n_calibrate * 2 * sizeof(double));
        }
        *r = *from;
        r->calibrate = pairs;
        return 0;
}

static bool rules_plain(const ReportRules *r) {
        return !r->has_valid && !r->has_clamp && !r->on_change && r->median < 2 && r->scale == 1 &&
               r->offset == 0 && r->deadband == 0 && r->n_calibrate == 0 && r->aggregate_ns == 0 &&
               r->min_interval_ns == 0 && r->max_interval_ns == 0;
}

typedef struct Teller {
        const Node *node;
        const char *path;
        problem_fn fn;
        void *userdata;
        int n;
} Teller;

static void tell(Teller *t, const char *option, const char *text) {
        char line[512];
        unsigned number = 0;
        const char *file = node_file(t->node, option, &number);

        t->n++;
        if (!t->fn)
                return;
        snprintf(line, sizeof line, "%s.%s: %s", t->path, option, text);
        t->fn(t->userdata, true, file, number, line);
}

static int pair_compare(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (x[0] > y[0]) - (x[0] < y[0]);
}

static int overlay_calibrate(ReportRules *r, Teller *t) {
        const double *numbers;
        size_t n = node_numbers(t->node, "calibrate", &numbers) / 2;
        double *pairs;

        if (n == 0 || n > REPORT_CALIBRATE_MAX) {
                tell(t, "calibrate", "one to 64 pairs, as ((0.0, 0.4), (100.0, 99.1))");
                return 0;
        }
        pairs = malloc(n * 2 * sizeof(double));
        if (!pairs)
                return -ENOMEM;
        memcpy(pairs, numbers, n * 2 * sizeof(double));
        qsort(pairs, n, 2 * sizeof(double), pair_compare);
        for (size_t i = 1; i < n; i++)
                if (pairs[2 * i] == pairs[2 * (i - 1)]) {
                        tell(t, "calibrate", "two pairs have the same raw number; keep one of them");
                        free(pairs);
                        return 0;
                }
        free(r->calibrate);
        r->calibrate = pairs;
        r->n_calibrate = n;
        return 0;
}

static void overlay_range(Teller *t, const char *name, bool *ret_has, double ret[static 2]) {
        const double *numbers;

        if (!node_is_set(t->node, name) || node_numbers(t->node, name, &numbers) != 2)
                return;
        if (numbers[0] > numbers[1]) {
                tell(t, name, "the lower bound comes first, as (-40.0, 85.0)");
                return;
        }
        memcpy(ret, numbers, 2 * sizeof(double));
        *ret_has = true;
}

static void overlay_duration(const Node *n, const char *name, int64_t *ret) {
        if (node_is_set(n, name))
                *ret = node_int(n, name) * NSEC_PER_USEC;
}

int report_rules_overlay(ReportRules *r, const Node *n, const char *path, problem_fn fn, void *userdata) {
        Teller t = { .node = n, .path = path, .fn = fn, .userdata = userdata };

        overlay_range(&t, "valid", &r->has_valid, r->valid);
        overlay_range(&t, "clamp", &r->has_clamp, r->clamp);
        if (node_is_set(n, "median"))
                r->median = (unsigned)MIN(MAX(node_int(n, "median"), 0), REPORT_MEDIAN_MAX);
        if (node_is_set(n, "calibrate") && overlay_calibrate(r, &t) < 0)
                return -ENOMEM;
        if (node_is_set(n, "scale"))
                r->scale = node_float(n, "scale");
        if (node_is_set(n, "offset"))
                r->offset = node_float(n, "offset");
        if (node_is_set(n, "deadband")) {
                r->deadband = node_float(n, "deadband");
                r->deadband_percent = node_is_percent(n, "deadband");
        }
        if (node_is_set(n, "on_change"))
                r->on_change = node_int(n, "on_change") != 0;
        overlay_duration(n, "aggregate", &r->aggregate_ns);
        overlay_duration(n, "min_interval", &r->min_interval_ns);
        overlay_duration(n, "max_interval", &r->max_interval_ns);
        if (r->max_interval_ns > 0 && r->max_interval_ns < r->min_interval_ns)
                tell(&t, node_is_set(n, "max_interval") ? "max_interval" : "min_interval",
                     "max_interval must not be shorter than min_interval");
        if (node_is_set(n, "decimals"))
                r->decimals = (int)MIN(MAX(node_int(n, "decimals"), 0), 15);
        if (node_is_set(n, "drop"))
                r->drop = node_int(n, "drop") != 0;
        r->plain = rules_plain(r);
        r->announce = r->announce || r->has_valid;
        return t.n;
}
