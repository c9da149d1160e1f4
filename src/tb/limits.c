/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server tells (getSessionLimits) is a token bucket, and we keep the same one with 80 % of it.
 *
 * What it does not tell is learned from closes. A close says neither whether messages or points were too
 * many nor by how much, so the rates of the last second are taken as what failed: `limit` becomes half of
 * them and grows by 10 % a minute up to them, for six hours; used is 80 % of `limit`, spread evenly, because
 * the server's bucket is empty by now. Measured is what was sent, not what was meant to be.
 *
 * Fewer messages cost nothing: batches become larger. Fewer points cost data. So messages are always held
 * down at once, points first get a trial: their limit grows by 10 % every 5 s, and is forgotten when it is twice
 * what failed and more than is wanted.
 *
 *      messages  points    a close comes                              then
 *      free      free      (first)                                    messages held, points on trial
 *      held      on trial  less than 10 s after the last one           both cut again, a new trial
 *      held      on trial  later: fewer messages were no cure          points held, messages free
 *      held      free      points no more than was proven to pass      messages cut again
 *      held      free      more points than ever before                messages cut again, points on trial
 *      any       held                                                 both cut again
 *
 * After three trials points are held in any case. A bare close may be the network's doing: the first one in
 * ten minutes halves both rates for some seconds only (`suspect`), the second one is believed. One that comes when
 * less than a message and a point a second go is no question of speed, and neither were those before it.
 *
 * Backlog pacing is a third matter: rows of the backlog go at most at backlog_rate where the server names no
 * limits. Where there are limits the backlog leaves in the buckets what new rows will want at the next tick.
 */
#include <math.h>

#include "tb/limits.h"

#define SHARE 0.8
#define CEILING_TIME (6 * 3600 * USEC_PER_SEC)
#define SUSPECT_TIME (10 * 60 * USEC_PER_SEC)
#define HELD_TIME (10 * USEC_PER_SEC)
#define PROOF_TIME (10 * USEC_PER_SEC)
#define PROOF_MARGIN 1.1
#define TRIALS_MAX 3
/* seconds of the pace that may go at once */
#define MESSAGES_BURST 0
#define POINTS_BURST 1
#define SLOT_TIME (25 * USEC_PER_MSEC)
#define FORGET_RATE 1e7
#define FLOOR_RATE (1.0 / 60)
/* factors per second */
#define GROWTH_SLOW 1.0015898 /* 10 % a minute */
#define GROWTH_TRIAL 1.0192   /* 10 % every 5 s */
#define GROWTH_SUSPECT 1.118  /* 25 % every 2 s */

/* ---- buckets */

static double elapsed_sec(usec_t from, usec_t now) {
        return now > from ? (double)(now - from) / (double)USEC_PER_SEC : 0;
}

static usec_t delay_usec(double tokens_missing, double rate) {
        return tokens_missing <= 0 ? 0 : (usec_t)ceil(tokens_missing / rate * (double)USEC_PER_SEC);
}

/* 1 .. 10^9 in digits. */
static int parse_count(const char **text, double *ret) {
        double v = 0;
        const char *p = *text;

        for (; *p >= '0' && *p <= '9'; p++) {
                v = v * 10 + (*p - '0');
                if (v > 1e9)
                        return -EINVAL;
        }
        if (p == *text || v < 1)
                return -EINVAL;
        *text = p;
        *ret = v;
        return 0;
}

int bucket_parse(const char *text, double share, usec_t now, Bucket *ret) {
        Bucket b = { .updated = now };

        while (text && *text) {
                double capacity, seconds;

                if (b.n == BUCKET_BANDS_MAX || parse_count(&text, &capacity) < 0 || *text++ != ':' ||
                    parse_count(&text, &seconds) < 0)
                        return -EINVAL;
                b.bands[b.n].rate = capacity * share / seconds;
                b.bands[b.n].capacity = b.bands[b.n].tokens = fmax(1, floor(capacity * share));
                b.n++;
                if (*text != 0 && *text++ != ',')
                        return -EINVAL;
        }
        *ret = b;
        return 0;
}

static void bucket_update(Bucket *b, usec_t now) {
        double dt = elapsed_sec(b->updated, now);

        for (unsigned i = 0; i < b->n; i++)
                b->bands[i].tokens = fmin(b->bands[i].capacity, b->bands[i].tokens + dt * b->bands[i].rate);
        b->updated = MAX(b->updated, now);
}

usec_t bucket_delay(Bucket *b, double n, usec_t now) {
        usec_t delay = 0;

        bucket_update(b, now);
        for (unsigned i = 0; i < b->n; i++)
                delay = MAX(delay, delay_usec(fmin(n, b->bands[i].capacity) - b->bands[i].tokens, b->bands[i].rate));
        return delay;
}

