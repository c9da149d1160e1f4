/* SPDX-License-Identifier: Apache-2.0 */
/* libgpiod 1.6. Its functions set errno; lines belong to their chip. */
#include <errno.h>
#include <gpiod.h>
#include <stdio.h>

#include "chip.h"

/* struct gpiod_chip is all that a Chip is. */
static struct gpiod_chip *of(Chip *c) {
        return (struct gpiod_chip *)c;
}

static int failure(void) {
        return errno > 0 ? -errno : -EIO;
}

int chip_open(Chip **ret, const char *path) {
        errno = 0;
        *ret = (Chip *)gpiod_chip_open(path);
        return *ret ? 0 : failure();
}

void chip_close(Chip *c) {
        if (c)
                gpiod_chip_close(of(c));
}

int chip_info(Chip *c, ChipInfo *ret) {
        snprintf(ret->name, sizeof(ret->name), "%s", gpiod_chip_name(of(c)));
        snprintf(ret->label, sizeof(ret->label), "%s", gpiod_chip_label(of(c)));
        ret->n_lines = gpiod_chip_num_lines(of(c));
        return 0;
}

int chip_find(Chip *c, const char *name) {
        struct gpiod_line *line;

        errno = 0;
        line = gpiod_chip_find_line(of(c), name);
        return line ? (int)gpiod_line_offset(line) : failure();
}

int chip_line(Chip *c, unsigned offset, LineInfo *ret) {
        struct gpiod_line *line;
        const char *name, *consumer;

        errno = 0;
        line = gpiod_chip_get_line(of(c), offset);
        if (!line)
                return failure();
        name = gpiod_line_name(line);
        consumer = gpiod_line_consumer(line);
        snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
        snprintf(ret->consumer, sizeof(ret->consumer), "%s", consumer ? consumer : "");
        ret->used = gpiod_line_is_used(line);
        ret->output = gpiod_line_direction(line) == GPIOD_LINE_DIRECTION_OUTPUT;
        return 0;
}
