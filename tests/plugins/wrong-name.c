/* SPDX-License-Identifier: Apache-2.0 */
/* Calls itself by another name than its file. */
#include <tbagent/plugin.h>

static int sample(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
        return 0;
}

TBAGENT_PLUGIN(.name = "right-name", .summary = "is another", .sample = sample);