void bucket_take(Bucket *b, double n, usec_t now) {
        bucket_update(b, now);
        for (unsigned i = 0; i < b->n; i++)
                b->bands[i].tokens -= n;
}

void bucket_drain(Bucket *b, usec_t now) {
        bucket_update(b, now);
        for (unsigned i = 0; i < b->n; i++)
                b->bands[i].tokens = fmin(b->bands[i].tokens, 0);
}

double bucket_tokens(Bucket *b, usec_t now) {
        double tokens = INFINITY;

        bucket_update(b, now);
        for (unsigned i = 0; i < b->n; i++)
                tokens = fmin(tokens, b->bands[i].tokens);
        return tokens;
}

double bucket_capacity(const Bucket *b) {
        double capacity = INFINITY;

        for (unsigned i = 0; i < b->n; i++)
                capacity = fmin(capacity, b->bands[i].capacity);
        return capacity;
}

static double bucket_rate(const Bucket *b) {
        double rate = INFINITY;

        for (unsigned i = 0; i < b->n; i++)
                rate = fmin(rate, b->bands[i].rate);
        return rate;
}

/* ---- learned rates */

static void learned_free(Learned *d) {
        *d = (Learned){ .limit = INFINITY, .ceiling = INFINITY, .target = INFINITY, .growth = 1 };
}

static bool is_free(const Learned *d) {
        return isinf(d->limit);
}

static bool is_trial(const Learned *d) {
        return !is_free(d) && !isinf(d->target);
}

static bool is_held(const Learned *d) {
        return !is_free(d) && isinf(d->target);
}

static double pace_of(const Learned *d) {
        return d->limit * SHARE;
}

static void learned_update(Learned *d, double burst, usec_t now) {
        double dt = elapsed_sec(d->updated, now), capacity;

        if (is_free(d) || dt <= 0)
                return;
        d->updated = now;
        d->limit *= pow(d->growth, dt);
        if (d->ceiling_until > now)
                d->limit = fmin(d->limit, d->ceiling);
        capacity = fmax(1, pace_of(d) * burst);
        d->tokens += dt * pace_of(d);
        if (d->tokens < capacity && d->limit < FORGET_RATE)
                return;
        d->tokens = capacity;
        if (d->limit >= fmin(d->target, FORGET_RATE))
                learned_free(d);
}

static void learned_cut(Learned *d, double failed, double floor, double growth, double target, usec_t now) {
        *d = (Learned){
                .limit = fmax(failed / 2, floor),
                .ceiling = INFINITY,
                .growth = growth,
                .target = target,
                .updated = now,
        };
}

static void learned_hold(Learned *d, double failed, double floor, usec_t now) {
        learned_cut(d, failed, floor, GROWTH_SLOW, INFINITY, now);
        d->ceiling = fmax(failed, d->limit);
        d->ceiling_until = now + CEILING_TIME;
}

static void learned_try(Learned *d, double failed, double growth, double until, usec_t now) {
        learned_cut(d, failed, 1, growth, fmax(failed, 1) * until, now);
}

/* ---- limits */

void limits_init(Limits *l, double backlog_rate, usec_t now) {
        *l = (Limits){ .backlog_rate = backlog_rate, .backlog_updated = now };
        learned_free(&l->learned.messages);
        learned_free(&l->learned.points);
        l->before = l->learned;
}

static bool fits_told(const char *text) {
        return !text || strlen(text) < LIMITS_TOLD_MAX;
}

/* What was sent in the second that ended then. */
static void sent_until(const Limits *l, usec_t end, double *ret_messages, double *ret_points) {
        *ret_messages = *ret_points = 0;
        for (unsigned i = 0; i < LIMITS_SLOTS; i++)
                if (l->sent[i].at + USEC_PER_SEC > end) {
                        *ret_messages += l->sent[i].messages;
                        *ret_points += l->sent[i].points;
                }
}

int limits_told(Limits *l, const char *telemetry_messages, const char *telemetry_points, usec_t now) {
        double sent_messages, sent_points;
        Bucket messages, points;

        if (bucket_parse(telemetry_messages, SHARE, now, &messages) < 0 ||
            bucket_parse(telemetry_points, SHARE, now, &points) < 0 || !fits_told(telemetry_messages) ||
            !fits_told(telemetry_points))
                return -EINVAL;
        sent_until(l, now, &sent_messages, &sent_points);
        bucket_take(&messages, sent_messages, now);
        bucket_take(&points, sent_points, now);
        /* The server's buckets outlive the connection: what we took before is still taken. */
        bucket_update(&l->messages, now);
        bucket_update(&l->points, now);
        for (unsigned i = 0; i < messages.n && i < l->messages.n; i++)
                messages.bands[i].tokens = fmin(messages.bands[i].tokens, l->messages.bands[i].tokens);
        for (unsigned i = 0; i < points.n && i < l->points.n; i++)
                points.bands[i].tokens = fmin(points.bands[i].tokens, l->points.bands[i].tokens);
        l->messages = messages;
        l->points = points;
        l->named = messages.n > 0 || points.n > 0;
        strcpy(l->told_messages, telemetry_messages ?: "");
        strcpy(l->told_points, telemetry_points ?: "");
        return 0;
}

