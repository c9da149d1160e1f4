/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row that the server does not understand holds up its whole batch, and with it the queue: on MQTT 5 the
 * batch is answered 0x99, on 3.1.1 (and on 5 for errors that the server did not foresee) the connection is
 * closed without a word, which a bad network, a rate limit, a quota that is used up and a second session with the
 * same credentials do, too. A row is given up only when nothing of that explains what was seen.
 *
 *      nothing is suspected
 *        a batch is answered 0x99 -----------------------------------> its rows are a range
 *        two closes, the same batch first in flight at both ---------> each batch of the second is a range
 *      ranges (rows that are not in one go as ever, see agent/uplink for the lanes)
 *        no probe in this session, or not of late --> PROBE
 *               not taken --> PAUSE, growing: the server refuses our telemetry, whatever it is
 *               taken ------> TEST of the first range
 *        TEST taken --------> cleared, on to the next one
 *        TEST answered 0x99, or closed on twice, at least 10 s apart --> confirmed: in up to 16 parts, a range each
 *        TEST of a part closed on once --> in parts again
 *        TEST of one row answered 0x99, or closed on twice, at least 10 s apart --> rejected; the second time it goes
 *               key by key: servers also close on more points, or bytes, than they take at once
 *
 * Where closes come at other times as well (a second session, a bad network), chance can hit a row twice: each
 * close since the first that took no test makes one more necessary, up to ten.
 *
 * So before each refusal that counts the server took a row in the same session, a moment ago; and what a
 * close says of a single row it must say again 10 s later, in another session. Between the two a part is held
 * poisonous by one close: when that is wrong its rows are taken one after the other and nothing is lost but a
 * minute.
 *
 * In parts of 16, not in halves: what is taken costs one round trip, what is closed on costs a connection and
 * the wait below. A bad row in a batch of 256 is found with two closes after the batch is confirmed.
 *
 * After a close the next test waits until the session has lasted 30 s, so that the session's back-off starts
 * anew each time; where no session lasts that long, two minutes. Rows that are not suspected go meanwhile. The first test
 * of all does not wait: rows that were suspected by mistake are free after a round trip.
 */
#include <assert.h>

#include "tb/suspect.h"

#define PARTS 16u
#define STRIKES 2
#define STRIKES_MAX 10
#define STRIKE_SPACE (10 * USEC_PER_SEC)
#define SESSION_LASTS (30 * USEC_PER_SEC)
#define HOLD_MAX (120 * USEC_PER_SEC)
#define PROBE_GOOD (10 * USEC_PER_SEC) /* so long after the server took something */
#define PAUSE_MIN USEC_PER_SEC
#define PAUSE_MAX (60 * USEC_PER_SEC)

void suspect_session(Suspect *s, usec_t now) {
        s->session = now;
        s->accepted = 0;
        s->probed = false;
}

static usec_t hold_until(const Suspect *s) {
        if (s->closed_at == 0)
                return 0;
        return MAX(s->closed_at + STRIKE_SPACE, MIN(s->session + SESSION_LASTS, s->closed_at + HOLD_MAX));
}

SuspectStep suspect_step(const Suspect *s, usec_t now, usec_t *ret_when) {
        if (s->n == 0)
                return SUSPECT_NONE;
        *ret_when = s->pause;
        if (now < s->pause)
                return SUSPECT_PAUSE;
        *ret_when = hold_until(s);
        if (now < *ret_when)
                return SUSPECT_HOLD;
        return s->probed && now - s->accepted < PROBE_GOOD ? SUSPECT_TEST : SUSPECT_PROBE;
}

bool suspect_accepted(Suspect *s, usec_t now) {
        bool refused = s->refusals > 0;

        s->accepted = now;
        s->refusals = 0;
        s->pause = 0;
        return refused;
}

void suspect_probed(Suspect *s) {
        s->probed = true;
}

unsigned suspect_probe_failed(Suspect *s, usec_t now) {
        s->pause = now + MIN(PAUSE_MIN << MIN(s->refusals, 10u), PAUSE_MAX);
        return ++s->refusals;
}

/* ---- ranges */

static void ranges_remove(Suspect *s, unsigned at) {
        s->n--;
        memmove(&s->ranges[at], &s->ranges[at + 1], (s->n - at) * sizeof(SuspectRange));
}

/* One that finds no room is left out: its rows are sent again with the others, and may be suspected anew. */
static void ranges_add(Suspect *s, RowRun hull) {
        SuspectRange new = { .first = hull.first, .last = hull.last };
        unsigned at = 0;

        while (at < s->n && s->ranges[at].last < new.first)
                at++;
        while (at < s->n && s->ranges[at].first <= new.last) {
                new.first = MIN(new.first, s->ranges[at].first);
                new.last = MAX(new.last, s->ranges[at].last);
                ranges_remove(s, at);
        }
        if (s->n == SUSPECT_RANGES_MAX)
                return;
        memmove(&s->ranges[at + 1], &s->ranges[at], (s->n - at) * sizeof(SuspectRange));
        s->ranges[at] = new;
        s->n++;
}

