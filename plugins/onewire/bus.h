/* SPDX-License-Identifier: Apache-2.0 */
/* The 1-Wire buses as the kernel's w1 subsystem shows them: a folder for each, with a folder for each device on it. Knows
 * nothing of the host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "probe.h"

#define PROBES_MAX  256
#define MASTERS_MAX 16
#define NAME_SIZE   32

typedef struct Master {
        char name[NAME_SIZE]; /* "w1_bus_master1" */
        Id foreign;           /* a device on it that is no thermometer; empty: there is none */
} Master;

typedef struct Bus {
        Master masters[MASTERS_MAX];
        size_t n_masters;
        struct {
                Id id;
                size_t master;
        } devices[PROBES_MAX]; /* sorted by id */
        size_t n;
        bool floating; /* there are ids 00-...: what the kernel finds on a data line without its pull-up */
} Bus;

/* What is on all buses below this folder. 0; -ENODEV: there is no bus (or none any more); -errno. */
int bus_list(const char *path, Bus *ret);

/* The master that a device is on, or -ENODEV. */
int bus_find(const Bus *bus, const Id *id);

/* Keeps other instances from the bus until the descriptor is closed. dir: the folder of the master. */
int master_lock(const char *dir);
/* Has all thermometers of the bus convert at once, which takes as long as the slowest of them. 0: each is read without a
 * conversion next. Otherwise each converts when it is read: -ENOENT: the kernel has no such conversion here; -EACCES: no
 * rights; other: it did not take place. Only where there is nothing but thermometers. */
int master_convert(const Bus *bus, size_t master, const char *dir);
