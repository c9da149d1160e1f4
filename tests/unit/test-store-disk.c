/* SPDX-License-Identifier: Apache-2.0 */
/* What the store finds in its folder, and what happens to the folder while it is open. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <xxhash.h>

#include <cmocka.h>

#include "base/file.h"
#include "store-fixture.h"

/* ---- what stands in the folder already */

static void test_set_aside(void **state) {
        static const char *const bad[] = { "0000000000000001.seg", "0000000000000002.seg", "0000000000000003.seg" };
        static const char *const stray[] = { "readme", "0000000000000004.SEG", "4.seg", "000000000000000g.seg", "0000000000000000.seg",
                                             "ffffffffffffffff.seg" };
        Fixture *f = *state;
        char garbage[600], name[64];

        fixture_open(f, 0, 0, 0);
        fixture_close(f);
        memset(garbage, 'x', sizeof(garbage));
        for (unsigned i = 0; i < ELEMENTS(bad); i++) {
                snprintf(name, sizeof(name), "spool/%s", bad[i]);
                fixture_put(f, name, garbage, sizeof(garbage));
        }
        for (unsigned i = 0; i < ELEMENTS(stray); i++) {
                snprintf(name, sizeof(name), "spool/%s", stray[i]);
                fixture_put(f, name, garbage, sizeof(garbage));
        }
        fixture_put(f, "spool/0000000000000010.seg", garbage, 0); /* its making was cut short */
        fixture_put(f, "spool/0000000000000011.seg", garbage, 20);
        fixture_open(f, 0, 0, 0);
        assert_int_equal(store_stats(f->store).state, STORE_OK);
        assert_int_equal(f->found.last, 0);
        assert_int_equal(fixture_count(f), ELEMENTS(stray) + 2);
        assert_false(fixture_has(f, "spool/0000000000000001.seg.bad"));
        assert_true(fixture_has(f, "spool/0000000000000002.seg.bad"));
        assert_true(fixture_has(f, "spool/0000000000000003.seg.bad"));
        assert_int_equal(fixture_append(f, 1, 10), 0);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 10);
}

static void test_no_files_at_all(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *folder = fixture_file(f, "spool/0000000000000002.seg"), *link = fixture_file(f, "spool/0000000000000003.seg");

        fixture_open(f, 0, 0, 0);
        fixture_close(f);
        fixture_fifo(f, "spool/0000000000000001.seg"); /* opening it must not wait */
        assert_int_equal(mkdir(folder, 0700), 0);
        assert_int_equal(symlink("/dev/zero", link), 0);
        fixture_open(f, 0, 0, 0);
        assert_int_equal(store_stats(f->store).segments, 0);
        assert_int_equal(fixture_append(f, 5, 10), 0);
        fixture_read(f, 0);
        fixture_assert_read(f, 5, 10);
}

static void test_newer_version(void **state) {
        Fixture *f = *state;
        _cleanup_(closep) int fd = -EBADF;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        fixture_close(f);
        {
                _cleanup_(freep) char *path = fixture_path(f, 1);
                struct {
                        char magic[8];
                        uint32_t version, size;
                        uint64_t first, check;
                } head;

                fd = open(path, O_RDWR | O_CLOEXEC);
                assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
                head.version = 2;
                head.check = XXH3_64bits(&head, offsetof(__typeof__(head), check));
                assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
        }
        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.rows, 0);
        assert_true(fixture_has(f, "spool/0000000000000001.seg.bad"));
}

/* The end of a commit that a power cut tore: without a ring it is counted, with one its rows are in the ring. */
static void test_torn_commit(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *path = fixture_path(f, 1);

        for (unsigned with_ring = 0; with_ring < 2; with_ring++) {
                fixture_open(f, 0, 0, 0);
                assert_int_equal(fixture_append(f, 1, 10), 0);
                assert_int_equal(fixture_append(f, 11, 20), 0);
                assert_int_equal(truncate(path, (off_t)store_stats(f->store).bytes - 50), 0);
                fixture_close(f);
                fixture_open(f, 0, 0, with_ring ? 10 : 0);
                fixture_wait(f);
                assert_int_equal(f->found.rows, 10);
                assert_int_equal(f->found.last, 10);
                assert_int_equal(f->found.damaged_points, with_ring ? 0 : 10);
                assert_int_equal(f->lost_points, with_ring ? 0 : 10);
                assert_int_equal(fixture_append(f, 11, 30), 0);
                assert_int_equal(store_stats(f->store).segments, with_ring ? 1 : 2);
                fixture_read(f, 0);
                fixture_assert_read(f, 1, 30);
                store_acked(f->store, 30);
                fixture_wait(f);
                fixture_close(f);
        }
}

