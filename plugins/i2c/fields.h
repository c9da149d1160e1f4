/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes and numbers as a configuration describes them. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BYTES_MAX 33 /* a register and what one SMBus block holds */

typedef struct Bytes {
        uint8_t bytes[BYTES_MAX];
        size_t n;
} Bytes;

typedef struct Field {
        uint16_t at;        /* its register, or its place in the answer to a command */
        size_t size;        /* in bytes, 1 to 4 */
        bool little, sign;
        bool real, flag;    /* an IEEE float; true or false */
        uint32_t mask;
        unsigned shift;
        double scale, offset;
        bool has_invalid;
        uint32_t invalid;
} Field;

/* Checksums in what a chip sends: one behind every `block` bytes, or (0) behind all. */
typedef struct Checksum {
        bool used;
        uint8_t polynomial, init;
        size_t block;
} Checksum;

/* "0xf4 0x27", "36, 0". 0; -EINVAL: no bytes; -E2BIG. */
int bytes_parse(const char *text, Bytes *ret);
/* "s16be". -EINVAL: there is no such type. Sets size, little, sign, real, flag. */
int type_parse(const char *text, Field *ret);
/* -EINVAL: mask and shift leave nothing of the number. */
int field_check(Field *f);
/* -ERANGE: it is the number that says that there is none, or no number at all. */
int field_decode(const Field *f, const uint8_t *bytes, double *ret);

/* How many bytes the chip sends for n bytes of data. Rounds n up to whole blocks. */
size_t checksum_size(const Checksum *c, size_t n);
/* Takes the checksums out of wire bytes: n bytes of data into out. -EBADMSG: one is wrong. */
int checksum_strip(const Checksum *c, const uint8_t *wire, size_t n, uint8_t *out);
