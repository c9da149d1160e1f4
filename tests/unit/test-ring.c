/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "spool/ring-file.h"

#include "ring-fixture.h"

#define SIZE (16 * KIB)
#define CHILD_CANNOT 42

static void test_numbers(_unused_ void **state) {
        Ring *r = must_open(NULL, SIZE, RING_NEW, "");
        RingLedger ledger = { .made_points = 5, .era = 3 };
        Row row = { .text = "{}", .text_size = 2, .device = "" };
        uint64_t seq;
        Record record;

        assert_int_equal(ring_size(r), SIZE);
        assert_int_equal(ring_first(r), 1);
        assert_int_equal(ring_next(r), 1);
        assert_int_equal(ring_used(r), 0);
        assert_int_equal(ring_read(r, 1, &record), -ENOENT);
        assert_null(ring_note(r, 1));
        assert_true(ring_fits(r, &row));
        assert_int_equal(ring_append(r, &row, 7, &ledger, NULL, &seq), 0);
        assert_int_equal(seq, 1);
        assert_int_equal(ring_append(r, &row, 8, NULL, NULL, &seq), 0);
        assert_int_equal(seq, 2);
        assert_memory_equal(ring_ledger(r), &ledger, sizeof(ledger));
        assert_int_equal(ring_read(r, 0, &record), -ENOENT);
        assert_int_equal(ring_read(r, 1, &record), 0);
        assert_int_equal(record.seq, 1);
        assert_int_equal(record.era, 7);
        assert_int_equal(ring_read(r, 2, &record), 0);
        assert_int_equal(record.era, 8);
        assert_int_equal(ring_read(r, 3, &record), -ENOENT);
        assert_int_equal(ring_used(r), 2 * record_size(&row));
        ring_release(r, 0, NULL, NULL);
        assert_int_equal(ring_first(r), 1);
        ring_release(r, 1, NULL, NULL);
        assert_int_equal(ring_first(r), 2);
        assert_int_equal(ring_read(r, 1, &record), -ENOENT);
        assert_null(ring_note(r, 1));
        assert_int_equal(ring_used(r), record_size(&row));
        ring_release(r, UINT64_MAX, NULL, NULL);
        assert_int_equal(ring_first(r), 3);
        assert_int_equal(ring_next(r), 3);
        assert_int_equal(ring_used(r), 0);
        ring_free(r);
        ring_free(NULL);
}

static void test_parameters(_unused_ void **state) {
        RingOpened opened;
        Ring *r = NULL;

        assert_int_equal(ring_open(&r, &(RingParams){ .size = SIZE - 1 }, &opened), -EINVAL);
        assert_int_equal(ring_open(&r, &(RingParams){ .size = SIZE_MAX }, &opened), -EINVAL);
        assert_int_equal(ring_open(&r, &(RingParams){ .size = SIZE, .first_seq = UINT64_MAX }, &opened), -EINVAL);
        assert_null(r);
        assert_int_equal(ring_open(&r, &(RingParams){ .size = SIZE + 7, .first_seq = 1ull << 40 }, &opened), 0);
        assert_int_equal(ring_size(r), SIZE);
        assert_true(ring_next(r) == 1ull << 40);
        ring_free(r);
}

/* Rows of all sizes, the ring always nearly full: it goes round hundreds of times. */
static void test_round_and_round(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");
        size_t most = 0;

        for (unsigned i = 0; i < 20000; i++) {
                Row row = row_of(ring_next(r));
                bool fits = ring_fits(r, &row);
                int e = put(r, i % 10 == 0 ? (int)(i % RING_CELLS) : -1);

                assert_int_equal(e, fits ? 0 : -ENOSPC);
                if (e < 0) {
                        assert_true(ring_used(r) + 2 * record_size(&row) > SIZE / 2);
                        take(r, ring_first(r) + i % 5, i % 3 == 0 ? 5 : -1);
                }
                most = MAX(most, ring_used(r));
                assert_true(ring_used(r) <= SIZE);
                if (i % 50 == 0)
                        assert_whole(r);
        }
        assert_true(most > SIZE - 300);
        assert_true(ring_first(r) > 10000);
        assert_whole(r);
        ring_free(r);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        assert_whole(r);
        ring_free(r);
}

