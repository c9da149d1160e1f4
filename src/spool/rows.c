/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row is always in one place that counts: live in the ring, then (if the server does not take it in time)
 * in the store. The ring's ledger says what the store should hold, and changes in one step with the ring, so
 * that the sum is right after a crash at any instruction:
 *
 *      made = acknowledged + dropped + rejected + live + stored
 *
 *      append --> live --ack------------------------------> gone        (prefix of done rows leaves the ring)
 *                  |---no room: evict the oldest----------> gap cell    (unless it turns out to have arrived)
 *                  '---due + store_after/2, half full, stop: a move
 *                            '--> blocks --durable--> stored --ack in order--> position, segments go
 *                                     '--failed: stays live, tried again      '--out of order--> ahead
 *
 * One move at a time. What happens to its rows meanwhile is settled when it is through: acknowledged ones
 * are `ahead` in the store, evicted ones are found again there.
 *
 * Limbo: rows that left the ring, evicted or moved, while they were on their way to the server. An evicted one
 * counts as lost at once, so that a crash cannot forget it, but is told (`held` back until then) only when
 * spool_unsent() says that no answer will come; an ack finds it again.
 */
#include <stdio.h>
#include <syslog.h>

#include "spool/inside.h"

const Gap spool_queue_full = { .why = "queue full" };

void spool_notice(const Spool *s, int level, const char *text) {
        if (s->params.events.notice && text[0])
                s->params.events.notice(s->params.events.userdata, level, text);
}

void spool_tell_ready(const Spool *s) {
        if (s->params.events.ready)
                s->params.events.ready(s->params.events.userdata);
}

/* ---- counting */

void spool_count_live(Spool *s, const Row *row, int by) {
        s->live_rows += (uint64_t)(int64_t)by;
        s->live_bytes += (uint64_t)((int64_t)by * (int64_t)record_size(row));
        s->live_points += (uint64_t)((int64_t)by * (int64_t)row_counted_points(row));
}

/* One step: the cell, the ledger (NULL: as it is), and rows up to `release` leave the ring. */
static void change_gap(Spool *s, uint64_t release, const RingLedger *ledger, const RingChange *change) {
        ring_release(s->ring, release, ledger, change);
        gaps_changed(&s->gaps, s->ring);
}

static void add_gap(Spool *s, const Gap *gap, uint64_t release, const RingLedger *ledger) {
        RingChange change;
        Gap value;

        gaps_add(s->ring, gap, &value, &change);
        change_gap(s, release, ledger, &change);
}

void spool_lose(Spool *s, const Gap *gap, uint64_t release, bool unsure) {
        RingLedger ledger = *ring_ledger(s->ring);

        if (gap->points == 0 || s->params.discard) {
                ring_release(s->ring, release, NULL, NULL);
                return;
        }
        ledger.dropped_points += gap->points;
        ledger.unsure_points += unsure ? gap->points : 0;
        add_gap(s, gap, release, &ledger);
}

void spool_record_gap(Spool *s, const char *instance, const char *why, uint64_t points, int64_t from_ns, int64_t to_ns) {
        Gap gap = { .points = points, .from_ns = from_ns, .to_ns = to_ns };

        if (points == 0 || s->params.discard)
                return;
        snprintf(gap.why, sizeof(gap.why), "%s", why);
        snprintf(gap.instance, sizeof(gap.instance), "%s", instance);
        add_gap(s, &gap, 0, NULL);
}

void spool_find(Spool *s, const Gap *gap, uint64_t points, RingLedger *ledger) {
        RingChange change;
        Gap value;

        gaps_take(s->ring, gap, points, &value, &change);
        change_gap(s, 0, ledger, &change);
}

/* ---- the ring */

void spool_release_prefix(Spool *s) {
        uint64_t first = ring_first(s->ring), seq = first;
        Record r;

        while (seq < ring_next(s->ring) && (!ring_has(s->ring, seq) || ring_read(s->ring, seq, &r) < 0))
                seq++;
        if (seq > first)
                ring_release(s->ring, seq - 1, NULL, NULL);
}

