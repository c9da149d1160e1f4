/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MPL3115A2: pressure and temperature.
 * NXP MPL3115A2 (rev. 6): register map, OUT_P in quarters of a pascal (20 bits) and OUT_T in sixteenths of a degree (12
 * bits), both left-aligned; one-shot by OST in standby; 66 ms with an oversampling of 16. Its flags tell of new data only
 * when PT_DATA_CFG has switched them on, which it has not after power-on.
 */
#include "../bytes.h"
#include "../device.h"

#define STATUS       0x00
#define WHO_AM_I     0x0c
#define PT_DATA_CFG  0x13
#define FLAGS_ON     0x07
#define CTRL_REG1    0x26
#define ID           0xc4
#define STANDBY_X16  0x20 /* barometer */
#define ONE_SHOT     0x22
#define BOTH_READY   0x06
#define MEASURE_USEC 75000u

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"pressure", "hPa", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        return device_identity(d, WHO_AM_I, ID);
}

static int init(Device *d) {
        return device_put(d, PT_DATA_CFG, FLAGS_ON);
}

static int start(Device *d, uint32_t *ret_usec) {
        int r;

        r = device_put(d, CTRL_REG1, STANDBY_X16); /* OST has to be cleared before it is set */
        if (r == 0)
                r = device_put(d, CTRL_REG1, ONE_SHOT);
        *ret_usec = MEASURE_USEC;
        return r;
}

static int read_both(Device *d) {
        double hectopascal;
        uint8_t b[6]; /* status, pressure, temperature */
        int r;

        r = device_get(d, STATUS, b, sizeof(b));
        if (r < 0)
                return r;
        if ((b[0] & BOTH_READY) != BOTH_READY)
                return -EAGAIN;
        hectopascal = (double)(be24(b + 1) >> 4) / 400;
        device_good(d, 0, (double)(be16s(b + 4) & ~0xf) / 256);
        if (hectopascal < 200 || hectopascal > 1100)
                device_bad(d, 1, "pressure is outside 200 to 1100 hPa");
        else
                device_good(d, 1, hectopascal);
        return 0;
}

const Driver mpl3115a2_driver = {
        .name = "mpl3115a2",
        .what = "temperature and pressure",
        .addresses = "\x60",
        .quantities = quantities,
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_both,
};
