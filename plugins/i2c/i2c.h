/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plugin `i2c` share. */
#pragma once

#include <tbagent/plugin.h>

#include "device.h"

#define DEVICES_MAX   64
#define EXPANDERS_MAX (DEVICES_MAX - 1)
#define PINS_MAX      128

typedef struct Expander Expander;

typedef struct I2c {
        struct tbagent_host *host;
        char root[ADAPTER_PATH_SIZE]; /* "" or a folder */
        Adapter adapter;
        Bus *bus;
        Device *devices[DEVICES_MAX]; /* `chips` */
        size_t n_devices;
        Expander *expanders[DEVICES_MAX];
        size_t n_expanders;
        bool expanders_told; /* that there are too many */
        size_t n_named; /* of `expanders`; one more may stand for what is wrong */
} I2c;

/* ---- options.c */
extern const struct tbagent_option i2c_options[];
extern const struct tbagent_method i2c_methods[];

/* ---- setup.c */
/* The option `root` without slashes at its end: "" is the real one. */
void root_copy(char out[static ADAPTER_PATH_SIZE], const char *root);
/* Finds and opens the bus. -errno after telling what is wrong. */
int i2c_bus_open(I2c *i);
/* The address, mux and channel of a chip; what cannot be makes it invalid. */
void route_configure(Device *d, const struct tbagent_node *node);
/* Makes the devices of `chips`, `expanders` and `pins`. 0 or -ENOMEM. */
int i2c_configure(I2c *i);
void i2c_unconfigure(I2c *i);

/* ---- sample.c */
/* Takes a reading of every chip: all conversions are started, then one wait, then all are read. */
void devices_measure(Device *const *devices, size_t n);
/* Emits what devices_measure() found. */
typedef struct Tally {
        size_t good, bad, none;
        int error;       /* the first */
        const char *why; /* of it */
} Tally;
void devices_emit(struct tbagent_host *host, Device *const *devices, size_t n, Tally *tally);

/* ---- chips/chips.c */
extern const Driver *const drivers[]; /* ends with NULL */
const Driver *driver_find(const char *name);

/* ---- registers.c: a chip described in the configuration */
extern const Driver registers_driver;
bool checksum_is_set(struct tbagent_host *host, const struct tbagent_node *options); /* `crc` of a chip */

/* ---- scan.c */
int i2c_scan(struct tbagent_host *host);
