/* SPDX-License-Identifier: Apache-2.0 */
/* Reading on, and forgetting what is acknowledged. The reader remembers where it stopped and holds that file
 * open, so that what was begun can be read to its end whatever happens to the folder. What it meets that
 * cannot be read is told as lost once, by the block's header or, where that is gone too, by what the shelf
 * counted when it was sound. */
#include <fcntl.h>
#include <stdio.h>

#include "spool/store-inside.h"

void disk_close_cursor(Disk *d) {
        if (d->cursor.fd >= 0)
                close(TAKE_FD(d->cursor.fd));
}

/* The walk has the file from here on, or else the cursor. */
static int resume(Disk *d, size_t i, uint64_t after, Walk *w) {
        const Shelf *s = &d->shelves[i];
        int r;

        if (d->cursor.fd < 0 || d->cursor.name != s->name) {
                disk_close_cursor(d);
                r = walk_begin(d, i, w);
                if (r < 0)
                        return r;
                d->cursor.name = s->name;
        } else {
                bool on = after >= d->cursor.last;

                w->fd = d->cursor.fd;
                w->next = on ? d->cursor.last + 1 : s->name;
                w->limit = i + 1 < d->n ? d->shelves[i + 1].name : UINT64_MAX;
                segment_reader_init(&w->reader, w->fd, on ? d->cursor.at : 0, s->size);
        }
        d->cursor.fd = -EBADF;
        return 0;
}

static void stop_at(Disk *d, const Walk *w) {
        d->cursor.fd = w->fd;
        d->cursor.at = w->reader.at;
        d->cursor.last = w->next - 1;
}

/* 0; 1: it is lost; -ENOMEM: no more now. */
static int read_block(Disk *d, Shelf *s, int fd, const SegmentBlock *b, size_t *size) {
        StoreBlock block = {
                .first = b->first, .last = b->last, .rows = b->rows, .points = b->points,
                .era = disk_resolve_era(d, &b->era), .size = b->raw_size,
        };
        uint8_t *records;
        int r = segment_load(fd, b, &records);

        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                disk_lose_block(d, s, fd, b);
                return 1;
        }
        block.records = records;
        r = disk_tell_block(d, &block);
        if (r < 0)
                free(records);
        *size += b->raw_size;
        return r;
}

/* Reading ended before the numbers that the shelf counted. 1: it does not count them any more; -errno: not now. */
static int settle(Disk *d, size_t i, int error) {
        if (disk_recount(d, i) == -EIO && error == -EIO)
                disk_cut_short(d, i);
        return error < 0 && d->cursor.last < d->shelves[i].last ? error : 1;
}

/* 1: there is no more in this file; 0: enough; -errno. */
static int read_shelf(Disk *d, size_t i, uint64_t after, size_t max_bytes, size_t *size) {
        bool hole = false, lost = false;
        SegmentBlock b;
        Walk w;
        int r = resume(d, i, after, &w);

        if (r < 0)
                return r;
        while (*size < max_bytes) {
                r = walk_next(&w, &b);
                if (r <= 0)
                        break;
                hole = hole || b.state == BLOCK_UNREADABLE;
                if (b.state == BLOCK_UNREADABLE || b.rows == 0 || b.last <= after || disk_is_damaged(d, b.first))
                        continue;
                r = read_block(d, &d->shelves[i], w.fd, &b, size);
                if (r < 0) {
                        walk_end(&w);
                        return r;
                }
                lost = lost || r > 0;
        }
        stop_at(d, &w);
        if (*size < max_bytes && (r < 0 || hole || d->cursor.last < d->shelves[i].last))
                return settle(d, i, r);
        if (lost)
                (void)disk_recount(d, i);
        return *size < max_bytes;
}

/* Reading is tried again later where the file may be sound; where the disk says that it is not, that is that. */
static bool is_final(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -EIO || error == -ELOOP || error == -EUCLEAN ||
               error == -EBADMSG;
}

static void give_up_shelf(Disk *d, size_t i, int error) {
        uint64_t name = d->shelves[i].name;
        bool gone = error == -ENOENT || error == -ENOTDIR;

        disk_lose_shelf(d, i, gone ? WHY_MISSING : WHY_DAMAGED);
        if (!gone)
                disk_set_aside(d, name);
}

int disk_read(Disk *d, uint64_t after, size_t max_bytes) {
        size_t size = 0, i = 0;
        int r = 1;

        while (r > 0 && i < d->n) {
                bool opened;

                if (d->shelves[i].last <= after || d->shelves[i].rows == 0) {
                        i++;
                        continue;
                }
                r = read_shelf(d, i, after, max_bytes, &size);
                opened = d->cursor.fd >= 0;
                if (r > 0)
                        i++;
                else if (r < 0 && !opened && is_final(r)) {
                        give_up_shelf(d, i, r);
                        r = 1;
                }
        }
        if (r < 0)
                disk_set_failed(d, AT_READ, d->folder, r);
        else
                disk_set_well(d, AT_READ);
        return MIN(r, 0);
}

void disk_acked(Disk *d, uint64_t seq, bool write_position) {
        const Shelf *s;
        int fd, r;

        d->acked = MAX(d->acked, seq);
        while (d->n > 0 && (d->shelves[0].last <= d->acked || d->shelves[0].rows == 0)) {
                r = disk_unlink(d, d->shelves[0].name);
                if (r < 0) {
                        disk_set_failed(d, AT_REMOVE, d->folder, r);
                        return;
                }
                disk_remove_shelf(d, 0);
                disk_set_well(d, AT_REMOVE);
        }
        if (!write_position || d->n == 0 || d->acked < d->shelves[0].name)
                return;
        s = &d->shelves[0];
        fd = segment_open(d->folder, s->name, O_WRONLY);
        if (fd < 0)
                return;
        if (segment_write_position(fd, s->name, d->acked) == 0)
                d->bytes_written += 16;
        close(fd);
        (void)disk_recount(d, 0);
}
