/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tbagent-plugin-host INSTANCE FD: runs one plugin for the daemon, whose end of a SEQPACKET socket is FD.
 *
 *   1. FRAME_SETUP says which plugin, in which mode, with which settings and what it kept.
 *   2. Our own bounds, before any code of the plugin runs (its constructors do in dlopen()).
 *   3. The plugin is loaded and held to the interface; HELLO.
 *   4. The settings are held to the generic options and the plugin's own: PROBLEM for each mistake, DECLARE for
 *      each key that they name, METHOD for each method, then CHECKED. A mistake ends here with exit code 78.
 *   5. What the mode asks for (sensor/serve).
 *
 * Everything that is known is said in frames; stderr is for what happens when there is nobody to say it to.
 *
 * tbagent-plugin-host --options FILE, or --man FILE: what the plugin's tables say, on stdout (tbagent --options, the manual).
 */
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "sensor/manual.h"
#include "sensor/operations.h"
#include "sensor/serve.h"
#include "sensor/wire.h"

#define SETUP_WAIT_MS 30000
#define DRAIN_WAIT (5 * USEC_PER_SEC)
#define LOAD_SECONDS 10 /* for constructors, where no daemon looks at the time */

typedef struct Host {
        int fd;
        uint8_t *setup; /* the datagram; what follows borrows from it */
        const char *instance, *plugin_file;
        FrameMode mode;
        const void *state;
        size_t state_size;
        Setting *settings;
        Plugin *plugin;
        Node *options;
        Channels *channels;
        Outbox *outbox;
        Guard guard;
        Loop *loop;
} Host;

/* ---- setup */

