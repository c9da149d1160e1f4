/* SPDX-License-Identifier: Apache-2.0 */
/* Everything in a file is little endian and starts at a multiple of 8.
 *
 *   head    magic 8, version 4, size 4, first 8, check 8 (of what is before), zeros 8,
 *           acked 8, check 8 (of acked and first), zeros 8
 *   block   header | frame, zeros up to 8 | header
 *
 * Nothing in a file is trusted before its xxHash holds, and then its sizes are still held to bounds before
 * anything is allocated: a frame is decompressed into a buffer of at most SEGMENT_RAW_MAX in one call, so
 * one that would grow beyond it is an error.
 *
 * Reading goes from header to header. Where there is none, the bytes behind are searched for the next one
 * that is sound: a header from behind a frame tells where its block began, and when that is here nothing is
 * lost; any other ends the stretch that cannot be read. A row's text could hold the bytes of a header
 * (nothing in them is secret), but it is looked at only after damage, and then costs what damage costs.
 *
 * Contexts of zstd are made for one block and freed: a megabyte that an idle daemon need not hold. */
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

#include "spool/pack.h"
#include "spool/segment.h"

#define HEAD_MAGIC "tbagent\n"
#define POSITION_AT 40u
#define FRONT_MAGIC 0x3142546bu /* "kTB1" */
#define BEHIND_MAGIC 0x3242546bu
#define LEVEL 1 /* of zstd; 3 makes packed rows no smaller */
#define WINDOW_LOG_MIN 10
#define WINDOW_LOG_MAX 19
#define ALIGN 8u

typedef struct HeadBytes {
        char magic[8];
        uint32_t version, size;
        uint64_t first, check;
        uint64_t zero;
        uint64_t acked, acked_check;
        uint64_t zero_too;
} HeadBytes;

typedef struct HeaderBytes {
        uint32_t magic;
        uint16_t version, size;
        uint64_t first, last;
        uint32_t rows, points, raw_size, packed_size, frame_size, quality;
        uint8_t boot_id[BOOT_ID_SIZE];
        uint64_t offset_ms, from_ns, to_ns;
        uint64_t frame_check, check;
} HeaderBytes;

_Static_assert(sizeof(HeadBytes) == SEGMENT_HEAD_SIZE && offsetof(HeadBytes, acked) == POSITION_AT, "as it stands in the file");
_Static_assert(sizeof(HeaderBytes) == SEGMENT_BLOCK_HEADER_SIZE, "as it stands in the file");
_Static_assert(SEGMENT_BLOCK_HEADER_SIZE % ALIGN == 0, "the frame is aligned");
_Static_assert(SEGMENT_RAW_MAX <= 1u << WINDOW_LOG_MAX, "one window sees the whole block");

/* ---- names */

void segment_name(char out[static SEGMENT_NAME_SIZE], uint64_t first) {
        snprintf(out, SEGMENT_NAME_SIZE, "%016llx.seg", (unsigned long long)first);
}

bool segment_name_parse(const char *name, uint64_t *ret_first) {
        char again[SEGMENT_NAME_SIZE];
        uint64_t first = strtoull(name, NULL, 16);

        segment_name(again, first);
        if (!streq(again, name) || first == 0 || first > INT64_MAX)
                return false;
        *ret_first = first;
        return true;
}

static int compare_numbers(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static DIR *dir_close(DIR *dir) {
        if (dir)
                closedir(dir);
        return NULL;
}
DEFINE_CLEANUP(DIR *, dir_close)

int segment_list(const char *folder, uint64_t **ret, size_t *ret_n) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);
        _cleanup_(freep) uint64_t *names = NULL;
        size_t n = 0, room = 0;

        if (!dir)
                return -errno;
        for (;;) {
                const struct dirent *e;
                uint64_t first;

                errno = 0;
                e = readdir(dir);
                if (!e && errno != 0)
                        return -errno;
                if (!e)
                        break;
                if (!segment_name_parse(e->d_name, &first))
                        continue;
                if (n == room) {
                        uint64_t *larger = reallocarray(names, room = 2 * room + 16, sizeof(*names));

                        if (!larger)
                                return -ENOMEM;
                        names = larger;
                }
                names[n++] = first;
        }
        if (n > 0)
                qsort(names, n, sizeof(*names), compare_numbers);
        *ret = TAKE_PTR(names);
        *ret_n = n;
        return 0;
}

