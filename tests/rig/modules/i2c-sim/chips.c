// SPDX-License-Identifier: GPL-2.0-only
/* The commands that make chips, and say what they answer. */
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../control.h"
#include "i2c-sim.h"
#include "words.h"

static int chip_add(const char *word, enum i2c_sim_kind kind, unsigned width, unsigned count, struct i2c_sim_chip **ret) {
        struct i2c_sim_chip *chip;
        struct target t;
        int r;

        r = target_parse(word, &t);
        if (r < 0)
                return r;
        if (target_find(&t))
                return control_say(&i2c_sim_control, -EEXIST, "%s is there; it goes by: remove %s", word, word);
        chip = chip_new(t.bus, kind, width, count);
        if (!chip)
                return -ENOMEM;
        chip->address = t.address;
        chip->mux = t.mux;
        chip->channel = t.channel;
        list_add_tail(&chip->entry, &t.bus->chips);
        *ret = chip;
        return 0;
}

int do_registers(int n, char **words) {
        unsigned long width, pointer, mask, count, increment, fill;
        struct i2c_sim_chip *chip;
        int r;

        if ((r = option_number(n, words, "width", 10, 2, 1, &width)) < 0 ||
            (r = option_number(n, words, "pointer", 10, 2, 1, &pointer)) < 0 ||
            (r = option_number(n, words, "mask", 16, 0xffff, 0xffff, &mask)) < 0 ||
            (r = option_number(n, words, "count", 16, 0x10000, pointer == 2 ? 0x10000 : 0x100, &count)) < 0 ||
            (r = option_number(n, words, "increment", 10, 1, width == 1, &increment)) < 0 ||
            (r = option_number(n, words, "fill", 16, 0xff, 0, &fill)) < 0)
                return r;
        if (width == 0 || count == 0)
                return control_say(&i2c_sim_control, -EINVAL, "width and count are at least 1");
        r = chip_add(words[0], REGISTERS, width, count, &chip);
        if (r < 0)
                return r;
        chip->pointer_size = pointer;
        chip->pointer_mask = mask;
        chip->increment = increment;
        memset(chip->values, fill, width * count);
        return 0;
}

int do_port(int n, char **words) {
        struct i2c_sim_chip *chip;
        unsigned long width;
        int r;

        r = option_number(n, words, "width", 10, 2, 1, &width);
        if (r < 0)
                return r;
        if (width == 0)
                return control_say(&i2c_sim_control, -EINVAL, "width is 1 or 2");
        r = chip_add(words[0], PORT, width, 1, &chip);
        if (r < 0)
                return r;
        memset(chip->values, 0xff, width); /* nobody pulls a pin down, and all of them are let go */
        memset(chip->latch, 0xff, sizeof(chip->latch));
        return 0;
}

int do_mux(int n, char **words) {
        struct i2c_sim_chip *chip;

        return chip_add(words[0], MUX, 1, 1, &chip);
}

static int option_bytes(int n, char **words, const char *name, u8 *bytes, size_t *ret_size) {
        const char *value = control_option(n, words, name);
        int r = value ? control_bytes(&i2c_sim_control, value, bytes, ANSWER_MAX) : 0;

        *ret_size = r > 0 ? r : 0;
        return r < 0 ? r : 0;
}

int do_commands(int n, char **words) {
        struct i2c_sim_chip *chip;
        int r;

        r = chip_add(words[0], COMMANDS, 1, 1, &chip);
        if (r == 0)
                r = option_bytes(n, words, "idle", chip->idle, &chip->idle_size);
        if (r == 0)
                r = option_bytes(n, words, "busy", chip->busy, &chip->busy_size);
        return r;
}

int do_remove(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], ANY);

        if (!chip)
                return -ENOENT;
        chip_free(chip);
        return 0;
}

int do_answer(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], 1 << COMMANDS);
        struct i2c_sim_command c = {}, *old;
        unsigned long msec, keep;
        int r, size;

        if (!chip)
                return -ENOENT;
        r = size = control_bytes(&i2c_sim_control, words[1], c.code, COMMAND_MAX);
        if (r < 0 || (r = control_number(&i2c_sim_control, words[2], 10, MSEC_MAX, &msec)) < 0 ||
            (r = option_number(n, words, "keep", 10, 1, 0, &keep)) < 0 ||
            (r = control_bytes(&i2c_sim_control, words[3], c.answer, ANSWER_MAX)) < 0)
                return r;
        c.code_size = size;
        c.answer_size = r;
        c.msec = msec;
        c.keep = keep;
        c.silent = r == 0;
        old = command_find(chip, c.code, c.code_size, true);
        if (!old) {
                old = kzalloc(sizeof(*old), GFP_KERNEL);
                if (!old)
                        return -ENOMEM;
                list_add_tail(&old->entry, &chip->commands);
        }
        c.entry = old->entry;
        *old = c; /* a chip that measures all the time shows the new value at the next read */
        return 0;
}

