/* SPDX-License-Identifier: Apache-2.0 */
/* Samples well and crashes one second after its start. */
#include <tbagent/plugin.h>

static void on_time(struct tbagent_host *host, void *state, void *userdata) {
        (void)host;
        (void)state;
        *(volatile int *)userdata = 1;
}

static int crash_open(struct tbagent_host *host, void **ret_state) {
        *ret_state = NULL;
        return tbagent_timer(host, 1000000, on_time, NULL);
}

static int crash_sample(struct tbagent_host *host, void *state) {
        (void)state;
        return tbagent_emit_int(host, "alive", 1);
}

TBAGENT_PLUGIN(.name = "crash", .summary = "crashes after one second", .open = crash_open, .sample = crash_sample);
