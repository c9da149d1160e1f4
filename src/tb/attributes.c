/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing tells which of two downlinks is the newer one, so the state is right only when the server was asked and
 * nothing came meanwhile:
 *
 *      online, or an update when quiet ----> ASKED --answer, no update came--> QUIET
 *                     ^                        |
 *                     |                        +--answer, an update came-----> asked again after CALM
 *                     |                        +--no answer------------------> asked again, with growing pauses
 *                     +--CALM after the last update, at most LONGEST after the first
 *
 * Updates and answers take effect as they come; an older one that comes late is put right by the next answer. An
 * update {"deleted":[...]} may also be an attribute of that name: the answer tells, too.
 *
 * A value that is too large or cannot be read, and what is too much in all, is left out; the rest goes on.
 */
#include <stdarg.h>
#include <stdio.h>

#include "model/json.h"
#include "tb/attributes.h"
#include "tb/tree.h"

#define CALM (500 * USEC_PER_MSEC)
#define LONGEST (5 * USEC_PER_SEC)
#define RETRY_MIN USEC_PER_SEC
#define RETRY_MAX (120 * USEC_PER_SEC)

struct Attributes {
        Loop *loop;
        AttributesEvents events;
        Attribute *entries; /* sorted by key; their texts are ours */
        size_t n, size;
        size_t bytes;
        bool online, asked, synced;
        bool moved; /* an update came since the question, or since the last answer */
        usec_t moved_since;
        usec_t retry;
        LoopTimer *timer;
        bool told_left_out;
};

/* ---- the table */

static void entry_done(Attribute *e) {
        free((char *)e->key);
        free((char *)e->json);
        if (e->value.type == VALUE_STRING)
                free((char *)e->value.s.text);
}

static size_t entry_bytes(const Attribute *e) {
        return strlen(e->key) + e->json_size;
}

