/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control file of a simulation, in a folder of its own in debugfs: a test writes commands, one a line, and where one
 * fails it reads what was wrong with it. Reading it after a command that has an answer gives the answer.
 *
 * This is part of a Linux kernel module, and licensed as such, other than the rest of this project.
 */
#pragma once

#include <linux/mutex.h>
#include <linux/types.h>

#define CONTROL_WORDS 32

struct dentry;

struct control_verb {
        const char *name;
        const char *usage; /* its arguments, for the error */
        int min, max;      /* how many it takes */
        int (*run)(int n, char **words);
};

struct control {
        const char *name;
        const struct control_verb *verbs; /* ends with an empty one */
        struct mutex *guards;             /* held while a verb runs; may be NULL */
        struct mutex lock;                /* one writer at a time */
        struct dentry *folder;
        char answer[512];
};

/* Makes /sys/kernel/debug/NAME/control. */
int control_init(struct control *c);
void control_exit(struct control *c);

/* What reading the file gives: an answer, or what is wrong. Returns error, so that a verb can end with it. */
__printf(3, 4) int control_say(struct control *c, int error, const char *format, ...);

/* Words of a command. These say what is wrong by themselves. */
int control_number(struct control *c, const char *word, int base, unsigned long max, unsigned long *ret);
/* Pairs of hexadecimal digits; "-": none. The count of bytes, or -errno. */
int control_bytes(struct control *c, const char *word, u8 *bytes, size_t size);
/* The value of the word NAME=..., or NULL. */
const char *control_option(int n, char **words, const char *name);
