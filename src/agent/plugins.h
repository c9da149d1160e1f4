/* SPDX-License-Identifier: Apache-2.0 */
/* Which plugins are installed: NAME.so in one of the plugin folders. Nothing is loaded here. */
#pragma once

#include "base/macro.h"

#define PLUGINS_MAX 64

/* The names of those in all folders, sorted and each once; owned by the caller. Returns how many. */
size_t plugins_list(const char *dirs, char *names[static PLUGINS_MAX]);

/* dirs: folders separated by ':'. 0: *ret is the path of NAME.so, owned by the caller; -ENOENT: *ret_text says
 * what there is instead; -EINVAL: not a plugin name, *ret_text likewise. Both owned by the caller. */
_must_check_ int plugins_find(const char *dirs, const char *name, char **ret, char **ret_text);
