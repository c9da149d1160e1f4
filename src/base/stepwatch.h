/* SPDX-License-Identifier: Apache-2.0 */
/* Tells when somebody set CLOCK_REALTIME. One per loop at a time. */
#pragma once

#include "base/loop.h"

typedef struct StepWatch StepWatch;

typedef void (*stepwatch_fn)(void *userdata);

/* fn is called in a later turn, once for several steps in a row. It has to look by itself whether anything is different:
 * a system that slept is told of in the same way. */
_must_check_ int stepwatch_new(StepWatch **ret, Loop *loop, stepwatch_fn fn, void *userdata);
StepWatch *stepwatch_free(StepWatch *w);
DEFINE_CLEANUP(StepWatch *, stepwatch_free)
