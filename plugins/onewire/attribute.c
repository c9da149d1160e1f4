/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attribute.h"

static int attribute_open(const char *dir, const char *name, int flags) {
        char path[PATH_MAX];
        int fd;

        if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int attribute_read(const char *dir, const char *name, char *text, size_t size) {
        int fd = attribute_open(dir, name, O_RDONLY);
        ssize_t n;

        if (fd < 0)
                return fd;
        do
                n = read(fd, text, size - 1);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                n = -errno;
        close(fd);
        text[n > 0 ? n : 0] = 0;
        return (int)n;
}

int attribute_number(const char *dir, const char *name, int64_t *ret) {
        char text[64], *end;
        long long n;
        int r;

        r = attribute_read(dir, name, text, sizeof(text));
        if (r < 0)
                return r;
        errno = 0;
        n = strtoll(text, &end, 10);
        if (errno != 0 || end == text || (*end != '\n' && *end != 0))
                return -EBADMSG;
        *ret = n;
        return 0;
}

int attribute_write(const char *dir, const char *name, const char *text) {
        int fd = attribute_open(dir, name, O_WRONLY);
        ssize_t n;

        if (fd < 0)
                return fd;
        n = write(fd, text, strlen(text));
        if (n < 0)
                n = -errno;
        close(fd);
        return n < 0 ? (int)n : 0;
}
