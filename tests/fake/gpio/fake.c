/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../../plugins/gpio/chip.h"
#include "../../../plugins/gpio/request.h"
#include "fake.h"

#define FAKE_CHIPS 8
#define FAKE_LINES 64
#define EXPORT     __attribute__((visibility("default")))

typedef struct FakeLine {
        char name[CHIP_NAME_SIZE], user[CHIP_NAME_SIZE]; /* user: somebody else */
        bool used, high, flood;
        unsigned moves;
        int get_error, set_error, config_error;
        unsigned set_failures;
        /* of its request */
        int write_fd; /* -1: none */
        ino_t inode;
        char consumer[CHIP_NAME_SIZE];
        RequestConfig config;
        Edge fifo[REQUEST_EDGES_MAX];
        size_t n_fifo;
        uint32_t seqno;
} FakeLine;

struct Chip {
        bool there;
        int error;
        unsigned number, n_lines;
        char label[CHIP_NAME_SIZE];
        FakeLine *lines;
};

static Chip chips[FAKE_CHIPS];
static unsigned n_requests;
static int64_t fake_now;

static Chip *chip_of(unsigned number) {
        for (size_t i = 0; i < FAKE_CHIPS; i++)
                if (chips[i].lines && chips[i].number == number)
                        return &chips[i];
        return NULL;
}

static FakeLine *line_of(unsigned number, unsigned offset) {
        Chip *c = chip_of(number);

        if (!c || offset >= c->n_lines)
                abort();
        return &c->lines[offset];
}

/* The last descriptor is closed: the request is over. */
static void release(FakeLine *l) {
        struct pollfd p = {.fd = l->write_fd};

        if (l->write_fd < 0 || poll(&p, 1, 0) != 1 || !(p.revents & POLLERR))
                return;
        close(l->write_fd);
        l->write_fd = -1;
        l->moves += l->config.output;
        l->config = (RequestConfig){.as_is = true};
}

static bool logical(const FakeLine *l) {
        return l->high != l->config.active_low;
}

static void drive(FakeLine *l, bool value) {
        bool high = value != l->config.active_low;

        l->moves += high != l->high;
        l->high = high;
}

static int64_t now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return fake_now ? fake_now : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* As the kernel: the oldest goes, its number is missing. */
static void add_edge(FakeLine *l, bool active) {
        if (l->n_fifo == REQUEST_EDGES_MAX)
                memmove(l->fifo, l->fifo + 1, --l->n_fifo * sizeof(*l->fifo));
        l->fifo[l->n_fifo++] = (Edge){.monotonic_ns = now(), .seqno = ++l->seqno, .active = active};
        if (l->n_fifo == 1 && write(l->write_fd, "", 1) != 1)
                abort();
}

/* ---- request.h */

static FakeLine *line_of_fd(int fd, Chip **ret) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return NULL;
        for (size_t c = 0; c < FAKE_CHIPS; c++)
                for (unsigned i = 0; chips[c].lines && i < chips[c].n_lines; i++)
                        if (chips[c].lines[i].write_fd >= 0 && chips[c].lines[i].inode == st.st_ino) {
                                *ret = &chips[c];
                                return &chips[c].lines[i];
                        }
        return NULL;
}

static Chip *chip_at(const char *path) {
        unsigned number;

        return sscanf(path, "/dev/gpiochip%u", &number) == 1 ? chip_of(number) : NULL;
}

static void configure(FakeLine *l, const RequestConfig *config) {
        bool was_output = l->config.output && !l->config.as_is;

        l->moves += was_output != (config->output && !config->as_is);
        l->config = *config;
        if (config->output && !config->as_is)
                drive(l, config->value);
}

int request_new(const char *path, unsigned offset, const char *consumer, const RequestConfig *config) {
        Chip *c = chip_at(path);
        struct stat st;
        FakeLine *l;
        int fds[2];

        if (!c || !c->there)
                return -ENODEV;
        l = &c->lines[offset];
        release(l);
        if (offset >= c->n_lines || l->used || l->write_fd >= 0)
                return offset >= c->n_lines ? -EINVAL : -EBUSY;
        if (l->config_error)
                return l->config_error;
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 || fstat(fds[0], &st) < 0)
                return -errno;
        l->write_fd = fds[1];
        l->inode = st.st_ino;
        l->n_fifo = l->seqno = 0;
        snprintf(l->consumer, sizeof(l->consumer), "%s", consumer);
        configure(l, config);
        l->moves -= config->output && !config->as_is; /* it was none before: no output has moved */
        n_requests++;
        return fds[0];
}