/* Every offset where the ring may go round, every time filled to the last byte and emptied from there. */
static void test_every_end(void **state) {
        RingFixture *f = *state;
        char text[ROW_TEXT_MAX];
        uint64_t seq, digest;

        memset(text, ' ', sizeof(text));
        for (size_t size = 2; size < 400; size += RECORD_ALIGN) {
                Ring *r = must_open(f->path, SIZE, RING_NEW, "");
                Row row = { .text = text, .device = "", .points = 1 };
                unsigned n = 0;

                for (row.text_size = 1024; ring_fits(r, &row); n++)
                        assert_int_equal(ring_append(r, &row, 0, NULL, NULL, &seq), 0);
                ring_release(r, 3, NULL, NULL);
                for (row.text_size = size; ring_fits(r, &row); n++)
                        assert_int_equal(ring_append(r, &row, 0, NULL, NULL, &seq), 0);
                assert_true(SIZE - ring_used(r) < 2 * record_size(&row));
                digest = digest_of(r);
                ring_free(r);
                r = must_open(f->path, SIZE, RING_KEPT, "");
                assert_true(digest_of(r) == digest);
                assert_int_equal(ring_next(r), n + 1);
                while (ring_first(r) < ring_next(r))
                        ring_release(r, ring_first(r), NULL, NULL);
                assert_int_equal(ring_used(r), 0);
                ring_free(r);
                assert_int_equal(unlink(f->path), 0);
        }
}

/* A daemon whose server answers touches only the first pages of a large ring. */
static void test_empty_starts_at_zero(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, 4 * MIB, RING_NEW, "");
        Record a, b;

        put_many(r, 10);
        assert_int_equal(ring_read(r, 1, &a), 0);
        take(r, 10, -1);
        put_many(r, 1);
        assert_int_equal(ring_read(r, 11, &b), 0);
        assert_ptr_equal(a.row.device, b.row.device);
        ring_free(r);
}

static void test_notes(_unused_ void **state) {
        Ring *r = must_open(NULL, SIZE, RING_NEW, "");
        Row row = { .text = "{}", .text_size = 2, .device = "" };
        uint64_t seq;

        for (uint32_t round = 0; round < 3; round++) {
                while (ring_fits(r, &row)) {
                        assert_int_equal(ring_append(r, &row, 0, NULL, NULL, &seq), 0);
                        assert_int_equal(*ring_note(r, seq), 0);
                        *ring_note(r, seq) = (uint32_t)seq * 3;
                }
                assert_true(seq - ring_first(r) > 400); /* the table has grown */
                for (seq = ring_first(r); seq < ring_next(r); seq++)
                        assert_int_equal(*ring_note(r, seq), seq * 3);
                ring_release(r, ring_first(r) + 300, NULL, NULL);
        }
        ring_free(r);
}

/* It keeps its place and its points, and nobody sees it again. */
static void test_done(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");
        uint64_t points = points_of(1) + points_of(5) + points_of(8);
        size_t used;
        Record record;

        put_many(r, 8);
        used = ring_used(r);
        ring_set_done(r, 5);
        ring_set_done(r, 8);
        ring_set_done(r, 1);
        ring_set_done(r, 5); /* again */
        ring_set_done(r, 0);
        ring_set_done(r, 9);
        for (unsigned turn = 0; turn < 2; turn++) {
                assert_int_equal(ring_first(r), 1);
                assert_int_equal(ring_used(r), used);
                for (uint64_t seq = 1; seq <= 8; seq++) {
                        assert_int_equal(ring_read(r, seq, &record), seq == 1 || seq == 5 || seq == 8 ? -ENOENT : 0);
                        assert_non_null(ring_note(r, seq));
                }
                assert_null(fault_of(r, points));
                ring_free(r);
                r = must_open(f->path, SIZE, RING_KEPT, "");
        }
        take(r, 6, -1);
        assert_null(fault_of(r, points));
        take(r, 8, -1);
        assert_int_equal(ring_used(r), 0);
        ring_free(r);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        ring_free(r);
}

