/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text looked through in place, without a tree: is it valid, and where are its parts. Pure; fuzzed. */
#pragma once

#include "base/macro.h"

#define JSON_DEPTH_MAX 32

/* Any one JSON text (for emit_json, RPC replies). -EBADMSG: not valid: not strict JSON, not UTF-8, deeper than
 * JSON_DEPTH_MAX, or a number that is not finite as a double or has an exponent beyond +-999. */
_must_check_ int json_validate(const char *text, size_t size);
/* Does a text that json_validate() took say the same to a parser that ends names with NUL and whole numbers at 64 bits, as json-c
 * does? -EBADMSG: no. *ret_names: members at all levels. */
_must_check_ int json_check_tree(const char *text, size_t size, size_t *ret_names);

typedef struct JsonScan {
        const char *p; /* next byte */
        const char *end;
} JsonScan;

typedef struct JsonText { /* a string of the input without its quotes, escapes not decoded */
        const char *data;
        size_t size;
        bool escaped;
} JsonText;

static inline bool json_at(const JsonScan *s, char c) {
        return s->p < s->end && *s->p == c;
}

static inline bool json_skip(JsonScan *s, char c) {
        if (!json_at(s, c))
                return false;
        s->p++;
        return true;
}

static inline void json_skip_blanks(JsonScan *s) {
        while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
                s->p++;
}

/* One value, with at most `depth` objects and arrays inside each other. */
bool json_scan_value(JsonScan *s, unsigned depth);
/* A name and the colon behind it; the value comes next. */
bool json_scan_name(JsonScan *s, JsonText *ret);
/* One JSON text from first byte to last. *ret_null: it is null. */
bool json_scan_text(const char *text, size_t size, unsigned depth, bool *ret_null);
/* The four digits of an escape \uXXXX; -1: not there. */
int json_hex4(const char *p, size_t size);
