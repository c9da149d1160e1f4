/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin names its keys by text with every value, so finding one must cost little: one pass for hash and
 * length, one comparison in a table that is at most half full. Keys are checked once, when they are made, and
 * live as long as the table.
 *
 * The server keeps one value per key and millisecond. Each key therefore knows which of the last 128
 * milliseconds up to its latest are taken, and a row moves on to the next free one. What is older than that
 * memory is let through: nobody can tell, and a plugin that reads a chip's history must not lose it.
 */
#include <stdio.h>

#include "model/row.h"
#include "sensor/keytable.h"

const char *const derived_suffix[_DERIVED_MAX] = { "_ok", "_min", "_max", "_mean", "_count" };

static uint32_t key_hash(const char *name, size_t *ret_size) {
        uint32_t h = 2166136261u;
        const char *p = name;

        for (; *p; p++)
                h = (h ^ (uint8_t)*p) * 16777619u;
        *ret_size = (size_t)(p - name);
        return h;
}

static Key **slot_find(Key **slots, size_t n_slots, uint32_t hash, const char *name, size_t size) {
        size_t i = hash & (n_slots - 1);

        while (slots[i] && (slots[i]->hash != hash || slots[i]->size != size || memcmp(slots[i]->name, name, size) != 0))
                i = (i + 1) & (n_slots - 1);
        return &slots[i];
}

static int table_grow(KeyTable *t) {
        size_t n = t->n_slots ? t->n_slots * 2 : 64;
        Key **slots = calloc(n, sizeof *slots);

        if (!slots)
                return -ENOMEM;
        for (size_t i = 0; i < t->n_slots; i++)
                if (t->slots[i])
                        *slot_find(slots, n, t->slots[i]->hash, t->slots[i]->name, t->slots[i]->size) = t->slots[i];
        free(t->slots);
        t->slots = slots;
        t->n_slots = n;
        return 0;
}

static Key *key_free(Key *k) {
        if (!k)
                return NULL;
        report_state_free(k->state);
        free(k->derived);
        free(k);
        return NULL;
}
DEFINE_CLEANUP(Key *, key_free)

void keytable_done(KeyTable *t) {
        for (size_t i = 0; i < t->n_slots; i++)
                key_free(t->slots[i]);
        free(t->slots);
        t->slots = NULL;
        t->n_slots = t->n_keys = 0;
}

static int key_bind_rules(KeyTable *t, Key *k) {
        k->state = report_state_free(k->state);
        k->rules = t->rules && !k->generated ? t->rules(t->userdata, k->name) : NULL;
        if (!k->rules || k->rules->plain)
                return 0;
        t->timed = t->timed || k->rules->aggregate_ns > 0 || k->rules->min_interval_ns > 0;
        return report_state_new(&k->state, k->rules);
}

static int key_add(KeyTable *t, Key **ret, const char *name, size_t size, uint32_t hash, bool generated, const char **ret_why) {
        _cleanup_(key_freep) Key *k = NULL;
        int r = key_check(name, size, ret_why);

        if (r < 0)
                return r;
        *ret_why = "out of memory";
        if (t->n_keys >= KEYTABLE_MAX) {
                *ret_why = "more than 16384 keys";
                return -EINVAL;
        }
        if (t->n_keys * 2 >= t->n_slots && table_grow(t) < 0)
                return -ENOMEM;
        k = calloc(1, sizeof *k + size + 1);
        if (!k)
                return -ENOMEM;
        memcpy(k->name, name, size);
        k->size = (uint32_t)size;
        k->hash = hash;
        k->last_ms = INT64_MIN;
        k->generated = generated;
        if (key_bind_rules(t, k) < 0)
                return -ENOMEM;
        *slot_find(t->slots, t->n_slots, hash, name, size) = k;
        t->n_keys++;
        *ret = TAKE_PTR(k);
        return 0;
}

int keytable_get(KeyTable *t, Key **ret, const char *name, bool generated, const char **ret_why) {
        size_t size;
        uint32_t hash = key_hash(name, &size);
        Key *k = t->n_slots ? *slot_find(t->slots, t->n_slots, hash, name, size) : NULL;

        if (!k)
                return key_add(t, ret, name, size, hash, generated, ret_why);
        *ret = k;
        return 0;
}

Key *keytable_derived(KeyTable *t, Key *k, Derived which) {
        char name[4 * KEY_UTF16_MAX + 8];
        const char *why;

        if (!k->derived) {
                k->derived = calloc(_DERIVED_MAX, sizeof(Key *));
                if (!k->derived)
                        return NULL;
        }
        if (!k->derived[which]) {
                snprintf(name, sizeof name, "%s%s", k->name, derived_suffix[which]);
                if (keytable_get(t, &k->derived[which], name, true, &why) < 0)
                        return NULL;
        }
        return k->derived[which];
}

void keytable_reload(KeyTable *t) {
        t->timed = false;
        for (size_t i = 0; i < t->n_slots; i++)
                /* without memory for its state a key goes on without rules */
                if (t->slots[i] && key_bind_rules(t, t->slots[i]) < 0)
                        t->slots[i]->rules = NULL;
}

/* ---- milliseconds */

static bool ms_taken(const Key *k, int64_t ms) {
        int64_t back;

        if (k->last_ms == INT64_MIN || ms > k->last_ms || ms <= k->last_ms - KEY_MEMORY_MS)
                return false;
        back = k->last_ms - ms;
        return k->taken[back / 64] >> (back % 64) & 1;
}

static void ms_take_later(Key *k, int64_t ms) {
        int64_t by = k->last_ms == INT64_MIN ? KEY_MEMORY_MS : ms - k->last_ms;

        if (by >= KEY_MEMORY_MS) {
                k->taken[0] = 1;
                k->taken[1] = 0;
        } else if (by >= 64) {
                k->taken[1] = k->taken[0] << (by - 64);
                k->taken[0] = 1;
        } else {
                k->taken[1] = k->taken[1] << by | k->taken[0] >> (64 - by);
                k->taken[0] = k->taken[0] << by | 1;
        }
        k->last_ms = ms;
}

static void ms_take(Key *k, int64_t ms) {
        int64_t back;

        if (k->last_ms == INT64_MIN || ms > k->last_ms) {
                ms_take_later(k, ms);
                return;
        }
        back = k->last_ms - ms;
        if (back < KEY_MEMORY_MS)
                k->taken[back / 64] |= (uint64_t)1 << (back % 64);
}

bool keys_place(Key *const *keys, size_t n_keys, int most, int64_t *time_ns) {
        int64_t wanted = row_ms(*time_ns), ms = wanted;

        for (size_t i = 0; i < n_keys;) {
                if (!ms_taken(keys[i], ms)) {
                        i++;
                        continue;
                }
                if (++ms > wanted + most)
                        return false;
                i = 0;
        }
        for (size_t i = 0; i < n_keys; i++)
                ms_take(keys[i], ms);
        if (ms != wanted)
                *time_ns = ms * NSEC_PER_MSEC;
        return true;
}
