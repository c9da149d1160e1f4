/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTU21D, SHT21 and Si7021: temperature and humidity, one after the other.
 * TE HTU21D(F) data sheet (2017): commands p. 11, times p. 3 and 5, checksum and conversion p. 14-15; Silicon Labs
 * Si7021-A20 (1.3): commands table 11, times table 2, conversion 5.1. The two lowest bits of a word are status. The
 * times are those of the SHT21 (version 4, table 7), the longest of the three. Humidity is cut at 0 and 100 %, as Si7021
 * 5.1.1 says. The checksum of zeros is zero, so they pass it: they are no measurement.
 */
#include "../bytes.h"
#include "../device.h"

#define TEMPERATURE      0xf3 /* the bus is free meanwhile */
#define HUMIDITY         0xf5
#define TEMPERATURE_USEC 85000u
#define HUMIDITY_USEC    29000u

typedef struct State {
        bool humid; /* it is the turn of humidity */
} State;

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int init(Device *d) {
        State *s = d->data;

        s->humid = false;
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        const State *s = d->data;

        *ret_usec = s->humid ? HUMIDITY_USEC : TEMPERATURE_USEC;
        return device_write(d, (const uint8_t[]){s->humid ? HUMIDITY : TEMPERATURE}, 1);
}

static int read_one(Device *d) {
        State *s = d->data;
        double share, celsius, humidity;
        uint8_t b[3];
        int r;

        r = device_read(d, b, sizeof(b));
        if (r < 0)
                return r;
        if (crc8(0x31, 0, b, 2) != b[2])
                return device_checksum(d);
        share = (double)(be16(b) & 0xfffc) / 65536;
        if (!s->humid) {
                celsius = -46.85 + 175.72 * share;
                if (celsius < -40 || celsius > 125)
                        device_bad(d, 0, "temperature is outside -40 to 125 degrees");
                else
                        device_good(d, 0, celsius);
                s->humid = true;
                return READ_MORE;
        }
        humidity = -6 + 125 * share;
        if (share == 0)
                device_bad(d, 1, "humidity was not measured");
        else
                device_good(d, 1, humidity < 0 ? 0 : humidity > 100 ? 100 : humidity);
        s->humid = false;
        return 0;
}

const Driver htu21d_driver = {
        .name = "htu21d",
        .what = "temperature and humidity",
        .addresses = "\x40",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_one,
};

const Driver si7021_driver = {
        .name = "si7021",
        .what = "temperature and humidity",
        .addresses = "\x40",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_one,
};
