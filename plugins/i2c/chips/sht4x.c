/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHT40, SHT41, SHT43, SHT45: temperature and humidity.
 * Sensirion Datasheet SHT4x (version 6.6, 2024): command table 8, 8.3 ms at most for high precision (table 5),
 * conversion section 4.6. Humidity may come out a little below 0 or above 100 % and is cut there, as it says.
 */
#include "../words.h"

#define MEASURE      0xfd
#define MEASURE_USEC 8300u

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int start(Device *d, uint32_t *ret_usec) {
        *ret_usec = MEASURE_USEC;
        return device_write(d, (const uint8_t[]){MEASURE}, 1);
}

static int read_both(Device *d) {
        uint16_t words[2];
        double humidity;
        int r;

        r = words_read(d, words, 2);
        if (r < 0)
                return r;
        humidity = -6 + 125 * (double)words[1] / 65535;
        device_good(d, 0, words_celsius(words[0]));
        device_good(d, 1, humidity < 0 ? 0 : humidity > 100 ? 100 : humidity);
        return 0;
}

const Driver sht4x_driver = {
        .name = "sht4x",
        .what = "temperature and humidity",
        .addresses = "\x44\x45\x46",
        .quantities = quantities,
        .start = start,
        .read = read_both,
};
