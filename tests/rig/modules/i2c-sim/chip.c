// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a chip does with the messages that reach it.
 *
 * Time is looked at only when somebody does something: changes that are due by then take place first. A chip of commands
 * does not answer to its address before an answer is ready, as chips do that convert; others give a status meanwhile.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "i2c-sim.h"

struct i2c_sim_chip *chip_new(struct i2c_sim_bus *bus, enum i2c_sim_kind kind, unsigned width, unsigned count) {
        struct i2c_sim_chip *chip = kzalloc(sizeof(*chip), GFP_KERNEL);

        if (!chip)
                return NULL;
        chip->bus = bus;
        chip->kind = kind;
        chip->width = width;
        chip->count = count;
        INIT_LIST_HEAD(&chip->entry);
        INIT_LIST_HEAD(&chip->rules);
        INIT_LIST_HEAD(&chip->changes);
        INIT_LIST_HEAD(&chip->commands);
        chip->values = kvzalloc(width * count, GFP_KERNEL);
        chip->readonly = bitmap_zalloc(count, GFP_KERNEL);
        if (chip->values && chip->readonly)
                return chip;
        chip_free(chip);
        return NULL;
}

void chip_free(struct i2c_sim_chip *chip) {
        struct i2c_sim_command *command, *c;
        struct i2c_sim_change *change, *n;
        struct i2c_sim_rule *rule, *r;

        list_for_each_entry_safe(rule, r, &chip->rules, entry) kfree(rule);
        list_for_each_entry_safe(change, n, &chip->changes, entry) kfree(change);
        list_for_each_entry_safe(command, c, &chip->commands, entry) kfree(command);
        list_del(&chip->entry);
        kvfree(chip->values);
        bitmap_free(chip->readonly);
        kfree(chip);
}

void chip_put(struct i2c_sim_chip *chip, unsigned reg, const u8 *bytes, size_t size) {
        for (size_t i = 0; i < size; i++)
                chip->values[(reg * chip->width + i) % (chip->count * chip->width)] = bytes[i];
}

void chip_settle(struct i2c_sim_chip *chip) {
        ktime_t now = ktime_get();
        struct i2c_sim_change *c, *next;

        list_for_each_entry_safe(c, next, &chip->changes, entry) {
                if (ktime_after(c->due, now))
                        break;
                chip_put(chip, c->reg, c->bytes, c->size);
                list_del(&c->entry);
                kfree(c);
        }
}

/* Sorted by time, and of the same time in the order in which they were made. */
int chip_change(struct i2c_sim_chip *chip, unsigned msec, unsigned reg, const u8 *bytes, size_t size) {
        struct i2c_sim_change *c = kzalloc(sizeof(*c), GFP_KERNEL), *other;
        struct list_head *before = &chip->changes;

        if (!c)
                return -ENOMEM;
        c->due = ktime_add_ms(ktime_get(), msec);
        c->reg = reg;
        c->size = size;
        memcpy(c->bytes, bytes, size);
        list_for_each_entry(other, &chip->changes, entry) if (ktime_after(other->due, c->due)) {
                before = &other->entry;
                break;
        }
        list_add_tail(&c->entry, before);
        return 0;
}

static bool rule_matches(const struct i2c_sim_chip *chip, const struct i2c_sim_rule *rule, unsigned reg, bool on_read) {
        const u8 *value = chip->values + reg * chip->width;

        if (rule->on_read != on_read || rule->reg != reg)
                return false;
        for (unsigned i = 0; i < chip->width; i++)
                if ((value[i] & rule->mask[i]) != rule->value[i])
                        return false;
        return true;
}

/* A register was written or read. */
static void rules_apply(struct i2c_sim_chip *chip, unsigned reg, bool on_read) {
        struct i2c_sim_rule *rule;

        list_for_each_entry(rule, &chip->rules, entry) if (rule_matches(chip, rule, reg, on_read))
                chip_change(chip, rule->msec, rule->to, rule->bytes, rule->size);
        chip_settle(chip);
}

/* The place of the i-th byte from the pointer on. Without increment one register repeats. */
static unsigned place(const struct i2c_sim_chip *chip, size_t i) {
        if (chip->increment)
                return (chip->pointer * chip->width + i) % (chip->count * chip->width);
        return chip->pointer * chip->width + i % chip->width;
}

static void pointer_advance(struct i2c_sim_chip *chip, size_t size) {
        if (chip->increment)
                chip->pointer = (chip->pointer + size / chip->width) % chip->count;
}

