/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <syslog.h>

#include "spool/inside.h"

#define READ_AHEAD (256 * KIB)
#define RETRY_MIN USEC_PER_SEC
#define RETRY_MAX (60 * USEC_PER_SEC)

bool spool_is_moving(const Spool *s, uint64_t seq) {
        return s->move.running && seq >= s->move.first && seq <= s->move.last;
}

bool spool_is_half_full(const Spool *s) {
        return 2 * s->live_bytes >= ring_size(s->ring);
}

/* How long the oldest live row has been here. */
static usec_t oldest_age(const Spool *s) {
        const uint32_t *note = ring_note(s->ring, ring_first(s->ring));

        return note ? (spool_note_now(s) - *note) * USEC_PER_MSEC : 0;
}

void spool_commit(Spool *s, const RingLedger *ledger) {
        ring_release(s->ring, 0, ledger, NULL);
}

/* ---- moving rows to the store */

void spool_arm_move(Spool *s) {
        usec_t now = loop_monotonic(s->params.loop), wait = s->params.batch_interval + s->params.store_after / 2;
        usec_t age = oldest_age(s), at = now + (wait > age ? wait - age : 0);

        if (s->store && s->opened && !s->params.discard && !s->move.running && s->live_rows > 0)
                loop_timer_arm(s->move_timer, MAX(at, s->retry_at), 20 * USEC_PER_MSEC);
}

/* Unacknowledged rows of the ring, as many as one commit takes. */
static int gather(Spool *s) {
        for (uint64_t seq = ring_first(s->ring); seq < ring_next(s->ring); seq++) {
                Record r;
                int got;

                if (ring_read(s->ring, seq, &r) < 0)
                        continue;
                got = move_add(&s->move, seq, &r.row, eras_resolve(s->ring, eras_at(s->ring, r.era)), row_counted_points(&r.row));
                if (got <= 0)
                        return got;
        }
        return 0;
}

static void retry_later(Spool *s) {
        s->retry_wait = MIN(MAX(2 * s->retry_wait, RETRY_MIN), RETRY_MAX);
        s->retry_at = loop_monotonic(s->params.loop) + s->retry_wait;
        s->flush_failed = s->flushing;
        spool_arm_move(s);
}

void spool_start_move(Spool *s) {
        uint64_t spare_first = s->backlog.head ? ring_ledger(s->ring)->stored_acked + 1 : 0;
        RingLedger ledger;
        int r;

        if (!s->store || !s->opened || s->move.running || s->params.discard || s->live_rows == 0)
                return;
        move_begin(&s->move);
        r = gather(s);
        if (r == 0)
                r = move_submit(&s->move, s->store, spare_first, s->backlog.head ? s->backlog.loaded : 0);
        if (r < 0) {
                move_end(&s->move);
                retry_later(s);
                return;
        }
        ledger = *ring_ledger(s->ring);
        ledger.moving_last = s->move.last;
        spool_commit(s, &ledger);
}

void spool_on_move_timer(void *userdata) {
        Spool *s = userdata;

        if (oldest_age(s) >= s->params.batch_interval + s->params.store_after / 2)
                spool_start_move(s);
        else
                spool_arm_move(s);
}

/* Rows up to `last` leave the ring for the store, or were there already. */
static void leave_ring(Spool *s, uint64_t last, const RingLedger *ledger) {
        for (uint64_t seq = ring_first(s->ring); seq <= last && seq < ring_next(s->ring); seq++) {
                Record r;

                if (ring_read(s->ring, seq, &r) < 0)
                        continue;
                spool_count_live(s, &r.row, -1);
                if (seq <= s->sent) /* without room there it is sent once more */
                        (void)rowset_add(&s->limbo, (RowSetRow){ seq, row_counted_points(&r.row), false }, LIMBO_MAX);
        }
        ring_release(s->ring, MIN(last, ring_next(s->ring) - 1), ledger, NULL);
        spool_release_prefix(s);
}

/* So much of what is unsure is in the store after all; the rest is lost. */
static void settle_unsure(Spool *s, uint64_t safe, RingLedger *ledger) {
        safe = MIN(safe, ledger->unsure_points);
        ledger->unsure_points = ledger->moving_last = 0;
        ledger->dropped_points -= safe;
        if (safe > 0)
                spool_find(s, &spool_queue_full, safe, ledger);
        else
                spool_commit(s, ledger);
}

