/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records stand one behind the other in a ring of bytes, each unbroken; where one does not fit before the end
 * the ring goes on at 0 and `wrap` keeps where the upper part ended.
 *
 *      tail ........ head                      rows lie in one part
 *      0 ... head        tail ........ wrap    or in two
 *
 * Numbers have no holes, so a table of offsets, slot[seq % slots], finds the record of a number at once. It
 * is in memory alone and made again at the start, from the records: each one tells its number and has a
 * checksum. An empty ring starts again at offset 0, so a daemon whose server answers touches only the first
 * pages of a large one.
 *
 * What a call changes is put together in a copy of the state and takes effect at its end (spool/ring-file):
 * rows, ledger and cell together. A row that is done with before it can be released is marked in its record: that is
 * one store.
 *
 * Damage. A state that cannot be trusted: the file is set aside. A record: the next whole one is searched from
 * there, and the numbers between become holes, which are in the ring but cannot be read. The state knows how
 * many rows and points there should be, so what is lost is counted exactly. The file goes on saying so until the
 * owner's first change, with which it can tell what was lost: a crash in between and it is told again.
 * Numbers are believed only as far as the damaged bytes could have held so many rows, so that nobody makes
 * the table of offsets large with a few bytes.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "spool/ring-file.h"
#include "spool/ring.h"

#define SLOTS_MIN 256u
#define HOLE UINT32_MAX
#define DONE 0x80000000u /* of a slot: its record is marked so; offsets stay below */
#define RECORD_SIZE_MIN ((RECORD_HEADER_SIZE + 2 + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN)

_Static_assert(RING_SIZE_MAX / RECORD_ALIGN <= DONE && (HOLE & DONE) != 0, "an offset leaves the bit free");

typedef struct Slot {
        uint32_t at; /* in RECORD_ALIGN, maybe with DONE; or HOLE */
        uint32_t note;
} Slot;

struct Ring {
        RingFile file;
        RingState state; /* in effect, but for what was found lost at the start */
        Slot *slots;
        uint64_t n_slots; /* power of two */
        bool gather, gathered; /* rows are to take effect together; some wait for it */
};

Ring *ring_free(Ring *r) {
        if (!r)
                return NULL;
        ring_file_close(&r->file);
        free(r->slots);
        free(r);
        return NULL;
}

/* ---- index */

static Slot *slot_of(const Ring *r, uint64_t seq) {
        return &r->slots[seq & (r->n_slots - 1)];
}

static bool is_hole(const Ring *r, uint64_t seq) {
        return slot_of(r, seq)->at == HOLE;
}

static size_t offset_of(const Ring *r, uint64_t seq) {
        return (size_t)(slot_of(r, seq)->at & ~DONE) * RECORD_ALIGN;
}

static uint8_t *record_at(const Ring *r, size_t offset) {
        return r->file.map->records + offset;
}

static int slots_grow(Ring *r) {
        uint64_t n = r->n_slots * 2;
        Slot *slots;

        slots = n <= SIZE_MAX / sizeof(*slots) ? malloc((size_t)n * sizeof(*slots)) : NULL;
        if (!slots)
                return -ENOMEM;
        for (uint64_t seq = r->state.first; seq < r->state.next; seq++)
                slots[seq & (n - 1)] = *slot_of(r, seq);
        free(r->slots);
        r->slots = slots;
        r->n_slots = n;
        return 0;
}

/* Room for the slot of the next number. */
static int slots_reserve(Ring *r) {
        return r->state.next - r->state.first == r->n_slots ? slots_grow(r) : 0;
}

static int slot_push(Ring *r, uint32_t at) {
        int e = slots_reserve(r);

        if (e == 0)
                *slot_of(r, r->state.next++) = (Slot){ .at = at };
        return e;
}

/* ---- start */

/* Bytes without a whole record are those of missing numbers, at least one. At the front more may be missing: rows that
 * another size had no room for. */
static bool gap_is_right(const Ring *r, uint64_t seq, uint64_t skipped) {
        uint64_t missing = seq - r->state.next;

        return (missing > 0 || skipped == 0) && (r->state.rows == 0 || missing <= skipped / RECORD_SIZE_MIN);
}

/* The whole record at `from`, where its number can be right. */
static ssize_t walk_read(const Ring *r, const RingState *was, size_t from, size_t end, uint64_t skipped, Record *ret) {
        ssize_t size = record_read(record_at(r, from), end - from, ret);

        if (size < 0)
                return size;
        if (ret->seq < r->state.next || ret->seq >= was->next)
                return -EBADMSG;
        return gap_is_right(r, ret->seq, skipped) ? size : -EBADMSG;
}