static void update(Limits *l, usec_t now) {
        learned_update(&l->learned.messages, MESSAGES_BURST, now);
        learned_update(&l->learned.points, POINTS_BURST, now);
        if (l->backlog_tokens < l->backlog_rate)
                l->backlog_tokens = fmin(l->backlog_rate,
                                         l->backlog_tokens + elapsed_sec(l->backlog_updated, now) * l->backlog_rate);
        l->backlog_updated = now;
}

static uint32_t to_count(double v) {
        return v >= (double)UINT32_MAX ? UINT32_MAX : v < 1 ? 1 : (uint32_t)v;
}

uint32_t limits_max_points(Limits *l, usec_t now) {
        update(l, now);
        return to_count(fmin(bucket_capacity(&l->points), pace_of(&l->learned.points)));
}

uint32_t limits_points_now(Limits *l, usec_t now) {
        double learned;

        update(l, now);
        learned = is_free(&l->learned.points) ? INFINITY : l->learned.points.tokens;
        return to_count(fmin(bucket_tokens(&l->points, now), learned));
}

/* What may be taken before `seconds` are over so that `need` is there then. */
static double spare(double tokens, double rate, double capacity, double need, double seconds) {
        return tokens + rate * seconds - fmin(need, capacity);
}

static double bucket_spare(Bucket *b, double need, double seconds, usec_t now) {
        double least = INFINITY;

        bucket_update(b, now);
        for (unsigned i = 0; i < b->n; i++)
                least = fmin(least, spare(b->bands[i].tokens, b->bands[i].rate, b->bands[i].capacity, need, seconds));
        return least;
}

static double learned_spare(const Learned *d, double burst, double need, double seconds) {
        return is_free(d) ? INFINITY : spare(d->tokens, pace_of(d), fmax(1, pace_of(d) * burst), need, seconds);
}

uint32_t limits_spare_points(Limits *l, const LimitsNeed *need, usec_t now) {
        double seconds = (double)need->until / (double)USEC_PER_SEC, messages, points;

        update(l, now);
        messages = fmin(bucket_spare(&l->messages, need->messages, seconds, now),
                        learned_spare(&l->learned.messages, MESSAGES_BURST, need->messages, seconds));
        points = fmin(bucket_spare(&l->points, need->points, seconds, now),
                      learned_spare(&l->learned.points, POINTS_BURST, need->points, seconds));
        return messages < 1 || points < 1 ? 0 : to_count(points);
}

static usec_t learned_delay(const Learned *d, double n) {
        return is_free(d) ? 0 : delay_usec(n - d->tokens, pace_of(d));
}

static bool backlog_paced(const Limits *l) {
        return l->backlog_rate > 0 && !l->named;
}

usec_t limits_delay(Limits *l, uint32_t points, usec_t now) {
        usec_t delay;

        update(l, now);
        delay = MAX(bucket_delay(&l->messages, 1, now), bucket_delay(&l->points, points, now));
        delay = MAX(delay, learned_delay(&l->learned.messages, 1));
        return MAX(delay, learned_delay(&l->learned.points, fmin(points, fmax(1, pace_of(&l->learned.points)))));
}

usec_t limits_backlog_delay(Limits *l, uint32_t rows, usec_t now) {
        update(l, now);
        if (!backlog_paced(l))
                return 0;
        return delay_usec(fmin(rows, fmax(1, l->backlog_rate)) - l->backlog_tokens, l->backlog_rate);
}

static void note_sent(Limits *l, uint32_t points, usec_t now) {
        if (now >= l->sent[l->slot].at + SLOT_TIME) {
                l->slot = (l->slot + 1) % LIMITS_SLOTS;
                l->sent[l->slot].at = now;
                l->sent[l->slot].messages = l->sent[l->slot].points = 0;
        }
        if (l->resumed == 0)
                l->resumed = now;
        l->sent[l->slot].messages += 1;
        l->sent[l->slot].points += points;
}

void limits_take(Limits *l, uint32_t points, uint32_t backlog_rows, usec_t now) {
        update(l, now);
        bucket_take(&l->messages, 1, now);
        bucket_take(&l->points, points, now);
        l->learned.messages.tokens -= 1;
        l->learned.points.tokens -= points;
        l->backlog_tokens -= backlog_rows;
        note_sent(l, points, now);
}

