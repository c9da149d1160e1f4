/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin keeps by state_put(): a few bytes of one instance, in a file in the runtime directory (tmpfs: it survives
 * every crash) and, now and then, in the state directory (it survives a power cut). Main thread. */
#pragma once

#include "base/loop.h"
#include "spool/store.h"

#define PLUGIN_STATE_MAX (4 * KIB)
#define PLUGIN_STATE_DIR "state" /* in both directories; a file has the name of its instance */

typedef struct PluginState PluginState;

typedef struct PluginStateParams {
        Loop *loop;
        const char *instance;    /* borrowed for life, as the folders are */
        const char *runtime_dir; /* NULL: none */
        const char *state_dir;   /* NULL: none; read at start */
        Store *store;            /* writes there; NULL: nobody does */
        usec_t persist;          /* at most so long is a change in the runtime directory alone */
} PluginStateParams;

/* Reads what there is, the newer of the two; a file that is torn or foreign is told in the log and left out. */
_must_check_ int plugin_state_new(PluginState **ret, const PluginStateParams *params);
/* What is not in the state directory yet goes to the store. */
PluginState *plugin_state_free(PluginState *p);
DEFINE_CLEANUP(PluginState *, plugin_state_free)

/* Borrowed until the next put. */
const void *plugin_state_data(const PluginState *p, size_t *ret_size);
/* -E2BIG: more than PLUGIN_STATE_MAX. What cannot be written is told in the log and tried again. */
_must_check_ int plugin_state_put(PluginState *p, const void *data, size_t size);
