/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and ending a command.
 *
 * The command may start others (a shell script nearly always does), and all of them have to end with it, and
 * with this process even when that is killed and can't do anything any more. So the process group is led by a
 * guard: a fork of this process that starts the command, says so, waits for its end, says that too, and kills the
 * group, itself included, when its parent is gone. It is reaped last, so the group's number stays valid as long as
 * it is used. A command that leaves the group (setsid) has to look after itself; in the service it ends with the
 * control group.
 *
 * The command gets: /dev/null as stdin, pipes as stdout and stderr, no other descriptor, default signals, the
 * environment it is given, and the hard limit of RLIMIT_DATA as its soft one (the host's soft limit is meant for
 * the plugin). Whether exec worked comes back to the guard through a pipe that exec closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

typedef enum Stage { STAGE_SETUP, STAGE_DIR, STAGE_EXEC } Stage;

typedef struct Failure {
        Stage stage;
        int error; /* errno; 0: it runs */
} Failure;

static void close_set(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* Closes all descriptors but one, which is not 0. */
static void descriptors_close(int keep) {
        if (close_range(0, (unsigned)keep - 1, 0) == 0 && close_range((unsigned)keep + 1, ~0u, 0) == 0)
                return;
        for (int fd = 0; fd < 1024; fd++)
                if (fd != keep)
                        close(fd);
}

static void signals_reset(void) {
        for (int s = 1; s < NSIG; s++)
                signal(s, SIG_DFL);
}

/* Returns on failure only. */
static Failure command_exec(const ChildParams *p, pid_t guard, int out, int err) {
        struct rlimit data;
        sigset_t none;
        int null;

        signals_reset();
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        /* Out of the way of 0, 1 and 2, should those have been closed when the pipes were made. */
        out = fcntl(out, F_DUPFD_CLOEXEC, 3);
        if (err >= 0)
                err = fcntl(err, F_DUPFD_CLOEXEC, 3);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return (Failure){STAGE_SETUP, errno};
        if (getppid() != guard)
                _exit(0);
        if (getrlimit(RLIMIT_DATA, &data) == 0) {
                data.rlim_cur = data.rlim_max;
                setrlimit(RLIMIT_DATA, &data);
        }
        null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
            dup2(err >= 0 ? err : null, STDERR_FILENO) < 0)
                return (Failure){STAGE_SETUP, errno};
        if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0) /* all of ours are so already, those of libraries may not be */
                for (int fd = 3; fd < 1024; fd++)
                        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (chdir(p->dir) < 0)
                return (Failure){STAGE_DIR, errno};
        environ = (char **)p->env;
        execvp(p->argv[0], p->argv);
        return (Failure){STAGE_EXEC, errno};
}

/* Its pid, or -1; *ret_failure tells whether it runs. */
static pid_t command_fork(const ChildParams *p, int out, int err, Failure *ret_failure) {
        pid_t guard = getpid(), pid;
        int status[2];
        ssize_t n;

        *ret_failure = (Failure){STAGE_SETUP, 0};
        if (pipe2(status, O_CLOEXEC) < 0) {
                ret_failure->error = errno;
                return -1;
        }
        pid = fork();
        if (pid == 0) {
                int report = fcntl(status[1], F_DUPFD_CLOEXEC, 3);
                Failure f = command_exec(p, guard, out, err);

                n = write(report, &f, sizeof(f));
                _exit(127);
        }
        if (pid < 0)
                ret_failure->error = errno;
        close(status[1]);
        do
                n = pid > 0 ? read(status[0], ret_failure, sizeof(*ret_failure)) : 0;
        while (n < 0 && errno == EINTR);
        close(status[0]);
        return pid;
}

/* Never returns. Any signal but SIGKILL only makes it look whether its parent is still there, and its child. */
static void guard_run(const ChildParams *p, pid_t parent, int report, int out, int err) {
        Failure failure;
        sigset_t all;
        int status;
        pid_t pid;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        signals_reset(); /* an ignored SIGCHLD would take the command's status */
        report = fcntl(report, F_DUPFD_CLOEXEC, 3);
        setpgid(0, 0);
        prctl(PR_SET_NAME, "exec-guard");
        prctl(PR_SET_PDEATHSIG, SIGHUP);
        pid = command_fork(p, out, err, &failure);
        descriptors_close(report);
        if (write(report, &failure, sizeof(failure)) != sizeof(failure) || pid < 0)
                _exit(1);
        while (getppid() == parent) {
                if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) {
                        pid = 0;
                        if (write(report, &status, sizeof(status)) != sizeof(status))
                                break;
                }
                sigwaitinfo(&all, NULL);
        }
        kill(0, SIGKILL);
        _exit(0);
}

/* A pipe whose read end does not block. */
static int pipe_open(int ends[2]) {
        if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

/* Waits until the command runs, or can't. */
static int start_wait(int report, Failure *ret) {
        struct pollfd ready = {.fd = report, .events = POLLIN};
        ssize_t n;

        do {
                poll(&ready, 1, -1);
                n = read(report, ret, sizeof(*ret));
        } while (n < 0 && (errno == EAGAIN || errno == EINTR));
        return n == sizeof(*ret) ? -ret->error : -ECHILD;
}

static const char *failure_words(Stage stage) {
        switch (stage) {
        case STAGE_SETUP:
                return "cannot start a process";
        case STAGE_DIR:
                return "cannot go to its dir";
        case STAGE_EXEC:
                break;
        }
        return NULL;
}

int child_start(Child *c, const ChildParams *params, const char **ret_what) {
        int out[2] = {-1, -1}, err[2] = {-1, -1}, end[2] = {-1, -1}, r;
        Failure failure = {STAGE_SETUP, 0};
        pid_t parent = getpid();

        *c = CHILD_NONE;
        r = pipe_open(end);
        if (r == 0)
                r = pipe_open(out);
        if (r == 0 && !params->drop_stderr)
                r = pipe_open(err);
        if (r == 0) {
                c->guard = fork();
                if (c->guard == 0)
                        guard_run(params, parent, end[1], out[1], err[1]);
                if (c->guard < 0) {
                        r = -errno;
                        c->guard = 0;
                } else
                        setpgid(c->guard, c->guard); /* both sides do it, so that the group is there whichever comes first */
        }
        close_set(&end[1]);
        close_set(&out[1]);
        close_set(&err[1]);
        c->end = end[0];
        c->out = out[0];
        c->err = err[0];
        if (r == 0)
                r = start_wait(c->end, &failure);
        if (r < 0) {
                *ret_what = failure_words(failure.stage);
                child_stop(c, 0, NULL);
                child_close(c);
        }
        return r;
}

void child_stop(Child *c, int grace_msec, int *ret_status) {
        struct pollfd ended = {.fd = c->end, .events = POLLIN};
        int status = SIGKILL; /* unless it has ended by itself */

        if (c->guard > 0) {
                if (grace_msec > 0) {
                        kill(-c->guard, SIGTERM);
                        poll(&ended, 1, grace_msec);
                }
                kill(-c->guard, SIGKILL);
                while (waitpid(c->guard, NULL, 0) < 0 && errno == EINTR)
                        ;
                c->guard = 0;
                if (read(c->end, &status, sizeof(status)) != sizeof(status))
                        status = SIGKILL;
        }
        close_set(&c->end);
        if (ret_status)
                *ret_status = status;
}

void child_close(Child *c) {
        close_set(&c->out);
        close_set(&c->err);
}
