/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions on one I2C bus through the kernel's /dev/i2c-N. Knows neither chips nor the host of the plugin. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_RETRIES_MAX 10

#define BUS_LOW    (-ECOMM)  /* the data line is held low: zeros are read where nobody is */
#define BUS_LOCKED (-ENOLCK) /* another process has had the bus for too long */

typedef enum Fault {
        FAULT_NACK,     /* -ENXIO: nobody answered, or a byte was refused */
        FAULT_TIMEOUT,  /* -ETIMEDOUT: a chip holds the clock, or the bus hangs */
        FAULT_STUCK,    /* -EBUSY: the bus did not become free; BUS_LOW, BUS_LOCKED */
        FAULT_SHORT,    /* -ENODATA: fewer bytes than asked for */
        FAULT_CHECKSUM, /* -EBADMSG: the bytes came, but not as they were sent */
        FAULT_OTHER,
        FAULT_COUNT
} Fault;

extern const char *const fault_names[FAULT_COUNT];

typedef struct Counters {
        uint64_t transactions;
        uint64_t retries;
        uint64_t failed; /* in spite of retries */
        uint64_t faults[FAULT_COUNT];
} Counters;

/* How a chip is reached. */
typedef struct Route {
        uint8_t address;
        uint8_t mux; /* address of the TCA9548A that stands in between; 0: none */
        uint8_t channel;
} Route;

typedef struct Bus Bus;

/* path: "/dev/i2c-1". 0: *ret is owned by the caller; -errno of open(), or -ENOTTY: the node is no I2C bus. */
int bus_open(Bus **ret, const char *path);
Bus *bus_free(Bus *b);
void bus_set_retries(Bus *b, unsigned retries);
unsigned bus_retries(const Bus *b);

/* Writes n_out bytes, then reads n_in with a repeated start in between; either may be 0. 0, or the last attempt's error:
 * as named at Fault, -ENODEV: there is no such bus any more, -EOPNOTSUPP: the adapter cannot do this. */
int bus_transfer(Bus *b, const Route *route, const void *out, size_t n_out, void *in, size_t n_in);
/* How long that takes at worst. */
uint64_t bus_usec(const Bus *b, bool mux);
/* Nobody else gets in between until bus_release(). 0 or -errno. */
int bus_hold(Bus *b);
void bus_release(Bus *b);
/* This mux (0x70 to 0x77) may have a channel open: it is closed before the next transaction. */
void bus_suspect(Bus *b, uint8_t mux);
/* What reads show that the kernel cannot see (a wrong checksum) is counted with the rest. */
void bus_count(Bus *b, Fault fault);
const Counters *bus_counters(const Bus *b);

/* -EBUSY: a driver of the kernel has this address. */
int bus_claim(Bus *b, uint8_t address);
/* Is there an answer? Sends the address alone, or (read) takes one byte; no data goes to the chip. 0 or -errno. */
int bus_probe(Bus *b, uint8_t address, bool read);
/* Something holds the data line low: all that is asked would answer. */
bool bus_is_low(Bus *b);
/* The adapter can send an address alone. */
bool bus_can_quick(const Bus *b);

void bus_wait(uint32_t usec);