/* The daemon was killed before the ring knew that a commit is durable. */
static void test_ring_was_not_told(void **state) {
        Fixture *f = *state;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        assert_int_equal(fixture_append(f, 11, 20), 0);
        assert_int_equal(fixture_append(f, 21, 30), 0);
        fixture_close(f);
        fixture_open(f, 0, 0, 10);
        assert_int_equal(f->found.rows, 30);
        assert_int_equal(f->found.known_rows, 10);
        assert_int_equal(f->found.last, 30);
        assert_true(store_stats(f->store).bytes_written > 0); /* to be sure of it */
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 30);
        fixture_close(f);
        fixture_open(f, 0, 0, 30);
        assert_int_equal(store_stats(f->store).bytes_written, 0);
}

/* What is left of commits that failed and could not be cut off: the same rows stand in a later file. */
static void test_repeated_commit(void **state) {
        Fixture *f = *state, other;
        _cleanup_(freep) char *from = NULL, *to = NULL;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        assert_int_equal(fixture_append(f, 11, 20), 0);
        assert_int_equal(fixture_append(f, 21, 30), 0);
        fixture_close(f);
        fixture_init(&other);
        fixture_open(&other, 0, 0, 0);
        assert_int_equal(fixture_append(&other, 11, 25), 0);
        assert_int_equal(fixture_append(&other, 26, 40), 0);
        fixture_close(&other);
        from = fixture_path(&other, 11);
        to = fixture_path(f, 11);
        {
                _cleanup_(freep) char *data = NULL;
                size_t size;

                assert_int_equal(file_read(from, MIB, &data, &size), 0);
                assert_int_equal(file_replace(to, data, size, 0600), 1);
        }
        fixture_done(&other);
        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.rows, 40);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 40);
        assert_int_equal(f->losts, 0);
}

/* ---- what happens to the disk meanwhile */

static void test_folder_goes(void **state) {
        Fixture *f = *state;
        uint64_t read;

        fixture_open(f, FIXTURE_SMALL, 0, 0);
        for (unsigned i = 0; i < 12; i++)
                assert_int_equal(fixture_append_noise(f, 1 + 10 * i, 10 + 10 * i, 0, 0), 0);
        assert_int_equal(store_read(f->store, 0, 1), 0); /* of the first file, 10 rows */
        fixture_wait(f);
        store_acked(f->store, 5);
        fixture_remove_folder(f);
        /* the one that is being read can be read to its end */
        fixture_read(f, 10);
        read = f->rows;
        assert_true(read > 10);
        assert_int_equal(f->lost_points, 2 * (120 - read));
        assert_string_equal(f->lost_why, "missing on the disk");
        fixture_forget(f);

        assert_int_equal(fixture_append_noise(f, 121, 130, 0, 0), 0);
        assert_int_equal(f->lost_points, 2 * (read - 5));
        assert_int_equal(f->states, 2); /* that it happened, and that all is well */
        assert_int_equal(f->state, STORE_OK);
        fixture_read(f, 5);
        fixture_assert_read(f, 121, 130);
        assert_int_equal(store_stats(f->store).points, 20);
}

static void test_file_goes(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *path = fixture_path(f, 1);

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(fixture_append(f, 11, 20), 0);
        assert_int_equal(f->lost_points, 10);
        fixture_read(f, 0);
        fixture_assert_read(f, 11, 20);
        assert_int_equal(f->lost_points, 10);
}

/* Cut by somebody while it is open: the counts in memory tell what is missing. */
static void test_file_is_cut(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *path = fixture_path(f, 1);
        uint64_t size;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        size = store_stats(f->store).bytes;
        assert_int_equal(fixture_append(f, 11, 20), 0);
        assert_int_equal(truncate(path, (off_t)size), 0);
        assert_int_equal(fixture_append(f, 21, 30), 0);
        assert_int_equal(store_stats(f->store).segments, 2);
        fixture_read(f, 0);
        assert_int_equal(f->rows, 20);
        assert_int_equal(f->lost_points, 10);
        assert_int_equal(store_stats(f->store).points, 20);
        fixture_forget(f);
        fixture_read(f, 0);
        assert_int_equal(f->rows, 20);
        assert_int_equal(f->losts, 0);
        store_acked(f->store, 30);
        fixture_wait(f);
        assert_int_equal(fixture_count(f), 0);
}

