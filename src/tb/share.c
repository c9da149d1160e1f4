/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "tb/share.h"

#define LIVE_PARTS 4

static double second_of(double rate) {
        return isinf(rate) ? 0 : fmax(rate, 1);
}

/* Neither side saves up more than a second's worth beside its last message. */
static double up(double ahead, double by, double rate) {
        return fmin(ahead, second_of(rate)) + by;
}

static double down(double ahead, double by, double rate) {
        return fmax(ahead, -second_of(rate)) - by;
}

void share_live(Share *s, uint32_t points, double second_messages, double second_points) {
        s->messages = up(s->messages, 1, second_messages);
        s->points = up(s->points, points, second_points);
}

void share_backlog(Share *s, uint32_t points, double second_messages, double second_points) {
        s->messages = down(s->messages, LIVE_PARTS, second_messages);
        s->points = down(s->points, (double)points * LIVE_PARTS, second_points);
}

bool share_is_backlogs(const Share *s, double second_messages, double second_points) {
        return (!isinf(second_messages) && s->messages > second_of(second_messages)) ||
               (!isinf(second_points) && s->points > second_of(second_points));
}
