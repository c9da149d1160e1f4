/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin host for test-child that does as the plugin file's name says. argv: INSTANCE FD. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "model/frame.h"
#include "sensor/wire.h"

extern char **environ;

static int sock;
static uint8_t in[FRAME_SIZE_MAX], out[FRAME_SIZE_MAX];

/* Waits for room, as no real host would. */
static void send_bytes(const void *data, size_t size, int fd) {
        int r;

        while ((r = wire_send(sock, data, size, fd)) == -EAGAIN) {
                struct pollfd p = { sock, POLLOUT, 0 };

                (void)poll(&p, 1, -1);
        }
        if (r < 0)
                _exit(99);
}

#define SEND(...)                                               \
        do {                                                    \
                ssize_t _n = frame_build(out, __VA_ARGS__);     \
                send_bytes(out, (size_t)_n, -EBADF);            \
        } while (0)

static void say(const char *text) {
        SEND(FRAME_LOG, (uint64_t)6, text);
}

static void send_rows(const char *text) {
        SEND(FRAME_ROWS, (const void *)text, strlen(text));
}

static void running(void) {
        SEND(FRAME_STATE, (uint64_t)HOST_RUNNING, "");
}

/* false: end of file. */
static bool receive(Frame *ret, int *ret_fd) {
        ssize_t n;

        for (;;) {
                struct pollfd p = { sock, POLLIN, 0 };

                n = wire_receive(sock, in, sizeof(in), ret_fd);
                if (n != -EAGAIN)
                        break;
                (void)poll(&p, 1, -1);
        }
        if (n <= 0)
                return false;
        if (frame_parse(in, (size_t)n, ret) < 0)
                _exit(98);
        return true;
}

/* A decent host: echoes methods, sends a last row when asked to stop. */
static int serve(void) {
        Frame f;
        int fd;

        while (receive(&f, &fd)) {
                if (f.type == FRAME_RPC)
                        SEND(FRAME_REPLY, f.f[0].u, f.f[3].data);
                else if (f.type == FRAME_LEVEL)
                        SEND(FRAME_LOG, f.f[0].u, "level");
                else if (f.type == FRAME_SAMPLE)
                        send_rows("sample");
                else if (f.type == FRAME_FD && fd >= 0) {
                        if (write(fd, "y", 1) != 1)
                                return 97;
                        close(fd);
                } else if (f.type == FRAME_STOP)
                        say("asked to stop");
        }
        send_rows("last");
        return 0;
}

static void inspect(int argc, char **argv) {
        char text[300];
        struct dirent *d;
        sigset_t mask;
        DIR *dir;

        snprintf(text, sizeof(text), "argv %d %s %s", argc, argv[1], argv[2]);
        say(text);
        dir = opendir("/proc/self/fd");
        while (dir && (d = readdir(dir)))
                if (d->d_name[0] != '.' && atoi(d->d_name) != dirfd(dir) && atoi(d->d_name) < 1000) { /* valgrind's are above */
                        snprintf(text, sizeof(text), "fd %s", d->d_name);
                        say(text);
                }
        closedir(dir);
        for (char **e = environ; *e; e++) {
                snprintf(text, sizeof(text), "env %s", *e);
                say(text);
        }
        sigprocmask(SIG_SETMASK, NULL, &mask);
        for (int s = 1; s < 32; s++) {
                struct sigaction sa;

                if (sigismember(&mask, s) || (sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)) {
                        snprintf(text, sizeof(text), "signal %d", s);
                        say(text);
                }
        }
        if (getpgrp() != getpid())
                say("group");
        say("through");
}

static void pass_fds(void) {
        int fds[2], two[2];
        union {
                char bytes[CMSG_SPACE(2 * sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { out, 0 };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);

        if (pipe2(fds, O_CLOEXEC) < 0)
                _exit(96);
        iov.iov_len = (size_t)frame_build(out, FRAME_FD_KEEP, "line");
        send_bytes(out, iov.iov_len, fds[1]);
        /* Two at once, and one beside a frame that has none. */
        two[0] = two[1] = fds[1];
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(two));
        memcpy(CMSG_DATA(c), two, sizeof(two));
        if (sendmsg(sock, &m, 0) < 0)
                _exit(95);
        send_bytes(out, (size_t)frame_build(out, FRAME_LOG, (uint64_t)6, "with fd"), fds[1]);
        send_bytes(out, (size_t)frame_build(out, FRAME_FD_KEEP, "none"), -EBADF);
        close(fds[1]);
        /* End of file: the daemon has closed all of them. */
        if (read(fds[0], &control, 1) == 1)
                say("byte");
        if (read(fds[0], &control, 1) == 0)
                say("all closed");
}

/* Leaves somebody behind who holds the socket and a pipe that the daemon watches. */
static void leave_behind(void) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                _exit(96);
        send_bytes(out, (size_t)frame_build(out, FRAME_FD_KEEP, "pipe"), fds[0]);
        if (fork() == 0)
                for (;;)
                        pause();
        _exit(5);
}