/* What a gap row told is to be told again; where it is on its way, or moving, that may be taken back. */
static void evict_gap(Spool *s, uint64_t seq, const Row *row) {
        GapTold *told = gaps_told_find(&s->gaps, seq);
        Gap gap;

        if (gap_read(row->text, row->text_size, &gap) < 0)
                gap = (Gap){ .why = "unknown" };
        add_gap(s, &gap, seq, NULL);
        if (!told)
                return;
        told->again = seq <= s->sent || spool_is_moving(s, seq);
        if (!told->again)
                told->seq = 0;
        else if (seq <= s->sent)
                (void)rowset_add(&s->limbo, (RowSetRow){ seq, 0, true }, LIMBO_MAX);
}

/* It counts as lost at once, so that a crash cannot forget it, and is found again when it turns out to be safe. */
static void evict_row(Spool *s, uint64_t seq, const Row *row) {
        bool unsure = seq <= ring_ledger(s->ring)->moving_last; /* in this life or, until the store has opened, in the last */
        Gap gap = spool_queue_full;

        gap.points = row_counted_points(row);
        gap.from_ns = gap.to_ns = row->boottime_ns;
        if (seq <= s->sent && (!unsure || s->opened) &&
            rowset_add(&s->limbo, (RowSetRow){ seq, (uint32_t)gap.points, true }, LIMBO_MAX) && !unsure)
                s->limbo_points += gap.points;
        spool_lose(s, &gap, seq, unsure);
}

static void discard(Spool *s, uint64_t seq, uint32_t points) {
        RingLedger ledger = *ring_ledger(s->ring);

        ledger.discarded_points += points;
        ring_release(s->ring, seq, &ledger, NULL);
}

static void evict_oldest(Spool *s) {
        uint64_t seq = ring_first(s->ring);
        Record r;

        if (ring_read(s->ring, seq, &r) < 0) {
                ring_release(s->ring, seq, NULL, NULL);
                return;
        }
        spool_count_live(s, &r.row, -1);
        if (s->params.discard)
                discard(s, seq, row_counted_points(&r.row));
        else if (r.row.flags & ROW_GAP)
                evict_gap(s, seq, &r.row);
        else
                evict_row(s, seq, &r.row);
}

uint32_t spool_note_now(const Spool *s) {
        return (uint32_t)(loop_turn_start(s->params.loop) / USEC_PER_MSEC);
}

int64_t spool_boottime_ns(const Spool *s, int64_t ms) {
        return (ms - eras_now(s->ring)->offset_ms) * NSEC_PER_MSEC;
}

static SpoolRow spool_row(const Spool *s, const Record *r, const Era *era) {
        const Era *now = eras_resolve(s->ring, era);

        return (SpoolRow){ .seq = r->seq, .row = r->row, .offset_ms = now->offset_ms,
                           .estimated = now->quality != CLOCK_TRUSTED };
}

void spool_set_era(Spool *s, const Era *era) {
        if (eras_set(s->ring, era) && s->store)
                store_set_era(s->store, era);
}

/* ---- making */

static void count_kept(Spool *s) {
        for (uint64_t seq = ring_first(s->ring); seq < ring_next(s->ring); seq++) {
                GapTold *told = gaps_told_find(&s->gaps, 0);
                Record r;

                if (ring_read(s->ring, seq, &r) < 0)
                        continue;
                *ring_note(s->ring, seq) = spool_note_now(s);
                spool_count_live(s, &r.row, 1);
                if ((r.row.flags & ROW_GAP) && told && gap_read(r.row.text, r.row.text_size, &told->gap) == 0)
                        told->seq = seq;
        }
}

uint64_t spool_not_acked(const Spool *s, const RingLedger *l) {
        return l->dropped_points + l->rejected_points + l->discarded_points + l->stored_points + s->live_points;
}

/* A crash in the middle of an acknowledgement: what is nowhere any more arrived; what was ahead in the store waits again. */
static void count_acked(Spool *s) {
        RingLedger ledger = *ring_ledger(s->ring);

        ledger.acked_points = ledger.made_points - MIN(spool_not_acked(s, &ledger), ledger.made_points);
        spool_commit(s, &ledger);
}

