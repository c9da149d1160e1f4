/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says of itself, for people: a line for each thing that there is to say, then a table of instances. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "base/macro.h"

/* status: as GetStatus answers it. now: CLOCK_REALTIME. What another version leaves out is left out. */
void status_print(FILE *f, json_object *status, usec_t now);
