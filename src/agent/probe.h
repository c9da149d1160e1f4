/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the hosts of a configuration once and to their end, in check, once or scan mode, for the command
 * line: nothing is restarted, nothing sent. Runs the loop until all are through. */
#pragma once

#include "agent/config-check.h"
#include "base/loop.h"
#include "model/frame.h"
#include "model/row.h"

typedef struct ProbeParams {
        const ConfigInstance *instances; /* borrowed, as all here */
        size_t n_instances;
        const char *only; /* this instance alone; NULL: all that are enabled */
        FrameMode mode;
        const char *host_path;
        const char *plugin_dirs;
        usec_t timeout; /* for all of them */
        int log_level;
        /* a mistake in the configuration, or (file NULL) a host that did not come through. MODE_SCAN, not fatal: what the
         * plugin could not look at */
        void (*problem)(void *userdata, const ConfigInstance *instance, bool fatal, const char *file, unsigned line,
                        const char *text);
        void (*row)(void *userdata, const ConfigInstance *instance, const Row *row);                     /* may be NULL */
        void (*found)(void *userdata, const ConfigInstance *instance, const char *json, size_t size); /* may be NULL */
        void *userdata;
} ProbeParams;

/* 0; -ENOENT: `only` is no instance; other: could not run. */
_must_check_ int probe_run(const ProbeParams *params);
