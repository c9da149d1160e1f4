/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <syslog.h>

#include "spool/inside.h"

#define REJECTED_MAX MIB

void spool_sent(Spool *s, uint64_t last) {
        s->sent = MAX(s->sent, last);
}

void spool_unsent(Spool *s) {
        s->sent = 0;
        rowset_done(&s->limbo);
        s->limbo_points = 0;
        for (size_t i = 0; i < GAPS_TOLD_MAX; i++) {
                GapTold *told = &s->gaps.told[i];

                if (told->again && !spool_is_moving(s, told->seq))
                        *told = (GapTold){ 0 };
        }
        spool_read_again(s);
}

/* ---- done with a row, in whatever way: the counters are the caller's */

static void live_done(Spool *s, uint64_t seq, const Row *row) {
        spool_count_live(s, row, -1);
        if (spool_is_moving(s, seq))
                (void)rowset_add(&s->move.done, (RowSetRow){ seq, row_counted_points(row), false }, AHEAD_MAX);
}

static void ring_done(Spool *s, uint64_t seq, const Row *row) {
        live_done(s, seq, row);
        ring_set_done(s->ring, seq);
}

static void told_done(Spool *s, const Record *r, RingLedger *ledger) {
        GapTold *told;
        Gap gap;

        if (!(r->row.flags & ROW_GAP))
                return;
        told = gaps_told_find(&s->gaps, r->seq);
        if (gap_read(r->row.text, r->row.text_size, &gap) == 0)
                ledger->gap_points += gap.points;
        if (told)
                told->seq = 0;
}

/* The oldest rows leave at once, with what the ledger says of them; others are marked until it is their turn. */
static void ack_live(Spool *s, uint64_t first, uint64_t last, RingLedger *ledger) {
        bool oldest = first <= ring_first(s->ring);

        for (uint64_t seq = MAX(first, ring_first(s->ring)); seq <= last && seq < ring_next(s->ring); seq++) {
                Record r;

                if (ring_look(s->ring, seq, &r) < 0)
                        continue;
                ledger->acked_points += row_counted_points(&r.row);
                told_done(s, &r, ledger);
                if (oldest)
                        live_done(s, seq, &r.row);
                else
                        ring_done(s, seq, &r.row);
        }
        if (oldest)
                ring_release(s->ring, last, ledger, NULL);
        else
                spool_commit(s, ledger);
}

/* Mostly in order: then the position moves on, in the same step as the count. */
static void ack_backlog(Spool *s, uint64_t first, uint64_t last, RingLedger *ledger) {
        RowSetTaken passed = { 0 };
        uint64_t position = 0;
        Record r;
        Era era;

        for (uint64_t seq = first; backlog_find(&s->backlog, seq, &s->ahead, &r, &era) && r.seq <= last; seq = r.seq + 1) {
                uint32_t points = row_counted_points(&r.row);

                if (backlog_pass(&s->backlog, r.seq)) {
                        position = r.seq;
                        passed.rows++;
                        passed.points += points;
                } else if (!rowset_add(&s->ahead, (RowSetRow){ r.seq, points, false }, AHEAD_READ_MAX))
                        continue; /* out of memory: it is sent once more after the next connect */
                ledger->acked_points += points;
                told_done(s, &r, ledger);
        }
        (void)spool_pass(s, position, passed, ledger);
}

/* Evicted, and yet it arrived. */
static void find_row(Spool *s, const RowSetRow *row, RingLedger *ledger) {
        if (spool_is_moving(s, row->seq))
                ledger->unsure_points -= MIN((uint64_t)row->points, ledger->unsure_points);
        else
                s->limbo_points -= MIN((uint64_t)row->points, s->limbo_points);
        ledger->dropped_points -= row->points;
        spool_find(s, &spool_queue_full, row->points, ledger);
}

static void told_limbo(Spool *s, uint64_t seq, RingLedger *ledger) {
        GapTold *told = gaps_told_find(&s->gaps, seq);

        if (!told)
                return;
        ledger->gap_points += told->gap.points;
        if (told->again)
                spool_find(s, &told->gap, told->gap.points, ledger);
        *told = (GapTold){ 0 };
}

