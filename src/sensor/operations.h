/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations that a plugin reaches through <tbagent/plugin.h>. Every struct tbagent_host given to
 * them is part of a Services. */
#pragma once

#include "sensor/services.h"

extern const struct tbagent_services operations;
