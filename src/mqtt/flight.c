/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "mqtt/flight.h"

static FlightEntry *entry_at(Flight *f, uint32_t id) {
        return &f->entries[id % FLIGHT_MAX];
}

uint32_t flight_next(const Flight *f) {
        return f->first + f->n;
}

void flight_push(Flight *f, FlightKind kind, uint64_t context) {
        assert(f->n < FLIGHT_MAX);
        *entry_at(f, flight_next(f)) = (FlightEntry){ .context = context, .kind = kind };
        f->n++;
}

static void skip_answered(Flight *f) {
        while (f->n > 0 && entry_at(f, f->first)->kind == FLIGHT_DONE) {
                f->first++;
                f->n--;
        }
}

int flight_take(Flight *f, uint32_t id, FlightKind kind, uint64_t *ret_context) {
        FlightEntry *e = entry_at(f, id);

        if (id - f->first >= f->n || e->kind != kind)
                return -ENOENT;
        e->kind = FLIGHT_DONE;
        *ret_context = e->context;
        if (id != f->first)
                return 0;
        skip_answered(f);
        return 1;
}

bool flight_pop(Flight *f, FlightEntry *ret) {
        if (f->n == 0)
                return false;
        *ret = *entry_at(f, f->first); /* the oldest never is an answered one */
        f->first++;
        f->n--;
        skip_answered(f);
        return true;
}
