/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's other files in the state directory, written by the thread that may wait for the disk. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "spool/store-inside.h"

/* The folders of a path below the state directory, that one included. */
static int make_folders(const Disk *d, char *path) {
        int r = file_mkdir(d->dir, 0700);

        for (char *slash = strchr(path + strlen(d->dir) + 1, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
                *slash = 0;
                r = file_mkdir(path, 0700);
                *slash = '/';
        }
        return r;
}

static void say(Disk *d, const char *path, int error) {
        if (error < 0)
                disk_set_failed(d, AT_FILE, path, error);
        else
                disk_set_well(d, AT_FILE);
}

void disk_replace_file(Disk *d, const char *name, const void *data, size_t size, mode_t mode) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", d->dir, name) < 0)
                return;
        r = file_replace(path, data, size, mode);
        if (r == -ENOENT) {
                r = make_folders(d, path);
                if (r == 0)
                        r = file_replace(path, data, size, mode);
        }
        if (r > 0)
                d->bytes_written += size;
        say(d, path, r);
}

/* A line that a power cut tore does not take the next one with it. */
static int ends_torn(int fd, off_t size) {
        char last = '\n';

        return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

static int append_line(const char *path, const char *line, size_t max_size, size_t *ret_written) {
        _cleanup_(closep) int fd = -EBADF;
        _cleanup_(freep) char *text = NULL, *older = NULL;
        struct stat st;
        int n, r;

        if (asprintf(&older, "%s.1", path) < 0)
                return -ENOMEM;
        if (stat(path, &st) == 0 && st.st_size > 0 && (size_t)st.st_size + strlen(line) + 1 > max_size &&
            rename(path, older) < 0)
                return -errno;
        fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        n = asprintf(&text, "%s%s\n", ends_torn(fd, st.st_size) ? "\n" : "", line);
        if (n < 0)
                return -ENOMEM;
        r = file_write_all(fd, text, (size_t)n);
        if (r == 0 && fdatasync(fd) < 0)
                r = -errno;
        if (r < 0)
                (void)!ftruncate(fd, st.st_size);
        *ret_written = (size_t)n;
        return r;
}

void disk_append_line(Disk *d, const char *name, const char *line, size_t max_size) {
        _cleanup_(freep) char *path = NULL;
        size_t written = 0;
        int r;

        if (asprintf(&path, "%s/%s", d->dir, name) < 0)
                return;
        r = append_line(path, line, max_size, &written);
        if (r == -ENOENT) {
                r = make_folders(d, path);
                if (r == 0)
                        r = append_line(path, line, max_size, &written);
        }
        d->bytes_written += written;
        say(d, path, r);
}
