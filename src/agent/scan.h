/* SPDX-License-Identifier: Apache-2.0 */
/* `tbagent --scan`: what it prints, and its exit codes. */
#pragma once

#include "agent/check.h"

/* Has the plugin (NULL: each that is installed) look for hardware, in a host of its own, and prints what was found as a file
 * for conf.d. What went wrong goes to stderr. EXIT_SUCCESS; EX_UNAVAILABLE: a plugin could not look; EX_SOFTWARE: one did not
 * come through, or told what is of no use; EX_USAGE: no such plugin; EX_OSERR. */
int scan(const CheckParams *params, const char *plugin);
