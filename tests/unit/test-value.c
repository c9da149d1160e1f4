/* SPDX-License-Identifier: Apache-2.0 */
/* Besides tables: a property over millions of doubles, held to the server's own way of typing numbers
 * (THINGSBOARD.md 3.2), which server_type() below spells out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "model/value.h"

/* ---- keys */

static int check(const char *key) {
        return key_check(key, strlen(key), NULL);
}

static void test_key_names(_unused_ void **state) {
        static const char *const fine[] = {
                "a", "temperature", "a>b", "a < b", "a&b", "{x}", "a{{b", "a}}b", "}}{{", "{{}", "a\"b", "a\\b",
                "a/b", "a<", "<", "1<2",
                "Ts", "tss", "value", "values2", "\xd1\x82\xd0\xb5\xd0\xbc\xd0\xbf", " a ", "\xf0\x9f\x8c\xa1",
                "a<-b", "\xef\xbf\xbd", "{ {}}",
        };
        static const char *const refused[] = {
                "", " ", "   ", "\t", "\xc2\xa0", "\xe2\x80\x83 ", "\xe3\x80\x80", "ts", "values", "a<b", "<x",
                "<b>x</b>", "a</b", "<!--", "<?x",
                "a<\xc3\xa9", "{{}}", "{{x}}", "a{{b}}c", "{{{}}", "{{a}b}}", "a\x01", "a\nb", "a\x7f", "a\xc2\x85",
                "a\x80", "\xc0\x80", "\xed\xa0\x80",
                "\xf4\x90\x80\x80", "\xe2\x82", "\xff", "\xf8\x88\x80\x80\x80", "\xe0\x80\xaf", "\xf0\x80\x80\xaf",
        };

        for (size_t i = 0; i < ELEMENTS(fine); i++)
                if (check(fine[i]) != 0)
                        fail_msg("refused: %s", fine[i]);
        for (size_t i = 0; i < ELEMENTS(refused); i++)
                if (check(refused[i]) != -EINVAL)
                        fail_msg("taken: %s", refused[i]);
        assert_int_equal(key_check("a\0b", 3, NULL), -EINVAL);
        assert_int_equal(key_check("\0", 1, NULL), -EINVAL);
}

static void test_key_length(_unused_ void **state) {
        char key[4 * 256];

        memset(key, 'k', sizeof(key));
        assert_int_equal(key_check(key, 255, NULL), 0);
        assert_int_equal(key_check(key, 256, NULL), -EINVAL);
        assert_int_equal(key_check(key, sizeof(key), NULL), -EINVAL);

        for (size_t i = 0; i < 256; i++)
                memcpy(key + 3 * i, "\xe2\x82\xac", 3); /* one unit each */
        assert_int_equal(key_check(key, 3 * 255, NULL), 0);
        assert_int_equal(key_check(key, 3 * 256, NULL), -EINVAL);

        for (size_t i = 0; i < 128; i++)
                memcpy(key + 4 * i, "\xf0\x9f\x8c\xa1", 4); /* two units each */
        assert_int_equal(key_check(key, 4 * 127, NULL), 0);
        assert_int_equal(key_check(key, 4 * 128, NULL), -EINVAL);
        key[4 * 127] = 'k';
        assert_int_equal(key_check(key, 4 * 127 + 1, NULL), 0);

        memset(key, 'k', 254);
        memcpy(key, "{{", 2);
        assert_int_equal(key_check(key, 254, NULL), 0);
        assert_int_equal(key_check(key, 255 + 1, NULL), -EINVAL);
}

static void test_key_why(_unused_ void **state) {
        const char *why = NULL;

        assert_int_equal(key_check("fine", 4, &why), 0);
        assert_null(why);
        assert_int_equal(key_check(" ", 1, &why), -EINVAL);
        assert_string_equal(why, "is blank");
        assert_int_equal(key_check("a<b", 3, &why), -EINVAL);
        assert_non_null(strstr(why, "HTML"));
}

