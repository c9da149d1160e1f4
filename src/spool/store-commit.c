/* SPDX-License-Identifier: Apache-2.0 */
/* A commit appends its blocks to the newest segment, or to new ones where it is full, and syncs them. It is
 * all or nothing:
 *
 *      attempt --done--> shelves count the rows
 *         |
 *       failed: what it wrote is cut off again, the segment is closed for good
 *         |--- no room: the oldest segment goes, and again; none left: STORE_FULL
 *         '--- else: STORE_FAILED
 *
 * A segment in which a write or a sync failed is never written again: the kernel may say that its pages are
 * clean although they never reached the disk. What cannot be cut off is passed over when it is read, see
 * store-walk.c. When to try again is the caller's business. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "spool/store-inside.h"

#define SEGMENT_SIZE MIB
#define SEGMENT_PART 8 /* of the store */

typedef struct Commit {
        Disk *d;
        uint64_t spare_first, spare_last;
        int fd;             /* of the shelf that is written, where it is open; -EBADF: none */
        int active_fd;      /* where the commit began with a shelf that was there: shelves[first_new - 1] */
        Shelf active;       /* as it was before */
        size_t first_new;   /* shelves from here on were made by it */
        bool sync_failed;
        uint64_t written;
} Commit;

static bool is_full(int error) {
        return error == -ENOSPC || error == -EDQUOT;
}

static char *path_of(const Disk *d, uint64_t name) {
        char file[SEGMENT_NAME_SIZE], *path;

        segment_name(file, name);
        return asprintf(&path, "%s/%s", d->folder, file) < 0 ? NULL : path;
}

int disk_unlink(const Disk *d, uint64_t name) {
        char *path = path_of(d, name);
        int r = !path ? -ENOMEM : unlink(path) < 0 && errno != ENOENT ? -errno : 0;

        free(path);
        return r;
}

/* ---- eviction */

static bool is_spared(const Commit *c, const Shelf *s) {
        return c->spare_last > 0 && s->name <= c->spare_last && s->last >= c->spare_first;
}

/* The oldest of the first n shelves that may go. 1: one went; 0: there is none. */
static int evict_one(Commit *c, size_t n) {
        Disk *d = c->d;
        int r;

        for (size_t i = 0; i < n; i++) {
                if (is_spared(c, &d->shelves[i]))
                        continue;
                (void)disk_recount(d, i);
                r = disk_unlink(d, d->shelves[i].name);
                if (r < 0)
                        return r;
                disk_lose_shelf(d, i, WHY_EVICTED);
                d->evicted++;
                c->first_new -= MIN(c->first_new, (size_t)1);
                return 1;
        }
        return 0;
}

/* The segment that is written to stays: it may hold this commit's rows. */
static int make_room(Commit *c, uint64_t size) {
        while (disk_bytes(c->d) + size > c->d->limit) {
                size_t last = c->first_new - (c->active_fd >= 0 ? 1 : 0);
                int r = evict_one(c, last);

                if (r <= 0)
                        return r < 0 ? r : -ENOSPC;
        }
        return 0;
}

/* ---- the segment to write to */

static int sync_fd(Commit *c) {
        int r = c->fd >= 0 && fdatasync(c->fd) < 0 ? -errno : 0;

        if (r < 0)
                c->sync_failed = true;
        return r;
}

static void close_fd(Commit *c) {
        if (c->fd >= 0 && c->fd != c->active_fd)
                close(c->fd);
        c->fd = -EBADF;
}

/* The newest shelf, where it can be appended to: else a new one is needed. */
static int open_active(Commit *c) {
        Disk *d = c->d;
        Shelf *s = d->n > 0 ? &d->shelves[d->n - 1] : NULL;
        struct stat st;
        int fd;

        if (!s || s->closed)
                return 0;
        fd = segment_open(d->folder, s->name, O_WRONLY);
        if (fd == -ENOENT) {
                disk_lose_shelf(d, d->n - 1, WHY_MISSING);
                c->first_new = d->n;
                return 0;
        }
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < s->size ||
            ((uint64_t)st.st_size > s->size && ftruncate(fd, (off_t)s->size) < 0)) {
                s->closed = true;
                close(fd);
                return 0;
        }
        c->fd = c->active_fd = fd;
        c->active = *s;
        return 0;
}

/* The folder was taken away, and with it what was in it. */
static int remake_folder(Disk *d) {
        for (size_t i = d->n; i-- > 0;) {
                char *path = path_of(d, d->shelves[i].name);

                if (path && access(path, F_OK) < 0 && errno == ENOENT)
                        disk_lose_shelf(d, i, WHY_MISSING);
                free(path);
        }
        disk_set_failed(d, AT_COMMIT, d->folder, -ENOENT);
        return disk_make_folder(d);
}

/* A file of this name that is known has rows, or else an era alone; another one is left of a commit that failed. */
static int create(Commit *c, uint64_t name) {
        Disk *d = c->d;
        int fd = segment_open(d->folder, name, O_WRONLY | O_CREAT | O_EXCL), r;

        if (fd != -EEXIST)
                return fd;
        for (size_t i = 0; i < d->n; i++)
                if (d->shelves[i].name == name) {
                        if (d->shelves[i].last >= name)
                                return -EEXIST;
                        disk_remove_shelf(d, i);
                        c->first_new--;
                        break;
                }
        r = disk_unlink(d, name);
        return r < 0 ? r : segment_open(d->folder, name, O_WRONLY | O_CREAT | O_EXCL);
}

