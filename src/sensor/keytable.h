/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of one instance: found by their text, made when first met, each with its rules and with the
 * milliseconds in which it already has a row. Pure. */
#pragma once

#include "sensor/report.h"

#define KEYTABLE_MAX 16384 /* a plugin that makes up ever new keys must not eat the server */

/* Keys made from another: KEY_ok and those of a window. */
typedef enum Derived { DERIVED_OK, DERIVED_MIN, DERIVED_MAX, DERIVED_MEAN, DERIVED_COUNT, _DERIVED_MAX } Derived;
extern const char *const derived_suffix[_DERIVED_MAX];

typedef enum KeyHealth { KEY_UNKNOWN, KEY_GOOD, KEY_BAD } KeyHealth;

#define KEY_MEMORY_MS 128

typedef struct Key Key;
struct Key {
        uint32_t hash;
        uint32_t size; /* of name */
        uint64_t main_row, side_row; /* the sampler's rows that have it, as numbers */
        int64_t last_ms;             /* the latest millisecond with a row of it */
        uint64_t taken[KEY_MEMORY_MS / 64]; /* bit n: last_ms - n is taken */
        const ReportRules *rules;    /* NULL: none */
        ReportState *state;          /* only where the rules are not plain */
        Key **derived;               /* _DERIVED_MAX of them, made when needed; borrowed from the table */
        KeyHealth health;
        bool generated; /* made here, not emitted: rules do not concern it */
        bool touched;   /* by the sampler's open call */
        char name[];
};

typedef struct KeyTable {
        Key **slots; /* open addressing; NULL: free */
        size_t n_slots, n_keys;
        const ReportRules *(*rules)(void *userdata, const char *key); /* may be NULL */
        void *userdata;
        bool timed; /* some key's rules may want report_tick() */
} KeyTable;

void keytable_done(KeyTable *t);
/* -EINVAL: not allowed as a key, or too many of them, with a static sentence; -ENOMEM. */
_must_check_ int keytable_get(KeyTable *t, Key **ret, const char *name, bool generated, const char **ret_why);
/* NULL: its name would be too long, or memory ran out. */
Key *keytable_derived(KeyTable *t, Key *k, Derived which);
/* Asks for the rules of every key again and begins their state anew. */
void keytable_reload(KeyTable *t);

/* Finds a millisecond, at most `most` after that of *time_ns, in which none of the keys has a row yet, takes it
 * for all of them and moves *time_ns there. */
bool keys_place(Key *const *keys, size_t n_keys, int most, int64_t *time_ns);
