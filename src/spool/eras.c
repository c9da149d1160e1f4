/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New rows carry the cell of the era they were taken in. While a boot is not trusted its one era is changed in
 * place, so that rows taken before the time came get the right time; what comes after trust is a step and takes
 * the next cell. The first trusted era of the boot is kept apart, for estimates that went to the store.
 */
#include "spool/eras.h"

#define FIRST ERAS_FIRST_CELL
#define LAST (RING_CELLS - 2)
#define OF_BOOT (RING_CELLS - 1)

_Static_assert(sizeof(Era) <= RING_CELL_SIZE, "an era fits a cell");

const Era *eras_at(const Ring *ring, uint32_t cell) {
        return ring_cell(ring, cell >= FIRST && cell <= LAST ? cell : FIRST);
}

const Era *eras_now(const Ring *ring) {
        return eras_at(ring, (uint32_t)ring_ledger(ring)->era);
}

const Era *eras_of_boot(const Ring *ring) {
        return ring_cell(ring, OF_BOOT);
}

static bool same_boot(const Era *a, const Era *b) {
        return memcmp(a->boot_id, b->boot_id, BOOT_ID_SIZE) == 0;
}

static bool same(const Era *a, const Era *b) {
        return same_boot(a, b) && a->offset_ms == b->offset_ms && a->quality == b->quality;
}

static void set_cell(Ring *ring, unsigned cell, const Era *era, bool current) {
        RingLedger ledger = *ring_ledger(ring);

        if (current)
                ledger.era = cell;
        ring_release(ring, 0, &ledger, &(RingChange){ .cell = cell, .data = era, .size = sizeof(*era) });
}

/* The cell behind the current one; where rows of the ring still count on it the current one is used again. */
static unsigned next_cell(const Ring *ring) {
        unsigned now = (unsigned)ring_ledger(ring)->era;
        unsigned next = now < LAST ? now + 1 : FIRST;
        Record oldest;

        return ring_read(ring, ring_first(ring), &oldest) == 0 && oldest.era == next ? now : next;
}

bool eras_set(Ring *ring, const Era *era) {
        const Era *now = eras_now(ring), *of_boot = eras_of_boot(ring);
        bool first_trust = era->quality == CLOCK_TRUSTED && (of_boot->quality != CLOCK_TRUSTED || !same_boot(of_boot, era));

        if (first_trust)
                set_cell(ring, OF_BOOT, era, false);
        if (ring_ledger(ring)->era < FIRST || ring_ledger(ring)->era > LAST)
                set_cell(ring, FIRST, era, true);
        else if (same_boot(now, era) && now->quality == CLOCK_ESTIMATED)
                set_cell(ring, (unsigned)ring_ledger(ring)->era, era, true);
        else if (!same(now, era))
                set_cell(ring, next_cell(ring), era, true);
        return first_trust;
}

const Era *eras_resolve(const Ring *ring, const Era *era) {
        const Era *now = eras_now(ring), *of_boot = eras_of_boot(ring);

        if (era->quality == CLOCK_TRUSTED)
                return era;
        if (of_boot->quality == CLOCK_TRUSTED && same_boot(era, of_boot))
                return of_boot;
        return same_boot(era, now) ? now : era;
}
