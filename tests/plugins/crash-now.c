/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes as soon as it is sampled, with rows on their way. */
#include <stdlib.h>

#include <tbagent/plugin.h>

static int crash_sample(struct tbagent_host *host, void *state) {
        (void)state;
        (void)tbagent_emit_int(host, "alive", 1);
        abort();
}

TBAGENT_PLUGIN(.name = "crash-now", .summary = "crashes at once", .sample = crash_sample);
