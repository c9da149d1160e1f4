/* SPDX-License-Identifier: Apache-2.0 */
/* libgpiod 2.x. Its functions set errno; what they say of a chip or a line is an object of the caller. */
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
        struct gpiod_chip_info *info;

        errno = 0;
        info = gpiod_chip_get_info(of(c));
        if (!info)
                return failure();
        snprintf(ret->name, sizeof(ret->name), "%s", gpiod_chip_info_get_name(info));
        snprintf(ret->label, sizeof(ret->label), "%s", gpiod_chip_info_get_label(info));
        ret->n_lines = (unsigned)gpiod_chip_info_get_num_lines(info);
        gpiod_chip_info_free(info);
        return 0;
}

int chip_find(Chip *c, const char *name) {
        int offset;

        errno = 0;
        offset = gpiod_chip_get_line_offset_from_name(of(c), name);
        return offset >= 0 ? offset : failure();
}

int chip_line(Chip *c, unsigned offset, LineInfo *ret) {
        struct gpiod_line_info *info;
        const char *name, *consumer;

        errno = 0;
        info = gpiod_chip_get_line_info(of(c), offset);
        if (!info)
                return failure();
        name = gpiod_line_info_get_name(info);
        consumer = gpiod_line_info_get_consumer(info);
        snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
        snprintf(ret->consumer, sizeof(ret->consumer), "%s", consumer ? consumer : "");
        ret->used = gpiod_line_info_is_used(info);
        ret->output = gpiod_line_info_get_direction(info) == GPIOD_LINE_DIRECTION_OUTPUT;
        gpiod_line_info_free(info);
        return 0;
}
