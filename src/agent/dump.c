/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/dump.h"
#include "spool/eras.h"
#include "spool/gaps.h"
#include "spool/ring.h"
#include "spool/segment.h"

#define TIME_SIZE 40

/* "2026-01-31T12:00:00.250Z", with ~ before it where it is an estimate. */
static const char *time_text(int64_t ms, bool estimated, char out[static TIME_SIZE]) {
        int64_t rest = ((ms % 1000) + 1000) % 1000;
        time_t seconds = (time_t)((ms - rest) / 1000);
        struct tm tm;
        char text[24];

        if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                snprintf(out, TIME_SIZE, "?");
        else
                snprintf(out, TIME_SIZE, "%s%s.%03dZ", estimated ? "~" : "", text, (int)rest);
        return out;
}

static const char *flags_text(uint32_t flags, char out[static 5]) {
        static const struct {
                uint32_t flag;
                char letter;
        } letters[] = { { ROW_IMMEDIATE, 'i' }, { ROW_STRICT, 's' }, { ROW_GAP, 'g' }, { ROW_ESTIMATED, 'e' } };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(letters); i++)
                if (flags & letters[i].flag)
                        out[n++] = letters[i].letter;
        if (n == 0)
                out[n++] = '-';
        out[n] = '\0';
        return out;
}

/* ---- ring */

/* As the server would get it; what is not JSON (a damaged plugin may have made it) as a string. */
static void print_text(const Row *row, int64_t offset_ms) {
        _cleanup_(freep) char *quoted = NULL;
        char text[GAP_TEXT_MAX];
        Gap gap;

        if ((row->flags & ROW_GAP) && gap_read(row->text, row->text_size, &gap) == 0) {
                printf("%.*s\n", (int)gap_telemetry(text, &gap, offset_ms), text);
                return;
        }
        if (json_validate(row->text, row->text_size) == 0) {
                printf("%.*s\n", (int)row->text_size, row->text);
                return;
        }
        quoted = malloc(6 * row->text_size + 2);
        printf("%.*s\n", quoted ? (int)json_quote(quoted, row->text, row->text_size) : 0, quoted ? quoted : "");
}

static void print_row(const Record *r, const Era *era, const char *indent) {
        int64_t ms = row_ms(r->row.boottime_ns) + era->offset_ms;
        char time[TIME_SIZE], flags[5];

        printf("%s%" PRIu64 " %s %" PRId64 " %.*s %s %" PRIu32 " ", indent, r->seq,
                time_text(ms, era->quality != CLOCK_TRUSTED, time), ms, r->row.device_size ? (int)r->row.device_size : 1,
                r->row.device_size ? r->row.device : "-", flags_text(r->row.flags, flags), row_counted_points(&r->row));
        print_text(&r->row, era->offset_ms);
}

static void print_gaps(const Ring *ring) {
        int64_t offset_ms = eras_now(ring)->offset_ms;

        for (unsigned i = 0; i < GAPS_CELLS; i++) {
                const Gap *g = gaps_at(ring, i);
                char text[GAP_TEXT_MAX];

                if (g->points > 0)
                        printf("untold %.*s\n", (int)gap_telemetry(text, g, offset_ms), text);
        }
}

