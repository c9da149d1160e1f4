/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plugin `exec` share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <tbagent/plugin.h>

#include "child.h"
#include "lines.h"
#include "values.h"

typedef struct Exec {
        struct tbagent_host *host;
        bool daemon;
        char **argv, **env; /* the arrays are ours, argv's strings are the options' */
        ChildParams params;
        uint64_t kill_after_usec, silence_usec;

        Child child;
        Lines out, err;
        Values *values;

        int64_t started_ns, heard_ns; /* when it was started, when it wrote last */
        uint64_t delay_usec;          /* daemon: before the next start; 0: the next failure is the first */
        bool silenced;                /* daemon: killed because it was silent */
        char trouble[512];            /* why there is no command now */

        int64_t window_ns; /* of the limit for stderr */
        unsigned n_window, n_dropped;
} Exec;

/* ---- setup.c: options to argv, env and params */
extern const struct tbagent_option exec_options[];
int exec_check(struct tbagent_host *host);
/* Of options that were checked. 0; -ENOMEM. */
int exec_configure(Exec *e);
void exec_unconfigure(Exec *e);
/* Says why it does not start (what NULL: the program can't be run), and what may help. */
void start_tell(Exec *e, const char *what, int error);
