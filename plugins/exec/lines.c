/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"

int lines_init(Lines *l, size_t max) {
        *l = (Lines){.buffer = malloc(max + 1), .max = max};
        return l->buffer ? 0 : -ENOMEM;
}

void lines_done(Lines *l) {
        free(l->buffer);
        l->buffer = NULL;
}

ssize_t lines_read(Lines *l, int fd, line_fn fn, void *userdata) {
        char *start = l->buffer, *newline;
        ssize_t n;

        do
                n = read(fd, l->buffer + l->used, l->max + 1 - l->used); /* + 1: the newline of the longest line */
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : 0;
        l->used += (size_t)n;
        while ((newline = memchr(start, '\n', l->used - (size_t)(start - l->buffer)))) {
                *newline = 0;
                if (!l->skipping)
                        fn(userdata, start, (size_t)(newline - start), true);
                l->skipping = false;
                start = newline + 1;
        }
        l->used -= (size_t)(start - l->buffer);
        if (l->skipping)
                l->used = 0;
        else if (l->used > l->max) {
                l->buffer[l->max] = 0;
                fn(userdata, l->buffer, l->max, false);
                l->skipping = true;
                l->used = 0;
        } else if (start != l->buffer)
                memmove(l->buffer, start, l->used);
        return n;
}

void lines_end(Lines *l, bool take, line_fn fn, void *userdata) {
        if (take && !l->skipping && l->used > 0) {
                l->buffer[l->used] = 0;
                fn(userdata, l->buffer, l->used, true);
        }
        l->used = 0;
        l->skipping = false;
}