/* Takes the records of one part up. skipped: bytes since the last whole record. */
static int walk(Ring *r, const RingState *was, size_t from, size_t end, uint64_t *skipped) {
        while (from < end) {
                Record record;
                ssize_t size = walk_read(r, was, from, end, *skipped, &record);
                int e = 0;

                if (size < 0) {
                        from += RECORD_ALIGN;
                        *skipped += RECORD_ALIGN;
                        continue;
                }
                if (r->state.rows == 0) {
                        r->state.first = r->state.next = record.seq;
                        r->state.tail = from;
                }
                while (e == 0 && r->state.next < record.seq)
                        e = slot_push(r, HOLE);
                if (e == 0)
                        e = slot_push(r, (uint32_t)(from / RECORD_ALIGN) | (record.done ? DONE : 0));
                if (e < 0)
                        return e;
                r->state.rows++;
                r->state.points += record_points(record_at(r, from));
                *skipped = 0;
                from += (size_t)size;
        }
        return 0;
}

static void set_empty(RingState *s) {
        s->first = s->next;
        s->head = s->tail = s->wrap = 0;
}

/* Makes the index, and a state of what is there from the one in the file. -EBADMSG: they contradict each other. */
static int ring_recover(Ring *r, const RingState *was, RingWhy *ret_why) {
        uint64_t skipped = 0;
        int e;

        r->state = *was;
        r->state.next = was->first;
        r->state.rows = r->state.points = 0;
        e = walk(r, was, was->tail, was->wrap > 0 ? was->wrap : was->head, &skipped);
        if (r->state.rows == 0)
                r->state.wrap = 0;
        if (e == 0 && was->wrap > 0)
                e = walk(r, was, 0, was->head, &skipped);
        if (e == 0 && r->state.rows == 0) {
                r->state.next = was->next;
                set_empty(&r->state);
        }
        if (e == 0 && r->state.rows > 0 && !gap_is_right(r, was->next, skipped)) {
                snprintf(ret_why->text, sizeof(ret_why->text), "its state and its rows contradict each other");
                return -EBADMSG;
        }
        while (e == 0 && r->state.next < was->next)
                e = slot_push(r, HOLE);
        return e;
}

static int ring_alloc(Ring **ret) {
        _cleanup_(ring_freep) Ring *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->file.fd = -EBADF;
        r->n_slots = SLOTS_MIN;
        r->slots = malloc((size_t)r->n_slots * sizeof(*r->slots));
        if (!r->slots)
                return -ENOMEM;
        *ret = TAKE_PTR(r);
        return 0;
}

static _printf_(2, 3) void tell(RingOpened *opened, const char *format, ...) {
        size_t n = strlen(opened->text);
        va_list args;

        if (n > 0 && n + 2 < sizeof(opened->text))
                n += (size_t)snprintf(opened->text + n, sizeof(opened->text) - n, "; ");
        va_start(args, format);
        vsnprintf(opened->text + n, sizeof(opened->text) - n, format, args);
        va_end(args);
}

/* Bytes from the row on. */
static size_t used_from(const Ring *r, uint64_t seq) {
        const RingState *s = &r->state;
        size_t at = offset_of(r, seq);

        return (size_t)(s->wrap > 0 && at >= s->tail ? s->wrap - at + s->head : s->head - at);
}

/* A ring of another size, not yet published, with the newest rows of r that fit, as they stand in it. Its state still
 * counts what r's file counted, so what did not come along is lost. */
static int copy_resized(const Ring *r, const RingState *was, const char *path, size_t size, RingFile *ret, RingState *ret_state) {
        uint64_t seq = r->state.first;
        RingState s = *was;
        uint8_t *to;
        int e;

        e = ring_file_new(ret, path, size);
        if (e < 0)
                return e;
        to = ret->map->records;
        while (seq < r->state.next && (is_hole(r, seq) || used_from(r, seq) > size))
                seq++;
        memcpy(ret->map->cells, r->file.map->cells, sizeof(ret->map->cells));
        if (seq == r->state.next)
                set_empty(&s);
        else {
                size_t at = offset_of(r, seq), n = used_from(r, seq);
                size_t upper = r->state.wrap > 0 && at >= r->state.tail ? (size_t)r->state.wrap - at : n;

                memcpy(to, record_at(r, at), upper);
                memcpy(to + upper, record_at(r, 0), n - upper);
                s.first = r->state.first;
                s.tail = s.wrap = 0;
                s.head = n;
        }
        ring_file_commit(ret, &s);
        *ret_state = s;
        return 0;
}