RowRun suspect_hull(const Suspect *s) {
        assert(s->n > 0);
        return (RowRun){ s->ranges[0].first, s->ranges[s->n - 1].last };
}

void suspect_refused(Suspect *s, RowRun hull) {
        ranges_add(s, hull);
}

static bool was_first(const Suspect *s, uint64_t seq) {
        for (unsigned i = 0; i < s->n_heads; i++)
                if (s->heads[i] == seq)
                        return true;
        return false;
}

bool suspect_lost(Suspect *s, const RowRun *hulls, size_t n) {
        bool again = false;

        n = MIN(n, (size_t)SUSPECT_HEADS_MAX);
        for (size_t i = 0; i < n; i++)
                again |= was_first(s, hulls[i].first);
        for (size_t i = 0; i < n; i++) {
                s->heads[i] = hulls[i].first;
                if (again)
                        ranges_add(s, hulls[i]);
        }
        s->n_heads = (unsigned)n;
        return again;
}

void suspect_cleared(Suspect *s, uint64_t last) {
        if (s->n == 0)
                return;
        s->ranges[0].first = last + 1;
        if (s->ranges[0].first > s->ranges[0].last)
                ranges_remove(s, 0);
        s->strikes = 0;
        if (s->n == 0)
                s->n_heads = 0;
}

/* ---- verdicts */

bool suspect_wants_parts(const Suspect *s) {
        return s->n > 0 && s->strikes > 0 && s->struck.first == s->struck.last && s->ranges[0].first <= s->struck.first &&
               s->struck.first <= s->ranges[0].last;
}

static uint64_t count_rows(const RowRun *runs, unsigned n_runs) {
        uint64_t rows = 0;

        for (unsigned i = 0; i < n_runs; i++)
                rows += runs[i].last - runs[i].first + 1;
        return rows;
}

static uint64_t nth_row(const RowRun *runs, uint64_t n) {
        for (; n > runs->last - runs->first; runs++)
                n -= runs->last - runs->first + 1;
        return runs->first + n;
}

/* ranges[0] becomes parts of about as many rows each. Behind the rows there may be more of the range, which was not sent. */
static void split(Suspect *s, const RowRun *runs, uint64_t rows) {
        SuspectRange whole = s->ranges[0];
        unsigned parts;

        if (s->n == SUSPECT_RANGES_MAX)
                s->n--;
        parts = MIN((unsigned)MIN(rows, (uint64_t)PARTS), SUSPECT_RANGES_MAX - s->n + 1);
        memmove(&s->ranges[parts], &s->ranges[1], (s->n - 1) * sizeof(SuspectRange));
        s->n += parts - 1;
        for (unsigned i = 0; i < parts; i++)
                s->ranges[i] = (SuspectRange){
                        .first = i == 0 ? whole.first : nth_row(runs, rows * i / parts),
                        .last = i == parts - 1 ? whole.last : nth_row(runs, rows * (i + 1) / parts) - 1,
                        .confirmed = true,
                };
        s->strikes = 0;
}

void suspect_other_close(Suspect *s) {
        s->others++;
}

/* Two sets are the same when they begin alike and both are of one row, or both of several: a batch is not always cut alike. */
static void strike(Suspect *s, RowRun hull, usec_t now) {
        bool same = s->strikes > 0 && s->struck.first == hull.first &&
                    (s->struck.last == s->struck.first) == (hull.last == hull.first);

        if (!same)
                s->strikes = s->others = 0;
        s->closed_at = now;
        if (same && now - s->struck_at < STRIKE_SPACE)
                return;
        s->strikes++;
        s->struck = hull;
        s->struck_at = now;
}

uint64_t suspect_failed(Suspect *s, const RowRun *runs, unsigned n_runs, bool closed, usec_t now) {
        uint64_t rows = count_rows(runs, n_runs);
        RowRun hull = { runs[0].first, runs[n_runs - 1].last };
        bool proven = !closed;

        if (s->n == 0)
                return 0;
        if (closed) {
                strike(s, hull, now);
                proven = s->strikes >= (rows == 1 ? MIN(STRIKES + s->others, (unsigned)STRIKES_MAX) : (unsigned)STRIKES);
        }
        if (rows == 1 && proven)
                s->closed_at = 0; /* what is left of the batch is most likely good */
        if (rows == 1)
                return proven ? hull.first : 0;
        if (proven || s->ranges[0].confirmed)
                split(s, runs, rows);
        return 0;
}
