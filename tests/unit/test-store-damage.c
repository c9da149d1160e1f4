/* SPDX-License-Identifier: Apache-2.0 */
/* Every byte of a small store flipped and every length cut, one at a time. Whatever it is, the store opens, what
 * it answers to is at most one block short, and what is short was told: by lost(), or by found, which is less than
 * the ring knows to be there. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "spool/store-inside.h"
#include "store-fixture.h"

#define SEGMENTS 2u
#define BLOCKS 3u /* of each */
#define ROWS 4u   /* of each */
#define TOTAL (SEGMENTS * BLOCKS * ROWS)

typedef struct Pristine {
        char dir[64];
        uint64_t name;
        char *path, *data;
        size_t size;
        uint64_t ends[BLOCKS]; /* of its blocks */
} Pristine;

static Pristine files[SEGMENTS];
static char folder[64];

typedef struct Outcome {
        uint64_t read;    /* rows above the position */
        uint64_t told;    /* points that were told as lost */
        uint64_t missing; /* points that were not found, of what the ring knows */
} Outcome;

static void append(Disk *d, uint64_t first) {
        StoreBlock b = block_of(first, first + ROWS - 1, 1);

        assert_int_equal(disk_commit(d, &b, 1, 0, 0), 0);
        block_done(&b);
}

