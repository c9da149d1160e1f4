/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I2C adapters with chips, inside of the test's process: a node is a file of the test's own, and ioctl() on it and the
 * waiting of clock_nanosleep() are answered here, so that the plugin runs as it was built, down to the system calls.
 * Time passes only by waiting (and by sim_advance()).
 *
 * A chip is described in lines; KEY and BYTES are hexadecimal, # begins a comment:
 *   model bytes            registers of one byte each; reading and writing go on to the next one
 *   model words            the first byte written names a register of any length, the rest becomes its content
 *   model commands         what is written is a command, what is read its answer; an unknown one is refused
 *   model port             no registers: what is written is the latch of open-drain pins
 *   KEY: BYTES             content from the start
 *   start KEY USEC nack|old    a write that begins with KEY starts a measurement of so long; until then the chip
 *                              refuses to be read, or shows what was there before
 *   need KEY: BYTES        what has to stand there, or the last `start` above does nothing
 *   busy KEY: BYTES        content from the last `start` above on, while it measures
 *   then KEY: BYTES        and when it has measured
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Sim Sim;

/* BAD flips a bit of what is read, SHORT cuts a transaction, STUCK is a bus that is not free. */
typedef enum SimFault { SIM_OK, SIM_NACK, SIM_TIMEOUT, SIM_BAD, SIM_SHORT, SIM_STUCK, SIM_GONE, SIM_FAULTS } SimFault;

/* Asked before each transaction: address, and whether something is read. */
typedef SimFault (*sim_fault_fn)(void *userdata, uint8_t address, bool reads);

typedef enum SimLock { SIM_UNLOCKED, SIM_SHARED, SIM_EXCLUSIVE } SimLock;

/* Makes root/dev/i2c-NUMBER and its folder in root/sys. */
Sim *sim_new(const char *root, int number, const char *name);
Sim *sim_free(Sim *s);
/* SMBus calls only, and (quick false) no writes of no bytes. */
void sim_smbus_only(Sim *s, bool quick);
void sim_no_quick(Sim *s);

void sim_chip(Sim *s, uint8_t address, const char *description);
/* Behind the channel of the mux at 0x70, which it makes. */
void sim_chip_behind(Sim *s, int channel, uint8_t address, const char *description);
void sim_mux(Sim *s, uint8_t channels); /* those that are open */
void sim_remove(Sim *s, uint8_t address);
/* More lines for a chip that is there. */
void sim_change(Sim *s, uint8_t address, const char *lines);
/* Content of a register or the latch; -1: there is none. */
int sim_peek(Sim *s, uint8_t address, uint8_t reg);
/* Something holds the data line low: every address is acknowledged, nothing is heard, zeros are read. */
void sim_low(Sim *s, bool low);
/* model port: pins that the world holds low. */
void sim_pull_low(Sim *s, uint8_t address, uint8_t pins);
/* A driver of the kernel has it. */
void sim_claim(Sim *s, uint8_t address);

void sim_faults(Sim *s, sim_fault_fn fn, void *userdata);
/* The next n transactions with this address. */
void sim_fail(Sim *s, uint8_t address, SimFault fault, unsigned n);

/* What was seen since sim_forget(). */
void sim_forget(Sim *s);
unsigned sim_transactions(Sim *s, uint8_t address);
unsigned sim_written(Sim *s, uint8_t address); /* bytes of data */
unsigned sim_quick(Sim *s, uint8_t address);   /* writes of no bytes */
unsigned sim_collisions(Sim *s);               /* two chips answered at once */
SimLock sim_lock(Sim *s, uint8_t address);     /* how the node was locked at the last transaction */

uint64_t sim_now_ns(void);
void sim_advance(uint64_t usec);
