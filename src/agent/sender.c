/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two cursors go over the spool's rows, one for the new ones and one for the backlog (agent/lanes). A batch is
 * always as large as it may be. New rows go when a batch of them is full, or when the first is due (a batch tick
 * or an immediate row came after it); the backlog goes whenever the window, the bytes in flight and the limits leave
 * room for a batch of new rows beside it (agent/pace). Due rows that must wait are joined by later ones: fewer
 * messages mean larger batches, never lost rows.
 *
 * While rows are suspected (tb/suspect):
 *
 *      HOLD         nothing behind them goes in their lane, what is before them does. Rows of the live lane move to
 *                   the store in time, and so new rows go on, and every lane stays in order. Where there is no store
 *                   to move to, new rows pass by them: better late than lost.
 *      PROBE, TEST  one message in flight; after each test new rows that are due get their turn
 *      PAUSE        nothing goes
 */
#include "agent/sender.h"

#define IN_FLIGHT_MAX (64 * KIB) /* below a socket buffer: Paho waits a second after a partial write */
#define TICK_ACCURACY (5 * USEC_PER_MSEC)
#define BUSY_WAIT (50 * USEC_PER_MSEC)
#define ERROR_WAIT USEC_PER_SEC
#define LIMITS_WAIT (2 * USEC_PER_SEC) /* a first message larger than they are would end the session, and the next one, too */
#define UNSETTLED_WAIT (100 * USEC_PER_MSEC)
#define PAYLOAD_DEFAULT 65536
#define OVERHEAD_MAX 28

static usec_t now_of(const Sender *s) {
        return loop_monotonic(s->params.loop);
}

static uint64_t last_seq(const Sender *s) {
        return spool_stats(s->params.spool).next_seq - 1;
}

/* ---- timers */

static void wake_at(Sender *s, usec_t when) {
        if (when < loop_timer_deadline(s->retry))
                loop_timer_arm(s->retry, when, USEC_PER_MSEC);
}

void sender_block(Sender *s, usec_t when) {
        s->blocked_until = when;
        wake_at(s, when);
}

/* On the wall clock's multiples of the interval, moved by the splay. */
static void arm_tick(Sender *s) {
        usec_t interval = s->params.interval, behind;

        if (loop_timer_armed(s->tick))
                return;
        behind = (loop_realtime(s->params.loop) + interval - s->params.splay % interval) % interval;
        loop_timer_arm_in(s->tick, interval - behind, MIN(TICK_ACCURACY, interval / 10));
}

/* ---- one message */

static size_t payload_limit(const Sender *s) {
        size_t overhead = s->params.client ? client_telemetry_overhead(s->params.client) : OVERHEAD_MAX;

        return s->max_payload > overhead ? s->max_payload - overhead : 1;
}

static size_t batch_limit(const Sender *s) {
        return MIN(s->params.batch_size, payload_limit(s));
}

static void begin(Sender *s, SpoolLane lane, uint32_t max_points) {
        usec_t now = now_of(s);

        max_points = MIN(max_points, limits_max_points(&s->pace.limits, now));
        if (s->wait[lane].waited)
                max_points = MIN(max_points, limits_points_now(&s->pace.limits, now));
        batch_begin(&s->batch, batch_limit(s), payload_limit(s), max_points);
}

static Copy *copy_find(Sender *s, uint64_t context) {
        for (size_t i = 0; i < WINDOW_MAX; i++)
                if (s->sent[i].context == context)
                        return &s->sent[i];
        return NULL;
}

static void copy_set(Sender *s, uint64_t context) {
        Copy *c = copy_find(s, 0);
        size_t size;
        const char *entry = batch_last_entry(&s->batch, &size);
        char *text = c ? realloc(c->text, size) : NULL;

        if (!text)
                return;
        memcpy(text, entry, size);
        *c = (Copy){ .context = context, .text = text, .size = size, .points = s->batch.last_points };
}

