/* SPDX-License-Identifier: Apache-2.0 */
/* The shared attributes of the device as the server has them, held to its state: by updates, and by asking for all
 * of them on each connect and after each burst of updates, because downlinks overtake each other (THINGSBOARD.md
 * 1.3, 4). Main thread only. */
#pragma once

#include "base/loop.h"
#include "model/value.h"

typedef struct Attributes Attributes;

#define ATTRIBUTES_MAX 4096            /* keys */
#define ATTRIBUTES_BYTES_MAX MIB /* keys and values together, as much as one answer can bring; each value at most TREE_TEXT_MAX */

typedef struct Attribute { /* borrowed until the next call */
        const char *key;
        const char *json; /* the value as JSON text */
        size_t json_size;
        Value value; /* VALUE_INT where it is a whole number of 64 bits; objects and arrays are VALUE_JSON */
} Attribute;

struct json_object;

typedef struct AttributesEvents {
        /* Asks the server for all attributes; attributes_answer() follows. < 0: not now, it is tried again. */
        int (*ask)(void *userdata);
        /* now NULL: the key is deleted. Not for what attributes_set() puts in. */
        void (*changed)(void *userdata, const char *key, const Attribute *now);
        /* All client attributes that the server has; NULL: none. Borrowed. */
        void (*client)(void *userdata, struct json_object *client);
        /* The state is the server's now: told once for each connection. */
        void (*synced)(void *userdata);
        /* Something is left out, or not understood: a sentence for the log. */
        void (*warning)(void *userdata, const char *text);
        void *userdata;
} AttributesEvents;

_must_check_ int attributes_new(Attributes **ret, Loop *loop, const AttributesEvents *events);
Attributes *attributes_free(Attributes *a);
DEFINE_CLEANUP(Attributes *, attributes_free)

/* Connected, the SUBSCRIBE has just been sent: the request goes right behind it. */
void attributes_online(Attributes *a);
void attributes_offline(Attributes *a);
/* json NULL: larger than is taken. */
void attributes_update(Attributes *a, const char *json, size_t size);
void attributes_answer(Attributes *a, int error, const char *json, size_t size);
bool attributes_are_synced(const Attributes *a);

/* What is kept from before, at the start. -EINVAL: a key that is empty or too long, or no value; -E2BIG: no room. */
_must_check_ int attributes_set(Attributes *a, const char *key, const char *json, size_t size);

size_t attributes_n(const Attributes *a);
const Attribute *attributes_at(const Attributes *a, size_t i); /* in order of their bytes */
const Attribute *attributes_get(const Attributes *a, const char *key); /* NULL: none */
size_t attributes_lower_bound(const Attributes *a, const char *key);   /* the first that is not before key */
