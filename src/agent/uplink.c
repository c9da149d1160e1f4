/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cursor goes over the spool's rows in order of their numbers. A batch is always as large as it may be;
 * it goes when it is full, when its first row is due (a batch tick or an immediate row came after it), and
 * when the window, the clock and the limits let it. Due rows that must wait are joined by later ones: fewer
 * messages mean larger batches, never lost rows.
 *
 *      offline --online()--> one batch in flight --limits told, or not in time--> a window of batches
 *      any batch not acknowledged (lost, or refused) --> when nothing is in flight any more, the cursor goes back to
 *                                                         the first row that is not acknowledged
 *
 * Each batch has a number of its own as context; an answer to one that is not in the table is nobody's
 * (an earlier connection's), so nothing is acknowledged by mistake. Rows leave the spool by PUBACK only.
 *
 * A row that is cut (its points above the server's capacity) holds up what is behind it until its part is
 * acknowledged; how far it came is remembered.
 *
 * A refused batch (MQTT 5, code >= 0x80) is kept and tried again with growing pauses: which row the server
 * dislikes is not looked for here, and no row is ever given up.
 *
 * Lost with the connection, a batch may mean that we were too fast: see judge_loss().
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "agent/uplink.h"
#include "base/log.h"
#include "tb/batch.h"
#include "tb/limits.h"

#define WINDOW_MAX 8
#define IN_FLIGHT_MAX (64 * KIB) /* below a socket buffer: Paho waits a second after a partial write */
#define INTERVAL_MIN (10 * USEC_PER_MSEC)
#define TICK_ACCURACY (5 * USEC_PER_MSEC)
#define BACKLOG_AGE (5 * USEC_PER_SEC) /* beyond the batch interval */
#define BUSY_WAIT (50 * USEC_PER_MSEC)
#define ERROR_WAIT USEC_PER_SEC
#define REFUSED_MIN USEC_PER_SEC
#define REFUSED_MAX (60 * USEC_PER_SEC)
#define LIMIT_CLOSE (5 * USEC_PER_SEC) /* a close for our speed comes sooner after the batch */
#define PAYLOAD_DEFAULT 65536
#define OVERHEAD_MAX 28
#define GAP_TEXT_MAX 1024

typedef struct Flight {
        uint64_t context; /* 0: unused */
        uint64_t first, last;
        size_t next; /* > 0: only this far into `last` */
        size_t size;
        uint32_t rows, points;
        usec_t sent;
} Flight;

struct Uplink {
        UplinkParams params;
        Limits limits;
        Batch batch;
        LoopTimer *tick, *retry;

        bool online, limits_settled;
        bool explains; /* the server would say why it closes */
        size_t max_payload;
        unsigned max_inflight;

        Flight flights[WINDOW_MAX];
        uint64_t contexts;
        uint64_t cursor, due; /* number of the next row, and up to where rows are due */
        uint64_t part_seq;    /* of this row, the text before part_next is acknowledged */
        size_t part_next;
        bool rewind, flushing;
        bool short_of_points; /* waited for tokens: what is there now may go */
        usec_t blocked_until;
        uint64_t credited;    /* rows numbered below it were credited to the backlog */
        usec_t lost_sent;     /* when the oldest batch that was lost with this connection was sent; 0: none */
        unsigned refusals;
        uint64_t refused_first;

        UplinkStats stats;
};

static usec_t now_of(const Uplink *u) {
        return loop_monotonic(u->params.loop);
}

static unsigned count_flights(const Uplink *u) {
        unsigned n = 0;

        for (size_t i = 0; i < WINDOW_MAX; i++)
                n += u->flights[i].context != 0;
        return n;
}

static Flight *flight_find(Uplink *u, uint64_t context) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (u->flights[i].context == context)
                        return &u->flights[i];
        return NULL;
}

static Flight flight_take(Uplink *u, Flight *f) {
        Flight taken = *f;

        u->stats.in_flight -= taken.size;
        *f = (Flight){ 0 };
        return taken;
}

static uint64_t last_seq(const Uplink *u) {
        return spool_stats(u->params.spool).next_seq - 1;
}

/* ---- timers */

static void block_until(Uplink *u, usec_t when) {
        u->blocked_until = when;
        loop_timer_arm(u->retry, when, USEC_PER_MSEC);
}

/* On the wall clock's multiples of the interval, moved by the splay. */
static void arm_tick(Uplink *u) {
        usec_t interval = MAX(u->params.batch_interval, INTERVAL_MIN);
        usec_t behind = (loop_realtime(u->params.loop) + interval - u->params.splay % interval) % interval;

        if (!loop_timer_armed(u->tick))
                loop_timer_arm_in(u->tick, interval - behind, MIN(TICK_ACCURACY, interval / 10));
}

/* ---- gap records */

static int64_t row_ts(const Uplink *u, int64_t boottime_ns) {
        int64_t ms = boottime_ns / NSEC_PER_MSEC - (boottime_ns % NSEC_PER_MSEC < 0);

        return ms + u->params.clock_offset_ms(u->params.userdata);
}

static size_t gap_text(const Uplink *u, const SpoolGap *gap, char out[static GAP_TEXT_MAX]) {
        char why[6 * sizeof(gap->why) + 2], instance[6 * sizeof(gap->instance) + 2];
        int why_size = (int)json_quote(why, gap->why, strlen(gap->why));
        int instance_size = (int)json_quote(instance, gap->instance, strlen(gap->instance));

        return (size_t)snprintf(out, GAP_TEXT_MAX,
                                "{\"tbagent_gap\":{\"dropped\":%" PRIu64 ",\"from\":%" PRId64 ",\"to\":%" PRId64
                                ",\"why\":%.*s,\"instance\":%.*s}}",
                                gap->points, row_ts(u, gap->from_ns), row_ts(u, gap->to_ns), why_size, why,
                                instance_size, instance);
}

/* Only while rows go out: a record in a queue that stands still would push out others. */
static void append_gaps(Uplink *u) {
        SpoolGap gap;

        if (!u->online || !u->params.clock_trusted(u->params.userdata))
                return;
        while (spool_take_gap(u->params.spool, &gap) == 1) {
                char text[GAP_TEXT_MAX];
                Row row = {
                        .boottime_ns = (int64_t)loop_boottime(u->params.loop) * NSEC_PER_USEC,
                        .points = 1,
                        .device = "",
                        .text = text,
                        .text_size = gap_text(u, &gap, text),
                };

                if (spool_append_gap(u->params.spool, &row, &gap) < 0)
                        return;
        }
}

/* ---- building and sending */

static size_t payload_limit(const Uplink *u) {
        size_t overhead = u->params.client ? client_telemetry_overhead(u->params.client) : OVERHEAD_MAX;

        return u->max_payload > overhead ? u->max_payload - overhead : 1;
}

static bool is_backlog(const Uplink *u, const Row *row) {
        int64_t age = (int64_t)(u->params.batch_interval + BACKLOG_AGE) * NSEC_PER_USEC;

        return row->boottime_ns < (int64_t)loop_boottime(u->params.loop) * NSEC_PER_USEC - age;
}

/* 1: full; 0: it could hold more, but there is no more; < 0: no memory. */
static int build(Uplink *u, bool *ret_backlog) {
        usec_t now = now_of(u);
        uint32_t max_points = limits_max_points(&u->limits, now), max_rows = UINT32_MAX;
        size_t limit = payload_limit(u);
        uint64_t seq = u->cursor;
        Row row;

        *ret_backlog = false;
        if (u->short_of_points) {
                max_points = MIN(max_points, limits_points_now(&u->limits, now));
                max_rows = limits_backlog_now(&u->limits, now);
        }
        batch_begin(&u->batch, MIN(u->params.batch_size, limit), limit, max_points);
        while (spool_next(u->params.spool, seq, &seq, &row) == 1) {
                int r;

                if (u->batch.rows == 0)
                        *ret_backlog = is_backlog(u, &row);
                if (*ret_backlog && u->batch.rows >= max_rows)
                        return 1;
                r = batch_add(&u->batch, seq, &row, seq == u->part_seq ? u->part_next : 0, row_ts(u, row.boottime_ns));
                if (r == -E2BIG) /* a single member of it is more than a message may be */
                        spool_drop(u->params.spool, seq, "larger than the server takes");
                else if (r <= 0)
                        return r < 0 ? r : 1;
                seq++;
        }
        return 0;
}

static unsigned window(const Uplink *u) {
        return u->limits_settled ? MIN(MIN(MAX(u->params.window, 1u), (unsigned)WINDOW_MAX), u->max_inflight) : 1;
}

static bool part_in_flight(const Uplink *u) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (u->flights[i].context != 0 && u->flights[i].next > 0)
                        return true;
        return false;
}

