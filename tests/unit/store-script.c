/* SPDX-License-Identifier: Apache-2.0 */
/* What tests/unit/store_syscalls.py runs, with one system call failing: a fixed order of things done to a store.
 *   store-script run DIR      says what was promised: which rows are durable, lost, acknowledged
 *   store-script read DIR ACKED LAST   says which rows are there
 * It prints by writev() alone, which is never made to fail, and calls getppid() at the start and at the end of
 * what counts. Without a thread and a loop: they make no system call about files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "spool/store-inside.h"
#include "store-fixture.h"

#define ROWS 10u
#define TRIES 4 /* a caller that keeps its rows tries again, and one fault at a time is not there for ever */
#define STORE_MAX (40 * KIB)

static Disk *disk;
static uint64_t next_row = 1, acked, last_stored, ledger; /* what the ring would keep */

_printf_(1, 2) static void say(const char *format, ...) {
        char line[256];
        struct iovec iov = { .iov_base = line };
        va_list ap;

        va_start(ap, format);
        iov.iov_len = (size_t)vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        (void)!writev(STDOUT_FILENO, &iov, 1);
}

static void take_news(void) {
        for (size_t i = 0; i < disk->news.n; i++) {
                const News *n = &disk->news.items[i];
                Record r;

                if (n->what == NEWS_LOST) {
                        say("lost %llu %llu %llu\n", (unsigned long long)n->lost.first, (unsigned long long)n->lost.last,
                            (unsigned long long)n->lost.points);
                        ledger -= MIN(ledger, n->lost.points);
                } else if (n->what == NEWS_STATE)
                        say("state %s %s\n", store_state_name(n->state.state), n->state.text);
                for (size_t at = 0; n->what == NEWS_BLOCK && at < n->block.size; at += record_size(&r.row)) {
                        if (record_read(n->block.records + at, n->block.size - at, &r) < 0)
                                abort();
                        if (r.seq > acked)
                                say("read %llu\n", (unsigned long long)r.seq);
                }
        }
        news_done(&disk->news);
}

/* What the ring counts as stored and the folder does not tell of is missing. */
static void open_store(const char *dir) {
        StoreFound found;

        if (disk_new(&disk, dir, STORE_MAX, acked, last_stored) < 0)
                abort();
        disk_open(disk, &found);
        if (ledger > found.known_points + found.damaged_points)
                say("missing %llu\n", (unsigned long long)(ledger - found.known_points - found.damaged_points));
        ledger = found.points + found.damaged_points;
        take_news();
}

static void commit(unsigned n, ClockQuality quality) {
        const Era era = { .boot_id = { 9 }, .offset_ms = 7, .quality = quality };
        StoreBlock blocks[4];
        int r = -EAGAIN;

        for (unsigned i = 0; i < n; i++) {
                blocks[i] = block_with(next_row, next_row + ROWS - 1, 1, 200, &era);
                next_row += ROWS;
        }
        for (unsigned try = 0; try < TRIES && r < 0; try++) {
                r = disk_commit(disk, blocks, n, 0, 0);
                take_news();
        }
        say("%s %llu %llu %d\n", r < 0 ? "kept" : "durable", (unsigned long long)blocks[0].first, (unsigned long long)blocks[n - 1].last, r);
        for (unsigned i = 0; i < n; i++)
                block_done(&blocks[i]);
        if (r == 0) {
                last_stored = blocks[n - 1].last;
                ledger += n * ROWS;
        }
}

static void read_all(void) {
        size_t before;
        uint64_t after = acked;

        say("reading\n");
        do {
                disk_read(disk, after, 3000);
                before = disk->news.n;
                for (size_t i = 0; i < disk->news.n; i++)
                        if (disk->news.items[i].what == NEWS_BLOCK)
                                after = disk->news.items[i].block.last;
                take_news();
        } while (before > 0);
}

/* Rows that are lost count no more, so the ring takes them off where they go; here they are all taken off together. */
static void acknowledge(uint64_t seq, bool position) {
        if (seq > acked) {
                acked = seq;
                say("acked %llu\n", (unsigned long long)seq);
        }
        disk_acked(disk, seq, position);
        take_news();
        ledger = 0; /* what is left, by the shelves */
        for (size_t i = 0; i < disk->n; i++)
                (void)!disk_recount(disk, i);
        take_news();
        for (size_t i = 0; i < disk->n; i++)
                ledger += disk->shelves[i].points;
}

/* What a power cut leaves of a commit. */
static void tear(const char *dir) {
        char folder[256];
        struct iovec iov = { .iov_base = (char[100]){ 0 }, .iov_len = 100 };
        _cleanup_(closep) int fd = -EBADF;

        snprintf(folder, sizeof(folder), "%s/spool", dir);
        fd = segment_open(folder, store_highest_name(dir), O_WRONLY | O_APPEND);
        if (fd >= 0)
                (void)!writev(fd, &iov, 1);
}

static void run(const char *dir) {
        const Era trusted = { .boot_id = { 9 }, .offset_ms = 5000, .quality = CLOCK_TRUSTED };

        open_store(dir);
        commit(1, CLOCK_ESTIMATED);
        commit(1, CLOCK_ESTIMATED);
        disk_set_era(disk, &trusted);
        take_news();
        for (unsigned i = 0; i < 3; i++)
                commit(1, CLOCK_TRUSTED);
        commit(4, CLOCK_TRUSTED);
        read_all();
        acknowledge(25, true);
        disk_replace_file(disk, "state/one", "abc", 3, 0600);
        disk_append_line(disk, "rejected.jsonl", "{}", 4);
        disk_append_line(disk, "rejected.jsonl", "{}", 4);
        for (unsigned i = 0; i < 8; i++)
                commit(2, CLOCK_TRUSTED); /* the oldest go */
        disk = disk_free(disk);
        tear(dir);
        open_store(dir);
        read_all();
        commit(1, CLOCK_TRUSTED);
        acknowledge(last_stored - 15, true);
        commit(1, CLOCK_TRUSTED);
        say("ledger %llu %llu\n", (unsigned long long)acked, (unsigned long long)last_stored);
}

int main(int argc, char *argv[]) {
        if (argc == 3 && streq(argv[1], "run")) {
                (void)getppid();
                run(argv[2]);
                (void)getppid();
        } else if (argc == 5 && streq(argv[1], "read")) {
                acked = strtoull(argv[3], NULL, 10);
                last_stored = strtoull(argv[4], NULL, 10);
                open_store(argv[2]);
                read_all();
                if (disk_stats(disk).state != STORE_OK)
                        return 1;
        } else
                return 2;
        disk_free(disk);
        return 0;
}