int request_change(int fd, const RequestConfig *config) {
        Chip *c;
        FakeLine *l = line_of_fd(fd, &c);

        if (!l || !c->there)
                return -ENODEV;
        if (l->config_error)
                return l->config_error;
        if (l->config.as_is)
                l->moves -= config->output; /* as above */
        configure(l, config);
        return 0;
}

int request_look(const char *path, unsigned offset, RequestConfig *ret) {
        Chip *c = chip_at(path);

        if (!c || !c->there || offset >= c->n_lines)
                return -ENODEV;
        *ret = c->lines[offset].config;
        return 0;
}

bool request_same(const RequestConfig *a, const RequestConfig *b) {
        return a->output == b->output && a->active_low == b->active_low && a->bias == b->bias &&
               (a->output ? a->drive == b->drive
                          : a->rising == b->rising && a->falling == b->falling && a->debounce_usec == b->debounce_usec);
}

int request_get(int fd) {
        Chip *c;
        FakeLine *l = line_of_fd(fd, &c);

        return !l || !c->there ? -ENODEV : l->get_error ? l->get_error : logical(l);
}

int request_set(int fd, bool value) {
        Chip *c;
        FakeLine *l = line_of_fd(fd, &c);

        if (!l || !c->there)
                return -ENODEV;
        if (!l->config.output || l->config.as_is)
                return -EPERM;
        if (l->set_failures > 0) {
                l->set_failures--;
                return l->set_error;
        }
        drive(l, value);
        return 0;
}

ssize_t request_edges(int fd, Edge *ret, size_t n) {
        Chip *c;
        FakeLine *l = line_of_fd(fd, &c);
        char byte;

        if (!l || !c->there)
                return -ENODEV;
        if (n > l->n_fifo)
                n = l->n_fifo;
        memcpy(ret, l->fifo, n * sizeof(*ret));
        l->n_fifo -= n;
        memmove(l->fifo, l->fifo + n, l->n_fifo * sizeof(*l->fifo));
        if (l->n_fifo == 0)
                while (read(fd, &byte, 1) > 0)
                        ;
        for (size_t i = 0; l->flood && i < n; i++)
                add_edge(l, l->seqno % 2 == 0);
        return (ssize_t)n;
}

/* ---- chip.h */

size_t chips_list(ChipInfo ret[static CHIPS_MAX]) {
        size_t n = 0;

        for (unsigned number = 0; number < 100; number++) {
                Chip *c = chip_of(number);

                if (!c || !c->there)
                        continue;
                memset(&ret[n], 0, sizeof(ret[n]));
                snprintf(ret[n].name, sizeof(ret[n].name), "gpiochip%u", number);
                snprintf(ret[n].path, sizeof(ret[n].path), "/dev/gpiochip%u", number);
                ret[n].error = c->error;
                if (c->error == 0)
                        (void)chip_info(c, &ret[n]);
                n++;
        }
        return n;
}

int chip_info(Chip *c, ChipInfo *ret) {
        memcpy(ret->label, c->label, sizeof(ret->label));
        ret->n_lines = c->n_lines;
        return 0;
}

int chip_open(Chip **ret, const char *path) {
        *ret = chip_at(path);
        return !*ret || !(*ret)->there ? -ENOENT : (*ret)->error;
}

void chip_close(Chip *c) {
        (void)c;
}

int chip_find(Chip *c, const char *name) {
        for (unsigned i = 0; i < c->n_lines; i++)
                if (strcmp(c->lines[i].name, name) == 0)
                        return (int)i;
        return -ENOENT;
}

int chip_line(Chip *c, unsigned offset, LineInfo *ret) {
        FakeLine *l;

        if (offset >= c->n_lines)
                return -EINVAL;
        l = &c->lines[offset];
        release(l);
        memset(ret, 0, sizeof(*ret));
        memcpy(ret->name, l->name, sizeof(ret->name));
        ret->used = l->used || l->write_fd >= 0;
        memcpy(ret->consumer, l->used ? l->user : l->consumer, sizeof(ret->consumer));
        ret->output = l->config.output;
        return 0;
}

/* ---- fake.h */

static void reset(void) {
        for (size_t c = 0; c < FAKE_CHIPS; c++) {
                for (unsigned i = 0; i < chips[c].n_lines; i++)
                        if (chips[c].lines[i].write_fd >= 0)
                                close(chips[c].lines[i].write_fd);
                free(chips[c].lines);
        }
        memset(chips, 0, sizeof(chips));
        n_requests = 0;
        fake_now = 0;
}

