/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `i2c`: chips on an I2C bus, through the kernel's /dev/i2c-N.
 *
 *   bus.c        transactions: repeated start or SMBus, mux, lock, retries, counters
 *   adapter.c    which buses there are, and whose an address is
 *   device.c     a chip, and what its driver may use; chips/ has a short file for each driver
 *   registers.c  the driver of chips that the configuration describes
 *   sample.c     measuring all chips with one wait
 *   pins.c       inputs and outputs of expanders
 *   scan.c       what is there
 *
 * Open needs the bus alone. A chip that does not answer, or not rightly, is bad with the reason in words
 * (KEY_ok = false) while the others go on; the sample as a whole fails only when nothing gave a value.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "i2c.h"
#include "pins.h"

#define CHIP_TRANSFERS 3u /* of a chip at worst: after those that fail there are no more in a sample */
#define MEASURE_USEC   5000000u

static void i2c_close(struct tbagent_host *host, void *state) {
        I2c *i = state;

        (void)host;
        i2c_unconfigure(i);
        free(i);
}

static int i2c_open(struct tbagent_host *host, void **ret_state) {
        I2c *i;
        int r;

        i = calloc(1, sizeof(*i));
        if (!i)
                return -ENOMEM;
        i->host = host;
        r = i2c_bus_open(i);
        if (r == 0)
                r = i2c_configure(i);
        if (r < 0) {
                i2c_close(host, i);
                return r;
        }
        *ret_state = i;
        return 0;
}

/* When nothing answers, the bus itself may be gone: an adapter on USB, an overlay taken out. */
static int failure_tell(I2c *i, const Tally *tally) {
        char text[ADAPTER_TEXT_SIZE];

        if (tally->error == -ENODEV || access(i->adapter.path, F_OK) < 0) {
                adapter_explain(i->root, &i->adapter, -ENODEV, text);
                tbagent_log(i->host, TBAGENT_WARNING, text);
                return -ENODEV;
        }
        tbagent_log(i->host, TBAGENT_WARNING, tally->why);
        return tally->error;
}

static uint64_t device_usec(const Device *d, unsigned retries) {
        return bus_usec(d->bus, d->route.mux) * CHIP_TRANSFERS + (uint64_t)d->delay_usec * (retries + 1);
}

/* How long a sample may take while everything that can go wrong does; a chip that hangs is to be told, not killed for. */
static uint64_t sample_usec(const I2c *i) {
        uint64_t usec = MEASURE_USEC * (bus_retries(i->bus) + 1), least;

        for (size_t n = 0; n < i->n_devices; n++)
                usec += device_usec(i->devices[n], bus_retries(i->bus));
        for (size_t n = 0; n < i->n_expanders; n++)
                usec += device_usec(expander_device(i->expanders[n]), 0);
        least = (uint64_t)tbagent_int(i->host, tbagent_options(i->host), "timeout");
        return usec > least ? usec : least;
}

static int i2c_sample(struct tbagent_host *host, void *state) {
        Tally tally = {0};
        I2c *i = state;

        bus_set_retries(i->bus, (unsigned)tbagent_int(host, tbagent_options(host), "retries"));
        tbagent_timeout(host, sample_usec(i));
        devices_measure(i->devices, i->n_devices);
        devices_emit(host, i->devices, i->n_devices, &tally);
        pins_sample(i, &tally);
        if (tally.good > 0)
                return 0;
        if (tally.bad > 0)
                return failure_tell(i, &tally);
        return tbagent_is_once(host) ? -ENODEV : -EAGAIN;
}

static int counters_reply(I2c *i, uint64_t id) {
        const Counters *c = bus_counters(i->bus);
        char text[512];
        int n;

        n = snprintf(text, sizeof(text), "{\"transactions\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"failed\":%" PRIu64,
                     c->transactions, c->retries, c->failed);
        for (int f = 0; f < FAULT_COUNT; f++)
                n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"%s\":%" PRIu64, fault_names[f], c->faults[f]);
        snprintf(text + n, sizeof(text) - (size_t)n, "}");
        return tbagent_reply(i->host, id, text);
}

static int i2c_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method,
                   const char *params) {
        (void)host;
        if (strcmp(method, "counters") == 0)
                return counters_reply(state, id);
        return pins_rpc(state, id, channel, method, params);
}

/* Nothing to do: retries is read at each sample. */
static int i2c_setting(struct tbagent_host *host, void *state, const char *path) {
        (void)host;
        (void)state;
        (void)path;
        return 0;
}

TBAGENT_PLUGIN(.name = "i2c", .summary = "sensors, converters and port expanders on an I2C bus", .options = i2c_options,
               .methods = i2c_methods, .open = i2c_open, .sample = i2c_sample, .rpc = i2c_rpc, .setting = i2c_setting,
               .scan = i2c_scan, .close = i2c_close);