static uint64_t next_in_file(const char *path) {
        RingOpened opened;
        uint64_t next;
        Ring *r;

        assert_int_equal(ring_open_readonly(&r, path, &opened), 0);
        next = ring_next(r);
        ring_free(r);
        return next;
}

/* Rows take effect together, before any other change. */
static void test_gather(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");

        put_many(r, 3);
        ring_gather(r, true);
        put_many(r, 4);
        assert_whole(r);
        assert_int_equal(ring_next(r), 8);
        assert_int_equal(next_in_file(f->path), 4);
        ring_gather(r, false);
        assert_int_equal(next_in_file(f->path), 8);
        ring_gather(r, true);
        put_many(r, 2);
        assert_int_equal(next_in_file(f->path), 8);
        take(r, 1, 5);
        assert_int_equal(next_in_file(f->path), 10);
        put(r, 7);
        put(r, 7); /* a cell has two copies: neither may be that of the file */
        assert_int_equal(next_in_file(f->path), 12);
        put(r, -1);
        ring_free(r); /* as a crash */
        r = must_open(f->path, SIZE, RING_KEPT, "");
        assert_int_equal(ring_next(r), 12);
        assert_whole(r);
        ring_free(r);
}

/* Only what was read before is looked at: the checksum is not. */
static void test_look(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");
        Record read, look;

        put_many(r, 3);
        assert_int_equal(ring_read(r, 2, &read), 0);
        assert_int_equal(ring_look(r, 2, &look), 0);
        assert_int_equal(look.seq, 2);
        assert_int_equal(look.row.points, read.row.points);
        assert_ptr_equal(look.row.text, read.row.text);
        assert_int_equal(look.row.text_size, read.row.text_size);
        ring_set_done(r, 2);
        assert_int_equal(ring_look(r, 2, &look), -ENOENT);
        assert_int_equal(ring_look(r, 4, &look), -ENOENT);
        ring_free(r);
}

static void test_cells(void **state) {
        RingFixture *f = *state;
        uint8_t full[RING_CELL_SIZE], zeros[RING_CELL_SIZE] = { 0 };
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");

        memset(full, 0xee, sizeof(full));
        for (unsigned i = 0; i < RING_CELLS; i++)
                assert_memory_equal(ring_cell(r, i), zeros, sizeof(zeros));
        for (unsigned i = 0; i < RING_CELLS; i += 3)
                for (unsigned again = 0; again <= i % 2; again++)
                        ring_release(r, 0, NULL, &(RingChange){ .cell = i, .data = full, .size = RING_CELL_SIZE - i });
        ring_release(r, 0, NULL, &(RingChange){ .cell = 6, .data = ring_cell(r, 9), .size = 10 });
        ring_release(r, 0, NULL, &(RingChange){ .cell = 12 });
        ring_free(r);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        for (unsigned i = 0; i < RING_CELLS; i++) {
                size_t size = i % 3 != 0 || i == 12 ? 0 : i == 6 ? 10 : RING_CELL_SIZE - i;

                assert_memory_equal(ring_cell(r, i), full, size);
                assert_memory_equal((const uint8_t *)ring_cell(r, i) + size, zeros, RING_CELL_SIZE - size);
        }
        ring_free(r);
}