static int open_ring(Spool *s) {
        uint64_t highest = s->params.state_dir ? store_highest_name(s->params.state_dir) : 0;
        RingParams p = { .path = s->params.ring_path, .size = s->params.ring_size,
                         .first_seq = highest > 0 ? highest + (UINT64_C(1) << 32) : 1 };
        int64_t now_ns = spool_now_ns(s);
        char text[512];
        RingOpened opened;
        int r = ring_open(&s->ring, &p, &opened);

        if (r < 0 && p.path) {
                snprintf(text, sizeof(text), "%s cannot be used (%s): rows wait in memory, a crash of the daemon would lose them",
                         p.path, strerror(-r));
                spool_notice(s, LOG_WARNING, text);
                p.path = NULL;
                r = ring_open(&s->ring, &p, &opened);
        }
        if (r < 0)
                return r;
        s->in_memory = !p.path;
        s->kept = opened.how == RING_KEPT;
        spool_notice(s, LOG_WARNING, opened.text);
        gaps_init(&s->gaps, s->ring);
        spool_lose(s, &(Gap){ .points = opened.lost_points, .from_ns = now_ns, .to_ns = now_ns, .why = "damaged in memory" }, 0,
                   false);
        spool_set_era(s, &s->params.era);
        count_kept(s);
        count_acked(s);
        return 0;
}

static int open_store(Spool *s) {
        const RingLedger *ledger = ring_ledger(s->ring);
        StoreParams p = {
                .loop = s->params.loop,
                .dir = s->params.state_dir,
                .max_bytes = s->params.store_max,
                .known_acked = s->kept ? ledger->stored_acked : 0,
                .known_last = s->kept ? ledger->stored_last : 0,
                .ring_kept = s->kept,
                .events = spool_store_events,
                .userdata = s,
        };

        return s->params.state_dir ? store_new(&s->store, &p) : 0;
}

