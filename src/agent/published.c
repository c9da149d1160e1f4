/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      DIRTY --sent--> SENT --PUBACK--> CLEAN --set, or the server has another value--> DIRTY
 *        ^               '--lost--'
 *
 * The server may make another value of what it gets ("1.10" becomes 1.1), so a value that it was given in this life of
 * the process is not sent again because it reads differently.
 *
 * Changes are gathered for a moment, and after a connect until the server has said what it has, but not for ever.
 */
#include <stdio.h>

#include "agent/published.h"
#include "base/log.h"
#include "model/value.h"
#include "tb/tree.h"

#define GATHER (100 * USEC_PER_MSEC)
#define COMPARE_WAIT (15 * USEC_PER_SEC)
#define KEYS_PER_MESSAGE 64u
#define MESSAGE_MAX (32 * KIB)
#define NOTHING "\"\""

typedef enum EntryState { ENTRY_CLEAN, ENTRY_DIRTY, ENTRY_SENT } EntryState;

typedef struct Entry {
        char *key, *json;
        size_t size; /* of json */
        EntryState state;
        bool given;       /* this value is at the server, whatever it made of it */
        bool cleared;     /* NOTHING, which the server need not be told where it has no value */
        uint64_t context; /* of the message that it is in */
} Entry;

struct Published {
        PublishedParams params;
        Entry *entries; /* in order of their making */
        size_t n;
        bool online, compared;
        uint64_t contexts;
        LoopTimer *timer;
};

static Entry *find(const Published *p, const char *key) {
        for (size_t i = 0; i < p->n; i++)
                if (streq(p->entries[i].key, key))
                        return &p->entries[i];
        return NULL;
}

static bool any_dirty(const Published *p) {
        for (size_t i = 0; i < p->n; i++)
                if (p->entries[i].state == ENTRY_DIRTY)
                        return true;
        return false;
}

static void wake_in(const Published *p, usec_t delay) {
        if (p->online && !loop_timer_armed(p->timer))
                loop_timer_arm_in(p->timer, delay, 10 * USEC_PER_MSEC);
}

/* ---- values */

static int obtain(Published *p, const char *key, Entry **ret) {
        Entry *bigger;

        *ret = find(p, key);
        if (*ret)
                return 0;
        if (p->n >= PUBLISHED_MAX)
                return -E2BIG;
        bigger = reallocarray(p->entries, p->n + 1, sizeof(*bigger));
        if (!bigger)
                return -ENOMEM;
        p->entries = bigger;
        bigger[p->n] = (Entry){ .key = strdup(key) };
        if (!bigger[p->n].key)
                return -ENOMEM;
        *ret = &bigger[p->n++];
        return 0;
}

static int set(Published *p, const char *key, json_object *o) {
        _cleanup_(freep) char *json = NULL;
        Entry *e;
        size_t size;
        int r;

        if (!o || (key_check(key, strlen(key), NULL) < 0 && !streq(key, "ts") && !streq(key, "values")))
                return -EINVAL;
        json = tree_text(o, &size);
        if (!json)
                return -ENOMEM;
        if (size > PUBLISHED_VALUE_MAX)
                return -E2BIG;
        r = obtain(p, key, &e);
        if (r < 0 || (e->json && streq(e->json, json)))
                return r;
        free(e->json);
        e->json = TAKE_PTR(json);
        e->size = size;
        e->state = ENTRY_DIRTY;
        e->given = e->cleared = false;
        wake_in(p, GATHER);
        return 0;
}

int published_set(Published *p, const char *key, const char *json) {
        _cleanup_(tree_putp) json_object *o = NULL;

        return tree_parse(json, strlen(json), &o) < 0 ? -EINVAL : set(p, key, o);
}

int published_set_all(Published *p, const char *json, size_t size) {
        _cleanup_(tree_putp) json_object *o = NULL;
        int first = 0;

        if (tree_parse(json, size, &o) < 0 || !json_object_is_type(o, json_type_object))
                return -EINVAL;
        json_object_object_foreach(o, key, value) {
                int r = set(p, key, value);

                first = first < 0 ? first : r;
        }
        return first;
}

int published_clear(Published *p, const char *key) {
        const Entry *old = find(p, key);
        Entry *e;
        int r = published_set(p, key, NOTHING);

        if (r == 0 && !old) { /* what it may have of an earlier process shows when it says what it has */
                e = find(p, key);
                e->state = ENTRY_CLEAN;
                e->cleared = true;
        }
        return r;
}

const char *published_get(const Published *p, const char *key) {
        const Entry *e = find(p, key);

        return e ? e->json : NULL;
}

/* ---- sending */