size_t attributes_lower_bound(const Attributes *a, const char *key) {
        size_t low = 0, high = a->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(a->entries[middle].key, key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Attribute *find(const Attributes *a, const char *key) {
        size_t i = attributes_lower_bound(a, key);

        return i < a->n && streq(a->entries[i].key, key) ? &a->entries[i] : NULL;
}

static int copy_string(json_object *o, Value *ret) {
        size_t size = (size_t)json_object_get_string_len(o);
        char *text = malloc(size + 1);

        if (!text)
                return -ENOMEM;
        memcpy(text, json_object_get_string(o), size);
        text[size] = '\0';
        *ret = (Value){ .type = VALUE_STRING, .s = { text, size } };
        return 0;
}

static int make_value(json_object *o, const char *json, size_t size, Value *ret) {
        switch (json_object_get_type(o)) {
        case json_type_boolean:
                *ret = (Value){ .type = VALUE_BOOL, .b = json_object_get_boolean(o) };
                return 0;
        case json_type_int:
                if (json_object_get_uint64(o) > INT64_MAX) /* json-c has them, up to 2^64 */
                        *ret = (Value){ .type = VALUE_DOUBLE, .d = json_object_get_double(o) };
                else
                        *ret = (Value){ .type = VALUE_INT, .i = json_object_get_int64(o) };
                return 0;
        case json_type_double:
                *ret = (Value){ .type = VALUE_DOUBLE, .d = json_object_get_double(o) };
                return 0;
        case json_type_string:
                return copy_string(o, ret);
        case json_type_array:
        case json_type_object:
                *ret = (Value){ .type = VALUE_JSON, .s = { json, size } };
                return 0;
        case json_type_null:
                break;
        }
        return -EINVAL;
}

static int entry_make(Attribute *ret, const char *key, json_object *o) {
        Attribute e = { 0 };
        int r;

        e.json = tree_text(o, &e.json_size);
        e.key = strdup(key);
        r = e.json && e.key ? make_value(o, e.json, e.json_size, &e.value) : -ENOMEM;
        if (r == 0 && (key[0] == '\0' || strlen(key) > KEY_TEXT_MAX)) /* what else may be a name is the server's matter */
                r = -EINVAL;
        if (r == 0 && e.json_size > TREE_TEXT_MAX)
                r = -E2BIG;
        if (r < 0) {
                entry_done(&e);
                return r;
        }
        *ret = e;
        return 0;
}

static int insert(Attributes *a, const Attribute *e) {
        size_t at = attributes_lower_bound(a, e->key);

        if (a->n >= ATTRIBUTES_MAX)
                return -E2BIG;
        if (a->n == a->size) {
                size_t size = a->size > 0 ? 2 * a->size : 16;
                Attribute *bigger = reallocarray(a->entries, size, sizeof(*bigger));

                if (!bigger)
                        return -ENOMEM;
                a->entries = bigger;
                a->size = size;
        }
        memmove(a->entries + at + 1, a->entries + at, (a->n - at) * sizeof(*a->entries));
        a->entries[at] = *e;
        a->n++;
        return 0;
}

/* A double may be written in more than one way: what the mirror keeps is ours. */
static bool is_same(const Attribute *x, const Attribute *y) {
        if (x->value.type == VALUE_DOUBLE && y->value.type == VALUE_DOUBLE)
                return memcmp(&x->value.d, &y->value.d, sizeof(double)) == 0;
        return streq(x->json, y->json);
}

/* 1: it is another value than before; 0: it is the same. */
static int put(Attributes *a, const char *key, json_object *o) {
        Attribute e, *old = find(a, key);
        size_t before = old ? entry_bytes(old) : 0;
        int r = entry_make(&e, key, o);

        if (r < 0)
                return r;
        if (old && is_same(old, &e)) {
                entry_done(&e);
                return 0;
        }
        if (a->bytes - before + entry_bytes(&e) > ATTRIBUTES_BYTES_MAX)
                r = -E2BIG;
        else if (!old)
                r = insert(a, &e);
        if (r < 0) {
                entry_done(&e);
                return r;
        }
        a->bytes += entry_bytes(&e) - before;
        if (old) {
                entry_done(old);
                *old = e;
        }
        return 1;
}

static void take_out(Attributes *a, Attribute *e) {
        size_t at = (size_t)(e - a->entries);

        a->bytes -= entry_bytes(e);
        entry_done(e);
        a->n--;
        memmove(e, e + 1, (a->n - at) * sizeof(*e));
}

/* ---- changes */

static void warn(const Attributes *a, const char *format, ...) _printf_(2, 3);
static void warn(const Attributes *a, const char *format, ...) {
        char text[400];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        a->events.warning(a->events.userdata, text);
}

static void delete(Attributes *a, const char *key) {
        _cleanup_(freep) char *copy = NULL;
        Attribute *e = find(a, key);

        if (!e)
                return;
        copy = strdup(key); /* key may be the entry's own */
        take_out(a, e);
        if (copy)
                a->events.changed(a->events.userdata, copy, NULL);
}

static void tell_left_out(Attributes *a, const char *key, int error) {
        if (!a->told_left_out)
                warn(a, "shared attribute \"%.80s\" is left out: %s", key,
                     error == -E2BIG ? "it is larger than 64 KiB, or all of them are more than 4096 or 2 MiB"
                                     : "its name or its value is none that can be kept");
        a->told_left_out = true;
}

static void change(Attributes *a, const char *key, json_object *o) {
        int r = o ? put(a, key, o) : -EINVAL;

        if (r == 1)
                a->events.changed(a->events.userdata, key, find(a, key));
        if (r >= 0 || r == -ENOMEM)
                return;
        delete(a, key); /* an older value would be wrong */
        tell_left_out(a, key, r);
}

static bool is_deletion(json_object *o) {
        json_object *list = tree_member(o, "deleted");

        if (json_object_object_length(o) != 1 || !json_object_is_type(list, json_type_array))
                return false;
        for (size_t i = 0; i < json_object_array_length(list); i++)
                if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_string))
                        return false;
        return true;
}

static void apply_update(Attributes *a, json_object *o) {
        if (is_deletion(o)) {
                json_object *list = tree_member(o, "deleted");

                for (size_t i = 0; i < json_object_array_length(list); i++)
                        delete(a, json_object_get_string(json_object_array_get_idx(list, i)));
                return;
        }
        json_object_object_foreach(o, key, value)
                change(a, key, value);
}

static void entries_done(const Attributes *a) {
        for (size_t i = 0; i < a->n; i++)
                entry_done(&a->entries[i]);
        free(a->entries);
}

static void tell_differences(Attributes *a, const Attributes *before) {
        for (size_t i = 0; i < before->n; i++)
                if (!find(a, before->entries[i].key))
                        a->events.changed(a->events.userdata, before->entries[i].key, NULL);
        for (size_t i = 0; i < a->n; i++) {
                const Attribute *now = &a->entries[i];
                const Attribute *was = find(before, now->key);

                if (!was || !is_same(was, now))
                        a->events.changed(a->events.userdata, now->key, now);
        }
}

/* The whole state; shared NULL: none. Made apart from the one before, so that this one has all the room. Callbacks may not
 * come back in here. -ENOMEM: nothing has changed. */
static int apply_state(Attributes *a, json_object *shared) {
        Attributes next = { 0 }, before = *a;

        if (shared) {
                json_object_object_foreach(shared, key, value) {
                        int r = value ? put(&next, key, value) : -EINVAL;

                        if (r == -ENOMEM) {
                                entries_done(&next);
                                return r;
                        }
                        if (r < 0)
                                tell_left_out(a, key, r);
                }
        }
        a->entries = next.entries;
        a->n = next.n;
        a->size = next.size;
        a->bytes = next.bytes;
        tell_differences(a, &before);
        entries_done(&before);
        return 0;
}

