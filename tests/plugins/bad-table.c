/* SPDX-License-Identifier: Apache-2.0 */
/* Its option table is wrong: the same name twice. */
#include <tbagent/plugin.h>

static const struct tbagent_option options[] = {
        { "port", TBAGENT_INT, 0, NULL, 0, 0, NULL, NULL, "One.", NULL },
        { "port", TBAGENT_INT, 0, NULL, 0, 0, NULL, NULL, "The same.", NULL },
        { 0 },
};

static int sample(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
        return 0;
}

TBAGENT_PLUGIN(.name = "bad-table", .summary = "has a bad table", .options = options, .sample = sample);
