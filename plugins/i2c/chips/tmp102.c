/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TMP102: temperature, 12 bits. Each sample is one measurement, so it sleeps in between.
 * TI TMP102 (SBOS397H): registers section 7.5, table 7-2 for the numbers, one-shot 7.4.3, 35 ms at most (6.5).
 */
#include "../bytes.h"
#include "../device.h"

#define TEMPERATURE   0x00
#define CONFIGURATION 0x01
#define ONE_SHOT      0xe1a0 /* with shutdown; 13-bit mode off */
#define DONE          0x8000 /* the one-shot bit reads as 1 when it's done */
#define MEASURE_USEC  35000u

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 4},
        {NULL, NULL, KIND_NUMBER, 0},
};

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
        if (!(configuration & DONE))
                return -EAGAIN;
        r = device_get16(d, TEMPERATURE, &word);
        if (r < 0)
                return r;
        if (word & 0x000f)
                device_bad(d, 0, "the bits behind the temperature are not 0");
        else
                device_good(d, 0, (double)(int16_t)word / 256);
        return 0;
}

const Driver tmp102_driver = {
        .name = "tmp102",
        .what = "temperature",
        .addresses = "\x48\x49\x4a\x4b",
        .quantities = quantities,
        .start = start,
        .read = read_temperature,
};
