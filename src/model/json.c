/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the bytes without memory of its own. It is strict where the server is lenient, because
 * what the server makes of lenient input is not always one thing, and it keeps out what was seen to stop a
 * real server (THINGSBOARD.md 3.1, 3.2): deep nesting, numbers beyond a double, and exponents that it would
 * write out digit by digit. Recursion is bounded by the depth that the caller allows.
 *
 * Every scan function leaves the position behind what it took, or anywhere when it returns false. */
#include "model/json.h"
#include "model/value.h"

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int json_hex4(const char *p, size_t size) {
        int v = 0;

        if (size < 4)
                return -1;
        for (size_t i = 0; i < 4; i++) {
                int digit = hex_digit(p[i]);

                if (digit < 0)
                        return -1;
                v = v << 4 | digit;
        }
        return v;
}

static bool scan_escape(JsonScan *s) {
        if (s->p == s->end)
                return false;
        switch (*s->p++) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
                return true;
        case 'u':
                if (json_hex4(s->p, (size_t)(s->end - s->p)) < 0)
                        return false;
                s->p += 4;
                return true;
        default:
                return false;
        }
}

static bool scan_string(JsonScan *s, JsonText *ret) {
        const char *start;
        bool escaped = false;

        if (!json_skip(s, '"'))
                return false;
        start = s->p;
        for (;;) {
                uint32_t c;
                size_t n;

                s->p += json_plain(s->p, (size_t)(s->end - s->p));
                if (json_at(s, '"'))
                        break;
                if (json_skip(s, '\\')) {
                        escaped = true;
                        if (!scan_escape(s))
                                return false;
                        continue;
                }
                n = utf8_decode(s->p, (size_t)(s->end - s->p), &c);
                if (n < 2) /* control characters are single bytes */
                        return false;
                s->p += n;
        }
        *ret = (JsonText){ start, (size_t)(s->p - start), escaped };
        s->p++;
        return true;
}

static size_t scan_digits(JsonScan *s) {
        const char *start = s->p;

        while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
                s->p++;
        return (size_t)(s->p - start);
}

#define EXPONENT_MAX 999

/* Is the number in [p, end), whose exponent is given, finite as a double? Counted from the place of its
 * first digit that is not 0; where that is 10^308, its digits are held to the largest double's. */
static bool is_finite(const char *p, const char *end, size_t whole, int exponent) {
        static const char largest[] = "17976931348623158";
        char digits[sizeof(largest)] = "00000000000000000";
        size_t n = 0, before = 0;
        long place;

        for (; p < end && n < sizeof(digits) - 1; p++)
                if (*p == 'e' || *p == 'E')
                        break;
                else if (*p >= '0' && *p <= '9') {
                        if (n > 0 || *p != '0')
                                digits[n++] = *p;
                        else
                                before++;
                }
        if (n == 0)
                return true;
        place = (long)whole - 1 - (long)before + exponent;
        return place < 308 || (place == 308 && memcmp(digits, largest, sizeof(digits) - 1) < 0);
}

static bool scan_exponent(JsonScan *s, int *ret) {
        bool negative = json_at(s, '-');
        const char *start;
        int v = 0;

        if (!json_skip(s, '-'))
                json_skip(s, '+');
        start = s->p;
        if (scan_digits(s) == 0)
                return false;
        for (; start < s->p && v <= EXPONENT_MAX; start++)
                v = v * 10 + (*start - '0');
        *ret = negative ? -v : v;
        return v <= EXPONENT_MAX;
}

static bool scan_number(JsonScan *s) {
        const char *start;
        size_t whole;
        int exponent = 0;
        bool zero;

        json_skip(s, '-');
        start = s->p;
        zero = json_at(s, '0');
        whole = scan_digits(s);
        if (whole == 0 || (zero && whole > 1))
                return false;
        if (json_skip(s, '.') && scan_digits(s) == 0)
                return false;
        if ((json_skip(s, 'e') || json_skip(s, 'E')) && !scan_exponent(s, &exponent))
                return false;
        return (exponent <= 0 && whole <= 308) || is_finite(start, s->p, whole, exponent);
}

