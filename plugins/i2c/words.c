/* SPDX-License-Identifier: Apache-2.0 */
/* Checksum: SHT3x-DIS datasheet (version 7, 2022), table 20: polynomial 0x31, init 0xff, 0xbeef -> 0x92. */
#include "bytes.h"
#include "words.h"

#define POLYNOMIAL 0x31
#define INIT       0xff

int words_command(Device *d, uint16_t command) {
        return device_write(d, (const uint8_t[]){(uint8_t)(command >> 8), (uint8_t)command}, 2);
}

uint8_t words_checksum(uint16_t word) {
        return crc8(POLYNOMIAL, INIT, (const uint8_t[]){(uint8_t)(word >> 8), (uint8_t)word}, 2);
}

int words_read(Device *d, uint16_t *words, size_t n) {
        uint8_t bytes[3 * WORDS_MAX];
        int r;

        r = device_read(d, bytes, 3 * n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                words[i] = be16(&bytes[3 * i]);
                if (words_checksum(words[i]) != bytes[3 * i + 2])
                        return device_checksum(d);
        }
        return 0;
}

double words_celsius(uint16_t word) {
        return -45 + 175 * (double)word / 65535;
}

double words_percent(uint16_t word) {
        return 100 * (double)word / 65535;
}
