/* SPDX-License-Identifier: Apache-2.0 */
/* One plugin as a file: looked at, loaded, and held to what <tbagent/plugin.h> wants. */
#pragma once

#include <tbagent/plugin.h>

#include "base/macro.h"

typedef struct Plugin {
        void *handle;
        struct tbagent_plugin ops; /* a copy; members that the plugin was built without are NULL */
} Plugin;

/* reserved: names that its options must not have at the top (NULL: none). Other than 0 and -ENOMEM: refused,
 * *ret_why is a sentence for the owner of the machine, owned by the caller. */
_must_check_ int plugin_new(Plugin **ret, const char *path, const struct tbagent_option *reserved, char **ret_why);
Plugin *plugin_free(Plugin *p);
DEFINE_CLEANUP(Plugin *, plugin_free)

const struct tbagent_method *plugin_method(const Plugin *p, const char *name); /* NULL: none */
