/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from a descriptor, cut into lines. Knows nothing of the host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct Lines {
        char *buffer; /* max + 1 bytes */
        size_t max, used;
        bool skipping; /* within a line that was too long */
} Lines;

/* line is without its newline, ends with NUL, and is the callee's until it returns. whole: false for the first max
 * bytes of a line that is longer than max; the rest of it is skipped. */
typedef void (*line_fn)(void *userdata, char *line, size_t size, bool whole);

int lines_init(Lines *l, size_t max);
void lines_done(Lines *l);
/* One read(), as large as there is room, and fn for each line that is complete. Bytes read; 0: end of file; -EAGAIN;
 * -errno. */
ssize_t lines_read(Lines *l, int fd, line_fn fn, void *userdata);
/* Forgets an unfinished last line, or takes it as a line. */
void lines_end(Lines *l, bool take, line_fn fn, void *userdata);