static void test_kept(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");
        struct stat st;
        uint64_t digest;

        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0600);
        assert_int_equal(st.st_size, sizeof(RingHeader) + SIZE);
        assert_true(st.st_blocks * 512 >= st.st_size);
        put_many(r, 60);
        take(r, 17, 3);
        digest = digest_of(r);
        ring_free(r);
        for (unsigned i = 0; i < 3; i++) {
                r = must_open(f->path, SIZE, RING_KEPT, "");
                assert_int_equal(ring_first(r), 18);
                assert_int_equal(*ring_note(r, 18), 0);
                assert_true(digest_of(r) == digest);
                ring_free(r);
        }
        r = must_open(f->path, SIZE, RING_KEPT, "");
        put_many(r, 3);
        take(r, UINT64_MAX, -1);
        ring_free(r);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        assert_int_equal(ring_first(r), 64);
        assert_int_equal(ring_next(r), 64);
        assert_whole(r);
        ring_free(r);
}

/* 64 MiB, all of it used; the table of a ring of 1 GiB costs nothing before there are rows. */
static void test_large(_unused_ void **state) {
        static char text[ROW_TEXT_MAX];
        Row row = { .text = text, .text_size = sizeof(text), .device = "", .points = 1 };
        Ring *r = must_open(NULL, 64 * MIB, RING_NEW, "");
        uint64_t seq = 0;
        Record record;

        memset(text, 'x', sizeof(text));
        while (ring_fits(r, &row))
                assert_int_equal(ring_append(r, &row, 0, NULL, NULL, &seq), 0);
        assert_true(ring_used(r) > 64 * MIB - 10 * KIB);
        ring_release(r, 100, NULL, NULL);
        while (ring_fits(r, &row))
                assert_int_equal(ring_append(r, &row, 0, NULL, NULL, &seq), 0);
        for (seq = ring_first(r); seq < ring_next(r); seq += 7)
                assert_int_equal(ring_read(r, seq, &record), 0);
        ring_free(r);

        r = must_open(NULL, 1024 * MIB, RING_NEW, "");
        put_many(r, 1000);
        assert_whole(r);
        ring_free(r);
}

/* ---- another size */

static void test_larger(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, "");
        uint64_t next, digest;

        while (ring_next(r) < 1000 || ring_used(r) < SIZE - 1000)
                if (put(r, 7) < 0)
                        take(r, ring_first(r) + 10, 9);
        digest = digest_of(r);
        next = ring_next(r);
        ring_free(r);
        for (unsigned i = 2; i <= 4; i++) {
                r = must_open(f->path, i * SIZE, RING_KEPT, "");
                assert_int_equal(ring_size(r), i * SIZE);
                assert_int_equal(ring_next(r), next);
                assert_true(digest_of(r) == digest);
                ring_free(r);
        }
        r = must_open(f->path, 4 * SIZE, RING_KEPT, "");
        put_many(r, 100);
        assert_whole(r);
        ring_free(r);
}

static Ring *reopen_losing(const char *path, size_t size, uint64_t *ret_rows, uint64_t *ret_points) {
        RingOpened opened;
        Ring *r;

        assert_int_equal(ring_open(&r, &(RingParams){ .path = path, .size = size, .first_seq = 1 }, &opened), 0);
        assert_int_equal(opened.how, RING_KEPT);
        *ret_rows = opened.lost_rows;
        *ret_points = opened.lost_points;
        return r;
}

/* The newest rows stay; what is lost is told until it can have been taken down. */
static void test_smaller(void **state) {
        RingFixture *f = *state;
        uint64_t rows, points, again;

        for (unsigned turn = 0; turn < 2; turn++) {
                Ring *r = must_open(f->path, 8 * SIZE, turn == 0 ? RING_NEW : RING_KEPT, "");
                uint64_t first, next;

                while (ring_used(r) < 5 * SIZE || ring_next(r) < 3000 * turn)
                        if (put(r, -1) < 0)
                                take(r, ring_first(r) + 10, 9);
                first = ring_first(r);
                next = ring_next(r);
                ring_free(r);
                r = reopen_losing(f->path, SIZE, &rows, &points);
                assert_true(ring_used(r) > SIZE - 300);
                assert_int_equal(ring_next(r), next);
                assert_int_equal(ring_first(r) - first, rows);
                assert_null(fault_of(r, points));
                ring_free(r);
                r = reopen_losing(f->path, SIZE, &again, &points);
                assert_int_equal(again, rows);
                assert_null(fault_of(r, points));
                take(r, 0, 1); /* any change */
                ring_free(r);
                r = must_open(f->path, SIZE, RING_KEPT, "");
                assert_null(fault_of(r, points));
                ring_free(r);
                assert_int_equal(unlink(f->path), 0);
                r = must_open(f->path, 8 * SIZE, RING_NEW, "");
                ring_free(r);
        }
}

