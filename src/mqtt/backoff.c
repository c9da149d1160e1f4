/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>

#include "mqtt/backoff.h"

#define LASTED          (30 * USEC_PER_SEC) /* ends the growth */
#define LASTED_TAKEOVER (600 * USEC_PER_SEC)
#define TAKEOVER_MIN    (10 * USEC_PER_SEC)
#define TAKEOVER_MAX    (300 * USEC_PER_SEC)

static usec_t random_below(usec_t limit) {
        uint64_t number = 0;

        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
                number = (uintptr_t)&number; /* not before the kernel's pool is ready: any delay will do */
        return limit > 0 ? number % limit : 0;
}

static usec_t doubled(usec_t min, usec_t max, unsigned times) {
        return times < 32 && min <= max >> times ? min << times : max;
}

static usec_t delay_jitter(Backoff *b) {
        return random_below(doubled(b->min, b->max, b->attempts++));
}

static usec_t delay_refused(Backoff *b) {
        static const usec_t steps[] = { 30 * USEC_PER_SEC, 90 * USEC_PER_SEC, 300 * USEC_PER_SEC };

        return steps[MIN(b->refusals++, (unsigned)ELEMENTS(steps) - 1)];
}

static usec_t delay_takeover(Backoff *b) {
        usec_t half = doubled(TAKEOVER_MIN, TAKEOVER_MAX, b->takeovers++) / 2;

        return half + random_below(half);
}

usec_t backoff_after(Backoff *b, SessionReason reason) {
        switch (reason) {
        case SESSION_NO_CREDENTIALS:
        case SESSION_REFUSED:
                return delay_refused(b);
        case SESSION_TAKEN_OVER:
                return delay_takeover(b);
        case SESSION_OK:
        case SESSION_NO_NETWORK:
        case SESSION_UNAVAILABLE:
        case SESSION_TIMEOUT:
        case SESSION_CLOSED:
        case SESSION_RATE_LIMITED:
        case SESSION_CREDENTIALS_CHANGED:
        case SESSION_DISCONNECTED:
                break;
        }
        return delay_jitter(b);
}

void backoff_connected(Backoff *b) {
        b->refusals = 0;
}

void backoff_lasted(Backoff *b, usec_t lasted) {
        if (lasted >= LASTED)
                b->attempts = 0;
        if (lasted >= LASTED_TAKEOVER)
                b->takeovers = 0;
}