void sender_copy_taken(Sender *s, uint64_t context) {
        Copy *c = copy_find(s, context), old = s->taken;

        if (!c)
                return;
        s->taken = *c;
        *c = old;
        c->context = 0;
}

void sender_copy_lost(Sender *s, uint64_t context) {
        Copy *c = copy_find(s, context);

        if (c)
                c->context = 0;
}

typedef enum Sent { SENT_NOTHING, SENT_WAITS, SENT_ONE } Sent; /* waits: nobody may overtake it */

static Sent wait_for(Sender *s, SpoolLane lane, usec_t delay) {
        s->wait[lane].until = now_of(s) + delay;
        s->wait[lane].waited = true;
        wake_at(s, s->wait[lane].until);
        return SENT_WAITS;
}

static Sent transmit(Sender *s, WindowKind kind, SpoolLane lane) {
        usec_t now = now_of(s), delay = limits_delay(&s->pace.limits, s->batch.points, now);
        uint64_t context = window_next_context(&s->window);
        const char *payload;
        size_t size;
        int r;

        if (delay > 0)
                return wait_for(s, lane, delay);
        payload = batch_payload(&s->batch, &size);
        if (s->window.n > 0 && s->window.bytes + size > IN_FLIGHT_MAX)
                return SENT_WAITS;
        if (s->params.send)
                r = s->params.send(s->params.userdata, payload, size, context);
        else
                r = client_telemetry(s->params.client, payload, size, context);
        if (r < 0) {
                sender_block(s, now + (r == -EAGAIN ? BUSY_WAIT : ERROR_WAIT));
                return SENT_WAITS;
        }
        s->wait[lane].waited = false;
        pace_take(&s->pace, s->batch.points, s->batch.rows, lane == LANE_BACKLOG);
        window_add(&s->window, &s->batch, kind, lane, size, now);
        if (s->batch.n_runs > 0 && (s->batch.next == 0 || kind == WINDOW_ROWS))
                copy_set(s, context);
        if (s->batch.n_runs > 0)
                spool_sent(s->params.spool, s->batch.runs[s->batch.n_runs - 1].last);
        s->batches++;
        s->bytes += size;
        s->unsettled_until = s->pace.limits.named ? 0 : now + UNSETTLED_WAIT;
        return SENT_ONE;
}

/* ---- new rows */

/* Rows that are due, or enough for a full batch. Rows and payload take about the same room. */
static bool live_is_due(Sender *s) {
        uint64_t cursor = s->lanes.cursor[LANE_LIVE];
        SpoolStats spool = spool_stats(s->params.spool);

        if (cursor >= spool.next_seq) {
                if (spool_has_gap(s->params.spool))
                        arm_tick(s);
                return false;
        }
        if (s->due >= cursor || spool.live_bytes >= window_lane_bytes(&s->window, LANE_LIVE) + s->lanes.strict_bytes +
                                                            s->params.batch_size + s->shortfall)
                return true;
        arm_tick(s);
        return false;
}

/* Which new rows may go: not those that are suspected, nor what is behind them. */
static LaneSpan live_span(Sender *s) {
        LaneSpan span = { .first = s->lanes.cursor[LANE_LIVE], .last = UINT64_MAX, .max_rows = UINT32_MAX };
        RowRun hull;
        SpoolRow row;

        if (s->suspect.n == 0)
                return span;
        hull = suspect_hull(&s->suspect);
        if (spool_next(s->params.spool, LANE_LIVE, hull.first, &row) != 1 || row.seq > hull.last)
                return span;
        span.last = hull.first - 1;
        if (spool_stats(s->params.spool).store.state == STORE_OK ||
            lanes_find(&s->lanes, LANE_LIVE, span.first, span.last, &row) == 1)
                return span;
        span.first = MAX(span.first, hull.last + 1);
        span.last = UINT64_MAX;
        return span;
}

