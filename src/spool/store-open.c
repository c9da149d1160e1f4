/* SPDX-License-Identifier: Apache-2.0 */
/* What the folder holds, from names, heads and block headers alone: of payloads only the block in which the
 * acknowledged position stands is read, to count exactly, and the last one, which a power cut may have torn.
 *
 * Blocks up to known_last were durable when the ring was told so. One above it that is not whole was a commit
 * that did not end: its rows are in the ring, and it goes without a word. Without a ring
 * nobody else has the rows, and a torn block is counted as damaged, by its header.
 *
 * What can't be trusted never keeps the store from opening: a file that is none of ours, or of another
 * version, is renamed to NAME.bad. One that cannot be read now is left where it is, for another day. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "spool/store-inside.h"

#define BAD_KEPT 2
#define FS_PART 10

int disk_make_folder(const Disk *d) {
        _cleanup_(closep) int fd = -EBADF;
        int r = file_mkdir(d->folder, 0700);

        if (r == -ENOENT) {
                r = file_mkdir(d->dir, 0700);
                if (r == 0)
                        r = file_mkdir(d->folder, 0700);
        }
        if (r < 0)
                return r;
        fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

void disk_measure(Disk *d) {
        struct statvfs st;

        if (statvfs(d->folder, &st) == 0 && st.f_blocks > 0)
                d->limit = MIN(d->max_bytes, (uint64_t)st.f_blocks * st.f_frsize / FS_PART);
}

/* ---- files that are set aside */

static int is_bad(const struct dirent *e) {
        char name[SEGMENT_NAME_SIZE];
        uint64_t first;

        snprintf(name, sizeof(name), "%.*s", (int)sizeof(name) - 1, e->d_name);
        return streq(e->d_name + strlen(name), ".bad") && segment_name_parse(name, &first);
}

static void remove_in(const char *folder, const char *name) {
        char *path;

        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return;
        (void)unlink(path);
        free(path);
}

