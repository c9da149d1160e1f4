/* SPDX-License-Identifier: Apache-2.0 */
/* What the server may ask for: the methods of all instances, found by full and by short names (DESIGN.md 7). Main
 * thread only. */
#pragma once

#include <tbagent/plugin.h>

#include "model/setting.h"

typedef struct Methods Methods;

typedef struct Method { /* texts are the table's */
        const char *instance, *channel, *name; /* channel "": of the instance */
        const char *full; /* "io.pump.set", "io.get" */
        const char *params, *help; /* for people; "" where there is nothing to say */
        uint32_t flags; /* TBAGENT_METHOD_ */
} Method;

_must_check_ int methods_new(Methods **ret);
Methods *methods_free(Methods *m);
DEFINE_CLEANUP(Methods *, methods_free)

void methods_clear(Methods *m, const char *instance);
/* -E2BIG: a name or a text is too large; -ENOSPC: there are too many; -ENOMEM. */
_must_check_ int methods_add(Methods *m, const char *instance, const char *channel, const char *name, const char *params,
                             const char *help, uint32_t flags);
/* What the name stands for in the configuration's group of aliases, which may be NULL; else itself. Borrowed. */
const char *methods_alias(const Setting *aliases, const char *name);
/* -ENOENT: no such method; -ENOTUNIQ: several may be meant; *ret_text says
 * what there is. -ENOMEM. */
_must_check_ int methods_find(const Methods *m, const char *name, const Method **ret, char **ret_text);

size_t methods_n(const Methods *m);
const Method *methods_at(const Methods *m, size_t i);
