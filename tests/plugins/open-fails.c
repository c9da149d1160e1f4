/* SPDX-License-Identifier: Apache-2.0 */
/* Cannot be opened, and it is not absence. */
#include <errno.h>

#include <tbagent/plugin.h>

static int fails_open(struct tbagent_host *host, void **ret_state) {
        (void)ret_state;
        tbagent_log(host, TBAGENT_ERROR, "chip answers 0xff to everything");
        return -EIO;
}

TBAGENT_PLUGIN(.name = "open-fails", .summary = "cannot be opened", .open = fails_open);
