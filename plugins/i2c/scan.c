/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on the buses. Addresses are asked as i2cdetect asks them: by a write of no bytes, and by reading one byte at
 * 0x30 to 0x37 and 0x50 to 0x5f, where a write of no bytes is known to destroy what some EEPROMs hold. An adapter that
 * cannot send an address alone asks everywhere by reading, but for 0x69, where clock chips are known to hang after it.
 * Reserved addresses (below 0x08, above 0x77) are left alone, and so are those that the kernel has a driver for.
 *
 * Which chip it is: a chip that has a register with an id is asked for it only where that cannot do harm. The question
 * writes one byte, the number of the register. To a PCF8574 that byte would be the levels of its outputs, to a PCF8591
 * the mode of its converter, to a MCP4725 or TEA5767 half of a setting, to a mux its open channels, and an HTU21D takes
 * 0xfe (which asks an INA226 for its maker) as a reset. So:
 *
 *   0x18 to 0x1f, 0x29, 0x5a to 0x5d   the chips known to live there take the first byte as the number of a register,
 *                                      or, being no number that they know, leave it aside (DS2482, BH1750)
 *   0x76, 0x77                         a mux may live there, too. It answers any reading with the same byte over and
 *                                      over, while a chip with registers goes on to the next one. So 256 bytes are read
 *                                      first, and only where they differ the question is asked
 *   anywhere else                      the address alone makes a chip likely
 *
 * Before all that, two addresses where nobody can be are read (bus.c): a data line that is held low would make a chip of
 * each address. Behind a mux of the kernel's, who is in front of it answers, too, and is told of once.
 *
 * Names of chips are those of their keys, so they are different on each bus. Those of bus 1, which is the one where
 * people wire something to, go without its number.
 */
#include <stdio.h>
#include <string.h>

#include "i2c.h"
#include "pins.h"

#define FIRST         0x08
#define LAST          0x77
#define ADDRESSES     128
#define CLOCK_ADDRESS 0x69
#define TEXT_MAX      1024
#define GIVE_UP       3 /* addresses in a row that time out: the bus hangs */
#define BUS_USEC      15000000u
#define USUAL_BUS     1

typedef struct Scan {
        struct tbagent_host *host;
        const char *root;
        const Adapter *adapter;
        Bus *bus;
        bool *there; /* by address: told of, here or in front of the mux */
} Scan;

/* ---- what is told */

static void escape(const char *text, char *out, size_t size) {
        size_t n = 0;

        for (; *text && n + 2 < size; text++) {
                if (*text == '"' || *text == '\\')
                        out[n++] = '\\';
                out[n++] = (unsigned char)*text < ' ' ? ' ' : *text;
        }
        out[n] = 0;
}

/* group NULL: nothing to put into a configuration. A guess is left to a person: what is read of another chip than the
 * configuration says looks like a value. */
static void found(const Scan *s, uint8_t address, const char *what, const char *group, const char *chip, bool sure) {
        char text[TEXT_MAX], escaped[TEXT_MAX / 2], config[TEXT_MAX / 4] = "", name[64];
        int bus = s->adapter->number;

        escape(what, escaped, sizeof(escaped));
        if (group && bus == USUAL_BUS)
                snprintf(name, sizeof(name), "%s_%02x", chip, address);
        else if (group)
                snprintf(name, sizeof(name), "%s_%d_%02x", chip, bus, address);
        if (group)
                snprintf(config, sizeof(config),
                         ",\"instance\":\"i2c_%d\",\"options\":\"bus = %d;\",\"group\":\"%s\",\"commented\":%s,"
                         "\"config\":\"%s = { chip = \\\"%s\\\"; address = 0x%02x; };\"",
                         bus, bus, group, sure ? "false" : "true", name, chip, address);
        snprintf(text, sizeof(text), "{\"id\":\"i2c-%d/0x%02x\",\"what\":\"%s\"%s}", s->adapter->number, address, escaped,
                 config);
        tbagent_found(s->host, text);
}

/* ---- which chip */

static bool has_address(const Driver *driver, uint8_t address) {
        return strchr(driver->addresses, address) != NULL;
}

static Device device_at(const Scan *s, uint8_t address, const Driver *driver) {
        return (Device){.host = s->host, .bus = s->bus, .root = s->root, .adapter = s->adapter, .driver = driver, .name = "scan",
                        .route = {.address = address}};
}

static bool has_registers(const Scan *s, uint8_t address) {
        Device d = device_at(s, address, NULL);
        uint8_t b[256];

        if (device_read(&d, b, sizeof(b)) < 0)
                return false;
        for (size_t i = 1; i < sizeof(b); i++)
                if (b[i] != b[0])
                        return true;
        return false;
}

static bool may_be_asked(const Scan *s, uint8_t address) {
        if ((address >= 0x18 && address <= 0x1f) || address == 0x29 || (address >= 0x5a && address <= 0x5d))
                return true;
        return (address == 0x76 || address == 0x77) && has_registers(s, address);
}

static const Driver *chip_identify(const Scan *s, uint8_t address) {
        if (!may_be_asked(s, address))
                return NULL;
        for (size_t i = 0; drivers[i]; i++) {
                Device d = device_at(s, address, drivers[i]);

                if (drivers[i]->identify && has_address(drivers[i], address) && drivers[i]->identify(&d) == 0)
                        return drivers[i];
        }
        return NULL;
}

/* Names of all that may be there; the first one is what the stanza says. */
typedef struct Guess {
        const char *first, *group;
        char what[TEXT_MAX / 2];
} Guess;