static void limit_bad(const Disk *d) {
        struct dirent **entries;
        int n = scandir(d->folder, &entries, is_bad, alphasort);

        if (n < 0)
                return;
        for (int i = 0; i < n; i++) {
                if (i < n - BAD_KEPT)
                        remove_in(d->folder, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
}

/* ---- which files are segments */

static bool has_block(int fd, uint64_t size) {
        SegmentReader reader;
        SegmentBlock b;

        segment_reader_init(&reader, fd, 0, size);
        while (segment_next(&reader, &b) > 0)
                if (b.state != BLOCK_UNREADABLE)
                        return true;
        return false;
}

/* 1: a segment; 0: nothing in it; -EBADMSG: none of ours; else: cannot be read now. */
static int look_at(Disk *d, uint64_t name, Shelf *ret, uint64_t *acked) {
        _cleanup_(closep) int fd = segment_open(d->folder, name, O_RDONLY);
        SegmentHead head;
        struct stat st;
        int r;

        if (fd < 0)
                return fd == -ELOOP ? -EBADMSG : fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > (off_t)SEGMENT_FILE_MAX)
                return -EBADMSG;
        r = segment_read_head(fd, &head);
        if (r == -ENODATA)
                return 0; /* its making was cut short */
        if (r < 0)
                return r == -EPROTONOSUPPORT ? -EBADMSG : r;
        if (!has_block(fd, (uint64_t)st.st_size))
                return head.damaged ? -EBADMSG : 0;
        *acked = MAX(*acked, head.acked);
        *ret = (Shelf){ .name = name, .size = (uint64_t)st.st_size, .closed = head.damaged || head.first != name };
        return 1;
}

/* What goes wrong once may go well the next time. */
static int look_twice(Disk *d, uint64_t name, Shelf *ret, uint64_t *acked) {
        int r = look_at(d, name, ret, acked);

        return r < 0 && r != -EBADMSG ? look_at(d, name, ret, acked) : r;
}

static int find_shelves(Disk *d, uint64_t *ret_acked) {
        _cleanup_(freep) uint64_t *names = NULL;
        size_t n;
        int r = segment_list(d->folder, &names, &n);

        if (r < 0)
                return r;
        *ret_acked = 0;
        for (size_t i = 0; i < n; i++) {
                Shelf found = { 0 }, *s;

                r = look_twice(d, names[i], &found, ret_acked);
                if (r == 0)
                        (void)disk_unlink(d, names[i]);
                else if (r == -EBADMSG)
                        disk_set_aside(d, names[i]);
                s = r == 1 ? disk_add_shelf(d, names[i]) : NULL;
                if (s) {
                        s->size = found.size;
                        s->closed = found.closed;
                }
        }
        return 0;
}

/* ---- what is in them */

/* A block up to known_last was durable once; without a ring every one counts. */
static void count_damaged(Disk *d, int fd, const SegmentBlock *b, StoreFound *found) {
        uint64_t rows, points;
        int64_t from_ms, to_ms;
        int estimated;

        if (b->rows == 0 || (!disk_is_alone(d) && b->last > d->known_last) || b->last <= d->acked)
                return;
        estimated = disk_above(fd, b, d->acked, &rows, &points);
        if (estimated && !disk_is_alone(d))
                return; /* the ring knows how many there should be */
        found->damaged_rows += rows;
        found->damaged_points += points;
        disk_times(d, b, &from_ms, &to_ms);
        disk_tell_lost(d, MAX(b->first, d->acked + 1), b->last, rows, points, from_ms, to_ms, WHY_DAMAGED);
}

/* What stands behind the last whole block of the newest file is of no use, and neither is that block where a
 * power cut left its header alone. */
static int cut_tail(Disk *d, Tally *t, StoreFound *found) {
        Shelf *s = &d->shelves[d->n - 1];
        _cleanup_(closep) int fd = segment_open(d->folder, s->name, O_RDWR);
        _cleanup_(freep) uint8_t *records = NULL;
        uint64_t size = s->size;

        s->size = t->end;
        if (t->tail.rows > 0 && fd >= 0 && segment_load(fd, &t->tail, &records) == -EBADMSG) {
                count_damaged(d, fd, &t->tail, found);
                s->size = t->tail.at;
        }
        if (fd < 0 || (s->size < size && (ftruncate(fd, (off_t)s->size) < 0 || fdatasync(fd) < 0)))
                s->closed = true;
        return s->size < t->end ? disk_tally(d, d->n - 1, d->acked, t) : 0;
}

static int write_again(int fd, uint64_t from, uint64_t to) {
        _cleanup_(freep) uint8_t *data = malloc(to - from);
        int r;

        if (!data)
                return -ENOMEM;
        r = segment_read(fd, from, data, to - from);
        if (r == 0)
                r = segment_write(fd, from, data, to - from);
        if (r == 0 && fdatasync(fd) < 0)
                r = -errno;
        return r;
}

/* Blocks that the ring was never told of are of a commit that a crash cut short, or of one whose sync failed and that could
 * not be cut off: what is read may stand in the kernel's memory alone. */
static int make_durable(Disk *d, size_t i, Tally *t) {
        Shelf *s = &d->shelves[i];
        _cleanup_(closep) int fd = -EBADF;

        if (disk_is_alone(d) || t->end <= t->known_end)
                return 0;
        fd = segment_open(d->folder, s->name, O_RDWR);
        if (fd >= 0 && write_again(fd, t->known_end, t->end) == 0) {
                d->bytes_written += t->end - t->known_end;
                return 0;
        }
        s->closed = true;
        s->size = t->known_end;
        if (fd >= 0)
                (void)!ftruncate(fd, (off_t)s->size);
        return disk_tally(d, i, d->acked, t);
}

static int count_shelf(Disk *d, size_t i, StoreFound *found) {
        bool newest = i == d->n - 1;
        Shelf *s = &d->shelves[i];
        Tally t;
        int r = disk_tally(d, i, d->acked, &t);

        if (r < 0)
                r = disk_tally(d, i, d->acked, &t);
        if (r < 0)
                return r;
        count_damaged(d, -EBADF, &t.torn, found);
        if (!newest && t.torn.rows > 0)
                disk_mark_damaged(d, s->name, &t.torn);
        s->closed = s->closed || !newest;
        if (newest)
                r = cut_tail(d, &t, found);
        if (r == 0)
                r = make_durable(d, i, &t);
        if (r < 0)
                return r;
        disk_take_counts(s, &t, d->acked);
        found->rows += t.rows;
        found->points += t.points;
        found->known_rows += t.known_rows;
        found->known_points += t.known_points;
        if (t.rows > 0) {
                found->first = found->first ?: MAX(s->name, d->acked + 1);
                found->last = t.last;
        }
        return 0;
}

/* A file that cannot be read is none of the store's; nothing is written behind it. */
static void count_shelves(Disk *d, StoreFound *found) {
        for (size_t i = 0; i < d->n; i++) {
                uint64_t name = d->shelves[i].name;
                int r = count_shelf(d, i, found);

                if (r >= 0)
                        continue;
                disk_remove_shelf(d, i--);
                if (r == -EIO)
                        disk_set_aside(d, name);
                disk_set_failed(d, AT_READ, d->folder, r);
        }
}

void disk_open(Disk *d, StoreFound *ret) {
        StoreFound found = { 0 };
        uint64_t acked;
        int r = find_shelves(d, &acked);

        if (r == -ENOENT) {
                r = disk_make_folder(d);
                if (r == 0)
                        r = find_shelves(d, &acked);
        }
        *ret = found;
        if (r < 0) {
                disk_set_failed(d, AT_COMMIT, d->folder, r);
                return;
        }
        disk_set_well(d, AT_COMMIT);
        d->opened = true;
        d->acked = found.acked = d->known_acked ?: acked;
        disk_measure(d);
        count_shelves(d, &found);
        if (d->n > 0 && disk_is_alone(d)) /* a new ring numbers above the highest name: what it stores makes a higher one */
                d->shelves[d->n - 1].closed = true;
        limit_bad(d);
        disk_acked(d, d->acked, false);
        *ret = found;
}
