/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD: a disk that hangs. While the file TBAGENT_DISK_HANG names is there, no fsync() and no fdatasync() returns. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*sync_fn)(int);

static int sync_slowly(const char *name, int fd) {
        const char *path = getenv("TBAGENT_DISK_HANG");
        sync_fn real = (sync_fn)dlsym(RTLD_NEXT, name);

        while (path && access(path, F_OK) == 0)
                usleep(10000);
        return real(fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
        return sync_slowly("fdatasync", fd);
}

__attribute__((visibility("default"))) int fsync(int fd) {
        return sync_slowly("fsync", fd);
}
