/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "mqtt-broker.h"

#define MOSQUITTO "/usr/sbin/mosquitto"

extern char **environ;

bool broker_available(void) {
        return access(MOSQUITTO, X_OK) == 0;
}

static struct sockaddr_in loopback(int port) {
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t)port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

int free_port(void) {
        struct sockaddr_in address = loopback(0);
        socklen_t size = sizeof(address);
        _cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        return ntohs(address.sin_port);
}

static bool listens(int port) {
        struct sockaddr_in address = loopback(port);
        _cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

/* Copies text with {dir} replaced. */
static void write_options(FILE *f, const char *dir, const char *text) {
        const char *at;

        while ((at = strstr(text, "{dir}"))) {
                fprintf(f, "%.*s%s", (int)(at - text), text, dir);
                text = at + 5;
        }
        fprintf(f, "%s\n", text);
}

void broker_init(Broker *b, const char *options) {
        FILE *f;

        *b = (Broker){ .dir = "/tmp/test-session-XXXXXX" };
        assert_non_null(mkdtemp(b->dir));
        assert_int_equal(chmod(b->dir, 0755), 0);
        b->port = free_port();
        snprintf(b->config, sizeof(b->config), "%s/mosquitto.conf", b->dir);
        f = fopen(b->config, "we");
        assert_non_null(f);
        fprintf(f, "listener %d 127.0.0.1\nuser root\npersistence false\nlog_dest none\nset_tcp_nodelay true\n", b->port);
        write_options(f, b->dir, options);
        assert_int_equal(fclose(f), 0);
}

void broker_start(Broker *b) {
        char *argv[] = { (char *)MOSQUITTO, (char *)"-c", b->config, NULL };
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attr;
        sigset_t none;

        sigemptyset(&none);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setsigmask(&attr, &none); /* the loop blocks SIGCHLD */
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
        assert_int_equal(posix_spawn(&b->pid, MOSQUITTO, &files, &attr, argv, environ), 0);
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attr);
        for (int i = 0; !listens(b->port); i++) {
                assert_true(i < 5000);
                usleep(2000);
        }
}

void broker_kill(Broker *b) {
        if (b->pid <= 0)
                return;
        kill(b->pid, SIGKILL);
        assert_int_equal(waitpid(b->pid, NULL, 0), b->pid);
        b->pid = 0;
}

void broker_shell(const Broker *b, const char *command) {
        char text[2048];

        snprintf(text, sizeof(text), "cd %s && { %s; } >log 2>&1 || { cat log >&2; exit 1; }", b->dir, command);
        assert_int_equal(system(text), 0);
}

void broker_done(Broker *b) {
        char text[128];

        broker_kill(b);
        snprintf(text, sizeof(text), "rm -rf '%s'", b->dir);
        assert_int_equal(system(text), 0);
}