int segment_open(const char *folder, uint64_t first, int flags) {
        char name[SEGMENT_NAME_SIZE], *path = NULL;
        int fd;

        segment_name(name, first);
        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;
        fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        fd = fd < 0 ? -errno : fd;
        free(path);
        return fd;
}

/* ---- bytes */

/* *ret_size: what there is of it before the file's end. */
static int read_at(int fd, uint64_t at, void *data, size_t size, size_t *ret_size) {
        size_t got = 0;

        while (got < size) {
                ssize_t n = pread(fd, (uint8_t *)data + got, size - got, (off_t)(at + got));

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                got += n > 0 ? (size_t)n : 0;
        }
        *ret_size = got;
        return 0;
}

int segment_read(int fd, uint64_t at, void *data, size_t size) {
        size_t got;
        int r = read_at(fd, at, data, size, &got);

        return r == 0 && got < size ? -ENODATA : r;
}

int segment_write(int fd, uint64_t at, const void *data, size_t size) {
        while (size > 0) {
                ssize_t n = pwrite(fd, data, size, (off_t)at);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        data = (const uint8_t *)data + n;
                        size -= (size_t)n;
                        at += (uint64_t)n;
                }
        }
        return 0;
}

static uint64_t align(uint64_t n) {
        return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- head */

static uint64_t head_check(const HeadBytes *h) {
        return htole64(XXH3_64bits(h, offsetof(HeadBytes, check)));
}

static void fill_position(HeadBytes *h, uint64_t first, uint64_t acked) {
        h->acked = htole64(acked);
        h->acked_check = htole64(XXH3_64bits_withSeed(&h->acked, sizeof(h->acked), first));
}

int segment_read_head(int fd, SegmentHead *ret) {
        SegmentHead head = { 0 };
        HeadBytes h, position;
        int r = segment_read(fd, 0, &h, sizeof(h));

        if (r < 0)
                return r;
        head.damaged = memcmp(h.magic, HEAD_MAGIC, sizeof(h.magic)) != 0 || h.check != head_check(&h);
        if (!head.damaged && (le32toh(h.version) != SEGMENT_VERSION || le32toh(h.size) != SEGMENT_HEAD_SIZE))
                return -EPROTONOSUPPORT;
        head.first = le64toh(h.first);
        fill_position(&position, head.first, le64toh(h.acked));
        if (!head.damaged && position.acked_check == h.acked_check)
                head.acked = le64toh(h.acked);
        *ret = head;
        return 0;
}

int segment_write_head(int fd, uint64_t first, uint64_t acked) {
        HeadBytes h = {
                .version = htole32(SEGMENT_VERSION),
                .size = htole32(SEGMENT_HEAD_SIZE),
                .first = htole64(first),
        };

        memcpy(h.magic, HEAD_MAGIC, sizeof(h.magic));
        h.check = head_check(&h);
        fill_position(&h, first, acked);
        return segment_write(fd, 0, &h, sizeof(h));
}

int segment_write_position(int fd, uint64_t first, uint64_t acked) {
        HeadBytes h = { 0 };

        fill_position(&h, first, acked);
        return segment_write(fd, POSITION_AT, &h.acked, sizeof(h.acked) + sizeof(h.acked_check));
}

/* ---- block headers */

void segment_write_header(uint8_t out[static SEGMENT_BLOCK_HEADER_SIZE], const SegmentBlock *b, bool behind) {
        HeaderBytes h = {
                .magic = htole32(behind ? BEHIND_MAGIC : FRONT_MAGIC),
                .version = htole16(SEGMENT_VERSION),
                .size = htole16(SEGMENT_BLOCK_HEADER_SIZE),
                .first = htole64(b->first),
                .last = htole64(b->last),
                .rows = htole32(b->rows),
                .points = htole32(b->points),
                .raw_size = htole32(b->raw_size),
                .packed_size = htole32(b->packed_size),
                .frame_size = htole32(b->frame_size),
                .quality = htole32(b->era.quality),
                .offset_ms = htole64((uint64_t)b->era.offset_ms),
                .from_ns = htole64((uint64_t)b->from_ns),
                .to_ns = htole64((uint64_t)b->to_ns),
                .frame_check = htole64(b->frame_check),
        };

        memcpy(h.boot_id, b->era.boot_id, sizeof(h.boot_id));
        h.check = htole64(XXH3_64bits(&h, offsetof(HeaderBytes, check)));
        memcpy(out, &h, sizeof(h));
}

static bool sizes_hold(const SegmentBlock *b) {
        if (b->rows == 0)
                return b->raw_size == 0 && b->packed_size == 0 && b->frame_size == 0 && b->points == 0;
        return b->raw_size <= SEGMENT_RAW_MAX && b->packed_size <= b->raw_size && b->rows <= b->raw_size / RECORD_HEADER_SIZE &&
               b->frame_size > 0 && b->frame_size <= ZSTD_COMPRESSBOUND(b->packed_size) && b->first <= b->last &&
               b->last - b->first >= b->rows - 1 && b->points <= b->rows * (uint64_t)ROW_KEYS_MAX;
}

/* at and end are set as for a block whose front header stands at `at`. */
static bool read_header(const uint8_t *data, uint64_t at, SegmentBlock *ret, bool *ret_behind) {
        HeaderBytes h;
        uint32_t magic;

        memcpy(&h, data, sizeof(h));
        magic = le32toh(h.magic);
        if ((magic != FRONT_MAGIC && magic != BEHIND_MAGIC) || le16toh(h.version) != SEGMENT_VERSION ||
            le16toh(h.size) != SEGMENT_BLOCK_HEADER_SIZE || le64toh(h.check) != XXH3_64bits(&h, offsetof(HeaderBytes, check)))
                return false;
        *ret = (SegmentBlock){
                .first = le64toh(h.first),
                .last = le64toh(h.last),
                .rows = le32toh(h.rows),
                .points = le32toh(h.points),
                .raw_size = le32toh(h.raw_size),
                .packed_size = le32toh(h.packed_size),
                .frame_size = le32toh(h.frame_size),
                .era = { .offset_ms = (int64_t)le64toh(h.offset_ms), .quality = le32toh(h.quality) },
                .from_ns = (int64_t)le64toh(h.from_ns),
                .to_ns = (int64_t)le64toh(h.to_ns),
                .frame_check = le64toh(h.frame_check),
        };
        memcpy(ret->era.boot_id, h.boot_id, sizeof(h.boot_id));
        ret->at = at;
        ret->end = at + 2 * SEGMENT_BLOCK_HEADER_SIZE + align(ret->frame_size);
        *ret_behind = magic == BEHIND_MAGIC;
        return sizes_hold(ret);
}

/* ---- building a block */

static ZSTD_CCtx *cctx_free(ZSTD_CCtx *c) {
        ZSTD_freeCCtx(c);
        return NULL;
}
DEFINE_CLEANUP(ZSTD_CCtx *, cctx_free)

static int compress_frame(const uint8_t *data, size_t size, uint8_t *out, size_t room, size_t *ret_size) {
        _cleanup_(cctx_freep) ZSTD_CCtx *c = ZSTD_createCCtx();
        int window = WINDOW_LOG_MIN;
        size_t n;

        if (!c)
                return -ENOMEM;
        while (window < WINDOW_LOG_MAX && (size_t)1 << window < size)
                window++;
        if (ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, LEVEL)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window)))
                return -EINVAL;
        n = ZSTD_compress2(c, out, room, data, size);
        if (ZSTD_isError(n))
                return -ENOMEM;
        *ret_size = n;
        return 0;
}

