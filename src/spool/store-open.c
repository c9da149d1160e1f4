/* SPDX-License-Identifier: Apache-2.0 */
/* What the folder holds, from names, heads and block headers alone: of payloads only the block in which the
 * acknowledged position stands is read, to count exactly, and the last one, which a power cut may have torn.
 *
 * Blocks up to known_last were durable when the ring was told so. One above it that is not whole was a commit
 * that did not end: its rows are in the ring, and it goes without a word. Without a ring (known_last 0)
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

static void set_aside(const Disk *d, uint64_t name) {
        char file[SEGMENT_NAME_SIZE], *from = NULL, *to = NULL;

        segment_name(file, name);
        if (asprintf(&from, "%s/%s", d->folder, file) < 0)
                return;
        if (asprintf(&to, "%s.bad", from) >= 0)
                (void)rename(from, to);
        free(to);
        free(from);
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

static int find_shelves(Disk *d, uint64_t *ret_acked) {
        _cleanup_(freep) uint64_t *names = NULL;
        bool bad = false;
        size_t n;
        int r = segment_list(d->folder, &names, &n);

        if (r < 0)
                return r;
        *ret_acked = 0;
        for (size_t i = 0; i < n; i++) {
                Shelf found = { 0 }, *s;

                r = look_at(d, names[i], &found, ret_acked);
                if (r == 0)
                        (void)disk_unlink(d, names[i]);
                else if (r == -EBADMSG) {
                        set_aside(d, names[i]);
                        bad = true;
                }
                s = r == 1 ? disk_add_shelf(d, names[i]) : NULL;
                if (s) {
                        s->size = found.size;
                        s->closed = found.closed;
                }
        }
        if (bad)
                limit_bad(d);
        return 0;
}

/* ---- what is in them */

/* A block up to known_last was durable once; without a ring every one counts. */
static void count_damaged(Disk *d, int fd, const SegmentBlock *b, StoreFound *found) {
        uint64_t rows, points;
        int64_t from_ms, to_ms;
        int estimated;

        if ((d->known_last != 0 && b->last > d->known_last) || b->last <= d->acked)
                return;
        estimated = disk_above(fd, b, d->acked, &rows, &points);
        if (estimated && d->known_last != 0)
                return; /* the ring knows how many there should be */
        found->damaged_rows += rows;
        found->damaged_points += points;
        disk_times(d, b, &from_ms, &to_ms);
        disk_tell_lost(d, MAX(b->first, d->acked + 1), b->last, rows, points, from_ms, to_ms, WHY_DAMAGED);
}

/* Eras first: what a block of one file has for a time may stand in a later one. */
static void read_headers(Disk *d, size_t i) {
        SegmentBlock b;
        Walk w;

        if (walk_begin(d, i, &w) < 0)
                return;
        while (walk_next(&w, &b) > 0)
                if (b.state != BLOCK_UNREADABLE)
                        disk_note_era(d, &b);
        walk_end(&w);
}

static void count_torn(Disk *d, size_t i, StoreFound *found) {
        SegmentBlock b;
        Walk w;

        if (walk_begin(d, i, &w) < 0)
                return;
        while (walk_next(&w, &b) > 0)
                if (b.state == BLOCK_TORN) {
                        count_damaged(d, w.fd, &b, found);
                        if (i < d->n - 1) /* there it is cut off */
                                disk_mark_damaged(d, d->shelves[i].name, &b);
                }
        walk_end(&w);
}

/* The last whole block of the newest file, and where it ends. */
static uint64_t find_tail(const Disk *d, SegmentBlock *ret) {
        uint64_t end = SEGMENT_HEAD_SIZE;
        SegmentBlock b;
        Walk w;

        *ret = (SegmentBlock){ 0 };
        if (walk_begin(d, d->n - 1, &w) < 0)
                return d->shelves[d->n - 1].size;
        while (walk_next(&w, &b) > 0)
                if (b.state == BLOCK_WHOLE) {
                        *ret = b;
                        end = b.end;
                }
        walk_end(&w);
        return end;
}

/* What stands behind that block is of no use, and neither is it where a power cut left its header alone. */
static void cut_tail(Disk *d, StoreFound *found) {
        Shelf *s = &d->shelves[d->n - 1];
        _cleanup_(closep) int fd = segment_open(d->folder, s->name, O_RDWR);
        _cleanup_(freep) uint8_t *records = NULL;
        SegmentBlock tail;
        uint64_t end = find_tail(d, &tail);

        if (tail.rows > 0 && fd >= 0 && segment_load(fd, &tail, &records) == -EBADMSG) {
                count_damaged(d, fd, &tail, found);
                end = tail.at;
        }
        if (fd < 0 || (end < s->size && (ftruncate(fd, (off_t)end) < 0 || fdatasync(fd) < 0)))
                s->closed = true;
        s->size = end;
}

static void count_shelf(Disk *d, size_t i, StoreFound *found) {
        Shelf *s = &d->shelves[i];
        Tally t;

        if (disk_tally(d, i, d->acked, &t) < 0)
                return;
        s->rows = t.rows;
        s->points = t.points;
        s->base = d->acked;
        s->last = t.last > 0 ? t.last : s->name - 1;
        s->from_ms = t.from_ms;
        s->to_ms = t.to_ms;
        found->rows += t.rows;
        found->points += t.points;
        found->known_rows += t.known_rows;
        found->known_points += t.known_points;
        if (t.rows > 0) {
                found->first = found->first ?: MAX(s->name, d->acked + 1);
                found->last = t.last;
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
                disk_set_failed(d, d->folder, r);
                return;
        }
        d->opened = true;
        d->acked = found.acked = d->known_acked ?: acked;
        disk_measure(d);
        for (size_t i = 0; i < d->n; i++)
                read_headers(d, i);
        for (size_t i = 0; i < d->n; i++)
                if (i < d->n - 1) {
                        d->shelves[i].closed = true;
                        count_torn(d, i, &found);
                }
        if (d->n > 0) {
                count_torn(d, d->n - 1, &found);
                cut_tail(d, &found);
        }
        for (size_t i = 0; i < d->n; i++)
                count_shelf(d, i, &found);
        disk_set_state(d, STORE_OK, TEXT_OK);
        disk_acked(d, d->acked, false);
        *ret = found;
}
