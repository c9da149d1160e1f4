/* SPDX-License-Identifier: Apache-2.0 */
/* Where a line is: what the configuration calls it, and what chip and offset that is on this machine. */
#pragma once

#include "chip.h"

#define WHY_SIZE 400

typedef struct Wanted {
        enum { WANTED_NAME, WANTED_GPIO, WANTED_OFFSET } how; /* GPIO: a line of the Raspberry Pi's header */
        const char *name; /* NAME and GPIO: borrowed from the configuration */
        unsigned number;  /* GPIO: of the GPIO; OFFSET */
        unsigned pin;     /* GPIO that was given as a pin of the header; else 0 */
        const char *chip; /* label, name or path; NULL: any */
} Wanted;

typedef struct Place {
        char chip[CHIP_NAME_SIZE]; /* "gpiochip0" */
        char label[CHIP_NAME_SIZE];
        char path[CHIP_PATH_SIZE];
        unsigned offset;
        unsigned pin; /* of the 40-pin header; 0: it is not there */
} Place;

/* 0; -EINVAL: why[] says what to write instead, to be read behind the option's path. */
int wanted_parse(const char *line, const char *chip, Wanted *ret, char why[static WHY_SIZE]);

/* 0; -ENODEV: not there (yet); -EACCES: may be there; why[] says what to do. */
int place_find(const Wanted *w, Place *ret, char why[static WHY_SIZE]);

/* GPIO number of a pin of the 40-pin header; -1: it has none. And the other way round; 0. */
int header_gpio(unsigned pin);
unsigned header_pin(unsigned gpio);
/* The chip that the header's lines belong to. */
bool chip_is_header(const char *label);
/* What a pin that has no GPIO is: "ground", ... */
const char *header_use(unsigned pin);
