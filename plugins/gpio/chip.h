/* SPDX-License-Identifier: Apache-2.0 */
/* GPIO chips and what the kernel says of their lines, through libgpiod: chip-gpiod1.c for its version 1.6, chip-gpiod2.c for
 * 2.x, chosen by configure. Requests, values and edges are in request.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CHIP_NAME_SIZE 32 /* as in linux/gpio.h, with the NUL */
#define CHIP_PATH_SIZE 64
#define CHIPS_MAX 64

typedef struct ChipInfo {
        char name[CHIP_NAME_SIZE]; /* "gpiochip0" */
        char label[CHIP_NAME_SIZE]; /* "pinctrl-bcm2711" */
        char path[CHIP_PATH_SIZE];
        unsigned n_lines;
        int error; /* -EACCES ...: it is there, but this is all that is known of it; then the label is empty */
} ChipInfo;

typedef struct LineInfo {
        char name[CHIP_NAME_SIZE]; /* "" : it has none */
        char consumer[CHIP_NAME_SIZE]; /* who uses it; may be "" all the same */
        bool used, output;
} LineInfo;

typedef struct Chip Chip;

/* All chips in the order of their numbers. How many. */
size_t chips_list(ChipInfo ret[static CHIPS_MAX]);

/* -errno. */
int chip_open(Chip **ret, const char *path);
void chip_close(Chip *c); /* NULL is fine */
/* The offset of the first line of this name; -ENOENT; -errno. */
int chip_find(Chip *c, const char *name);
/* -EINVAL: the chip has no such line; -errno. */
int chip_line(Chip *c, unsigned offset, LineInfo *ret);

/* For the two files behind this one: fills name, label, n_lines. */
int chip_info(Chip *c, ChipInfo *ret);
