/* SPDX-License-Identifier: Apache-2.0 */
/* Expanders: chips with pins, that are read and set like those of the board. */
#pragma once

#include "i2c.h"

/* What the pins of an expander are meant to be; one bit each. */
typedef struct PortState {
        uint16_t inputs, outputs; /* pins of neither are left as they are; of a pcf8574 they are inputs */
        uint16_t pull_ups;
        uint16_t latch; /* levels that the outputs have */
} PortState;

/* A driver of an expander. The functions return as those of Driver. */
typedef struct Port {
        Driver driver; /* its name and addresses */
        unsigned n_pins;
        bool has_pull_ups;
        bool no_registers; /* look() shows the levels of the pins in place of the latch */
        /* What it was told before: levels of the latch, and which pins it drives. Changes nothing. */
        int (*look)(Device *d, uint16_t *ret_latch, uint16_t *ret_driven);
        /* Latch first, directions last, so that no output shows a level that it should not have. */
        int (*setup)(Device *d, const PortState *state);
        int (*write)(Device *d, const PortState *state);
        /* Levels of the pins. -ESTALE: it is not set up (any more) as state says. */
        int (*read)(Device *d, const PortState *state, uint16_t *ret_levels);
} Port;

extern const Port *const ports[]; /* ends with NULL */

Device *expander_device(Expander *e);
int pins_configure(I2c *i);
void pins_unconfigure(I2c *i);
/* Reads the pins of all expanders and emits them. */
void pins_sample(I2c *i, Tally *tally);
int pins_rpc(I2c *i, uint64_t id, const char *channel, const char *method, const char *params);
