/* SPDX-License-Identifier: Apache-2.0 */
/* Every /dev/gpiochipN, also one that may not be opened: whoever looks for a line has to hear why it is not found. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chip.h"

#define DEV    "/dev/"
#define PREFIX "gpiochip"

static int is_chip(const struct dirent *e) {
        const char *digits = e->d_name + strlen(PREFIX);

        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 || !*digits || strlen(e->d_name) >= CHIP_NAME_SIZE)
                return 0;
        while (isdigit((unsigned char)*digits))
                digits++;
        return *digits == '\0';
}

static void look(ChipInfo *ret, const char *name) {
        Chip *c;

        memset(ret, 0, sizeof(*ret));
        snprintf(ret->name, sizeof(ret->name), "%.*s", CHIP_NAME_SIZE - 1, name); /* is_chip() has seen that it fits */
        snprintf(ret->path, sizeof(ret->path), DEV "%s", ret->name);
        ret->error = chip_open(&c, ret->path);
        if (ret->error < 0)
                return;
        ret->error = chip_info(c, ret);
        chip_close(c);
}

size_t chips_list(ChipInfo ret[static CHIPS_MAX]) {
        struct dirent **entries;
        int found = scandir(DEV, &entries, is_chip, versionsort);
        size_t n = 0;

        for (int i = 0; i < found; i++) {
                if (n < CHIPS_MAX)
                        look(&ret[n++], entries[i]->d_name);
                free(entries[i]);
        }
        if (found >= 0)
                free(entries);
        return n;
}
