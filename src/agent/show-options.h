/* SPDX-License-Identifier: Apache-2.0 */
/* `tbagent --options`: what it prints, and its exit codes. */
#pragma once

#include "base/macro.h"

/* Prints the options and methods of the plugin (NULL: of each that is installed). EXIT_SUCCESS; EX_USAGE: no such plugin;
 * EX_SOFTWARE: one cannot be loaded, which is told on stderr; EX_OSERR. */
int show_options(const char *plugin_dirs, const char *host_path, const char *plugin);
