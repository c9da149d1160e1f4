/* SPDX-License-Identifier: Apache-2.0 */
/* Uses what a good plugin uses: options, channels, all kinds of values, methods, kept state, events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tbagent/plugin.h>

static const struct tbagent_option channel_options[] = {
        { "value", TBAGENT_FLOAT, TBAGENT_RUNTIME, "1.5", -1000, 1000, NULL, NULL, "What the channel reads.", NULL },
        { 0 },
};

static const struct tbagent_option options[] = {
        { "text", TBAGENT_STRING, 0, "hello", 0, 0, NULL, NULL, "A text to send.", NULL },
        { "gone_after", TBAGENT_INT, 0, "0", 0, 1000, NULL, NULL, "The hardware is gone at this sample.", NULL },
        { "absent", TBAGENT_INT, 0, "0", 0, 1000, NULL, NULL, "So many attempts to open find nothing.", NULL },
        { "fail_at", TBAGENT_INT, 0, "0", 0, 1000, NULL, NULL, "This sample fails.", NULL },
        { "channels", TBAGENT_MAP, TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "Channels.", channel_options },
        { 0 },
};

static const struct tbagent_method methods[] = {
        { "echo", "any JSON", "Answers with its params.", 0, NULL },
        { "later", NULL, "Answers in 10 ms.", 0, NULL },
        { "set", "a number", "Sets a channel.", TBAGENT_METHOD_CHANNEL, NULL },
        { "ask", NULL, "Asks the server until that is refused, answers how often less how many answers came.", 0, NULL },
        { 0 },
};

static int attempts, samples;
static int pipe_fds[2] = { -1, -1 };

static void on_pipe(struct tbagent_host *host, void *state, int fd, uint32_t events) {
        char byte;

        (void)state;
        (void)events;
        if (read(fd, &byte, 1) == 1)
                (void)tbagent_emit_bool(host, "woken", 1);
        (void)tbagent_unwatch_fd(host, fd);
}

static int ok_open(struct tbagent_host *host, void **ret_state) {
        const struct tbagent_node *o = tbagent_options(host);
        uint32_t starts = 0;

        if (++attempts <= tbagent_int(host, o, "absent")) {
                if (tbagent_is_set(host, o, "text"))
                        tbagent_log(host, TBAGENT_WARNING, tbagent_string(host, o, "text", 0));
                return -ENODEV;
        }
        *ret_state = &samples;
        (void)tbagent_state_get(host, &starts, sizeof starts);
        starts++;
        if (tbagent_state_put(host, &starts, sizeof starts) < 0 || pipe(pipe_fds) < 0)
                return -EIO;
        (void)tbagent_emit_int(host, "starts", starts);
        if (tbagent_watch_fd(host, pipe_fds[0], 1, on_pipe) < 0 || write(pipe_fds[1], "x", 1) != 1)
                return -EIO;
        return 0;
}

static int ok_sample(struct tbagent_host *host, void *state) {
        const struct tbagent_node *o = tbagent_options(host), *c;
        int n = ++*(int *)state;

        if (n == tbagent_int(host, o, "gone_after")) {
                attempts = 1000; /* found again at once */
                return -ENODEV;
        }
        if (n == tbagent_int(host, o, "fail_at")) {
                tbagent_log(host, TBAGENT_WARNING, "bus error");
                return -EIO;
        }
        (void)tbagent_emit_int(host, "n", n);
        (void)tbagent_emit_string(host, "text", tbagent_string(host, o, "text", 0));
        (void)tbagent_emit_json(host, "json", "{\"a\":[1,2]}");
        for (size_t i = 0; (c = tbagent_member(host, o, "channels", i)); i++)
                (void)tbagent_emit_double(host, tbagent_name(host, c), tbagent_float(host, c, "value"));
        return 0;
}

static void on_later(struct tbagent_host *host, void *state, void *userdata) {
        (void)state;
        (void)tbagent_reply(host, (uint64_t)(uintptr_t)userdata, "\"later\"");
}

static int unanswered;

static void on_answer(struct tbagent_host *host, void *state, int error, const char *json, void *userdata) {
        (void)host;
        (void)state;
        (void)error;
        (void)json;
        (void)userdata;
        unanswered--;
}

static void on_asked(struct tbagent_host *host, void *state, void *userdata) {
        char text[16];

        (void)state;
        snprintf(text, sizeof text, "%d", unanswered);
        (void)tbagent_reply(host, (uint64_t)(uintptr_t)userdata, text);
}

static int ask(struct tbagent_host *host, uint64_t id) {
        static char params[60000];

        memset(params, ' ', sizeof params - 3);
        memcpy(params + sizeof params - 3, "{}", 3);
        for (unanswered = 0; tbagent_call(host, "m", params, 10000, on_answer, NULL) == 0; unanswered++)
                ;
        return tbagent_timer(host, 50000, on_asked, (void *)(uintptr_t)id);
}

static int ok_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method, const char *params) {
        (void)state;
        if (!strcmp(method, "echo"))
                return tbagent_reply(host, id, params);
        if (!strcmp(method, "ask"))
                return ask(host, id);
        if (!strcmp(method, "later"))
                return tbagent_timer(host, 10000, on_later, (void *)(uintptr_t)id);
        return channel && !strcmp(params, "1") ? tbagent_reply(host, id, "true") : -EINVAL;
}

static int ok_setting(struct tbagent_host *host, void *state, const char *path) {
        const struct tbagent_node *c = tbagent_member(host, tbagent_options(host), "channels", 0);

        (void)state;
        (void)path;
        return c && tbagent_float(host, c, "value") == 666 ? -EINVAL : 0;
}

static int ok_scan(struct tbagent_host *host) {
        return tbagent_found(host, "{\"id\":\"1\",\"what\":\"nothing\",\"config\":\"\"}");
}

static void ok_close(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
        close(pipe_fds[0]);
        close(pipe_fds[1]);
}

TBAGENT_PLUGIN(.name = "ok", .summary = "does everything right", .options = options, .methods = methods, .open = ok_open,
               .sample = ok_sample, .rpc = ok_rpc, .setting = ok_setting, .scan = ok_scan, .close = ok_close);
