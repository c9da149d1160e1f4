/* SPDX-License-Identifier: Apache-2.0 */
/* One setting held to one option of a table: its value in the option's own unit, or a sentence that says
 * what is wrong and what to write. Used by model/option only. Pure. */
#pragma once

#include <tbagent/plugin.h>

#include "base/macro.h"
#include "model/setting.h"

/* Where sentences go (problem_fn of model/option.h), and how many went. */
typedef struct Problems {
        void (*fn)(void *userdata, bool fatal, const char *file, unsigned line, const char *text);
        void *userdata;
        int n;
} Problems;

/* Tells a fatal problem at where (NULL: nowhere in particular). */
void problems_tell(Problems *p, const Setting *where, const char *format, ...) _printf_(3, 4);

typedef struct OptionValue {
        bool set;       /* by a file or at run time; a default leaves it false */
        bool percent;   /* DELTA */
        int64_t i;      /* BOOL, INT, DURATION, SIZE */
        double d;       /* FLOAT, DELTA; INT too */
        char **strings; /* STRING, STRINGS: ends with NULL; NULL: unset */
        double *numbers;
        size_t n_numbers;
        char *file;
        unsigned line;
} OptionValue;

void option_value_done(OptionValue *v);
/* -EINVAL: told; -ENOMEM. Not for GROUP and MAP. */
_must_check_ int option_value_parse(OptionValue *ret, const struct tbagent_option *o, const Setting *s,
                                    const char *path, Problems *p);
/* The option's default, unset where it has none. Problems are told: a table may be wrong too. */
_must_check_ int option_value_fallback(OptionValue *ret, const struct tbagent_option *o, const char *path, Problems *p);
