/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INA226: voltage, and current through a shunt.
 * TI INA226 (SBOS547A): registers section 7.6, LSB 2.5 uV and 1.25 mV, times 6.5. Current is the voltage of the shunt by
 * its resistance, computed here, so its calibration register isn't used. Each sample is the average of 16.
 */
#include "../bytes.h"
#include "../device.h"

#define CONFIGURATION 0x00
#define SHUNT         0x01
#define BUS           0x02
#define MASK          0x06
#define MANUFACTURER  0xfe
#define DIE           0xff
#define TRIGGER       0x4523 /* 16 samples of 1.1 ms of both, once */
#define READY         0x0008
#define MEASURE_USEC  39000u /* 16 * 2 * 1.21 ms */

typedef struct State {
        double ohms;
} State;

static const Quantity quantities[] = {
        {"voltage", "V", KIND_NUMBER, 5},
        {"current", "A", KIND_NUMBER, 6},
        {"power", "W", KIND_NUMBER, 6},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int configure(Device *d, const struct tbagent_node *options) {
        State *s = d->data;

        s->ohms = tbagent_is_set(d->host, options, "shunt") ? tbagent_float(d->host, options, "shunt") : 0.1;
        return 0;
}

static int identify(Device *d) {
        uint16_t maker, die;
        int r;

        r = device_get16(d, MANUFACTURER, &maker);
        if (r == 0)
                r = device_get16(d, DIE, &die);
        if (r < 0 || (maker == 0x5449 && die >> 4 == 0x226))
                return r;
        return device_fail(d, WRONG_CHIP, "0x%02x is no ina226: its ids are 0x%04x and 0x%04x", d->route.address, maker, die);
}

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return device_put16(d, CONFIGURATION, TRIGGER);
}

static int read_all(Device *d) {
        const State *s = d->data;
        uint16_t mask, bus, shunt;
        double volts, amperes;
        int r;

        r = device_get16(d, MASK, &mask);
        if (r < 0)
                return r;
        if (!(mask & READY))
                return -EAGAIN;
        r = device_get16(d, BUS, &bus);
        if (r == 0)
                r = device_get16(d, SHUNT, &shunt);
        if (r < 0)
                return r;
        volts = bus * 0.00125;
        amperes = (int16_t)shunt * 0.0000025 / s->ohms;
        device_good(d, 0, volts);
        if (shunt == 0x7fff || shunt == 0x8000) {
                device_bad(d, 1, "more than 82 mV across the shunt");
                device_bad(d, 2, "more than 82 mV across the shunt");
                return 0;
        }
        device_good(d, 1, amperes);
        device_good(d, 2, volts * amperes);
        return 0;
}

const Driver ina226_driver = {
        .name = "ina226",
        .what = "voltage, current and power",
        .addresses = "\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49\x4a\x4b\x4c\x4d\x4e\x4f",
        .options = "shunt",
        .quantities = quantities,
        .size = sizeof(State),
        .configure = configure,
        .identify = identify,
        .start = start,
        .read = read_all,
};
