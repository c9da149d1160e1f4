/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INA219: voltage, and current through a shunt.
 * TI INA219 (SBOS448G): registers section 8.6, LSB 10 uV and 4 mV, times table 5. Current is the voltage of the shunt by
 * its resistance, computed here, so its calibration register isn't used. Each sample is the average of 16.
 */
#include "../bytes.h"
#include "../device.h"

#define CONFIGURATION 0x00
#define SHUNT         0x01
#define BUS           0x02
#define TRIGGER       0x3e63 /* 32 V, 320 mV, 16 samples of both, once */
#define READY         0x0002
#define MEASURE_USEC  19000u /* 2 * 8.51 ms and a tenth */
#define SHUNT_END     32000  /* 320 mV */

typedef struct State {
        double ohms;
} State;

static const Quantity quantities[] = {
        {"voltage", "V", KIND_NUMBER, 3},
        {"current", "A", KIND_NUMBER, 6},
        {"power", "W", KIND_NUMBER, 6},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int configure(Device *d, const struct tbagent_node *options) {
        State *s = d->data;

        s->ohms = tbagent_is_set(d->host, options, "shunt") ? tbagent_float(d->host, options, "shunt") : 0.1;
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return device_put16(d, CONFIGURATION, TRIGGER);
}

static int read_all(Device *d) {
        const State *s = d->data;
        uint16_t bus, shunt;
        double volts, amperes;
        int r;

        r = device_get16(d, BUS, &bus);
        if (r < 0)
                return r;
        if (!(bus & READY))
                return -EAGAIN;
        r = device_get16(d, SHUNT, &shunt);
        if (r < 0)
                return r;
        volts = (bus >> 3) * 0.004;
        amperes = (int16_t)shunt * 0.00001 / s->ohms;
        device_good(d, 0, volts);
        if ((int16_t)shunt >= SHUNT_END || (int16_t)shunt <= -SHUNT_END) {
                device_bad(d, 1, "more than 320 mV across the shunt");
                device_bad(d, 2, "more than 320 mV across the shunt");
                return 0;
        }
        device_good(d, 1, amperes);
        device_good(d, 2, volts * amperes);
        return 0;
}

const Driver ina219_driver = {
        .name = "ina219",
        .what = "voltage, current and power",
        .addresses = "\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49\x4a\x4b\x4c\x4d\x4e\x4f",
        .options = "shunt",
        .quantities = quantities,
        .size = sizeof(State),
        .configure = configure,
        .start = start,
        .read = read_all,
};
