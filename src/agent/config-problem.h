/* SPDX-License-Identifier: Apache-2.0 */
/* The mistakes of a configuration, gathered so that all of them can be told. */
#pragma once

#include "base/macro.h"

typedef struct ConfigProblem {
        bool fatal; /* of its instance, or of all where instance is empty */
        char *instance; /* "": server, telemetry ... */
        char *file;
        unsigned line; /* 0: the file as a whole */
        char *text;
} ConfigProblem;

typedef struct ConfigProblems {
        ConfigProblem *list;
        size_t n;
} ConfigProblems;

/* Texts are copied. One that memory is short for is lost. */
void config_problems_add(ConfigProblems *p, bool fatal, const char *instance, const char *file, unsigned line,
                         const char *format, ...) _printf_(6, 7);
/* Is one among them, from `from` on, that is fatal for all? */
bool config_problems_fatal(const ConfigProblems *p, size_t from);
/* By file, and in it by line. */
void config_problems_sort(ConfigProblems *p);
void config_problems_free(ConfigProblem *p, size_t n);
/* "FILE:LINE: error: TEXT" (or warning), without newline; owned by the caller. */
char *config_problem_text(const ConfigProblem *p);
