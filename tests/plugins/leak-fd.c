/* SPDX-License-Identifier: Apache-2.0 */
/* Leaks a descriptor with every sample until there are none left. */
#include <errno.h>
#include <fcntl.h>

#include <tbagent/plugin.h>

static int leak_sample(struct tbagent_host *host, void *state) {
        (void)state;
        for (int i = 0; i < 100; i++)
                if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
                        return -errno;
        return tbagent_emit_int(host, "alive", 1);
}

TBAGENT_PLUGIN(.name = "leak-fd", .summary = "leaks descriptors", .sample = leak_sample);