static void guess_add(Guess *g, const char *group, const char *name) {
        size_t n = strlen(g->what);

        snprintf(g->what + n, sizeof(g->what) - n, "%s%s", n > 0 ? ", " : "likely ", name);
        if (!g->first && group) {
                g->first = name;
                g->group = group;
        }
}

/* Chips whose usual address it is, or those that may be told to have it. */
static void guess_chips(Guess *g, uint8_t address, bool usual) {
        for (size_t i = 0; drivers[i]; i++)
                if (has_address(drivers[i], address) && ((uint8_t)drivers[i]->addresses[0] == address) == usual)
                        guess_add(g, "chips", drivers[i]->name);
        for (size_t i = 0; ports[i]; i++)
                if (has_address(&ports[i]->driver, address) && ((uint8_t)ports[i]->driver.addresses[0] == address) == usual)
                        guess_add(g, "expanders", ports[i]->driver.name);
}

/* By the address alone. */
static void likely_tell(const Scan *s, uint8_t address) {
        Guess g = {.what = ""};

        guess_chips(&g, address, true);
        guess_chips(&g, address, false);
        if (address >= 0x70 && address <= 0x77)
                guess_add(&g, NULL, "a mux TCA9548A, behind which nothing was looked for");
        found(s, address, g.what[0] ? g.what : "not known", g.group, g.first, false);
}

static void chip_tell(const Scan *s, uint8_t address) {
        const Driver *driver = chip_identify(s, address);
        char what[TEXT_MAX / 2];

        if (!driver) {
                likely_tell(s, address);
                return;
        }
        snprintf(what, sizeof(what), "%s: %s", driver->name, driver->what);
        found(s, address, what, "chips", driver->name, true);
}

/* ---- which addresses */

static bool by_reading(uint8_t address) {
        return (address >= 0x30 && address <= 0x37) || (address >= 0x50 && address <= 0x5f);
}

/* 1: somebody is there; 0: nobody; -ETIMEDOUT, ... */
static int address_ask(const Scan *s, uint8_t address) {
        char what[ADAPTER_TEXT_SIZE];
        bool read = by_reading(address) || !bus_can_quick(s->bus);
        int r;

        if (bus_claim(s->bus, address) == -EBUSY) {
                s->there[address] = true;
                adapter_holder(s->root, s->adapter, address, what);
                found(s, address, what, NULL, NULL, false);
                return 0;
        }
        if (read && address == CLOCK_ADDRESS)
                return 0;
        r = bus_probe(s->bus, address, read);
        return r == 0 ? 1 : r == -ETIMEDOUT || r == -EBUSY || r == BUS_LOCKED ? r : 0;
}

static void bus_tell(const Scan *s, const char *what) {
        char text[ADAPTER_TEXT_SIZE];

        snprintf(text, sizeof(text), "i2c-%d (%s) %s", s->adapter->number, s->adapter->name, what);
        tbagent_log(s->host, TBAGENT_WARNING, text);
}

static void bus_scan(const Scan *s) {
        int hung = 0, r;

        if (bus_is_low(s->bus)) {
                bus_tell(s, "was not scanned: its data line (SDA) is held low; look at the wiring, or take chips off until it "
                            "is not");
                return;
        }
        for (uint8_t address = FIRST; address <= LAST && hung < GIVE_UP; address++) {
                if (s->there[address])
                        continue;
                r = address_ask(s, address);
                if (r == BUS_LOCKED) {
                        bus_tell(s, "was not scanned: another process, a tbagent perhaps, has it locked; scan again");
                        return;
                }
                hung = r < 0 ? hung + 1 : 0;
                if (r > 0) {
                        s->there[address] = true;
                        chip_tell(s, address);
                }
        }
        if (hung == GIVE_UP)
                bus_tell(s, "hangs: a chip holds a line low, or its pull-ups are missing");
}

static int adapter_scan(struct tbagent_host *host, const char *root, const Adapter *a, bool *there) {
        Scan s = {.host = host, .root = root, .adapter = a, .there = there};
        char text[ADAPTER_TEXT_SIZE];
        int r;

        r = bus_open(&s.bus, a->path);
        if (r < 0) {
                adapter_explain(root, a, r, text);
                tbagent_log(host, TBAGENT_WARNING, text);
                return r;
        }
        bus_scan(&s);
        bus_free(s.bus);
        return 0;
}

/* What is in front of a channel. Parents have been scanned before: the kernel gives them the lower numbers. */
static void there_inherit(const char *root, const Adapter *all, bool there[][ADDRESSES], size_t i) {
        int parent = adapter_parent(root, &all[i]);

        for (size_t p = 0; parent >= 0 && p < i; p++)
                if (all[p].number == parent)
                        memcpy(there[i], there[p], ADDRESSES * sizeof(bool));
}

int i2c_scan(struct tbagent_host *host) {
        Adapter all[ADAPTERS_MAX], usual;
        char root[ADAPTER_PATH_SIZE], text[ADAPTER_TEXT_SIZE];
        bool there[ADAPTERS_MAX][ADDRESSES] = {0};
        int r, first = 0;
        size_t n, opened = 0;

        root_copy(root, tbagent_string(host, tbagent_options(host), "root", 0));
        n = adapter_list(root, all);
        if (n == 0) {
                adapter_find(root, NULL, 1, &usual);
                adapter_explain(root, &usual, -ENOENT, text);
                tbagent_log(host, TBAGENT_WARNING, text);
                return -ENODEV;
        }
        for (size_t i = 0; i < n; i++) {
                tbagent_timeout(host, BUS_USEC);
                there_inherit(root, all, there, i);
                r = adapter_scan(host, root, &all[i], there[i]);
                if (r == 0)
                        opened++;
                else if (first == 0)
                        first = r;
        }
        return opened > 0 ? 0 : first;
}