static int build_frame(SegmentBlock *b, const uint8_t *records, uint8_t *out, size_t room) {
        _cleanup_(freep) uint8_t *packed = malloc(b->raw_size);
        Packed p;
        size_t size = 0;
        int r;

        if (!packed)
                return -ENOMEM;
        r = pack_write(records, b->raw_size, b->rows, packed, &p);
        if (r == 0)
                r = compress_frame(packed, p.size, out, room, &size);
        if (r < 0)
                return r;
        b->first = p.first;
        b->last = p.last;
        b->from_ns = p.from_ns;
        b->to_ns = p.to_ns;
        b->packed_size = (uint32_t)p.size;
        b->frame_size = (uint32_t)size;
        b->frame_check = XXH3_64bits(out, size);
        return 0;
}

int segment_build(SegmentBlock *b, const uint8_t *records, uint8_t **ret) {
        size_t room = ZSTD_COMPRESSBOUND((size_t)b->raw_size);
        _cleanup_(freep) uint8_t *out = NULL;
        SegmentBlock built = *b;
        int r;

        if (b->raw_size > SEGMENT_RAW_MAX)
                return -E2BIG;
        out = calloc(1, 2 * SEGMENT_BLOCK_HEADER_SIZE + align(room));
        if (!out)
                return -ENOMEM;
        built.packed_size = built.frame_size = 0;
        built.frame_check = 0;
        if (b->rows > 0) {
                r = build_frame(&built, records, out + SEGMENT_BLOCK_HEADER_SIZE, room);
                if (r < 0)
                        return r;
        }
        if (!sizes_hold(&built))
                return -EBADMSG;
        built.state = BLOCK_WHOLE;
        built.at = 0;
        built.end = 2 * SEGMENT_BLOCK_HEADER_SIZE + align(built.frame_size);
        memset(out + SEGMENT_BLOCK_HEADER_SIZE + built.frame_size, 0, align(built.frame_size) - built.frame_size);
        segment_write_header(out, &built, false);
        segment_write_header(out + built.end - SEGMENT_BLOCK_HEADER_SIZE, &built, true);
        *b = built;
        *ret = TAKE_PTR(out);
        return 0;
}

