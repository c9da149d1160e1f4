/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/file.h"
#include "store-fixture.h"

#define WAIT 20 /* s */

const Era fixture_era = { .boot_id = { 1, 2, 3 }, .offset_ms = 1000000, .quality = CLOCK_TRUSTED };

static void on_opened(void *userdata, const StoreFound *found) {
        Fixture *f = userdata;

        f->opened = true;
        f->found = *found;
}

static void on_committed(void *userdata, _unused_ uint64_t first, _unused_ uint64_t last, int error) {
        Fixture *f = userdata;

        f->committed++;
        f->error = error;
}

static void on_block(void *userdata, StoreBlock *block) {
        Fixture *f = userdata;
        Record r;

        if (!block) {
                f->read_ended = true;
                return;
        }
        f->blocks++;
        f->era = block->era;
        for (size_t at = 0; at < block->size; at += record_size(&r.row)) {
                assert_true(record_read(block->records + at, block->size - at, &r) > 0);
                f->out_of_order = f->out_of_order || r.seq <= f->last;
                f->last = r.seq;
                f->rows++;
                f->points += r.row.points;
                if (r.seq < FIXTURE_ROWS_MAX)
                        f->seen[r.seq]++;
        }
}

static void on_lost(void *userdata, uint64_t first, uint64_t last, uint64_t rows, uint64_t points, int64_t from_ms, int64_t to_ms,
                    const char *why) {
        Fixture *f = userdata;

        assert_true(first <= last && points > 0);
        f->losts++;
        f->lost_rows += rows;
        f->lost_points += points;
        f->lost_first = first;
        f->lost_last = last;
        f->lost_from_ms = from_ms;
        f->lost_to_ms = to_ms;
        f->lost_why = why;
}

static void on_state(void *userdata, StoreState state, const char *text) {
        Fixture *f = userdata;

        f->states++;
        f->state = state;
        snprintf(f->text, sizeof(f->text), "%s", text);
}

void fixture_init(Fixture *f) {
        const char *tmp = getenv("TMPDIR");

        *f = (Fixture){ 0 };
        snprintf(f->dir, sizeof(f->dir), "%.40s/store.XXXXXX", tmp ?: "/tmp");
        assert_non_null(mkdtemp(f->dir));
        assert_int_equal(loop_new_simulated(&f->loop, USEC_PER_SEC), 0);
}

void fixture_done(Fixture *f) {
        char command[128];

        fixture_close(f);
        loop_free(f->loop);
        snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
        assert_int_equal(system(command), 0);
}

static void turn(Fixture *f, time_t since) {
        assert_true(loop_iterate(f->loop, USEC_PER_SEC) >= 0);
        assert_true(time(NULL) - since < WAIT);
}

static void wait_until(Fixture *f, const bool *done) {
        time_t since = time(NULL);

        while (!*done)
                turn(f, since);
}

void fixture_wait(Fixture *f) {
        time_t since = time(NULL);

        while (!store_is_idle(f->store))
                turn(f, since);
}

void fixture_open(Fixture *f, uint64_t max_bytes, uint64_t known_acked, uint64_t known_last) {
        const StoreParams p = {
                .loop = f->loop,
                .dir = f->dir,
                .max_bytes = max_bytes ?: 64 * MIB,
                .known_acked = known_acked,
                .known_last = known_last,
                .events = { on_opened, on_committed, on_block, on_lost, on_state },
                .userdata = f,
        };

        fixture_forget(f);
        f->opened = false;
        assert_int_equal(store_new(&f->store, &p), 0);
        wait_until(f, &f->opened);
}

void fixture_close(Fixture *f) {
        if (f->store)
                assert_int_equal(store_stop(f->store, WAIT * USEC_PER_SEC), 0);
        f->store = store_free(f->store);
}

void fixture_forget(Fixture *f) {
        Fixture fresh = { .loop = f->loop, .store = f->store, .opened = f->opened, .found = f->found, .state = f->state };

        memcpy(fresh.dir, f->dir, sizeof(fresh.dir));
        *f = fresh;
}

char *fixture_path(const Fixture *f, uint64_t segment) {
        char name[SEGMENT_NAME_SIZE], *path;

        segment_name(name, segment);
        assert_true(asprintf(&path, "%s/spool/%s", f->dir, name) > 0);
        return path;
}