void limits_acked(Limits *l, uint32_t points, usec_t now) {
        if (l->good_since == 0)
                l->good_since = now;
        if (l->proof_since == 0) {
                l->proof_since = now; /* the window starts behind this message */
                l->proof_points = 0;
                return;
        }
        l->proof_points += points;
        if (now - l->proof_since < PROOF_TIME)
                return;
        l->learned.points_proven = fmax(l->learned.points_proven, l->proof_points / elapsed_sec(l->proof_since, now));
        l->proof_since = now;
        l->proof_points = 0;
}

uint32_t limits_backlog_now(Limits *l, usec_t now) {
        update(l, now);
        return backlog_paced(l) ? to_count(l->backlog_tokens) : UINT32_MAX;
}

void limits_reset_backlog(Limits *l, usec_t now) {
        l->backlog_tokens = 0;
        l->backlog_updated = now;
}

/* A pace that failed before a second was over is what failed: the server had nothing left from before.
 * Otherwise not more than it: the second may have caught two batches of a steady one. */
static double failed_rate(const Learned *d, double sent, bool full_second) {
        return is_free(d) ? fmax(sent, 1) : full_second ? fmin(fmax(sent, 1), pace_of(d)) : pace_of(d);
}

/* What was sent in the second that ended with the last message. */
static void measure(const Limits *l, double *ret_messages, double *ret_points) {
        usec_t end = l->sent[l->slot].at;
        bool full = l->resumed > 0 && end >= l->resumed + USEC_PER_SEC;
        double messages, points;

        sent_until(l, end, &messages, &points);
        *ret_messages = failed_rate(&l->learned.messages, messages, full);
        *ret_points = failed_rate(&l->learned.points, points, full);
}

static void hold_or_try_points(Limits *l, double failed, usec_t now) {
        if (is_held(&l->learned.points) || l->learned.point_trials >= TRIALS_MAX) {
                learned_hold(&l->learned.points, failed, failed >= 1 ? 1 : FLOOR_RATE, now);
                return;
        }
        l->learned.point_trials++;
        learned_try(&l->learned.points, failed, GROWTH_TRIAL, 2, now);
}

/* The table at the top. */
static void learn(Limits *l, double messages, double points, bool cured, usec_t now) {
        bool held = is_held(&l->learned.messages);

        if (held && is_trial(&l->learned.points) && cured) {
                learned_hold(&l->learned.points, points, 1, now);
                learned_free(&l->learned.messages);
                return;
        }
        /* Less than one message a second is no sane limit while a message holds many points. */
        learned_hold(&l->learned.messages, messages, messages >= 1 || points > 2 * messages ? 1 : FLOOR_RATE, now);
        if (held && is_free(&l->learned.points) && points <= l->learned.points_proven * PROOF_MARGIN)
                return;
        hold_or_try_points(l, points, now);
        l->learned.points_proven = fmin(l->learned.points_proven, points / 2);
}

void limits_acquit(Limits *l, usec_t now) {
        if (l->learned.suspected == 0 || l->learned.suspected == l->before.suspected)
                return;
        l->learned = l->before;
        update(l, now);
}

void limits_failed(Limits *l, bool certain, usec_t now) {
        bool lately = l->learned.suspected > 0 && now - l->learned.suspected < SUSPECT_TIME;
        bool cured = l->good_since > 0 && now - l->good_since >= HELD_TIME;
        double messages, points;

        update(l, now);
        measure(l, &messages, &points);
        if (!certain && pace_of(&l->learned.messages) <= 1 && pace_of(&l->learned.points) <= 1) {
                limits_acquit(l, now);
                return;
        }
        if (!lately)
                l->before = l->learned;
        if (l->learned.suspected > 0 && now - l->learned.suspected > CEILING_TIME)
                l->learned.point_trials = 0;
        l->learned.suspected = now;
        l->good_since = l->proof_since = l->resumed = 0;
        bucket_drain(&l->messages, now);
        bucket_drain(&l->points, now);
        if (certain || lately || is_held(&l->learned.messages) || is_held(&l->learned.points)) {
                learn(l, messages, points, cured, now);
                return;
        }
        learned_try(&l->learned.messages, messages, GROWTH_SUSPECT, 1, now);
        learned_try(&l->learned.points, points, GROWTH_SUSPECT, 1, now);
}

double limits_message_pace(Limits *l, usec_t now) {
        update(l, now);
        return fmin(bucket_rate(&l->messages), pace_of(&l->learned.messages));
}

double limits_point_pace(Limits *l, usec_t now) {
        update(l, now);
        return fmin(bucket_rate(&l->points), pace_of(&l->learned.points));
}
