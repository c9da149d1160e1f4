/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      page 0: header, state 0, state 1 | cells, two copies of each | records
 *
 * After `kill -9` the page cache holds every store that came before it and none that came after. So a change
 * is written where nothing that holds looks: the record behind the head, the cell's other copy, the state's
 * other copy. Then one store of the generation turns all of it over. The generation has 32 bits because that
 * is one store on every machine.
 *
 * The file lives on tmpfs: a power cut takes it whole, so nothing is ever synced. Its pages are there before
 * it is mapped (fallocate), so no store meets a full file system (SIGBUS). That somebody cuts the file while
 * it is mapped is not provided for.
 *
 * One process at a time: flock on the file itself. Who got the lock looks whether the file still has its name,
 * because a rename may have come in between.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "spool/ring-file.h"

#define LOCK_TRIES 16
#define COPY_TRIES 8
#define STATE_TRIES 10000
#define NOT_REGULAR "it is no regular file"
#define CUT_SHORT "it is cut short"

_Static_assert(sizeof(RingLedger) == 128, "the ledger has no padding");
_Static_assert(offsetof(RingTop, generation) == 32 && offsetof(RingTop, states) == 64, "the top has no padding");
_Static_assert(sizeof(RingState) == 216 && offsetof(RingState, ledger) == 88, "the state has no padding");
_Static_assert(sizeof(RingCell) == 192 && offsetof(RingHeader, cells) == RING_PAGE, "cells stand as told");
_Static_assert(sizeof(RingHeader) == 13 * RING_PAGE && offsetof(RingHeader, records) == sizeof(RingHeader), "so do records");
_Static_assert(RING_CELLS % 64 == 0 && RING_SIZE_MIN >= RECORD_SIZE_MAX, "every row fits");
_Static_assert(RING_SIZE_MAX / RECORD_ALIGN < UINT32_MAX, "offsets fit");

static void why(RingWhy *ret, const char *text) {
        snprintf(ret->text, sizeof(ret->text), "%s", text);
}

static int path_beside(char out[static PATH_MAX], const char *path, const char *suffix) {
        int n = snprintf(out, PATH_MAX, "%s%s", path, suffix);

        return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static uint64_t top_check(const RingTop *t) {
        return XXH3_64bits(t, offsetof(RingTop, check));
}

static uint64_t state_check(const RingState *s) {
        return XXH3_64bits(&s->generation, sizeof(*s) - offsetof(RingState, generation));
}

static uint64_t cell_check(const RingCell *c) {
        return XXH3_64bits(c->data, sizeof(c->data));
}

/* ---- state and cells */

void ring_file_commit(RingFile *f, RingState *s) {
        RingTop *t = &f->map->top;

        s->generation = t->generation + 1;
        s->check = state_check(s);
        t->states[s->generation % 2] = *s;
        /* what this change wrote stays before it, what the next one writes stays behind it */
        (void)__atomic_exchange_n(&t->generation, s->generation, __ATOMIC_ACQ_REL);
}

static unsigned cell_copy(const RingState *s, unsigned cell) {
        return s->cells[cell / 64] >> (cell % 64) & 1;
}

static RingCell *cell_of(const RingFile *f, const RingState *s, unsigned cell, bool other) {
        return &f->map->cells[cell][cell_copy(s, cell) ^ other];
}

static void cell_write(RingCell *c, const void *data, size_t size) {
        if (size > 0)
                memcpy(c->data, data, size);
        memset(c->data + size, 0, sizeof(c->data) - size);
        c->check = cell_check(c);
}

const RingCell *ring_file_cell(const RingFile *f, const RingState *s, unsigned cell) {
        return cell_of(f, s, cell, false);
}

void ring_file_set_cell(RingFile *f, RingState *s, unsigned cell, const void *data, size_t size) {
        cell_write(cell_of(f, s, cell, true), data, size);
        s->cells[cell / 64] ^= UINT64_C(1) << (cell % 64);
}

unsigned ring_file_check_cells(RingFile *f, const RingState *s) {
        unsigned damaged = 0;

        for (unsigned i = 0; i < RING_CELLS; i++) {
                RingCell *c = cell_of(f, s, i, false);

                if (c->check == cell_check(c))
                        continue;
                cell_write(c, NULL, 0);
                damaged++;
        }
        return damaged;
}

static bool offsets_hold(const RingState *s, uint64_t size) {
        if (s->head % RECORD_ALIGN != 0 || s->tail % RECORD_ALIGN != 0 || s->wrap % RECORD_ALIGN != 0)
                return false;
        if (s->first == s->next)
                return s->head == 0 && s->tail == 0 && s->wrap == 0;
        if (s->wrap == 0)
                return s->tail < s->head && s->head <= size;
        return s->head <= s->tail && s->tail < s->wrap && s->wrap <= size;
}

static int state_read(const RingTop *t, RingState *ret, RingWhy *ret_why) {
        RingState s = t->states[t->generation % 2];

        if (s.check != state_check(&s) || s.generation != t->generation) {
                why(ret_why, "its state is damaged");
                return -EBADMSG;
        }
        if (s.first > s.next || s.next > RING_SEQ_MAX || !offsets_hold(&s, t->size)) {
                why(ret_why, "its state contradicts itself");
                return -EBADMSG;
        }
        *ret = s;
        return 0;
}

/* ---- file */

static int open_locked(const char *path, int flags) {
        for (unsigned i = 0; i < LOCK_TRIES; i++) {
                _cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | flags, 0600);
                struct stat mine, named;

                if (fd < 0)
                        return -errno;
                if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                        return errno == EWOULDBLOCK ? -EBUSY : -errno;
                if (fstat(fd, &mine) < 0)
                        return -errno;
                if (lstat(path, &named) == 0 && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino)
                        return TAKE_FD(fd);
        }
        return -EBUSY;
}