StoreBlock block_with(uint64_t first, uint64_t last, uint32_t points, unsigned noise, const Era *era) {
        size_t rows = last - first + 1;
        uint8_t *records = malloc(rows * (RECORD_HEADER_SIZE + 48 + noise));
        StoreBlock b = { .first = first, .last = last, .rows = (uint32_t)rows, .points = (uint32_t)(rows * points), .era = *era };
        static unsigned random = 1;

        assert_non_null(records);
        assert_true(noise <= 900);
        for (uint64_t seq = first; seq <= last; seq++) {
                char text[1024];
                int size = snprintf(text, sizeof(text), "{\"temperature\":%u.%02u", 20 + (unsigned)(seq % 7), (unsigned)(seq * 37 % 100));
                Row row = { .boottime_ns = (int64_t)seq * NSEC_PER_MSEC, .points = points, .device = "", .text = text };

                for (unsigned i = 0; i < noise; i++) {
                        random = random * 1103515245 + 12345;
                        text[size++] = (char)(33 + (random >> 16) % 90);
                }
                text[size++] = '}';
                row.text_size = (size_t)size;
                b.size += record_write(records + b.size, seq, 0, &row);
        }
        b.records = records;
        return b;
}

StoreBlock block_of(uint64_t first, uint64_t last, uint32_t points) {
        return block_with(first, last, points, 0, &fixture_era);
}

void block_done(StoreBlock *b) {
        free((void *)(uintptr_t)b->records);
        b->records = NULL;
}

int fixture_append(Fixture *f, uint64_t first, uint64_t last) {
        StoreBlock b = block_of(first, last, 1);
        unsigned before = f->committed;

        assert_int_equal(store_append(f->store, &b, 1, 0, 0), 0);
        block_done(&b);
        fixture_wait(f);
        assert_int_equal(f->committed, before + 1);
        return f->error;
}

void fixture_read(Fixture *f, uint64_t after) {
        unsigned before;

        f->last = 0;
        do {
                before = f->blocks;
                f->read_ended = false;
                assert_int_equal(store_read(f->store, MAX(after, f->last), 64 * KIB), 0);
                wait_until(f, &f->read_ended);
        } while (f->blocks != before);
}

int fixture_setup(void **state) {
        *state = calloc(1, sizeof(Fixture));
        fixture_init(*state);
        return 0;
}

int fixture_teardown(void **state) {
        fixture_done(*state);
        free(*state);
        return 0;
}

/* ---- the folder */

char *fixture_file(const Fixture *f, const char *name) {
        char *path;

        assert_true(asprintf(&path, "%s/%s", f->dir, name) > 0);
        return path;
}

void fixture_put(const Fixture *f, const char *name, const void *data, size_t size) {
        _cleanup_(freep) char *path = fixture_file(f, name);
        _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(file_write_all(fd, data, size), 0);
}

bool fixture_has(const Fixture *f, const char *name) {
        _cleanup_(freep) char *path = fixture_file(f, name);

        return access(path, F_OK) == 0;
}

unsigned fixture_count(const Fixture *f) {
        _cleanup_(freep) char *path = fixture_file(f, "spool");
        DIR *dir = opendir(path);
        unsigned n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n - 2;
}

void fixture_remove_folder(const Fixture *f) {
        char command[96];

        snprintf(command, sizeof(command), "rm -rf '%s/spool'", f->dir);
        assert_int_equal(system(command), 0);
}

/* Each row once, none else. */
void fixture_assert_read(const Fixture *f, uint64_t first, uint64_t last) {
        assert_int_equal(f->rows, last - first + 1);
        assert_false(f->out_of_order);
        for (uint64_t seq = first; seq <= last; seq++)
                assert_int_equal(f->seen[seq], 1);
}

int fixture_append_noise(Fixture *f, uint64_t first, uint64_t last, uint64_t spare_first, uint64_t spare_last) {
        StoreBlock b = block_with(first, last, 2, 200, &fixture_era);

        assert_int_equal(store_append(f->store, &b, 1, spare_first, spare_last), 0);
        block_done(&b);
        fixture_wait(f);
        return f->error;
}

void fixture_fifo(const Fixture *f, const char *name) {
        _cleanup_(freep) char *path = fixture_file(f, name);

        assert_int_equal(mkfifo(path, 0600), 0);
}
