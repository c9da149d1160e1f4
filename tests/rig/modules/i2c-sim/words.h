/* SPDX-License-Identifier: GPL-2.0-only */
/* The words of a command. What is wrong with one is said by these functions. */
#pragma once

#include <linux/types.h>

#define MSEC_MAX    600000
#define ANY         0xf
#define WITH_VALUES (1 << REGISTERS | 1 << PORT)

struct control;
struct i2c_sim_bus;
struct i2c_sim_chip;

extern struct control i2c_sim_control;

/* Where a chip is: "1:48", or "1:70.3.48" behind channel 3 of the mux at 0x70. */
struct target {
        struct i2c_sim_bus *bus;
        unsigned mux, channel, address;
};

struct i2c_sim_bus *bus_find(const char *word);
int target_parse(const char *word, struct target *ret);
struct i2c_sim_chip *target_find(const struct target *t);
/* The chip that a word names; kinds: bits of those that will do. */
struct i2c_sim_chip *chip_find(const char *word, unsigned kinds);
int register_parse(const struct i2c_sim_chip *chip, const char *word, unsigned long *ret);
/* The word NAME=NUMBER, or `otherwise` without it. */
int option_number(int n, char **words, const char *name, int base, unsigned long max, unsigned long otherwise,
                  unsigned long *ret);

/* chips.c: the commands that make chips and say what they answer */
int do_registers(int n, char **words);
int do_commands(int n, char **words);
int do_port(int n, char **words);
int do_mux(int n, char **words);
int do_remove(int n, char **words);
int do_answer(int n, char **words);
int do_set(int n, char **words);
int do_get(int n, char **words);
int do_readonly(int n, char **words);
int do_when(int n, char **words);
int do_onread(int n, char **words);
int do_at(int n, char **words);
