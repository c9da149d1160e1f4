/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations that a plugin reaches through <tbagent/plugin.h>. Every struct tbagent_host given to
 * them is part of a Services. */
#pragma once

#include "sensor/services.h"

extern const struct tbagent_services operations;

/* Runs the plugin's check(), which may not ask for more than options and log lines. Of params: outbox, instance, options. */
void operations_check(const struct tbagent_plugin *plugin, const ServicesParams *params, problem_fn fn, void *userdata);
