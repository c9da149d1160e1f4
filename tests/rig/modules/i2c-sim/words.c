// SPDX-License-Identifier: GPL-2.0-only
/* The words of a command. */
#include <linux/kernel.h>
#include <linux/string.h>

#include "../control.h"
#include "i2c-sim.h"
#include "words.h"

#define ADDRESS_MAX 0x77

struct i2c_sim_bus *bus_find(const char *word) {
        unsigned long n;

        if (control_number(&i2c_sim_control, word, 10, BUSES - 1, &n) < 0)
                return NULL;
        return &i2c_sim_buses[n];
}

int target_parse(const char *word, struct target *ret) {
        struct target t = {};
        unsigned bus;
        char end;

        if (sscanf(word, "%u:%x.%u.%x%c", &bus, &t.mux, &t.channel, &t.address, &end) != 4) {
                t.mux = t.channel = 0;
                if (sscanf(word, "%u:%x%c", &bus, &t.address, &end) != 2)
                        bus = BUSES;
        }
        if (bus >= BUSES || t.address > ADDRESS_MAX || t.mux > ADDRESS_MAX || t.channel > 7)
                return control_say(&i2c_sim_control, -EINVAL,
                                   "%s: BUS:ADDRESS is meant, or BUS:MUX.CHANNEL.ADDRESS; addresses as 48", word);
        t.bus = &i2c_sim_buses[bus];
        *ret = t;
        return 0;
}

struct i2c_sim_chip *target_find(const struct target *t) {
        struct i2c_sim_chip *chip;

        list_for_each_entry(chip, &t->bus->chips, entry) if (chip->address == t->address && chip->mux == t->mux &&
                                                             chip->channel == t->channel) return chip;
        return NULL;
}

struct i2c_sim_chip *chip_find(const char *word, unsigned kinds) {
        struct i2c_sim_chip *chip;
        struct target t;

        if (target_parse(word, &t) < 0)
                return NULL;
        chip = target_find(&t);
        if (!chip)
                control_say(&i2c_sim_control, -ENOENT, "there is no %s; it is made by registers, commands, port or mux", word);
        else if (!(kinds & 1 << chip->kind)) {
                control_say(&i2c_sim_control, -EINVAL, "%s is another kind of chip", word);
                chip = NULL;
        }
        return chip;
}

int option_number(int n, char **words, const char *name, int base, unsigned long max, unsigned long otherwise,
                  unsigned long *ret) {
        const char *value = control_option(n, words, name);

        *ret = otherwise;
        return value ? control_number(&i2c_sim_control, value, base, max, ret) : 0;
}

int register_parse(const struct i2c_sim_chip *chip, const char *word, unsigned long *ret) {
        return control_number(&i2c_sim_control, word, 16, chip->count - 1, ret);
}
