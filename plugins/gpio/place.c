/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One configuration serves every Raspberry Pi: the number of the chip that has the header's lines has changed from kernel to
 * kernel (0, 4, and two-digit ones), its label has not, and in it line n is GPIO n. The names of its lines differ, too (GPIO4 was
 * GPIO_GCLK): so "GPIO17" is looked for by name first, in the header's chip before all others, and then is its line 17.
 *
 * A bare number is the classic mistake: 17 is GPIO17 for one, pin 17 (which is 3.3 V) for another, the line of an expander for a
 * third. It is refused where no chip is named.
 */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"

#define PINS       40
#define GPIOS      28 /* GPIO0 to GPIO27 are on the header */
#define GPIO_MAX   53 /* a compute module has them all */
#define NUMBER_MAX 65535

#define POWER_3V3 (-1)
#define POWER_5V  (-2)
#define GROUND    (-3)

static const signed char header[PINS + 1] = {
        0,
        POWER_3V3, POWER_5V, 2,         POWER_5V, 3,      GROUND, 4,      14,     GROUND, 15,
        17,        18,       27,        GROUND,   22,     23,     POWER_3V3, 24,  10,     GROUND,
        9,         25,       11,        8,        GROUND, 7,      0,      1,      5,      GROUND,
        6,         12,       13,        GROUND,   19,     16,     26,     20,     GROUND, 21,
};

static int say(char why[static WHY_SIZE], int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int say(char why[static WHY_SIZE], int error, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        vsnprintf(why, WHY_SIZE, format, ap);
        va_end(ap);
        return error;
}

int header_gpio(unsigned pin) {
        return pin >= 1 && pin <= PINS && header[pin] >= 0 ? header[pin] : -1;
}

unsigned header_pin(unsigned gpio) {
        for (unsigned pin = 1; pin <= PINS; pin++)
                if (header[pin] == (int)gpio)
                        return pin;
        return 0;
}

const char *header_use(unsigned pin) {
        int use = pin >= 1 && pin <= PINS ? header[pin] : 0;

        return use == GROUND ? "ground" : use == POWER_5V ? "5 V" : use == POWER_3V3 ? "3.3 V" : NULL;
}

bool chip_is_header(const char *label) {
        static const char *const labels[] = {"pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835"};

        for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
                if (strcmp(label, labels[i]) == 0)
                        return true;
        return false;
}

/* ---- what the configuration says */

/* Digits alone, behind a prefix that may be in capitals. */
static bool number_behind(const char *text, const char *prefix, unsigned *ret) {
        const char *digits = text + strlen(prefix);
        unsigned long number;
        char *end;

        if (strncasecmp(text, prefix, strlen(prefix)) != 0 || !isdigit((unsigned char)*digits))
                return false;
        number = strtoul(digits, &end, 10);
        if (*end || number > NUMBER_MAX)
                return false;
        *ret = (unsigned)number;
        return true;
}

static int refuse_number(unsigned n, char why[static WHY_SIZE]) {
        unsigned pin = n < GPIOS ? header_pin(n) : 0;
        int gpio = header_gpio(n);
        char a[60] = "", b[60] = "";

        if (pin > 0)
                snprintf(a, sizeof(a), "\"GPIO%u\" (pin %u of the header), ", n, pin);
        if (gpio >= 0)
                snprintf(b, sizeof(b), "\"pin%u\" (which is GPIO%d), ", n, gpio);
        return say(why, -EINVAL,
                   "= \"%u\" may mean several lines: write %s%sor, for line %u of a chip, chip = \"LABEL\" beside it (gpiodetect "
                   "lists the chips)", n, a, b, n);
}

static int parse_pin(Wanted *w, char why[static WHY_SIZE]) {
        int gpio = header_gpio(w->pin);

        if (gpio >= 0) {
                w->how = WANTED_GPIO;
                w->number = (unsigned)gpio;
                return 0;
        }
        if (header_use(w->pin))
                return say(why, -EINVAL, "= \"pin%u\" is %s, not a line: see the drawing that pinout prints", w->pin,
                           header_use(w->pin));
        return say(why, -EINVAL, "= \"pin%u\" is not on the header: it has the pins 1 to %d", w->pin, PINS);
}

int wanted_parse(const char *line, const char *chip, Wanted *ret, char why[static WHY_SIZE]) {
        Wanted w = {.how = WANTED_NAME, .name = line, .chip = chip};

        if (!*line)
                return say(why, -EINVAL, "is empty: write the name of a line, such as \"GPIO17\" or \"pin11\"");
        if (chip && !*chip)
                return say(why, -EINVAL, "has an empty chip beside it: write its label, or leave it out");
        if (number_behind(line, "", &w.number)) {
                if (!chip)
                        return refuse_number(w.number, why);
                w.how = WANTED_OFFSET;
        } else if (number_behind(line, "pin", &w.pin)) {
                int r = parse_pin(&w, why);

                if (r < 0)
                        return r;
        } else if (number_behind(line, "GPIO", &w.number) && w.number <= GPIO_MAX)
                w.how = WANTED_GPIO;
        *ret = w;
        return 0;
}

/* ---- what the machine has */

typedef struct Search {
        ChipInfo chips[CHIPS_MAX];
        size_t n;
        const ChipInfo *denied;
} Search;

static bool chip_is_meant(const Wanted *w, const ChipInfo *c) {
        return !w->chip || strcmp(w->chip, c->label) == 0 || strcmp(w->chip, c->name) == 0 || strcmp(w->chip, c->path) == 0;
}

/* The header's first, the others in their order. */
static void sort_chips(Search *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->n; i++) {
                ChipInfo c = s->chips[i];

                if (!chip_is_header(c.label))
                        continue;
                memmove(&s->chips[n + 1], &s->chips[n], (i - n) * sizeof(c));
                s->chips[n++] = c;
        }
}

