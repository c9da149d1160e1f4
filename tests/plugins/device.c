/* SPDX-License-Identifier: Apache-2.0 */
/* Uses the device API as a plugin may. What it hears goes into telemetry: `seen_KEY` of a shared attribute that it watches
 * ("deleted" when that is gone), `answer` or `failed` of a question that a method had it ask the server, `runs` how often
 * `later` ran. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tbagent/plugin.h>

static const struct tbagent_option options[] = {
        { "watch", TBAGENT_STRINGS, 0, NULL, 0, 0, NULL, NULL, "Shared attributes to watch.", NULL },
        { "answer_within", TBAGENT_DURATION, 0, "1s", 0, 600, NULL, "s", "How long the server may take to answer.", NULL },
        { 0 },
};

static const struct tbagent_method methods[] = {
        { "echo", "any JSON", "Answers with its params.", 0, NULL },
        { "text", "a text", "Answers with its params, which stay text.", TBAGENT_METHOD_TEXT, NULL },
        { "later", "milliseconds", "Answers so much later with the number of times that it ran.", 0, NULL },
        { "reply", "0 to 6", "Answers with something that is no answer.", 0, NULL },
        { "publish", "an object", "Makes it client attributes.", 0, NULL },
        { "ask", "CLIENT|SHARED", "Asks for attributes, names separated by commas.", TBAGENT_METHOD_TEXT, NULL },
        { "call", "a method", "Asks the server to run it.", TBAGENT_METHOD_TEXT, NULL },
        { 0 },
};

static int64_t runs;

static int device_open(struct tbagent_host *host, void **ret_state) {
        const char *key;

        for (size_t i = 0; (key = tbagent_string(host, tbagent_options(host), "watch", i)); i++)
                if (tbagent_subscribe(host, key) < 0)
                        return -EINVAL;
        *ret_state = NULL;
        return 0;
}

static int device_attribute(struct tbagent_host *host, void *state, const char *key, const char *json) {
        char name[300];

        (void)state;
        snprintf(name, sizeof name, "seen_%.250s", key);
        return json ? tbagent_emit_json(host, name, json) : tbagent_emit_string(host, name, "deleted");
}

static void on_answer(struct tbagent_host *host, void *state, int error, const char *json, void *userdata) {
        (void)state;
        (void)userdata;
        if (error == 0)
                (void)tbagent_emit_json(host, "answer", json);
        else
                (void)tbagent_emit_string(host, "failed", error == -ETIMEDOUT ? "timeout" : error == -ENOTCONN ? "offline"
                                                          : error == -EINVAL  ? "invalid" : "error");
}

static void on_later(struct tbagent_host *host, void *state, void *userdata) {
        char text[32];

        (void)state;
        snprintf(text, sizeof text, "%lld", (long long)runs);
        (void)tbagent_reply(host, (uint64_t)(uintptr_t)userdata, text);
}

static int later(struct tbagent_host *host, uint64_t id, const char *params) {
        runs++;
        (void)tbagent_emit_int(host, "runs", runs);
        return tbagent_timer(host, strtoull(params, NULL, 10) * 1000, on_later, (void *)(uintptr_t)id);
}

static int reply(struct tbagent_host *host, uint64_t id, const char *params) {
        static char huge[100000];
        static const char *const texts[] = { "{a:1}", "", "NaN", "\"\xff\"", "1 2", "{\"a\":1e999}", huge };
        size_t n = strtoul(params, NULL, 10);

        memset(huge, '7', sizeof huge - 1);
        return n < sizeof texts / sizeof *texts ? (void)tbagent_reply(host, id, texts[n]), 0 : -EINVAL;
}

/* Without its quotes; the tests need no escapes. */
static void unquote(const char *json, char *out, size_t size) {
        size_t n = strlen(json);

        if (n >= 2 && json[0] == '"')
                snprintf(out, size, "%.*s", (int)(n - 2), json + 1);
        else
                snprintf(out, size, "%s", json);
}

static int ask(struct tbagent_host *host, const char *method, const char *params) {
        uint64_t wait = (uint64_t)tbagent_int(host, tbagent_options(host), "answer_within");
        char text[1000], *shared;

        unquote(params, text, sizeof text);
        if (!strcmp(method, "call"))
                return tbagent_call(host, text, "{\"from\":\"device\"}", wait, on_answer, NULL);
        shared = strchr(text, '|');
        if (!shared)
                return -EINVAL;
        *shared++ = '\0';
        return tbagent_request_attributes(host, *text ? text : NULL, *shared ? shared : NULL, wait, on_answer, NULL);
}

static int device_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method,
                      const char *params) {
        int r;

        (void)state;
        (void)channel;
        if (!strcmp(method, "later"))
                return later(host, id, params);
        if (!strcmp(method, "reply"))
                return reply(host, id, params);
        if (!strcmp(method, "echo") || !strcmp(method, "text"))
                return tbagent_reply(host, id, params);
        r = !strcmp(method, "publish") ? tbagent_publish_attributes(host, params) : ask(host, method, params);
        return r < 0 ? r : tbagent_reply(host, id, "true");
}

TBAGENT_PLUGIN(.name = "device", .summary = "uses the device API", .options = options, .methods = methods, .open = device_open,
               .attribute = device_attribute, .rpc = device_rpc);