/* Rows that are due, or enough for a full batch. Rows and payload take about the same room. */
static bool worth_building(Uplink *u) {
        SpoolStats spool = spool_stats(u->params.spool);

        if (u->cursor >= spool.next_seq) {
                if (spool_has_gap(u->params.spool))
                        arm_tick(u);
                return false;
        }
        if (u->due >= u->cursor || spool.bytes >= u->stats.in_flight + u->params.batch_size)
                return true;
        arm_tick(u);
        return false;
}

static bool may_send(Uplink *u) {
        usec_t now = now_of(u), delay;

        if (!u->online || now < u->blocked_until)
                return false;
        if (u->rewind && count_flights(u) > 0)
                return false;
        if (u->rewind) {
                u->rewind = false;
                u->cursor = 0;
                spool_unsent(u->params.spool);
        }
        if (count_flights(u) >= window(u) || u->stats.in_flight >= IN_FLIGHT_MAX || part_in_flight(u) || !worth_building(u))
                return false;
        if (!u->params.clock_trusted(u->params.userdata)) {
                arm_tick(u);
                return false;
        }
        delay = limits_delay(&u->limits, 0, 0, now);
        if (delay > 0)
                block_until(u, now + delay);
        return delay == 0;
}

/* The backlog may go as much faster as new rows come. */
static void credit_backlog(Uplink *u, bool backlog) {
        uint64_t next = last_seq(u) + 1;

        if (backlog)
                limits_credit_rows(&u->limits, next - u->credited);
        u->credited = next;
}

