/* SPDX-License-Identifier: Apache-2.0 */
/* A command in a process group of its own that never outlives this process. Knows nothing of the host. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Child {
        pid_t guard; /* leads the process group; 0: there is none */
        int end;     /* readable when the command has ended */
        int out;     /* non-blocking; -1: closed */
        int err;     /* non-blocking; -1: closed, or its stderr is dropped */
} Child;

#define CHILD_NONE ((Child){.end = -1, .out = -1, .err = -1})

typedef struct ChildParams {
        char *const *argv; /* argv[0] is looked for in PATH unless it has a slash */
        char *const *env;
        const char *dir;
        bool drop_stderr;
} ChildParams;

/* 0; -errno: *ret_what is what failed, for people; NULL: to run the program. */
int child_start(Child *c, const ChildParams *params, const char **ret_what);
/* Asks the group to end, gives the command grace_msec for it (0: none), and kills what is left of the group. out and
 * err stay open, as they may still hold what was written before. ret_status (may be NULL) as of waitpid(). */
void child_stop(Child *c, int grace_msec, int *ret_status);
/* Closes what child_stop() left. */
void child_close(Child *c);
