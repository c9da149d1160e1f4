/* SPDX-License-Identifier: Apache-2.0 */
/* When it was sampled, as a value: what is stored can be held to that, whatever became of the clock. */
#include <time.h>

#include <tbagent/plugin.h>

static int boottime_sample(struct tbagent_host *host, void *state) {
        struct timespec t;

        (void)state;
        clock_gettime(CLOCK_BOOTTIME, &t);
        return tbagent_emit_int(host, "boottime_us", (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

TBAGENT_PLUGIN(.name = "boottime", .summary = "CLOCK_BOOTTIME in microseconds", .sample = boottime_sample);