/* ---- numbers */

static void test_int(_unused_ void **state) {
        static const int64_t list[] = { 0, 1, -1, 9, 10, 99, 100, 101, -100, 9007199254740993, 1000000000000000000,
                                        INT64_MAX, INT64_MIN, INT64_MIN + 1 };
        char out[NUMBER_TEXT_MAX], want[32];

        for (size_t i = 0; i < ELEMENTS(list); i++) {
                size_t n = number_format_int(out, list[i]);

                assert_int_equal(n, snprintf(want, sizeof(want), "%" PRId64, list[i]));
                assert_memory_equal(out, want, n);
        }
        for (int64_t v = 1, i = 0; i < 62; i++, v = v * 2 + (i & 1)) {
                size_t n = number_format_int(out, -v);

                assert_int_equal(n, snprintf(want, sizeof(want), "%" PRId64, -v));
                assert_memory_equal(out, want, n);
        }
}

static void test_double(_unused_ void **state) {
        static const struct {
                double v;
                int decimals;
                const char *text;
        } list[] = {
                { 0, -1, "0.0" },
                { -0.0, -1, "0.0" },
                { 42, -1, "42.0" },
                { -42, -1, "-42.0" },
                { 21.37, -1, "21.37" },
                { 0.1, -1, "0.1" },
                { 0.1 + 0.2, -1, "0.3" },
                { 1.0 / 3, -1, "0.333333333333333" },
                { 2.718281828459045, -1, "2.718281828459045" },
                { M_PI * 1e5, -1, "314159.2653589793" },
                { 4.35, -1, "4.35" },
                { 0x1p-16, -1, "0.000015258789063" }, /* ...0625: half goes away from zero */
                { 1e-15, -1, "0.000000000000001" },
                { 4e-16, -1, "0.0" },
                { -4e-16, -1, "0.0" },
                { 1e-17, -1, "0.0" },
                { DBL_TRUE_MIN, -1, "0.0" },
                { DBL_MIN, -1, "0.0" },
                { 0.9999999999999999, -1, "1.0" },
                { 1e7, -1, "10000000.0" },
                { 1e9 + 0.5, -1, "1000000000.5" },
                { 123456789012345, -1, "123456789012345.0" },
                { 1e18, -1, "1000000000000000000.0" },
                { 9223372036854774784.0, -1, "9223372036854774784.0" },
                { -9223372036854774784.0, -1, "-9223372036854774784.0" },
                { 4503599627370495.5, -1, "4503599627370495.5" },
                { 2251799813685247.75, -1, "2251799813685247.8" },
                { 0.30000000000000004, -1, "0.3" },
                { 21.37, 1, "21.4" },
                { 21.37, 0, "21.0" },
                { 21.5, 0, "22.0" },
                { -21.5, 0, "-22.0" },
                { 2.675, 2, "2.68" }, /* the double is below; the decimal counts */
                { 1.005, 2, "1.01" },
                { 0.125, 2, "0.13" },
                { -0.125, 2, "-0.13" },
                { -0.004, 2, "0.0" },
                { 0.995, 2, "1.0" },
                { 999.9996, 3, "1000.0" },
                { 1.0 / 3, 3, "0.333" },
                { 2.0 / 3, 6, "0.666667" },
                { 100.0 / 3, 0, "33.0" },
                { 100.0 / 3, 15, "33.333333333333336" },
                { 100.0 / 3, 400, "33.333333333333336" },
                { 1e18, 3, "1000000000000000000.0" },
                { 7.10, 3, "7.1" },
        };
        static const double refused[] = { NAN, -NAN, INFINITY, -INFINITY, 0x1p63, -0x1p63, 1e19, -1e300, DBL_MAX };
        char out[NUMBER_TEXT_MAX];
        size_t n = 77;

        for (size_t i = 0; i < ELEMENTS(refused); i++)
                assert_int_equal(number_format_double(out, refused[i], -1, &n), -ERANGE);
        assert_int_equal(n, 77);
        for (size_t i = 0; i < ELEMENTS(list); i++) {
                assert_int_equal(number_format_double(out, list[i].v, list[i].decimals, &n), 0);
                out[n] = 0;
                assert_string_equal(out, list[i].text);
        }
}

