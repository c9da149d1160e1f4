/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's files below /sys. Reading one may take as long as the hardware does. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The file dir/name as text: its size, or -errno. */
int attribute_read(const char *dir, const char *name, char *text, size_t size);
/* As a number; -EBADMSG: it is none. */
int attribute_number(const char *dir, const char *name, int64_t *ret);
int attribute_write(const char *dir, const char *name, const char *text);
