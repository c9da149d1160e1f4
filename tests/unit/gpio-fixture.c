/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpio-fixture.h"

static Fixture *world;
static bool dying; /* what it says now never leaves it */

/* ---- the daemon */

static int find_kept(const char *name) {
        for (size_t i = 0; i < world->n_kept; i++)
                if (strcmp(world->kept[i].name, name) == 0)
                        return (int)i;
        return -1;
}

static int fd_forget(struct tbagent_host *host, const char *name) {
        int i = find_kept(name);

        (void)host;
        if (i >= 0 && !dying) {
                close(world->kept[i].fd);
                world->kept[i] = world->kept[--world->n_kept];
        }
        return 0;
}

static int fd_keep(struct tbagent_host *host, const char *name, int fd) {
        if (world->keep_error)
                return world->keep_error;
        fd_forget(host, name);
        assert_true(world->n_kept < 64);
        snprintf(world->kept[world->n_kept].name, 64, "%s", name);
        world->kept[world->n_kept++].fd = dup(fd);
        return 0;
}

static int fd_take(struct tbagent_host *host, const char *name) {
        size_t used = strlen(world->taken);
        int i = find_kept(name);

        (void)host;
        snprintf(world->taken + used, sizeof(world->taken) - used, "%s ", name);
        return i < 0 ? -ENOENT : world->claimed ? -EBUSY : dup(world->kept[i].fd);
}

static int state_put(struct tbagent_host *host, const void *data, size_t size) {
        (void)host;
        assert_true(size <= sizeof(world->state));
        if (dying)
                return 0;
        memcpy(world->state, data, size);
        world->state_size = size;
        world->puts++;
        return 0;
}

static int state_get(struct tbagent_host *host, void *data, size_t size) {
        (void)host;
        assert_true(size >= world->state_size);
        memcpy(data, world->state, world->state_size);
        return (int)world->state_size;
}

static int is_final(struct tbagent_host *host) {
        (void)host;
        return world->final;
}

static int is_online(struct tbagent_host *host) {
        (void)host;
        return world->online;
}

static int lost(struct tbagent_host *host, uint32_t points, int64_t from_ns, int64_t to_ns, const char *why) {
        (void)host;
        assert_true(points > 0 && from_ns > 0 && from_ns <= to_ns && why[0]);
        world->lost += points;
        return 0;
}

static int problem(struct tbagent_host *host, const struct tbagent_node *n, const char *option, const char *text) {
        size_t used = strlen(world->problems);

        (void)host;
        snprintf(world->problems + used, sizeof(world->problems) - used, "%s.%s %s\n", host->services->node_name(n), option, text);
        return 0;
}

static int reply(struct tbagent_host *host, uint64_t id, const char *json) {
        (void)host;
        assert_int_equal(id, 7);
        world->n_replies++;
        snprintf(world->reply, sizeof(world->reply), "%s", json);
        return 0;
}

static int reply_error(struct tbagent_host *host, uint64_t id, const char *code, const char *message) {
        (void)host;
        assert_int_equal(id, 7);
        world->n_replies++;
        snprintf(world->code, sizeof(world->code), "%s", code);
        snprintf(world->reply, sizeof(world->reply), "%s", message);
        return 0;
}

static int subscribe(struct tbagent_host *host, const char *attribute) {
        size_t used = strlen(world->subscribed);

        (void)host;
        snprintf(world->subscribed + used, sizeof(world->subscribed) - used, "%s ", attribute);
        return 0;
}

static int publish_attributes(struct tbagent_host *host, const char *json) {
        (void)host;
        if (dying)
                return 0;
        snprintf(world->published, sizeof(world->published), "%s", json);
        world->n_published++;
        return 0;
}

static int request_attributes(struct tbagent_host *host, const char *client, const char *shared, uint64_t usec, tbagent_answer_fn fn,
                              void *userdata) {
        (void)host;
        assert_null(shared);
        assert_true(usec >= 1000000);
        if (!world->online)
                return -ENOTCONN;
        snprintf(world->asked, sizeof(world->asked), "%s", client);
        world->n_asked++;
        world->answer = fn;
        world->answer_userdata = userdata;
        return 0;
}

static int watch_fd(struct tbagent_host *host, int fd, uint32_t events, tbagent_fd_fn fn) {
        return world->watch_error ? world->watch_error : world->harness_watch_fd(host, fd, events, fn);
}

static void row_end(struct tbagent_host *host, uint32_t flags) {
        world->n_immediate += flags == TBAGENT_IMMEDIATE;
        world->harness_row_end(host, flags);
}

/* ---- */

static Harness *make(Fixture *f) {
        Harness *h = harness_new("gpio", f->options);
        struct tbagent_services *s = harness_services(h);

        f->harness_row_end = s->row_end;
        s->row_end = row_end;
        f->harness_watch_fd = s->watch_fd;
        s->watch_fd = watch_fd;
        s->fd_keep = fd_keep;
        s->fd_take = fd_take;
        s->fd_forget = fd_forget;
        s->state_put = state_put;
        s->state_get = state_get;
        s->is_final = is_final;
        s->is_online = is_online;
        s->lost = lost;
        s->problem = problem;
        s->reply = reply;
        s->reply_error = reply_error;
        s->subscribe = subscribe;
        s->publish_attributes = publish_attributes;
        s->request_attributes = request_attributes;
        harness_set_now(h, f->now);
        harness_set_once(h, f->once);
        return h;
}