/* As many dirty entries as fit, at most `most`. */
static char *write_message(Published *p, uint32_t most, uint64_t context) {
        char *text = NULL;
        size_t size = 0;
        uint32_t n = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; i < p->n && n < most; i++) {
                Entry *e = &p->entries[i];
                char quoted[6 * KEY_TEXT_MAX + 3];

                if (e->state != ENTRY_DIRTY || (n > 0 && (size_t)ftell(f) + e->size + sizeof(quoted) > MESSAGE_MAX))
                        continue;
                quoted[json_quote(quoted, e->key, strlen(e->key))] = '\0';
                fprintf(f, "%s%s:%s", n++ == 0 ? "{" : ",", quoted, e->json);
                e->state = ENTRY_SENT;
                e->context = context;
        }
        fputc('}', f);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}

static void settle(Published *p, uint64_t context, EntryState state, bool given) {
        for (size_t i = 0; i < p->n; i++) {
                Entry *e = &p->entries[i];

                if (e->state != ENTRY_SENT || e->context != context)
                        continue;
                e->state = state;
                e->given = given;
        }
}

static uint32_t count_dirty(const Published *p) {
        uint32_t n = 0;

        for (size_t i = 0; i < p->n && n < KEYS_PER_MESSAGE; i++)
                n += p->entries[i].state == ENTRY_DIRTY;
        return n;
}

/* Fewer at a time where the server takes less. What it does not take even alone is left until the next connection. */
static int send_some(Published *p, uint32_t most) {
        for (;; most /= 2) {
                uint64_t context = ++p->contexts;
                _cleanup_(freep) char *text = write_message(p, most, context);
                int r = text ? p->params.publish(p->params.userdata, text, strlen(text), context) : -ENOMEM;

                if (r == -E2BIG && most == 1) {
                        if (log_allow("published", 3600 * USEC_PER_SEC, 1, NULL))
                                log_warning("client attribute %.*s is left out: it is larger than the server takes",
                                            (int)MIN(strcspn(text, ":"), (size_t)80) - 1, text + 1);
                        settle(p, context, ENTRY_CLEAN, false);
                        return 0;
                }
                if (r < 0)
                        settle(p, context, ENTRY_DIRTY, false);
                if (r != -E2BIG)
                        return r;
        }
}

/* 0: one message went; else when to try again. */
static usec_t send_one(Published *p) {
        uint32_t points = count_dirty(p);
        usec_t delay = p->params.take(p->params.userdata, &points);

        if (delay > 0)
                return delay;
        return send_some(p, points) < 0 ? USEC_PER_SEC : 0;
}

static void on_timer(void *userdata) {
        Published *p = userdata;
        usec_t delay = 0;

        p->compared = true; /* or it has been waited for long enough */
        while (p->online && delay == 0 && any_dirty(p))
                delay = send_one(p);
        if (delay > 0)
                wake_in(p, delay);
}

void published_delivered(Published *p, uint64_t context, int code) {
        /* refused for good is as good as given: it would be refused again */
        settle(p, context, code >= 0 ? ENTRY_CLEAN : ENTRY_DIRTY, code >= 0);
        if (any_dirty(p))
                wake_in(p, USEC_PER_SEC);
}

/* ---- the server's view */

static bool is_same(json_object *theirs, const Entry *e) {
        _cleanup_(tree_putp) json_object *ours = NULL;

        return theirs && tree_parse(e->json, e->size, &ours) == 0 && json_object_equal(ours, theirs);
}

void published_compare(Published *p, json_object *client) {
        for (size_t i = 0; i < p->n; i++) {
                Entry *e = &p->entries[i];
                json_object *theirs = tree_member(client, e->key);

                if (e->state == ENTRY_SENT)
                        continue;
                if (is_same(theirs, e) || (!theirs && e->cleared))
                        e->state = ENTRY_CLEAN;
                else if (!theirs || !e->given)
                        e->state = ENTRY_DIRTY;
        }
        if (!p->compared)
                loop_timer_disarm(p->timer); /* it was for this */
        p->compared = true;
        if (any_dirty(p))
                wake_in(p, GATHER);
}

void published_online(Published *p) {
        if (p->online)
                return;
        p->online = true;
        if (!p->compared)
                loop_timer_arm_in(p->timer, COMPARE_WAIT, USEC_PER_SEC);
        else if (any_dirty(p))
                wake_in(p, GATHER);
}

void published_offline(Published *p) {
        p->online = p->compared = false;
        loop_timer_disarm(p->timer);
        for (size_t i = 0; i < p->n; i++)
                if (p->entries[i].state == ENTRY_SENT)
                        p->entries[i].state = ENTRY_DIRTY;
}

int published_new(Published **ret, const PublishedParams *params) {
        _cleanup_(published_freep) Published *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->params = *params;
        r = loop_timer_new(&p->timer, params->loop, "client-attributes", on_timer, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Published *published_free(Published *p) {
        if (!p)
                return NULL;
        loop_timer_free(p->timer);
        for (size_t i = 0; i < p->n; i++) {
                free(p->entries[i].key);
                free(p->entries[i].json);
        }
        free(p->entries);
        free(p);
        return NULL;
}
