/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of the agent itself: agent.ping, status, sample, reload, log_level, methods. Main thread. */
#pragma once

#include "agent/instances.h"
#include "agent/methods.h"

typedef struct BuiltinParams { /* borrowed */
        const Methods *methods;
        Instances *(*instances)(void *userdata);
        char *(*status)(void *userdata);
        void (*reload)(void *userdata);
        void *userdata;
} BuiltinParams;

/* As RpcParams.builtin: the reply, owned by the caller; NULL: why not. */
char *builtin_call(const BuiltinParams *p, const char *name, const char *params, const char **ret_code, const char **ret_text);
