/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the plugin exec share: an instance with options of the test's, and a folder of its own. */
#pragma once

#include "plugin-harness.h"

typedef struct Fixture {
        Option options[8];
        Harness *harness;
        char *dir;
} Fixture;

int exec_setup(void **state);
int exec_teardown(void **state);

void option(Fixture *f, const char *path, const char *value);
void script(Fixture *f, const char *text); /* the command is text for the shell */
int run(Fixture *f, const char *text);     /* one sample of it */
/* The last value of key, which has to be of this type. */
const Emit *emitted(Fixture *f, const char *key, EmitType type);
