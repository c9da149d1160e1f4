/* SPDX-License-Identifier: Apache-2.0 */
/* What a host gets: /dev/null as stdin, our stderr as stdout and stderr, its socket as fd 3, nothing above
 * (closed by number, since libraries open sockets without CLOEXEC), default signals, none blocked, a process
 * group of its own (Ctrl-C at a terminal is for the daemon, which then stops its hosts in order; and what a
 * dead host leaves behind can be ended with it), and those variables of the environment that are listed here. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>

#include "sensor/process.h"

extern char **environ;

static bool is_allowed(const char *variable) {
        static const char *const prefixes[] = {
                "PATH=", "LANG=", "TZ=", "LC_", "TBAGENT_", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "TSAN_OPTIONS=",
        };

        for (size_t i = 0; i < ELEMENTS(prefixes); i++)
                if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;
        return false;
}

/* The texts are borrowed from our own environment. */
static char **environment_new(bool sanitized) {
        size_t n = 0, out = 0;
        char **list;

        while (environ && environ[n])
                n++;
        list = calloc(n + 2, sizeof(char *));
        if (!list)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (is_allowed(environ[i]))
                        list[out++] = environ[i];
        if (sanitized)
                list[out] = (char *)"TBAGENT_SANITIZED=1";
        return list;
}

static int set_attributes(posix_spawnattr_t *attr) {
        sigset_t all, none;
        int r;

        sigfillset(&all);
        sigemptyset(&none);
        r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attr, &all);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attr, &none);
        if (r == 0)
                r = posix_spawnattr_setpgroup(attr, 0);
        return -r;
}

static int set_files(posix_spawn_file_actions_t *files, int fd) {
        int r;

        r = posix_spawn_file_actions_adddup2(files, fd, PROCESS_FD); /* clears CLOEXEC, also from 3 to 3 */
        if (r == 0)
                r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(files, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(files, PROCESS_FD + 1);
        return -r;
}

int process_spawn(const char *path, const char *instance, bool sanitized, pid_t *ret_pid, int *ret_fd) {
        _cleanup_(closep) int ours = -EBADF, theirs = -EBADF;
        _cleanup_(freep) char **environment = NULL;
        char fd_text[16];
        char *argv[] = { (char *)path, (char *)instance, fd_text, NULL };
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attr;
        int fds[2], r;
        pid_t pid;

        environment = environment_new(sanitized);
        if (!environment || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return environment ? -errno : -ENOMEM;
        ours = fds[0];
        theirs = fds[1];
        snprintf(fd_text, sizeof(fd_text), "%d", PROCESS_FD);

        r = posix_spawn_file_actions_init(&files);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attr);
        if (r != 0) {
                posix_spawn_file_actions_destroy(&files);
                return -r;
        }
        r = set_attributes(&attr);
        if (r == 0)
                r = set_files(&files, theirs);
        if (r == 0)
                r = -posix_spawn(&pid, path, &files, &attr, argv, environment);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&files);
        if (r < 0)
                return r;
        *ret_pid = pid;
        *ret_fd = TAKE_FD(ours);
        return 0;
}

void process_kill(pid_t pid) {
        (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
}

int process_status_open(pid_t pid) {
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

bool process_is_dying(int status_fd) {
        const char *state, *pending;
        char status[8 * KIB];
        ssize_t n;

        n = status_fd < 0 ? -1 : pread(status_fd, status, sizeof(status) - 1, 0);
        if (n <= 0)
                return false;
        status[n] = 0;
        state = strstr(status, "\nState:\t");
        pending = strstr(status, "\nShdPnd:\t");
        return (state && state[8] == 'Z') || (pending && strtoull(pending + 9, NULL, 16) & (UINT64_C(1) << (SIGKILL - 1)));
}
