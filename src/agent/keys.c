/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every value of every row passes keys_claim(), so a hit costs one hash and one comparison and allocates
 * nothing. Entries stand in order of their making, which is mostly the order in which they come again, and
 * an open-addressed table of their numbers finds them: what is looked at lies close together. Released
 * entries keep their place with no owner (linear probing must not break) and are taken over by the next
 * claim of the same key; the table is bounded by KEYS_MAX, because an exec script can make up keys without end.
 */
#include <stdio.h>

#include "agent/keys.h"

#define NOBODY UINT32_MAX

typedef struct Entry {
        char *key;
        uint32_t size;
        uint32_t owner;
        uint32_t reserved_for; /* owner of the instance that KEYS_AGENT tells of */
        char *generated_from;
        char *file; /* NULL: not declared */
        unsigned line;
} Entry;

typedef struct Slot {
        uint32_t hash;
        uint32_t entry; /* its number, from 1; 0: free */
} Slot;

struct Keys {
        Entry *entries; /* room for half as many as there are slots */
        size_t n;
        Slot *slots;
        size_t n_slots; /* power of two */
};

static const char *const told_suffixes[] = { "_ok", "_time" };
static const char *const suffixes[] = { "_ok", "_min", "_max", "_mean", "_count", "_time" };

static uint32_t hash_key(const char *key, size_t size) {
        uint32_t h = 2166136261u;

        for (size_t i = 0; i < size; i++)
                h = (h ^ (uint8_t)key[i]) * 16777619u;
        return h;
}

static void entry_clear(Entry *e) {
        free(e->generated_from);
        free(e->file);
        e->generated_from = NULL;
        e->file = NULL;
        e->line = 0;
        e->owner = NOBODY;
}

/* The slot of key, or the free one where it belongs. */
static Slot *find(const Keys *k, const char *key, size_t size, uint32_t hash) {
        for (size_t i = hash & (k->n_slots - 1);; i = (i + 1) & (k->n_slots - 1)) {
                Slot *s = &k->slots[i];
                const Entry *e;

                if (s->entry == 0)
                        return s;
                e = &k->entries[s->entry - 1];
                if (s->hash == hash && e->size == size && memcmp(e->key, key, size) == 0)
                        return s;
        }
}

static int grow(Keys *k, size_t n_slots) {
        Slot *slots = calloc(n_slots, sizeof(*slots));
        Entry *entries = realloc(k->entries, n_slots / 2 * sizeof(*entries));

        if (entries)
                k->entries = entries;
        if (!slots || !entries) {
                free(slots);
                return -ENOMEM;
        }
        for (size_t i = 0; i < k->n_slots; i++)
                if (k->slots[i].entry > 0) {
                        size_t to = k->slots[i].hash & (n_slots - 1);

                        while (slots[to].entry > 0)
                                to = (to + 1) & (n_slots - 1);
                        slots[to] = k->slots[i];
                }
        free(k->slots);
        k->slots = slots;
        k->n_slots = n_slots;
        return 0;
}

