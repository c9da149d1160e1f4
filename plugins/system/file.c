/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "system.h"

int file_read(const System *s, const char *path, char *text, size_t size) {
        size_t used = 0;
        ssize_t n;
        int fd, r;

        fd = openat(s->root, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        do {
                n = read(fd, text + used, size - 1 - used);
                if (n > 0)
                        used += (size_t)n;
        } while (n > 0 || (n < 0 && errno == EINTR));
        r = n < 0 ? -errno : (int)used;
        close(fd);
        text[used] = 0;
        return r;
}

int file_open(const System *s, const char *path, FILE **ret) {
        FILE *f;
        int fd;

        fd = openat(s->root, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        f = fdopen(fd, "re");
        if (!f) {
                close(fd);
                return -ENOMEM;
        }
        *ret = f;
        return 0;
}

int file_number(const System *s, const char *path, int base, int64_t *ret) {
        char text[64], *end;
        int64_t n;
        int r;

        r = file_read(s, path, text, sizeof(text));
        if (r < 0)
                return r;
        errno = 0;
        n = strtoll(text, &end, base);
        if (end == text || errno != 0 || (*end != '\n' && *end != 0))
                return -EBADMSG;
        *ret = n;
        return 0;
}
