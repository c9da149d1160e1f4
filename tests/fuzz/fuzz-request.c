/* SPDX-License-Identifier: Apache-2.0 */
/* Any body of a request: it is refused with a code, or taken apart into a method and params that are JSON; put together
 * again they are the same request. */
#include <stdio.h>
#include <stdlib.h>

#include "model/json.h"
#include "model/value.h"
#include "tb/request.h"

static void expect_json(const char *text) {
        if (!text || json_validate(text, strlen(text)) < 0)
                abort();
}

static void check_again(const Request *r) {
        _cleanup_(request_done) Request again = { 0 };
        _cleanup_(freep) char *method = json_string(r->method), *text = NULL;
        RequestError error;

        if (!method || asprintf(&text, "{\"params\":%s,\"method\":%s}", r->params, method) < 0)
                abort();
        if (request_parse(text, strlen(text), &again, &error) < 0 || again.hash != r->hash || again.expires_ms != r->expires_ms ||
            !streq(again.method, r->method) || !streq(again.params, r->params))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(request_done) Request r = { 0 };
        _cleanup_(freep) char *plain = NULL, *text = NULL, *answer = NULL;
        RequestError error = { 0 };
        int e = request_parse((const char *)data, size, &r, &error);

        if (e < 0) {
                if (e != -EBADMSG || r.method || r.params || !error.code)
                        abort();
                answer = request_error(error.code, error.message);
                expect_json(answer);
                return 0;
        }
        if (json_validate((const char *)data, size) < 0 || r.method[0] == '\0' || strlen(r.method) > REQUEST_METHOD_MAX)
                abort();
        expect_json(r.params);
        plain = request_params(r.params, false);
        expect_json(plain);
        text = request_params(r.params, true);
        if (!text || !streq(text, r.params))
                abort();
        answer = request_error(r.method, r.params);
        expect_json(answer);
        check_again(&r);
        return 0;
}
