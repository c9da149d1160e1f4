/* SPDX-License-Identifier: Apache-2.0 */
/* What new rows and the backlog get of the server's limits while both wait: new ones go first, but have no more
 * than four parts of five in the long run. Pure. */
#pragma once

#include "base/macro.h"

typedef struct Share { /* of the new rows, beyond four times what the backlog had */
        double messages, points;
} Share;

/* One message went. second_*: what may go in one second, INFINITY: any number. */
void share_live(Share *s, uint32_t points, double second_messages, double second_points);
void share_backlog(Share *s, uint32_t points, double second_messages, double second_points);
/* The new rows are more than a second's worth ahead: it is the backlog's turn. */
bool share_is_backlogs(const Share *s, double second_messages, double second_points);
