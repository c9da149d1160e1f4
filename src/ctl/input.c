/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "ctl/input.h"
#include "model/json.h"

static int parse(const char *text, int flags, json_object **ret, size_t *ret_at) {
        struct json_tokener *t = json_tokener_new();
        json_object *o;
        enum json_tokener_error e;

        if (!t)
                return -ENOMEM;
        json_tokener_set_flags(t, flags);
        o = json_tokener_parse_ex(t, text, (int)MIN(strlen(text) + 1, (size_t)INT32_MAX)); /* with NUL: a number ends there */
        e = json_tokener_get_error(t);
        *ret_at = json_tokener_get_parse_end(t) + 1;
        json_tokener_free(t);
        if (e != json_tokener_success) {
                json_object_put(o);
                return -EBADMSG;
        }
        *ret = o;
        return 0;
}

/* json-c 0.18, where char is signed, takes all text that is not ASCII for control characters, when strict (json-c#875). */
int input_json(const char *text, json_object **ret, size_t *ret_at) {
        int r = parse(text, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8, ret, ret_at);

        if (r == -EBADMSG && json_validate(text, strlen(text)) == 0)
                r = parse(text, JSON_TOKENER_VALIDATE_UTF8, ret, ret_at);
        return r;
}

/* json-c takes NaN and Infinity, which are not JSON. */
static bool is_json(const char *text) {
        _cleanup_(json_putp) json_object *o = NULL;
        size_t at;

        if (input_json(text, &o, &at) < 0)
                return false;
        return !json_object_is_type(o, json_type_double) || isfinite(json_object_get_double(o));
}

static void write_text(FILE *f, const char *text, size_t size) {
        json_object *o = json_object_new_string_len(text, (int)size);

        fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), f);
        json_object_put(o);
}

int input_pairs(char **arguments, size_t n, char **ret, const char **ret_wrong) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        int r = 0;

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *equals = strchr(arguments[i], '=');

                if (!equals || equals == arguments[i]) {
                        *ret_wrong = arguments[i];
                        r = -EINVAL;
                        break;
                }
                fputc(i == 0 ? '{' : ',', f);
                write_text(f, arguments[i], (size_t)(equals - arguments[i]));
                fputc(':', f);
                if (is_json(equals + 1))
                        fputs(equals + 1, f);
                else
                        write_text(f, equals + 1, strlen(equals + 1));
        }
        fputc('}', f);
        if (fclose(f) != 0 && r == 0)
                r = -ENOMEM;
        if (r == 0)
                *ret = text;
        else
                free(text);
        return r;
}

static int read_line(char **ret) {
        _cleanup_(freep) char *line = NULL;
        size_t size = 0;
        ssize_t n = getline(&line, &size, stdin);

        if (n < 0)
                return feof(stdin) ? -ENODATA : -errno;
        line[strcspn(line, "\n")] = '\0';
        *ret = TAKE_PTR(line);
        return 0;
}

int input_secret(char *argument, char **ret) {
        if (streq(argument, "-"))
                return read_line(ret);
        *ret = strdup(argument);
        memset(argument, '*', strlen(argument));
        return *ret ? 0 : -ENOMEM;
}

int input_keys(const char *text, char ***ret, char **ret_storage) {
        _cleanup_(freep) char *storage = strdup(text ? text : "");
        _cleanup_(freep) char **list = NULL;
        char *p = storage;
        size_t n = 0;

        if (!storage)
                return -ENOMEM;
        list = calloc(strlen(storage) / 2 + 2, sizeof(*list)); /* a part and its comma take two bytes */
        if (!list)
                return -ENOMEM;
        while (text && p) {
                char *part = strsep(&p, ",");

                if (part[0] == '\0')
                        return -EINVAL;
                list[n++] = part;
        }
        *ret = TAKE_PTR(list);
        *ret_storage = TAKE_PTR(storage);
        return 0;
}
