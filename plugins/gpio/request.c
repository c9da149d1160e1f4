/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why not libgpiod, which the plugin uses for chips and lines (chip.h): the descriptor of a request is kept by the daemon and
 * comes back to another process (fd_keep), which has to get and set values by it and read its edges. libgpiod 1.6 neither gives
 * the descriptor of an output away nor takes one, and its edges are of the kernel's first interface: no sequence numbers, no
 * debounce, 16 events, what is too much is gone without a word. libgpiod 2 gives the descriptor but takes none. So with either
 * there would be two ways to each line, and this is the one that always works: five ioctls and a read(), the same for both.
 *
 * The kernel's structures have a fixed size and no time_t in them, so 32-bit machines are no case of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "request.h"

#define EDGES_AT_ONCE 64

static uint64_t flags_of(const RequestConfig *c) {
        static const uint64_t bias[] = {
                [BIAS_PULL_UP] = GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
                [BIAS_PULL_DOWN] = GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN,
                [BIAS_DISABLED] = GPIO_V2_LINE_FLAG_BIAS_DISABLED,
        };
        static const uint64_t drive[] = {
                [DRIVE_OPEN_DRAIN] = GPIO_V2_LINE_FLAG_OPEN_DRAIN,
                [DRIVE_OPEN_SOURCE] = GPIO_V2_LINE_FLAG_OPEN_SOURCE,
        };
        uint64_t flags = c->active_low ? GPIO_V2_LINE_FLAG_ACTIVE_LOW : 0;

        if (c->as_is)
                return flags;
        flags |= c->output ? GPIO_V2_LINE_FLAG_OUTPUT : GPIO_V2_LINE_FLAG_INPUT;
        flags |= bias[c->bias];
        if (c->output)
                return flags | drive[c->drive];
        if (c->rising)
                flags |= GPIO_V2_LINE_FLAG_EDGE_RISING;
        if (c->falling)
                flags |= GPIO_V2_LINE_FLAG_EDGE_FALLING;
        return flags;
}

/* An attribute for the one line that a request has. */
static struct gpio_v2_line_attribute *add_attribute(struct gpio_v2_line_config *config, uint32_t id) {
        struct gpio_v2_line_config_attribute *a = &config->attrs[config->num_attrs++];

        a->mask = 1;
        a->attr.id = id;
        return &a->attr;
}

static struct gpio_v2_line_config config_of(const RequestConfig *c) {
        struct gpio_v2_line_config config = {.flags = flags_of(c)};

        if (c->output && !c->as_is)
                add_attribute(&config, GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES)->values = c->value;
        else if (c->debounce_usec > 0 && !c->as_is)
                add_attribute(&config, GPIO_V2_LINE_ATTR_ID_DEBOUNCE)->debounce_period_us = c->debounce_usec;
        return config;
}

static int line_ioctl(int fd, unsigned long request, void *data) {
        int r;

        do
                r = ioctl(fd, request, data);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : 0;
}

static int chip_ioctl(const char *path, unsigned long request, void *data) {
        int fd = open(path, O_RDWR | O_CLOEXEC), r;

        if (fd < 0)
                return errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
        r = line_ioctl(fd, request, data);
        close(fd);
        return r;
}

int request_new(const char *chip_path, unsigned offset, const char *consumer, const RequestConfig *config) {
        struct gpio_v2_line_request request = {
                .offsets = {offset},
                .num_lines = 1,
                .config = config_of(config),
                .event_buffer_size = config->rising || config->falling ? REQUEST_EDGES_MAX : 0,
        };
        int r;

        snprintf(request.consumer, sizeof(request.consumer), "%s", consumer);
        r = chip_ioctl(chip_path, GPIO_V2_GET_LINE_IOCTL, &request);
        if (r < 0)
                return r;
        if (fcntl(request.fd, F_SETFL, O_NONBLOCK) < 0) {
                r = -errno;
                close(request.fd);
                return r;
        }
        return request.fd;
}

int request_change(int fd, const RequestConfig *config) {
        struct gpio_v2_line_config c = config_of(config);

        return line_ioctl(fd, GPIO_V2_LINE_SET_CONFIG_IOCTL, &c);
}

int request_look(const char *chip_path, unsigned offset, RequestConfig *ret) {
        struct gpio_v2_line_info info = {.offset = offset};
        int r = chip_ioctl(chip_path, GPIO_V2_GET_LINEINFO_IOCTL, &info);

        if (r < 0)
                return r;
        *ret = (RequestConfig){
                .output = info.flags & GPIO_V2_LINE_FLAG_OUTPUT,
                .active_low = info.flags & GPIO_V2_LINE_FLAG_ACTIVE_LOW,
                .bias = info.flags & GPIO_V2_LINE_FLAG_BIAS_PULL_UP     ? BIAS_PULL_UP
                        : info.flags & GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN ? BIAS_PULL_DOWN
                        : info.flags & GPIO_V2_LINE_FLAG_BIAS_DISABLED  ? BIAS_DISABLED
                                                                        : BIAS_AS_IS,
                .drive = info.flags & GPIO_V2_LINE_FLAG_OPEN_DRAIN    ? DRIVE_OPEN_DRAIN
                         : info.flags & GPIO_V2_LINE_FLAG_OPEN_SOURCE ? DRIVE_OPEN_SOURCE
                                                                      : DRIVE_PUSH_PULL,
                .rising = info.flags & GPIO_V2_LINE_FLAG_EDGE_RISING,
                .falling = info.flags & GPIO_V2_LINE_FLAG_EDGE_FALLING,
        };
        for (uint32_t i = 0; i < info.num_attrs && i < GPIO_V2_LINE_NUM_ATTRS_MAX; i++)
                if (info.attrs[i].id == GPIO_V2_LINE_ATTR_ID_DEBOUNCE)
                        ret->debounce_usec = info.attrs[i].debounce_period_us;
        return 0;
}

bool request_same(const RequestConfig *a, const RequestConfig *b) {
        return flags_of(a) == flags_of(b) && (a->output || a->debounce_usec == b->debounce_usec);
}

int request_get(int fd) {
        struct gpio_v2_line_values v = {.mask = 1};
        int r = line_ioctl(fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &v);

        return r < 0 ? r : (int)(v.bits & 1);
}

int request_set(int fd, bool value) {
        struct gpio_v2_line_values v = {.bits = value, .mask = 1};

        return line_ioctl(fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &v);
}

ssize_t request_edges(int fd, Edge *ret, size_t n) {
        struct gpio_v2_line_event events[EDGES_AT_ONCE];
        ssize_t size;

        if (n > EDGES_AT_ONCE)
                n = EDGES_AT_ONCE;
        do
                size = read(fd, events, n * sizeof(*events));
        while (size < 0 && errno == EINTR);
        if (size < 0)
                return errno == EAGAIN ? 0 : -errno;
        n = (size_t)size / sizeof(*events);
        for (size_t i = 0; i < n; i++)
                ret[i] = (Edge){
                        .monotonic_ns = (int64_t)events[i].timestamp_ns,
                        .seqno = events[i].line_seqno,
                        .active = events[i].id == GPIO_V2_LINE_EVENT_RISING_EDGE,
                };
        return n > 0 ? (ssize_t)n : -ENODEV;
}
