/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of all tempers, for the tests of the device API. Each run of one is a line in the file `log`: "METHOD PARAMS". A
 * setting that changes is a value at once, with its time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tbagent/plugin.h>

static const struct tbagent_option options[] = {
        { "log", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "A file that gets a line for each run of a method.", NULL },
        { "step", TBAGENT_INT, TBAGENT_RUNTIME, "1", 1, 100, NULL, NULL, "A number that may change.", NULL },
        { "prefix", TBAGENT_STRING, 0, "api", 0, 0, NULL, NULL, "What its keys begin with.", NULL },
        { 0 },
};

static const struct tbagent_method methods[] = {
        { "quick", "any JSON", "Answers with its params.", 0, NULL },
        { "slow", "any JSON", "Answers after a second.", 0, NULL },
        { "crash", "any JSON", "Ends its process.", 0, NULL },
        { "toggle", NULL, "Answers how often it was called.", 0, NULL },
        { "never", NULL, "Does not answer.", 0, NULL },
        { "text", "text", "Answers with its params, which stay text.", TBAGENT_METHOD_TEXT, NULL },
        { 0 },
};

static unsigned toggled, samples;

static const char *key_of(struct tbagent_host *host, const char *name) {
        static char key[200];

        snprintf(key, sizeof key, "%s_%s", tbagent_string(host, tbagent_options(host), "prefix", 0), name);
        return key;
}

static int api_open(struct tbagent_host *host, void **ret_state) {
        (void)host;
        *ret_state = &samples;
        return 0;
}

static int api_sample(struct tbagent_host *host, void *state) {
        (void)state;
        samples += (unsigned)tbagent_int(host, tbagent_options(host), "step");
        return tbagent_emit_int(host, key_of(host, "n"), samples);
}

static void note(struct tbagent_host *host, const char *method, const char *params) {
        const char *file = tbagent_string(host, tbagent_options(host), "log", 0);
        int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
        char line[4096];
        int n = snprintf(line, sizeof line, "%s %.4000s\n", method, params);

        if (fd >= 0) {
                if (write(fd, line, (size_t)n) != n)
                        abort();
                close(fd);
        }
}

typedef struct Later {
        uint64_t id;
        char *params;
} Later;

static void on_later(struct tbagent_host *host, void *state, void *userdata) {
        Later *l = userdata;

        (void)state;
        (void)tbagent_reply(host, l->id, l->params);
        free(l->params);
        free(l);
}

static int later(struct tbagent_host *host, uint64_t id, const char *params) {
        Later *l = malloc(sizeof *l);

        if (!l)
                return -ENOMEM;
        l->id = id;
        l->params = strdup(params);
        return tbagent_timer(host, 1000000, on_later, l);
}

static int api_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method, const char *params) {
        char text[32];

        (void)state;
        (void)channel;
        note(host, method, params);
        if (!strcmp(method, "slow"))
                return later(host, id, params);
        if (!strcmp(method, "crash"))
                abort();
        if (!strcmp(method, "never"))
                return 0;
        if (strcmp(method, "toggle"))
                return tbagent_reply(host, id, params);
        snprintf(text, sizeof text, "%u", ++toggled);
        return tbagent_reply(host, id, text);
}

static int api_setting(struct tbagent_host *host, void *state, const char *path) {
        (void)state;
        (void)tbagent_emit_string(host, key_of(host, "told"), path);
        tbagent_row_end(host, TBAGENT_IMMEDIATE);
        return 0;
}

TBAGENT_PLUGIN(.name = "api", .summary = "methods and settings for tests", .options = options, .methods = methods, .open = api_open,
               .sample = api_sample, .rpc = api_rpc, .setting = api_setting);