static int allocate(int fd, size_t size) {
        int r;

        do
                r = posix_fallocate(fd, 0, (off_t)size);
        while (r == EINTR);
        return -r;
}

/* fd < 0: memory. The file is left to *ret with the mapping. */
static int map(RingFile *ret, int fd, size_t size) {
        int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void *p = mmap(NULL, sizeof(RingHeader) + size, PROT_READ | PROT_WRITE, flags, MAX(fd, -1), 0);

        if (p == MAP_FAILED)
                return -errno;
        *ret = (RingFile){ .map = p, .size = size, .fd = fd >= 0 ? fd : -EBADF };
        return 0;
}

void ring_file_close(RingFile *f) {
        if (f->map)
                munmap(f->map, sizeof(RingHeader) + f->size);
        closep(&f->fd);
        *f = (RingFile){ .fd = -EBADF };
}

static int file_new(const char *temporary, size_t size) {
        _cleanup_(closep) int fd = open_locked(temporary, O_CREAT);
        int r;

        if (fd < 0)
                return fd;
        if (fchmod(fd, 0600) < 0 || ftruncate(fd, 0) < 0) /* whatever the umask is, whatever a crash left */
                return -errno;
        r = allocate(fd, sizeof(RingHeader) + size);
        return r < 0 ? r : TAKE_FD(fd);
}

int ring_file_new(RingFile *ret, const char *path, size_t size) {
        _cleanup_(closep) int fd = -EBADF;
        char temporary[PATH_MAX], bad[PATH_MAX];
        RingHeader *h;
        int r;

        if (path) {
                r = path_beside(temporary, path, ".new");
                if (r < 0)
                        return r;
                fd = file_new(temporary, size);
                if (fd == -ENOSPC && path_beside(bad, path, ".bad") == 0 && unlink(bad) == 0)
                        fd = file_new(temporary, size); /* what was set aside gives way */
        }
        r = path && fd < 0 ? fd : map(ret, fd, size);
        if (r < 0) {
                if (path && r != -EBUSY)
                        unlink(temporary);
                return r;
        }
        TAKE_FD(fd);
        h = ret->map;
        h->top = (RingTop){ .magic = RING_MAGIC, .version = RING_VERSION, .header_size = sizeof(*h), .size = size };
        h->top.check = top_check(&h->top);
        for (unsigned i = 0; i < RING_CELLS; i++)
                cell_write(&h->cells[i][0], NULL, 0);
        return 0;
}

