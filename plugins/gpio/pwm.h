/* SPDX-License-Identifier: Apache-2.0 */
/* When an output of pulse width modulation is on. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Pwm {
        int64_t start_ns; /* of a period: the grid */
        int64_t period_ns;
        double duty; /* 0 to 100 percent */
} Pwm;

/* Whether it is on at this time; *ret_next_ns is when that changes, INT64_MAX: never. */
bool pwm_level(const Pwm *p, int64_t now_ns, int64_t *ret_next_ns);