static int registers_write(struct i2c_sim_chip *chip, const u8 *bytes, size_t size) {
        unsigned pointer = 0;

        if (size < chip->pointer_size) /* a probe of the address, or half a pointer */
                return 0;
        for (unsigned i = 0; i < chip->pointer_size; i++)
                pointer = pointer << 8 | *bytes++;
        size -= chip->pointer_size;
        chip->pointer = (pointer & chip->pointer_mask) % chip->count;
        for (size_t i = 0; i < size; i++) {
                unsigned at = place(chip, i), reg = at / chip->width;

                if (test_bit(reg, chip->readonly)) {
                        chip->done.ignored++;
                        continue;
                }
                chip->values[at] = bytes[i];
                if (at % chip->width == chip->width - 1)
                        rules_apply(chip, reg, false);
        }
        pointer_advance(chip, size);
        return 0;
}

static int registers_read(struct i2c_sim_chip *chip, u8 *bytes, size_t size) {
        unsigned done = chip->count; /* the register whose rules were applied last */

        for (size_t i = 0; i < size; i++)
                bytes[i] = chip->values[place(chip, i)];
        for (size_t i = 0; i < size; i++) {
                unsigned reg = place(chip, i) / chip->width;

                if (reg != done)
                        rules_apply(chip, reg, true);
                done = reg;
        }
        pointer_advance(chip, size);
        return 0;
}

/* The longest one that these bytes begin with; exact: the one that is just these. */
struct i2c_sim_command *command_find(struct i2c_sim_chip *chip, const u8 *code, size_t size, bool exact) {
        struct i2c_sim_command *c, *found = NULL;

        list_for_each_entry(c, &chip->commands, entry) if ((exact ? c->code_size == size : c->code_size <= size) &&
                                                           memcmp(c->code, code, c->code_size) == 0 &&
                                                           (!found || c->code_size > found->code_size)) found = c;
        return found;
}

static bool is_busy(const struct i2c_sim_chip *chip) {
        return ktime_before(ktime_get(), chip->ready);
}

static int commands_write(struct i2c_sim_chip *chip, const u8 *bytes, size_t size) {
        struct i2c_sim_command *c;

        if (is_busy(chip) && chip->busy_size == 0)
                return -ENXIO;
        if (size == 0)
                return 0;
        c = command_find(chip, bytes, size, false);
        if (!c)
                return -EREMOTEIO; /* it does not acknowledge a command that it does not know */
        chip->ready = ktime_add_ms(ktime_get(), c->msec);
        if (!c->silent)
                chip->current_command = c;
        return 0;
}

static void give(u8 *bytes, size_t size, const u8 *from, size_t have) {
        for (size_t i = 0; i < size; i++)
                bytes[i] = i < have ? from[i] : 0xff;
}

static int commands_read(struct i2c_sim_chip *chip, u8 *bytes, size_t size) {
        struct i2c_sim_command *c = chip->current_command;

        if (is_busy(chip) || !c || c->answer_size == 0) {
                const u8 *status = is_busy(chip) ? chip->busy : chip->idle;
                size_t have = is_busy(chip) ? chip->busy_size : chip->idle_size;

                give(bytes, size, status, have);
                return have > 0 ? 0 : -ENXIO;
        }
        give(bytes, size, c->answer, c->answer_size);
        if (!c->keep)
                chip->current_command = NULL;
        return 0;
}

int chip_write(struct i2c_sim_chip *chip, const u8 *bytes, size_t size) {
        chip->done.writes++;
        chip_settle(chip);
        switch (chip->kind) {
        case REGISTERS:
                return registers_write(chip, bytes, size);
        case COMMANDS:
                return commands_write(chip, bytes, size);
        case PORT:
                for (size_t i = 0; i < size; i++)
                        chip->latch[i % chip->width] = bytes[i];
                return 0;
        case MUX:
                if (size > 0)
                        chip->latch[0] = bytes[size - 1];
                return 0;
        }
        return -EIO;
}

int chip_read(struct i2c_sim_chip *chip, u8 *bytes, size_t size) {
        chip->done.reads++;
        chip_settle(chip);
        switch (chip->kind) {
        case REGISTERS:
                return registers_read(chip, bytes, size);
        case COMMANDS:
                return commands_read(chip, bytes, size);
        case PORT: /* a pin is high where it is written so and nobody pulls it down */
                for (size_t i = 0; i < size; i++)
                        bytes[i] = chip->values[i % chip->width] & chip->latch[i % chip->width];
                return 0;
        case MUX:
                memset(bytes, chip->latch[0], size);
                return 0;
        }
        return -EIO;
}
