/* SPDX-License-Identifier: Apache-2.0 */
/* Who this machine is, without giving /etc/machine-id away. */
#pragma once

#include "base/macro.h"

#define IDENTITY_DIGITS 12

/* 12 hex digits that stay with this installation: of the app-specific machine id, else a random id kept in
 * state_dir, else (read-only everything) a random one for this run. */
void identity_get(const char *state_dir, char ret[static IDENTITY_DIGITS + 1]);
/* A number in [0, range) that is the same at every start of this machine: spreads a fleet. */
usec_t identity_splay(const char *digits, usec_t range);
