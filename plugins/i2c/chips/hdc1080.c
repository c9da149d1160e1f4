/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HDC1080: temperature and humidity.
 * TI HDC1080 (SNAS672A): registers section 8.6, sequence 8.5.1.1, conversion times 7.5: 6.35 ms and 6.50 ms at 14 bits,
 * which are typical ones, so some time is added; a chip that still measures doesn't answer.
 */
#include "../bytes.h"
#include "../device.h"

#define TEMPERATURE   0x00
#define CONFIGURATION 0x02
#define MANUFACTURER  0xfe
#define DEVICE        0xff
#define BOTH_14_BITS  0x1000
#define MEASURE_USEC  20000u

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        uint16_t maker, device;
        int r;

        r = device_get16(d, MANUFACTURER, &maker);
        if (r == 0)
                r = device_get16(d, DEVICE, &device);
        if (r < 0 || (maker == 0x5449 && device == 0x1050))
                return r;
        return device_fail(d, WRONG_CHIP, "0x%02x is no hdc1080: its ids are 0x%04x and 0x%04x", d->route.address, maker, device);
}

static int start(Device *d, uint32_t *ret_usec) {
        int r;

        r = device_put16(d, CONFIGURATION, BOTH_14_BITS);
        if (r == 0)
                r = device_write(d, (const uint8_t[]){TEMPERATURE}, 1); /* starts both */
        *ret_usec = MEASURE_USEC;
        return r;
}

static int read_both(Device *d) {
        uint8_t b[4];
        int r;

        r = device_read(d, b, sizeof(b));
        if (r < 0)
                return r;
        device_good(d, 0, (double)be16(b) * 165 / 65536 - 40);
        device_good(d, 1, (double)be16(b + 2) * 100 / 65536);
        return 0;
}

const Driver hdc1080_driver = {
        .name = "hdc1080",
        .what = "temperature and humidity",
        .addresses = "\x40",
        .quantities = quantities,
        .identify = identify,
        .start = start,
        .read = read_both,
};
