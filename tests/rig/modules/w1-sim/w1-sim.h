/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Simulated 1-Wire buses with thermometers that are simulated bit by bit, for the kernel's own drivers wire and w1_therm.
 * control.c has the commands, bus.c the wire that all devices of a bus share, sensor.c what a chip does with a time slot,
 * chip.c what it measures and how that looks in its scratchpad.
 *
 * This is part of a Linux kernel module, and licensed as such, other than the rest of this project.
 */
#pragma once

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/w1.h>

#define SCRATCHPAD 9
#define BUSES      4

enum w1_sim_kind { DS18S20, DS1822, DS18B20, DS1825, DS28EA00, MAX31850, OTHER };

/* What a chip does with the next time slot. */
enum w1_sim_state {
        IDLE,      /* not meant; waits for a reset */
        ROM,       /* hears a ROM command */
        SEARCH,    /* three slots for each bit of its id */
        MATCH,     /* compares an id with its own */
        FUNCTION,  /* was selected, and hears what to do */
        SEND,      /* its scratchpad or id */
        RECEIVE,   /* bytes for its scratchpad */
        SHOW_BUSY, /* 0 while it converts or writes its EEPROM, 1 afterwards */
        SHOW_POWER /* 1: supplied by a wire of its own */
};

struct w1_sim_sensor {
        struct list_head entry;
        struct w1_sim_bus *bus;
        enum w1_sim_kind kind;
        u64 id; /* as it is on the wire: family in the lowest byte, checksum in the highest */

        /* What a test sets. */
        bool present, parasite;
        bool clone;                  /* byte 6 of the scratchpad does not tell power-on from a conversion */
        bool fixed;                  /* its resolution cannot be changed */
        int millidegrees;            /* of the world around it */
        int convert_ms;              /* 0: as the data sheet says */
        u8 open;                     /* MAX31850: fault bits of the thermocouple */
        unsigned bad_crc, brown_out; /* so many of the next reads, conversions */

        u8 scratchpad[SCRATCHPAD], eeprom[3];
        bool busy, converting;
        ktime_t ready;

        enum w1_sim_state state;
        unsigned bit, step; /* of the state */
        u8 buffer[SCRATCHPAD];
        unsigned length; /* bytes to send or to receive */
        bool all;        /* selected by SKIP ROM, with all others */

        struct {
                unsigned long conversions, bulk, reads, bad_crc, brown_out, writes, copies;
        } count;
};

struct w1_sim_bus {
        unsigned number;
        bool registered;
        enum { WIRE_GOOD, WIRE_LOW, WIRE_OPEN } wire;
        int pullup_ms; /* strong pull-up that the next command gets */
        struct mutex lock;
        struct list_head sensors;
        struct w1_bus_master master;
        struct {
                unsigned long resets, slots;
        } count;
};

extern struct w1_sim_bus w1_sim_buses[BUSES];

/* bus.c */
int bus_add(struct w1_sim_bus *bus);
void bus_remove(struct w1_sim_bus *bus); /* sensors stay, for the next bus_add */

/* sensor.c; the bus is locked. */
void sensor_reset(struct w1_sim_sensor *s);
bool sensor_drives(struct w1_sim_sensor *s);           /* false: it pulls the wire low in this time slot */
void sensor_hears(struct w1_sim_sensor *s, bool wire); /* the end of the time slot */

/* chip.c; the bus is locked. */
u8 crc8(const u8 *bytes, size_t n);
void chip_power_on(struct w1_sim_sensor *s);
void chip_convert(struct w1_sim_sensor *s);
void chip_settle(struct w1_sim_sensor *s); /* takes over what was converted by now */
void chip_write(struct w1_sim_sensor *s);  /* what was received */
void chip_copy(struct w1_sim_sensor *s);
void chip_recall(struct w1_sim_sensor *s);
int chip_bits(const struct w1_sim_sensor *s);
