/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three stages, of which a key without rules sees none:
 *
 *   refine   valid, median, calibrate, scale/offset, clamp: one number becomes another. An integer stays one
 *            where no rule computes with it.
 *   window   aggregate: values gather until a multiple of the window passes on the wall clock, then they are
 *            one point with the time of the last of them. Text and booleans have their last value only.
 *   filter   deadband, on_change, min_interval, max_interval: is this point sent, and is one that was held
 *            back sent before it?
 *
 * Each point keeps the time at which it was acquired, whenever it is sent; a value is never sent again with
 * a later time, so max_interval acts on fresh samples only. What min_interval suppresses is held, and sent when
 * the interval is over unless something newer has taken its place: of a door that opened and closed within the
 * interval the server must learn that it is closed. on_change compares what would be written, that is with
 * `decimals` applied. With a deadband the point before a jump is sent first, so that a chart does not draw
 * a slope where there was a step.
 *
 * Intervals have some slack, because the time of a sample is the mid-point of its call: with every = "10s",
 * max_interval = "5min" means each 30th sample, not each 31st when that one came a millisecond early.
 */
#include <math.h>

#include "sensor/report.h"

#define INTERVAL_SLACK_MAX (100 * NSEC_PER_MSEC)

/* A point that outlives its call: owns the text of its value. */
typedef struct Kept {
        bool set;
        ReportPoint point;
        char *text;
        size_t text_size;
} Kept;

struct ReportState {
        Kept held, sent;
        bool held_due;    /* held is due when min_interval ends, ... */
        bool held_alone;  /* ... and no sample will come by itself then */
        int64_t sent_at;
        Kept window, closed;
        int64_t window_index;
        double window_sum;
        unsigned n_median, next_median;
        double median[]; /* the last r->median raw values */
};

/* ---- points that are kept */

static int kept_set(Kept *k, const ReportPoint *p) {
        bool text = p->value.type == VALUE_STRING || p->value.type == VALUE_JSON;

        if (text && p->value.s.size > k->text_size) {
                char *bigger = realloc(k->text, p->value.s.size);

                if (!bigger)
                        return -ENOMEM;
                k->text = bigger;
                k->text_size = p->value.s.size;
        }
        k->point = *p;
        if (text) {
                if (p->value.s.size > 0)
                        memcpy(k->text, p->value.s.text, p->value.s.size);
                k->point.value.s.text = k->text;
        }
        k->set = true;
        return 0;
}

static void kept_swap(Kept *a, Kept *b) {
        Kept t = *a;

        *a = *b;
        *b = t;
}

int report_state_new(ReportState **ret, const ReportRules *r) {
        ReportState *st = calloc(1, sizeof *st + r->median * sizeof(double));

        if (!st)
                return -ENOMEM;
        *ret = st;
        return 0;
}

ReportState *report_state_free(ReportState *st) {
        if (!st)
                return NULL;
        free(st->held.text);
        free(st->sent.text);
        free(st->window.text);
        free(st->closed.text);
        free(st);
        return NULL;
}

void report_interrupt(ReportState *st) {
        st->n_median = 0;
        st->next_median = 0;
}

void report_retime(ReportState *st, int64_t from, int64_t to) {
        Kept *const all[] = { &st->held, &st->sent, &st->window, &st->closed };

        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (all[i]->set && all[i]->point.time_ns == from)
                        all[i]->point.time_ns = to;
        if (st->sent_at == from)
                st->sent_at = to;
}

/* ---- refine */

static bool value_number(const Value *v, double *ret) {
        if (v->type == VALUE_INT)
                *ret = (double)v->i;
        else if (v->type == VALUE_DOUBLE)
                *ret = v->d;
        else
                return false;
        return true;
}

static double median_of(const ReportRules *r, ReportState *st, double x) {
        double sorted[REPORT_MEDIAN_MAX];
        unsigned n;

        st->median[st->next_median] = x;
        st->next_median = (st->next_median + 1) % r->median;
        if (st->n_median < r->median)
                st->n_median++;
        n = st->n_median;
        for (unsigned i = 0; i < n; i++) {
                unsigned at = i;

                for (; at > 0 && sorted[at - 1] > st->median[i]; at--)
                        sorted[at] = sorted[at - 1];
                sorted[at] = st->median[i];
        }
        return n % 2 ? sorted[n / 2] : sorted[n / 2 - 1] / 2 + sorted[n / 2] / 2;
}

