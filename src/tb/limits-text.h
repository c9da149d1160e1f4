/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of a server as a few lines of text and back, so that a daemon that starts again does not learn them
 * anew from closed connections. Only good until the next boot: times are monotonic. Pure; fuzzed. */
#pragma once

#include "tb/limits.h"

#define LIMITS_TEXT_MAX 2048

/* server: whose they are. The size; 0: it does not fit. */
size_t limits_write(const Limits *l, const char *server, char out[static LIMITS_TEXT_MAX]);
/* Into one that limits_init() made. -ENOENT: those of another server; -EBADMSG: not of this form; l is unchanged then. */
_must_check_ int limits_read(Limits *l, const char *text, const char *server, usec_t now);
