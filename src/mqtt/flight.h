/* SPDX-License-Identifier: Apache-2.0 */
/* What is in flight: a ring of contexts under ids that rise by one, so that an answer finds its entry by
 * subtraction and a stale or doubled one finds none. Pure. */
#pragma once

#include "base/macro.h"

#define FLIGHT_MAX 256 /* entries without an answer */

typedef enum FlightKind { FLIGHT_DONE, FLIGHT_PUBLISH, FLIGHT_SUBSCRIBE } FlightKind;

typedef struct FlightEntry {
        uint64_t context;
        FlightKind kind;
} FlightEntry;

typedef struct Flight { /* zero: empty */
        FlightEntry entries[FLIGHT_MAX];
        uint32_t first, n; /* id of the oldest; entries from it on, answered ones included */
} Flight;

/* The id that the next entry will have; n == FLIGHT_MAX: there is no room. */
uint32_t flight_next(const Flight *f);
void flight_push(Flight *f, FlightKind kind, uint64_t context);
/* 0: answered, *ret_context is whose; 1: the same, and another entry (or none) is the oldest now. -ENOENT: no such. */
_must_check_ int flight_take(Flight *f, uint32_t id, FlightKind kind, uint64_t *ret_context);
/* The oldest that has no answer, which leaves. false: none. */
bool flight_pop(Flight *f, FlightEntry *ret);