static void crash(int signo) {
        struct sigaction dfl = { .sa_handler = SIG_DFL };
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        sigaction(signo, &dfl, NULL); /* a sanitizer has its own */
        kill(getpid(), signo);
        for (;;)
                pause();
}

static void hang(void) {
        for (;;)
                pause();
}

static int misbehave(const char *what, const Frame *setup, int argc, char **argv) {
        static const char big[100000];

        if (streq(what, "echo")) {
                send_rows(setup->f[0].data);
                SEND(FRAME_ROWS, setup->f[3].data, setup->f[3].size);
                SEND(FRAME_ROWS, setup->f[4].data, setup->f[4].size);
        } else if (streq(what, "inspect"))
                inspect(argc, argv);
        else if (streq(what, "crash"))
                crash(SIGSEGV);
        else if (streq(what, "term"))
                crash(SIGTERM);
        else if (streq(what, "timeout"))
                crash(SIGKILL);
        else if (streq(what, "exit0"))
                return 0;
        else if (streq(what, "exit3"))
                return 3;
        else if (streq(what, "exit78"))
                return 78;
        else if (streq(what, "fatal")) {
                SEND(FRAME_PROBLEM, (uint64_t)0, "a.conf", (uint64_t)3, "a warning");
                SEND(FRAME_PROBLEM, (uint64_t)1, "a.conf", (uint64_t)4, "option \"evry\": did you mean \"every\"?");
                SEND(FRAME_PROBLEM, (uint64_t)1, "", (uint64_t)0, "another");
                SEND(FRAME_DONE, "misconfigured");
                return 1;
        } else if (streq(what, "memory")) {
                SEND(FRAME_DONE, "memory");
                return 1;
        } else if (streq(what, "done")) {
                send_rows("once");
                SEND(FRAME_DONE, "sampled");
                return 0;
        } else if (streq(what, "ill")) {
                SEND(FRAME_STATE, (uint64_t)HOST_OPENING, "");
                SEND(FRAME_STATE, (uint64_t)HOST_WAITING, "no such bus");
                SEND(FRAME_STATE, (uint64_t)HOST_WAITING, "no such bus");
                SEND(FRAME_STATE, (uint64_t)HOST_ILL, "CRC");
        } else if (streq(what, "stop-self"))
                kill(getpid(), SIGSTOP);
        else if (streq(what, "deaf"))
                hang();
        else if (streq(what, "garbage"))
                send_bytes("garbage", 7, -EBADF), hang();
        else if (streq(what, "empty"))
                send_bytes("", 0, -EBADF), hang();
        else if (streq(what, "wrong-way")) {
                SEND(FRAME_SAMPLE);
                hang();
        } else if (streq(what, "wrong-state")) {
                SEND(FRAME_STATE, (uint64_t)HOST_STUCK, "");
                say("after it");
                hang();
        } else if (streq(what, "huge")) {
                static uint8_t huge[FRAME_SIZE_MAX + 1];

                send_bytes(huge, sizeof(huge), -EBADF);
                hang();
        } else if (streq(what, "close")) {
                close(sock);
                hang();
        } else if (streq(what, "flood"))
                for (;;)
                        SEND(FRAME_ROWS, (const void *)big, (size_t)1000);
        else if (streq(what, "flood-end")) { /* fills the socket and ends at once */
                for (int i = 0; i < 20; i++)
                        SEND(FRAME_ROWS, (const void *)big, (size_t)1000);
                return 4;
        } else if (streq(what, "fds"))
                pass_fds();
        else if (streq(what, "leave"))
                leave_behind();
        else if (streq(what, "traceable")) {
                (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
                say("traceable");
                hang();
        }
        return -1;
}

int main(int argc, char **argv) {
        Frame setup;
        int fd, r;

        if (argc != 3)
                return 90;
        sock = atoi(argv[2]);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        if (!receive(&setup, &fd) || setup.type != FRAME_SETUP)
                return 91;
        if (!streq(setup.f[1].data, "ill"))
                running();
        r = misbehave(setup.f[1].data, &setup, argc, argv);
        return r >= 0 ? r : serve();
}
