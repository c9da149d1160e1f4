/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plugin `system` share: where to read, and what is remembered between two samples. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tbagent/plugin.h>

#define INTERFACES_MAX 16
#define PATH_SIZE      128

typedef struct Traffic {
        char name[16]; /* of the interface; empty: none seen yet */
        uint64_t rx, tx;
        int64_t time_ns;
} Traffic;

typedef struct System {
        int root;                                                  /* every path is read below this folder */
        uint64_t cpu_busy, cpu_total;                              /* 0: not read yet */
        char temperature_path[PATH_SIZE], voltage_path[PATH_SIZE]; /* empty: to be searched */
        Traffic traffic[INTERFACES_MAX];
} System;

/* A whole small file as text. Its size, or -errno. */
int file_read(const System *s, const char *path, char *text, size_t size);
/* -errno; *ret is to be closed by fclose(). */
int file_open(const System *s, const char *path, FILE **ret);
/* A file that holds one number. */
int file_number(const System *s, const char *path, int base, int64_t *ret);

void temperature_sample(System *s, struct tbagent_host *host);
void voltage_sample(System *s, struct tbagent_host *host);
void throttled_sample(System *s, struct tbagent_host *host);
void network_sample(System *s, struct tbagent_host *host);