Fixture *fixture_new(void) {
        const char *build = getenv("TBAGENT_BUILDDIR");
        char tree[512];
        Harness *h;

        world = calloc(1, sizeof(*world));
        assert_non_null(world);
        snprintf(tree, sizeof(tree), "%s/tests/fake", build ? build : ".");
        setenv("TBAGENT_PLUGIN_TREE", tree, 1);
        h = make(world);
        world->lines = harness_symbol(h, "fake_lines");
        assert_non_null(world->lines);
        harness_free(h);
        world->lines->reset();
        return world;
}

void fixture_free(Fixture *f) {
        if (f->h)
                fixture_stop(f);
        for (size_t i = 0; i < f->n_kept; i++)
                close(f->kept[i].fd);
        f->lines->reset();
        fixture_unset(f);
        free(f);
}

void fixture_pi(Fixture *f) {
        static char names[58][16];
        static const char *list[59];

        for (unsigned i = 0; i < 58; i++) {
                snprintf(names[i], sizeof(names[i]), i < 28 ? "GPIO%u" : "OTHER%u", i);
                list[i] = names[i];
        }
        f->lines->add_chip(PI, "pinctrl-bcm2711", list);
}

void fixture_unset(Fixture *f) {
        for (Option *o = f->options; o->path; o++) {
                free((char *)o->path);
                free((char *)o->value);
                *o = (Option){NULL, NULL};
        }
}

void fixture_set(Fixture *f, const char *path, const char *value) {
        char full[200];
        Option *o = f->options;

        snprintf(full, sizeof(full), "lines.%s", path);
        while (o->path && strcmp(o->path, full) != 0)
                o++;
        assert_true(o < f->options + sizeof(f->options) / sizeof(f->options[0]) - 1);
        free((char *)o->value);
        if (!o->path)
                o->path = strdup(full);
        o->value = strdup(value);
}

int fixture_start(Fixture *f) {
        int r;

        assert_null(f->h);
        f->h = make(f);
        f->final = false;
        r = harness_open(f->h);
        if (r < 0)
                f->h = harness_free(f->h);
        return r;
}

void fixture_stop(Fixture *f) {
        harness_close(f->h);
        f->h = harness_free(f->h);
}

void fixture_end(Fixture *f) {
        f->final = true;
        fixture_stop(f);
}

void fixture_crash(Fixture *f) {
        dying = true;
        fixture_stop(f);
        dying = false;
}

void fixture_reboot(Fixture *f) {
        while (f->n_kept > 0)
                close(f->kept[--f->n_kept].fd);
        f->lines->reset();
        fixture_pi(f);
        if (f->state_size > 8)
                f->state[8] ^= 0xff; /* the boot that the state is of: it is read from a file of this machine */
}

const char *fixture_rpc(Fixture *f, const char *channel, const char *method, const char *params) {
        unsigned before = f->n_replies;

        f->code[0] = f->reply[0] = '\0';
        assert_int_equal(harness_plugin(f->h)->rpc(harness_host(f->h), harness_state(f->h), 7, channel, method, params), 0);
        harness_row_end(f->h);
        assert_int_equal(f->n_replies, before + 1);
        return f->code[0] ? NULL : f->reply;
}

void fixture_attribute(Fixture *f, const char *key, const char *json) {
        assert_int_equal(harness_plugin(f->h)->attribute(harness_host(f->h), harness_state(f->h), key, json), 0);
        harness_row_end(f->h);
}

void fixture_online(Fixture *f, bool online) {
        f->online = online;
        if (!f->h)
                return;
        assert_int_equal(harness_plugin(f->h)->connection(harness_host(f->h), harness_state(f->h), online), 0);
        harness_row_end(f->h);
}

int fixture_setting(Fixture *f, const char *path, const char *value) {
        char full[200];
        int r;

        fixture_set(f, path, value);
        snprintf(full, sizeof(full), "lines.%s", path);
        r = harness_plugin(f->h)->setting(harness_host(f->h), harness_state(f->h), full);
        harness_row_end(f->h);
        return r;
}

void fixture_answer(Fixture *f, int error, const char *json) {
        tbagent_answer_fn fn = f->answer;

        assert_non_null(fn);
        f->answer = NULL;
        fn(harness_host(f->h), harness_state(f->h), error, json, f->answer_userdata);
        harness_row_end(f->h);
}

const char *fixture_check(Fixture *f) {
        Harness *h = make(f);

        f->problems[0] = '\0';
        assert_int_equal(harness_plugin(h)->check(harness_host(h)), 0);
        harness_free(h);
        return f->problems;
}

int fixture_exit_state(Fixture *f) {
        Harness *h = make(f);
        int r = harness_plugin(h)->exit_state(harness_host(h));

        harness_free(h);
        return r;
}

void fixture_time(Fixture *f, int64_t boottime_ns) {
        f->now = boottime_ns;
        if (f->h)
                harness_set_now(f->h, boottime_ns);
}

void fixture_turn(Fixture *f) {
        assert_true(harness_turn(f->h, 10000));
}

bool fixture_keeps(Fixture *f, const char *name) {
        (void)f;
        return find_kept(name) >= 0;
}
