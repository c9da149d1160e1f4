/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows stand one behind the other in a ring of bytes, each unbroken; where one does not fit before the end
 * the ring goes on at 0. Numbers are given without holes, so a second ring, of offsets, finds the record of
 * a number at once: slot[seq % slots]. One bit of a slot says that the row is acknowledged.
 *
 *      first ........................ next           numbers; first is never acknowledged
 *      tail: offset of first          head: where the next record goes
 *
 * Acknowledgements come in any order and only set the bit; what is released is the prefix of acknowledged
 * rows. An empty queue starts at offset 0 again, so a daemon whose server answers touches only the first
 * pages of a large ring.
 *
 * When a row does not fit the oldest go. They are counted and stand in a gap record, as does everything
 * that others report dropped. Gap records are a bounded table, merged by instance and reason; when it is
 * full the rest is one record of "several reasons". A record that became a row is remembered beside the
 * row's number until that is acknowledged: evicted with it, it is merged back, so the count stays exact. For
 * the same reason a row that is evicted on its way to the server stands in `limbo` until its fate is known.
 */
#include <stdio.h>

#include "spool/spool.h"

#define GAPS_MAX 64
#define GAP_ROWS_MAX 32
#define LIMBO_MAX 8192 /* more than a window of batches holds */
#define SLOTS_MIN 256u
#define SLOT_ACKED 0x80000000u
#define RECORD_ALIGN 8
#define QUEUE_FULL "queue full"
#define RING_MAX ((size_t)0x7fffffff * RECORD_ALIGN)

typedef struct Record {
        int64_t boottime_ns;
        uint32_t points;
        uint32_t text_size;
        uint32_t flags;
        uint16_t device_size;
        uint8_t gap; /* the row tells of a gap: counted nowhere but in rows and bytes */
} Record;

typedef struct GapRow {
        uint64_t seq; /* 0: unused */
        SpoolGap gap;
} GapRow;

typedef struct LimboRow {
        uint64_t seq;
        int64_t boottime_ns;
        uint32_t points;
} LimboRow;

struct Spool {
        uint8_t *ring;
        size_t ring_size;
        size_t head, tail;
        uint32_t *slots;
        uint64_t n_slots; /* power of two */
        uint64_t first, next;
        bool discard;
        SpoolStats stats;
        SpoolGap gaps[GAPS_MAX]; /* points 0: unused */
        unsigned n_gaps;
        GapRow gap_rows[GAP_ROWS_MAX];
        uint64_t sent; /* rows up to it may be on their way */
        LimboRow *limbo; /* by number, rising */
        size_t n_limbo, limbo_room;
};

int spool_new(Spool **ret, const SpoolParams *params) {
        _cleanup_(spool_freep) Spool *s = NULL;

        if (params->ring_size < RECORD_ALIGN || params->ring_size > RING_MAX)
                return -EINVAL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->ring_size = params->ring_size / RECORD_ALIGN * RECORD_ALIGN;
        s->ring = malloc(s->ring_size);
        s->n_slots = SLOTS_MIN;
        s->slots = malloc(s->n_slots * sizeof(*s->slots));
        if (!s->ring || !s->slots)
                return -ENOMEM;
        s->discard = params->discard;
        s->first = s->next = 1;
        *ret = TAKE_PTR(s);
        return 0;
}

Spool *spool_free(Spool *s) {
        if (!s)
                return NULL;
        free(s->limbo);
        free(s->slots);
        free(s->ring);
        free(s);
        return NULL;
}

void spool_set_discard(Spool *s, bool discard) {
        s->discard = discard;
}

static uint32_t *slot_of(const Spool *s, uint64_t seq) {
        return &s->slots[seq & (s->n_slots - 1)];
}

static const Record *record_at(const Spool *s, size_t offset) {
        return (const Record *)(s->ring + offset);
}

static size_t offset_of(const Spool *s, uint64_t seq) {
        return (size_t)(*slot_of(s, seq) & ~SLOT_ACKED) * RECORD_ALIGN;
}

