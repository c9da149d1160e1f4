/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs that are only text in memory files: what counts is who holds their descriptors, which are kept as those of GPIO lines
 * are. Each is a key with its level ("on" from the start), and KEY_taken says whether this process found it kept. Each time that
 * one is set is a line of the log. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create() */
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tbagent/plugin.h>

#define OUTPUTS_MAX 80

typedef struct Output {
        const char *key, *on_exit;
        int fd, taken;
} Output;

static Output outputs[OUTPUTS_MAX];
static size_t n_outputs;

static const struct tbagent_option output_options[] = {
        { "on_exit", TBAGENT_STRING, 0, "off", 0, 0, NULL, NULL, "Its text when nobody drives it.", NULL },
        { "kind", TBAGENT_STRING, 0, "relay", 0, 0, "relay|lamp", NULL, "A lamp can be lit.", NULL },
        { 0 },
};

static const struct tbagent_option options[] = {
        { "outputs", TBAGENT_MAP, TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "Outputs.", output_options },
        { "crash", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "While there is this file, open() crashes.", NULL },
        { "absent", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "While there is this file, there is no hardware.", NULL },
        { "leave", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "close() leaves outputs as they are.", NULL },
        { "linger", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "While there is this file, exit_state() makes it one byte and does not go on.", NULL },
        { "linger_at", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "Before this output; unset: before all.", NULL },
        { "hang", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "close() does not return.", NULL },
        { 0 },
};

static const struct tbagent_method methods[] = {
        { "set", "text", "Sets the output.", TBAGENT_METHOD_CHANNEL | TBAGENT_METHOD_TEXT, NULL },
        { "light", NULL, "Sets it to \"lit\".", TBAGENT_METHOD_CHANNEL, "kind=lamp" },
        { 0 },
};

static int exists(struct tbagent_host *host, const char *option) {
        const char *file = tbagent_string(host, tbagent_options(host), option, 0);

        return file && access(file, F_OK) == 0;
}

static void set(struct tbagent_host *host, const Output *o, const char *text, const char *how) {
        char line[200];

        if (ftruncate(o->fd, 0) < 0 || pwrite(o->fd, text, strlen(text), 0) < 0)
                abort();
        snprintf(line, sizeof line, "%s is %s (%s)", o->key, text, how);
        tbagent_log(host, TBAGENT_NOTICE, line);
}

static void read_outputs(struct tbagent_host *host) {
        const struct tbagent_node *n;

        for (n_outputs = 0; n_outputs < OUTPUTS_MAX && (n = tbagent_member(host, tbagent_options(host), "outputs", n_outputs)); n_outputs++)
                outputs[n_outputs] = (Output){ .key = tbagent_name(host, n), .on_exit = tbagent_string(host, n, "on_exit", 0), .fd = -1 };
}

static int keeper_check(struct tbagent_host *host) {
        const struct tbagent_node *n;

        for (size_t i = 0; (n = tbagent_member(host, tbagent_options(host), "outputs", i)); i++)
                if (!strcmp(tbagent_string(host, n, "on_exit", 0), "low"))
                        tbagent_problem(host, n, "on_exit", "= \"low\" is no level: write \"off\"");
        return 0;
}

static int keeper_open(struct tbagent_host *host, void **ret_state) {
        if (exists(host, "crash"))
                abort();
        if (exists(host, "absent"))
                return -ENODEV;
        read_outputs(host);
        for (size_t i = 0; i < n_outputs; i++) {
                Output *o = &outputs[i];

                o->fd = tbagent_fd_take(host, o->key);
                o->taken = o->fd >= 0;
                if (o->taken)
                        continue;
                o->fd = memfd_create(o->key, MFD_CLOEXEC);
                set(host, o, "on", "initial");
                tbagent_fd_keep(host, o->key, o->fd);
        }
        *ret_state = outputs;
        return 0;
}

static int keeper_sample(struct tbagent_host *host, void *state) {
        (void)state;
        for (size_t i = 0; i < n_outputs; i++) {
                char text[64] = "", key[200];

                if (pread(outputs[i].fd, text, sizeof text - 1, 0) < 0)
                        return -EIO;
                snprintf(key, sizeof key, "%s_taken", outputs[i].key);
                tbagent_emit_string(host, outputs[i].key, text);
                tbagent_emit_bool(host, key, outputs[i].taken);
        }
        return 0;
}

static int keeper_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method, const char *params) {
        (void)state;
        for (size_t i = 0; i < n_outputs; i++)
                if (!strcmp(outputs[i].key, channel)) {
                        set(host, &outputs[i], strcmp(method, "light") ? params : "lit", "rpc");
                        return tbagent_reply(host, id, "true");
                }
        return -ENOENT;
}

static void keeper_close(struct tbagent_host *host, void *state) {
        (void)state;
        while (tbagent_int(host, tbagent_options(host), "hang"))
                pause();
        for (size_t i = 0; i < n_outputs; i++) {
                if (tbagent_is_final(host) && !tbagent_int(host, tbagent_options(host), "leave")) {
                        set(host, &outputs[i], outputs[i].on_exit, "close");
                        tbagent_fd_forget(host, outputs[i].key);
                }
                close(outputs[i].fd);
        }
}

static void linger(struct tbagent_host *host) {
        if (exists(host, "linger") && truncate(tbagent_string(host, tbagent_options(host), "linger", 0), 1) < 0)
                abort();
        while (exists(host, "linger"))
                nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

static int keeper_exit_state(struct tbagent_host *host) {
        const char *at = tbagent_string(host, tbagent_options(host), "linger_at", 0);

        read_outputs(host);
        for (size_t i = 0; i < n_outputs; i++) {
                Output *o = &outputs[i];
                char line[200];

                if (at ? !strcmp(at, o->key) : i == 0)
                        linger(host);
                o->fd = tbagent_fd_take(host, o->key);
                snprintf(line, sizeof line, "%s is %s", o->key, o->fd == -EBUSY ? "driven by somebody" : "not kept");
                if (o->fd >= 0)
                        set(host, o, o->on_exit, "exit state");
                else
                        tbagent_log(host, TBAGENT_NOTICE, line);
        }
        return 0;
}

static int keeper_connection(struct tbagent_host *host, void *state, int online) {
        (void)state;
        tbagent_log(host, TBAGENT_NOTICE, online && tbagent_is_online(host) ? "the server is there" : "the server is gone");
        return 0;
}

TBAGENT_PLUGIN(.name = "keeper", .summary = "keeps descriptors", .options = options, .methods = methods, .open = keeper_open,
               .sample = keeper_sample, .rpc = keeper_rpc, .close = keeper_close, .check = keeper_check,
               .exit_state = keeper_exit_state, .connection = keeper_connection);
