/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/macro.h"
#include "standin.h"

extern char **environ;

static void read_ready(Standin *s, int fd) {
        char line[256];
        size_t n = 0;

        while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
                n++;
        line[n] = 0;
        close(fd);
        assert_int_equal(sscanf(line, "ready http=%d mqtt=%d", &s->http, &s->mqtt), 2);
        snprintf(s->url, sizeof(s->url), "mqtt://127.0.0.1:%d", s->mqtt);
}

void standin_start(Standin *s) {
        const char *top = getenv("TBAGENT_SRCDIR") ?: ".";
        char path[4096];
        char *argv[] = { (char *)"python3", path, (char *)"--device", (char *)"boiler=TOKEN", NULL };
        posix_spawn_file_actions_t actions;
        json_object *answer, *token;
        int fds[2];

        *s = (Standin){ 0 };
        snprintf(path, sizeof(path), "%s/tests/thingsboard/serve", top);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
        assert_int_equal(posix_spawnp(&s->pid, argv[0], &actions, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        close(fds[1]);
        read_ready(s, fds[0]);
        answer = standin_call(s, "/api/auth/login", "{\"username\":\"tenant@thingsboard.org\",\"password\":\"tenant\"}");
        assert_true(json_object_object_get_ex(answer, "token", &token));
        snprintf(s->login, sizeof(s->login), "%s", json_object_get_string(token));
        json_object_put(answer);
}

void standin_stop(Standin *s) {
        if (s->pid > 0) {
                kill(s->pid, SIGTERM);
                waitpid(s->pid, NULL, 0);
        }
        s->pid = 0;
}

int standin_request(Standin *s, const char *path, const char *body) {
        struct sockaddr_in to = {
                .sin_family = AF_INET, .sin_port = htons((uint16_t)s->http), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size;
        _cleanup_(freep) char *text = NULL;

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        size = asprintf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Authorization: Bearer %s\r\n"
                               "Content-Length: %zu\r\n\r\n%s",
                        body ? "POST" : "GET", path, s->login, body ? strlen(body) : 0, body ?: "");
        assert_true(size > 0);
        assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
        return fd;
}

json_object *standin_answer(int fd) {
        size_t size = 0, room = 64 * KIB;
        _cleanup_(freep) char *text = malloc(room);
        json_object *o;
        char *body;
        ssize_t n;

        while ((n = read(fd, text + size, room - size - 1)) > 0) {
                size += (size_t)n;
                if (room - size < 4 * KIB) {
                        room *= 2;
                        text = realloc(text, room);
                        assert_non_null(text);
                }
        }
        close(fd);
        text[size] = 0;
        if (strncmp(text, "HTTP/1.1 200", 12) != 0)
                fail_msg("%s", text);
        body = strstr(text, "\r\n\r\n");
        assert_non_null(body);
        o = json_tokener_parse(body + 4);
        return o;
}

json_object *standin_call(Standin *s, const char *path, const char *body) {
        return standin_answer(standin_request(s, path, body));
}

void standin_do(Standin *s, const char *path, const char *body) {
        json_object_put(standin_call(s, path, body));
}

int64_t standin_number(json_object *o, const char *member) {
        json_object *v;

        if (!json_object_object_get_ex(o, member, &v))
                fail_msg("no %s in %s", member, json_object_to_json_string(o));
        return json_object_get_int64(v);
}

void standin_device_id(Standin *s, char out[static 64]) {
        json_object *o = standin_call(s, "/api/tenant/devices?deviceName=boiler", NULL), *id, *text;

        assert_true(json_object_object_get_ex(o, "id", &id));
        assert_true(json_object_object_get_ex(id, "id", &text));
        snprintf(out, 64, "%s", json_object_get_string(text));
        json_object_put(o);
}

usec_t standin_clock(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)(ts.tv_nsec / NSEC_PER_USEC);
}
