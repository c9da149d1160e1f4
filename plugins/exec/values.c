/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line is one JSON object, {"key": value, ...}, or {"ts": milliseconds, "values": {...}} where the command
 * knows the time better.
 *
 * Lines without a time of their own have the time they were read at. Those that arrive together share a row as
 * long as no key comes twice, because a row of many values costs a fraction of as many rows: in the host, on the
 * wire and at the server. Which keys the open row has is remembered as 64-bit hashes; one collision too many only
 * ends a row early.
 *
 * Numbers with a fraction or an exponent are doubles, others int64; integers beyond that go to the host as
 * doubles, which it refuses and counts. null says that a value could not be read. Objects and arrays stay JSON.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json_object.h>
#include <json-c/json_tokener.h>
#include <json-c/linkhash.h>

#include "values.h"

#define ROW_KEYS 64
#define KEY_SIZE 1100                   /* 255 UTF-16 units are at most 765 bytes; longer ones are the host's to refuse */
#define TS_MIN   INT64_C(100000000000)  /* 1973; seconds in place of milliseconds are below it until the year 5138 */
#define TS_MAX   INT64_C(4102444800000) /* 2100 */

struct Values {
        struct tbagent_host *host;
        const char *key, *prefix;
        json_tokener *tokener;
        uint64_t row[ROW_KEYS]; /* hashes of the keys in the open row */
        size_t n_row;
        const char *line; /* the one that is being emitted */
        size_t n_good, n_bad;
        bool bad_told;
};

int values_new(Values **ret, struct tbagent_host *host, const char *key, const char *prefix) {
        Values *v;

        v = calloc(1, sizeof(*v));
        if (!v)
                return -ENOMEM;
        *v = (Values){.host = host, .key = key, .prefix = prefix, .tokener = json_tokener_new()};
        if (!v->tokener) {
                free(v);
                return -ENOMEM;
        }
        *ret = v;
        return 0;
}

Values *values_free(Values *v) {
        if (v)
                json_tokener_free(v->tokener);
        free(v);
        return NULL;
}

static void bad_line(Values *v, const char *line, size_t size, const char *why) {
        char text[200], start[61];
        size_t n = size < sizeof(start) - 1 ? size : sizeof(start) - 1;

        v->n_bad++;
        if (v->bad_told)
                return;
        v->bad_told = true;
        for (size_t i = 0; i < n; i++)
                start[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
        start[n] = 0;
        snprintf(text, sizeof(text), "a line of its output %s: %s%s", why, start, n < size ? "..." : "");
        tbagent_log(v->host, TBAGENT_WARNING, text);
}

void values_flush(Values *v) {
        if (v->n_row > 0)
                tbagent_row_end(v->host, 0);
        v->n_row = 0;
}

/* FNV-1a */
static uint64_t key_hash(const char *key) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *key; key++)
                h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
        return h;
}

/* Notes a key of the open row. False: the row has it, or is full. */
static bool row_takes(Values *v, const char *key) {
        uint64_t h = key_hash(key);

        if (v->n_row == ROW_KEYS)
                return false;
        for (size_t i = 0; i < v->n_row; i++)
                if (v->row[i] == h)
                        return false;
        v->row[v->n_row++] = h;
        return true;
}

/* Makes the open row take all keys of the object, or ends it: values of one line stay together. */
static void row_prepare(Values *v, json_object *object) {
        size_t before = v->n_row;

        json_object_object_foreach(object, key, value) {
                (void)value;
                if (row_takes(v, key))
                        continue;
                v->n_row = before;
                values_flush(v);
                break;
        }
        if (v->n_row > 0)
                return;
        json_object_object_foreach(object, again, ignored) {
                (void)ignored;
                row_takes(v, again);
        }
}

/* json-c makes an integer beyond its range the nearest one it has. Did the line say that one? */
static bool saturated(const Values *v, const char *text, const char *limit) {
        return strstr(text, limit) && !strstr(v->line, limit);
}

#define LOWEST  "-9223372036854775808"
#define HIGHEST "18446744073709551615"

static void integer_emit(Values *v, const char *key, json_object *value) {
        uint64_t positive = json_object_get_uint64(value);
        int64_t n = json_object_get_int64(value);

        if (positive > INT64_MAX)
                tbagent_emit_double(v->host, key, (double)positive);
        else if (n == INT64_MIN && saturated(v, LOWEST, LOWEST))
                tbagent_emit_double(v->host, key, -1e19);
        else
                tbagent_emit_int(v->host, key, n);
}

static void json_emit(Values *v, const char *key, json_object *value) {
        const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

        if (saturated(v, text, LOWEST) || saturated(v, text, HIGHEST))
                tbagent_emit_bad(v->host, key, "it has an integer of more than 64 bits");
        else
                tbagent_emit_json(v->host, key, text);
}

