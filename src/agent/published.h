/* SPDX-License-Identifier: Apache-2.0 */
/* Client attributes: what the server should have, and sending it what it has not. Nothing is kept on the disk: after a
 * connect the server says what it has, and only what differs is sent. Main thread only. */
#pragma once

#include "base/loop.h"

typedef struct Published Published;

#define PUBLISHED_MAX 4096
#define PUBLISHED_VALUE_MAX (16 * KIB)

struct json_object;

typedef struct PublishedParams {
        Loop *loop;
        /* client_publish_attributes() */
        int (*publish)(void *userdata, const char *json, size_t size, uint64_t context);
        usec_t (*take)(void *userdata, uint32_t *points); /* uplink_take() */
        void *userdata;
} PublishedParams;

_must_check_ int published_new(Published **ret, const PublishedParams *params);
Published *published_free(Published *p);
DEFINE_CLEANUP(Published *, published_free)

/* json: the value. -EINVAL: not a key, or not JSON; null is none; -E2BIG: larger than 16 KiB, or too many; -ENOMEM. */
_must_check_ int published_set(Published *p, const char *key, const char *json);
/* Each member of an object. The first failure, all others are taken. */
_must_check_ int published_set_all(Published *p, const char *json, size_t size);
/* It has no value any more. No device can take an attribute from the server: where the server has it, it becomes an
 * empty text. */
_must_check_ int published_clear(Published *p, const char *key);

/* The server has said what it has; NULL: nothing. */
void published_compare(Published *p, struct json_object *client);
void published_online(Published *p);
void published_offline(Published *p);
/* An answer to publish(): as in SessionEvents. */
void published_delivered(Published *p, uint64_t context, int code);

/* The value that the server should have, as JSON; NULL: none. Borrowed. */
const char *published_get(const Published *p, const char *key);
