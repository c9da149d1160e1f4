/* SPDX-License-Identifier: Apache-2.0 */
/* One key that counts the samples: what is missing at the server is seen at once. With `keep` it goes on counting where
 * the process before it ended. */
#include <tbagent/plugin.h>

static const struct tbagent_option options[] = {
        { "key", TBAGENT_STRING, 0, "count", 0, 0, NULL, NULL, "Name of the key.", NULL },
        { "keep", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "Goes on counting after a restart.", NULL },
        { 0 },
};

static int64_t count;

static int counter_open(struct tbagent_host *host, void **ret_state) {
        (void)ret_state;
        (void)tbagent_state_get(host, &count, sizeof count);
        return 0;
}

static int counter_sample(struct tbagent_host *host, void *state) {
        const struct tbagent_node *o = tbagent_options(host);
        int r = tbagent_emit_int(host, tbagent_string(host, o, "key", 0), count++);

        (void)state;
        return r == 0 && tbagent_int(host, o, "keep") ? tbagent_state_put(host, &count, sizeof count) : r;
}

TBAGENT_PLUGIN(.name = "counter", .summary = "counts its samples", .options = options, .open = counter_open,
               .sample = counter_sample);