int keys_new(Keys **ret) {
        _cleanup_(keys_freep) Keys *k = calloc(1, sizeof(*k));

        if (!k || grow(k, 256) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(k);
        return 0;
}

Keys *keys_free(Keys *k) {
        if (!k)
                return NULL;
        for (size_t i = 0; i < k->n; i++) {
                free(k->entries[i].key);
                entry_clear(&k->entries[i]);
        }
        free(k->entries);
        free(k->slots);
        free(k);
        return NULL;
}

static int add(Keys *k, const char *key, size_t size, uint32_t hash, Entry **ret) {
        char *copy;

        if (k->n >= KEYS_MAX)
                return -ENOSPC;
        if (k->n * 2 >= k->n_slots && grow(k, k->n_slots * 2) < 0)
                return -ENOMEM;
        copy = strndup(key, size);
        if (!copy)
                return -ENOMEM;
        k->entries[k->n] = (Entry){ .key = copy, .size = (uint32_t)size, .owner = NOBODY };
        *ret = &k->entries[k->n++];
        *find(k, key, size, hash) = (Slot){ .hash = hash, .entry = (uint32_t)k->n };
        return 0;
}

/* The entry of key, one without an owner where there was none; borrowed until the next one is made. */
static int obtain(Keys *k, const char *key, size_t size, Entry **ret) {
        uint32_t hash = hash_key(key, size);
        const Slot *s = find(k, key, size, hash);

        if (s->entry == 0)
                return add(k, key, size, hash, ret);
        *ret = &k->entries[s->entry - 1];
        return 0;
}

int keys_claim(Keys *k, const char *key, size_t size, unsigned owner, unsigned *ret_owner) {
        Entry *e;
        int r = obtain(k, key, size, &e);

        if (r < 0)
                return r;
        if (e->owner == NOBODY)
                e->owner = owner;
        if (e->owner == owner)
                return 0;
        *ret_owner = e->owner;
        return 1;
}

static int declare_one(Keys *k, const char *key, const char *from, unsigned owner, const char *file, unsigned line,
                       KeysConflict *ret) {
        Entry *e;
        int r = obtain(k, key, strlen(key), &e);

        if (r < 0)
                return r;
        /* two generated names that meet (both never configured) are no mistake of the file by themselves, unless the daemon
         * makes one of them */
        if (e->owner != NOBODY && (e->owner != owner || (!from != !e->generated_from)) && e->file &&
            (!from || !e->generated_from || e->owner == KEYS_AGENT)) {
                *ret = (KeysConflict){ e->key, e->generated_from, e->owner, e->file, e->line };
                return 1;
        }
        if (e->owner != NOBODY)
                return 0;
        e->owner = owner;
        e->file = strdup(file ? file : "");
        e->generated_from = from ? strdup(from) : NULL;
        e->line = line;
        return e->file && (!from || e->generated_from) ? 0 : -ENOMEM;
}

int keys_declare(Keys *k, const char *key, unsigned owner, const char *file, unsigned line, KeysConflict *ret) {
        int r = declare_one(k, key, NULL, owner, file, line, ret);

        for (size_t i = 0; r == 0 && i < ELEMENTS(suffixes); i++) {
                char generated[1024];
                if (snprintf(generated, sizeof(generated), "%s%s", key, suffixes[i]) >= (int)sizeof(generated))
                        continue;
                r = declare_one(k, generated, key, owner, file, line, ret);
        }
        return r;
}

static int reserve_one(Keys *k, const char *key, const char *instance, unsigned owner, const char *file, unsigned line) {
        Entry *e;
        int r = obtain(k, key, strlen(key), &e);

        if (r < 0)
                return r;
        entry_clear(e);
        e->owner = KEYS_AGENT;
        e->reserved_for = owner;
        e->file = strdup(file ? file : "");
        e->generated_from = strdup(instance);
        e->line = line;
        return e->file && e->generated_from ? 0 : -ENOMEM;
}

int keys_reserve(Keys *k, const char *instance, unsigned owner, const char *file, unsigned line, KeysConflict *ret) {
        char key[ELEMENTS(told_suffixes)][256];
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(told_suffixes); i++) {
                const Slot *s;
                const Entry *e;

                if (snprintf(key[i], sizeof(key[i]), "%s%s", instance, told_suffixes[i]) >= (int)sizeof(key[i]))
                        return -E2BIG;
                s = find(k, key[i], strlen(key[i]), hash_key(key[i], strlen(key[i])));
                if (s->entry == 0)
                        continue;
                e = &k->entries[s->entry - 1];
                if (e->owner == NOBODY || !e->file)
                        continue;
                *ret = (KeysConflict){ e->key, e->generated_from, e->owner, e->file, e->line };
                return 1;
        }
        for (size_t i = 0; r == 0 && i < ELEMENTS(told_suffixes); i++)
                r = reserve_one(k, key[i], instance, owner, file, line);
        return r;
}

char *keys_conflict_text(const KeysConflict *c, char *out, size_t size) {
        if (c->owner == KEYS_AGENT)
                snprintf(out, size, "key \"%s\" is what the daemon tells of instance %s (%s:%u): give this one another name "
                         "(key = \"...\")", c->with, c->generated_from, c->file, c->line);
        else
                snprintf(out, size, "key \"%s\" is also made at %s:%u%s%s: give one of them another name (key = \"...\")",
                         c->with, c->file, c->line, c->generated_from ? ", from " : "",
                         c->generated_from ? c->generated_from : "");
        return out;
}

void keys_release(Keys *k, unsigned owner) {
        for (size_t i = 0; i < k->n; i++) {
                Entry *e = &k->entries[i];
                if ((e->owner == KEYS_AGENT ? e->reserved_for : e->owner) == owner)
                        entry_clear(e);
        }
}