/* ---- the server's rule */

typedef enum ServerType { SERVER_LONG, SERVER_DOUBLE, SERVER_STRING } ServerType;

/* Reads decimal text as Java's BigDecimal does: false when it is none. value = digits * 10^-scale. */
static bool big_decimal(const char *text, char digits[64], int *ret_scale, bool *ret_simple) {
        size_t n = 0;
        int scale = 0;
        bool dot = false, exponent = false;

        for (text += *text == '-'; *text; text++)
                if (*text == '.' && !dot)
                        dot = true;
                else if (*text == 'E') {
                        exponent = true;
                        scale -= atoi(text + 1);
                        break;
                } else if (*text >= '0' && *text <= '9' && n < 63) {
                        digits[n++] = *text;
                        scale += dot;
                } else
                        return false;
        digits[n] = 0;
        *ret_scale = scale;
        *ret_simple = dot && !exponent;
        return n > 0;
}

/* digits / 10^scale, known to be whole, as an int64. */
static bool to_long(const char *digits, int scale, bool negative, int64_t *ret) {
        unsigned __int128 v = 0;
        int n = (int)strlen(digits) - scale;

        for (int i = 0; i < n; i++) {
                v = v * 10 + (i < (int)strlen(digits) ? (unsigned)(digits[i] - '0') : 0);
                if (v > (unsigned __int128)INT64_MAX + negative)
                        return false;
        }
        *ret = negative ? (int64_t)-(uint64_t)v : (int64_t)v;
        return true;
}

/* One pass: LONG when whole and not "a dot without an exponent", else DOUBLE up to scale 16, else STRING. */
static ServerType server_type(const char *text, int64_t *ret_long, double *ret_double) {
        char digits[64];
        int scale;
        bool simple, whole = true;

        if (!big_decimal(text, digits, &scale, &simple))
                return SERVER_STRING;
        for (int i = 0; i < (int)strlen(digits); i++)
                if (digits[i] != '0' && i >= (int)strlen(digits) - scale)
                        whole = false;
        if (whole && !simple)
                return to_long(digits, scale, *text == '-', ret_long) ? SERVER_LONG : SERVER_STRING;
        *ret_double = strtod(text, NULL) + 0.0; /* BigDecimal knows no -0 */
        return scale <= 16 ? SERVER_DOUBLE : SERVER_STRING;
}

/* Double.toString(): plain from 10^-3 below 10^7, else d.dddE±n; the shortest digits that tell v from others. */
static void java_text(char out[64], double v) {
        char text[40], digits[24] = "";
        double a = fabs(v);
        int exponent, n;

        for (int precision = 14; precision <= 16; precision++) {
                snprintf(text, sizeof(text), "%.*e", precision, a);
                if (strtod(text, NULL) == a)
                        break;
        }
        exponent = atoi(strchr(text, 'e') + 1);
        digits[0] = text[0];
        n = 1 + (int)strcspn(text + 2, "e");
        memcpy(digits + 1, text + 2, (size_t)n - 1);
        while (n > 1 && digits[n - 1] == '0')
                digits[--n] = 0;

        if (a != 0 && (a < 1e-3 || a >= 1e7))
                snprintf(out, 64, "%s%c.%sE%d", v < 0 ? "-" : "", digits[0], n > 1 ? digits + 1 : "0", exponent);
        else if (exponent < 0)
                snprintf(out, 64, "%s0.%.*s%s", v < 0 ? "-" : "", -exponent - 1, "00", digits);
        else if (n <= exponent + 1)
                snprintf(out, 64, "%s%s%.*s.0", v < 0 ? "-" : "", digits, exponent + 1 - n, "0000000");
        else
                snprintf(out, 64, "%s%.*s.%s", v < 0 ? "-" : "", exponent + 1, digits, digits + exponent + 1);
}