/* What was evicted while it moved. */
static void settle_evicted(Spool *s, bool safe, RingLedger *ledger) {
        settle_unsure(s, safe ? ledger->unsure_points : 0, ledger);
        for (size_t i = 0; i < s->limbo.n; i++) {
                RowSetRow *row = &s->limbo.rows[i];

                if (row->evicted && spool_is_moving(s, row->seq)) {
                        row->evicted = !safe;
                        s->limbo_points += safe ? 0 : row->points;
                }
        }
        for (size_t i = 0; i < GAPS_TOLD_MAX; i++) {
                GapTold *told = &s->gaps.told[i];

                if (!told->again || !spool_is_moving(s, told->seq))
                        continue;
                if (safe)
                        spool_find(s, &told->gap, told->gap.points, ledger);
                told->again = !safe;
                if (!safe && told->seq > s->sent)
                        *told = (GapTold){ 0 };
        }
}

static void moved(Spool *s, RingLedger *ledger) {
        ledger->stored_last = s->move.last;
        ledger->stored_rows += s->move.rows;
        ledger->stored_points += s->move.points;
        for (size_t i = 0; i < s->move.done.n; i++)
                if (!rowset_add(&s->ahead, s->move.done.rows[i], AHEAD_MAX))
                        ledger->acked_points -= s->move.done.rows[i].points;
        settle_evicted(s, true, ledger);
        leave_ring(s, s->move.last, ledger);
        s->retry_wait = 0;
        s->retry_at = 0;
}

static void on_committed(void *userdata, uint64_t first _unused_, uint64_t last _unused_, int error) {
        Spool *s = userdata;
        RingLedger ledger = *ring_ledger(s->ring);

        if (!s->move.running)
                return;
        if (error == 0)
                moved(s, &ledger);
        else
                settle_evicted(s, false, &ledger);
        move_end(&s->move);
        if (error < 0) {
                retry_later(s);
                return;
        }
        if (s->flushing || spool_is_half_full(s))
                spool_start_move(s);
        spool_arm_move(s);
        spool_tell_ready(s);
}

/* ---- what the store tells */

/* The difference is what somebody took away, or what no header tells any more. */
static void settle_missing(Spool *s, const StoreFound *found) {
        RingLedger ledger = *ring_ledger(s->ring);
        uint64_t known = found->known_points + found->damaged_points;
        int64_t now_ns = spool_now_ns(s);
        Gap gap = { .points = ledger.stored_points > known ? ledger.stored_points - known : 0,
                    .from_ns = now_ns, .to_ns = now_ns, .why = "missing on the disk" };

        ledger.stored_points = found->points + found->damaged_points;
        ledger.stored_rows = found->rows + found->damaged_rows;
        ledger.stored_last = MAX(ledger.stored_last, found->last);
        spool_commit(s, &ledger);
        spool_lose(s, &gap, 0, false);
}

/* A commit that was durable just before a crash, and is found now: its rows were evicted since, or were acknowledged. */
static void settle_found(Spool *s, uint64_t last) {
        RingLedger ledger = *ring_ledger(s->ring);
        uint64_t there = ledger.acked_points + spool_not_acked(s, &ledger);
        uint64_t twice = there > ledger.made_points ? there - ledger.made_points : 0;
        uint64_t safe = last >= ledger.moving_last ? MIN(ledger.unsure_points, twice) : 0;

        ledger.acked_points -= MIN(twice - safe, ledger.acked_points);
        settle_unsure(s, safe, &ledger);
}

static void on_opened(void *userdata, const StoreFound *found) {
        Spool *s = userdata;
        RingLedger ledger = *ring_ledger(s->ring);

        if (s->kept && ledger.stored_last > 0)
                settle_missing(s, found);
        else {
                ledger.stored_acked = found->acked;
                ledger.stored_last = found->last;
                ledger.stored_rows = found->rows + found->damaged_rows;
                ledger.stored_points = found->points + found->damaged_points;
                spool_commit(s, &ledger);
        }
        s->opened = true;
        leave_ring(s, found->last, NULL);
        settle_found(s, found->last);
        if (eras_now(s->ring)->quality == CLOCK_TRUSTED)
                store_set_era(s->store, eras_of_boot(s->ring));
        if (spool_is_half_full(s) || s->flushing)
                spool_start_move(s);
        spool_arm_move(s);
        spool_tell_ready(s);
}

