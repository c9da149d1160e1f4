/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGP40: the raw signal of its sensor for volatile organic compounds, not an index of air quality (that needs
 * Sensirion's algorithm, fed once a second).
 * Sensirion Datasheet SGP40 (1.2, 2022): sgp40_measure_raw_signal, 30 ms, with the default of 50 % and 25 degrees.
 */
#include "../words.h"

#define MEASURE_USEC 30000u

static const uint8_t measure[] = {0x26, 0x0f, 0x80, 0x00, 0xa2, 0x66, 0x66, 0x93};

static const Quantity quantities[] = {
        {"voc_raw", "ticks", KIND_WHOLE, 0},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return device_write(d, measure, sizeof(measure));
}

static int read_raw(Device *d) {
        uint16_t word;
        int r;

        r = words_read(d, &word, 1);
        if (r == 0)
                device_good(d, 0, word);
        return r;
}

const Driver sgp40_driver = {
        .name = "sgp40",
        .what = "volatile organic compounds, raw",
        .addresses = "\x59",
        .quantities = quantities,
        .start = start,
        .read = read_raw,
};