int ring_file_publish(const char *path, bool replace) {
        char temporary[PATH_MAX];
        struct stat st;
        int r;

        r = path_beside(temporary, path, ".new");
        if (r < 0)
                return r;
        if (!replace && lstat(path, &st) == 0) /* made by another process, before this one had the lock of the new one */
                r = -EBUSY;
        else if (rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                unlink(temporary);
        return r;
}

int ring_file_set_aside(const char *path) {
        char bad[PATH_MAX];
        int r;

        r = path_beside(bad, path, ".bad");
        if (r < 0)
                return r;
        return rename(path, bad) < 0 ? -errno : 0;
}

/* The top of a file that can be what it says. */
static int top_read(int fd, RingTop *ret, RingWhy *ret_why) {
        struct stat st;
        RingTop t;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        n = S_ISREG(st.st_mode) ? pread(fd, &t, sizeof(t), 0) : 0;
        if (n < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                why(ret_why, NOT_REGULAR);
        else if ((size_t)n < sizeof(t))
                why(ret_why, CUT_SHORT);
        else if (t.magic != RING_MAGIC)
                why(ret_why, "it is not the file of a ring");
        else if (t.version != RING_VERSION)
                snprintf(ret_why->text, sizeof(ret_why->text), "it is of version %u and only version %u is known", t.version,
                         RING_VERSION);
        else if (t.check != top_check(&t) || t.header_size != sizeof(RingHeader) || t.size < RING_SIZE_MIN ||
                 t.size > RING_SIZE_MAX || t.size % RECORD_ALIGN != 0)
                why(ret_why, "its header is damaged");
        else if ((uint64_t)st.st_size != sizeof(RingHeader) + t.size)
                why(ret_why, (uint64_t)st.st_size < sizeof(RingHeader) + t.size ? CUT_SHORT : "it is too long");
        else {
                *ret = t;
                return 0;
        }
        return -EBADMSG;
}

int ring_file_open(RingFile *ret, const char *path, RingState *ret_state, RingWhy *ret_why) {
        int fd = open_locked(path, 0), r;
        RingTop top;

        if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO) {
                why(ret_why, NOT_REGULAR);
                return -EBADMSG;
        }
        if (fd < 0)
                return fd;
        *ret = (RingFile){ .fd = fd };
        r = top_read(fd, &top, ret_why);
        if (r == 0)
                r = state_read(&top, ret_state, ret_why);
        if (r == 0)
                r = allocate(fd, sizeof(RingHeader) + (size_t)top.size); /* a copy of a file may have holes */
        return r < 0 ? r : map(ret, fd, (size_t)top.size);
}

/* ---- copy of a file in use */

static int read_at(int fd, void *data, size_t size, size_t offset) {
        while (size > 0) {
                ssize_t n = pread(fd, data, size, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EBADMSG;
                data = (uint8_t *)data + n;
                size -= (size_t)n;
                offset += (size_t)n;
        }
        return 0;
}

static int records_read(int fd, RingHeader *h, const RingState *s) {
        uint64_t end = s->wrap > 0 ? s->wrap : s->head;
        int r;

        r = read_at(fd, h->records + s->tail, end - s->tail, sizeof(*h) + s->tail);
        if (r == 0 && s->wrap > 0)
                r = read_at(fd, h->records, s->head, sizeof(*h));
        return r;
}

/* Leaves what was in the ring then and is in it now: nobody wrote there in between. */
static void state_narrow(RingState *s, const RingState *now) {
        if (now->first >= s->next) {
                s->first = s->next;
                s->head = s->tail = s->wrap = 0;
        } else if (now->first > s->first) {
                if (now->tail < s->tail)
                        s->wrap = 0;
                s->tail = now->tail;
                s->first = now->first;
        }
}

/* The state in effect, which looks damaged where it was caught half written. */
static int state_read_at(int fd, size_t size, RingState *ret, RingWhy *ret_why) {
        RingTop top;
        int r;

        for (unsigned i = 0;; i++) {
                r = read_at(fd, &top, sizeof(top), 0);
                if (r < 0)
                        return r;
                if (top.size != size)
                        return -EBADMSG;
                r = state_read(&top, ret, ret_why);
                if (r != -EBADMSG || i == STATE_TRIES)
                        return r;
        }
}

/* 0: as it was at one moment; 1: it changed meanwhile and was narrowed. */
static int copy_once(int fd, RingFile *f, RingState *ret_state, RingWhy *ret_why) {
        RingState now;
        int r;

        r = state_read_at(fd, f->size, ret_state, ret_why);
        if (r == 0)
                r = read_at(fd, f->map->cells, sizeof(f->map->cells), offsetof(RingHeader, cells));
        if (r == 0)
                r = records_read(fd, f->map, ret_state);
        if (r == 0)
                r = state_read_at(fd, f->size, &now, ret_why);
        if (r < 0 || now.generation == ret_state->generation)
                return r;
        state_narrow(ret_state, &now);
        return offsets_hold(ret_state, f->size) ? 1 : -EBADMSG;
}

int ring_file_copy(RingFile *ret, const char *path, RingState *ret_state, RingWhy *ret_why) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        RingTop top;
        int r;

        if (fd < 0)
                return -errno;
        r = top_read(fd, &top, ret_why);
        if (r == 0)
                r = map(ret, -EBADF, (size_t)top.size);
        if (r < 0)
                return r;
        ret->map->top = top;
        for (unsigned i = 0; i < COPY_TRIES; i++) {
                r = copy_once(fd, ret, ret_state, ret_why);
                if (r != 1)
                        break;
        }
        if (r < 0)
                ring_file_close(ret);
        return r;
}
