/* SPDX-License-Identifier: Apache-2.0 */
/* A sample takes longer than its period, as an old bus does. */
#include <time.h>

#include <tbagent/plugin.h>

static const struct tbagent_option options[] = {
        { "takes", TBAGENT_DURATION, 0, "250ms", 0, 3600, NULL, "s", "Time that a sample takes.", NULL },
        { 0 },
};

static int slow_sample(struct tbagent_host *host, void *state) {
        int64_t usec = tbagent_int(host, tbagent_options(host), "takes");
        struct timespec t = { .tv_sec = (time_t)(usec / 1000000), .tv_nsec = (long)(usec % 1000000 * 1000) };

        (void)state;
        while (nanosleep(&t, &t) < 0)
                ;
        return tbagent_emit_int(host, "slow", 1);
}

TBAGENT_PLUGIN(.name = "slow", .summary = "takes its time", .options = options, .sample = slow_sample);