static void ack_limbo(Spool *s, uint64_t first, uint64_t last, RingLedger *ledger) {
        for (size_t i = rowset_find(&s->limbo, first); i < s->limbo.n && s->limbo.rows[i].seq <= last; i++) {
                RowSetRow row = s->limbo.rows[i];

                if (row.evicted && row.points > 0)
                        find_row(s, &row, ledger);
                if (spool_is_moving(s, row.seq))
                        (void)rowset_add(&s->move.done, row, AHEAD_MAX);
                if (row.seq <= ledger->stored_last && row.seq > ledger->stored_acked && !rowset_add(&s->ahead, row, AHEAD_MAX))
                        continue; /* it is sent once more */
                ledger->acked_points += row.points;
                told_limbo(s, row.seq, ledger);
        }
        (void)rowset_take(&s->limbo, first, last);
}

void spool_ack(Spool *s, uint64_t first, uint64_t last) {
        RingLedger ledger = *ring_ledger(s->ring);

        ack_limbo(s, first, last, &ledger);
        if (first <= ledger.stored_last)
                ack_backlog(s, first, last, &ledger);
        ack_live(s, first, last, &ledger);
        spool_release_prefix(s);
        spool_advance(s);
}

/* The row and where it stands: 1 in the ring, 2 in the store, 0 nowhere. */
static int row_of(const Spool *s, uint64_t seq, Record *ret, Era *ret_era) {
        if (ring_read(s->ring, seq, ret) == 0) {
                *ret_era = *eras_at(s->ring, ret->era);
                return 1;
        }
        return !rowset_has(&s->ahead, seq) && backlog_get(&s->backlog, seq, ret, ret_era) ? 2 : 0;
}

/* Done with row seq without its being at the server. */
static void give_up(Spool *s, const Record *r, int where) {
        if (where == 1)
                ring_done(s, r->seq, &r->row);
        else
                (void)rowset_add(&s->ahead, (RowSetRow){ r->seq, row_counted_points(&r->row), false }, AHEAD_READ_MAX);
        spool_release_prefix(s);
        spool_advance(s);
}

void spool_drop(Spool *s, uint64_t seq, const char *why) {
        Gap gap = { 0 };
        GapTold *told;
        Record r;
        Era era;
        int where = row_of(s, seq, &r, &era);

        if (where == 0)
                return;
        told = gaps_told_find(&s->gaps, seq);
        if (told)
                told->seq = 0; /* what cannot be told is not tried again for ever */
        gap = (Gap){ .points = row_counted_points(&r.row), .from_ns = r.row.boottime_ns, .to_ns = r.row.boottime_ns };
        if (where == 2) {
                const Era *e = eras_resolve(s->ring, &era);

                gap.from_ns = gap.to_ns = spool_boottime_ns(s, row_ms(r.row.boottime_ns) + e->offset_ms);
        }
        snprintf(gap.why, sizeof(gap.why), "%s", why);
        spool_lose(s, &gap, 0, false);
        give_up(s, &r, where);
}

static char *rejected_line(const Record *r, const Era *era, const char *why) {
        bool json = json_validate(r->row.text, r->row.text_size) == 0;
        char *line = malloc(6 * (r->row.text_size + strlen(why)) + 128), *p = line;

        if (!line)
                return NULL;
        p += sprintf(p, "{\"seq\":%llu,\"ts\":%lld,\"reason\":", (unsigned long long)r->seq,
                     (long long)(row_ms(r->row.boottime_ns) + era->offset_ms));
        p += json_quote(p, why, strlen(why));
        p += sprintf(p, json ? ",\"values\":" : ",\"text\":");
        if (json)
                p = mempcpy(p, r->row.text, r->row.text_size);
        else
                p += json_quote(p, r->row.text, r->row.text_size);
        *p++ = '}';
        *p = '\0';
        return line;
}

void spool_reject(Spool *s, uint64_t seq, const char *why) {
        _cleanup_(freep) char *line = NULL;
        RingLedger ledger;
        Record r;
        Era era;
        int where = row_of(s, seq, &r, &era);

        if (where == 0)
                return;
        line = rejected_line(&r, eras_resolve(s->ring, &era), why);
        if (line && s->store && store_append_line(s->store, "rejected.jsonl", line, REJECTED_MAX) < 0)
                spool_notice(s, LOG_WARNING, "a rejected row could not be written to rejected.jsonl");
        ledger = *ring_ledger(s->ring);
        ledger.rejected_points += row_counted_points(&r.row);
        spool_commit(s, &ledger);
        give_up(s, &r, where);
}

