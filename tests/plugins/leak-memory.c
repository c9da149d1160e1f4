/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks 10 MB a second and touches what it leaks. */
#include <stdlib.h>
#include <string.h>

#include <tbagent/plugin.h>

#define STEP 1000000

static void *volatile leaked_last; /* or the compiler takes the leak away */

static void on_time(struct tbagent_host *host, void *state, void *userdata) {
        char *leaked = malloc(STEP);

        (void)state;
        (void)userdata;
        leaked_last = leaked;
        if (leaked)
                memset(leaked, 1, STEP);
        (void)tbagent_timer(host, 100000, on_time, NULL);
}

static int leak_open(struct tbagent_host *host, void **ret_state) {
        *ret_state = NULL;
        return tbagent_timer(host, 100000, on_time, NULL);
}

static int leak_sample(struct tbagent_host *host, void *state) {
        (void)state;
        return tbagent_emit_int(host, "alive", 1);
}

TBAGENT_PLUGIN(.name = "leak-memory", .summary = "leaks 10 MB/s", .open = leak_open, .sample = leak_sample);
