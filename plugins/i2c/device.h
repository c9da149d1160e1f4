/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chip on the bus, and what a driver of one is. A driver is one row: names, addresses, the quantities that it
 * measures, and four functions that talk to the chip through the helpers below. It never waits, never retries a
 * transaction and never emits; sample.c does that for all chips of the instance at once.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tbagent/plugin.h>

#include "adapter.h"
#include "bus.h"

#define WHY_SIZE   ADAPTER_TEXT_SIZE
#define READ_MORE  1              /* of Driver.read: start and read once more */
#define WRONG_CHIP (-EMEDIUMTYPE) /* -ENODEV is a bus that is gone */

typedef enum Kind { KIND_NUMBER, KIND_WHOLE, KIND_BOOL } Kind;

typedef struct Quantity {
        const char *name; /* "temperature": the key is CHIP_temperature; NULL ends a table */
        const char *unit; /* for people */
        Kind kind;
        unsigned decimals; /* NUMBER: what the chip is good for; 0: all that there are */
} Quantity;

typedef enum ReadingState { READING_NONE, READING_GOOD, READING_BAD } ReadingState;

typedef struct Reading {
        ReadingState state; /* NONE: nothing new, which is no fault */
        double value;
        const char *why; /* BAD: lives as long as the plugin */
} Reading;

typedef enum Stage { STAGE_START, STAGE_READ, STAGE_DONE } Stage;

typedef struct Driver Driver;

typedef struct Device {
        struct tbagent_host *host;
        Bus *bus;
        const char *root; /* of sysfs */
        const Adapter *adapter;
        const Driver *driver;
        const char *name; /* what its keys begin with; borrowed from the options */
        Route route;
        uint32_t delay_usec; /* what the configuration has a measurement take */
        void *data; /* driver->size bytes, the driver's own */

        const Quantity *quantities;
        size_t n;
        char **keys;
        Reading *readings;

        char invalid[WHY_SIZE]; /* what the configuration says cannot be; the other chips go on */
        char why[WHY_SIZE];     /* of the last failure */
        bool ready;             /* initialised, and no failure since */
        bool told;              /* a failure that needs a hand has been logged */

        Stage stage; /* within one sample */
        int error;
        unsigned restarts, polls;
        uint32_t wait_usec;
} Device;

struct Driver {
        const char *name;
        const char *what;           /* "temperature, humidity and pressure" */
        const char *addresses;      /* each one char, the usual one first */
        const char *options;        /* of `chips`, beside those that all have: "shunt"; NULL: none */
        const Quantity *quantities; /* NULL: configure() sets those of the device */
        size_t size;                /* of Device.data */
        /* -EINVAL after device_refuse(); -ENOMEM */
        int (*configure)(Device *d, const struct tbagent_node *options);
        void (*release)(Device *d);
        /* Is it this chip? Reads only, behind the number of a register. 0; WRONG_CHIP after device_fail(): another one. */
        int (*identify)(Device *d);
        /* After power-on, and after each failure: may not rely on what the chip was told before. */
        int (*init)(Device *d);
        /* Starts a measurement that takes *ret_usec (0 when called). NULL: it measures by itself. */
        int (*start)(Device *d, uint32_t *ret_usec);
        /* Sets the readings. 0; READ_MORE; -EAGAIN: it still measures; -EBADMSG: a wrong checksum, to be started anew;
         * other: failed. */
        int (*read)(Device *d);
};

/* ---- for drivers */

/* All of these: 0, or a negative error after device_fail(), to be returned as it is. */
int device_transfer(Device *d, const void *out, size_t n_out, void *in, size_t n_in);
int device_write(Device *d, const void *out, size_t n);
int device_read(Device *d, void *in, size_t n);
int device_get(Device *d, uint8_t reg, void *in, size_t n);
int device_put(Device *d, uint8_t reg, uint8_t value);
int device_get16(Device *d, uint8_t reg, uint16_t *ret); /* big-endian */
int device_put16(Device *d, uint8_t reg, uint16_t value);
/* One byte of register reg is `want`, else WRONG_CHIP. */
int device_identity(Device *d, uint8_t reg, uint8_t want);

/* What is between these two is one to other processes. */
int device_hold(Device *d);
void device_release(Device *d);

/* Sets why and returns error. */
int device_fail(Device *d, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Counts a wrong checksum: -EBADMSG. */
int device_checksum(Device *d);
uint8_t crc8(uint8_t polynomial, uint8_t value, const uint8_t *bytes, size_t n); /* value: what it begins with */

void device_good(Device *d, size_t quantity, double value); /* rounded to the quantity's decimals */
void device_bad(Device *d, size_t quantity, const char *why); /* why: a literal */

/* The configuration says what cannot be: logged, and the reason of this chip's bad readings from then on. */
int device_refuse(Device *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- for the plugin */

/* 0 or -ENOMEM; a configuration that cannot be makes d->invalid. */
int device_configure(Device *d, const struct tbagent_node *options);
void device_done(Device *d);
int device_init(Device *d);
/* A failure that needs a hand (a wrong chip, one that the kernel holds) is logged once. */
void device_tell(Device *d, int error);
