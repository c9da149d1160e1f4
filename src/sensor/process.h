/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be known of processes to look after a host: how it is started with nothing of ours but one end
 * of a socket, how it is killed, and whether that gets through. */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

#define PROCESS_FD 3 /* where the host finds its end: argv is PATH INSTANCE FD */

/* Main thread only (PDEATHSIG is sent when the thread that spawned ends). The host leads a process group of
 * its own. *ret_fd: our end of the socket; both are the caller's. */
_must_check_ int process_spawn(const char *path, const char *instance, bool sanitized, pid_t *ret_pid, int *ret_fd);

/* SIGKILL to it and to its whole group. Only while it is not reaped. */
void process_kill(pid_t pid);
/* For process_is_dying(). To be opened before the host is told to begin: it makes itself not dumpable then, and where
 * /proc hides what we may not trace (ProtectProc= of the unit) it is out of sight from there on. -errno: none. */
int process_status_open(pid_t pid);
/* SIGKILL waits for it, or it has ended and nobody has been told: it hangs in the kernel if this lasts. */
bool process_is_dying(int status_fd);
