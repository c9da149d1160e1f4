/* SPDX-License-Identifier: Apache-2.0 */
/* file_replace() is the one way this project writes a small file: whoever opens the path finds the old or
 * the new content, whole, whatever happens in between, a power cut included: the data are on the disk before
 * the rename, and the rename is before the function returns. The temporary file has a fixed name beside the
 * target, so that a crash leaves at most one, which the next call removes. Two writers of one path at a time
 * are not provided for. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"

int file_read_fd(int fd, size_t max, char **ret, size_t *ret_size) {
        _cleanup_(freep) char *data = NULL;
        size_t size = 0, room;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;

        /* One byte more than it should have shows its end in the first turn. Files in /proc say 0. */
        room = st.st_size > 0 ? MIN((size_t)st.st_size, max) : MIN(4 * KIB, max);
        for (;;) {
                char *larger = realloc(data, room + 2);
                ssize_t n;

                if (!larger)
                        return -ENOMEM;
                data = larger;

                while ((n = read(fd, data + size, room + 1 - size)) > 0) {
                        size += (size_t)n;
                        if (size > room)
                                break;
                }
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                if (room >= max)
                        return -E2BIG;
                room = room > max / 2 ? max : room * 2;
        }
        data[size] = 0;
        *ret = TAKE_PTR(data);
        if (ret_size)
                *ret_size = size;
        return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return -errno;
        return file_read_fd(fd, max, ret, ret_size);
}

int file_write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                p += n;
                size -= (size_t)n;
        }
        return 0;
}

static bool file_holds(const char *path, const void *data, size_t size) {
        _cleanup_(freep) char *old = NULL;
        size_t old_size;

        return file_read(path, size, &old, &old_size) == 0 && old_size == size && memcmp(old, data, size) == 0;
}

static int folder_sync(const char *path) {
        char folder[PATH_MAX];
        const char *slash = strrchr(path, '/');
        _cleanup_(closep) int fd = -EBADF;

        if (!slash)
                snprintf(folder, sizeof(folder), ".");
        else
                snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

static int file_write_new(const char *path, const void *data, size_t size, mode_t mode) {
        _cleanup_(closep) int fd = -EBADF;
        int r;

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (fchmod(fd, mode) < 0) /* whatever the umask is */
                return -errno;
        r = file_write_all(fd, data, size);
        if (r < 0)
                return r;
        return fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, const void *data, size_t size, mode_t mode) {
        char temporary[PATH_MAX];
        int r;

        if (file_holds(path, data, size))
                return 0;
        if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
                return -ENAMETOOLONG;

        if (unlink(temporary) < 0 && errno != ENOENT)
                return -errno;
        r = file_write_new(temporary, data, size, mode);
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlink(temporary);
                return r;
        }
        r = folder_sync(path);
        return r < 0 ? r : 1;
}

int file_mkdir(const char *path, mode_t mode) {
        struct stat st;

        if (mkdir(path, mode) == 0)
                return chmod(path, mode) < 0 ? -errno : 0; /* whatever the umask is */
        if (errno != EEXIST)
                return -errno;
        if (stat(path, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fd_set_nonblock(int fd) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

void fd_close_above(int from, const int *keep, size_t n_keep) {
        for (;;) {
                int next = INT_MAX;

                for (size_t i = 0; i < n_keep; i++)
                        if (keep[i] >= from && keep[i] < next)
                                next = keep[i];
                if (next > from)
                        (void)close_range((unsigned)from, next == INT_MAX ? ~0u : (unsigned)next - 1, 0);
                if (next == INT_MAX)
                        return;
                from = next + 1;
        }
}
