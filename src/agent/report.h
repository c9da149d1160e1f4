/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the whole daemon as JSON, for agent.status, D-Bus and tbagentctl. No credential is in it. Pure. */
#pragma once

#include "agent/status.h"

/* Owned by the caller; NULL: out of memory. Members: man tbagentctl(1). */
char *report_json(const StatusView *view);
