/* SPDX-License-Identifier: Apache-2.0 */
/* Chips and lines that are only memory, in place of plugins/gpio/chips.c, chip-gpiod*.c and request.c: for machines without GPIO. A
 * request is a pipe, so that it can be handed over, polled, and is given free with its last descriptor, as the kernel's is. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct FakeLines {
        void (*reset)(void); /* no chip at all */
        /* names: of its lines, "" for none; NULL ends them. The chip's name: gpiochipNUMBER. */
        void (*add_chip)(unsigned number, const char *label, const char *const *names);
        void (*remove_chip)(unsigned number); /* requests of its lines fail with -ENODEV */
        void (*deny_chip)(unsigned number, int error);
        /* Of a line that nobody has asked for, or an input. */
        void (*set_used)(unsigned number, unsigned offset, const char *consumer); /* NULL: free */
        void (*set_level)(unsigned number, unsigned offset, bool high); /* makes an edge where that is asked for */
        bool (*level)(unsigned number, unsigned offset);
        bool (*is_output)(unsigned number, unsigned offset);
        bool (*is_held)(unsigned number, unsigned offset);
        /* How often the level of an output has changed, or it became one or none, since the last call. */
        unsigned (*moves)(unsigned number, unsigned offset);
        const char *(*consumer)(unsigned number, unsigned offset);
        unsigned (*requests)(void); /* new ones since the last call */
        unsigned (*config)(unsigned number, unsigned offset, uint32_t *ret_debounce); /* FAKE_ flags */
        int64_t (*now)(void); /* CLOCK_MONOTONIC of the next edges; 0: the real one */
        void (*set_now)(int64_t monotonic_ns);
        void (*fail_get)(unsigned number, unsigned offset, int error); /* 0: not any more */
        void (*fail_set)(unsigned number, unsigned offset, int error, unsigned times);
        /* Of an input with edges: as many as are read of it come anew, for ever. */
        void (*set_flood)(unsigned number, unsigned offset, bool on);
        void (*refuse)(unsigned number, unsigned offset, int error); /* to be configured, from now on; 0: not any more */
} FakeLines;

enum { FAKE_PULL_UP = 1, FAKE_PULL_DOWN = 2, FAKE_NO_BIAS = 4, FAKE_OPEN_DRAIN = 8, FAKE_RISING = 16, FAKE_FALLING = 32, FAKE_LOW = 64 };

extern const FakeLines fake_lines;