static Sent send_live(Sender *s) {
        LaneSpan span;
        Sent sent;
        int r;

        if (!live_is_due(s))
                return SENT_NOTHING;
        if (now_of(s) < s->wait[LANE_LIVE].until) {
                wake_at(s, s->wait[LANE_LIVE].until);
                return SENT_WAITS;
        }
        span = live_span(s);
        begin(s, LANE_LIVE, UINT32_MAX);
        r = lanes_fill(&s->lanes, LANE_LIVE, &span, &s->batch);
        s->stopped = r == LANE_STOPPED;
        if (r == -ENOMEM && s->batch.rows == 0)
                sender_block(s, now_of(s) + ERROR_WAIT);
        if (s->batch.rows == 0) {
                if (r == LANE_END && span.last == UINT64_MAX)
                        s->lanes.cursor[LANE_LIVE] = last_seq(s) + 1;
                else
                        arm_tick(s);
                return SENT_NOTHING;
        }
        if (r != LANE_FULL && s->batch.runs[0].first > s->due) {
                s->shortfall = batch_limit(s) - MIN(s->batch.size, batch_limit(s));
                arm_tick(s);
                return SENT_NOTHING;
        }
        sent = transmit(s, WINDOW_ROWS, LANE_LIVE);
        if (sent == SENT_ONE) {
                lanes_advance(&s->lanes, LANE_LIVE, &s->batch);
                s->shortfall = 0;
        }
        return sent;
}

/* ---- the backlog */

/* Room beside it for a batch of new rows, unless that had its turn. */
static bool backlog_has_room(const Sender *s, bool turn) {
        size_t room = turn ? 0 : batch_limit(s);

        if (s->window.n == 0)
                return true;
        return (turn || s->window.n + 1 < s->most) && s->window.bytes + batch_limit(s) + room <= IN_FLIGHT_MAX;
}

static Sent send_backlog(Sender *s, bool turn) {
        LaneSpan span = { .first = s->lanes.cursor[LANE_BACKLOG], .last = UINT64_MAX, .max_rows = UINT32_MAX };
        Sent waits = turn ? SENT_WAITS : SENT_NOTHING, sent;
        usec_t now = now_of(s), delay;
        uint32_t max_points;
        int r;

        if (s->suspect.n > 0)
                span.last = s->suspect.ranges[0].first - 1;
        if (s->flushing || !spool_has_backlog(s->params.spool) || !backlog_has_room(s, turn))
                return SENT_NOTHING;
        if (now < s->wait[LANE_BACKLOG].until) {
                wake_at(s, s->wait[LANE_BACKLOG].until);
                return s->backlog_paced ? SENT_NOTHING : waits;
        }
        arm_tick(s);
        max_points = turn ? pace_second(&s->pace) : pace_spare(&s->pace, loop_timer_deadline(s->tick));
        if (max_points == 0)
                return SENT_NOTHING;
        if (s->wait[LANE_BACKLOG].waited)
                span.max_rows = limits_backlog_now(&s->pace.limits, now);
        begin(s, LANE_BACKLOG, max_points);
        r = lanes_fill(&s->lanes, LANE_BACKLOG, &span, &s->batch);
        if (r == -ENOMEM && s->batch.rows == 0)
                sender_block(s, now + ERROR_WAIT);
        if (s->batch.rows == 0)
                return SENT_NOTHING;
        delay = limits_backlog_delay(&s->pace.limits, s->batch.rows, now);
        s->backlog_paced = delay > 0;
        if (delay > 0) {
                wait_for(s, LANE_BACKLOG, delay);
                return SENT_NOTHING;
        }
        sent = transmit(s, WINDOW_ROWS, LANE_BACKLOG);
        if (sent == SENT_ONE)
                lanes_advance(&s->lanes, LANE_BACKLOG, &s->batch);
        return sent == SENT_WAITS ? waits : sent;
}

static Sent send_rows(Sender *s) {
        bool turn = pace_is_backlogs(&s->pace);
        Sent sent = turn ? send_backlog(s, true) : send_live(s);

        if (sent != SENT_NOTHING)
                return sent;
        return turn ? send_live(s) : send_backlog(s, false);
}

/* ---- suspects */

