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

/* A name that stands twice makes one member of the tree, and takes the members below the first one with it. */
static size_t count_members(json_object *o) {
        json_object_iter i;
        size_t n = 0;

        if (json_object_is_type(o, json_type_array))
                for (size_t k = 0; k < json_object_array_length(o); k++)
                        n += count_members(json_object_array_get_idx(o, k));
        if (json_object_is_type(o, json_type_object)) {
                n += (size_t)json_object_object_length(o);
                json_object_object_foreachC(o, i)
                        n += count_members(i.val);
        }
        return n;
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
        size_t names;
        int r;

        if (!json)
                return fail(ret_error, "too_large", "the request is larger than 64 KiB");
        r = tree_parse(json, size, &o);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return fail(ret_error, "bad_request", "the request is not JSON that can be taken: text that is not UTF-8, a "
                                                      "number beyond all bounds, or more than 32 levels");
        if (json_check_tree(json, size, &names) < 0 || names != count_members(o))
                return fail(ret_error, "bad_request", "a name stands twice in the request");
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