/* Both passes: what the server stores for a number sent as text. */
static ServerType server_stores(const char *text, int64_t *ret_long, double *ret_double) {
        char second[64];
        ServerType type = server_type(text, ret_long, ret_double);

        if (type != SERVER_DOUBLE)
                return type;
        java_text(second, *ret_double);
        return server_type(second, ret_long, ret_double);
}

/* The rows of THINGSBOARD.md 3.2, seen on a real server: the rule above is that server's. */
static void test_server_rule(_unused_ void **state) {
        static const struct {
                const char *text;
                ServerType type;
        } list[] = {
                { "1", SERVER_LONG },
                { "-0", SERVER_LONG },
                { "1E3", SERVER_LONG },
                { "1.5E1", SERVER_LONG },
                { "1E18", SERVER_LONG },
                { "1.0", SERVER_DOUBLE },
                { "21.37", SERVER_DOUBLE },
                { "2.718281828459045", SERVER_DOUBLE },
                { "10000000.0", SERVER_LONG },
                { "123456789012345.0", SERVER_LONG },
                { "9007199254740993", SERVER_LONG },
                { "9223372036854775807", SERVER_LONG },
                { "-9223372036854775808", SERVER_LONG },
                { "9223372036854775808", SERVER_STRING },
                { "1E19", SERVER_STRING },
                { "100000000000000000000.0", SERVER_STRING },
                { "0.30000000000000004", SERVER_STRING },
                { "3.14159265358979323846", SERVER_STRING },
                { "1E-17", SERVER_STRING },
                { "1.0E-16", SERVER_STRING },
                { "0.0000000000000001", SERVER_STRING },
                { "0.000000000000001", SERVER_DOUBLE },
                { "NaN", SERVER_STRING },
                { "-0.0", SERVER_DOUBLE },
                { "01", SERVER_LONG },
                { "1.00000000000000000000", SERVER_STRING },
        };
        static const struct {
                double v;
                const char *text;
        } java[] = {
                { 1e7, "1.0E7" },
                { 9999999, "9999999.0" },
                { 1e-3, "0.001" },
                { 9.99e-4, "9.99E-4" },
                { 1e-4, "1.0E-4" },
                { 0.05, "0.05" },
                { 123456.75, "123456.75" },
                { 0, "0.0" },
                { -12345678, "-1.2345678E7" },
                { 100, "100.0" },
                { -0.5, "-0.5" },
                { 9223372036854774784.0, "9.223372036854775E18" },
        };
        char text[64];
        int64_t l;
        double d;

        for (size_t i = 0; i < ELEMENTS(list); i++)
                if (server_stores(list[i].text, &l, &d) != list[i].type)
                        fail_msg("%s", list[i].text);
        for (size_t i = 0; i < ELEMENTS(java); i++) {
                java_text(text, java[i].v);
                assert_string_equal(text, java[i].text);
        }
}

/* ---- the property */

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t random_bits(void) { /* xorshift64* */
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        return seed * 0x2545f4914f6cdd1du;
}

static double from_bits(uint64_t bits) {
        double v;

        memcpy(&v, &bits, sizeof(v));
        return v;
}

static void assert_form(const char *text, size_t n) {
        size_t whole = strspn(text + (*text == '-'), "0123456789") + (*text == '-');

        if (text[whole] != '.' || strspn(text + whole + 1, "0123456789") != n - whole - 1 || n - whole - 1 < 1 ||
            n - whole - 1 > 15)
                fail_msg("form: %s", text);
        if (n - whole - 1 > 1 && text[n - 1] == '0')
                fail_msg("not the shortest: %s", text);
}

/* Half way between two decimals of 15 digits: printf() takes the even one, we the larger. */
static bool is_tie(double v) {
        char text[64];

        snprintf(text, sizeof(text), "%.30f", v);
        return streq(strchr(text, '.') + 1 + 15, "500000000000000");
}