int dump_ring(const char *path) {
        _cleanup_(ring_freep) Ring *ring = NULL;
        RingOpened opened = { 0 };
        uint64_t rows = 0, points = 0;
        const RingLedger *l;
        Record r;
        int e = ring_open_readonly(&ring, path, &opened);

        if (e < 0) {
                fprintf(stderr, "%s: %s\n", path, opened.text[0] ? opened.text : strerror(-e));
                return EXIT_FAILURE;
        }
        for (uint64_t seq = ring_first(ring); seq < ring_next(ring); seq++)
                if (ring_read(ring, seq, &r) == 0) {
                        rows++;
                        points += row_counted_points(&r.row);
                }
        l = ring_ledger(ring);
        printf("made=%" PRIu64 " acked=%" PRIu64 " dropped=%" PRIu64 " gap=%" PRIu64 " rejected=%" PRIu64 " rows=%" PRIu64
               " points=%" PRIu64 " first=%" PRIu64 " next=%" PRIu64 " size=%zu used=%zu stored_last=%" PRIu64
               " stored_acked=%" PRIu64 " stored_rows=%" PRIu64 " stored_points=%" PRIu64 " lost_rows=%" PRIu64
               " lost_points=%" PRIu64 "\n",
               l->made_points, l->acked_points, l->dropped_points, l->gap_points, l->rejected_points, rows, points,
               ring_first(ring), ring_next(ring), ring_size(ring), ring_used(ring), l->stored_last, l->stored_acked,
               l->stored_rows, l->stored_points, opened.lost_rows, opened.lost_points);
        print_gaps(ring);
        for (uint64_t seq = ring_first(ring); seq < ring_next(ring); seq++)
                if (ring_read(ring, seq, &r) == 0)
                        print_row(&r, eras_resolve(ring, eras_at(ring, r.era)), "");
        if (opened.text[0])
                fprintf(stderr, "%s: %s\n", path, opened.text);
        return opened.lost_rows > 0 || opened.text[0] ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- segments */

typedef struct Sums {
        uint64_t segments, blocks, rows, points, bytes, acked, first, last, damaged, damaged_points, torn;
        uint64_t waiting_rows, waiting_points; /* above acked */
} Sums;

/* What of a block is not acknowledged. */
static void count_waiting(Sums *s, const SegmentBlock *b, const uint8_t *records) {
        Record r;
        ssize_t n;

        for (size_t at = 0; at < b->raw_size; at += (size_t)n) {
                n = record_read(records + at, b->raw_size - at, &r);
                if (n < 0)
                        return;
                if (r.seq <= s->acked)
                        continue;
                s->waiting_rows++;
                s->waiting_points += row_counted_points(&r.row);
        }
}

/* "ok", "damaged" ..., and adds it to the sums. */
static const char *judge_block(Sums *s, int fd, const SegmentBlock *b, uint8_t **ret_records) {
        if (b->state == BLOCK_TORN)
                s->torn++;
        if (b->state == BLOCK_UNREADABLE)
                s->damaged++;
        if (b->state != BLOCK_WHOLE)
                return b->state == BLOCK_TORN ? "torn" : "unreadable";
        if (b->rows > 0 && segment_load(fd, b, ret_records) < 0) {
                s->damaged++;
                s->damaged_points += b->points;
                return "damaged";
        }
        s->blocks++;
        s->rows += b->rows;
        s->points += b->points;
        if (b->rows > 0) {
                s->first = s->first > 0 ? MIN(s->first, b->first) : b->first;
                s->last = MAX(s->last, b->last);
                count_waiting(s, b, *ret_records);
        }
        return "ok";
}

static void print_block(const SegmentBlock *b, const char *state, const uint8_t *records) {
        bool estimated = b->era.quality != CLOCK_TRUSTED;
        char from[TIME_SIZE], to[TIME_SIZE];

        printf("  at=%" PRIu64 " bytes=%" PRIu64, b->at, b->end - b->at);
        if (b->state != BLOCK_UNREADABLE) {
                printf(" first=%" PRIu64 " last=%" PRIu64 " rows=%" PRIu32 " points=%" PRIu32, b->first, b->last, b->rows,
                        b->points);
                printf(" raw=%" PRIu32 " frame=%" PRIu32, b->raw_size, b->frame_size);
                printf(" boot=%02x%02x%02x%02x offset_ms=%" PRId64, b->era.boot_id[0], b->era.boot_id[1], b->era.boot_id[2],
                        b->era.boot_id[3], b->era.offset_ms);
                printf(" from=%s to=%s", time_text(row_ms(b->from_ns) + b->era.offset_ms, estimated, from),
                        time_text(row_ms(b->to_ns) + b->era.offset_ms, estimated, to));
        }
        printf(" %s\n", state);
        for (size_t at = 0; records && at < b->raw_size;) {
                Record r;
                ssize_t size = record_read(records + at, b->raw_size - at, &r);

                if (size < 0)
                        break;
                print_row(&r, &b->era, "    ");
                at += (size_t)size;
        }
}

/* 0; < 0: it cannot be read at all, told. */
static int print_segment(bool print, Sums *s, const char *folder, uint64_t name) {
        _cleanup_(closep) int fd = segment_open(folder, name, O_RDONLY);
        SegmentReader reader;
        SegmentHead head = { 0 };
        SegmentBlock block;
        struct stat st;
        int r = fd;

        if (r == -ENOENT)
                return 0; /* it went meanwhile */
        if (r >= 0)
                r = fstat(fd, &st) < 0 ? -errno : segment_read_head(fd, &head);
        if (r < 0 && r != -ENODATA) {
                if (print)
                        fprintf(stderr, "%s/%016" PRIx64 ".seg: %s\n", folder, name,
                        r == -EPROTONOSUPPORT ? "another version of tbagent wrote it" : strerror(-r));
                return r;
        }
        s->segments++;
        s->bytes += (uint64_t)st.st_size;
        s->damaged += head.damaged;
        if (print)
                printf("%016" PRIx64 ".seg bytes=%lld acked=%" PRIu64 "%s\n", name, (long long)st.st_size, head.acked,
                head.damaged ? " damaged" : r == -ENODATA ? " torn" : "");
        segment_reader_init(&reader, fd, 0, (uint64_t)st.st_size);
        while ((r = segment_next(&reader, &block)) > 0) {
                _cleanup_(freep) uint8_t *records = NULL;
                const char *state = judge_block(s, fd, &block, &records);

                if (print)
                        print_block(&block, state, records);
        }
        if (r < 0 && print)
                fprintf(stderr, "%s/%016" PRIx64 ".seg: %s\n", folder, name, strerror(-r));
        return r;
}

/* The highest position of all: a file keeps its own only while it is the oldest. */
static uint64_t find_acked(const char *folder, const uint64_t *names, size_t n) {
        uint64_t acked = 0;

        for (size_t i = 0; i < n; i++) {
                _cleanup_(closep) int fd = segment_open(folder, names[i], O_RDONLY);
                SegmentHead head;

                if (fd >= 0 && segment_read_head(fd, &head) == 0)
                        acked = MAX(acked, head.acked);
        }
        return acked;
}

/* Twice: the sums stand first. */
static int print_segments(const char *folder, const uint64_t *names, size_t n) {
        Sums s = { .acked = find_acked(folder, names, n) }, again = { .acked = s.acked };
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                int e = print_segment(false, &s, folder, names[i]);
                r = r < 0 ? r : e;
        }
        printf("segments=%" PRIu64 " blocks=%" PRIu64 " rows=%" PRIu64 " points=%" PRIu64 " first=%" PRIu64 " last=%" PRIu64
               " acked=%" PRIu64 " waiting_rows=%" PRIu64 " waiting_points=%" PRIu64 " bytes=%" PRIu64 " damaged=%" PRIu64
               " damaged_points=%" PRIu64 " torn=%" PRIu64 "\n",
               s.segments, s.blocks, s.rows, s.points, s.first, s.last, s.acked, s.waiting_rows, s.waiting_points, s.bytes,
               s.damaged, s.damaged_points, s.torn);
        for (size_t i = 0; i < n; i++)
                (void)print_segment(true, &again, folder, names[i]);
        /* a block that is torn is being written, or was when the power went: its rows were not counted as stored */
        return r < 0 || s.damaged > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int dump_segments(const char *folder) {
        _cleanup_(freep) char *below = NULL;
        _cleanup_(freep) uint64_t *names = NULL;
        size_t n = 0;
        int r;

        if (asprintf(&below, "%s/spool", folder) < 0)
                below = NULL;
        if (below && access(below, F_OK) == 0)
                folder = below;
        r = segment_list(folder, &names, &n);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", folder, strerror(-r));
                return EXIT_FAILURE;
        }
        return print_segments(folder, names, n);
}