int do_set(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], WITH_VALUES);
        u8 bytes[256];
        unsigned long reg;
        int size;

        if (!chip)
                return -ENOENT;
        if (register_parse(chip, words[1], &reg) < 0)
                return -EINVAL;
        size = control_bytes(&i2c_sim_control, words[2], bytes, sizeof(bytes));
        if (size < 0)
                return size;
        chip_settle(chip);
        chip_put(chip, reg, bytes, size);
        return 0;
}

int do_get(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], ANY);
        unsigned long reg, count = 1;
        u8 bytes[64];

        if (!chip)
                return -ENOENT;
        chip_settle(chip);
        if (strcmp(words[1], "latch") == 0)
                return control_say(&i2c_sim_control, 0, "%*phN", chip->kind == PORT ? chip->width : 1, chip->latch);
        if (register_parse(chip, words[1], &reg) < 0 || (n > 2 && control_number(&i2c_sim_control, words[2], 10, 32, &count) < 0))
                return -EINVAL;
        for (size_t i = 0; i < count * chip->width; i++)
                bytes[i] = chip->values[(reg * chip->width + i) % (chip->count * chip->width)];
        return control_say(&i2c_sim_control, 0, "%*phN", (int)(count * chip->width), bytes);
}

int do_readonly(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], 1 << REGISTERS);
        unsigned long from, to;

        if (!chip)
                return -ENOENT;
        if (register_parse(chip, words[1], &from) < 0 || register_parse(chip, words[2], &to) < 0)
                return -EINVAL;
        if (to < from)
                return control_say(&i2c_sim_control, -EINVAL, "%s is before %s", words[2], words[1]);
        bitmap_set(chip->readonly, from, to - from + 1);
        return 0;
}

/* VALUE or VALUE/MASK, as wide as a register */
static int match_parse(const struct i2c_sim_chip *chip, char *word, struct i2c_sim_rule *rule) {
        char *mask = strchr(word, '/');
        int r;

        memset(rule->mask, 0xff, sizeof(rule->mask));
        if (mask)
                *mask++ = 0;
        r = control_bytes(&i2c_sim_control, word, rule->value, chip->width);
        if (r >= 0 && r != chip->width)
                return control_say(&i2c_sim_control, -EINVAL, "%s: as wide as a register: %u bytes", word, chip->width);
        if (r >= 0 && mask)
                r = control_bytes(&i2c_sim_control, mask, rule->mask, chip->width);
        return r < 0 ? r : 0;
}

static int rule_add(char **words, bool on_read) {
        struct i2c_sim_chip *chip = chip_find(words[0], 1 << REGISTERS);
        struct i2c_sim_rule rule = {.on_read = on_read}, *made;
        unsigned long reg, msec, to;
        int r;

        if (!chip)
                return -ENOENT;
        if ((r = register_parse(chip, words[1], &reg)) < 0 || (r = match_parse(chip, words[2], &rule)) < 0 ||
            (r = control_number(&i2c_sim_control, words[3], 10, MSEC_MAX, &msec)) < 0 ||
            (r = register_parse(chip, words[4], &to)) < 0 ||
            (r = control_bytes(&i2c_sim_control, words[5], rule.bytes, VALUE_MAX)) < 0)
                return r;
        rule.reg = reg;
        rule.msec = msec;
        rule.to = to;
        rule.size = r;
        made = kmemdup(&rule, sizeof(rule), GFP_KERNEL);
        if (!made)
                return -ENOMEM;
        list_add_tail(&made->entry, &chip->rules);
        return 0;
}

int do_when(int n, char **words) {
        return rule_add(words, false);
}

int do_onread(int n, char **words) {
        return rule_add(words, true);
}

int do_at(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], WITH_VALUES);
        unsigned long msec, reg;
        u8 bytes[VALUE_MAX];
        int r;

        if (!chip)
                return -ENOENT;
        if ((r = control_number(&i2c_sim_control, words[1], 10, MSEC_MAX, &msec)) < 0 ||
            (r = register_parse(chip, words[2], &reg)) < 0 ||
            (r = control_bytes(&i2c_sim_control, words[3], bytes, sizeof(bytes))) < 0)
                return r;
        return chip_change(chip, msec, reg, bytes, r);
}
