/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns which telemetry key: two instances may not emit the same one (DESIGN.md 3.3). Keys that the
 * configuration names are declared with file and line and conflict as a mistake in the file; all others
 * belong to the first instance that emits them. Pure but for memory. Main thread. */
#pragma once

#include "base/macro.h"

typedef struct Keys Keys;

#define KEYS_MAX 65536
#define KEYS_AGENT 0u /* owner of the daemon's own keys; instances count from 1 */

_must_check_ int keys_new(Keys **ret);
Keys *keys_free(Keys *k);
DEFINE_CLEANUP(Keys *, keys_free)

typedef struct KeysConflict { /* of owner KEYS_AGENT: what the daemon tells of the instance that generated_from names */
        const char *with;      /* the key met, maybe a generated one ("door_ok") */
        const char *generated_from; /* NULL: `with` itself was declared */
        unsigned owner;
        const char *file; /* of the other declaration; NULL: none */
        unsigned line;
} KeysConflict;

/* Declares key and the keys generated from it (_ok _min _max _mean _count _time). 0; 1: *ret says what it meets
 * (borrowed until the next call); -ENOSPC, -ENOMEM. Again by the same owner: 0. */
_must_check_ int keys_declare(Keys *k, const char *key, unsigned owner, const char *file, unsigned line, KeysConflict *ret);
/* What the daemon itself tells of the instance (_ok _time) is KEYS_AGENT's until the instance's owner is released. As
 * keys_declare(), and then nothing is reserved; who made such a key without declaring it loses it. */
_must_check_ int keys_reserve(Keys *k, const char *instance, unsigned owner, const char *file, unsigned line, KeysConflict *ret);
/* The sentence for what keys_declare() or keys_reserve() met: what is wrong and what to write. Returns out. */
char *keys_conflict_text(const KeysConflict *c, char *out, size_t size);
/* A row of owner holds key: 0 it is the owner's (now); 1: *ret_owner has it; -ENOSPC, -ENOMEM. */
_must_check_ int keys_claim(Keys *k, const char *key, size_t size, unsigned owner, unsigned *ret_owner);
/* Forgets all that owner had, and what was reserved for it. */
void keys_release(Keys *k, unsigned owner);