/* ---- asking */

static void arm(const Attributes *a, usec_t when) {
        loop_timer_arm(a->timer, when, 10 * USEC_PER_MSEC);
}

static void ask(Attributes *a) {
        usec_t now = loop_monotonic(a->loop);

        if (!a->online || a->asked)
                return;
        if (a->events.ask(a->events.userdata) == 0) {
                a->asked = true;
                a->moved = false;
                loop_timer_disarm(a->timer);
                return;
        }
        a->retry = MIN(MAX(2 * a->retry, RETRY_MIN), RETRY_MAX);
        arm(a, now + a->retry);
}

static void on_timer(void *userdata) {
        ask(userdata);
}

/* When nothing has come for a while, and in any case some time after the first. */
static void ask_when_calm(const Attributes *a) {
        usec_t now = loop_monotonic(a->loop);

        arm(a, MIN(now + CALM, a->moved_since + LONGEST));
}

void attributes_online(Attributes *a) {
        a->online = true;
        a->asked = a->synced = a->moved = false;
        a->retry = 0;
        ask(a);
}

void attributes_offline(Attributes *a) {
        a->online = a->asked = a->synced = false;
        loop_timer_disarm(a->timer);
}

void attributes_update(Attributes *a, const char *json, size_t size) {
        _cleanup_(tree_putp) json_object *o = NULL;

        if (!a->moved)
                a->moved_since = loop_monotonic(a->loop);
        a->moved = true;
        if (!json || (tree_parse(json, size, &o) < 0 && tree_parse_members(json, size, 1, &o) < 0) ||
            !json_object_is_type(o, json_type_object))
                warn(a, "an update of shared attributes is left out: %s", json ? "it is not a JSON object" : "it is too large");
        else
                apply_update(a, o);
        if (a->online && !a->asked)
                ask_when_calm(a);
}

/* What the server has, or NULL where it is not an answer. */
static json_object *read_answer(const Attributes *a, const char *json, size_t size) {
        json_object *o = NULL, *shared = NULL;

        if (json && (tree_parse(json, size, &o) == 0 || tree_parse_members(json, size, 2, &o) == 0) &&
            json_object_is_type(o, json_type_object)) {
                if (!json_object_object_get_ex(o, "shared", &shared) || json_object_is_type(shared, json_type_object))
                        return o;
        }
        json_object_put(o);
        warn(a, "the server's answer to a request for attributes is not understood%s", json ? "" : ": it is too large");
        return NULL;
}

void attributes_answer(Attributes *a, int error, const char *json, size_t size) {
        _cleanup_(tree_putp) json_object *o = NULL;

        if (!a->asked)
                return;
        a->asked = false;
        if (error == 0)
                o = read_answer(a, json, size);
        if (!o || apply_state(a, tree_member(o, "shared")) < 0) {
                a->retry = MIN(MAX(2 * a->retry, RETRY_MIN), RETRY_MAX);
                if (a->online)
                        arm(a, loop_monotonic(a->loop) + a->retry);
                return;
        }
        a->retry = 0;
        a->events.client(a->events.userdata, tree_member(o, "client"));
        if (a->moved) {
                ask_when_calm(a);
                return;
        }
        if (!a->synced) {
                a->synced = true;
                a->events.synced(a->events.userdata);
        }
}

bool attributes_are_synced(const Attributes *a) {
        return a->synced && !a->asked && !a->moved;
}

/* ---- */

int attributes_set(Attributes *a, const char *key, const char *json, size_t size) {
        _cleanup_(tree_putp) json_object *o = NULL;
        int r = tree_parse(json, size, &o);

        if (r < 0 || !o)
                return -EINVAL;
        r = put(a, key, o);
        return MIN(r, 0);
}

size_t attributes_n(const Attributes *a) {
        return a->n;
}

const Attribute *attributes_at(const Attributes *a, size_t i) {
        return &a->entries[i];
}

const Attribute *attributes_get(const Attributes *a, const char *key) {
        return find(a, key);
}

int attributes_new(Attributes **ret, Loop *loop, const AttributesEvents *events) {
        _cleanup_(attributes_freep) Attributes *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->loop = loop;
        a->events = *events;
        r = loop_timer_new(&a->timer, loop, "attributes", on_timer, a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

Attributes *attributes_free(Attributes *a) {
        if (!a)
                return NULL;
        loop_timer_free(a->timer);
        entries_done(a);
        free(a);
        return NULL;
}