bool spool_pass(Spool *s, uint64_t position, RowSetTaken passed, RingLedger *ledger) {
        RowSetTaken ahead = rowset_take(&s->ahead, 0, position);

        if (position <= ledger->stored_acked)
                return false;
        ledger->stored_acked = position;
        ledger->stored_rows -= MIN(passed.rows + ahead.rows, ledger->stored_rows);
        ledger->stored_points -= MIN(passed.points + ahead.points, ledger->stored_points);
        return true;
}

static void set_position(Spool *s, uint64_t position) {
        RingLedger ledger = *ring_ledger(s->ring);

        if (spool_pass(s, position, (RowSetTaken){ 0 }, &ledger))
                spool_commit(s, &ledger);
        store_acked(s->store, ledger.stored_acked);
}

void spool_advance(Spool *s) {
        if (s->store && s->opened && (s->backlog.head || s->ahead.n > 0))
                set_position(s, backlog_advance(&s->backlog, ring_ledger(s->ring)->stored_acked, &s->ahead));
}

bool spool_read_on(Spool *s) {
        const RingLedger *ledger = ring_ledger(s->ring);
        uint64_t after = MAX(s->backlog.loaded, ledger->stored_acked);

        if (after >= ledger->stored_last)
                return false;
        if (s->backlog.bytes < READ_AHEAD && store_read(s->store, after, READ_AHEAD - s->backlog.bytes) == 0) {
                s->reading.running = true;
                s->reading.to = ledger->stored_last;
        }
        return s->backlog.bytes < READ_AHEAD;
}

void spool_read_again(Spool *s) {
        backlog_reset(&s->backlog);
        s->reading.stale = s->reading.running;
}

/* The store has no row above what was read, though the ledger knew of some. */
static void nothing_more(Spool *s) {
        RingLedger ledger = *ring_ledger(s->ring);
        int64_t now_ns = spool_now_ns(s);
        Gap gap = { .points = ledger.stored_points - MIN(s->ahead.points, ledger.stored_points), .from_ns = now_ns,
                    .to_ns = now_ns, .why = "missing on the disk" };

        s->backlog.loaded = MAX(s->backlog.loaded, s->reading.to);
        if (s->backlog.head || ledger.stored_last > s->reading.to)
                return;
        set_position(s, s->reading.to);
        ledger = *ring_ledger(s->ring);
        ledger.stored_rows = ledger.stored_points = 0;
        spool_commit(s, &ledger);
        spool_lose(s, &gap, 0, false);
}

static void on_block(void *userdata, StoreBlock *block) {
        Spool *s = userdata;
        uint64_t position = ring_ledger(s->ring)->stored_acked;

        if (block && s->reading.stale)
                return;
        if (block) {
                s->reading.got = true;
                if (block->last > s->backlog.loaded && backlog_load(&s->backlog, block, position) < 0)
                        spool_notice(s, LOG_WARNING, "a block of the store cannot be read whole");
                return;
        }
        if (!s->reading.got && !s->reading.stale)
                nothing_more(s);
        s->reading.running = s->reading.stale = s->reading.got = false;
        spool_advance(s);
        spool_tell_ready(s);
}

static void on_lost(void *userdata, uint64_t first, uint64_t last, uint64_t rows, uint64_t points, int64_t from_ms,
                    int64_t to_ms, const char *why) {
        Spool *s = userdata;
        RowSetTaken done = rowset_take(&s->ahead, first, last);
        RingLedger ledger = *ring_ledger(s->ring);
        Gap gap = { .points = points - MIN(done.points, points), .from_ns = spool_boottime_ns(s, from_ms),
                    .to_ns = spool_boottime_ns(s, to_ms) };

        snprintf(gap.why, sizeof(gap.why), "%s", why);
        backlog_forget(&s->backlog, first, last);
        ledger.stored_rows -= MIN(rows, ledger.stored_rows);
        ledger.stored_points -= MIN(points, ledger.stored_points);
        spool_commit(s, &ledger);
        spool_lose(s, &gap, 0, false);
        spool_tell_ready(s);
}

static void on_store_state(void *userdata, StoreState state, const char *text) {
        const Spool *s = userdata;

        spool_notice(s, state == STORE_OK ? LOG_NOTICE : LOG_WARNING, text);
}

const StoreEvents spool_store_events = { on_opened, on_committed, on_block, on_lost, on_store_state };
