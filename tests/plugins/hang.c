/* SPDX-License-Identifier: Apache-2.0 */
/* Its second sample never comes back, and no signal that can be blocked gets through. */
#include <signal.h>
#include <unistd.h>

#include <tbagent/plugin.h>

static int hang_sample(struct tbagent_host *host, void *state) {
        static int n;
        sigset_t all;

        (void)state;
        if (++n == 1)
                return tbagent_emit_int(host, "alive", 1);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        for (;;)
                pause();
}

TBAGENT_PLUGIN(.name = "hang", .summary = "hangs in its second sample", .sample = hang_sample);
