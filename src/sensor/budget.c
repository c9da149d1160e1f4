/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/budget.h"

#define PORTIONS 50 /* a second */

void budget_init(Budget *b, uint64_t rate, uint64_t burst, usec_t now) {
        *b = (Budget){ .rate = (double)rate, .burst = (double)(burst ? burst : rate), .filled = now };
        b->left = b->burst;
}

void budget_refill(Budget *b, usec_t now) {
        double earned = (double)(now - b->filled) * b->rate / (double)USEC_PER_SEC;

        b->left = MIN(b->left + earned, b->burst);
        b->filled = now;
}

void budget_spend(Budget *b, size_t size) {
        b->left -= (double)size;
}

bool budget_is_limited(const Budget *b) {
        return b->rate > 0;
}

bool budget_is_left(const Budget *b) {
        return b->rate <= 0 || b->left > 0;
}

usec_t budget_wait(const Budget *b) {
        double portion = MIN(b->rate / PORTIONS, b->burst);

        return budget_is_left(b) ? 0 : (usec_t)((portion - b->left) / b->rate * (double)USEC_PER_SEC) + 1;
}
