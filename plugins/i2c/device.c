/* SPDX-License-Identifier: Apache-2.0 */
/* What all drivers have in common: keys, transactions whose failures have a reason in words, checksums. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "device.h"

/* ---- transactions */

int device_fail(Device *d, int error, const char *format, ...) {
        va_list args;

        va_start(args, format);
        vsnprintf(d->why, sizeof(d->why), format, args);
        va_end(args);
        return error;
}

static int transfer_fail(Device *d, int error) {
        uint8_t address = d->route.address;

        switch (error) {
        case -ENXIO:
                if (d->route.mux)
                        return device_fail(d, error, "no answer from 0x%02x on channel %u of mux 0x%02x (NACK)", address,
                                           d->route.channel, d->route.mux);
                return device_fail(d, error, "no answer from 0x%02x (NACK)", address);
        case -ETIMEDOUT:
                return device_fail(d, error, "timeout at 0x%02x: something holds a line of the bus low", address);
        case -EBUSY:
                return device_fail(d, error, "the bus does not become free: something holds a line low, or another program");
        case BUS_LOW:
                return device_fail(d, error, "zeros from 0x%02x, and where nobody is, too: something holds the data line (SDA) "
                                   "low", address);
        case BUS_LOCKED:
                return device_fail(d, error, "another process has had the bus locked for two seconds");
        case -ENODATA:
                return device_fail(d, error, "0x%02x sent less than it was asked for", address);
        case -EBADMSG:
                return device_fail(d, error, "wrong checksum from 0x%02x", address);
        case -EOPNOTSUPP:
                return device_fail(d, error, "this bus speaks SMBus only, which has no call for what %s needs",
                                   d->driver ? d->driver->name : "it");
        case -ENODEV:
                return device_fail(d, error, "the bus is gone");
        default:
                return device_fail(d, error, "0x%02x: %s", address, strerrordesc_np(-error));
        }
}

int device_transfer(Device *d, const void *out, size_t n_out, void *in, size_t n_in) {
        int r;

        r = bus_transfer(d->bus, &d->route, out, n_out, in, n_in);
        return r < 0 ? transfer_fail(d, r) : 0;
}

int device_hold(Device *d) {
        int r;

        r = bus_hold(d->bus);
        return r < 0 ? transfer_fail(d, r) : 0;
}

void device_release(Device *d) {
        bus_release(d->bus);
}

int device_write(Device *d, const void *out, size_t n) {
        return device_transfer(d, out, n, NULL, 0);
}

int device_read(Device *d, void *in, size_t n) {
        return device_transfer(d, NULL, 0, in, n);
}

int device_get(Device *d, uint8_t reg, void *in, size_t n) {
        return device_transfer(d, &reg, 1, in, n);
}

int device_put(Device *d, uint8_t reg, uint8_t value) {
        return device_write(d, (const uint8_t[]){reg, value}, 2);
}

int device_get16(Device *d, uint8_t reg, uint16_t *ret) {
        uint8_t bytes[2];
        int r;

        r = device_get(d, reg, bytes, sizeof(bytes));
        if (r == 0)
                *ret = be16(bytes);
        return r;
}

int device_put16(Device *d, uint8_t reg, uint16_t value) {
        return device_write(d, (const uint8_t[]){reg, (uint8_t)(value >> 8), (uint8_t)value}, 3);
}

int device_identity(Device *d, uint8_t reg, uint8_t want) {
        uint8_t id;
        int r;

        r = device_get(d, reg, &id, 1);
        if (r < 0 || id == want)
                return r;
        return device_fail(d, WRONG_CHIP, "0x%02x is no %s: its id is 0x%02x, not 0x%02x", d->route.address, d->driver->name, id,
                           want);
}

int device_checksum(Device *d) {
        bus_count(d->bus, FAULT_CHECKSUM);
        return device_fail(d, -EBADMSG, "wrong checksum from 0x%02x", d->route.address);
}

