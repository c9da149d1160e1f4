/* SPDX-License-Identifier: Apache-2.0 */
/* Counting. A block counts when its numbers are above those of the blocks before it and below the name of
 * the next file. So what a commit left behind that failed and could not be cut off is passed over: the same
 * rows were written again, to a file that is named by the first of them. */
#include <fcntl.h>
#include <sys/stat.h>

#include "spool/store-inside.h"

int walk_begin(const Disk *d, size_t i, Walk *w) {
        const Shelf *s = &d->shelves[i];
        int fd = segment_open(d->folder, s->name, O_RDONLY);

        if (fd < 0)
                return fd;
        w->fd = fd;
        w->next = s->name;
        w->limit = i + 1 < d->n ? d->shelves[i + 1].name : UINT64_MAX;
        segment_reader_init(&w->reader, fd, 0, s->size);
        return 0;
}

void walk_end(Walk *w) {
        close(w->fd);
        w->fd = -EBADF;
}

int walk_next(Walk *w, SegmentBlock *ret) {
        int r;

        while ((r = segment_next(&w->reader, ret)) > 0) {
                if (ret->state == BLOCK_UNREADABLE || ret->rows == 0)
                        return 1;
                if (ret->first < w->next || ret->last >= w->limit)
                        continue;
                w->next = ret->last + 1;
                return 1;
        }
        return r;
}

/* ---- what is above a position */

static int above_in(const uint8_t *records, const SegmentBlock *b, uint64_t above, uint64_t *ret_rows, uint64_t *ret_points) {
        uint64_t rows = b->rows, points = b->points;
        Record r;

        for (size_t at = 0; at < b->raw_size; at += record_size(&r.row)) {
                if (record_read(records + at, b->raw_size - at, &r) < 0)
                        return -EBADMSG;
                if (r.seq > above)
                        break;
                rows--;
                points -= MIN(points, (uint64_t)row_counted_points(&r.row));
        }
        *ret_rows = rows;
        *ret_points = points;
        return 0;
}

int disk_above(int fd, const SegmentBlock *b, uint64_t above, uint64_t *ret_rows, uint64_t *ret_points) {
        _cleanup_(freep) uint8_t *records = NULL;

        if (b->last <= above) {
                *ret_rows = *ret_points = 0;
                return 0;
        }
        if (b->first > above) {
                *ret_rows = b->rows;
                *ret_points = b->points;
                return 0;
        }
        if (segment_load(fd, b, &records) == 0 && above_in(records, b, above, ret_rows, ret_points) == 0)
                return 0;
        *ret_rows = MIN((uint64_t)b->rows, b->last - above);
        *ret_points = b->points * *ret_rows / b->rows;
        return 1;
}

/* Of the server, as far as it is known now. */
void disk_times(Disk *d, const SegmentBlock *b, int64_t *ret_from_ms, int64_t *ret_to_ms) {
        uint64_t offset_ms = (uint64_t)disk_resolve_era(d, &b->era).offset_ms;

        *ret_from_ms = (int64_t)((uint64_t)row_ms(b->from_ns) + offset_ms);
        *ret_to_ms = (int64_t)((uint64_t)row_ms(b->to_ns) + offset_ms);
}

static void tally_block(Disk *d, int fd, const SegmentBlock *b, uint64_t above, Tally *t) {
        int64_t from_ms, to_ms;
        uint64_t rows, points;

        disk_times(d, b, &from_ms, &to_ms);

        t->last = b->last;
        (void)disk_above(fd, b, above, &rows, &points);
        if (rows == 0)
                return;
        t->from_ms = t->rows == 0 ? from_ms : MIN(t->from_ms, from_ms);
        t->to_ms = t->rows == 0 ? to_ms : MAX(t->to_ms, to_ms);
        t->rows += rows;
        t->points += points;
        if (b->last <= d->known_last) {
                t->known_rows += rows;
                t->known_points += points;
        }
}

