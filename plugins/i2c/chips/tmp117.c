/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TMP117: temperature, 7.8125 thousandths of a degree. Each sample is one measurement with 8 averages.
 * TI TMP117 (SNOSD82D): registers section 7.6, numbers table 7-1, one-shot 7.4.3, 15.5 ms a conversion and 17.5 at most
 * (6.5). 0x8000 stands there before the first measurement (7.6.1.1).
 */
#include "../bytes.h"
#include "../device.h"

#define TEMPERATURE   0x00
#define CONFIGURATION 0x01
#define DEVICE        0x0f
#define ID            0x0117 /* the four bits above are a revision */
#define ONE_SHOT      0x0c20
#define DATA_READY    0x2000
#define MEASURE_USEC  140000u
#define EMPTY         0x8000

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 4},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        uint16_t id;
        int r;

        r = device_get16(d, DEVICE, &id);
        if (r < 0 || (id & 0x0fff) == ID)
                return r;
        return device_fail(d, WRONG_CHIP, "0x%02x is no tmp117: its id is 0x%04x", d->route.address, id);
}

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return device_put16(d, CONFIGURATION, ONE_SHOT);
}

static int read_temperature(Device *d) {
        uint16_t configuration, word;
        int r;

        r = device_get16(d, CONFIGURATION, &configuration);
        if (r < 0)
                return r;
        if (!(configuration & DATA_READY))
                return -EAGAIN;
        r = device_get16(d, TEMPERATURE, &word);
        if (r < 0)
                return r;
        if (word == EMPTY)
                device_bad(d, 0, "temperature was not measured");
        else
                device_good(d, 0, (double)(int16_t)word / 128);
        return 0;
}

const Driver tmp117_driver = {
        .name = "tmp117",
        .what = "temperature",
        .addresses = "\x48\x49\x4a\x4b",
        .quantities = quantities,
        .identify = identify,
        .start = start,
        .read = read_temperature,
};
