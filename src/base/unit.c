/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "base/unit.h"

typedef struct Unit {
        const char *name;
        uint64_t scale;
} Unit;

/* From large to small: duration_text() takes the first that divides. */
static const Unit durations[] = {
        { "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC },
        { "s", USEC_PER_SEC },         { "ms", USEC_PER_MSEC },      { "us", 1 },
};
static const Unit sizes[] = { { "G", 1024 * MIB }, { "M", MIB }, { "k", KIB }, { "K", KIB }, { "B", 1 } };

#define FRACTION_DIGITS_MAX 6 /* 10^6 times the largest unit stays below 2^63 */

static int fraction_parse(const char **p, uint64_t *ret_value, uint64_t *ret_scale) {
        uint64_t value = 0, scale = 1;
        unsigned n = 0;

        for (; **p >= '0' && **p <= '9'; (*p)++, n++) {
                if (n == FRACTION_DIGITS_MAX)
                        return -EINVAL;
                value = 10 * value + (uint64_t)(**p - '0');
                scale *= 10;
        }
        *ret_value = value;
        *ret_scale = scale;
        return n > 0 ? 0 : -EINVAL;
}

/* NUMBER[.FRACTION][ ]UNIT; the result stays below 2^63, so that it fits an option's signed value. */
static int quantity_parse(const char *text, const Unit *units, size_t n_units, uint64_t *ret) {
        uint64_t whole = 0, fraction = 0, fraction_scale = 1, total;
        const char *p = text;

        if (*p < '0' || *p > '9')
                return -EINVAL;
        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(whole, 10u, &whole) || __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
                        return -ERANGE;
        if (*p == '.') {
                p++;
                if (fraction_parse(&p, &fraction, &fraction_scale) < 0)
                        return -EINVAL;
        }
        if (whole == 0 && fraction == 0 && *p == '\0') {
                *ret = 0;
                return 0;
        }
        if (*p == ' ')
                p++;
        for (size_t i = 0; i < n_units; i++) {
                if (!streq(p, units[i].name))
                        continue;
                if (__builtin_mul_overflow(whole, units[i].scale, &total) ||
                    __builtin_add_overflow(total, fraction * units[i].scale / fraction_scale, &total) || total > INT64_MAX)
                        return -ERANGE;
                *ret = total;
                return 0;
        }
        return -EINVAL;
}

int duration_parse(const char *text, usec_t *ret) {
        return quantity_parse(text, durations, ELEMENTS(durations), ret);
}

int size_parse(const char *text, uint64_t *ret) {
        return quantity_parse(text, sizes, ELEMENTS(sizes), ret);
}

static char *quantity_text(uint64_t value, const Unit *units, size_t n_units, const char *zero, char *out, size_t size) {
        if (value == 0)
                snprintf(out, size, "%s", zero);
        for (size_t i = 0; value > 0 && i < n_units; i++)
                if (value % units[i].scale == 0) {
                        snprintf(out, size, "%" PRIu64 "%s", value / units[i].scale, units[i].name);
                        break;
                }
        return out;
}

char *duration_text(usec_t usec, char *out, size_t size) {
        return quantity_text(usec, durations, ELEMENTS(durations), "0s", out, size);
}

char *size_text(uint64_t bytes, char *out, size_t size) {
        return quantity_text(bytes, sizes, ELEMENTS(sizes), "0B", out, size);
}

#define NAME_MAX_COMPARED 64

static unsigned char lower(char c) {
        return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
}

/* Edit distance with swapped neighbours as one edit, case apart; both names are at most NAME_MAX_COMPARED long. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m) {
        size_t d[3][NAME_MAX_COMPARED + 1];

        for (size_t j = 0; j <= m; j++)
                d[0][j] = j;
        for (size_t i = 1; i <= n; i++) {
                size_t *row = d[i % 3], *above = d[(i + 2) % 3], *two_above = d[(i + 1) % 3];

                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        bool same = lower(a[i - 1]) == lower(b[j - 1]);

                        row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + !same);
                        if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                                row[j] = MIN(row[j], two_above[j - 2] + 1);
                }
        }
        return d[n % 3][m];
}

const char *nearest_name(const char *name, const char *const *candidates, size_t n) {
        size_t length = strlen(name), best = length < 4 ? 1 : MAX((size_t)2, length / 3);
        const char *nearest = NULL;

        if (length == 0 || length > NAME_MAX_COMPARED)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                size_t l = strlen(candidates[i]), d;

                if (l > NAME_MAX_COMPARED)
                        continue;
                d = edit_distance(name, length, candidates[i], l);
                /* never all of it: "x" is not nearly "y" */
                if (d <= best && d < MAX(length, l) && (!nearest || d < best)) {
                        nearest = candidates[i];
                        best = d;
                }
        }
        return nearest;
}
