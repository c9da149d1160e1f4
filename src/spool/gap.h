/* SPDX-License-Identifier: Apache-2.0 */
/* What was dropped and has to be told: the count, from when to when, why. Until the batch that tells it is
 * built its times stand in BOOTTIME, so that a clock that is set late moves them, too. Pure. */
#pragma once

#include "model/row.h"

typedef struct Gap { /* points 0: none */
        uint64_t points;
        int64_t from_ns, to_ns; /* BOOTTIME of this boot */
        char why[64];
        char instance[64]; /* "": of several */
} Gap;

#define GAP_TEXT_MAX 1024

bool gap_same(const Gap *a, const Gap *b); /* instance and reason */

/* The text of a ROW_GAP row, and back. -EBADMSG. */
size_t gap_write(char out[static GAP_TEXT_MAX], const Gap *g);
_must_check_ int gap_read(const char *text, size_t size, Gap *ret);
/* What the server gets: {"tbagent_gap":{"dropped":...,"from":ms,...}}. */
size_t gap_telemetry(char out[static GAP_TEXT_MAX], const Gap *g, int64_t offset_ms);
