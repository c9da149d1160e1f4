/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stricter than the server, which never writes what is refused here: a name that stands twice in an object may
 * mean either value, so nothing is done.
 */
#include <stdio.h>
#include <xxhash.h>

#include "model/json.h"
#include "model/value.h"
#include "tb/request.h"
#include "tb/tree.h"

#define NAMES_MAX 1024 /* in one object */

/* ---- names that stand twice */

static bool value_is_single(JsonScan *s, unsigned depth);

static int by_text(const void *a, const void *b) {
        const JsonText *x = a, *y = b;
        int r = memcmp(x->data, y->data, MIN(x->size, y->size));

        return r != 0 ? r : (x->size > y->size) - (x->size < y->size);
}

static bool names_are_single(JsonText *names, size_t n) {
        qsort(names, n, sizeof(*names), by_text);
        for (size_t i = 1; i < n; i++)
                if (by_text(&names[i - 1], &names[i]) == 0)
                        return false;
        return true;
}

/* Behind its opening brace. Text was validated. */
static bool object_is_single(JsonScan *s, unsigned depth) {
        _cleanup_(freep) JsonText *names = NULL;
        size_t n = 0, size = 0;

        for (json_skip_blanks(s); !json_skip(s, '}'); json_skip_blanks(s)) {
                JsonText name;

                if (n == size) {
                        JsonText *bigger = n < NAMES_MAX ? reallocarray(names, size = MAX(2 * size, (size_t)8), sizeof(*names)) : NULL;

                        if (!bigger)
                                return false;
                        names = bigger;
                }
                if (!json_scan_name(s, &name) || !value_is_single(s, depth))
                        return false;
                names[n++] = name;
                json_skip_blanks(s);
                json_skip(s, ',');
                json_skip_blanks(s);
        }
        return n < 2 || names_are_single(names, n);
}

static bool array_is_single(JsonScan *s, unsigned depth) {
        for (json_skip_blanks(s); !json_skip(s, ']'); json_skip_blanks(s)) {
                if (!value_is_single(s, depth))
                        return false;
                json_skip_blanks(s);
                json_skip(s, ',');
        }
        return true;
}

static bool value_is_single(JsonScan *s, unsigned depth) {
        if (depth == 0)
                return false;
        json_skip_blanks(s);
        if (json_skip(s, '{'))
                return object_is_single(s, depth - 1);
        if (json_skip(s, '['))
                return array_is_single(s, depth - 1);
        return json_scan_value(s, depth);
}

/* ---- the body */

static int fail(RequestError *e, const char *code, const char *message) {
        *e = (RequestError){ code, message };
        return -EBADMSG;
}

static uint64_t hash_of(const Request *r) {
        uint64_t method = XXH3_64bits(r->method, strlen(r->method));

        return XXH3_64bits_withSeed(r->params, strlen(r->params), method);
}

static int take_apart(json_object *o, Request *ret) {
        json_object *params = tree_member(o, "params"), *expires = tree_member(params, "expires");
        size_t size;

        ret->method = strdup(json_object_get_string(tree_member(o, "method")));
        ret->params = tree_text(params, &size);
        if (!ret->method || !ret->params)
                return -ENOMEM;
        ret->hash = hash_of(ret);
        if (json_object_is_type(expires, json_type_int) || json_object_is_type(expires, json_type_double))
                ret->expires_ms = json_object_get_int64(expires);
        return 0;
}

int request_parse(const char *json, size_t size, Request *ret, RequestError *ret_error) {
        _cleanup_(tree_putp) json_object *o = NULL;
        _cleanup_(request_done) Request request = { 0 };
        json_object *method;
        int r;

        if (!json)
                return fail(ret_error, "too_large", "the request is larger than 64 KiB");
        r = tree_parse(json, size, &o);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return fail(ret_error, "bad_request", "the request is not JSON that can be taken: text that is not UTF-8, a number "
                                                      "that is not finite, or more than 32 levels");
        if (!value_is_single(&(JsonScan){ json, json + size }, JSON_DEPTH_MAX + 1))
                return fail(ret_error, "bad_request", "a name stands twice in the request, or one object has more than 1024");
        method = tree_member(o, "method");
        if (!json_object_is_type(method, json_type_string) || json_object_get_string_len(method) == 0 ||
            json_object_get_string_len(method) > REQUEST_METHOD_MAX ||
            strlen(json_object_get_string(method)) != (size_t)json_object_get_string_len(method))
                return fail(ret_error, "bad_request", "the request has no method");
        r = take_apart(o, &request);
        if (r < 0)
                return r;
        *ret = request;
        request = (Request){ 0 };
        return 0;
}

void request_done(Request *r) {
        free(r->method);
        free(r->params);
        *r = (Request){ 0 };
}

char *request_params(const char *params, bool wants_text) {
        _cleanup_(tree_putp) json_object *outer = NULL, *inner = NULL;
        const char *text;
        size_t size;

        if (wants_text || params[0] != '"' || tree_parse(params, strlen(params), &outer) < 0)
                return strdup(params);
        text = json_object_get_string(outer);
        size = (size_t)json_object_get_string_len(outer);
        if (size == 0 || tree_parse(text, size, &inner) < 0 || json_object_is_type(inner, json_type_string))
                return strdup(params);
        return tree_text(inner, &size);
}

char *request_error(const char *code, const char *message) {
        _cleanup_(freep) char *quoted_code = json_string(code), *quoted = json_string(message);
        char *text = NULL;

        if (!quoted || !quoted_code || asprintf(&text, "{\"error\":{\"code\":%s,\"message\":%s}}", quoted_code, quoted) < 0)
                return NULL;
        return text;
}
