/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, read whole within a bound and replaced atomically; fds without surprises. No state. */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

/* Reads a file of at most max bytes; *ret gets a NUL behind the data, owned by the caller.
 * -E2BIG: larger; other: from open or read. ret_size may be NULL. */
_must_check_ int file_read(const char *path, size_t max, char **ret, size_t *ret_size);
_must_check_ int file_read_fd(int fd, size_t max, char **ret, size_t *ret_size);

/* Replaces path by data: temporary file beside it, fsync, rename, fsync of the folder.
 * 1: done; 0: the content was the same already and nothing was written. */
_must_check_ int file_replace(const char *path, const void *data, size_t size, mode_t mode);

_must_check_ int file_write_all(int fd, const void *data, size_t size);
_must_check_ int file_mkdir(const char *path, mode_t mode); /* 0 also where it is there already */
_must_check_ int fd_set_nonblock(int fd);
/* Closes every fd from `from` on that is not in keep. */
void fd_close_above(int from, const int *keep, size_t n_keep);
