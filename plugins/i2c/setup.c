/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a bus, its chips and its pins. A chip whose part of the configuration cannot be is bad from then on,
 * with the reason; the others go on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "i2c.h"
#include "pins.h"

void root_copy(char out[static ADAPTER_PATH_SIZE], const char *root) {
        size_t n;

        snprintf(out, ADAPTER_PATH_SIZE, "%s", root);
        n = strlen(out);
        while (n > 0 && out[n - 1] == '/')
                out[--n] = 0;
}

int i2c_bus_open(I2c *i) {
        const struct tbagent_node *options = tbagent_options(i->host);
        char text[ADAPTER_TEXT_SIZE];
        int r;

        root_copy(i->root, tbagent_string(i->host, options, "root", 0));
        r = adapter_find(i->root, tbagent_string(i->host, options, "adapter", 0), (int)tbagent_int(i->host, options, "bus"),
                         &i->adapter);
        if (r == 0)
                r = bus_open(&i->bus, i->adapter.path);
        if (r == 0) {
                bus_set_retries(i->bus, (unsigned)tbagent_int(i->host, options, "retries"));
                return 0;
        }
        adapter_explain(i->root, &i->adapter, r, text);
        tbagent_log(i->host, TBAGENT_WARNING, text);
        return r == -ENOENT || r == -ENXIO ? -ENODEV : r;
}

/* ---- chips */

static bool address_usual(const Driver *driver, uint8_t address) {
        return !driver->addresses || strchr(driver->addresses, address);
}

void route_configure(Device *d, const struct tbagent_node *node) {
        const char *usual = d->driver->addresses;
        bool mux = tbagent_is_set(d->host, node, "mux");

        if (mux != (tbagent_is_set(d->host, node, "channel") != 0)) {
                device_refuse(d, "mux and channel belong together: mux = 0x70; channel = 3;");
                return;
        }
        if (!tbagent_is_set(d->host, node, "address") && !usual) {
                device_refuse(d, "address is missing: address = 0x48; (i2cdetect -y %d shows it)", d->adapter->number);
                return;
        }
        d->route.address = usual ? (uint8_t)usual[0] : 0;
        if (tbagent_is_set(d->host, node, "address"))
                d->route.address = (uint8_t)tbagent_int(d->host, node, "address");
        if (mux) {
                d->route.mux = (uint8_t)tbagent_int(d->host, node, "mux");
                d->route.channel = (uint8_t)tbagent_int(d->host, node, "channel");
        }
        if (d->route.mux && d->bus)
                bus_suspect(d->bus, d->route.mux); /* another process may have been killed while it was open */
        if (d->route.mux == d->route.address)
                device_refuse(d, "address and mux are both 0x%02x", d->route.address);
}

static void address_warn(Device *d) {
        char line[200];

        if (d->invalid[0] || address_usual(d->driver, d->route.address))
                return;
        snprintf(line, sizeof(line), "%s: 0x%02x is no usual address of a %s (0x%02x is): is it that chip?", d->name,
                 d->route.address, d->driver->name, (uint8_t)d->driver->addresses[0]);
        tbagent_log(d->host, TBAGENT_WARNING, line);
}

/* Options that only some chips have: "shunt" of a thermometer is a mistake, and one not to be passed over. */
static void options_check(Device *d, const struct tbagent_node *node) {
        static const char *const special[] = {"shunt", "range", "inputs", "init", "command", "delay", "burst", "reg_size"};
        const char *own = d->driver->options ? d->driver->options : "";

        for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
                if (tbagent_is_set(d->host, node, special[i]) && !strstr(own, special[i]))
                        device_refuse(d, "%s is no option of a %s", special[i], d->driver->name);
        if (d->driver != &registers_driver && tbagent_member(d->host, node, "registers", 0))
                device_refuse(d, "has both chip and registers: registers describes a chip that is not known by name");
        if (d->driver != &registers_driver && checksum_is_set(d->host, node))
                device_refuse(d, "crc is no option of a %s: it is of chips that registers describes", d->driver->name);
}

static int chip_add(I2c *i, const struct tbagent_node *node) {
        const char *chip = tbagent_string(i->host, node, "chip", 0);
        Device *d;
        int r;

        if (i->n_devices == DEVICES_MAX) {
                tbagent_log(i->host, TBAGENT_ERROR, "more than 64 chips: give the others an instance of their own");
                return 0;
        }
        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        i->devices[i->n_devices++] = d;
        d->host = i->host;
        d->bus = i->bus;
        d->root = i->root;
        d->adapter = &i->adapter;
        d->name = tbagent_name(i->host, node);
        d->driver = chip ? driver_find(chip) : &registers_driver;
        route_configure(d, node);
        address_warn(d);
        options_check(d, node);
        r = device_configure(d, node);
        return r == -ENOMEM ? r : 0;
}

static bool is_at_mux_of(const Route *a, const Route *b) {
        return b->mux && a->address == b->mux;
}

/* Two chips at one place are a copied line. One in front of a mux, and the mux itself, answer also while a channel is
 * open, beside what is behind it. */
static void double_check(const Device *first, Device *d) {
        const Route *a = &first->route, *b = &d->route;

        if (d->invalid[0])
                return;
        if (memcmp(a, b, sizeof(*a)) == 0)
                device_refuse(d, "has the address 0x%02x of %s", b->address, first->name);
        else if (a->address == b->address && !a->mux != !b->mux)
                device_refuse(d, "has the address 0x%02x of %s, and only one of them is behind a mux: both would answer",
                              b->address, first->name);
        else if (is_at_mux_of(a, b))
                device_refuse(d, "its mux has the address 0x%02x of %s", a->address, first->name);
        else if (is_at_mux_of(b, a))
                device_refuse(d, "has the address 0x%02x of the mux of %s", b->address, first->name);
}

static void doubles_check(I2c *i) {
        Device *all[DEVICES_MAX + EXPANDERS_MAX];
        size_t n = 0;

        for (size_t d = 0; d < i->n_devices; d++)
                all[n++] = i->devices[d];
        for (size_t e = 0; e < i->n_named; e++)
                all[n++] = expander_device(i->expanders[e]);
        for (size_t a = 0; a < n; a++)
                for (size_t b = a + 1; b < n; b++)
                        double_check(all[a], all[b]);
}

int i2c_configure(I2c *i) {
        const struct tbagent_node *options = tbagent_options(i->host), *node;
        int r = 0;

        for (size_t n = 0; r == 0 && (node = tbagent_member(i->host, options, "chips", n)); n++)
                r = chip_add(i, node);
        if (r == 0)
                r = pins_configure(i);
        if (r == 0)
                doubles_check(i);
        return r;
}

void i2c_unconfigure(I2c *i) {
        pins_unconfigure(i);
        while (i->n_devices > 0) {
                Device *d = i->devices[--i->n_devices];

                device_done(d);
                free(d);
        }
        bus_free(i->bus);
        i->bus = NULL;
}
