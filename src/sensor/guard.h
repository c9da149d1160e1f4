/* SPDX-License-Identifier: Apache-2.0 */
/* The bounds that a plugin host sets for itself before it opens its plugin, and the timer that kills it when
 * the plugin does not come back. */
#pragma once

#include <time.h>

#include "base/macro.h"

/* Set in the environment by the daemon: no memory limit, this process runs under a sanitizer or valgrind. */
#define GUARD_ENV_SANITIZED "TBAGENT_SANITIZED"

typedef struct Guard {
        timer_t timer;
        uint64_t memory_max; /* 0: no limit */
        int statm_fd;
} Guard;

/* parent: the daemon; 0: not known. -ESRCH: it is gone already. Another error: *ret_what says which bound could
 * not be set; the rest is. */
_must_check_ int guard_set(Guard *g, pid_t parent, uint64_t memory_max, const char **ret_what);
/* From now the process has so long before it is killed. */
void guard_arm(Guard *g, usec_t timeout);
void guard_disarm(Guard *g);
/* Uses more than 90 % of memory_max. *ret_used: bytes. */
bool guard_memory_is_short(const Guard *g, uint64_t *ret_used);
