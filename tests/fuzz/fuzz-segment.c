/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses: F a segment file as it is; B blocks whose checksums are made to hold, so that what is
 * behind them is reached; S a store of two such files, opened and read; P packed records; R records. What can be
 * loaded is whole and in order, what a store finds is read or told as lost, and no block is read twice. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/file.h"
#include "spool/pack.h"
#include "spool/store-inside.h"

typedef struct Input {
        const uint8_t *data;
        size_t size;
} Input;

static uint64_t take(Input *in, size_t bytes) {
        uint64_t n = 0;

        for (; bytes > 0 && in->size > 0; bytes--, in->size--)
                n = n << 8 | *in->data++;
        return n;
}

/* ---- F, B */

static void check_records(const SegmentBlock *b, const uint8_t *records) {
        uint64_t last = 0, rows = 0;
        size_t at = 0;
        Record r;

        while (at < b->raw_size) {
                ssize_t n = record_read(records + at, b->raw_size - at, &r);

                assert(n > 0 && (rows == 0 ? r.seq == b->first : r.seq > last));
                last = r.seq;
                at += (size_t)n;
                rows++;
        }
        assert(rows == b->rows && (rows == 0 || last == b->last));
}

static void read_file(int fd, uint64_t size) {
        uint64_t at = SEGMENT_HEAD_SIZE;
        SegmentReader reader;
        SegmentHead head;
        SegmentBlock b;

        (void)!segment_read_head(fd, &head);
        segment_reader_init(&reader, fd, 0, size);
        while (segment_next(&reader, &b) > 0) {
                _cleanup_(freep) uint8_t *records = NULL;

                assert(b.at == at && b.end > at && b.end <= size);
                at = b.end;
                if (segment_load(fd, &b, &records) == 0)
                        check_records(&b, records);
        }
        assert(size <= SEGMENT_HEAD_SIZE || at == size);
}

static void fuzz_bytes(const uint8_t *data, size_t size) {
        _cleanup_(closep) int fd = memfd_create("segment", MFD_CLOEXEC);

        assert(fd >= 0 && segment_write(fd, 0, data, size) == 0);
        read_file(fd, size);
}

/* A block of what the input says: 10 bytes of numbers, then the frame, as it is or compressed here. */
static size_t put_block(int fd, uint64_t at, uint64_t *first, Input *in) {
        unsigned how = (unsigned)take(in, 1);
        SegmentBlock b = { .first = *first + take(in, 1) - 4, .rows = (uint32_t)take(in, 1), .raw_size = (uint32_t)take(in, 2) };
        uint8_t header[SEGMENT_BLOCK_HEADER_SIZE];
        size_t size = MIN((size_t)take(in, 2), in->size);
        _cleanup_(freep) uint8_t *frame = calloc(1, ZSTD_COMPRESSBOUND(size) + 8);
        size_t padded;

        b.last = b.first + take(in, 1);
        b.points = (uint32_t)take(in, 1);
        b.era.boot_id[0] = (uint8_t)take(in, 1);
        b.era.quality = how >> 6 & 1;
        b.packed_size = (uint32_t)(how & 2 ? take(in, 3) : size);
        size = MIN(size, in->size);
        if (how & 1) {
                memcpy(frame, in->data, size);
                b.frame_size = (uint32_t)size;
        } else if (b.rows > 0)
                b.frame_size = (uint32_t)ZSTD_compress(frame, ZSTD_COMPRESSBOUND(size), in->data, size, 1);
        in->data += size;
        in->size -= size;
        b.frame_check = XXH3_64bits(frame, b.frame_size);
        padded = (b.frame_size + 7) / 8 * 8;
        *first = b.last + 1;
        segment_write_header(header, &b, false);
        header[16] ^= (uint8_t)(how & 4); /* the front one is bad */
        assert(segment_write(fd, at, header, sizeof(header)) == 0);
        assert(segment_write(fd, at + sizeof(header), frame, padded) == 0);
        segment_write_header(header, &b, true);
        header[16] ^= (uint8_t)(how & 8);
        assert(segment_write(fd, at + sizeof(header) + padded, header, sizeof(header)) == 0);
        return padded + 2 * sizeof(header);
}

/* Of which the last is cut by as much as the input says. */
static uint64_t put_blocks(int fd, uint64_t *first, Input *in) {
        unsigned n = (unsigned)take(in, 1) % 8, cut = (unsigned)take(in, 1);
        uint64_t at = SEGMENT_HEAD_SIZE;

        assert(segment_write_head(fd, *first, take(in, 1)) == 0);
        while (n-- > 0)
                at += put_block(fd, at, first, in);
        at -= MIN((uint64_t)cut, at);
        assert(ftruncate(fd, (off_t)at) == 0);
        return at;
}

static void fuzz_blocks(Input *in) {
        _cleanup_(closep) int fd = memfd_create("segment", MFD_CLOEXEC);
        uint64_t first = 100;

        assert(fd >= 0);
        read_file(fd, put_blocks(fd, &first, in));
}

/* ---- S */