static void note_flight(Uplink *u, uint64_t context, size_t size) {
        const Batch *b = &u->batch;

        *flight_find(u, 0) = (Flight){
                .context = context, .first = b->first, .last = b->last, .next = b->next,
                .size = size, .rows = b->rows, .points = b->points, .sent = now_of(u),
        };
        spool_sent(u->params.spool, b->last);
        u->cursor = b->next > 0 ? b->last : b->last + 1;
        u->stats.in_flight += size;
        u->stats.batches++;
        u->stats.payload_bytes += size;
}

static bool send_batch(Uplink *u, bool backlog) {
        usec_t now = now_of(u), delay;
        uint32_t backlog_rows = backlog ? u->batch.rows : 0;
        uint64_t context = u->contexts + 1;
        const char *payload;
        size_t size;
        int r;

        delay = limits_delay(&u->limits, u->batch.points, backlog_rows, now);
        if (delay > 0) {
                u->short_of_points = true;
                block_until(u, now + delay);
                return false;
        }
        payload = batch_payload(&u->batch, &size);
        if (u->stats.in_flight > 0 && u->stats.in_flight + size > IN_FLIGHT_MAX)
                return false;
        if (u->params.send)
                r = u->params.send(u->params.userdata, payload, size, context);
        else
                r = client_telemetry(u->params.client, payload, size, context);
        if (r < 0) {
                block_until(u, now + (r == -EAGAIN ? BUSY_WAIT : ERROR_WAIT));
                return false;
        }
        u->contexts = context;
        u->short_of_points = false;
        limits_take(&u->limits, u->batch.points, backlog_rows, now);
        note_flight(u, context, size);
        return true;
}

static void pump(Uplink *u) {
        while (may_send(u)) {
                bool backlog;
                int r;

                r = build(u, &backlog);
                if (r < 0) {
                        block_until(u, now_of(u) + ERROR_WAIT);
                        return;
                }
                if (u->batch.rows == 0) {
                        u->cursor = last_seq(u) + 1;
                        return;
                }
                if (r == 0 && u->batch.first > u->due) {
                        arm_tick(u);
                        return;
                }
                credit_backlog(u, backlog);
                if (!send_batch(u, backlog))
                        return;
        }
}

static void make_due(Uplink *u) {
        append_gaps(u);
        u->due = last_seq(u);
}

static void on_tick(void *userdata) {
        Uplink *u = userdata;

        make_due(u);
        pump(u);
}

static void on_retry(void *userdata) {
        pump(userdata);
}

/* ---- answers */

static void flight_lost(Uplink *u, Flight *f) {
        Flight lost = flight_take(u, f);

        u->stats.resent_batches++;
        u->rewind = true;
        if (u->lost_sent == 0 || lost.sent < u->lost_sent)
                u->lost_sent = lost.sent;
}

static void refused(Uplink *u, const Flight *f, int code) {
        usec_t pause = MIN(REFUSED_MIN << MIN(u->refusals, 10u), REFUSED_MAX);

        if (code == 0x83 || code == 0x96 || code == 0x97)
                limits_failed(&u->limits, true, now_of(u));
        if (u->refusals++ == 0)
                log_warning("the server refuses telemetry (MQTT code 0x%02x): all of it is kept, "
                            "and sent again with growing pauses",
                            code);
        u->refused_first = f->first;
        u->rewind = true;
        u->stats.resent_batches++;
        block_until(u, now_of(u) + pause);
}

static void acknowledged(Uplink *u, const Flight *f) {
        u->stats.batches_acked++;
        u->stats.points_acked += f->points;
        u->stats.last_ack = now_of(u);
        limits_acked(&u->limits, f->points, u->stats.last_ack);
        if (f->next > 0) {
                u->part_seq = f->last;
                u->part_next = f->next;
        }
        u->stats.rows_acked += f->rows - (f->next > 0);
        if (f->next == 0 || f->last > f->first)
                spool_ack(u->params.spool, f->first, f->next > 0 ? f->last - 1 : f->last);
        if (u->refusals > 0 && f->first <= u->refused_first) {
                u->refusals = 0;
                log_notice("the server takes telemetry again");
        }
}