/* No room for a new file of the wanted size: the old one serves on. */
static void test_no_room(void **state) {
        RingFixture *f = *state;
        struct rlimit old, low = { .rlim_cur = MIB };
        char left[80];
        RingOpened opened;
        Ring *r = must_open(f->path, SIZE, RING_NEW, ""), *other;

        put_many(r, 20);
        ring_free(r);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        low.rlim_max = old.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        r = must_open(f->path, 2 * MIB, RING_KEPT, "no room");
        snprintf(left, sizeof(left), "%s-other", f->path);
        assert_int_equal(ring_open(&other, &(RingParams){ .path = left, .size = 2 * MIB }, &opened), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(ring_size(r), SIZE);
        assert_int_equal(ring_next(r), 21);
        assert_whole(r);
        ring_free(r);
        assert_int_equal(access(left, F_OK), -1);
        snprintf(left, sizeof(left), "%s-other.new", f->path);
        assert_int_equal(access(left, F_OK), -1);
        snprintf(left, sizeof(left), "%s.new", f->path);
        assert_int_equal(access(left, F_OK), -1);
}

static bool set_up(const char *path, const char *format, unsigned id) {
        FILE *f = fopen(path, "we");
        bool written = f && fprintf(f, format, id) > 0;

        return f && fclose(f) == 0 && written;
}

/* A small file system of this process alone. */
static bool mount_small(const char *dir) {
        unsigned user = geteuid(), group = getegid();

        if (unshare(CLONE_NEWNS) < 0 &&
            (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !set_up("/proc/self/uid_map", "0 %u 1", user) ||
             !set_up("/proc/self/setgroups", "deny", 0) || !set_up("/proc/self/gid_map", "0 %u 1", group)))
                return false;
        return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", dir, "tmpfs", 0, "size=256k") == 0;
}

static int open_code(const char *path, size_t size, RingOpened *opened) {
        Ring *r = NULL;
        int e = ring_open(&r, &(RingParams){ .path = path, .size = size, .first_seq = 1 }, opened);

        ring_free(r);
        return e;
}

/* The number of what is wrong; 0: nothing. */
static int on_a_full_disk(const RingFixture *f) {
        RingOpened opened;
        char bad[80];

        snprintf(bad, sizeof(bad), "%s.bad", f->path);
        if (open_code(f->path, 256 * KIB, &opened) != -ENOSPC || access(f->path, F_OK) == 0)
                return 1;
        if (open_code(f->path, 128 * KIB, &opened) != 0 || opened.how != RING_NEW)
                return 2;
        if (open_code(f->path, 100 * KIB, &opened) != 0 || opened.how != RING_KEPT || !strstr(opened.text, "no room"))
                return 3;
        if (truncate(f->path, 190000) < 0 || open_code(f->path, 128 * KIB, &opened) != 0 || opened.how != RING_SET_ASIDE)
                return 4;
        return access(bad, F_OK) == 0 ? 5 : 0; /* it gave way to the new one */
}

static void test_full_disk(void **state) {
        const RingFixture *f = *state;
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0)
                _exit(mount_small(f->dir) ? on_a_full_disk(f) : CHILD_CANNOT);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == CHILD_CANNOT)
                print_message("# without a full disk: none can be mounted here\n");
        else
                assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- two at a time */

