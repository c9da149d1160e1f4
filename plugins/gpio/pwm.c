/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grid stands still, so a process that is late by more than a period is late once, and no error adds up. A pulse that is
 * shorter than what a process can do in time at all (MIN_NS) is not tried: it would be anything between nothing and too long.
 */
#include "pwm.h"

#define MIN_NS INT64_C(100000)

bool pwm_level(const Pwm *p, int64_t now_ns, int64_t *ret_next_ns) {
        int64_t on_ns = (int64_t)((double)p->period_ns * p->duty / 100 + 0.5), begin_ns, since_ns;

        *ret_next_ns = INT64_MAX;
        if (on_ns < MIN_NS)
                return false;
        if (p->period_ns - on_ns < MIN_NS)
                return true;
        since_ns = (now_ns - p->start_ns) % p->period_ns;
        if (since_ns < 0)
                since_ns += p->period_ns;
        begin_ns = now_ns - since_ns;
        *ret_next_ns = begin_ns + (since_ns < on_ns ? on_ns : p->period_ns);
        return since_ns < on_ns;
}