static double calibrate(const ReportRules *r, double x) {
        const double *p = r->calibrate;
        size_t i = 0;

        if (r->n_calibrate == 1)
                return x + (p[1] - p[0]);
        while (i + 2 < r->n_calibrate && x > p[2 * (i + 1)])
                i++;
        p += 2 * i;
        return p[1] + (x - p[0]) * (p[3] - p[1]) / (p[2] - p[0]);
}

static int refine(const ReportRules *r, ReportState *st, Value *v) {
        double raw, x;
        bool computed = r->n_calibrate > 0 || r->scale != 1 || r->offset != 0;

        if (!value_number(v, &raw))
                return 0;
        if (r->has_valid && (raw < r->valid[0] || raw > r->valid[1])) {
                report_interrupt(st);
                return -ERANGE;
        }
        x = raw;
        if (r->median > 1)
                x = median_of(r, st, x);
        if (r->n_calibrate > 0)
                x = calibrate(r, x);
        x = x * r->scale + r->offset;
        if (r->has_clamp)
                x = x < r->clamp[0] ? r->clamp[0] : x > r->clamp[1] ? r->clamp[1] : x;
        if (!computed && x == raw)
                return 0; /* as it was: an int64 keeps all its digits */
        if (!computed && v->type == VALUE_INT && x == trunc(x) && fabs(x) < 0x1p53)
                *v = (Value){ .type = VALUE_INT, .i = (int64_t)x };
        else
                *v = (Value){ .type = VALUE_DOUBLE, .d = x };
        return 0;
}

/* ---- window */

static int64_t window_index(const ReportRules *r, int64_t time_ns, int64_t wall_ns) {
        int64_t wall = time_ns + wall_ns, index = wall / r->aggregate_ns;

        return wall % r->aggregate_ns < 0 ? index - 1 : index;
}

static int window_add(const ReportRules *r, ReportState *st, const ReportCall *c, const Value *v) {
        ReportPoint p = { .time_ns = c->time_ns, .value = *v };
        const ReportPoint *old = &st->window.point;
        double x;

        if (value_number(v, &x)) {
                bool first = !st->window.set || old->count == 0;

                st->window_sum = first ? x : st->window_sum + x;
                p.count = first ? 1 : old->count + 1;
                p.min = first ? x : fmin(old->min, x);
                p.max = first ? x : fmax(old->max, x);
                p.mean = st->window_sum / (double)p.count;
        }
        if (!st->window.set)
                st->window_index = window_index(r, c->time_ns, c->wall_ns);
        return kept_set(&st->window, &p);
}

/* Also where the wall clock was set back meanwhile: never later than one window behind its last value. */
static bool window_ended(const ReportRules *r, const ReportState *st, const ReportCall *c) {
        return st->window.set && (window_index(r, c->time_ns, c->wall_ns) != st->window_index ||
                                  c->time_ns - st->window.point.time_ns >= r->aggregate_ns);
}

/* ---- filter */

static bool interval_over(const ReportState *st, int64_t interval, int64_t now) {
        return now - st->sent_at >= interval - MIN(interval / 16, INTERVAL_SLACK_MAX);
}

static bool number_moved(const ReportRules *r, double sent, double x) {
        double band = r->deadband_percent ? fabs(sent) * r->deadband / 100 : r->deadband;

        /* 21.4 - 21.3 is 0.0999...: a step of the deadband itself counts as one */
        return fabs(x - sent) >= band * (1 - 1e-9) && x != sent;
}

static bool number_differs(const ReportRules *r, double a, double b) {
        if (r->decimals >= 0 && r->decimals <= 15) {
                double scale = pow(10, r->decimals);

                if (fabs(a) < 0x1p53 / scale && fabs(b) < 0x1p53 / scale)
                        return round(a * scale) != round(b * scale);
        }
        return a != b;
}

static bool value_differs(const ReportRules *r, const Value *a, const Value *b) {
        double x, y;

        if (a->type == VALUE_INT && b->type == VALUE_INT)
                return a->i != b->i;
        if (value_number(a, &x) && value_number(b, &y))
                return number_differs(r, x, y);
        if (a->type != b->type)
                return true;
        if (a->type == VALUE_BOOL)
                return a->b != b->b;
        return a->s.size != b->s.size || memcmp(a->s.text, b->s.text, a->s.size) != 0;
}

