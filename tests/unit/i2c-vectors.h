/* SPDX-License-Identifier: Apache-2.0 */
/* What chips send, and what it means: for each driver of the plugin `i2c` the worked example of its data sheet or a
 * published reference. Used by the unit test, and printed by tests/i2c-vectors for a simulated bus elsewhere. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VECTOR_OPTIONS_MAX 3
#define VECTOR_VALUES_MAX  8

typedef struct VectorOption {
        const char *name, *value; /* of the chip; newlines part the elements of a list */
} VectorOption;

typedef struct VectorValue {
        const char *quantity; /* NULL ends the list */
        double value;
        double tolerance;
        const char *bad; /* it is none, and this is part of the reason */
} VectorValue;

typedef struct Vector {
        const char *chip;
        const char *source; /* document and place of the numbers */
        uint8_t address;
        VectorOption options[VECTOR_OPTIONS_MAX];
        const char *description; /* lines as in i2c-sim.h */
        VectorValue values[VECTOR_VALUES_MAX];
} Vector;

extern const Vector vectors[];
extern const size_t n_vectors;
