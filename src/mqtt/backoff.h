/* SPDX-License-Identifier: Apache-2.0 */
/* How long a session waits before it connects again:
 *
 *   refused, or no credentials   30 s, 90 s, then 5 min
 *   taken over                   10 s, doubled up to 5 min, half of it at random: two devices with one token must not
 *                                throw each other out for ever
 *   anything else                full jitter, doubled from min to max, begun anew when a connection lasted
 *
 * Pure but for the kernel's random numbers. */
#pragma once

#include "base/macro.h"
#include "mqtt/reason.h"

typedef struct Backoff {
        usec_t min, max;
        unsigned attempts, refusals, takeovers; /* in a row; begin with 0 */
} Backoff;

usec_t backoff_after(Backoff *b, SessionReason reason);
void backoff_connected(Backoff *b);
void backoff_lasted(Backoff *b, usec_t lasted); /* the connection that has just ended */