static void test_lock(void **state) {
        RingFixture *f = *state;
        Ring *r = must_open(f->path, SIZE, RING_NEW, ""), *second = NULL;
        RingOpened opened;

        put_many(r, 5);
        assert_int_equal(ring_open(&second, &(RingParams){ .path = f->path, .size = SIZE }, &opened), -EBUSY);
        assert_int_equal(ring_open(&second, &(RingParams){ .path = f->path, .size = 2 * SIZE }, &opened), -EBUSY);
        assert_null(second);
        assert_int_equal(ring_open_readonly(&second, f->path, &opened), 0);
        assert_true(digest_of(second) == digest_of(r));
        put_many(second, 5); /* of no effect */
        ring_free(second);
        assert_int_equal(ring_next(r), 6);
        ring_free(r);
        r = must_open(f->path, SIZE, RING_KEPT, "");
        assert_int_equal(ring_next(r), 6);
        ring_free(r);
}

/* What a crash left half made is no obstacle and never seen. */
static void test_leftover(void **state) {
        RingFixture *f = *state;
        char leftover[80];
        Ring *r;

        snprintf(leftover, sizeof(leftover), "%s.new", f->path);
        spit(leftover, "half made", 9);
        r = must_open(f->path, SIZE, RING_NEW, "");
        assert_int_equal(access(leftover, F_OK), -1);
        put_many(r, 20);
        ring_free(r);
        spit(leftover, "half made", 9);
        r = must_open(f->path, 2 * SIZE, RING_KEPT, "");
        assert_int_equal(access(leftover, F_OK), -1);
        assert_whole(r);
        ring_free(r);
}

static void change_for_ever(const char *path, volatile uint64_t *turns) {
        RingOpened opened;
        Ring *r;

        if (ring_open(&r, &(RingParams){ .path = path, .size = 4 * SIZE, .first_seq = 1 }, &opened) < 0)
                abort();
        for (unsigned i = 0;; i++, ++*turns)
                while (put(r, i % 3 == 0 ? (int)(i % 5) : -1) < 0)
                        take(r, ring_first(r) + i % 30, -1);
}

/* A look at a ring that another process changes as fast as it can. */
static void test_readonly_of_a_ring_in_use(void **state) {
        RingFixture *f = *state;
        volatile uint64_t *turns = mmap(NULL, sizeof(*turns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        unsigned whole = 0;
        pid_t child;

        assert_ptr_not_equal(turns, MAP_FAILED);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                change_for_ever(f->path, turns);
        while (*turns < 1000)
                sched_yield();
        for (unsigned i = 0; i < 300; i++) {
                RingOpened opened;
                const char *fault;
                Ring *r;
                Record record;

                assert_int_equal(ring_open_readonly(&r, f->path, &opened), 0);
                assert_int_equal(opened.lost_rows, 0);
                assert_int_equal(opened.lost_points, 0);
                for (uint64_t seq = ring_first(r); seq < ring_next(r); seq++)
                        assert_int_equal(ring_read(r, seq, &record), 0);
                fault = fault_of(r, 0);
                assert_true(!fault || strstr(fault, "add up")); /* rows that left meanwhile */
                whole += !fault;
                ring_free(r);
        }
        print_message("# of 300 looks %u caught one moment, while %llu rows went by\n", whole, (unsigned long long)*turns);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        munmap((void *)turns, sizeof(*turns));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_parameters),
                cmocka_unit_test_setup_teardown(test_round_and_round, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_every_end, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_empty_starts_at_zero, fixture_setup, fixture_teardown),
                cmocka_unit_test(test_notes),
                cmocka_unit_test_setup_teardown(test_done, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_gather, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_look, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_cells, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_kept, fixture_setup, fixture_teardown),
                cmocka_unit_test(test_large),
                cmocka_unit_test_setup_teardown(test_larger, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_smaller, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_no_room, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_full_disk, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_lock, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_leftover, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_readonly_of_a_ring_in_use, fixture_setup, fixture_teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
