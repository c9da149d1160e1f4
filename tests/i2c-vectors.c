/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the vectors of tests/unit/i2c-vectors.c as lines, for a bus that is simulated elsewhere:
 *
 *   vector CHIP
 *   source DOCUMENT AND PLACE
 *   address 0x76
 *   option NAME VALUE          of the chip; a list has its elements in one line, parted by |
 *   chip LINE                  the chip on the bus, as in tests/unit/i2c-sim.h
 *   expect QUANTITY VALUE TOLERANCE
 *   bad QUANTITY PART OF THE REASON
 *   end
 */
#include <stdio.h>
#include <string.h>

#include "unit/i2c-vectors.h"

static void option_print(const VectorOption *o) {
        printf("option %s ", o->name);
        for (const char *c = o->value; *c; c++)
                putchar(*c == '\n' ? '|' : *c);
        putchar('\n');
}

static void vector_print(const Vector *v) {
        printf("vector %s\nsource %s\naddress 0x%02x\n", v->chip, v->source, v->address);
        for (size_t i = 0; i < VECTOR_OPTIONS_MAX && v->options[i].name; i++)
                option_print(&v->options[i]);
        for (const char *line = v->description; *line; line += strcspn(line, "\n") + 1)
                printf("chip %.*s\n", (int)strcspn(line, "\n"), line);
        for (size_t i = 0; i < VECTOR_VALUES_MAX && v->values[i].quantity; i++) {
                const VectorValue *value = &v->values[i];

                if (value->bad)
                        printf("bad %s %s\n", value->quantity, value->bad);
                else
                        printf("expect %s %.12g %g\n", value->quantity, value->value, value->tolerance);
        }
        puts("end");
}

int main(int argc, char **argv) {
        if (argc != 2 || strcmp(argv[1], "--list") != 0) {
                fputs("i2c-vectors --list\n", stderr);
                return 64;
        }
        for (size_t i = 0; i < n_vectors; i++)
                vector_print(&vectors[i]);
        return 0;
}
