/* SPDX-License-Identifier: Apache-2.0 */
/* `tbagent --check` and `tbagent --once`: what they print, and their exit codes. */
#pragma once

#include "base/macro.h"

typedef struct CheckParams {
        const char *config_path;
        const char *host_path;
        const char *plugin_dirs;
        const char *state_dir; /* for what the server said last */
        int log_level;
} CheckParams;

/* Prints every mistake of the configuration to stderr. EXIT_SUCCESS, EX_CONFIG (78) or EX_OSERR. */
int check_configuration(const CheckParams *params);
/* Samples once and prints instance, key, value and time. instance NULL: all. Also EX_USAGE: no such instance. */
int check_once(const CheckParams *params, const char *instance);