static void search_begin(Search *s) {
        s->n = chips_list(s->chips);
        s->denied = NULL;
        sort_chips(s);
        for (size_t i = 0; i < s->n; i++)
                if (s->chips[i].error == -EACCES || s->chips[i].error == -EPERM)
                        s->denied = &s->chips[i];
}

static int found(const ChipInfo *c, unsigned offset, Place *ret) {
        memset(ret, 0, sizeof(*ret));
        memcpy(ret->chip, c->name, sizeof(ret->chip));
        memcpy(ret->label, c->label, sizeof(ret->label));
        memcpy(ret->path, c->path, sizeof(ret->path));
        ret->offset = offset;
        if (chip_is_header(c->label) && offset < GPIOS)
                ret->pin = header_pin(offset);
        return 0;
}

static int offset_of(const ChipInfo *c, const char *name) {
        Chip *chip;
        int r;

        r = chip_open(&chip, c->path);
        if (r < 0)
                return r;
        r = chip_find(chip, name);
        chip_close(chip);
        return r;
}

/* The header's chip may have it beside others. Which one of two others is first is chance: they may be plugged in or not. */
static int find_name(const Search *s, const Wanted *w, const char *name, Place *ret, char why[static WHY_SIZE]) {
        const ChipInfo *first = NULL;

        for (size_t i = 0; i < s->n; i++) {
                const ChipInfo *c = &s->chips[i];
                int offset = c->error == 0 && chip_is_meant(w, c) ? offset_of(c, name) : -ENOENT;

                if (offset < 0)
                        continue;
                if (first)
                        return say(why, -ENODEV,
                                   "%s [%s] and %s [%s] have a line \"%s\": write chip = \"%s\" beside it, or the other",
                                   first->name, first->label, c->name, c->label, name,
                                   strcmp(first->label, c->label) != 0 ? first->label : first->name);
                first = c;
                (void)found(c, (unsigned)offset, ret);
                if (chip_is_header(c->label))
                        break;
        }
        return first ? 0 : -ENOENT;
}

static int find_gpio(const Search *s, const Wanted *w, Place *ret, char why[static WHY_SIZE]) {
        char name[CHIP_NAME_SIZE];
        int r;

        snprintf(name, sizeof(name), "GPIO%u", w->number);
        /* a pin is one of the header and nothing else, whatever lines may be called */
        r = w->pin == 0 ? find_name(s, w, name, ret, why) : -ENOENT;
        if (r != -ENOENT)
                return r;
        for (size_t i = 0; i < s->n; i++)
                if (chip_is_header(s->chips[i].label) && chip_is_meant(w, &s->chips[i]) && w->number < s->chips[i].n_lines)
                        return found(&s->chips[i], w->number, ret);
        return -ENOENT;
}

