/* SPDX-License-Identifier: Apache-2.0 */
/* A magic number with a version, the boot, then 64 bytes for each line, in this machine's byte order: it is read where it was
 * written. 60 lines are what 4 KiB hold. */
#include <string.h>

#include "memory.h"

#define MAGIC UINT32_C(0x67706902) /* "gpi", version 2 */

enum { COUNTED = 1, KNOWN = 2, HAS_SEQNO = 4, DRIVEN = 8, HAS_WANTED = 16, HAS_BASE = 32, DISCONNECTED = 64 };

typedef struct Head {
        uint32_t magic, n;
        uint8_t boot[16];
} Head;

typedef struct Record {
        uint64_t id, pulses, added;
        double per_unit;
        uint32_t epoch, seqno;
        uint32_t duty, wanted; /* thousandths of a percent */
        int64_t pulse_end_ns;
        uint32_t flags, request;
} Record;

_Static_assert(sizeof(Record) == 64, "no padding");
_Static_assert(sizeof(Head) + MEMORY_LINES_MAX * sizeof(Record) <= MEMORY_SIZE_MAX, "all of them fit");

/* FNV-1a */
uint64_t memory_id(const char *channel) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (; *channel; channel++)
                hash = (hash ^ (unsigned char)*channel) * UINT64_C(0x100000001b3);
        return hash;
}

static Record pack(const Remembered *m) {
        return (Record){
                .id = m->id,
                .pulses = m->pulses,
                .added = m->added,
                .per_unit = m->per_unit,
                .epoch = m->epoch,
                .seqno = m->seqno,
                .duty = (uint32_t)(m->duty * 1000 + 0.5),
                .wanted = (uint32_t)(m->wanted * 1000 + 0.5),
                .pulse_end_ns = m->pulse_end_ns,
                .request = m->request,
                .flags = (m->counted ? COUNTED : 0u) | (m->known ? KNOWN : 0u) | (m->has_seqno ? HAS_SEQNO : 0u) |
                         (m->driven ? DRIVEN : 0u) | (m->has_wanted ? HAS_WANTED : 0u) | (m->has_base ? HAS_BASE : 0u) |
                         (m->disconnected ? DISCONNECTED : 0u),
        };
}

static Remembered unpack(const Record *r) {
        return (Remembered){
                .id = r->id,
                .counted = r->flags & COUNTED && r->per_unit > 0,
                .known = r->flags & KNOWN,
                .has_base = r->flags & HAS_BASE,
                .has_seqno = r->flags & HAS_SEQNO,
                .pulses = r->pulses,
                .added = r->added,
                .per_unit = r->per_unit,
                .epoch = r->epoch,
                .seqno = r->seqno,
                .request = r->request,
                .driven = r->flags & DRIVEN && r->duty <= 100 * 1000,
                .duty = r->duty / 1000.0,
                .has_wanted = r->flags & HAS_WANTED,
                .wanted = r->wanted / 1000.0,
                .disconnected = r->flags & DISCONNECTED,
                .pulse_end_ns = r->pulse_end_ns,
        };
}

size_t memory_encode(const Remembered *list, size_t n, const uint8_t boot[static 16], uint8_t out[static MEMORY_SIZE_MAX]) {
        Head head = {.magic = MAGIC, .n = (uint32_t)(n < MEMORY_LINES_MAX ? n : MEMORY_LINES_MAX)};
        size_t size = sizeof(head);

        memcpy(head.boot, boot, sizeof(head.boot));
        memcpy(out, &head, sizeof(head));
        for (uint32_t i = 0; i < head.n; i++) {
                Record r = pack(&list[i]);

                memcpy(out + size, &r, sizeof(r));
                size += sizeof(r);
        }
        return size;
}

size_t memory_decode(const uint8_t *data, size_t size, const uint8_t boot[static 16], Remembered ret[static MEMORY_LINES_MAX],
                     bool *ret_same_boot) {
        Head head;
        Record r;

        *ret_same_boot = false;
        if (size < sizeof(head))
                return 0;
        memcpy(&head, data, sizeof(head));
        if (head.magic != MAGIC || head.n > MEMORY_LINES_MAX || size != sizeof(head) + head.n * sizeof(r))
                return 0;
        *ret_same_boot = memcmp(head.boot, boot, sizeof(head.boot)) == 0;
        for (uint32_t i = 0; i < head.n; i++) {
                memcpy(&r, data + sizeof(head) + i * sizeof(r), sizeof(r));
                ret[i] = unpack(&r);
        }
        return head.n;
}

const Remembered *memory_find(const Remembered *list, size_t n, uint64_t id) {
        for (size_t i = 0; i < n; i++)
                if (list[i].id == id)
                        return &list[i];
        return NULL;
}
