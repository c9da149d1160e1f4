/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, numbers and strings in the one form that the server stores as what they are.
 *
 * Numbers. The server types a number by the way it is written, twice: more than 16 fraction digits make it
 * a text, and so do 2^63 and above. Hence plain decimals, at most 15 fraction digits, always a dot. The
 * shortest decimal that reads back as the same double is found without printf() and strtod(), in exact
 * arithmetic:
 *
 *     scaled = v * 10^scale     correctly rounded to a whole number: fma() gives what the product lost
 *     error  = |scaled - v * 10^scale|
 *
 * The decimal scaled / 10^scale reads back as v when its error is below half a unit in the last place of
 * v, times 10^scale. Both sides are exact in a double for the values that get there (whole numbers are
 * done before, those below 1 always take 15 digits), so this is a proof and no estimate. 15 significant
 * digits are tried first, and 17 always suffice. Values with up to six decimals, which is what sensors
 * give, need only one division: 10^6 and scaled are exact, and division rounds correctly.
 *
 * fma() is written out where it matters and no other expression depends on a product being rounded, so
 * that a compiler which contracts a * b + c changes nothing.
 *
 * `decimals` rounds the decimal, not the double behind it: 2.675 is 2.68 with two decimals, as a person
 * would have it, although the double is a little below. */
#include <math.h>

#include "model/value.h"

/* ---- UTF-8 */

size_t utf8_decode(const char *text, size_t size, uint32_t *ret_char) {
        static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
        const uint8_t *p = (const uint8_t *)text;
        size_t n;
        uint32_t c;

        if (size == 0)
                return 0;
        if (p[0] < 0x80) {
                *ret_char = p[0];
                return 1;
        }
        n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
        if (p[0] < 0xc0 || p[0] > 0xf4 || n > size)
                return 0;
        c = p[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret_char = c;
        return n;
}

size_t utf8_encode(char out[static 4], uint32_t c) {
        static const uint8_t lead[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = n - 1; i > 0; i--, c >>= 6)
                out[i] = (char)(0x80 | (c & 0x3f));
        out[0] = (char)(lead[n] | c);
        return n;
}

/* ---- keys */

/* What Java's isWhitespace() knows, and the three spaces that don't break. */
static bool is_blank(uint32_t c) {
        switch (c) {
        case ' ':
        case 0xa0:
        case 0x1680:
        case 0x2000 ... 0x200a:
        case 0x2028:
        case 0x2029:
        case 0x202f:
        case 0x205f:
        case 0x3000:
                return true;
        default:
                return false;
        }
}

/* The server's check takes "<" before such a character for markup (THINGSBOARD.md 3.3). */
static bool opens_markup(uint8_t next) {
        uint8_t lower = next | 0x20;

        return (lower >= 'a' && lower <= 'z') || next == '/' || next == '!' || next == '?' || next >= 0x80;
}

static bool is_word(const char *key, size_t size) {
        for (size_t i = 0; i < size; i++) {
                uint8_t c = (uint8_t)key[i], lower = c | 0x20;

                if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
                        return false;
        }
        return size > 0;
}

static const char *key_text_fault(const char *key, size_t size) {
        bool blank = true, braces = false;
        size_t units = 0, n;
        uint32_t c;

        for (size_t i = 0; i < size; i += n) {
                char next = 0;

                n = utf8_decode(key + i, size - i, &c);
                if (n == 0)
                        return "is not UTF-8";
                if (c < 0x20 || (c >= 0x7f && c < 0xa0))
                        return "holds a control character";
                units += n == 4 ? 2 : 1;
                blank = blank && is_blank(c);
                if (i + n < size)
                        next = key[i + n];
                if (c == '<' && opens_markup((uint8_t)next))
                        return "looks like HTML: \"<\" stands before a letter, /, ! or ?";
                if (braces && c == '}' && next == '}')
                        return "holds {{...}}";
                if (!braces && c == '{' && next == '{') {
                        braces = true;
                        n++; /* so that {{} is not yet closed */
                        units++;
                }
        }
        if (blank)
                return "is blank";
        return units > KEY_UTF16_MAX ? "is longer than 255 characters" : NULL;
}

static const char *key_fault(const char *key, size_t size) {
        const char *why = NULL;

        if (size > KEY_TEXT_MAX)
                return "is longer than 255 characters";
        if (size > KEY_UTF16_MAX || !is_word(key, size)) /* most are words, and every row's keys come through here */
                why = key_text_fault(key, size);
        if (why)
                return why;
        if ((size == 2 && memcmp(key, "ts", 2) == 0) || (size == 6 && memcmp(key, "values", 6) == 0))
                return "is a word with a meaning of its own to the server";
        return NULL;
}

int key_check(const char *key, size_t size, const char **ret_why) {
        const char *why = key_fault(key, size);

        if (!why)
                return 0;
        if (ret_why)
                *ret_why = why;
        return -EINVAL;
}

/* ---- numbers */

#define FRACTION_MAX 15
#define TWO_63 0x1p63

static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };

static const uint64_t whole_powers[] = {
        1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u, 100000000000u,
        1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u,
};

static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/* Writes v with at least `width` digits (zeros in front). */
static size_t put_digits(char *out, uint64_t v, size_t width) {
        char text[20];
        size_t at = sizeof(text);

        for (; v >= 100; v /= 100)
                memcpy(text + (at -= 2), pairs + v % 100 * 2, 2);
        if (v >= 10)
                memcpy(text + (at -= 2), pairs + v * 2, 2);
        else if (v > 0)
                text[--at] = (char)('0' + v);
        while (sizeof(text) - at < width)
                text[--at] = '0';
        memcpy(out, text + at, sizeof(text) - at);
        return sizeof(text) - at;
}