int spool_new(Spool **ret, const SpoolParams *params) {
        _cleanup_(spool_freep) Spool *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->params = *params;
        r = loop_timer_new(&s->move_timer, params->loop, "spool-move", spool_on_move_timer, s);
        if (r == 0)
                r = open_ring(s);
        if (r == 0)
                r = open_store(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int spool_stop(Spool *s, usec_t wait) {
        return s->store ? store_stop(s->store, wait) : 0;
}

Spool *spool_free(Spool *s) {
        if (!s)
                return NULL;
        store_free(s->store);
        loop_timer_free(s->move_timer);
        move_end(&s->move);
        backlog_reset(&s->backlog);
        rowset_done(&s->ahead);
        rowset_done(&s->limbo);
        ring_free(s->ring);
        free(s);
        return NULL;
}

void spool_set_discard(Spool *s, bool discard) {
        s->params.discard = discard;
        spool_arm_move(s);
}

void spool_set_times(Spool *s, usec_t batch_interval, usec_t store_after) {
        s->params.batch_interval = batch_interval;
        s->params.store_after = store_after;
        spool_arm_move(s);
}

/* ---- rows in */

static int append(Spool *s, const Row *row, const RingChange *change, uint64_t *ret_seq) {
        RingLedger ledger;
        int r;

        if (record_size(row) > ring_size(s->ring))
                return -E2BIG;
        while (!ring_fits(s->ring, row))
                evict_oldest(s);
        ledger = *ring_ledger(s->ring);
        ledger.made_points += row_counted_points(row);
        r = ring_append(s->ring, row, (uint32_t)ledger.era, &ledger, change, ret_seq);
        if (r < 0)
                return r;
        *ring_note(s->ring, *ret_seq) = spool_note_now(s);
        spool_count_live(s, row, 1);
        if (spool_is_half_full(s) && loop_monotonic(s->params.loop) >= s->retry_at)
                spool_start_move(s);
        else if (!loop_timer_armed(s->move_timer))
                spool_arm_move(s);
        return 0;
}

int spool_append(Spool *s, const Row *row, uint64_t *ret_seq) {
        uint64_t seq;
        int r = append(s, row, NULL, &seq);

        if (r == 0 && ret_seq)
                *ret_seq = seq;
        return r;
}

void spool_gather(Spool *s, bool gather) {
        ring_gather(s->ring, gather);
}

/* What counts as lost for want of room, but may yet turn out to be safe. */
static uint64_t held(const Spool *s) {
        return ring_ledger(s->ring)->unsure_points + s->limbo_points;
}

static unsigned ready_gap(const Spool *s) {
        return gaps_ready(&s->gaps, s->ring, &spool_queue_full, held(s));
}

bool spool_has_gap(const Spool *s) {
        return ready_gap(s) < GAPS_CELLS;
}

/* All of them have one key, so no two may share a millisecond. */
static int64_t gap_time(Spool *s) {
        s->gap_ns = MAX(spool_now_ns(s), s->gap_ns + NSEC_PER_MSEC);
        return s->gap_ns;
}

static int append_gap(Spool *s, unsigned cell) {
        char text[GAP_TEXT_MAX];
        Row row = { .boottime_ns = gap_time(s), .flags = ROW_GAP, .device = "", .text = text,
                    .text_size = gap_write(text, gaps_at(s->ring, cell)) };
        GapTold *told = gaps_told_find(&s->gaps, 0);
        Gap rest;
        uint64_t seq;
        int r;

        while (!ring_fits(s->ring, &row))
                evict_oldest(s); /* may add to this very gap */
        rest = told->gap = *gaps_at(s->ring, cell);
        rest.points = gap_same(&rest, &spool_queue_full) ? held(s) : 0;
        told->gap.points -= rest.points;
        gap_write(text, &told->gap);
        r = append(s, &row, &(RingChange){ .cell = cell, .data = &rest, .size = rest.points > 0 ? sizeof(rest) : 0 }, &seq);
        if (r == 0) {
                told->seq = seq;
                told->again = false;
        }
        gaps_changed(&s->gaps, s->ring);
        return r;
}

void spool_append_gaps(Spool *s) {
        unsigned cell;

        while ((cell = ready_gap(s)) < GAPS_CELLS)
                if (append_gap(s, cell) < 0)
                        return;
}

/* ---- rows out */

static int next_live(Spool *s, uint64_t from, SpoolRow *ret) {
        for (uint64_t seq = MAX(from, ring_first(s->ring)); seq < ring_next(s->ring); seq++) {
                Record r;

                if (ring_read(s->ring, seq, &r) < 0)
                        continue;
                *ret = spool_row(s, &r, eras_at(s->ring, r.era));
                return 1;
        }
        return 0;
}

static int next_backlog(Spool *s, uint64_t from, SpoolRow *ret) {
        Record r;
        bool more;
        Era era;

        if (!s->opened)
                return spool_has_backlog(s) ? -EAGAIN : 0;
        more = spool_read_on(s);
        if (!backlog_find(&s->backlog, from, &s->ahead, &r, &era))
                return more ? -EAGAIN : 0;
        *ret = spool_row(s, &r, &era);
        return 1;
}

int spool_next(Spool *s, SpoolLane lane, uint64_t from, SpoolRow *ret) {
        return lane == LANE_LIVE ? next_live(s, from, ret) : next_backlog(s, from, ret);
}

bool spool_has_backlog(const Spool *s) {
        bool unknown = !s->opened && !s->kept && ring_first(s->ring) > 1;

        return s->store && (unknown || ring_ledger(s->ring)->stored_rows > s->ahead.n);
}

/* ---- stop, state */

void spool_flush(Spool *s) {
        s->flushing = true;
        s->flush_failed = false;
        if (s->params.discard)
                return;
        if (s->store)
                store_write_position(s->store);
        spool_append_gaps(s);
        s->retry_at = 0;
        spool_start_move(s);
}

bool spool_is_flushed(const Spool *s) {
        if (!s->store || s->params.discard || s->flush_failed)
                return true;
        return s->opened && s->live_rows == 0 && !s->move.running && store_is_idle(s->store);
}

SpoolStats spool_stats(const Spool *s) {
        const RingLedger *l = ring_ledger(s->ring);
        SpoolStats stats = {
                .next_seq = ring_next(s->ring),
                .live_rows = s->live_rows,
                .live_bytes = s->live_bytes,
                .bytes = s->live_bytes,
                .rows = s->live_rows + l->stored_rows - MIN(l->stored_rows, (uint64_t)s->ahead.n),
                .points = s->live_points + l->stored_points - MIN(l->stored_points, s->ahead.points),
                .made_points = l->made_points,
                .acked_points = l->acked_points,
                .evicted_points = l->dropped_points,
                .rejected_points = l->rejected_points,
                .gap_points = l->gap_points,
                .ring_in_memory = s->in_memory,
        };
        Record r;

        if (s->store)
                stats.store = store_stats(s->store);
        if (s->live_rows > 0 && ring_read(s->ring, ring_first(s->ring), &r) == 0)
                stats.oldest_ms = row_ms(r.row.boottime_ns) + eras_resolve(s->ring, eras_at(s->ring, r.era))->offset_ms;
        return stats;
}

Store *spool_store(Spool *s) {
        return s->store;
}
