/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests of the server were taken lately, so that none is run twice: it sends one again, with the same id, on
 * every SUBSCRIBE until it has the reply, and its ids start again at 0 when its actor for the device is made anew
 * (THINGSBOARD.md 5). Survives the process in a file of the runtime directory. Main thread only. */
#pragma once

#include "base/loop.h"

typedef struct Redelivery Redelivery;

#define REDELIVERY_MAX 256u         /* requests remembered */
#define REDELIVERY_RUNNING_MAX 64u  /* without a reply at one time */
#define REDELIVERY_BYTES_MAX MIB    /* of replies kept */
#define REDELIVERY_KEEP (60 * USEC_PER_SEC) /* after its PUBACK a reply answers the same request for so long */

typedef enum Delivery {
        DELIVERY_NEW,     /* to be run; *ret_token is its own */
        DELIVERY_RUNNING, /* it runs already, or stays silent: nothing to do */
        DELIVERY_AGAIN,   /* to be answered with redelivery_reply() of *ret_token once more */
        DELIVERY_BUSY,    /* too many run */
} Delivery;

/* path NULL: nothing survives; nor where the file cannot be used, which is told as -errno in *ret_file. */
_must_check_ int redelivery_new(Redelivery **ret, Loop *loop, const char *path, int *ret_file);
Redelivery *redelivery_free(Redelivery *d);
DEFINE_CLEANUP(Redelivery *, redelivery_free)

/* hash: of method and params. A request that a former process was running, or whose reply is not kept any more, is
 * DELIVERY_AGAIN with `interrupted` as its reply; NULL: it stays silent. */
_must_check_ Delivery redelivery_take(Redelivery *d, uint32_t id, uint64_t hash, const char *interrupted, uint64_t *ret_token);
/* The reply is known: copied. NULL: it stays silent. -ENOENT: the token is not running. */
int redelivery_set_reply(Redelivery *d, uint64_t token, const char *json, size_t size);
/* NULL: silent, or not kept any more, or the id is another request's by now. *ret_id is where it goes. Borrowed. */
const char *redelivery_reply(const Redelivery *d, uint64_t token, uint32_t *ret_id, size_t *ret_size);
/* The reply is at the server. */
void redelivery_acked(Redelivery *d, uint64_t token);