void uplink_published(Uplink *u, uint64_t context, int code) {
        Flight *f = context != 0 ? flight_find(u, context) : NULL;
        Flight answered;

        if (!f)
                return;
        if (code < 0) {
                flight_lost(u, f);
                return; /* uplink_offline() comes next */
        }
        answered = flight_take(u, f);
        if (code == 0)
                acknowledged(u, &answered);
        else
                refused(u, &answered, code);
        if (u->flushing)
                make_due(u);
        pump(u);
}

static const char *pace_text(double pace, char out[static 32]) {
        if (isinf(pace))
                return "any number of";
        snprintf(out, 32, "%.3g", pace);
        return out;
}

/* Batches were lost with the connection: did the server close it because we were too fast? It did when it says
 * so (0x83). A close without a word may mean the same, soon after a batch that it answers, unless this server
 * is one that would say so: one that tells its limits speaks reason codes too. */
static void judge_loss(Uplink *u, SessionReason reason) {
        usec_t now = now_of(u);
        bool certain = reason == SESSION_RATE_LIMITED;
        char messages[32], points[32];

        if (u->lost_sent == 0)
                return;
        if (!certain && (reason != SESSION_CLOSED || u->explains || now - u->lost_sent >= LIMIT_CLOSE))
                return;
        limits_failed(&u->limits, certain, now);
        if (log_allow("uplink-pace", 60 * USEC_PER_SEC, 3, NULL))
                log_notice("the server closed the connection%s: sending goes on "
                           "with at most %s messages and %s points per second",
                           certain ? " because of its rate limits" : ", perhaps because of rate limits",
                           pace_text(limits_message_pace(&u->limits, now), messages),
                           pace_text(limits_point_pace(&u->limits, now), points));
}

void uplink_online(Uplink *u, const ClientLimits *limits) {
        usec_t now = now_of(u);

        if (!u->online) {
                u->online = true;
                u->rewind = true;
                u->lost_sent = 0;
                u->blocked_until = 0;
                u->short_of_points = false;
                u->credited = last_seq(u) + 1;
                limits_reset_backlog(&u->limits, now);
                make_due(u);
        }
        u->max_payload = limits->max_payload;
        u->max_inflight = MAX(limits->max_inflight, 1u);
        u->limits_settled = limits->known || limits->settled;
        u->explains = limits->known && (!u->params.client || session_protocol(client_session(u->params.client)) == 5);
        if (limits->known && limits_told(&u->limits, limits->telemetry_messages, limits->telemetry_points, now) < 0)
                u->limits_settled = false;
        pump(u);
}

void uplink_offline(Uplink *u, SessionReason reason) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (u->flights[i].context != 0)
                        flight_lost(u, &u->flights[i]);
        u->online = false;
        spool_unsent(u->params.spool);
        judge_loss(u, reason);
        loop_timer_disarm(u->tick);
        loop_timer_disarm(u->retry);
}

/* ---- the owner's side */

void uplink_notify(Uplink *u, bool immediate) {
        if (!u->online)
                return;
        if (immediate || u->flushing)
                make_due(u);
        pump(u);
}

void uplink_flush(Uplink *u) {
        u->flushing = true;
        make_due(u);
        pump(u);
}

bool uplink_idle(const Uplink *u) {
        return count_flights(u) == 0 && spool_stats(u->params.spool).rows == 0 && !spool_has_gap(u->params.spool);
}

UplinkStats uplink_stats(const Uplink *u) {
        Limits limits = u->limits;
        usec_t now = now_of(u);
        UplinkStats stats = u->stats;
        double messages = limits_message_pace(&limits, now), points = limits_point_pace(&limits, now);

        stats.message_rate = isinf(messages) ? 0 : messages;
        stats.point_rate = isinf(points) ? 0 : points;
        stats.blocked_until = u->online && u->blocked_until > now ? u->blocked_until : 0;
        return stats;
}

int uplink_new(Uplink **ret, const UplinkParams *params) {
        _cleanup_(uplink_freep) Uplink *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;
        u->params = *params;
        u->max_payload = PAYLOAD_DEFAULT;
        u->max_inflight = 1;
        limits_init(&u->limits, params->backlog_rate, loop_monotonic(params->loop));
        r = loop_timer_new(&u->tick, params->loop, "uplink-tick", on_tick, u);
        if (r < 0)
                return r;
        r = loop_timer_new(&u->retry, params->loop, "uplink-retry", on_retry, u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

Uplink *uplink_free(Uplink *u) {
        if (!u)
                return NULL;
        loop_timer_free(u->tick);
        loop_timer_free(u->retry);
        batch_done(&u->batch);
        free(u);
        return NULL;
}
