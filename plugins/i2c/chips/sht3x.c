/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHT30, SHT31, SHT35: temperature and humidity.
 * Sensirion Datasheet SHT3x-DIS (version 7, 2022): single shot with high repeatability and no clock stretching
 * (section 4.3, table 9), 15.5 ms at most (table 4), conversion 4.13. In periodic mode, which another program may have
 * left it in, it takes no such command. Break ends that (4.8) within 1 ms, as long as the pause before a retry.
 */
#include "../words.h"

#define BREAK        0x3093
#define MEASURE      0x2400
#define MEASURE_USEC 15500u

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int init(Device *d) {
        return words_command(d, BREAK);
}

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return words_command(d, MEASURE);
}

static int read_both(Device *d) {
        uint16_t words[2];
        int r;

        r = words_read(d, words, 2);
        if (r < 0)
                return r;
        device_good(d, 0, words_celsius(words[0]));
        device_good(d, 1, words_percent(words[1]));
        return 0;
}

const Driver sht3x_driver = {
        .name = "sht3x",
        .what = "temperature and humidity",
        .addresses = "\x44\x45",
        .quantities = quantities,
        .init = init,
        .start = start,
        .read = read_both,
};
