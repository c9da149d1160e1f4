/* SPDX-License-Identifier: Apache-2.0 */
/* Emits, logs and makes up keys as fast as it can, all the time. */
#include <stdio.h>

#include <tbagent/plugin.h>

static void burst(struct tbagent_host *host) {
        static uint64_t n;
        char text[200];

        for (int i = 0; i < 2000; i++, n++) {
                snprintf(text, sizeof text, "flood_%d", (int)(n % 50));
                (void)tbagent_emit_int(host, text, (int64_t)n);
                snprintf(text, sizeof text, "made_up_%llu", (unsigned long long)n);
                (void)tbagent_emit_string(host, text, "a text of some length, so that there is something to carry");
                if (n % 100 == 0)
                        tbagent_log(host, TBAGENT_WARNING, "look at me");
                tbagent_row_time(host, tbagent_now(host) + i * 1000000);
        }
}

static void on_time(struct tbagent_host *host, void *state, void *userdata) {
        (void)state;
        (void)userdata;
        burst(host);
        (void)tbagent_timer(host, 1, on_time, NULL);
}

static int flood_open(struct tbagent_host *host, void **ret_state) {
        *ret_state = NULL;
        return tbagent_timer(host, 1, on_time, NULL);
}

TBAGENT_PLUGIN(.name = "flood", .summary = "floods", .open = flood_open);
