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
 * A value that is too large, and what is too much in all, is left out; the rest goes on.
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

typedef struct Entry {
        Attribute a; /* its texts are ours */
        bool seen;   /* in the answer at hand */
} Entry;

struct Attributes {
        Loop *loop;
        AttributesEvents events;
        Entry *entries; /* sorted by key */
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

static void entry_done(Entry *e) {
        free((char *)e->a.key);
        free((char *)e->a.json);
        if (e->a.value.type == VALUE_STRING)
                free((char *)e->a.value.s.text);
}

static size_t entry_bytes(const Entry *e) {
        return strlen(e->a.key) + e->a.json_size;
}

size_t attributes_lower_bound(const Attributes *a, const char *key) {
        size_t low = 0, high = a->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(a->entries[middle].a.key, key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Entry *find(const Attributes *a, const char *key) {
        size_t i = attributes_lower_bound(a, key);

        return i < a->n && streq(a->entries[i].a.key, key) ? &a->entries[i] : NULL;
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

static int entry_make(Entry *ret, const char *key, json_object *o) {
        Entry e = { 0 };
        int r;

        e.a.json = tree_text(o, &e.a.json_size);
        e.a.key = strdup(key);
        r = e.a.json && e.a.key ? make_value(o, e.a.json, e.a.json_size, &e.a.value) : -ENOMEM;
        if (r == 0 && (key[0] == '\0' || strlen(key) > KEY_TEXT_MAX)) /* what else may be a name is the server's matter */
                r = -EINVAL;
        if (r == 0 && e.a.json_size > TREE_TEXT_MAX)
                r = -E2BIG;
        if (r < 0) {
                entry_done(&e);
                return r;
        }
        *ret = e;
        return 0;
}

static int insert(Attributes *a, const Entry *e) {
        size_t at = attributes_lower_bound(a, e->a.key);

        if (a->n >= ATTRIBUTES_MAX)
                return -E2BIG;
        if (a->n == a->size) {
                size_t size = a->size > 0 ? 2 * a->size : 16;
                Entry *bigger = reallocarray(a->entries, size, sizeof(*bigger));

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

/* 1: it is another value than before; 0: it is the same. */
static int put(Attributes *a, const char *key, json_object *o) {
        Entry e, *old = find(a, key);
        size_t before = old ? entry_bytes(old) : 0;
        int r = entry_make(&e, key, o);

        if (r < 0)
                return r;
        if (old && streq(old->a.json, e.a.json)) {
                entry_done(&e);
                old->seen = true;
                return 0;
        }
        e.seen = true;
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

static void take_out(Attributes *a, Entry *e) {
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
        Entry *e = find(a, key);

        if (!e)
                return;
        copy = strdup(key); /* key may be the entry's own */
        take_out(a, e);
        if (copy)
                a->events.changed(a->events.userdata, copy, NULL);
}

static void change(Attributes *a, const char *key, json_object *o) {
        int r = o ? put(a, key, o) : -EINVAL;

        if (r == 1)
                a->events.changed(a->events.userdata, key, &find(a, key)->a);
        if (r >= 0 || r == -ENOMEM)
                return;
        delete(a, key); /* an older value would be wrong */
        if (!a->told_left_out)
                warn(a, "shared attribute \"%.80s\" is left out: %s", key,
                     r == -E2BIG ? "it is larger than 64 KiB, or all of them are more than 4096 or 2 MiB"
                                 : "its name or its value is none that can be kept");
        a->told_left_out = true;
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

/* The whole state; shared NULL: none. Callbacks may not come back in here. */
static void apply_state(Attributes *a, json_object *shared) {
        for (size_t i = 0; i < a->n; i++)
                a->entries[i].seen = false;
        if (shared) {
                json_object_object_foreach(shared, key, value)
                        change(a, key, value);
        }
        for (size_t i = a->n; i-- > 0;)
                if (!a->entries[i].seen)
                        delete(a, a->entries[i].a.key);
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
        if (!json || tree_parse(json, size, &o) < 0 || !json_object_is_type(o, json_type_object))
                warn(a, "an update of shared attributes is left out: %s", json ? "it is not a JSON object" : "it is too large");
        else
                apply_update(a, o);
        if (a->online && !a->asked)
                ask_when_calm(a);
}

/* What the server has, or NULL where it is not an answer. */
static json_object *read_answer(const Attributes *a, const char *json, size_t size) {
        json_object *o = NULL, *shared;

        if (json && tree_parse(json, size, &o) == 0 && json_object_is_type(o, json_type_object)) {
                shared = tree_member(o, "shared");
                if (!shared || json_object_is_type(shared, json_type_object))
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
        if (!o) {
                a->retry = MIN(MAX(2 * a->retry, RETRY_MIN), RETRY_MAX);
                if (a->online)
                        arm(a, loop_monotonic(a->loop) + a->retry);
                return;
        }
        a->retry = 0;
        apply_state(a, tree_member(o, "shared"));
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
        return &a->entries[i].a;
}

const Attribute *attributes_get(const Attributes *a, const char *key) {
        const Entry *e = find(a, key);

        return e ? &e->a : NULL;
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
        for (size_t i = 0; i < a->n; i++)
                entry_done(&a->entries[i]);
        free(a->entries);
        free(a);
        return NULL;
}