int segment_void(int fd, const SegmentBlock *b) {
        static const uint8_t zeros[ALIGN];
        int r = segment_write(fd, b->at, zeros, sizeof(zeros));

        if (r == 0 && b->state == BLOCK_WHOLE)
                r = segment_write(fd, b->end - SEGMENT_BLOCK_HEADER_SIZE, zeros, sizeof(zeros));
        return r;
}

/* ---- reading */

void segment_reader_init(SegmentReader *r, int fd, uint64_t from, uint64_t end) {
        r->fd = fd;
        r->at = MAX(from, (uint64_t)SEGMENT_HEAD_SIZE);
        r->end = end;
        r->buffer_at = 0;
        r->buffer_size = 0;
}

/* What stands at `at`, as far as a header is long: 1; 0: the end comes before. */
static int look_at(SegmentReader *r, uint64_t at, const uint8_t **ret) {
        if (at > r->end || r->end - at < SEGMENT_BLOCK_HEADER_SIZE)
                return 0;
        if (at < r->buffer_at || at + SEGMENT_BLOCK_HEADER_SIZE > r->buffer_at + r->buffer_size) {
                int e = read_at(r->fd, at, r->buffer, MIN(sizeof(r->buffer), r->end - at), &r->buffer_size);

                if (e < 0) {
                        r->buffer_size = 0;
                        return e;
                }
                r->buffer_at = at;
                if (r->buffer_size < SEGMENT_BLOCK_HEADER_SIZE) {
                        r->end = at + r->buffer_size; /* it became shorter */
                        return 0;
                }
        }
        *ret = r->buffer + (at - r->buffer_at);
        return 1;
}