static const ChipInfo *find_chip(const Search *s, const Wanted *w, size_t *ret_n) {
        const ChipInfo *first = NULL;

        *ret_n = 0;
        for (size_t i = 0; i < s->n; i++)
                if (chip_is_meant(w, &s->chips[i])) {
                        (*ret_n)++;
                        first = first ? first : &s->chips[i];
                }
        return first;
}

/* ---- why it is not found */

static int tell_denied(const ChipInfo *c, char why[static WHY_SIZE]) {
        const struct passwd *user = getpwuid(geteuid());
        const char *name = user ? user->pw_name : "this user";
        const struct group *group;
        struct stat st;

        if (stat(c->path, &st) < 0 || !(group = getgrgid(st.st_gid)))
                return say(why, -EACCES, "may not open %s", c->path);
        if (st.st_gid == 0 || !(st.st_mode & S_IWGRP))
                return say(
                        why, -EACCES,
                        "may not open %s, which belongs to root alone: the udev rule 60-tbagent.rules gives it to the group gpio "
                        "(udevadm trigger --subsystem-match=gpio)",
                        c->path);
        return say(why, -EACCES, "may not open %s: the user %s is not in the group %s (usermod -aG %s %s, then restart)", c->path,
                   name, group->gr_name, group->gr_name, name);
}

static int tell_no_chip(const Search *s, const Wanted *w, char why[static WHY_SIZE]) {
        size_t used;

        if (s->n == 0)
                return say(why, -ENODEV, "there is no /dev/gpiochip*: this machine has no GPIO, or its driver is not loaded");
        used = (size_t)snprintf(why, WHY_SIZE, "there is no GPIO chip \"%s\"; there are", w->chip);
        for (size_t i = 0; i < s->n && used < WHY_SIZE; i++)
                used += (size_t)snprintf(why + used, WHY_SIZE - used, "%s %s [%s]", i > 0 ? "," : "", s->chips[i].name,
                                         s->chips[i].label);
        return -ENODEV;
}

static int tell_no_line(const Search *s, const Wanted *w, char why[static WHY_SIZE]) {
        size_t n;

        if (s->denied)
                return tell_denied(s->denied, why);
        if (!find_chip(s, w, &n))
                return tell_no_chip(s, w, why);
        if (w->pin > 0)
                return say(why, -ENODEV,
                           "there is no GPIO chip of a Raspberry Pi's header here: name the line (gpioinfo lists them)");
        return say(why, -ENODEV, "no line is called \"%s\"%s%s (gpioinfo lists them)", w->name, w->chip ? " on " : "",
                   w->chip ? w->chip : "");
}

static int find_offset(const Search *s, const Wanted *w, Place *ret, char why[static WHY_SIZE]) {
        size_t n;
        const ChipInfo *c = find_chip(s, w, &n);

        if (!c)
                return s->denied ? tell_denied(s->denied, why) : tell_no_chip(s, w, why);
        if (n > 1)
                return say(why, -ENODEV, "%zu chips are called \"%s\": write the name of one (gpiodetect lists them)", n,
                           w->chip);
        if (c->error == -EACCES || c->error == -EPERM)
                return tell_denied(c, why);
        if (w->number >= c->n_lines)
                return say(why, -ENODEV, "%s [%s] has no line %u: it has the lines 0 to %u", c->name, c->label, w->number,
                           c->n_lines - 1);
        return found(c, w->number, ret);
}

int place_find(const Wanted *w, Place *ret, char why[static WHY_SIZE]) {
        Search s;
        int r;

        search_begin(&s);
        if (w->how == WANTED_OFFSET)
                return find_offset(&s, w, ret, why);
        r = w->how == WANTED_GPIO ? find_gpio(&s, w, ret, why) : find_name(&s, w, w->name, ret, why);
        return r == -ENOENT ? tell_no_line(&s, w, why) : r;
}