static void assert_number(double v) {
        char out[NUMBER_TEXT_MAX], exact[NUMBER_TEXT_MAX];
        size_t n;
        int64_t l = 0;
        double back = 0;
        int r = number_format_double(out, v, -1, &n);
        ServerType type;

        if (!(fabs(v) < 0x1p63)) {
                assert_int_equal(r, -ERANGE);
                return;
        }
        assert_int_equal(r, 0);
        out[n] = 0;
        assert_form(out, n);
        type = server_stores(out, &l, &back);
        if (type == SERVER_STRING)
                fail_msg("%a is STRING: %s", v, out);
        if (type == SERVER_LONG)
                back = (double)l;

        snprintf(exact, sizeof(exact), "%.15f", v);
        if (strtod(exact, NULL) != v) { /* 15 digits don't do: the nearest such decimal, or the next in a tie */
                if (fabs(v) > 10 || (strtod(exact, NULL) != strtod(out, NULL) && !is_tie(v)))
                        fail_msg("%a: %s, not %s", v, out, exact);
                if (fabs(back - v) > 0.5e-15 + fabs(v) * DBL_EPSILON)
                        fail_msg("%a came back as %a", v, back);
                return;
        }
        if (back != v)
                fail_msg("%a: %s came back as %a", v, out, back);
        n = strlen(strchr(out, '.') + 1) - 1;
        snprintf(exact, sizeof(exact), "%.*f", (int)n, v);
        if (n > 0 && strtod(exact, NULL) == v)
                fail_msg("%s does as well as %s", exact, out);
}

static void assert_around(double v) {
        assert_number(v);
        assert_number(-v);
        assert_number(nextafter(v, INFINITY));
        assert_number(nextafter(v, 0));
        assert_number(nextafter(nextafter(v, 0), 0));
}

static void test_special_numbers(_unused_ void **state) {
        for (int e = -1074; e <= 1023; e++)
                assert_around(ldexp(1, e));
        for (int e = -320; e <= 308; e++)
                for (int m = 1; m < 10; m++) {
                        char text[32];

                        snprintf(text, sizeof(text), "%de%d", m, e);
                        assert_around(strtod(text, NULL));
                }
        for (int i = -2000; i <= 2000; i++)
                for (double unit = 1; unit <= 1e6; unit *= 10)
                        assert_number(i / unit);
        assert_around(DBL_MAX);
        assert_around(0x1p63);
        assert_number(NAN);
        assert_number(INFINITY);
}

/* A million of any bit pattern, then as many where the hard cases are: full mantissas between 2^-55 and 2^63,
 * and decimals of 1 to 17 digits. */
static void test_random_numbers(_unused_ void **state) {
        for (int i = 0; i < 1000000; i++)
                assert_number(from_bits(random_bits()));
        for (int i = 0; i < 250000; i++) {
                uint64_t bits = random_bits();
                uint64_t exponent = 1023 - 55 + (bits >> 52 & 0x7ff) % 118;

                assert_number(from_bits((bits & 0x800fffffffffffffu) | exponent << 52));
        }
        for (int i = 0; i < 250000; i++) {
                uint64_t bits = random_bits();
                int digits = 1 + (int)(bits & 15), scale = (int)(bits >> 4 & 15);

                assert_number((double)(random_bits() % (uint64_t)pow(10, digits + 1)) / pow(10, scale));
        }
}

/* With decimals: what is written is a decimal of so many digits, as near to v as it can be. */
static void test_random_rounding(_unused_ void **state) {
        char out[NUMBER_TEXT_MAX];
        size_t n;

        for (int i = 0; i < 200000; i++) {
                uint64_t bits = random_bits();
                int decimals = (int)(bits & 15) % 10;
                double v = ((double)(bits >> 11) * 0x1p-53 - 0.5) * pow(10, (int)(bits >> 4 & 7));

                assert_int_equal(number_format_double(out, v, decimals, &n), 0);
                out[n] = 0;
                assert_form(out, n);
                assert_true((int)(n - strcspn(out, ".") - 1) <= MAX(decimals, 1));
                if (fabs(strtod(out, NULL) - v) > 0.5 * pow(10, -decimals) * (1 + 1e-12) + fabs(v) * 4 * DBL_EPSILON)
                        fail_msg("%.17g with %d decimals: %s", v, decimals, out);
        }
}

