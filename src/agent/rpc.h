/* SPDX-License-Identifier: Apache-2.0 */
/* The server's requests on their way to a method and back: each is run at most once and answered once, with a valid JSON
 * text, within a bound of time (DESIGN.md 7). Main thread only. */
#pragma once

#include "agent/methods.h"
#include "base/loop.h"

typedef struct Rpc Rpc;

#define RPC_DEADLINE (8 * USEC_PER_SEC) /* the server's own callers wait 10 s */

typedef struct RpcParams {
        Loop *loop;
        const char *path;       /* of the file that survives the process; NULL: none */
        const Methods *methods; /* borrowed */
        const Setting *(*aliases)(void *userdata); /* the configuration's; may return NULL */
        /* client_reply(); delivered by rpc_delivered() with the token */
        int (*reply)(void *userdata, uint32_t id, const char *json, size_t size, uint64_t token);
        /* Runs a method of an instance: rpc_answer() or rpc_fail() of the token follow. -ENOTCONN, -EAGAIN. */
        int (*run)(void *userdata, const Method *method, uint64_t token, const char *params);
        /* A method of the daemon itself ("ping" of "agent.ping"): its reply, owned by the caller; NULL: *ret_code and *ret_text
         * say why not, and code NULL means that there is no such method. */
        char *(*builtin)(void *userdata, const char *name, const char *params, const char **ret_code, const char **ret_text);
        /* An instance that the method may belong to and that has not told its methods yet; NULL: there is none. */
        const char *(*unready)(void *userdata, const char *method);
        int64_t (*now_ms)(void *userdata); /* of the server's clock; 0: not known */
        void (*log)(void *userdata, const char *text); /* rate limited by the caller */
        void *userdata;
} RpcParams;

/* *ret_file: what became of the file, 0 or -errno. */
_must_check_ int rpc_new(Rpc **ret, const RpcParams *params, int *ret_file);
Rpc *rpc_free(Rpc *r);
DEFINE_CLEANUP(Rpc *, rpc_free)

/* From the server: json NULL is too large. */
void rpc_request(Rpc *r, uint32_t id, const char *json, size_t size);
/* From an instance. A token that does not run any more came too late: nothing happens. */
void rpc_answer(Rpc *r, uint64_t token, const char *json);
void rpc_fail(Rpc *r, uint64_t token, const char *code, const char *message);
/* The process of an instance has ended: what it was to answer fails. */
void rpc_instance_gone(Rpc *r, const char *instance, const char *why);
/* From the client: 0 the reply is acknowledged; < 0: lost, the server asks again. */
void rpc_delivered(Rpc *r, uint64_t token, int code);
void rpc_offline(Rpc *r);