static void take_stretch(SegmentReader *r, uint64_t end, SegmentBlock *ret) {
        *ret = (SegmentBlock){ .state = BLOCK_UNREADABLE, .at = r->at, .end = end };
        r->at = end;
}

static void take_block(SegmentReader *r, const SegmentBlock *b, SegmentBlock *ret) {
        *ret = *b;
        ret->state = b->end <= r->end ? BLOCK_WHOLE : BLOCK_TORN;
        ret->end = MIN(b->end, r->end);
        r->at = ret->end;
}

/* No sound front header stands here. */
static int search_on(SegmentReader *r, SegmentBlock *ret) {
        for (uint64_t at = r->at;; at += ALIGN) {
                const uint8_t *data;
                SegmentBlock b;
                bool behind;
                int e = look_at(r, at, &data);

                if (e < 0)
                        return e;
                if (e == 0)
                        break;
                if (!read_header(data, at, &b, &behind))
                        continue;
                if (behind) { /* its block began so much before */
                        uint64_t length = b.end - b.at;

                        if (at + SEGMENT_BLOCK_HEADER_SIZE < r->at + length)
                                continue;
                        b.end = at + SEGMENT_BLOCK_HEADER_SIZE;
                        b.at = b.end - length;
                }
                if (b.at == r->at)
                        take_block(r, &b, ret);
                else
                        take_stretch(r, b.at, ret);
                return 1;
        }
        take_stretch(r, r->end, ret);
        return 1;
}

int segment_next(SegmentReader *r, SegmentBlock *ret) {
        const uint8_t *data;
        SegmentBlock b;
        bool behind;
        int e;

        if (r->at >= r->end)
                return 0;
        e = look_at(r, r->at, &data);
        if (e < 0)
                return e;
        if (e == 0 && r->at >= r->end)
                return 0;
        if (e == 0 || !read_header(data, r->at, &b, &behind) || behind)
                return search_on(r, ret);
        take_block(r, &b, ret);
        return 1;
}

static int load_frame(int fd, const SegmentBlock *b, uint8_t *packed) {
        _cleanup_(freep) uint8_t *frame = malloc(b->frame_size);
        int r;

        if (!frame)
                return -ENOMEM;
        r = segment_read(fd, b->at + SEGMENT_BLOCK_HEADER_SIZE, frame, b->frame_size);
        if (r < 0)
                return r == -ENODATA ? -EBADMSG : r;
        if (XXH3_64bits(frame, b->frame_size) != b->frame_check)
                return -EBADMSG;
        return ZSTD_decompress(packed, b->packed_size, frame, b->frame_size) == b->packed_size ? 0 : -EBADMSG;
}

int segment_load(int fd, const SegmentBlock *b, uint8_t **ret) {
        _cleanup_(freep) uint8_t *packed = NULL, *records = NULL;
        Packed p;
        int r;

        if (b->state != BLOCK_WHOLE || !sizes_hold(b))
                return -EBADMSG;
        packed = malloc((size_t)b->packed_size + 1);
        records = malloc((size_t)b->raw_size + 1);
        if (!packed || !records)
                return -ENOMEM;
        if (b->rows > 0) {
                r = load_frame(fd, b, packed);
                if (r == 0)
                        r = pack_read(packed, b->packed_size, b->rows, records, b->raw_size, &p);
                if (r < 0)
                        return r;
                if (p.first != b->first || p.last != b->last)
                        return -EBADMSG;
        }
        *ret = TAKE_PTR(records);
        return 0;
}