static int setup(_unused_ void **state) {
        const char *tmp = getenv("TMPDIR");
        uint64_t first = 1;

        snprintf(folder, sizeof(folder), "%.40s/damage.XXXXXX", tmp ?: access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert_non_null(mkdtemp(folder));
        for (unsigned i = 0; i < SEGMENTS; i++) {
                _cleanup_(disk_freep) Disk *d = NULL;
                StoreFound found;
                Pristine *p = &files[i];
                char name[SEGMENT_NAME_SIZE];

                assert_int_equal(disk_new(&d, folder, MIB, 0, 0), 0);
                disk_open(d, &found);
                if (i > 0)
                        d->shelves[d->n - 1].closed = true;
                p->name = first;
                for (unsigned b = 0; b < BLOCKS; b++, first += ROWS) {
                        append(d, first);
                        p->ends[b] = d->shelves[d->n - 1].size;
                }
                segment_name(name, p->name);
                assert_true(asprintf(&p->path, "%s/spool/%s", folder, name) > 0);
        }
        for (unsigned i = 0; i < SEGMENTS; i++)
                assert_int_equal(file_read(files[i].path, MIB, &files[i].data, &files[i].size), 0);
        return 0;
}

static int teardown(_unused_ void **state) {
        char command[96];

        for (unsigned i = 0; i < SEGMENTS; i++) {
                free(files[i].path);
                free(files[i].data);
        }
        snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        return system(command);
}

static void put(const char *path, const char *data, size_t size) {
        _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(file_write_all(fd, data, size), 0);
}

/* As it was, but for file i. */
static void restore(unsigned i, const char *data, size_t size) {
        for (unsigned f = 0; f < SEGMENTS; f++) {
                char *bad;

                assert_true(asprintf(&bad, "%s.bad", files[f].path) > 0);
                (void)unlink(bad);
                free(bad);
                put(files[f].path, f == i ? data : files[f].data, f == i ? size : files[f].size);
        }
}

static void count_news(Disk *d, uint64_t acked, bool seen[TOTAL + 1], Outcome *o) {
        Record r;

        for (size_t i = 0; i < d->news.n; i++) {
                const News *n = &d->news.items[i];

                if (n->what == NEWS_LOST)
                        o->told += n->lost.points;
                for (size_t at = 0; n->what == NEWS_BLOCK && at < n->block.size; at += record_size(&r.row)) {
                        assert_true(record_read(n->block.records + at, n->block.size - at, &r) > 0);
                        assert_true(r.seq >= 1 && r.seq <= TOTAL);
                        if (r.seq > acked) {
                                assert_false(seen[r.seq]);
                                seen[r.seq] = true;
                                o->read++;
                        }
                }
        }
        news_done(&d->news);
}

/* Opens and reads everything, twice. ring: what it says the store holds, 0: there is none. */
static Outcome look(uint64_t acked, uint64_t ring) {
        _cleanup_(disk_freep) Disk *d = NULL;
        bool seen[TOTAL + 1] = { false };
        StoreFound found;
        Outcome o = { 0 };

        assert_int_equal(disk_new(&d, folder, MIB, ring ? acked : 0, ring ? TOTAL : 0), 0);
        disk_open(d, &found);
        assert_int_equal(disk_stats(d).state, STORE_OK);
        if (ring) {
                uint64_t there = found.known_points + found.damaged_points;

                assert_true(there <= ring);
                o.missing = ring - there;
        }
        disk_read(d, acked, SIZE_MAX);
        count_news(d, acked, seen, &o);
        disk_read(d, acked, SIZE_MAX);
        for (size_t i = 0; i < d->news.n; i++)
                assert_int_equal(d->news.items[i].what, NEWS_BLOCK);
        return o;
}

/* What was told once is not told again, in this life or the next. */
static Outcome look_twice(uint64_t acked, bool ring) {
        Outcome o = look(acked, ring ? TOTAL - acked : 0), again;

        again = look(acked, ring ? o.read : 0);
        if (again.read != o.read || again.told + again.missing != 0)
                fail_msg("then: read %u, told %u, missing %u; later: read %u, told %u, missing %u", (unsigned)o.read, (unsigned)o.told,
                         (unsigned)o.missing, (unsigned)again.read, (unsigned)again.told, (unsigned)again.missing);
        return o;
}

/* acked: 0, or within a block. */
static void flip_every_byte(uint64_t acked, bool ring) {
        for (unsigned i = 0; i < SEGMENTS; i++)
                for (size_t at = 0; at < files[i].size; at++) {
                        _cleanup_(freep) char *data = malloc(files[i].size);
                        Outcome o;

                        memcpy(data, files[i].data, files[i].size);
                        data[at] = (char)(data[at] ^ (at % 2 ? 0xff : 0x10));
                        restore(i, data, files[i].size);
                        o = look_twice(acked, ring);
                        if (o.read + o.told + o.missing != TOTAL - acked || o.read + ROWS < TOTAL - acked)
                                fail_msg("byte %zu of file %u flipped: %u rows, read %u, told %u, missing %u", at, i,
                                         (unsigned)(TOTAL - acked), (unsigned)o.read, (unsigned)o.told, (unsigned)o.missing);
                }
}

static void test_flip(_unused_ void **state) {
        flip_every_byte(0, true);
}

static void test_flip_without_ring(_unused_ void **state) {
        flip_every_byte(0, false);
}

static void test_flip_half_acked(_unused_ void **state) {
        flip_every_byte(ROWS + ROWS / 2, true);
}

/* What a cut to `size` leaves whole, and of what it leaves a header. */
static unsigned blocks_in(const Pristine *p, uint64_t size, bool header_counts) {
        unsigned n = 0;

        while (n < BLOCKS) {
                uint64_t start = n == 0 ? SEGMENT_HEAD_SIZE : p->ends[n - 1];

                /* the header behind is not needed */
                if (size < (header_counts ? start + SEGMENT_BLOCK_HEADER_SIZE : p->ends[n]))
                        break;
                n++;
        }
        return n;
}

static void cut_every_length(bool ring) {
        for (unsigned i = 0; i < SEGMENTS; i++)
                for (size_t size = 0; size < files[i].size; size++) {
                        unsigned whole = blocks_in(&files[i], size, false), headers = blocks_in(&files[i], size, true);
                        Outcome o;

                        restore(i, files[i].data, size);
                        o = look_twice(0, ring);
                        if (o.read != TOTAL - (BLOCKS - whole) * ROWS)
                                fail_msg("file %u cut to %zu: read %u", i, size, (unsigned)o.read);
                        if (ring ? o.read + o.told + o.missing != TOTAL : o.told != (headers - whole) * ROWS)
                                fail_msg("file %u cut to %zu: read %u, told %u, missing %u", i, size, (unsigned)o.read,
                                         (unsigned)o.told, (unsigned)o.missing);
                }
}

static void test_cut(_unused_ void **state) {
        cut_every_length(true);
}

static void test_cut_without_ring(_unused_ void **state) {
        cut_every_length(false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_flip),
                cmocka_unit_test(test_flip_without_ring),
                cmocka_unit_test(test_flip_half_acked),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_cut_without_ring),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, setup, teardown);
}