static size_t record_size(size_t device_size, size_t text_size) {
        return (sizeof(Record) + device_size + text_size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static void gap_widen(SpoolGap *g, uint64_t points, int64_t from_ns, int64_t to_ns) {
        g->from_ns = g->points == 0 ? from_ns : MIN(g->from_ns, from_ns);
        g->to_ns = g->points == 0 ? to_ns : MAX(g->to_ns, to_ns);
        g->points += points;
}

/* Its entry, or a free one; the last entry is kept for what does not fit. */
static SpoolGap *gap_find(Spool *s, const char *instance, const char *why) {
        SpoolGap *unused = NULL;

        for (size_t i = 0; i < GAPS_MAX - 1; i++) {
                SpoolGap *g = &s->gaps[i];

                if (g->points == 0)
                        unused = unused ?: g;
                else if (strncmp(g->why, why, sizeof(g->why) - 1) == 0 &&
                         strncmp(g->instance, instance, sizeof(g->instance) - 1) == 0)
                        return g;
        }
        return unused;
}

void spool_record_gap(Spool *s, const char *instance, const char *why, uint64_t points, int64_t from_ns, int64_t to_ns) {
        SpoolGap *g;

        if (points == 0 || s->discard)
                return;
        g = gap_find(s, instance, why);
        if (!g) {
                g = &s->gaps[GAPS_MAX - 1];
                instance = "";
                why = "several reasons";
        }
        if (g->points == 0) {
                snprintf(g->why, sizeof(g->why), "%s", why);
                snprintf(g->instance, sizeof(g->instance), "%s", instance);
                s->n_gaps++;
        }
        gap_widen(g, points, from_ns, to_ns);
}

static GapRow *gap_row_find(Spool *s, uint64_t seq) {
        for (size_t i = 0; i < GAP_ROWS_MAX; i++)
                if (s->gap_rows[i].seq == seq)
                        return &s->gap_rows[i];
        return NULL;
}

static bool told_now(const Spool *s, const SpoolGap *g) {
        for (size_t i = 0; i < GAP_ROWS_MAX; i++)
                if (s->gap_rows[i].seq != 0 && streq(s->gap_rows[i].gap.why, g->why) &&
                    streq(s->gap_rows[i].gap.instance, g->instance))
                        return true;
        return false;
}

/* The index of a gap that may become a row now; GAPS_MAX: none. */
static size_t gap_ready(const Spool *s) {
        size_t used = 0;

        for (size_t i = 0; i < GAP_ROWS_MAX; i++)
                used += s->gap_rows[i].seq != 0;
        for (size_t i = 0; s->n_gaps > 0 && used < GAP_ROWS_MAX && i < GAPS_MAX; i++)
                if (s->gaps[i].points > 0 && !told_now(s, &s->gaps[i]))
                        return i;
        return GAPS_MAX;
}

bool spool_has_gap(const Spool *s) {
        return s->n_gaps > 0 && gap_ready(s) < GAPS_MAX;
}

int spool_take_gap(Spool *s, SpoolGap *ret) {
        size_t i = gap_ready(s);

        if (i == GAPS_MAX)
                return 0;
        *ret = s->gaps[i];
        s->gaps[i] = (SpoolGap){ 0 };
        s->n_gaps--;
        return 1;
}

static void gap_restore(Spool *s, const SpoolGap *gap) {
        spool_record_gap(s, gap->instance, gap->why, gap->points, gap->from_ns, gap->to_ns);
}

/* The row `seq` leaves the counters of what waits; its bytes stay until the prefix is released. */
static void count_out(Spool *s, const Record *r) {
        s->stats.rows--;
        s->stats.bytes -= record_size(r->device_size, r->text_size);
        if (!r->gap)
                s->stats.points -= r->points;
}

static void release_prefix(Spool *s) {
        while (s->first < s->next && (*slot_of(s, s->first) & SLOT_ACKED))
                s->first++;
        if (s->first == s->next)
                s->head = s->tail = 0;
        else
                s->tail = offset_of(s, s->first);
}

static void count_evicted(Spool *s, const char *why, uint32_t points, int64_t boottime_ns) {
        s->stats.evicted_points += points;
        spool_record_gap(s, "", why, points, boottime_ns, boottime_ns);
}

static bool limbo_push(Spool *s, uint64_t seq, const Record *r) {
        if (s->n_limbo == s->limbo_room) {
                size_t room = MAX(2 * s->limbo_room, (size_t)64);
                LimboRow *rows = room <= LIMBO_MAX ? realloc(s->limbo, room * sizeof(*rows)) : NULL;

                if (!rows)
                        return false;
                s->limbo = rows;
                s->limbo_room = room;
        }
        s->limbo[s->n_limbo++] = (LimboRow){ .seq = seq, .boottime_ns = r->boottime_ns, .points = r->points };
        return true;
}

static void limbo_ack(Spool *s, uint64_t first, uint64_t last) {
        size_t kept = 0;

        for (size_t i = 0; i < s->n_limbo; i++)
                if (s->limbo[i].seq >= first && s->limbo[i].seq <= last)
                        s->stats.acked_points += s->limbo[i].points;
                else
                        s->limbo[kept++] = s->limbo[i];
        s->n_limbo = kept;
}

static void gap_rows_ack(Spool *s, uint64_t first, uint64_t last) {
        for (size_t i = 0; i < GAP_ROWS_MAX; i++) {
                GapRow *told = &s->gap_rows[i];

                if (told->seq < first || told->seq > last)
                        continue;
                s->stats.gap_points += told->gap.points;
                told->seq = 0;
        }
}

static void gap_row_lost(Spool *s, GapRow *told) {
        told->seq = 0;
        gap_restore(s, &told->gap);
}

static void evict_oldest(Spool *s) {
        uint64_t seq = s->first;
        const Record *r = record_at(s, s->tail);
        GapRow *told = r->gap ? gap_row_find(s, seq) : NULL;
        bool sent = seq <= s->sent;

        count_out(s, r);
        if (told && !sent)
                gap_row_lost(s, told);
        if (!r->gap && !s->discard && !(sent && limbo_push(s, seq, r)))
                count_evicted(s, QUEUE_FULL, r->points, r->boottime_ns);
        *slot_of(s, seq) |= SLOT_ACKED;
        release_prefix(s);
}

void spool_sent(Spool *s, uint64_t last) {
        s->sent = MAX(s->sent, last);
}

void spool_unsent(Spool *s) {
        s->sent = 0;
        for (size_t i = 0; i < s->n_limbo; i++)
                count_evicted(s, QUEUE_FULL, s->limbo[i].points, s->limbo[i].boottime_ns);
        s->n_limbo = 0;
        for (size_t i = 0; i < GAP_ROWS_MAX; i++)
                if (s->gap_rows[i].seq != 0 && s->gap_rows[i].seq < s->first)
                        gap_row_lost(s, &s->gap_rows[i]);
}

/* Where `size` bytes fit unbroken now; SIZE_MAX: nowhere. */
static size_t room_for(const Spool *s, size_t size) {
        if (s->first == s->next)
                return size <= s->ring_size ? 0 : SIZE_MAX;
        if (s->head > s->tail) {
                if (s->ring_size - s->head >= size)
                        return s->head;
                return s->tail >= size ? 0 : SIZE_MAX;
        }
        return s->tail - s->head >= size ? s->head : SIZE_MAX;
}

static int grow_slots(Spool *s) {
        uint64_t n = s->n_slots * 2;
        uint32_t *slots;

        slots = malloc(n * sizeof(*slots));
        if (!slots)
                return -ENOMEM;
        for (uint64_t seq = s->first; seq < s->next; seq++)
                slots[seq & (n - 1)] = *slot_of(s, seq);
        free(s->slots);
        s->slots = slots;
        s->n_slots = n;
        return 0;
}

static int append(Spool *s, const Row *row, bool gap, uint64_t *ret_seq) {
        size_t size = record_size(row->device_size, row->text_size), at;
        Record *r;

        if (size > s->ring_size || row->text_size > UINT32_MAX || row->device_size > UINT16_MAX)
                return -E2BIG;
        if (s->next - s->first == s->n_slots && grow_slots(s) < 0)
                return -ENOMEM;
        while ((at = room_for(s, size)) == SIZE_MAX)
                evict_oldest(s);
        if (s->first == s->next)
                s->tail = at;
        r = (Record *)(s->ring + at);
        *r = (Record){
                .boottime_ns = row->boottime_ns,
                .points = row->points,
                .text_size = (uint32_t)row->text_size,
                .flags = row->flags,
                .device_size = (uint16_t)row->device_size,
                .gap = gap,
        };
        if (row->device_size > 0)
                memcpy(r + 1, row->device, row->device_size);
        memcpy((uint8_t *)(r + 1) + row->device_size, row->text, row->text_size);
        *slot_of(s, s->next) = (uint32_t)(at / RECORD_ALIGN);
        s->head = at + size;
        s->stats.rows++;
        s->stats.bytes += size;
        if (!gap) {
                s->stats.points += row->points;
                s->stats.made_points += row->points;
        }
        *ret_seq = s->next++;
        return 0;
}

int spool_append(Spool *s, const Row *row, uint64_t *ret_seq) {
        uint64_t seq;
        int r;

        r = append(s, row, false, &seq);
        if (r == 0 && ret_seq)
                *ret_seq = seq;
        return r;
}

int spool_append_gap(Spool *s, const Row *row, const SpoolGap *gap) {
        GapRow *told = gap_row_find(s, 0);
        uint64_t seq;
        int r;

        r = told ? append(s, row, true, &seq) : -ENOBUFS;
        if (r < 0) {
                gap_restore(s, gap);
                return r;
        }
        *told = (GapRow){ .seq = seq, .gap = *gap };
        return 0;
}

int spool_next(const Spool *s, uint64_t from, uint64_t *ret_seq, Row *ret) {
        const Record *r;
        uint64_t seq = MAX(from, s->first);

        while (seq < s->next && (*slot_of(s, seq) & SLOT_ACKED))
                seq++;
        if (seq >= s->next)
                return 0;
        r = record_at(s, offset_of(s, seq));
        *ret = (Row){
                .boottime_ns = r->boottime_ns,
                .points = r->points,
                .flags = r->flags,
                .device = (const char *)(r + 1),
                .device_size = r->device_size,
                .text = (const char *)(r + 1) + r->device_size,
                .text_size = r->text_size,
        };
        *ret_seq = seq;
        return 1;
}

void spool_ack(Spool *s, uint64_t first, uint64_t last) {
        if (s->n_limbo > 0)
                limbo_ack(s, first, last);
        gap_rows_ack(s, MAX(first, (uint64_t)1), last);
        for (uint64_t seq = MAX(first, s->first); seq <= last && seq < s->next; seq++) {
                uint32_t *slot = slot_of(s, seq);
                const Record *r = record_at(s, offset_of(s, seq));

                if (*slot & SLOT_ACKED)
                        continue;
                *slot |= SLOT_ACKED;
                count_out(s, r);
                if (!r->gap)
                        s->stats.acked_points += r->points;
        }
        release_prefix(s);
}

void spool_drop(Spool *s, uint64_t seq, const char *why) {
        const Record *r;
        GapRow *told;

        if (seq < s->first || seq >= s->next || (*slot_of(s, seq) & SLOT_ACKED))
                return;
        r = record_at(s, offset_of(s, seq));
        told = r->gap ? gap_row_find(s, seq) : NULL;
        count_out(s, r);
        if (told)
                told->seq = 0; /* what cannot be told is not tried again for ever */
        else if (!r->gap && !s->discard)
                count_evicted(s, why, r->points, r->boottime_ns);
        *slot_of(s, seq) |= SLOT_ACKED;
        release_prefix(s);
}

SpoolStats spool_stats(const Spool *s) {
        SpoolStats stats = s->stats;

        stats.next_seq = s->next;
        if (s->first < s->next)
                stats.oldest_ns = record_at(s, s->tail)->boottime_ns;
        return stats;
}