void sender_suspects_gone(Sender *s) {
        if (s->suspect.n > 0)
                return;
        s->rewind = true;
        s->candidate = 0;
}

/* A row that the server has. */
static bool build_copy(Sender *s) {
        const Copy *c = &s->taken;

        if (s->suspect.refusals % 2 && c->points > 1) /* perhaps it is too many points by now */
                return false;
        if (c->size == 0 || c->size + 2 > payload_limit(s) || c->points > limits_max_points(&s->pace.limits, now_of(s)))
                return false;
        return batch_copy(&s->batch, c->text, c->size, c->points) == 0;
}

/* Any row, the oldest at first, the next one at each try, and then just a key of it. 0: there is none. */
static int build_candidate(Sender *s, SpoolLane *ret_lane) {
        const uint64_t starts[] = { s->candidate, 0 };
        uint32_t max_points = s->suspect.refusals > 0 ? 1 : UINT32_MAX;

        for (size_t i = 0; i < 2 * ELEMENTS(starts); i++) {
                LaneSpan span = { .first = starts[i / 2], .last = UINT64_MAX, .max_rows = 1 };
                int r;

                *ret_lane = i % 2 == 0 ? LANE_BACKLOG : LANE_LIVE;
                begin(s, *ret_lane, max_points);
                r = lanes_fill(&s->lanes, *ret_lane, &span, &s->batch);
                if (s->batch.rows > 0)
                        return 1;
                if (r < 0 || r == LANE_STOPPED)
                        return -EAGAIN;
        }
        return 0;
}

/* In its lane nothing is before the first range any more. */
static bool suspects_are_first(Sender *s) {
        SuspectRange range = s->suspect.ranges[0];
        SpoolLane lane = LANE_BACKLOG;
        SpoolRow row;
        int r;

        if (spool_next(s->params.spool, LANE_LIVE, range.first, &row) == 1 && row.seq <= range.last)
                lane = LANE_LIVE;
        r = spool_next(s->params.spool, lane, 0, &row);
        return r == 0 || (r == 1 && row.seq >= range.first);
}

static Sent send_probe(Sender *s) {
        SpoolLane lane = LANE_LIVE;
        int r = build_copy(s) ? 1 : build_candidate(s, &lane);

        if (r == 1)
                return transmit(s, WINDOW_PROBE, lane);
        if (r < 0) {
                arm_tick(s);
                return SENT_WAITS;
        }
        while (s->suspect.n > 0) /* no row is left at all */
                suspect_cleared(&s->suspect, s->suspect.ranges[0].last);
        sender_suspects_gone(s);
        return SENT_WAITS;
}

static Sent send_test(Sender *s) {
        SuspectRange range = s->suspect.ranges[0];
        LaneSpan span = { .first = range.first, .last = range.last, .max_rows = UINT32_MAX };

        if (s->tested) {
                s->tested = false;
                if (send_live(s) == SENT_ONE)
                        return SENT_ONE;
        }
        for (SpoolLane lane = LANE_BACKLOG;; lane = LANE_LIVE) {
                int r;

                begin(s, lane, suspect_wants_parts(&s->suspect) ? 1 : UINT32_MAX);
                r = lanes_fill(&s->lanes, lane, &span, &s->batch);
                if (s->batch.rows > 0) {
                        Sent sent = transmit(s, WINDOW_TEST, lane);

                        s->tested = sent == SENT_ONE;
                        return sent;
                }
                if (r != LANE_END) {
                        arm_tick(s);
                        return SENT_WAITS;
                }
                if (lane == LANE_LIVE)
                        break;
        }
        suspect_cleared(&s->suspect, range.last);
        sender_suspects_gone(s);
        return SENT_ONE; /* in effect: there is more to do */
}

/* ---- what goes next */

static void go_back(Sender *s) {
        s->rewind = false;
        lanes_rewind(&s->lanes);
        spool_unsent(s->params.spool);
}

