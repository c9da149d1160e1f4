/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of each batch (what goes, and when, is agent/sender's):
 *
 *      offline --online()--> one batch in flight --limits told, or not in time--> a window of batches
 *      any batch lost, or refused for no fault of its rows --> when nothing is in flight any more, the cursors go
 *                                                              back to the first row that is not acknowledged
 *
 * Rows leave the spool by PUBACK only, each batch by its own. Lost with the connection, a batch may mean that we
 * were too fast (judge_limits()), or that the server cannot read one of its rows (tb/suspect), which it says itself on
 * MQTT 5. A close in answer to a probe or a test is not taken for a limit, and when a row is found guilty, or the server
 * closes on a single row at rest, what was learned from the closes before is forgotten.
 *
 * Refused for no fault of its rows: any code but 0x99. Kept, and tried again with growing pauses.
 */
#include <math.h>
#include <stdio.h>

#include "agent/sender.h"
#include "agent/uplink.h"
#include "base/log.h"

#define INTERVAL_MIN (10 * USEC_PER_MSEC)
#define REFUSED_MIN USEC_PER_SEC
#define REFUSED_MAX (60 * USEC_PER_SEC)
#define ANSWER_CLOSE (5 * USEC_PER_SEC) /* a close that answers a batch comes sooner after it */
#define CLOSES_TIME (600 * USEC_PER_SEC)
#define MALFORMED 0x99

struct Uplink {
        Loop *loop;
        Client *client; /* NULL: none */
        unsigned window;
        Sender sender;
        bool explains;     /* the server would say why it closes */
        unsigned closes;   /* the last bare closes, a bit each: 1 where nothing was in flight */
        usec_t closed_at;  /* 0: never */
        unsigned refusals;
        uint64_t refused_first;
        UplinkStats stats;
};

static usec_t now_of(const Uplink *u) {
        return loop_monotonic(u->loop);
}

/* ---- answers */

static void reject(Uplink *u, uint64_t seq, const char *why, bool closed) {
        spool_reject(u->sender.params.spool, seq, why);
        u->stats.rejected_rows++;
        if (closed)
                pace_acquit(&u->sender.pace);
        suspect_cleared(&u->sender.suspect, seq);
        sender_suspects_gone(&u->sender);
        if (log_allow("uplink-reject", 3600 * USEC_PER_SEC, 5, NULL))
                log_warning("the server refuses one row (%s), but takes others: it stands in rejected.jsonl", why);
}

static void test_failed(Uplink *u, const WindowEntry *e, const char *why, bool closed) {
        uint64_t seq = suspect_failed(&u->sender.suspect, e->runs, e->n_runs, closed, now_of(u));

        if (seq > 0)
                reject(u, seq, why, closed);
}

static void probe_failed(Uplink *u, const WindowEntry *e, bool closed) {
        unsigned times = suspect_probe_failed(&u->sender.suspect, now_of(u));

        if (e->n_runs > 0)
                u->sender.candidate = e->runs[0].first + 1;
        if (closed && times > 2 && e->points == 1) /* after a pause: that is no question of speed */
                pace_acquit(&u->sender.pace);
        if (times != (closed ? 2 : 1)) /* one close may be the network's */
                return;
        log_warning("the server refuses our telemetry (%s): all of it is kept, and sent again with growing pauses",
                    closed ? "it closes the connection on it" : "MQTT code 0x99");
}

static void say_accepted(void) {
        log_notice("the server takes telemetry again");
}

static bool is_suspect(const Uplink *u, const WindowEntry *e) {
        RowRun suspects, rows;

        if (u->sender.suspect.n == 0 || e->n_runs == 0)
                return false;
        suspects = suspect_hull(&u->sender.suspect);
        rows = window_hull(e);
        return rows.first <= suspects.last && rows.last >= suspects.first;
}

static void acknowledged(Uplink *u, const WindowEntry *e) {
        usec_t now = now_of(u);

        u->stats.batches_acked++;
        u->stats.points_acked += e->n_runs > 0 ? e->points : 0;
        u->stats.last_ack = now;
        limits_acked(&u->sender.pace.limits, e->points, now);
        sender_copy_taken(&u->sender, e->context);
        if (e->n_runs > 0)
                u->stats.rows_acked += lanes_ack(&u->sender.lanes, e);
        if (e->next == 0 || !is_suspect(u, e)) { /* a part of a suspect says nothing of the server */
                if (suspect_accepted(&u->sender.suspect, now))
                        say_accepted();
                if (e->kind == WINDOW_PROBE)
                        suspect_probed(&u->sender.suspect);
        }
        if (e->kind == WINDOW_TEST && e->next == 0) {
                suspect_cleared(&u->sender.suspect, window_hull(e).last);
                sender_suspects_gone(&u->sender);
        }
        if (u->refusals > 0 && e->n_runs > 0 && e->runs[0].first <= u->refused_first) {
                u->refusals = 0;
                say_accepted();
        }
}

/* For no fault of the rows. */
static void refused(Uplink *u, const WindowEntry *e, int code) {
        usec_t pause = MIN(REFUSED_MIN << MIN(u->refusals, 10u), REFUSED_MAX);

        if (u->refusals == 0 && (code == 0x83 || code == 0x96 || code == 0x97)) /* later ones come at no pace at all */
                pace_failed(&u->sender.pace, true);
        if (u->refusals++ == 0)
                log_warning("the server refuses telemetry (MQTT code 0x%02x): all of it is kept, "
                            "and sent again with growing pauses",
                            code);
        u->refused_first = e->n_runs > 0 ? e->runs[0].first : UINT64_MAX;
        u->sender.rewind = true;
        sender_block(&u->sender, now_of(u) + pause);
}

static void malformed(Uplink *u, const WindowEntry *e) {
        switch (e->kind) {
        case WINDOW_ROWS:
                suspect_refused(&u->sender.suspect, window_hull(e));
                break;
        case WINDOW_PROBE:
                probe_failed(u, e, false);
                break;
        case WINDOW_TEST:
                test_failed(u, e, "the server answers it with MQTT code 0x99", false);
                break;
        }
}

void uplink_published(Uplink *u, uint64_t context, int code) {
        WindowEntry e;

        if (code < 0 || !window_take(&u->sender.window, context, &e))
                return; /* lost: uplink_offline() comes next and takes them all */
        if (code != 0) {
                u->stats.resent_batches++;
                sender_copy_lost(&u->sender, context);
        }
        if (code == 0)
                acknowledged(u, &e);
        else if (code == MALFORMED)
                malformed(u, &e);
        else
                refused(u, &e, code);
        if (u->sender.flushing)
                sender_make_due(&u->sender);
        sender_pump(&u->sender);
}

/* ---- the connection */

static const char *pace_text(double pace, char out[static 32]) {
        if (isinf(pace))
                return "any number of";
        snprintf(out, 32, "%.3g", pace);
        return out;
}

/* Of the last four bare closes two came while nothing was in flight: then they are not about what we send. */
static bool closes_are_foreign(Uplink *u, bool took_nothing) {
        usec_t now = now_of(u);

        if (now - u->closed_at > CLOSES_TIME)
                u->closes = 0;
        u->closes = (u->closes << 1 | took_nothing) & 0xf;
        u->closed_at = now;
        return __builtin_popcount(u->closes) >= 2;
}

/* Batches were lost with the connection: did the server close it because we were too fast? It did when it says
 * so (0x83). A close without a word may mean the same, soon after a batch that it answers, unless this server
 * is one that would say so: one that tells its limits speaks reason codes too. */
static void judge_limits(Uplink *u, SessionReason reason, usec_t oldest) {
        usec_t now = now_of(u);
        bool certain = reason == SESSION_RATE_LIMITED;
        char messages[32], points[32];

        if (oldest == 0)
                return;
        if (!certain && (reason != SESSION_CLOSED || u->explains || now - oldest >= ANSWER_CLOSE))
                return;
        pace_failed(&u->sender.pace, certain);
        if (log_allow("uplink-pace", 60 * USEC_PER_SEC, 3, NULL))
                log_notice("the server closed the connection%s: sending goes on "
                           "with at most %s messages and %s points per second",
                           certain ? " because of its rate limits" : ", perhaps because of rate limits",
                           pace_text(limits_message_pace(&u->sender.pace.limits, now), messages),
                           pace_text(limits_point_pace(&u->sender.pace.limits, now), points));
}

/* A close that can be the answer to what was sent just before: bare, or, on MQTT 5, with 0x8B, as for errors that the server
 * did not foresee. */
static bool may_answer(const Uplink *u, SessionReason reason) {
        return reason == SESSION_DISCONNECTED || (reason == SESSION_CLOSED && !u->explains);
}

void uplink_offline(Uplink *u, SessionReason reason) {
        usec_t now = now_of(u), oldest = 0;
        RowRun hulls[WINDOW_MAX];
        bool answered = false, foreign = false, tested = false;
        size_t n = 0;
        WindowEntry e;

        if (reason == SESSION_CLOSED && !u->explains)
                foreign = closes_are_foreign(u, u->sender.window.n == 0);
        while (window_pop(&u->sender.window, &e)) {
                bool answer = may_answer(u, reason) && now - e.sent < ANSWER_CLOSE;

                u->stats.resent_batches++;
                if (e.kind == WINDOW_PROBE && answer)
                        probe_failed(u, &e, true);
                if (e.kind == WINDOW_TEST && answer)
                        test_failed(u, &e, "the server closes the connection on it", true);
                tested |= e.kind == WINDOW_TEST;
                if (e.kind == WINDOW_ROWS) {
                        hulls[n++] = window_hull(&e);
                        answered |= answer;
                }
                if (e.kind == WINDOW_ROWS || reason == SESSION_RATE_LIMITED)
                        oldest = oldest == 0 ? e.sent : MIN(oldest, e.sent);
        }
        if (may_answer(u, reason) && !tested)
                suspect_other_close(&u->sender.suspect);
        if (foreign)
                pace_acquit(&u->sender.pace);
        else
                judge_limits(u, reason, oldest);
        if (answered && suspect_lost(&u->sender.suspect, hulls, n))
                log_debug("the same batch was in flight at two closes: its rows go alone");
        sender_offline(&u->sender);
}

void uplink_online(Uplink *u, const ClientLimits *limits) {
        Sender *s = &u->sender;
        bool settled = limits->known || limits->settled;

        if (!s->online) {
                suspect_session(&s->suspect, now_of(u));
                sender_online(s);
        }
        if (limits->known && pace_told(&s->pace, limits->telemetry_messages, limits->telemetry_points) < 0)
                settled = false;
        s->settled = settled;
        s->max_payload = limits->max_payload;
        s->most = settled ? MIN(MIN(MAX(u->window, 1u), WINDOW_MAX), MAX(limits->max_inflight, 1u)) : 1;
        u->explains = limits->known && (!u->client || session_protocol(client_session(u->client)) == 5);
        sender_pump(s);
}

/* ---- the owner's side */

void uplink_notify(Uplink *u, bool immediate) {
        if (!u->sender.online)
                return;
        if (immediate || u->sender.flushing)
                sender_make_due(&u->sender);
        sender_pump(&u->sender);
}

void uplink_flush(Uplink *u) {
        u->sender.flushing = true;
        sender_make_due(&u->sender);
        sender_pump(&u->sender);
}

bool uplink_idle(const Uplink *u) {
        return sender_is_idle(&u->sender);
}

usec_t uplink_take(Uplink *u, uint32_t *points) {
        Pace *p = &u->sender.pace;
        usec_t now = now_of(u), delay;

        *points = MIN(*points, MAX(limits_max_points(&p->limits, now), 1u));
        delay = limits_delay(&p->limits, *points, now);
        if (delay == 0)
                pace_take(p, *points, 1, false);
        return delay;
}

UplinkStats uplink_stats(const Uplink *u) {
        const Sender *s = &u->sender;
        Limits limits = s->pace.limits;
        usec_t now = now_of(u), blocked = MAX(s->blocked_until, MAX(s->wait[LANE_LIVE].until, s->suspect.pause));
        UplinkStats stats = u->stats;
        double messages = limits_message_pace(&limits, now), points = limits_point_pace(&limits, now);

        stats.batches = s->batches;
        stats.payload_bytes = s->bytes;
        stats.in_flight = s->window.bytes;
        stats.message_rate = isinf(messages) ? 0 : messages;
        stats.point_rate = isinf(points) ? 0 : points;
        stats.blocked_until = s->online && blocked > now ? blocked : 0;
        stats.refused = u->refusals > 0 || s->suspect.refusals > 0;
        return stats;
}

int uplink_new(Uplink **ret, const UplinkParams *params) {
        _cleanup_(uplink_freep) Uplink *u = calloc(1, sizeof(*u));
        SenderParams p = {
                .loop = params->loop, .spool = params->spool, .client = params->client,
                .interval = MAX(params->batch_interval, INTERVAL_MIN), .splay = params->splay, .batch_size = params->batch_size,
                .backlog_rate = params->backlog_rate, .may_estimate = params->may_estimate, .send = params->send,
                .userdata = params->userdata, .limits_file = params->limits_file, .limits_server = params->limits_server,
        };
        int r;

        if (!u)
                return -ENOMEM;
        u->loop = params->loop;
        u->client = params->client;
        u->window = params->window;
        r = sender_init(&u->sender, &p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

Uplink *uplink_free(Uplink *u) {
        if (!u)
                return NULL;
        sender_done(&u->sender);
        free(u);
        return NULL;
}
