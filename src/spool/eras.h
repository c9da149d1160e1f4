/* SPDX-License-Identifier: Apache-2.0 */
/* What turned BOOTTIME into time when each row of the ring was taken: a table in cells of the ring, one entry for
 * every step of the clock. Main thread. */
#pragma once

#include "spool/ring.h"

#define ERAS_FIRST_CELL 64u /* and all behind it are ours */

/* The clock as it is now, see spool_set_era(). true: it is the first time that this boot is trusted. */
bool eras_set(Ring *ring, const Era *era);
const Era *eras_now(const Ring *ring);
/* The first of its boot that was trusted. */
const Era *eras_of_boot(const Ring *ring);
/* Of a record of the ring. */
const Era *eras_at(const Ring *ring, uint32_t cell);
/* An estimate of this boot gets what is known by now; any other era is what it is. */
const Era *eras_resolve(const Ring *ring, const Era *era);