static void value_emit(Values *v, const char *key, json_object *value) {
        struct tbagent_host *host = v->host;
        char prefixed[KEY_SIZE];

        if (v->prefix) {
                snprintf(prefixed, sizeof(prefixed), "%s%s", v->prefix, key);
                key = prefixed;
        }
        switch (json_object_get_type(value)) {
        case json_type_null:
                tbagent_emit_bad(host, key, "the command could not read it (null)");
                break;
        case json_type_boolean:
                tbagent_emit_bool(host, key, json_object_get_boolean(value));
                break;
        case json_type_double:
                tbagent_emit_double(host, key, json_object_get_double(value));
                break;
        case json_type_int:
                integer_emit(v, key, value);
                break;
        case json_type_string:
                tbagent_emit_string(host, key, json_object_get_string(value));
                break;
        case json_type_object:
        case json_type_array:
                json_emit(v, key, value);
                break;
        }
}

static void object_emit(Values *v, json_object *object) {
        json_object_object_foreach(object, key, value) {
                value_emit(v, key, value);
        }
}

/* The wall clock's time as CLOCK_BOOTTIME, which is what rows have: the middle of that millisecond, because between the two
 * the daemon has an offset that is rounded to one. */
static int64_t boottime_of(struct tbagent_host *host, int64_t ts) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return tbagent_now(host) + (ts - now.tv_sec * 1000) * 1000000 - now.tv_nsec + 500000;
}

static const char *timed_emit(Values *v, json_object *ts, json_object *values) {
        int64_t milliseconds;

        if (!json_object_is_type(ts, json_type_int) && !json_object_is_type(ts, json_type_double))
                return "has a ts that is no number";
        milliseconds = json_object_get_int64(ts);
        if (milliseconds < TS_MIN || milliseconds > TS_MAX)
                return "has a ts that is not in milliseconds since 1970";
        values_flush(v);
        tbagent_row_time(v->host, boottime_of(v->host, milliseconds));
        object_emit(v, values);
        tbagent_row_end(v->host, 0);
        return NULL;
}

/* NULL: done; else what is wrong with the line. */
static const char *line_emit(Values *v, json_object *line) {
        json_object *ts, *values;

        if (json_object_is_type(line, json_type_object)) {
                if (json_object_object_get_ex(line, "ts", &ts) && json_object_object_get_ex(line, "values", &values) &&
                    json_object_is_type(values, json_type_object))
                        return timed_emit(v, ts, values);
                row_prepare(v, line);
                object_emit(v, line);
                return NULL;
        }
        if (!v->key || json_object_is_type(line, json_type_array))
                return v->key ? "is neither a JSON object nor a value" : "is no JSON object";
        if (!row_takes(v, v->key)) {
                values_flush(v);
                row_takes(v, v->key);
        }
        value_emit(v, v->key, line);
        return NULL;
}

/* With its NUL, which ends a bare number. NULL is also what null parses to. */
static json_object *parse_as(Values *v, const char *line, size_t size, int flags, bool *ret_good) {
        json_object *parsed;
        size_t end;

        json_tokener_set_flags(v->tokener, flags);
        json_tokener_reset(v->tokener);
        parsed = json_tokener_parse_ex(v->tokener, line, (int)size + 1);
        end = json_tokener_get_parse_end(v->tokener);
        /* Where it is lenient it takes anything behind the value. */
        *ret_good = json_tokener_get_error(v->tokener) == json_tokener_success &&
                    (end >= size || end + strspn(line + end, " \t\r") >= size);
        return parsed;
}

/* What json-c refuses only where it is strict, and with it the whole line. From 0.17 on: an integer beyond 64 bits; else that is
 * the nearest that fits, which integer_emit() tells from the text. 0.18: text that is not ASCII, where char is signed
 * (json-c#875). */
static bool is_too_strict(Values *v, const char *line) {
        enum json_tokener_error e = json_tokener_get_error(v->tokener);

        if (e == json_tokener_error_parse_string)
                while (*line && !(*line & 0x80))
                        line++;
        return e == json_tokener_error_parse_number || (e == json_tokener_error_parse_string && *line);
}

static json_object *parse(Values *v, const char *line, size_t size, bool *ret_good) {
        json_object *parsed = parse_as(v, line, size, JSON_TOKENER_STRICT, ret_good);

        if (*ret_good || !is_too_strict(v, line))
                return parsed;
        json_object_put(parsed);
        return parse_as(v, line, size, 0, ret_good);
}

void values_line(void *userdata, char *line, size_t size, bool whole) {
        const char *why = "is longer than 64 KiB";
        Values *v = userdata;
        json_object *parsed;
        bool good;

        if (whole) {
                if (line[strspn(line, " \t\r")] == 0 && strlen(line) == size)
                        return; /* blank */
                v->line = line;
                parsed = parse(v, line, size, &good);
                why = good ? line_emit(v, parsed) : "is no JSON";
                json_object_put(parsed);
        }
        if (why)
                bad_line(v, line, size, why);
        else
                v->n_good++;
}

void values_run_ended(Values *v, size_t *ret_good, size_t *ret_bad) {
        char text[80];

        values_flush(v);
        if (v->n_bad == 0)
                v->bad_told = false;
        else if (v->n_bad > 1) {
                snprintf(text, sizeof(text), "%zu lines of its output were bad", v->n_bad);
                tbagent_log(v->host, TBAGENT_INFO, text);
        }
        *ret_good = v->n_good;
        *ret_bad = v->n_bad;
        v->n_good = v->n_bad = 0;
}
