/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is called, for names and attributes; and texts that speak of it. */
#pragma once

#include "agent/identity.h"

typedef struct Board {
        char digits[IDENTITY_DIGITS + 1]; /* identity_get() */
        char serial[65]; /* of the board; "" where it has none that can be read */
        char model[129]; /* "Raspberry Pi 4 Model B Rev 1.4"; "" */
} Board;

/* tree: the device tree's folder, /proc/device-tree. */
void board_read(Board *ret, const char *tree, const char *state_dir);
/* The serial number, else the digits. */
const char *board_serial(const Board *b);
/* Text with %s (serial), %m (digits), %M (model, else host name), %H (host name), %v (version of tbagent), %% filled in, owned by
 * the caller. NULL: no memory. */
char *board_text(const Board *b, const char *text);