static void add_chip(unsigned number, const char *label, const char *const *names) {
        Chip *c = chip_of(number);

        for (size_t i = 0; !c && i < FAKE_CHIPS; i++)
                if (!chips[i].lines)
                        c = &chips[i];
        if (!c)
                abort();
        if (!c->lines)
                c->lines = calloc(FAKE_LINES, sizeof(*c->lines));
        if (!c->lines)
                abort();
        c->number = number;
        c->there = true;
        snprintf(c->label, sizeof(c->label), "%s", label);
        for (c->n_lines = 0; names[c->n_lines]; c->n_lines++) {
                FakeLine *l = &c->lines[c->n_lines];

                if (c->n_lines >= FAKE_LINES)
                        abort();
                *l = (FakeLine){.write_fd = -1, .config = {.as_is = true}};
                snprintf(l->name, sizeof(l->name), "%s", names[c->n_lines]);
        }
}

static void remove_chip(unsigned number) {
        Chip *c = chip_of(number);

        c->there = false;
        for (unsigned i = 0; i < c->n_lines; i++)
                if (c->lines[i].write_fd >= 0)
                        close(c->lines[i].write_fd); /* its other end hears of it */
        free(c->lines);
        memset(c, 0, sizeof(*c));
}

static void deny_chip(unsigned number, int error) {
        chip_of(number)->error = error;
}

static void set_used(unsigned number, unsigned offset, const char *consumer) {
        FakeLine *l = line_of(number, offset);

        l->used = consumer;
        snprintf(l->user, sizeof(l->user), "%s", consumer ? consumer : "");
}

static void set_level(unsigned number, unsigned offset, bool high) {
        FakeLine *l = line_of(number, offset);
        bool changed = l->high != high;

        release(l);
        l->high = high;
        if (changed && l->write_fd >= 0 && !l->config.output && (logical(l) ? l->config.rising : l->config.falling))
                add_edge(l, logical(l));
}

static bool level(unsigned number, unsigned offset) {
        return line_of(number, offset)->high;
}

static bool is_output(unsigned number, unsigned offset) {
        FakeLine *l = line_of(number, offset);

        release(l);
        return l->config.output && !l->config.as_is;
}

static bool is_held(unsigned number, unsigned offset) {
        FakeLine *l = line_of(number, offset);

        release(l);
        return l->write_fd >= 0;
}

static unsigned moves(unsigned number, unsigned offset) {
        FakeLine *l = line_of(number, offset);
        unsigned n;

        release(l);
        n = l->moves;
        l->moves = 0;
        return n;
}

static const char *consumer_of(unsigned number, unsigned offset) {
        return line_of(number, offset)->consumer;
}

static unsigned requests(void) {
        unsigned n = n_requests;

        n_requests = 0;
        return n;
}

static unsigned config_of(unsigned number, unsigned offset, uint32_t *ret_debounce) {
        const RequestConfig *c = &line_of(number, offset)->config;

        *ret_debounce = c->debounce_usec;
        return (c->bias == BIAS_PULL_UP ? FAKE_PULL_UP : 0u) | (c->bias == BIAS_PULL_DOWN ? FAKE_PULL_DOWN : 0u) |
               (c->bias == BIAS_DISABLED ? FAKE_NO_BIAS : 0u) | (c->drive == DRIVE_OPEN_DRAIN ? FAKE_OPEN_DRAIN : 0u) |
               (c->rising ? FAKE_RISING : 0u) | (c->falling ? FAKE_FALLING : 0u) | (c->active_low ? FAKE_LOW : 0u);
}

static void set_now(int64_t monotonic_ns) {
        fake_now = monotonic_ns;
}

static void fail_get(unsigned number, unsigned offset, int error) {
        line_of(number, offset)->get_error = error;
}

static void fail_set(unsigned number, unsigned offset, int error, unsigned times) {
        line_of(number, offset)->set_error = error;
        line_of(number, offset)->set_failures = times;
}

static void set_flood(unsigned number, unsigned offset, bool on) {
        line_of(number, offset)->flood = on;
}

static void refuse(unsigned number, unsigned offset, int error) {
        line_of(number, offset)->config_error = error;
}

EXPORT const FakeLines fake_lines = {reset,   add_chip, remove_chip, deny_chip, set_used,  set_level, level,   is_output,
                                     is_held, moves,    consumer_of, requests,  config_of, now,       set_now, fail_get,
                                     fail_set, set_flood, refuse};