static void tally_blocks(Disk *d, Walk *w, uint64_t above, Tally *t, int *ret_error) {
        uint64_t hole = 0; /* the number before the first stretch that cannot be read, + 1 */
        SegmentBlock b;

        while ((*ret_error = walk_next(w, &b)) > 0) {
                if (b.state != BLOCK_UNREADABLE)
                        disk_note_era(d, &b);
                if (b.state == BLOCK_WHOLE) {
                        t->end = b.end;
                        t->tail = b;
                        if (b.last <= d->known_last)
                                t->known_end = b.end;
                }
                if (b.state == BLOCK_TORN)
                        t->torn = b;
                if (b.state != BLOCK_WHOLE && hole == 0)
                        hole = b.state == BLOCK_TORN ? b.first : w->next;
                if (b.state != BLOCK_WHOLE || b.rows == 0 || disk_is_damaged(d, b.first))
                        continue;
                if (hole > 0 && t->hole_last == 0) {
                        t->hole_first = hole;
                        t->hole_last = b.first - 1;
                }
                tally_block(d, w->fd, &b, above, t);
        }
        if (t->hole_last == 0) { /* up to its end */
                t->hole_first = hole ?: w->next;
                t->hole_last = UINT64_MAX;
        }
}

int disk_tally(Disk *d, size_t i, uint64_t above, Tally *ret) {
        Tally t = { .end = SEGMENT_HEAD_SIZE, .known_end = SEGMENT_HEAD_SIZE };
        Walk w;
        int r = walk_begin(d, i, &w);

        if (r >= 0) {
                tally_blocks(d, &w, above, &t, &r);
                walk_end(&w);
        }
        *ret = t;
        return r;
}

void disk_take_counts(Shelf *s, const Tally *t, uint64_t base) {
        s->rows = t->rows;
        s->points = t->points;
        s->base = base;
        s->last = t->last > 0 ? t->last : s->name - 1;
        s->from_ms = t->from_ms;
        s->to_ms = t->to_ms;
}

/* What was counted before and is not there any more. */
static void tell_missing(Disk *d, const Shelf *s, const Tally *t) {
        uint64_t rows = s->rows - MIN(t->rows, s->rows), points = s->points - MIN(t->points, s->points);

        if (rows > 0 || points > 0)
                disk_tell_lost(d, MIN(t->hole_first, s->last), MIN(t->hole_last, s->last), rows, points, s->from_ms, s->to_ms,
                               WHY_DAMAGED);
}

int disk_recount(Disk *d, size_t i) {
        Shelf *s = &d->shelves[i];
        Tally t, now;
        int r = disk_tally(d, i, s->base, &t);

        if (r == 0 && s->base != d->acked)
                r = disk_tally(d, i, d->acked, &now);
        else
                now = t;
        if (r < 0)
                return r;
        tell_missing(d, s, &t);
        disk_take_counts(s, &now, d->acked);
        return 0;
}

void disk_cut_short(Disk *d, size_t i) {
        Shelf *s = &d->shelves[i];
        _cleanup_(closep) int fd = segment_open(d->folder, s->name, O_WRONLY);
        Tally t;

        if (disk_tally(d, i, s->base, &t) != -EIO)
                return;
        tell_missing(d, s, &t);
        disk_take_counts(s, &t, s->base);
        s->size = t.end;
        s->closed = true;
        if (fd >= 0)
                (void)!ftruncate(fd, (off_t)t.end);
}

void disk_lose_block(Disk *d, Shelf *s, int fd, const SegmentBlock *b) {
        uint64_t rows, points, base_rows, base_points;
        int64_t from_ms, to_ms;

        (void)disk_above(fd, b, d->acked, &rows, &points);
        (void)disk_above(fd, b, s->base, &base_rows, &base_points);
        disk_times(d, b, &from_ms, &to_ms);
        disk_mark_damaged(d, s->name, b);
        s->rows -= MIN(s->rows, base_rows);
        s->points -= MIN(s->points, base_points);
        if (rows > 0)
                disk_tell_lost(d, MAX(b->first, d->acked + 1), b->last, rows, points, from_ms, to_ms, WHY_DAMAGED);
}