static void count_news(Disk *d, uint64_t *rows, uint64_t *points, uint64_t *last) {
        for (size_t i = 0; i < d->news.n; i++) {
                const News *n = &d->news.items[i];

                if (n->what == NEWS_LOST) {
                        assert(n->lost.first <= n->lost.last);
                        *rows += n->lost.rows;
                        *points += n->lost.points;
                } else if (n->what == NEWS_BLOCK) {
                        assert(n->block.first > *last && n->block.first <= n->block.last);
                        *last = n->block.last;
                        *rows += n->block.rows;
                        *points += n->block.points;
                }
        }
        news_done(&d->news);
}

static const char *scratch_folder(void) {
        static char folder[64];

        if (folder[0] == 0) {
                snprintf(folder, sizeof(folder), "%s/fuzz-segment.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
                assert(mkdtemp(folder));
        }
        return folder;
}

static void remove_all(const char *folder) {
        char spool[96], path[160];
        uint64_t *names = NULL;
        size_t n = 0;

        snprintf(spool, sizeof(spool), "%s/spool", folder);
        if (segment_list(spool, &names, &n) < 0)
                n = 0;
        for (size_t i = 0; i < n; i++) {
                snprintf(path, sizeof(path), "%s/%016llx.seg", spool, (unsigned long long)names[i]);
                unlink(path);
        }
        free(names);
        rmdir(spool);
        rmdir(folder);
}

static void fuzz_store(Input *in) {
        const char *folder = scratch_folder();
        char spool[96];
        uint64_t first = 100, rows = 0, points = 0, last = 0;
        uint64_t known_last = take(in, 1);
        StoreFound found;
        Disk *d;

        snprintf(spool, sizeof(spool), "%s/spool", folder);
        assert(file_mkdir(folder, 0700) == 0 && file_mkdir(spool, 0700) == 0);
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(closep) int fd = segment_open(spool, first, O_RDWR | O_CREAT | O_TRUNC);

                assert(fd >= 0);
                (void)put_blocks(fd, &first, in);
                first += take(in, 1);
                first -= MIN(first - 101, take(in, 1)); /* the next begins within this one */
        }
        assert(disk_new(&d, folder, MIB, known_last ? 1 : 0, known_last ? known_last + 99 : 0) == 0);
        disk_open(d, &found);
        disk_read(d, d->acked, SIZE_MAX);
        count_news(d, &rows, &points, &last);
        if (d->acked < 100) /* else a block may be acknowledged in part */
                assert(rows == found.rows + found.damaged_rows && points == found.points + found.damaged_points);
        disk_acked(d, first + 1000, true);
        assert(d->n == 0);
        disk_free(d);
        remove_all(folder);
}

/* ---- P, R */

static void fuzz_packed(Input *in) {
        uint32_t rows = (uint32_t)take(in, 2);
        size_t size = (size_t)take(in, 2) * 8;
        _cleanup_(freep) uint8_t *records = malloc(size + 1), *again = malloc(size + 1);
        Packed p, q;

        if (pack_read(in->data, in->size, rows, records, size, &p) < 0)
                return;
        assert(p.size == size && pack_write(records, size, rows, again, &q) == 0);
        assert(q.size == in->size && memcmp(again, in->data, q.size) == 0);
        assert(p.first == q.first && p.last == q.last && p.from_ns == q.from_ns && p.to_ns == q.to_ns);
}

static void fuzz_records(Input *in) {
        _cleanup_(freep) uint8_t *records = calloc(64, RECORD_SIZE_MAX), *packed = NULL, *again = NULL;
        uint64_t seq = take(in, 2), last = 0;
        uint32_t rows = 0;
        size_t size = 0;
        Packed p, q;

        while (in->size > 4 && rows < 64) {
                Row row = { .boottime_ns = (int64_t)take(in, 8), .points = (uint32_t)take(in, 1) % 65, .flags = (uint32_t)take(in, 1) % 16 };

                seq += 1 + take(in, 1);
                row.device_size = MIN((size_t)take(in, 1), in->size);
                row.device = (const char *)in->data;
                row.text_size = 2 + take(in, 1) * 8;
                if (row.text_size > in->size)
                        break;
                row.text = (const char *)in->data;
                size += record_write(records + size, seq, rows++ % 3, &row);
                last = seq;
        }
        packed = malloc(size + 1);
        again = malloc(size + 1);
        if (pack_write(records, size, rows, packed, &p) < 0) {
                assert(rows == 0);
                return;
        }
        assert(p.size <= size && pack_read(packed, p.size, rows, again, size, &q) == 0);
        assert(memcmp(records, again, size) == 0 && q.last == last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Input in = { data, size };

        switch (take(&in, 1)) {
        case 'B':
                fuzz_blocks(&in);
                break;
        case 'S':
                fuzz_store(&in);
                break;
        case 'P':
                fuzz_packed(&in);
                break;
        case 'R':
                fuzz_records(&in);
                break;
        default:
                fuzz_bytes(in.data, in.size);
        }
        return 0;
}