/* The last block of a file is bad: what is acknowledged before it is enough for the file to go. */
static void test_bad_tail_goes(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *path = fixture_path(f, 1);
        _cleanup_(closep) int fd = -EBADF;
        uint64_t size;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        size = store_stats(f->store).bytes;
        assert_int_equal(fixture_append(f, 11, 20), 0);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "damage", 6, (off_t)size + SEGMENT_BLOCK_HEADER_SIZE + 4), 6);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 10);
        assert_int_equal(f->lost_points, 10);
        assert_int_equal(f->lost_first, 11);
        assert_int_equal(f->lost_last, 20);
        store_acked(f->store, 10);
        fixture_wait(f);
        assert_int_equal(fixture_count(f), 0);
}

/* A file where the folder should be. */
static void test_cannot_write(void **state) {
        Fixture *f = *state;

        fixture_put(f, "spool", "", 0);
        fixture_open(f, 0, 0, 0);
        fixture_wait(f);
        assert_int_equal(f->found.last, 0);
        assert_int_equal(f->state, STORE_FAILED);
        assert_non_null(strstr(f->text, f->dir));
        assert_true(fixture_append(f, 1, 10) < 0);
        assert_true(fixture_append(f, 1, 10) < 0);
        assert_int_equal(f->states, 1);
        fixture_remove_folder(f);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        assert_int_equal(f->states, 2);
        assert_int_equal(f->state, STORE_OK);
        assert_string_equal(store_stats(f->store).text, "");
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 10);
}

/* What cannot be opened now is there later; who asks at once again is made to wait. */
static void test_reads_later(void **state) {
        Fixture *f = *state;
        struct rlimit before, none;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){ 3, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        assert_int_equal(store_read(f->store, 0, 1000), 0);
        fixture_wait(f);
        assert_false(f->read_ended);
        assert_int_equal(f->state, STORE_FAILED);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(store_read(f->store, 0, 1000), -EAGAIN);
        assert_int_equal(loop_advance(f->loop, 10 * USEC_PER_SEC), 0);
        assert_true(f->read_ended);
        assert_int_equal(f->rows + f->losts, 0);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 10);
        assert_int_equal(f->state, STORE_OK);
        assert_int_equal(f->states, 2);
}

static void limit_files(rlim_t size) {
        const struct rlimit limit = { size, RLIM_INFINITY };

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A write that fails in the middle leaves nothing, and the file is not written again. */
static void test_write_fails(void **state) {
        Fixture *f = *state;
        _cleanup_(freep) char *path = fixture_path(f, 1);
        struct stat before, after;

        signal(SIGXFSZ, SIG_IGN);
        fixture_open(f, 0, 0, 0);
        assert_int_equal(fixture_append(f, 1, 10), 0);
        assert_int_equal(stat(path, &before), 0);
        limit_files((rlim_t)before.st_size + 100);
        assert_int_equal(fixture_append_noise(f, 11, 20, 0, 0), -EFBIG);
        assert_int_equal(f->state, STORE_FAILED);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_size, before.st_size);
        assert_int_equal(fixture_append_noise(f, 11, 20, 0, 0), -EFBIG);
        assert_int_equal(fixture_count(f), 1);
        limit_files(RLIM_INFINITY);
        assert_int_equal(fixture_append_noise(f, 11, 20, 0, 0), 0);
        assert_int_equal(f->state, STORE_OK);
        assert_int_equal(store_stats(f->store).segments, 2);
        fixture_read(f, 0);
        fixture_assert_read(f, 1, 20);
        assert_int_equal(f->losts, 0);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_set_aside),
                TEST(test_no_files_at_all),
                TEST(test_newer_version),
                TEST(test_torn_commit),
                TEST(test_ring_was_not_told),
                TEST(test_repeated_commit),
                TEST(test_folder_goes),
                TEST(test_file_goes),
                TEST(test_file_is_cut),
                TEST(test_bad_tail_goes),
                TEST(test_cannot_write),
                TEST(test_reads_later),
                TEST(test_write_fails),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