static bool scan_word(JsonScan *s, const char *word, size_t size) {
        if ((size_t)(s->end - s->p) < size || memcmp(s->p, word, size) != 0)
                return false;
        s->p += size;
        return true;
}

static bool scan_array(JsonScan *s, unsigned depth) {
        json_skip_blanks(s);
        if (json_skip(s, ']'))
                return true;
        for (;;) {
                json_skip_blanks(s);
                if (!json_scan_value(s, depth))
                        return false;
                json_skip_blanks(s);
                if (json_skip(s, ']'))
                        return true;
                if (!json_skip(s, ','))
                        return false;
        }
}

bool json_scan_name(JsonScan *s, JsonText *ret) {
        json_skip_blanks(s);
        if (!scan_string(s, ret))
                return false;
        json_skip_blanks(s);
        if (!json_skip(s, ':'))
                return false;
        json_skip_blanks(s);
        return true;
}

static bool scan_object(JsonScan *s, unsigned depth) {
        JsonText name;

        json_skip_blanks(s);
        if (json_skip(s, '}'))
                return true;
        for (;;) {
                if (!json_scan_name(s, &name) || !json_scan_value(s, depth))
                        return false;
                json_skip_blanks(s);
                if (json_skip(s, '}'))
                        return true;
                if (!json_skip(s, ','))
                        return false;
        }
}

bool json_scan_value(JsonScan *s, unsigned depth) {
        JsonText text;

        if (s->p == s->end)
                return false;
        switch (*s->p) {
        case '"':
                return scan_string(s, &text);
        case '{':
                s->p++;
                return depth > 0 && scan_object(s, depth - 1);
        case '[':
                s->p++;
                return depth > 0 && scan_array(s, depth - 1);
        case 't':
                return scan_word(s, "true", 4);
        case 'f':
                return scan_word(s, "false", 5);
        case 'n':
                return scan_word(s, "null", 4);
        default:
                return scan_number(s);
        }
}

bool json_scan_text(const char *text, size_t size, unsigned depth, bool *ret_null) {
        JsonScan s = { text, text + size };

        json_skip_blanks(&s);
        *ret_null = json_at(&s, 'n');
        if (!json_scan_value(&s, depth))
                return false;
        json_skip_blanks(&s);
        return s.p == s.end;
}

int json_validate(const char *text, size_t size) {
        bool null;

        return json_scan_text(text, size, JSON_DEPTH_MAX, &null) ? 0 : -EBADMSG;
}

static bool holds_nul(const JsonText *t) {
        const char *end = t->data + t->size;

        for (const char *p = t->data; t->escaped && (p = memchr(p, '\\', (size_t)(end - p))); p += 2)
                if (p[1] == 'u' && json_hex4(p + 2, (size_t)(end - p) - 2) == 0)
                        return true;
        return false;
}

/* A number that was validated: false: it is a whole one beyond 64 bits. */
static bool scan_within_64_bits(JsonScan *s) {
        const char *most = json_skip(s, '-') ? "9223372036854775808" : "18446744073709551615", *start = s->p;
        size_t n = scan_digits(s);

        if (!json_at(s, '.') && !json_at(s, 'e') && !json_at(s, 'E'))
                return n < strlen(most) || (n == strlen(most) && memcmp(start, most, n) <= 0);
        s->p = start;
        return scan_number(s);
}

int json_check_tree(const char *text, size_t size, size_t *ret_names) {
        JsonScan s = { text, text + size };
        JsonText name;
        size_t n = 0;

        while (s.p < s.end) {
                if (*s.p == '-' || (*s.p >= '0' && *s.p <= '9')) {
                        if (!scan_within_64_bits(&s))
                                return -EBADMSG;
                } else if (*s.p != '"')
                        s.p++;
                else if (!scan_string(&s, &name))
                        return -EBADMSG;
                else {
                        json_skip_blanks(&s);
                        if (json_at(&s, ':') && holds_nul(&name))
                                return -EBADMSG;
                        n += json_at(&s, ':');
                }
        }
        *ret_names = n;
        return 0;
}
