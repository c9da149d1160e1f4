/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DS3231: the thermometer of the clock. It measures by itself every 64 s.
 * Maxim DS3231 (19-5170, rev. 10): registers 11h and 12h, p. 15. With an overlay for the clock its address is the
 * kernel's, which then shows the temperature as hwmon.
 */
#include "../bytes.h"
#include "../device.h"

#define TEMPERATURE 0x11

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int read_temperature(Device *d) {
        uint8_t b[2];
        int r;

        r = device_get(d, TEMPERATURE, b, sizeof(b));
        if (r < 0)
                return r;
        if ((b[1] & 0x3f) != 0) /* they are 0: this is another chip, or noise */
                device_bad(d, 0, "the bits behind the temperature are not 0");
        else
                device_good(d, 0, (double)be16s(b) / 256);
        return 0;
}

const Driver ds3231_driver = {
        .name = "ds3231",
        .what = "temperature of a clock",
        .addresses = "\x68",
        .quantities = quantities,
        .read = read_temperature,
};
