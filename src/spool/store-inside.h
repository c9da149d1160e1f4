/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the store know of each other: store-thread.c (the loop's side), and in the thread
 * store-open.c, store-commit.c, store-read.c, store-files.c, store-index.c. All of them but the first work
 * on a Disk, which knows no thread and no loop and so can be tested alone. For them alone. */
#pragma once

#include "spool/segment.h"
#include "spool/store.h"

#define WHY_DAMAGED "damaged on the disk"
#define WHY_MISSING "missing on the disk"
#define WHY_EVICTED "store full"

/* What happened during a call, in order; handed over to the loop after it. */
typedef struct News {
        enum { NEWS_BLOCK, NEWS_LOST, NEWS_STATE } what;
        union {
                StoreBlock block; /* records are owned */
                struct {
                        uint64_t first, last, rows, points;
                        int64_t from_ms, to_ms;
                        const char *why; /* static */
                } lost;
                struct {
                        StoreState state;
                        char *text;
                } state;
        };
} News;

typedef struct NewsList {
        News *items;
        size_t n, room;
} NewsList;

void news_done(NewsList *list);

/* All that is kept in memory of a segment file. */
typedef struct Shelf {
        uint64_t name;         /* number in its name: that of its first row */
        uint64_t last;         /* of its last row that can be had; name - 1: none */
        uint64_t rows, points; /* that can be had, above base */
        uint64_t base;         /* the position when they were counted */
        uint64_t size;         /* bytes that are ours; behind them only what a failed commit left */
        int64_t from_ms, to_ms;
        bool closed;           /* nothing is appended any more */
} Shelf;

typedef struct BootEra {
        uint8_t boot_id[BOOT_ID_SIZE];
        int64_t offset_ms;       /* where trusted: the first that was found */
        bool trusted;
        uint64_t last_estimated; /* number of the last row whose block has an estimate; 0: none */
} BootEra;

/* What can fail on its own: each is told once, and is well again when the same succeeds. */
typedef enum FailedAt { AT_COMMIT, AT_READ, AT_REMOVE, AT_FILE, _AT_MAX } FailedAt;

typedef struct Disk {
        char *dir, *folder;
        uint64_t max_bytes, limit; /* the latter never above a tenth of the file system */
        uint64_t known_acked, known_last;
        bool ring_kept; /* rows above known_last are in a ring, whatever known_last is */
        uint64_t acked;
        bool opened;
        Shelf *shelves; /* by name */
        size_t n, room;
        BootEra *eras;
        size_t n_eras;
        uint64_t *damaged; /* first numbers of blocks that turned out not to be readable and were told */
        size_t n_damaged;
        struct { /* where reading stopped; the file is held so that it can be read to its end whatever happens to its name */
                int fd;
                uint64_t name, at, last;
        } cursor;
        struct {
                StoreState state;
                char text[192];
        } at[_AT_MAX];
        uint64_t bytes_written, commits, evicted;
        NewsList news;
} Disk;

_must_check_ int disk_new(Disk **ret, const char *dir, uint64_t max_bytes, uint64_t known_acked, uint64_t known_last);
Disk *disk_free(Disk *d);
DEFINE_CLEANUP(Disk *, disk_free)

/* Nobody else has the rows. */
static inline bool disk_is_alone(const Disk *d) {
        return d->known_last == 0 && !d->ring_kept;
}

/* ---- store-open.c */
/* May be called again where the folder could not be read: opened is false then. */
void disk_open(Disk *d, StoreFound *ret);
/* Makes the folder where it is not there. */
int disk_make_folder(const Disk *d);
void disk_measure(Disk *d);

/* ---- store-commit.c: as store_append() and store_set_era(). 0: durable; -errno: nothing of it is there */
int disk_commit(Disk *d, const StoreBlock *blocks, size_t n, uint64_t spare_first, uint64_t spare_last);
void disk_set_era(Disk *d, const Era *era);
int disk_unlink(const Disk *d, uint64_t name); /* 0 also where it was not there */

/* ---- store-read.c */
/* -errno: not all that there is can be read now. */
int disk_read(Disk *d, uint64_t after, size_t max_bytes);
void disk_acked(Disk *d, uint64_t seq, bool write_position);
void disk_close_cursor(Disk *d);

/* ---- store-files.c */
void disk_replace_file(Disk *d, const char *name, const void *data, size_t size, mode_t mode);
void disk_append_line(Disk *d, const char *name, const char *line, size_t max_size);

/* ---- store-index.c: shelves, eras, what is told */
Shelf *disk_add_shelf(Disk *d, uint64_t name); /* NULL: no memory, or it is there */
void disk_remove_shelf(Disk *d, size_t i);
/* Renames a file that is no good to NAME.bad. */
void disk_set_aside(const Disk *d, uint64_t name);
/* Its rows are gone: tells it, and forgets the shelf. */
void disk_lose_shelf(Disk *d, size_t i, const char *why);
uint64_t disk_bytes(const Disk *d);
StoreStats disk_stats(const Disk *d);

void disk_note_era(Disk *d, const SegmentBlock *b);
BootEra *disk_find_era(Disk *d, const uint8_t boot_id[static BOOT_ID_SIZE], bool make);
/* The block's own, or the one that became known later. */
Era disk_resolve_era(Disk *d, const Era *era);

/* Neither this process nor a later one counts it again. */
void disk_mark_damaged(Disk *d, uint64_t shelf, const SegmentBlock *b);
bool disk_is_damaged(const Disk *d, uint64_t first);
void disk_tell_lost(Disk *d, uint64_t first, uint64_t last, uint64_t rows, uint64_t points, int64_t from_ms, int64_t to_ms,
                    const char *why);
int disk_tell_block(Disk *d, const StoreBlock *block);
StoreState disk_state(const Disk *d, const char **ret_text);
/* The text: what failed and what to do about it. */
void disk_set_failed(Disk *d, FailedAt at, const char *path, int error);
void disk_set_well(Disk *d, FailedAt at);

/* ---- store-walk.c: the blocks of a shelf that count, one after the other */
typedef struct Walk {
        int fd;
        uint64_t next;  /* numbers below it were seen */
        uint64_t limit; /* numbers from here on stand in a later file: what is here was a commit that failed */
        SegmentReader reader;
} Walk;

_must_check_ int walk_begin(const Disk *d, size_t i, Walk *w);
/* 1: a block, of whatever state; 0: no more; -errno. */
_must_check_ int walk_next(Walk *w, SegmentBlock *ret);
void walk_end(Walk *w);

typedef struct Tally { /* of what is above a position */
        uint64_t rows, points;
        uint64_t known_rows, known_points; /* of them in blocks up to known_last */
        uint64_t last;                     /* number of the last row that can be had; 0: none */
        int64_t from_ms, to_ms;
        uint64_t hole_first, hole_last;    /* numbers around the first stretch that cannot be read; hole_last 0: none */
        SegmentBlock tail, torn;           /* the last whole block, and a torn one behind it; rows 0: none */
        uint64_t end, known_end;           /* of the tail, and of the last block up to known_last */
} Tally;

/* -errno: reading ended early; *ret tells what came before that. */
_must_check_ int disk_tally(Disk *d, size_t i, uint64_t above, Tally *ret);
/* Rows and points of a block above a position: exact where it can be read, else in proportion (1). */
int disk_above(int fd, const SegmentBlock *b, uint64_t above, uint64_t *ret_rows, uint64_t *ret_points);
void disk_times(Disk *d, const SegmentBlock *b, int64_t *ret_from_ms, int64_t *ret_to_ms);
void disk_take_counts(Shelf *s, const Tally *t, uint64_t base);
/* Counts a shelf anew and tells what it does not hold any more. -errno: it cannot be read; nothing changed. */
int disk_recount(Disk *d, size_t i);
/* The same for one that cannot be read to its end: what is behind is cut off. */
void disk_cut_short(Disk *d, size_t i);
/* It cannot be read; its rows above the position are lost. */
void disk_lose_block(Disk *d, Shelf *s, int fd, const SegmentBlock *b);