static int parse_fd(const char *text, int *ret) {
        char *end;
        long fd;

        errno = 0;
        fd = strtol(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || fd < 0 || fd > INT32_MAX)
                return -EINVAL;
        *ret = (int)fd;
        return fcntl(*ret, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int receive_setup(Host *h) {
        _cleanup_(closep) int fd = -EBADF;
        Frame f;
        ssize_t n;
        int r;

        h->setup = malloc(FRAME_SIZE_MAX);
        if (!h->setup)
                return -ENOMEM;
        if (poll(&(struct pollfd){ .fd = h->fd, .events = POLLIN }, 1, SETUP_WAIT_MS) == 0)
                return -ETIMEDOUT;
        n = wire_receive(h->fd, h->setup, FRAME_SIZE_MAX, &fd);
        if (n <= 0)
                return n < 0 ? (int)n : -ENOTCONN;
        if (frame_parse(h->setup, (size_t)n, &f) < 0 || f.type != FRAME_SETUP || f.f[2].u > MODE_EXIT_STATE)
                return -EBADMSG;
        h->instance = f.f[0].data;
        h->plugin_file = f.f[1].data;
        h->mode = (FrameMode)f.f[2].u;
        h->state = f.f[4].data;
        h->state_size = f.f[4].size;
        r = setting_decode((const uint8_t *)f.f[3].data, f.f[3].size, &h->settings);
        if (r == 0 && h->settings->type != SETTING_GROUP)
                return -EBADMSG;
        return r;
}

/* Needed before the tables are there to check it; a wrong one is told with the others later. */
static uint64_t memory_max(const Host *h) {
        const Setting *s = setting_child(h->settings, "memory_max");
        uint64_t size = 64 * MIB;

        if (s && s->type == SETTING_STRING && size_parse(s->s, &size) < 0)
                size = 64 * MIB;
        return MAX(size, 8 * MIB);
}

static pid_t peer_pid(int fd) {
        struct ucred peer;
        socklen_t size = sizeof peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? 0 : peer.pid;
}

static int set_bounds(Host *h) {
        char text[128];
        const char *what = "";
        int r = guard_set(&h->guard, peer_pid(h->fd), memory_max(h), &what);

        if (r < 0 && r != -ESRCH) {
                snprintf(text, sizeof text, "bound %s cannot be set: %s", what, strerror(-r));
                (void)outbox_send(h->outbox, FRAME_LOG, (uint64_t)TBAGENT_WARNING, text);
                return 0;
        }
        return r;
}

/* ---- check */

typedef struct Problems {
        Outbox *outbox;
        uint64_t n, fatal;
} Problems;

static void on_problem(void *userdata, bool fatal, const char *file, unsigned line, const char *text) {
        Problems *p = userdata;

        p->n++;
        p->fatal += fatal;
        (void)outbox_send(p->outbox, FRAME_PROBLEM, (uint64_t)fatal, file ? file : "", (uint64_t)line, text);
}

static int load(Host *h, Problems *p) {
        _cleanup_(freep) char *why = NULL;
        const Setting *where = setting_child(h->settings, "plugin");
        int r = plugin_new(&h->plugin, h->plugin_file, instance_options, &why);

        if (!where)
                where = h->settings;
        if (r < 0) {
                on_problem(p, true, where->file, where->line, why ? why : strerror(-r));
                return r;
        }
        (void)outbox_send(h->outbox, FRAME_HELLO, (uint64_t)h->plugin->ops.abi, h->plugin->ops.name,
                          h->plugin->ops.summary ? h->plugin->ops.summary : "");
        return 0;
}

/* What no table can say. There has to be a configuration that the tables take. */
static void check_by_plugin(Host *h, problem_fn fn, Problems *p) {
        if (fn && p->fatal == 0 && h->plugin->ops.check)
                operations_check(&h->plugin->ops,
                                 &(ServicesParams){.outbox = h->outbox, .instance = h->instance, .options = h->options}, fn, p);
}

static int check(Host *h, problem_fn fn, Problems *p) {
        const struct tbagent_option *const tables[4] = { instance_options, h->plugin->ops.options };
        char path[300];
        int r;

        option_set_channel_options(report_options);
        snprintf(path, sizeof path, "plugins.%s", h->instance);
        (void)!node_new(&h->options, h->settings, path, tables, fn, p);
        if (!h->options)
                return -ENOMEM;
        r = channels_new(&h->channels, &(ChannelsParams){ .instance = h->instance, .options = h->options, .settings = h->settings,
                                                          .plugin_options = h->plugin->ops.options }, fn, p);
        if (r >= 0)
                check_by_plugin(h, fn, p);
        return MIN(r, 0);
}

static void declare(const Host *h) {
        for (size_t i = 0; i < channels_count(h->channels); i++) {
                const Channel *c = channels_get(h->channels, i);
                char key[4 * KEY_UTF16_MAX + 2];

                snprintf(key, sizeof key, "%s%s", c->key, c->prefix ? "_" : "");
                (void)outbox_send(h->outbox, FRAME_DECLARE, key, c->file ? c->file : "", (uint64_t)c->line);
        }
}

static void tell_method(const Host *h, const struct tbagent_method *m, const char *channel) {
        (void)outbox_send(h->outbox, FRAME_METHOD, channel, m->name, m->params ? m->params : "", m->help ? m->help : "",
                          (uint64_t)m->flags);
}

/* "direction=out": the channel's option has this value (sensor/plugin has checked that there is one). */
static bool method_fits(const struct tbagent_method *m, const Channel *c) {
        const char *equals = m->when ? strchr(m->when, '=') : NULL, *value;
        char option[64];

        if (!equals)
                return true;
        snprintf(option, sizeof option, "%.*s", (int)(equals - m->when), m->when);
        value = node_string(c->node, option, 0);
        return value && streq(value, equals + 1);
}

static void tell_methods(const Host *h) {
        for (const struct tbagent_method *m = h->plugin->ops.methods; m && m->name; m++) {
                if (!(m->flags & TBAGENT_METHOD_CHANNEL))
                        tell_method(h, m, "");
                for (size_t i = 0; i < channels_count_maps(h->channels) && (m->flags & TBAGENT_METHOD_CHANNEL); i++)
                        if (method_fits(m, channels_get(h->channels, i)))
                                tell_method(h, m, channels_get(h->channels, i)->name);
        }
}

/* The queue must not lose a configuration's many keys, and at this time waiting for the daemon costs nothing. */
static int finish(Host *h, int code, const char *reason) {
        (void)outbox_send(h->outbox, FRAME_DONE, reason);
        (void)outbox_drain(h->outbox, DRAIN_WAIT);
        return code;
}

/* The exit code where the way ends here, or -1. */
static int prepare(Host *h) {
        Problems p = { .outbox = h->outbox };

        if (load(h, &p) == 0) {
                if (check(h, h->mode == MODE_SCAN ? NULL : on_problem, &p) < 0)
                        return finish(h, EX_OSERR, "out of memory");
                declare(h);
                tell_methods(h);
        }
        (void)outbox_send(h->outbox, FRAME_CHECKED, p.n);
        if (p.fatal > 0)
                return finish(h, EX_CONFIG, "");
        return h->mode == MODE_CHECK ? finish(h, 0, "") : -1;
}

/* ---- */

static int run(Host *h) {
        _cleanup_(serve_freep) Serve *serve = NULL;
        ServeParams params = {
                .loop = h->loop, .fd = h->fd, .outbox = h->outbox, .guard = &h->guard, .plugin = h->plugin,
                .instance = h->instance, .options = h->options, .settings = h->settings, .channels = h->channels,
                .state = h->state, .state_size = h->state_size, .once = h->mode == MODE_ONCE,
        };
        int r = serve_new(&serve, &params);

        if (r < 0)
                return finish(h, EX_OSERR, strerror(-r));
        h->channels = NULL;
        switch (h->mode) {
        case MODE_RUN:
                return serve_run(serve);
        case MODE_ONCE:
                return serve_once(serve);
        case MODE_SCAN:
                return serve_scan(serve);
        case MODE_EXIT_STATE:
                return serve_exit_state(serve);
        case MODE_CHECK:
                break;
        }
        return EX_SOFTWARE;
}

static int host(Host *h) {
        int r = loop_new(&h->loop);

        if (r == 0)
                r = outbox_new(&h->outbox, h->fd, OUTBOX_ROWS_MAX);
        if (r == 0)
                r = receive_setup(h);
        if (r == -ENOTCONN)
                return 0;
        if (r < 0) {
                fprintf(stderr, "tbagent-plugin-host: no setup from the daemon: %s\n", strerror(-r));
                return EX_PROTOCOL;
        }
        if (set_bounds(h) == -ESRCH)
                return 0;
        r = prepare(h);
        return r >= 0 ? r : run(h);
}

static void host_done(Host *h) {
        channels_free(h->channels);
        node_free(h->options);
        plugin_free(h->plugin);
        setting_free(h->settings);
        outbox_free(h->outbox);
        loop_free(h->loop);
        free(h->setup);
}

/* Large buffers cost only the pages that they use: mapped by themselves, so not cleared by calloc(). What the heap has in
 * stock (constructors of libraries have made it) would be taken for them first. */
static void be_small(void) {
        mallopt(M_MMAP_THRESHOLD, 32 * KIB);
        mallopt(M_TOP_PAD, 16 * KIB);
        malloc_trim(0);
}

static int show(const char *file, ManualForm form) {
        _cleanup_(plugin_freep) Plugin *plugin = NULL;
        _cleanup_(freep) char *why = NULL;
        int r;

        alarm(LOAD_SECONDS);
        r = plugin_new(&plugin, file, instance_options, &why);
        if (r == 0)
                r = manual_print(stdout, plugin, form);
        if (r < 0)
                fprintf(stderr, "tbagent-plugin-host: %s: %s\n", file, why ? why : strerror(-r));
        return r < 0 ? EX_SOFTWARE : 0;
}

int main(int argc, char **argv) {
        Host h = { 0 };
        int code;

        if (argc == 3 && (streq(argv[1], "--options") || streq(argv[1], "--man")))
                return show(argv[2], streq(argv[1], "--man") ? MANUAL_SCDOC : MANUAL_TEXT);
        if (argc != 3 || parse_fd(argv[2], &h.fd) < 0) {
                fprintf(stderr, "tbagent-plugin-host is started by tbagent, with INSTANCE and FD\n");
                return EX_USAGE;
        }
        (void)signal(SIGPIPE, SIG_IGN);
        be_small();
        code = host(&h);
        host_done(&h);
        return code;
}