static bool step(Sender *s) {
        usec_t now = now_of(s), when = 0;
        SuspectStep next;

        if (!s->online || (s->rewind && s->window.n > 0))
                return false;
        when = s->settled ? s->blocked_until : MAX(s->blocked_until, s->unsettled_until);
        if (now < when) {
                wake_at(s, when);
                return false;
        }
        if (s->rewind)
                go_back(s);
        if (s->window.n >= s->most || s->window.bytes >= IN_FLIGHT_MAX || window_has_part(&s->window))
                return false;
        lanes_refresh(&s->lanes);
        next = suspect_step(&s->suspect, now, &when);
        if ((next == SUSPECT_PROBE || next == SUSPECT_TEST) && !suspects_are_first(s))
                next = SUSPECT_NONE;
        switch (next) {
        case SUSPECT_HOLD:
        case SUSPECT_PAUSE:
                wake_at(s, when);
                return next == SUSPECT_HOLD && send_rows(s) == SENT_ONE;
        case SUSPECT_PROBE:
                return s->window.n == 0 && send_probe(s) == SENT_ONE;
        case SUSPECT_TEST:
                return s->window.n == 0 && send_test(s) == SENT_ONE;
        case SUSPECT_NONE:
                break;
        }
        return send_rows(s) == SENT_ONE;
}

void sender_pump(Sender *s) {
        while (step(s))
                ;
}

/* A record in a queue that stands still would push out others. */
void sender_make_due(Sender *s) {
        if (s->online && (!s->params.may_estimate || s->params.may_estimate(s->params.userdata)))
                spool_append_gaps(s->params.spool);
        s->due = last_seq(s);
}

static void on_tick(void *userdata) {
        Sender *s = userdata;

        sender_make_due(s);
        pace_tick(&s->pace, spool_stats(s->params.spool).made_points);
        sender_pump(s);
}

static void on_retry(void *userdata) {
        sender_pump(userdata);
}

/* ---- the connection */

void sender_online(Sender *s) {
        s->online = true;
        s->tested = false;
        s->blocked_until = 0;
        s->unsettled_until = now_of(s) + LIMITS_WAIT;
        memset(s->wait, 0, sizeof(s->wait));
        limits_reset_backlog(&s->pace.limits, now_of(s));
        sender_make_due(s);
}

void sender_offline(Sender *s) {
        s->online = false;
        s->rewind = true;
        for (size_t i = 0; i < WINDOW_MAX; i++)
                s->sent[i].context = 0;
        spool_unsent(s->params.spool);
        loop_timer_disarm(s->tick);
        loop_timer_disarm(s->retry);
}

bool sender_is_idle(const Sender *s) {
        SpoolStats spool = spool_stats(s->params.spool);

        if (s->window.n > 0 || spool_has_gap(s->params.spool))
                return false;
        return spool.live_rows == 0 || s->stopped || (!s->rewind && s->lanes.cursor[LANE_LIVE] >= spool.next_seq);
}

int sender_init(Sender *s, const SenderParams *params) {
        PaceParams pace = { .loop = params->loop, .backlog_rate = params->backlog_rate, .interval = params->interval,
                            .file = params->limits_file, .server = params->limits_server };
        int r;

        *s = (Sender){ .params = *params, .max_payload = PAYLOAD_DEFAULT, .most = 1 };
        s->params.limits_file = s->params.limits_server = NULL;
        s->lanes = (Lanes){ .spool = params->spool, .window = &s->window, .may_estimate = params->may_estimate,
                            .userdata = params->userdata };
        r = pace_init(&s->pace, &pace);
        if (r < 0)
                return r;
        r = loop_timer_new(&s->tick, params->loop, "uplink-tick", on_tick, s);
        if (r < 0)
                return r;
        return loop_timer_new(&s->retry, params->loop, "uplink-retry", on_retry, s);
}

void sender_done(Sender *s) {
        pace_done(&s->pace);
        loop_timer_free(s->tick);
        loop_timer_free(s->retry);
        batch_done(&s->batch);
        for (size_t i = 0; i < WINDOW_MAX; i++)
                free(s->sent[i].text);
        free(s->taken.text);
}
