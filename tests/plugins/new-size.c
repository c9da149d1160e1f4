/* SPDX-License-Identifier: Apache-2.0 */
/* Built with the header of a release that is still to come. */
#include <tbagent/plugin.h>

static int sample(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
        return 0;
}

struct later {
        struct tbagent_plugin known;
        int (*more)(struct tbagent_host *host, void *state);
};

extern TBAGENT_EXPORT const struct later tbagent_plugin;
TBAGENT_EXPORT const struct later tbagent_plugin = {
        .known = { .abi = TBAGENT_PLUGIN_ABI, .size = sizeof(struct later), .name = "new-size", .sample = sample }, .more = sample,
};
