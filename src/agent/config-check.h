/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in the configuration, apart from the plugins' own options, which their hosts check. */
#pragma once

#include "agent/config-problem.h"
#include "model/option.h"

typedef struct ConfigInstance {
        const char *name;   /* borrowed from the Config */
        const char *plugin; /* name without .so */
        bool enabled;
        bool optional;
        bool strict_order;
        bool misconfigured; /* its part has a fatal problem found without the host */
        uint64_t intake_rate, intake_burst;
        usec_t on_exit_after; /* outputs get their on_exit values when it is not back by then */
        usec_t persist; /* at most so old is what the state directory has of what its plugin keeps */
        const Setting *settings; /* its whole group; `report` and `telemetry.order` of the top level merged in */
        const char *file; /* where it was set first */
        unsigned line;
} ConfigInstance;

/* Checks everything but the insides of the instances. rights: hold the files with secrets in them to their
 * mode too. *ret is the whole as nodes; NULL: out of memory. */
void config_check_top(const Setting *root, const char *main_file, bool rights, Node **ret, ConfigProblems *problems);

/* Fills *ret from one member of `plugins`; *ret_settings is what its host gets, owned by the caller, and
 * ret->settings is it. False: it is no group, or memory ran out; told. */
bool config_check_instance(const Setting *root, const Setting *instance, ConfigInstance *ret, Setting **ret_settings,
                           ConfigProblems *problems);