size_t number_format_int(char out[static NUMBER_TEXT_MAX], int64_t v) {
        size_t sign = v < 0;

        out[0] = '-';
        return sign + put_digits(out + sign, v < 0 ? -(uint64_t)v : (uint64_t)v, 1);
}

typedef struct Decimal { /* digits / 10^scale */
        uint64_t digits;
        unsigned scale;
} Decimal;

/* The decimal of this scale nearest to v; its distance from v is *ret_error units of the last digit. */
static Decimal decimal_nearest(double v, unsigned scale, double *ret_error) {
        double base = trunc(v * powers[scale]);
        double rest = fma(v, powers[scale], -base);
        double more = round(rest);

        *ret_error = fabs(rest - more);
        return (Decimal){ (uint64_t)((int64_t)base + (int64_t)more), scale };
}

/* v >= 1 and not whole, hence below 2^52. */
static Decimal decimal_shortest(double v) {
        unsigned whole = 1;
        int exponent;

        while (whole < 16 && v >= powers[whole])
                whole++;
        (void)frexp(v, &exponent);
        for (unsigned significant = 15;; significant++) {
                unsigned scale = significant > whole ? significant - whole : 1;
                double error;
                Decimal d = decimal_nearest(v, scale, &error);

                if (scale == FRACTION_MAX || significant == 17 || error < ldexp(powers[scale], exponent - 54))
                        return d;
        }
}

static Decimal decimal_of(double v) {
        static const unsigned usual[] = { 3, 6 };
        double error;

        if (v < 1e9)
                for (size_t i = 0; i < ELEMENTS(usual); i++) {
                        Decimal d = { (uint64_t)(v * powers[usual[i]] + 0.5), usual[i] };

                        if ((double)d.digits / powers[usual[i]] == v)
                                return d;
                }
        if (v == trunc(v))
                return (Decimal){ (uint64_t)v, 0 };
        return v < 1 ? decimal_nearest(v, FRACTION_MAX, &error) : decimal_shortest(v);
}

int number_format_double(char out[static NUMBER_TEXT_MAX], double v, int decimals, size_t *ret_size) {
        double magnitude = fabs(v);
        size_t n = 0;
        Decimal d;

        if (!(magnitude < TWO_63)) /* NaN as well */
                return -ERANGE;
        d = decimal_of(magnitude);
        if (decimals >= 0 && d.scale > (unsigned)decimals) {
                uint64_t unit = whole_powers[d.scale - (unsigned)decimals];

                d = (Decimal){ (d.digits + unit / 2) / unit, (unsigned)decimals };
        }
        while (d.scale > 0 && d.digits % 10 == 0)
                d = (Decimal){ d.digits / 10, d.scale - 1 };

        if (v < 0 && d.digits > 0)
                out[n++] = '-';
        n += put_digits(out + n, d.digits / whole_powers[d.scale], 1);
        out[n++] = '.';
        n += put_digits(out + n, d.digits % whole_powers[d.scale], d.scale > 0 ? d.scale : 1);
        *ret_size = n;
        return 0;
}

/* ---- strings */

#define EACH_BYTE(c) (0x0101010101010101u * (c))

/* The high bit of some byte is set when one of the eight is none of json_plain()'s. A borrow may blame a
 * byte behind a true hit too, which doesn't matter. */
static bool any_special(uint64_t word) {
        uint64_t quote = word ^ EACH_BYTE('"'), backslash = word ^ EACH_BYTE('\\');

        return ((word | (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1))) & EACH_BYTE(0x80)) != 0;
}

size_t json_plain(const char *text, size_t size) {
        size_t i = 0;
        uint64_t word;

        for (; i + sizeof(word) <= size; i += sizeof(word)) {
                memcpy(&word, text + i, sizeof(word));
                if (any_special(word))
                        break;
        }
        for (; i < size; i++) {
                uint8_t c = (uint8_t)text[i];

                if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
                        break;
        }
        return i;
}

static size_t escape_ascii(char *out, uint8_t c) {
        static const char hex[] = "0123456789abcdef";
        static const char named[0x20] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

        out[0] = '\\';
        if (c >= 0x20 || named[c]) {
                out[1] = c >= 0x20 ? (char)c : named[c];
                return 2;
        }
        memcpy(out + 1, "u00", 3);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return 6;
}

size_t json_quote(char *out, const char *text, size_t size) {
        const char *end = text + size;
        char *p = out;

        *p++ = '"';
        for (;;) {
                size_t n = json_plain(text, (size_t)(end - text));
                uint32_t c;

                memcpy(p, text, n);
                p += n;
                text += n;
                if (text == end)
                        break;
                n = utf8_decode(text, (size_t)(end - text), &c);
                if (n > 1) {
                        memcpy(p, text, n);
                        p += n;
                } else if (n == 0)
                        p += utf8_encode(p, 0xfffd);
                else if (c != 0)
                        p += escape_ascii(p, (uint8_t)c);
                text += n > 0 ? n : 1;
        }
        *p++ = '"';
        return (size_t)(p - out);
}

char *json_string(const char *text) {
        size_t size = strlen(text);
        char *quoted = malloc(6 * size + 3);

        if (quoted)
                quoted[json_quote(quoted, text, size)] = '\0';
        return quoted;
}