uint8_t crc8(uint8_t polynomial, uint8_t value, const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i < n; i++) {
                value ^= bytes[i];
                for (int bit = 0; bit < 8; bit++)
                        value = (uint8_t)(value & 0x80 ? value << 1 ^ polynomial : value << 1);
        }
        return value;
}

/* ---- readings */

/* Digits that mean nothing cost bytes on the wire. */
static double rounded(double value, unsigned decimals) {
        double factor = 1;

        for (unsigned i = 0; i < decimals; i++)
                factor *= 10;
        if (decimals == 0 || !(value * factor < 1e15 && value * factor > -1e15))
                return value;
        return (double)(int64_t)(value * factor + (value < 0 ? -0.5 : 0.5)) / factor;
}

void device_good(Device *d, size_t quantity, double value) {
        d->readings[quantity] = (Reading){READING_GOOD, rounded(value, d->quantities[quantity].decimals), NULL};
}

void device_bad(Device *d, size_t quantity, const char *why) {
        d->readings[quantity] = (Reading){READING_BAD, 0, why};
}

/* ---- life */

int device_refuse(Device *d, const char *format, ...) {
        char line[WHY_SIZE + 80];
        va_list args;

        if (d->invalid[0])
                return -EINVAL; /* what follows from the first mistake would only mislead */
        va_start(args, format);
        vsnprintf(d->invalid, sizeof(d->invalid), format, args);
        va_end(args);
        snprintf(line, sizeof(line), "%s: %s", d->name, d->invalid);
        tbagent_log(d->host, TBAGENT_ERROR, line);
        return -EINVAL;
}

void device_tell(Device *d, int error) {
        char line[WHY_SIZE + 80];

        if (d->told || (error != WRONG_CHIP && error != -EADDRINUSE && error != -EOPNOTSUPP))
                return;
        d->told = true;
        snprintf(line, sizeof(line), "%s: %s", d->name, d->why);
        tbagent_log(d->host, TBAGENT_WARNING, line);
}

static int keys_make(Device *d) {
        for (size_t i = 0; d->quantities && d->quantities[i].name; i++)
                d->n = i + 1;
        d->keys = calloc(d->n + 1, sizeof(*d->keys));
        d->readings = calloc(d->n + 1, sizeof(*d->readings));
        if (!d->keys || !d->readings)
                return -ENOMEM;
        for (size_t i = 0; i < d->n; i++)
                if (asprintf(&d->keys[i], "%s_%s", d->name, d->quantities[i].name) < 0) {
                        d->keys[i] = NULL;
                        return -ENOMEM;
                }
        return 0;
}

int device_configure(Device *d, const struct tbagent_node *options) {
        int r = 0;

        d->data = calloc(1, d->driver->size + 1);
        if (!d->data)
                return -ENOMEM;
        d->quantities = d->driver->quantities;
        if (d->driver->configure)
                r = d->driver->configure(d, options);
        return r == -ENOMEM ? r : keys_make(d);
}

void device_done(Device *d) {
        if (d->data && d->driver->release)
                d->driver->release(d);
        for (size_t i = 0; d->keys && i < d->n; i++)
                free(d->keys[i]);
        free(d->keys);
        free(d->readings);
        free(d->data);
}

/* The kernel refuses our address where one of its drivers has it; behind a mux of our own it can only know the mux. */
static int device_claim(Device *d) {
        uint8_t address = d->route.mux ? d->route.mux : d->route.address;
        int r;

        r = bus_claim(d->bus, address);
        if (r == -EBUSY) {
                adapter_holder(d->root, d->adapter, address, d->why);
                return -EADDRINUSE;
        }
        return r < 0 ? transfer_fail(d, r) : 0;
}

int device_init(Device *d) {
        int r;

        r = device_claim(d);
        if (r == 0 && d->driver->identify)
                r = d->driver->identify(d);
        if (r == 0 && d->driver->init)
                r = d->driver->init(d);
        device_tell(d, r);
        d->ready = r == 0;
        if (d->ready)
                d->told = false;
        return r;
}