static int next_segment(Commit *c, uint64_t name) {
        Disk *d = c->d;
        Shelf *s;
        int r = sync_fd(c);

        if (r < 0)
                return r;
        close_fd(c);
        if (d->n > 0)
                d->shelves[d->n - 1].closed = true;
        disk_measure(d);
        r = make_room(c, SEGMENT_HEAD_SIZE);
        if (r < 0)
                return r;
        r = create(c, name);
        if (r < 0)
                return r;
        c->fd = r;
        s = disk_add_shelf(d, name);
        if (!s) {
                (void)disk_unlink(d, name);
                return -ENOMEM;
        }
        r = segment_write_head(c->fd, name, 0);
        s->size = SEGMENT_HEAD_SIZE;
        c->written += SEGMENT_HEAD_SIZE;
        return r;
}

/* ---- blocks */

static void account(Disk *d, const SegmentBlock *b) {
        Shelf *s = &d->shelves[d->n - 1];
        int64_t from_ms, to_ms;

        s->size += b->end;
        disk_note_era(d, b);
        if (b->rows == 0)
                return;
        disk_times(d, b, &from_ms, &to_ms);
        s->from_ms = s->rows == 0 ? from_ms : MIN(s->from_ms, from_ms);
        s->to_ms = s->rows == 0 ? to_ms : MAX(s->to_ms, to_ms);
        s->last = b->last;
        s->rows += b->rows;
        s->points += b->points;
}

/* One without rows takes any block. */
static bool has_place(const Commit *c, uint64_t size) {
        const Shelf *s = c->fd >= 0 ? &c->d->shelves[c->d->n - 1] : NULL;

        return s && (s->last < s->name || s->size + size <= MIN(SEGMENT_SIZE, c->d->limit / SEGMENT_PART));
}

static int write_block(Commit *c, const StoreBlock *block) {
        Disk *d = c->d;
        SegmentBlock b = {
                .first = block->first, .last = block->last, .rows = block->rows, .points = block->points,
                .era = block->era, .raw_size = (uint32_t)MIN(block->size, (size_t)UINT32_MAX),
        };
        _cleanup_(freep) uint8_t *bytes = NULL;
        int r = segment_build(&b, block->records, &bytes);

        if (r < 0)
                return r;
        if (!has_place(c, b.end))
                r = next_segment(c, b.first);
        if (r == 0)
                r = make_room(c, b.end);
        if (r == 0)
                r = segment_write(c->fd, d->shelves[d->n - 1].size, bytes, b.end);
        if (r < 0)
                return r;
        c->written += b.end;
        account(d, &b);
        return 0;
}

static int sync_folder(const Disk *d) {
        _cleanup_(closep) int fd = open(d->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

static int attempt(Commit *c, const StoreBlock *blocks, size_t n) {
        int r;

        c->sync_failed = false;
        c->first_new = c->d->n;
        c->written = 0;
        r = open_active(c);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = write_block(c, &blocks[i]);
        if (r >= 0)
                r = sync_fd(c);
        if (r >= 0 && c->d->n > c->first_new)
                r = sync_folder(c->d);
        c->d->bytes_written += c->written;
        return MIN(r, 0);
}

static void roll_back(Commit *c, int error) {
        Disk *d = c->d;

        while (d->n > c->first_new) {
                (void)disk_unlink(d, d->shelves[d->n - 1].name);
                disk_remove_shelf(d, d->n - 1);
        }
        if (c->active_fd >= 0) {
                Shelf *s = &d->shelves[d->n - 1];

                *s = c->active;
                s->closed = ftruncate(c->active_fd, (off_t)s->size) < 0 || c->sync_failed || !is_full(error);
        }
}

static void close_files(Commit *c) {
        close_fd(c);
        if (c->active_fd >= 0)
                close(TAKE_FD(c->active_fd));
}

static int open_late(Disk *d) {
        StoreFound found;

        if (!d->opened)
                disk_open(d, &found);
        return d->opened ? 0 : -EAGAIN;
}

int disk_commit(Disk *d, const StoreBlock *blocks, size_t n, uint64_t spare_first, uint64_t spare_last) {
        Commit c = { .d = d, .spare_first = spare_first, .spare_last = spare_last, .fd = -EBADF, .active_fd = -EBADF };
        bool remade = false;
        int r = open_late(d);

        if (r < 0)
                return r;
        for (;;) {
                r = attempt(&c, blocks, n);
                if (r < 0)
                        roll_back(&c, r);
                close_files(&c);
                if (r == 0) {
                        d->commits++;
                        disk_set_well(d, AT_COMMIT);
                        return 0;
                }
                if (r == -ENOENT && !remade) {
                        r = remake_folder(d);
                        remade = true;
                        if (r < 0)
                                break;
                } else if (!is_full(r) || evict_one(&c, d->n) <= 0)
                        break;
        }
        disk_set_failed(d, AT_COMMIT, d->folder, r);
        return r;
}

/* An empty block that carries the time, behind the rows that want it. It is worth no row: nothing is evicted. */
void disk_set_era(Disk *d, const Era *era) {
        BootEra *e = disk_find_era(d, era->boot_id, false);
        uint64_t last;

        if (era->quality != CLOCK_TRUSTED || !e || e->trusted || d->n == 0)
                return;
        last = d->shelves[d->n - 1].last;
        if (e->last_estimated > d->acked && e->last_estimated >= d->shelves[0].name) {
                const StoreBlock note = { .first = last + 1, .last = last + 1, .era = *era };

                (void)disk_commit(d, &note, 1, 0, UINT64_MAX);
        }
        e->trusted = true;
        e->offset_ms = era->offset_ms;
}
