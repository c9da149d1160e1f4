/* SPDX-License-Identifier: Apache-2.0 */
/* `tbagent --exit-state`: what systemd runs when the daemon has failed for good. Every output gets its on_exit value, and is held
 * there until this process is ended, which the start of the daemon does. */
#pragma once

#include "base/macro.h"

typedef struct ExitStateParams {
        const char *config_path, *last_good_path;
        const char *host_path, *plugin_dirs;
        const char *runtime_dir;
} ExitStateParams;

/* Ends when it is told to, or at once where there is no output. EXIT_SUCCESS, EX_CONFIG (there is nothing to go by) or EX_OSERR.
 * */
int exit_state_run(const ExitStateParams *params);
