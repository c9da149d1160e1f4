/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Simulated I2C adapters with simulated chips, for i2c-dev, the SMBus emulation of the kernel's I2C core and kernel drivers.
 * commands.c has what a test says, bus.c the adapters, chip.c what a chip does with a message, fault.c what goes wrong on
 * purpose, log.c what was seen on the bus.
 *
 * This is part of a Linux kernel module, and licensed as such, other than the rest of this project.
 */
#pragma once

#include <linux/i2c.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#define BUSES       8
#define COMMAND_MAX 32
#define ANSWER_MAX  64
#define VALUE_MAX   32

struct seq_file;

enum i2c_sim_kind {
        REGISTERS, /* a pointer, then data from there on */
        COMMANDS,  /* a command has an answer, some time later */
        PORT,      /* no pointer: pins that are written and read */
        MUX        /* decides which of the chips behind it are there */
};

enum i2c_sim_fault {
        FAULT_ENXIO,     /* nobody answers to the address */
        FAULT_EREMOTEIO, /* as some adapters tell the same */
        FAULT_EIO,
        FAULT_ETIMEDOUT,
        FAULT_EAGAIN,  /* arbitration lost: the core tries again */
        FAULT_CORRUPT, /* one bit of what is read is wrong */
        FAULT_SHORT,   /* the last message is not done, and the adapter says so */
        FAULTS
};

struct i2c_sim_plan {         /* of one kind of fault */
        unsigned skip, times; /* after so many transfers so many */
        unsigned permille;    /* or at random */
        unsigned long done;
};

/* Once the register has been written with this value, or has been read, another one changes some time later. */
struct i2c_sim_rule {
        struct list_head entry;
        bool on_read;
        unsigned reg, msec, to;
        u8 value[2], mask[2], bytes[VALUE_MAX];
        size_t size;
};

struct i2c_sim_change {
        struct list_head entry;
        ktime_t due;
        unsigned reg;
        u8 bytes[VALUE_MAX];
        size_t size;
};

struct i2c_sim_command {
        struct list_head entry;
        u8 code[COMMAND_MAX], answer[ANSWER_MAX];
        size_t code_size, answer_size;
        unsigned msec;
        bool silent; /* it has no answer, and that of the one before stays */
        bool keep;   /* the answer may be read more than once */
};

struct i2c_sim_chip {
        struct list_head entry;
        struct i2c_sim_bus *bus;
        enum i2c_sim_kind kind;
        u16 address, mux; /* mux: the address of the one that it is behind; 0: none */
        unsigned channel;

        /* REGISTERS and PORT; registers of `width` bytes */
        unsigned width, pointer_size, pointer_mask, count;
        bool increment;
        u8 *values;
        unsigned long *readonly;
        unsigned pointer;
        struct list_head rules, changes;

        /* COMMANDS */
        struct list_head commands;
        struct i2c_sim_command *current_command;
        ktime_t ready;
        u8 busy[ANSWER_MAX], idle[ANSWER_MAX]; /* what is read before the answer is there, and when there is none; */
        size_t busy_size, idle_size;           /* 0: it does not answer to its address then */

        u8 latch[2]; /* PORT: what was written; MUX: its channels */

        struct i2c_sim_plan faults[FAULTS];
        struct {
                unsigned long transfers, reads, writes, ignored;
        } done;
};

struct i2c_sim_bus {
        int number;
        bool added, plugged;           /* unplugged it is added until nobody has it open any more */
        bool low;                      /* the data line: everybody seems to answer, and zeros are read */
        int stuck, stuck_msec, nobody; /* errors */
        struct i2c_adapter adapter;
        struct work_struct removal;
        struct list_head chips;
        unsigned long transfers, conflicts, failed_stuck;
};

extern struct i2c_sim_bus i2c_sim_buses[BUSES];
extern struct mutex i2c_sim_lock; /* all that is above, and the log */

/* bus.c */
int bus_add(struct i2c_sim_bus *bus);     /* without the lock. -EBUSY: it was pulled out, and somebody has it open still */
void bus_unplug(struct i2c_sim_bus *bus); /* with the lock */
void bus_end(struct i2c_sim_bus *bus);    /* without it; nobody has the bus open */

/* chip.c; the lock is held. 0, or the error of the transfer. */
struct i2c_sim_chip *chip_new(struct i2c_sim_bus *bus, enum i2c_sim_kind kind, unsigned width, unsigned count);
void chip_free(struct i2c_sim_chip *chip);
int chip_write(struct i2c_sim_chip *chip, const u8 *bytes, size_t size);
int chip_read(struct i2c_sim_chip *chip, u8 *bytes, size_t size);
void chip_settle(struct i2c_sim_chip *chip); /* changes that are due take place */
void chip_put(struct i2c_sim_chip *chip, unsigned reg, const u8 *bytes, size_t size);
int chip_change(struct i2c_sim_chip *chip, unsigned msec, unsigned reg, const u8 *bytes, size_t size);
struct i2c_sim_command *command_find(struct i2c_sim_chip *chip, const u8 *code, size_t size, bool exact);

/* fault.c; the lock is held. */
void fault_seed(u32 seed);
unsigned fault_random(unsigned below);
int fault_find(const char *name); /* -1: there is no such kind */
const char *fault_name(int kind);
/* Which kind of fault this transfer gets; -1: none. */
int fault_take(struct i2c_sim_chip *chip, bool reads);
int fault_error(int kind); /* 0: corrupt, short */

/* log.c; the lock is held. */
int log_init(void);
void log_exit(void);
void log_clear(void);
void log_transfer(const struct i2c_sim_bus *bus, const struct i2c_msg *messages, int n, int result, int fault);
void log_show(struct seq_file *f);
