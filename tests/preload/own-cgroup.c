/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD: a process that systemd has started, as far as it can see: what it reads in /proc/self/cgroup is the file that
 * TBAGENT_OWN_CGROUP names. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef int (*open_fn)(const char *, int, ...);

static int open_other(const char *name, const char *path, int flags, va_list ap) {
        const char *own = getenv("TBAGENT_OWN_CGROUP");
        open_fn real = (open_fn)dlsym(RTLD_NEXT, name);
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;

        return real(own && strcmp(path, "/proc/self/cgroup") == 0 ? own : path, flags, mode);
}

__attribute__((visibility("default"))) int open(const char *path, int flags, ...) {
        va_list ap;
        int fd;

        va_start(ap, flags);
        fd = open_other("open", path, flags, ap);
        va_end(ap);
        return fd;
}

__attribute__((visibility("default"))) int open64(const char *path, int flags, ...) {
        va_list ap;
        int fd;

        va_start(ap, flags);
        fd = open_other("open64", path, flags, ap);
        va_end(ap);
        return fd;
}
