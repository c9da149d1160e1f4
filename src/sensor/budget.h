/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket in bytes: what one host may send. It may be overdrawn by the one datagram that spends the
 * last of it; then it is empty until a fiftieth of a second's worth is there again, so that a flood is read
 * in portions. Pure. */
#pragma once

#include "base/macro.h"

typedef struct Budget {
        double rate, burst; /* bytes per second, bytes; rate 0: no limit */
        double left;
        usec_t filled; /* when left was right */
} Budget;

/* burst 0: what a second brings. */
void budget_init(Budget *b, uint64_t rate, uint64_t burst, usec_t now);
void budget_refill(Budget *b, usec_t now);
void budget_spend(Budget *b, size_t size);
bool budget_is_limited(const Budget *b);
bool budget_is_left(const Budget *b);
/* 0: there is some left. */
usec_t budget_wait(const Budget *b);
