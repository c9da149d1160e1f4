/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin host in MODE_EXIT_STATE: gives the outputs of an instance their on_exit values and holds them. Main thread. */
#pragma once

#include "agent/exit-record.h"
#include "base/loop.h"

typedef struct ExitHost ExitHost;

typedef struct ExitHostParams {
        Loop *loop;
        const char *host_path, *plugin_dirs;
        const char *instance; /* copied */
        const ExitRecord *record; /* copied; has a plugin */
        int log_level;
        /* A kept descriptor for it, which the caller gives away; -ENOENT: not kept; -EBUSY: somebody else drives it. */
        int (*take)(void *userdata, const char *name);
        void (*done)(void *userdata);  /* what can be set is set; at most once */
        void (*ended)(void *userdata); /* its process is gone; may free it. Without done() before it was for nothing */
        void *userdata;
} ExitHostParams;

/* -ENOENT: the plugin is not installed. */
_must_check_ int exit_host_new(ExitHost **ret, const ExitHostParams *params);
ExitHost *exit_host_free(ExitHost *h); /* kills it */
DEFINE_CLEANUP(ExitHost *, exit_host_free)

/* Then ended() comes. */
void exit_host_stop(ExitHost *h, usec_t wait);
