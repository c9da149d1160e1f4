/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LPS22HB: pressure and temperature.
 * ST LPS22HB (DocID027083 rev. 6): registers chapter 9, sensitivities 4096 LSB/hPa and 100 LSB/degree (table 3), one-shot
 * by CTRL_REG2 while CTRL_REG1 has no rate.
 */
#include "../bytes.h"
#include "../device.h"

#define WHO_AM_I     0x0f
#define CTRL_REG1    0x10
#define CTRL_REG2    0x11
#define STATUS       0x27
#define ID           0xb1
#define HOLD_BLOCKS  0x02 /* no rate; a number that is being read does not change */
#define ONE_SHOT     0x11 /* addresses go on by themselves */
#define BOTH_READY   0x03
#define MEASURE_USEC 20000u

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"pressure", "hPa", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        return device_identity(d, WHO_AM_I, ID);
}

static int start(Device *d, uint32_t *ret_usec) {
        int r;

        r = device_put(d, CTRL_REG1, HOLD_BLOCKS);
        if (r == 0)
                r = device_put(d, CTRL_REG2, ONE_SHOT);
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
        hectopascal = (double)le24(b + 1) / 4096;
        device_good(d, 0, (double)le16s(b + 4) / 100);
        if (hectopascal < 260 || hectopascal > 1260)
                device_bad(d, 1, "pressure is outside 260 to 1260 hPa");
        else
                device_good(d, 1, hectopascal);
        return 0;
}

const Driver lps22hb_driver = {
        .name = "lps22hb",
        .what = "temperature and pressure",
        .addresses = "\x5d\x5c",
        .quantities = quantities,
        .identify = identify,
        .start = start,
        .read = read_both,
};
