/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever bytes come: json_quote() makes valid JSON of them, key_check() passes only what the row validator
 * passes too, and the first nine as a double and a number of decimals come out as a plain number nearby. */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "model/row.h"

static void fuzz_quote(const char *text, size_t size) {
        char *out = malloc(6 * size + 2);
        size_t n;

        if (!out)
                abort();
        n = json_quote(out, text, size);
        assert(n <= 6 * size + 2 && json_validate(out, n) == 0);
        free(out);
}

static void fuzz_key(const char *text, size_t size) {
        char row[6 * KEY_TEXT_MAX + 16] = "{", *p = row + 1;
        const char *why = NULL;
        uint32_t points;
        int r = key_check(text, size, &why);

        assert((r == 0) == (why == NULL));
        if (size > KEY_TEXT_MAX) {
                assert(r < 0);
                return;
        }
        p += json_quote(p, text, size);
        p = stpcpy(p, ":1}");
        /* the other way round a repaired text may be a key */
        assert(r < 0 || (row_validate(row, (size_t)(p - row), NULL, NULL, &points) == 0 && points == 1));
}

static void fuzz_number(double v, int decimals) {
        char out[NUMBER_TEXT_MAX], *dot;
        size_t n;
        double back, step;

        if (number_format_double(out, v, decimals, &n) < 0) {
                assert(!(fabs(v) < 0x1p63));
                return;
        }
        assert(n < 40 && json_validate(out, n) == 0);
        out[n] = 0;
        dot = strchr(out, '.');
        assert(dot && strlen(dot + 1) >= 1 && strlen(dot + 1) <= 15 && !strchr(out, 'e'));
        assert(decimals < 1 || strlen(dot + 1) <= (size_t)decimals || decimals > 15);
        assert(dot[2] == 0 || out[n - 1] != '0');
        assert(strcmp(out, "-0.0") != 0);
        step = decimals >= 0 && decimals < 15 ? pow(10, -decimals) : 1e-15;
        back = strtod(out, NULL);
        /* what is rounded is the decimal of 15 digits, which may be half of its last one away */
        assert(fabs(back - v) <= step / 2 + 0.5e-15 * (1 + 1e-9) + fabs(v) * 0x1p-51);
}

static void fuzz_int(int64_t v) {
        char out[NUMBER_TEXT_MAX];
        size_t n = number_format_int(out, v);

        out[n] = 0;
        assert(n <= 20 && strtoll(out, NULL, 10) == v && json_validate(out, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size > 0) {
                fuzz_quote((const char *)data, size);
                fuzz_key((const char *)data, size);
        }
        if (size > sizeof(double)) {
                double d;
                int64_t i;

                memcpy(&d, data, sizeof(d));
                memcpy(&i, data, sizeof(i));
                fuzz_number(d, (int)(data[sizeof(d)] % 20) - 1);
                fuzz_int(i);
        }
        return 0;
}