/* Without room for both the ring stays as it is. */
static int ring_resize(Ring *r, const RingParams *params, RingState *was, size_t size, RingOpened *opened, RingWhy *ret_why) {
        RingFile file;
        RingState state;
        int e;

        e = copy_resized(r, was, params->path, size, &file, &state);
        if (e == 0) {
                e = ring_file_publish(params->path, true);
                if (e < 0)
                        ring_file_close(&file);
        }
        if (e < 0) {
                tell(opened, "the ring stays at %zu bytes, there is no room for %zu: %s", r->file.size, size, strerror(-e));
                return 0;
        }
        ring_file_close(&r->file);
        r->file = file;
        *was = state;
        return ring_recover(r, was, ret_why);
}

static void tell_lost(const Ring *r, const RingState *was, unsigned cells, RingOpened *opened) {
        opened->lost_rows = was->rows > r->state.rows ? was->rows - r->state.rows : 0;
        opened->lost_points = was->points > r->state.points ? was->points - r->state.points : 0;
        if (opened->lost_rows > 0)
                tell(opened, "%" PRIu64 " rows of the ring with %" PRIu64 " values could not be kept", opened->lost_rows,
                     opened->lost_points);
        if (cells > 0)
                tell(opened, "%u damaged entries of the ring's header were wiped", cells);
}

static int open_kept(Ring *r, const RingParams *params, size_t size, RingOpened *opened, RingWhy *ret_why) {
        RingState was;
        unsigned cells;
        int e;

        e = ring_file_open(&r->file, params->path, &was, ret_why);
        if (e < 0)
                return e;
        e = ring_recover(r, &was, ret_why);
        if (e < 0)
                return e;
        cells = ring_file_check_cells(&r->file, &was);
        if (r->file.size != size)
                e = ring_resize(r, params, &was, size, opened, ret_why);
        if (e == 0)
                tell_lost(r, &was, cells, opened);
        return e;
}

static int open_new(Ring *r, const RingParams *params, size_t size) {
        int e;

        e = ring_file_new(&r->file, params->path, size);
        if (e < 0)
                return e;
        r->state = (RingState){ .first = params->first_seq, .next = params->first_seq };
        ring_file_commit(&r->file, &r->state);
        return params->path ? ring_file_publish(params->path, false) : 0;
}

int ring_open(Ring **ret, const RingParams *params, RingOpened *ret_opened) {
        size_t size = params->size / RECORD_ALIGN * RECORD_ALIGN;
        _cleanup_(ring_freep) Ring *r = NULL;
        RingOpened opened = { .how = RING_KEPT };
        RingWhy why = { 0 };
        int e;

        if (size < RING_SIZE_MIN || size > RING_SIZE_MAX || params->first_seq > RING_SEQ_MAX)
                return -EINVAL;
        e = ring_alloc(&r);
        if (e < 0)
                return e;
        e = params->path ? open_kept(r, params, size, &opened, &why) : -ENOENT;
        if (e == -EBADMSG) {
                e = ring_file_set_aside(params->path);
                if (e < 0)
                        return e;
                ring_file_close(&r->file);
                opened = (RingOpened){ .how = RING_SET_ASIDE };
                tell(&opened, "the ring cannot be trusted, %s: set aside as %s.bad if there is room", why.text, params->path);
                e = open_new(r, params, size);
        } else if (e == -ENOENT) {
                opened.how = RING_NEW;
                e = open_new(r, params, size);
        }
        if (e < 0)
                return e;
        *ret = TAKE_PTR(r);
        *ret_opened = opened;
        return 0;
}

int ring_open_readonly(Ring **ret, const char *path, RingOpened *ret_opened) {
        _cleanup_(ring_freep) Ring *r = NULL;
        RingOpened opened = { .how = RING_KEPT };
        RingWhy why = { 0 };
        RingState was;
        unsigned cells;
        int e, changed;

        e = ring_alloc(&r);
        if (e < 0)
                return e;
        e = changed = ring_file_copy(&r->file, path, &was, &why);
        if (e >= 0)
                e = ring_recover(r, &was, &why);
        if (e < 0) {
                snprintf(ret_opened->text, sizeof(ret_opened->text), "%s", why.text);
                return e;
        }
        cells = ring_file_check_cells(&r->file, &was);
        if (changed == 1) {
                cells = 0;
                was.rows = r->state.rows;
                was.points = r->state.points;
        }
        tell_lost(r, &was, cells, &opened);
        *ret = TAKE_PTR(r);
        *ret_opened = opened;
        return 0;
}

/* ---- use */

