/* SPDX-License-Identifier: Apache-2.0 */
/* What the server asks of the device: the body of an RPC taken apart, and the texts of answers. Pure; fuzzed. */
#pragma once

#include "base/macro.h"

#define REQUEST_METHOD_MAX 512
#define REQUEST_MESSAGE_MAX 512 /* of an error, for texts that are put together */

typedef struct Request {
        char *method;
        char *params; /* JSON text, "null" where there are none */
        uint64_t hash; /* of both */
        int64_t expires_ms; /* `expires` in params that are an object: not to be run after it; 0: none */
} Request;

typedef struct RequestError { /* static texts */
        const char *code, *message;
} RequestError;

/* -EBADMSG: *ret_error says why, for the answer; -ENOMEM. */
_must_check_ int request_parse(const char *json, size_t size, Request *ret, RequestError *ret_error);
void request_done(Request *r);

/* Params as a method wants them, owned by the caller: dashboards send JSON wrapped in text, which is taken as that JSON
 * unless the method wants text. NULL: no memory. */
char *request_params(const char *params, bool wants_text);

/* {"error":{"code":"..","message":".."}}, owned by the caller. NULL: no memory. */
char *request_error(const char *code, const char *message);
