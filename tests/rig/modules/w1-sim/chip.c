// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the chips measure: DS18B20, DS1822, DS18S20, DS1825 and DS28EA00 by their data sheets (scratchpad, memory commands,
 * table of conversion times), MAX31850 by its own, as far as the kernel looks at it.
 *
 * A scratchpad after power-on holds 85 degrees. In a genuine DS18B20 byte 6 tells that from a conversion: 0x0C then, and
 * 0x10 less the lowest four bits of the temperature afterwards; a clone has 0x0C for ever.
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>

#include "w1-sim.h"

#define EEPROM_MS 10

u8 crc8(const u8 *bytes, size_t n) {
        u8 crc = 0;

        while (n--) {
                crc ^= *bytes++;
                for (int i = 0; i < 8; i++)
                        crc = crc & 1 ? crc >> 1 ^ 0x8c : crc >> 1;
        }
        return crc;
}

static bool has_resolution(const struct w1_sim_sensor *s) {
        return s->kind == DS18B20 || s->kind == DS1822 || s->kind == DS1825 || s->kind == DS28EA00;
}

int chip_bits(const struct w1_sim_sensor *s) {
        return has_resolution(s) ? 9 + (s->scratchpad[4] >> 5 & 3) : s->kind == MAX31850 ? 14 : 9;
}

static void put16(u8 *at, int value) {
        at[0] = value & 0xff;
        at[1] = value >> 8 & 0xff;
}

static void finish(struct w1_sim_sensor *s) {
        s->scratchpad[8] = crc8(s->scratchpad, 8);
}

void chip_power_on(struct w1_sim_sensor *s) {
        u8 *p = s->scratchpad;

        s->state = IDLE;
        s->busy = s->converting = false;
        memcpy(p + 2, s->eeprom, 3);
        p[5] = 0xff;
        p[6] = 0x0c;
        p[7] = 0x10;
        put16(p, s->kind == DS18S20 ? 85 * 2 : s->kind == MAX31850 ? 0 : 85 * 16);
        if (s->kind == DS18S20)
                p[4] = 0xff;
        finish(s);
}

/* Sixteenths of a degree, to the next one. */
static int sixteenths(int millidegrees) {
        return div_s64((s64)millidegrees * 16 + (millidegrees < 0 ? -500 : 500), 1000);
}

/* T = TEMP_READ - 0.25 + (16 - COUNT_REMAIN) / 16, where TEMP_READ has no half degrees. */
static void measure_ds18s20(struct w1_sim_sensor *s) {
        int t = sixteenths(s->millidegrees), shifted = t + 4;
        int whole = shifted >> 4, remain = 16 - (shifted & 15);

        put16(s->scratchpad, whole * 2 + (t - whole * 16 >= 8));
        s->scratchpad[6] = remain;
        s->scratchpad[7] = 16;
}

static void measure_max31850(struct w1_sim_sensor *s) {
        put16(s->scratchpad, (sixteenths(s->millidegrees) & ~3) | (s->open ? 1 : 0));
        put16(s->scratchpad + 2, sixteenths(25000) << 4 | s->open);
}

static void measure(struct w1_sim_sensor *s) {
        int t = sixteenths(s->millidegrees);

        if (s->kind == DS18S20)
                measure_ds18s20(s);
        else if (s->kind == MAX31850)
                measure_max31850(s);
        else {
                t &= ~((1 << (12 - chip_bits(s))) - 1);
                put16(s->scratchpad, t);
                s->scratchpad[6] = s->clone ? 0x0c : 0x10 - (t & 15);
        }
        finish(s);
}

/* Half of the longest that the data sheets allow. The kernel waits for the longest, and in an emulated machine that was not
 * run for a while its timer may come early. */
static int conversion_us(const struct w1_sim_sensor *s) {
        if (s->convert_ms > 0)
                return s->convert_ms * 1000;
        if (s->kind == MAX31850)
                return 50000;
        return has_resolution(s) ? 46875 << (chip_bits(s) - 9) : 375000;
}

static void work_for(struct w1_sim_sensor *s, int usec) {
        s->busy = true;
        s->ready = ktime_add_us(ktime_get(), usec);
}

/* A chip that is fed by the data line needs the strong pull-up for as long as it converts; without, its supply breaks down
 * and it starts anew. */
void chip_convert(struct w1_sim_sensor *s) {
        int usec = conversion_us(s);

        s->count.conversions++;
        if (s->all)
                s->count.bulk++;
        if (s->brown_out > 0 || (s->parasite && s->bus->pullup_ms * 1000 < usec)) {
                if (s->brown_out > 0)
                        s->brown_out--;
                s->count.brown_out++;
                chip_power_on(s);
                return;
        }
        work_for(s, usec);
        s->converting = true;
}

void chip_settle(struct w1_sim_sensor *s) {
        if (!s->busy || ktime_before(ktime_get(), s->ready))
                return;
        if (s->converting)
                measure(s);
        s->busy = s->converting = false;
}

void chip_write(struct w1_sim_sensor *s) {
        s->count.writes++;
        memcpy(s->scratchpad + 2, s->buffer, 2);
        if (has_resolution(s) && !s->fixed)
                s->scratchpad[4] = (s->buffer[2] & 0x60) | 0x1f;
        finish(s);
}

void chip_copy(struct w1_sim_sensor *s) {
        s->count.copies++;
        memcpy(s->eeprom, s->scratchpad + 2, 3);
        work_for(s, EEPROM_MS * 1000);
}

void chip_recall(struct w1_sim_sensor *s) {
        memcpy(s->scratchpad + 2, s->eeprom, 3);
        finish(s);
}
