/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin `i2c` on a simulated bus, /dev/i2c-1 of a folder of the test's own. */
#pragma once

#include "i2c-sim.h"
#include "i2c-vectors.h"
#include "plugin-harness.h"

#define FIXTURE_OPTIONS 96

typedef struct Fixture {
        char *root;
        Sim *sim;
        Harness *harness;
        Option options[FIXTURE_OPTIONS + 1];
        size_t n_options;
} Fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
Fixture *fixture_new(void);
Fixture *fixture_free(Fixture *f);

/* "chips.room.address" = "0x76"; text is copied. Set before what depends on it is opened. */
void option_set(Fixture *f, const char *path, const char *value);
void options_clear(Fixture *f); /* all but the bus */

/* chips.NAME for a vector, and its chip on the bus. */
void vector_configure(Fixture *f, const char *name, const Vector *v);
const Vector *vector_of(const char *chip); /* the first one */
/* Samples until something came; *ret_error is what the last sample returned. */
void sample(Fixture *f, int *ret_error);
void vector_check(Fixture *f, const char *name, const Vector *v);

double value(Fixture *f, const char *key);                        /* the last, which is one */
void expect_bad(Fixture *f, const char *key, const char *why);    /* the last is none */
int64_t counter(Fixture *f, const char *name);                    /* of the method `counters` */
