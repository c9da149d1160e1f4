/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch holds rows of one lane, in order of their numbers. Left out, and why:
 *
 *      in flight already          rows in flight may move to the store, and would come again with the backlog
 *      strict, of the live lane   while there is a backlog: they come when it is gone, or move there and come in order
 *      ROW_ESTIMATED              acknowledged unsent when the time is known by now: the mark says what is not so
 *      estimated                  nothing goes, nor what is behind it, before an estimate is good enough
 *      a gap's text not readable, a member larger than a message: dropped; neither ever gets better
 *
 * A row that is cut (its points above the server's capacity) holds up what is behind it until its part is
 * acknowledged; how far it came is remembered for a few rows, so that it may change its lane meanwhile.
 */
#include "agent/lanes.h"
#include "spool/gap.h"

int64_t lanes_row_ts(const SpoolRow *row) {
        return row_ms(row->row.boottime_ns) + row->offset_ms;
}

static void note_strict(Lanes *l, const SpoolRow *row) {
        if (l->strict_first == 0)
                l->strict_first = row->seq;
        if (row->seq <= l->strict_last)
                return;
        l->strict_last = row->seq;
        l->strict_bytes += record_size(&row->row);
}

void lanes_refresh(Lanes *l) {
        if (l->strict_first == 0 || spool_has_backlog(l->spool))
                return;
        l->cursor[LANE_LIVE] = MIN(l->cursor[LANE_LIVE], l->strict_first);
        l->strict_first = l->strict_last = l->strict_bytes = 0;
}

int lanes_find(Lanes *l, SpoolLane lane, uint64_t first, uint64_t last, SpoolRow *ret) {
        for (uint64_t seq = first;; seq = ret->seq + 1) {
                int r = spool_next(l->spool, lane, seq, ret);
                uint64_t free_seq;

                if (r != 1)
                        return r;
                if (ret->seq > last)
                        return 0;
                free_seq = window_skip(l->window, ret->seq);
                if (free_seq != ret->seq) {
                        ret->seq = free_seq - 1;
                        continue;
                }
                if (lane == LANE_LIVE && (ret->row.flags & ROW_STRICT) && spool_has_backlog(l->spool))
                        note_strict(l, ret);
                else if ((ret->row.flags & ROW_ESTIMATED) && !ret->estimated)
                        spool_ack(l->spool, ret->seq, ret->seq);
                else
                        return 1;
        }
}

static size_t part_of(const Lanes *l, uint64_t seq) {
        for (size_t i = 0; i < LANES_PARTS; i++)
                if (l->parts[i].seq == seq)
                        return l->parts[i].next;
        return 0;
}

static void note_part(Lanes *l, uint64_t seq, size_t next) {
        size_t at = 0;

        while (at < LANES_PARTS && l->parts[at].seq != seq)
                at++;
        if (at == LANES_PARTS)
                at = l->n_parts++ % LANES_PARTS;
        l->parts[at].seq = seq;
        l->parts[at].next = next;
}

/* As batch_add(), and -EBADMSG. */
static int add_row(const Lanes *l, Batch *b, const SpoolRow *row) {
        char text[GAP_TEXT_MAX];
        Row out = row->row;
        Gap gap;

        if (out.flags & ROW_GAP) {
                if (gap_read(out.text, out.text_size, &gap) < 0)
                        return -EBADMSG;
                out.text_size = gap_telemetry(text, &gap, row->offset_ms);
                out.text = text;
                out.points = 1;
        }
        return batch_add(b, row->seq, &out, part_of(l, row->seq), lanes_row_ts(row));
}

int lanes_fill(Lanes *l, SpoolLane lane, const LaneSpan *span, Batch *b) {
        uint64_t seq = span->first;
        SpoolRow row;
        int r;

        while ((r = lanes_find(l, lane, seq, span->last, &row)) == 1) {
                if (row.estimated && l->may_estimate && !l->may_estimate(l->userdata))
                        return LANE_STOPPED;
                if (b->rows >= span->max_rows)
                        return LANE_FULL;
                r = add_row(l, b, &row);
                if (r == -E2BIG)
                        spool_drop(l->spool, row.seq, "larger than the server takes");
                else if (r == -EBADMSG)
                        spool_drop(l->spool, row.seq, "damaged");
                else if (r <= 0)
                        return r < 0 ? r : LANE_FULL;
                seq = row.seq + 1;
        }
        return r < 0 ? r : LANE_END;
}

void lanes_advance(Lanes *l, SpoolLane lane, const Batch *b) {
        uint64_t last = b->runs[b->n_runs - 1].last;

        l->cursor[lane] = b->next > 0 ? last : last + 1;
}

void lanes_rewind(Lanes *l) {
        l->cursor[LANE_LIVE] = l->cursor[LANE_BACKLOG] = 0;
        l->strict_first = l->strict_last = l->strict_bytes = 0;
}

uint32_t lanes_ack(Lanes *l, const WindowEntry *e) {
        bool part = e->next > 0;

        for (unsigned i = 0; i < e->n_runs; i++) {
                RowRun run = e->runs[i];

                if (part && i == e->n_runs - 1) {
                        note_part(l, run.last, e->next);
                        run.last--;
                }
                if (run.first <= run.last)
                        spool_ack(l->spool, run.first, run.last);
        }
        return e->rows - part;
}
