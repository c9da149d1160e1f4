/* SPDX-License-Identifier: Apache-2.0 */
/* One key that counts the samples: what is missing at the server is seen at once. */
#include <tbagent/plugin.h>

static const struct tbagent_option options[] = {
        { "key", TBAGENT_STRING, 0, "count", 0, 0, NULL, NULL, "Name of the key.", NULL },
        { 0 },
};

static int64_t count;

static int counter_sample(struct tbagent_host *host, void *state) {
        (void)state;
        return tbagent_emit_int(host, tbagent_string(host, tbagent_options(host), "key", 0), count++);
}

TBAGENT_PLUGIN(.name = "counter", .summary = "counts its samples", .options = options, .sample = counter_sample);
