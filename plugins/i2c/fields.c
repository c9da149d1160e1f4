/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "fields.h"

int bytes_parse(const char *text, Bytes *ret) {
        Bytes b = {.n = 0};

        for (const char *p = text + strspn(text, " ,"); *p;) {
                int base = p[0] == '0' && (p[1] == 'x' || p[1] == 'X') ? 16 : 10;
                unsigned long value;
                char *end;

                if (b.n == BYTES_MAX)
                        return -E2BIG;
                if (!isdigit((unsigned char)*p))
                        return -EINVAL;
                value = strtoul(p, &end, base);
                if (value > 255 || (*end && !strchr(" ,", *end)))
                        return -EINVAL;
                b.bytes[b.n++] = (uint8_t)value;
                p = end + strspn(end, " ,");
        }
        if (b.n == 0)
                return -EINVAL;
        *ret = b;
        return 0;
}

int type_parse(const char *text, Field *ret) {
        size_t bits;
        char *end;

        if (strcmp(text, "bool") == 0) {
                ret->flag = true;
                ret->size = 1;
                return 0;
        }
        ret->real = strncmp(text, "float", 5) == 0;
        ret->sign = text[0] == 's';
        bits = strtoul(text + (ret->real ? 5 : 1), &end, 10);
        ret->size = bits / 8;
        ret->little = strcmp(end, "le") == 0;
        return bits % 8 == 0 && ret->size >= 1 && ret->size <= 4 ? 0 : -EINVAL;
}

int field_check(Field *f) {
        uint32_t all = f->size == 4 ? UINT32_MAX : (1u << 8 * f->size) - 1;

        f->mask &= all;
        return f->shift < 32 && f->mask >> f->shift != 0 ? 0 : -EINVAL;
}

static uint32_t raw_of(const Field *f, const uint8_t *bytes) {
        uint32_t raw = 0;

        for (size_t i = 0; i < f->size; i++)
                raw = raw << 8 | bytes[f->little ? f->size - 1 - i : i];
        return raw;
}

/* The sign is the highest bit of the mask, wherever it is. */
static int64_t number_of(const Field *f, uint32_t raw) {
        uint32_t field = f->mask >> f->shift, value = (raw & f->mask) >> f->shift;
        int width = 32 - __builtin_clz(field);

        if (f->sign && value >> (width - 1) & 1)
                return (int64_t)value - ((int64_t)1 << width);
        return value;
}

int field_decode(const Field *f, const uint8_t *bytes, double *ret) {
        uint32_t raw = raw_of(f, bytes);
        float real;

        if (f->has_invalid && raw == f->invalid)
                return -ERANGE;
        if (f->flag) {
                *ret = (raw & f->mask) != 0;
                return 0;
        }
        if (f->real) {
                memcpy(&real, &raw, sizeof(real));
                if (!isfinite(real))
                        return -ERANGE;
                *ret = (double)real * f->scale + f->offset;
        } else
                *ret = (double)number_of(f, raw) * f->scale + f->offset;
        return 0;
}

size_t checksum_size(const Checksum *c, size_t n) {
        size_t blocks;

        if (!c->used)
                return n;
        if (c->block == 0)
                return n + 1;
        blocks = (n + c->block - 1) / c->block;
        return blocks * (c->block + 1);
}

int checksum_strip(const Checksum *c, const uint8_t *wire, size_t n, uint8_t *out) {
        size_t block = c->used && c->block > 0 ? c->block : n;

        for (size_t done = 0; done < n; done += block) {
                size_t wanted = n - done < block ? n - done : block;

                if (c->used && crc8(c->polynomial, c->init, wire, block) != wire[block])
                        return -EBADMSG;
                memcpy(out + done, wire, wanted);
                wire += block + (c->used ? 1 : 0);
        }
        return 0;
}
