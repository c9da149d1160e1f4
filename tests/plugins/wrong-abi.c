/* SPDX-License-Identifier: Apache-2.0 */
/* Built for an interface that does not exist. */
#include <tbagent/plugin.h>

static int sample(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
        return 0;
}

extern TBAGENT_EXPORT const struct tbagent_plugin tbagent_plugin;
TBAGENT_EXPORT const struct tbagent_plugin tbagent_plugin = {
        .abi = 77, .size = sizeof(struct tbagent_plugin), .name = "wrong-abi", .sample = sample,
};