/* Where `size` bytes fit unbroken now; SIZE_MAX: nowhere. */
static size_t room_for(const Ring *r, size_t size) {
        const RingState *s = &r->state;

        if (s->wrap > 0)
                return s->tail - s->head >= size ? (size_t)s->head : SIZE_MAX;
        if (r->file.size - s->head >= size)
                return (size_t)s->head;
        return s->tail >= size ? 0 : SIZE_MAX;
}

/* What was put together in r->state takes effect; a row waits for others where they are gathered. */
static void ring_commit(Ring *r, bool row, const RingLedger *ledger, const RingChange *change) {
        if (ledger)
                r->state.ledger = *ledger;
        if (change) {
                assert(change->cell < RING_CELLS && change->size <= RING_CELL_SIZE);
                ring_file_set_cell(&r->file, &r->state, change->cell, change->data, change->size);
        }
        r->gathered = r->gather && row && !change; /* a cell has no third copy */
        if (!r->gathered)
                ring_file_commit(&r->file, &r->state);
}

int ring_append(Ring *r, const Row *row, uint32_t era, const RingLedger *ledger, const RingChange *change, uint64_t *ret_seq) {
        RingState *s = &r->state;
        size_t size = record_size(row), at = room_for(r, size);
        int e;

        if (at == SIZE_MAX)
                return size > r->file.size ? -E2BIG : -ENOSPC;
        e = slots_reserve(r);
        if (e < 0)
                return e;
        record_write(record_at(r, at), s->next, era, row);
        if (at < s->head)
                s->wrap = s->head;
        s->head = at + size;
        s->rows++;
        s->points += record_points(record_at(r, at));
        *slot_of(r, s->next) = (Slot){ .at = (uint32_t)(at / RECORD_ALIGN) };
        *ret_seq = s->next++;
        ring_commit(r, true, ledger, change);
        return 0;
}

void ring_gather(Ring *r, bool gather) {
        r->gather = gather;
        if (r->gathered && !gather)
                ring_commit(r, false, NULL, NULL);
}

bool ring_fits(const Ring *r, const Row *row) {
        return room_for(r, record_size(row)) != SIZE_MAX;
}

void ring_release(Ring *r, uint64_t last, const RingLedger *ledger, const RingChange *change) {
        RingState *s = &r->state;
        uint64_t first = s->first;

        for (; s->first < s->next && (s->first <= last || is_hole(r, s->first)); s->first++)
                if (!is_hole(r, s->first)) {
                        s->rows--;
                        s->points -= record_points(record_at(r, offset_of(r, s->first)));
                }
        if (s->first == s->next)
                set_empty(s);
        else if (s->first != first) {
                size_t tail = offset_of(r, s->first);

                if (tail < s->tail)
                        s->wrap = 0;
                s->tail = tail;
        }
        if (s->first != first || ledger || change)
                ring_commit(r, false, ledger, change);
}

int ring_read(const Ring *r, uint64_t seq, Record *ret) {
        size_t at;

        if (!ring_has(r, seq))
                return -ENOENT;
        at = offset_of(r, seq);
        return record_read(record_at(r, at), r->file.size - at, ret) < 0 ? -ENOENT : 0;
}

int ring_look(const Ring *r, uint64_t seq, Record *ret) {
        size_t at;

        if (!ring_has(r, seq))
                return -ENOENT;
        at = offset_of(r, seq);
        return record_look(record_at(r, at), r->file.size - at, ret) < 0 ? -ENOENT : 0;
}

bool ring_has(const Ring *r, uint64_t seq) {
        return seq >= r->state.first && seq < r->state.next && !(slot_of(r, seq)->at & DONE); /* a hole has the bit, too */
}

void ring_set_done(Ring *r, uint64_t seq) {
        if (!ring_has(r, seq))
                return;
        record_set_done(record_at(r, offset_of(r, seq)));
        slot_of(r, seq)->at |= DONE;
}

uint32_t *ring_note(Ring *r, uint64_t seq) {
        return seq < r->state.first || seq >= r->state.next ? NULL : &slot_of(r, seq)->note;
}

size_t ring_size(const Ring *r) {
        return r->file.size;
}

uint64_t ring_first(const Ring *r) {
        return r->state.first;
}

uint64_t ring_next(const Ring *r) {
        return r->state.next;
}

size_t ring_used(const Ring *r) {
        return r->state.first == r->state.next ? 0 : used_from(r, r->state.first);
}

const RingLedger *ring_ledger(const Ring *r) {
        return &r->state.ledger;
}

const void *ring_cell(const Ring *r, unsigned cell) {
        assert(cell < RING_CELLS);
        return ring_file_cell(&r->file, &r->state, cell)->data;
}
