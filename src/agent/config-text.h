/* SPDX-License-Identifier: Apache-2.0 */
/* Holds the text of a configuration file to the grammar of libconfig before libconfig reads it, because that
 * stops at the first mistake, calls each "syntax error", and differs between its versions. Pure; fuzzed. */
#pragma once

#include "agent/config-problem.h"

/* Tells the mistakes (fatal, for all) and returns how many. 0: libconfig 1.5 and 1.7 read it, and alike. */
_must_check_ size_t config_text_check(const char *text, size_t size, const char *file, ConfigProblems *problems);