/* ---- strings */

static void assert_quoted(const char *text, size_t size, const char *want) {
        char out[512];
        size_t n = json_quote(out, text, size);

        assert_true(n <= 6 * size + 2);
        out[n] = 0;
        assert_string_equal(out, want);
}

static void test_quote(_unused_ void **state) {
        assert_quoted("", 0, "\"\"");
        assert_quoted("plain text", 10, "\"plain text\"");
        assert_quoted("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
        assert_quoted("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
        assert_quoted("\x01\x1f\x7f", 3, "\"\\u0001\\u001f\x7f\"");
        assert_quoted("x\0y", 3, "\"xy\"");
        assert_quoted("\0", 1, "\"\"");
        assert_quoted("\xd1\x82\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xd1\x82\xe2\x82\xac\xf0\x9f\x98\x80\"");
        assert_quoted("\xef\xbf\xbf", 3, "\"\xef\xbf\xbf\""); /* U+FFFF is a character to UTF-8 */
}

#define BAD "\xef\xbf\xbd"

static void test_quote_repairs(_unused_ void **state) {
        assert_quoted("a\xff" "b", 3, "\"a" BAD "b\"");
        assert_quoted("\x80", 1, "\"" BAD "\"");
        assert_quoted("\xc0\x80", 2, "\"" BAD BAD "\"");         /* overlong NUL */
        assert_quoted("\xe0\x80\xaf", 3, "\"" BAD BAD BAD "\"");  /* overlong slash */
        assert_quoted("\xed\xa0\x80", 3, "\"" BAD BAD BAD "\"");  /* surrogate */
        assert_quoted("\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\"");
        assert_quoted("\xe2\x82", 2, "\"" BAD BAD "\"");          /* cut off */
        assert_quoted("\xe2\x82\"", 3, "\"" BAD BAD "\\\"\"");    /* the quote is not swallowed */
        assert_quoted("\xf0\x9f\x98", 3, "\"" BAD BAD BAD "\"");
}

static void test_utf8_whole_range(_unused_ void **state) {
        char out[4];
        uint32_t back;

        for (uint32_t c = 0; c <= 0x10ffff; c++) {
                size_t n = utf8_encode(out, c);

                if (c >= 0xd800 && c <= 0xdfff) {
                        assert_int_equal(utf8_decode(out, n, &back), 0);
                        continue;
                }
                if (utf8_decode(out, n, &back) != n || back != c || utf8_decode(out, n - 1, &back) != 0)
                        fail_msg("U+%04x", c);
        }
}

/* The fast scan agrees with the plain definition wherever the special byte stands. */
static void test_plain(_unused_ void **state) {
        char text[24];

        for (size_t at = 0; at < sizeof(text); at++)
                for (int c = 0; c < 256; c++) {
                        bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

                        memset(text, c & 1 ? '!' : '#', sizeof(text));
                        text[at] = (char)c;
                        assert_int_equal(json_plain(text, sizeof(text)), plain ? sizeof(text) : at);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_key_names),
                cmocka_unit_test(test_key_length),
                cmocka_unit_test(test_key_why),
                cmocka_unit_test(test_int),
                cmocka_unit_test(test_double),
                cmocka_unit_test(test_server_rule),
                cmocka_unit_test(test_special_numbers),
                cmocka_unit_test(test_random_numbers),
                cmocka_unit_test(test_random_rounding),
                cmocka_unit_test(test_quote),
                cmocka_unit_test(test_quote_repairs),
                cmocka_unit_test(test_utf8_whole_range),
                cmocka_unit_test(test_plain),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
