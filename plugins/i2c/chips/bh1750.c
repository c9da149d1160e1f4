/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BH1750: illuminance.
 * ROHM BH1750FVI (2011.11, rev. D): commands p. 5, 180 ms at most p. 2, counts / 1.2 = lx p. 7. One measurement with
 * high resolution, then it powers down by itself. At 65535 it is blinded. The time that the 1.2 belongs to is a register
 * (MTreg, p. 11) that another program may have changed, and that only power-on sets back.
 */
#include "../bytes.h"
#include "../device.h"

#define POWER_ON     0x01
#define MTREG_HIGH   0x42 /* 69 in two commands */
#define MTREG_LOW    0x65
#define ONE_TIME_H   0x20
#define MEASURE_USEC 180000u

static const Quantity quantities[] = {
        {"illuminance", "lx", KIND_NUMBER, 1},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int init(Device *d) {
        static const uint8_t commands[] = {POWER_ON, MTREG_HIGH, MTREG_LOW};
        int r = 0;

        for (size_t i = 0; r == 0 && i < sizeof(commands); i++)
                r = device_write(d, &commands[i], 1);
        return r;
}

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return device_write(d, (const uint8_t[]){ONE_TIME_H}, 1);
}

static int read_light(Device *d) {
        uint8_t b[2];
        int r;

        r = device_read(d, b, sizeof(b));
        if (r < 0)
                return r;
        if (be16(b) == UINT16_MAX)
                device_bad(d, 0, "too bright for the sensor");
        else
                device_good(d, 0, be16(b) / 1.2);
        return 0;
}

const Driver bh1750_driver = {
        .name = "bh1750",
        .what = "illuminance",
        .addresses = "\x23\x5c",
        .quantities = quantities,
        .init = init,
        .start = start,
        .read = read_light,
};
