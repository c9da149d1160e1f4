/* SPDX-License-Identifier: Apache-2.0 */
/* What people write in a configuration beside plain values: durations and sizes with a unit, and names that
 * are nearly right. Pure. */
#pragma once

#include "base/macro.h"

/* "250ms" "10s" "5min" "1h" "2d" -> microseconds; "16k" "256M" "1G" (KiB, MiB, GiB; "100B") -> bytes.
 * -EINVAL: not a number with a known unit; -ERANGE. A bare number is -EINVAL ("0" is fine). */
_must_check_ int duration_parse(const char *text, usec_t *ret);
_must_check_ int size_parse(const char *text, uint64_t *ret);
/* In the largest unit that divides: "5min", "90s"; "16k". Return out. */
char *duration_text(usec_t usec, char *out, size_t size);
char *size_text(uint64_t bytes, char *out, size_t size);

/* The candidate nearest to name by edit distance (<= 1/3 of its length, at least 1..2), or NULL. */
const char *nearest_name(const char *name, const char *const *candidates, size_t n);
