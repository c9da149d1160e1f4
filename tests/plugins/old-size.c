/* SPDX-License-Identifier: Apache-2.0 */
/* Built before every verb behind `sample` existed, and with something else where they are now. */
#include <tbagent/plugin.h>

static int sample(struct tbagent_host *host, void *state) {
        (void)state;
        return tbagent_emit_int(host, "old", 1);
}

static void trap(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
        __builtin_trap();
}

extern TBAGENT_EXPORT const struct tbagent_plugin tbagent_plugin;
TBAGENT_EXPORT const struct tbagent_plugin tbagent_plugin = {
        .abi = TBAGENT_PLUGIN_ABI, .size = offsetof(struct tbagent_plugin, rpc), .name = "old-size", .sample = sample, .close = trap,
};