static bool point_moved(const ReportRules *r, const ReportPoint *sent, const ReportPoint *p) {
        double x, y;

        if (r->deadband == 0 || !value_number(&sent->value, &x) || !value_number(&p->value, &y))
                return true;
        if (number_moved(r, x, y))
                return true;
        return p->count > 0 && (number_moved(r, sent->min, p->min) || number_moved(r, sent->max, p->max) ||
                                number_moved(r, sent->mean, p->mean));
}

static bool point_differs(const ReportRules *r, const ReportPoint *sent, const ReportPoint *p) {
        if (!r->on_change || value_differs(r, &sent->value, &p->value))
                return true;
        return p->count > 0 && (number_differs(r, sent->min, p->min) || number_differs(r, sent->max, p->max) ||
                                number_differs(r, sent->mean, p->mean));
}

static int point_hold(const ReportRules *r, ReportState *st, const ReportCall *c, const ReportPoint *p, bool due) {
        st->held.set = false;
        st->held_due = due;
        st->held_alone = due && !c->scheduled;
        return due || r->deadband > 0 ? kept_set(&st->held, p) : 0;
}

/* p is sent now, behind what ret[] has already. */
static int point_send(ReportState *st, const ReportCall *c, const ReportPoint *p, ReportPoint ret[static 2], int n) {
        int k = kept_set(&st->sent, p);

        if (k < 0)
                return k;
        st->sent_at = c->time_ns;
        ret[n] = st->sent.point;
        return n + 1;
}

static int point_filter(const ReportRules *r, ReportState *st, const ReportCall *c, const ReportPoint *p,
                        ReportPoint ret[static 2]) {
        bool moved, wanted;
        int n = 0;

        if (r->drop)
                return 0;
        if (!st->sent.set)
                return point_send(st, c, p, ret, 0);
        moved = point_moved(r, &st->sent.point, p);
        wanted = (moved && point_differs(r, &st->sent.point, p)) ||
                 (r->max_interval_ns > 0 && interval_over(st, r->max_interval_ns, c->time_ns));
        if (!wanted)
                return point_hold(r, st, c, p, false);
        if (r->min_interval_ns > 0 && !interval_over(st, r->min_interval_ns, c->time_ns))
                return point_hold(r, st, c, p, true);
        if (r->deadband > 0 && moved && st->held.set && !st->held_due)
                ret[n++] = st->held.point;
        st->held.set = false;
        return point_send(st, c, p, ret, n);
}

/* The window's point goes to the filter; its text stays in `closed` while the next window opens. */
static int window_close(const ReportRules *r, ReportState *st, const ReportCall *c, ReportPoint ret[static 2]) {
        kept_swap(&st->window, &st->closed);
        st->window.set = false;
        st->closed.set = false;
        return point_filter(r, st, c, &st->closed.point, ret);
}

int report_put(const ReportRules *r, ReportState *st, const ReportCall *call, const Value *v, ReportPoint ret[static 2]) {
        Value x = *v;
        ReportPoint p;
        int n = 0, k;

        k = refine(r, st, &x);
        if (k < 0)
                return k;
        if (r->aggregate_ns == 0) {
                p = (ReportPoint){ .time_ns = call->time_ns, .value = x };
                return point_filter(r, st, call, &p, ret);
        }
        if (window_ended(r, st, call)) {
                n = window_close(r, st, call, ret);
                if (n < 0)
                        return n;
        }
        k = window_add(r, st, call, &x);
        return k < 0 ? k : n;
}

int report_tick(const ReportRules *r, ReportState *st, const ReportCall *call, bool everything, ReportPoint ret[static 2]) {
        if (r->aggregate_ns > 0 && st->window.set && (everything || window_ended(r, st, call))) {
                int n = window_close(r, st, call, ret);

                if (n != 0)
                        return n;
        }
        if (!st->held.set || !st->held_due || r->drop)
                return 0;
        if (!everything && (!st->held_alone || !interval_over(st, r->min_interval_ns, call->time_ns)))
                return 0;
        st->held.set = false;
        return point_send(st, call, &st->held.point, ret, 0);
}

int64_t report_due(const ReportRules *r, const ReportState *st, int64_t wall_ns) {
        int64_t due = INT64_MAX;

        if (r->aggregate_ns > 0 && st->window.set)
                due = MIN((st->window_index + 1) * r->aggregate_ns - wall_ns, st->window.point.time_ns + r->aggregate_ns);
        if (st->held.set && st->held_due && st->held_alone)
                due = MIN(due, st->sent_at + r->min_interval_ns);
        return due;
}
