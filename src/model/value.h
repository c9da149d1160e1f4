/* SPDX-License-Identifier: Apache-2.0 */
/* A typed value, the rules for telemetry keys, and numbers as text that the server takes for what they
 * are (THINGSBOARD.md 3.2, 3.3). Pure. */
#pragma once

#include "base/macro.h"

typedef enum ValueType { VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_STRING, VALUE_JSON } ValueType;

typedef struct Value {
        ValueType type;
        union {
                bool b;
                int64_t i;
                double d;
                struct {
                        const char *text; /* borrowed; need not end with NUL */
                        size_t size;
                } s; /* STRING: raw bytes; JSON: a JSON text */
        };
} Value;

#define VALUE_TEXT_MAX (4 * KIB)
#define KEY_UTF16_MAX 255
#define KEY_TEXT_MAX (3 * KEY_UTF16_MAX) /* bytes: a UTF-16 unit takes at most three in UTF-8 */
#define NUMBER_TEXT_MAX 352 /* room for every text that number_format_*() writes */

/* 0: fine; -EINVAL: blank, too long, not UTF-8, control characters, "ts", "values", HTML-like, {{..}}:
 * the server would drop the whole message. *ret_why (may be NULL) gets a static sentence to stand behind
 * the key: "is blank". */
_must_check_ int key_check(const char *key, size_t size, const char **ret_why);

size_t number_format_int(char out[static NUMBER_TEXT_MAX], int64_t v);
/* Plain decimals with a dot, no exponent, at most 15 fraction digits, the shortest that reads back as v
 * where 15 fraction digits suffice. decimals: -1 all, else rounded (half away from zero) to so many.
 * -ERANGE: not finite, or 2^63 and more in magnitude (the server would make it a STRING). */
_must_check_ int number_format_double(char out[static NUMBER_TEXT_MAX], double v, int decimals, size_t *ret_size);

/* Writes text as a JSON string with quotes; bytes that are no UTF-8 become U+FFFD, U+0000 is left out.
 * Size needed is at most 6 * size + 2. Returns the size written. */
size_t json_quote(char *out, const char *text, size_t size);
char *json_string(const char *text); /* the same, with NUL, owned by the caller; NULL: no memory */
/* The bytes at the front that stand in a JSON string as they are: ASCII from blank up, no quote, no backslash. */
size_t json_plain(const char *text, size_t size);
/* Length of the character at the front (1 to 4); 0: not UTF-8 (overlong, surrogate, cut off) or size is 0. */
size_t utf8_decode(const char *text, size_t size, uint32_t *ret_char);
/* Writes a character up to U+10FFFF in 1 to 4 bytes; returns how many. */
size_t utf8_encode(char out[static 4], uint32_t c);
