/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that change while the instance runs: checked by the tables, by the rules, by the plugin, and taken back
 * when one of them refuses. */
#pragma once

#include "sensor/life.h"

typedef struct Live Live;

typedef struct LiveParams {
        Services *services; /* all is borrowed */
        Life *life;
        const Plugin *plugin;
        Node *options;
        Channels **channels; /* replaced by new ones */
        const char *instance;
        const Setting *settings;
} LiveParams;

_must_check_ int live_new(Live **ret, const LiveParams *params);
Live *live_free(Live *l);
DEFINE_CLEANUP(Live *, live_free)

/* data: setting_encode(); size 0: back to what the file says. 0: it holds; else *ret_text says why not. */
_must_check_ int live_apply(Live *l, const char *path, const uint8_t *data, size_t size, char *ret_text, size_t text_size);
