/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance knows of its lines that has to outlive its process (state_put): totals, last values. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_SIZE_MAX  4096
#define MEMORY_LINES_MAX 60

typedef struct Remembered {
        uint64_t id; /* memory_id() of the channel */
        /* a counter: what is counted, up to which edge of its request */
        bool counted, known, has_base,
                has_seqno; /* known: pulses and added are a total; has_base: pulses alone is an older one */
        uint64_t pulses, added;
        double per_unit;
        uint32_t epoch, seqno;
        uint32_t request; /* which: seqno is one of its numbers */
        /* an output */
        bool driven;
        double duty;          /* as it was set last: 0 off, 100 on */
        bool has_wanted;
        double wanted;        /* what its attribute said last */
        bool disconnected;    /* on_disconnect has set it */
        int64_t pulse_end_ns; /* CLOCK_BOOTTIME; 0: no pulse */
} Remembered;

uint64_t memory_id(const char *channel);

/* Bytes written, at most MEMORY_SIZE_MAX. boot: 16 bytes that tell this boot from others. */
size_t memory_encode(const Remembered *list, size_t n, const uint8_t boot[static 16], uint8_t out[static MEMORY_SIZE_MAX]);
/* How many; what cannot be read is nothing. *ret_same_boot: it is of this one. */
size_t memory_decode(const uint8_t *data, size_t size, const uint8_t boot[static 16], Remembered ret[static MEMORY_LINES_MAX],
                     bool *ret_same_boot);
/* NULL: it is not there. */
const Remembered *memory_find(const Remembered *list, size_t n, uint64_t id);
