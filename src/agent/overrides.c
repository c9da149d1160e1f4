/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry for each shared attribute that begins with a name and a dot. Which of them are options is known to the
 * host alone, so everything of a configured instance goes there, and comes back as "no such option" where it is some
 * other attribute: then nothing is answered, ever.
 *
 * `enabled` is the daemon's own: an instance that is switched off has no host. Entries of instances that are not
 * configured wait: a file may bring them.
 */
#include <stdarg.h>
#include <stdio.h>

#include "agent/overrides.h"
#include "model/json.h"
#include "model/value.h"
#include "tb/tree.h"

#define RETRY_WAIT (200 * USEC_PER_MSEC)
#define ENABLED "enabled"

typedef struct Entry {
        char *key, *json; /* json NULL: deleted, the host has not said yet that it is back to the file's */
        size_t instance_size;
        OverrideState state;
        unsigned open; /* answers that the host owes: the last of them is about what holds */
        bool due;      /* the host did not read: it is sent again */
        char *now, *file, *why;
} Entry;

struct Overrides {
        OverridesParams params;
        bool allowed;
        Entry *entries;
        size_t n;
        LoopTimer *retry;
};

/* ---- entries */

static const char *path_of(const Entry *e) {
        return e->key + e->instance_size + 1;
}

static bool is_of(const Entry *e, const char *instance) {
        return strlen(instance) == e->instance_size && memcmp(e->key, instance, e->instance_size) == 0;
}

static void entry_done(Entry *e) {
        free(e->key);
        free(e->json);
        free(e->now);
        free(e->file);
        free(e->why);
}

static Entry *find(const Overrides *o, const char *key) {
        for (size_t i = 0; i < o->n; i++)
                if (streq(o->entries[i].key, key))
                        return &o->entries[i];
        return NULL;
}

static void take_out(Overrides *o, Entry *e) {
        entry_done(e);
        o->n--;
        memmove(e, e + 1, (o->n - (size_t)(e - o->entries)) * sizeof(*e));
}

static Entry *add(Overrides *o, const char *key) {
        Entry *bigger = reallocarray(o->entries, o->n + 1, sizeof(*bigger));
        char *copy = strdup(key);

        if (bigger)
                o->entries = bigger;
        if (!bigger || !copy) {
                free(copy);
                return NULL;
        }
        bigger[o->n] = (Entry){ .key = copy, .instance_size = strcspn(key, ".") };
        return &bigger[o->n++];
}

static void replace(char **to, const char *text) {
        free(*to);
        *to = text ? strdup(text) : NULL;
}

static int configured(const Overrides *o, const Entry *e) {
        char name[256];

        if (e->instance_size >= sizeof(name))
                return -ENOENT;
        memcpy(name, e->key, e->instance_size);
        name[e->instance_size] = '\0';
        return o->params.configured(o->params.userdata, name);
}

/* ---- answers */

static void publish_error(const Overrides *o, const Entry *e, const char *why) {
        _cleanup_(freep) char *json = why ? json_string(why) : NULL;
        char key[2 * KEY_TEXT_MAX];

        snprintf(key, sizeof(key), "%s.error", e->key);
        if (json || !why)
                o->params.publish(o->params.userdata, key, json);
}

/* For whoever wonders later why it does not go by the file. */
static void log_settled(const Overrides *o, const Entry *e, const char *before) {
        char text[600];

        if (e->why)
                snprintf(text, sizeof(text), "shared attribute %.100s = %.80s is refused: %.300s", e->key,
                         e->json ? e->json : "", e->why);
        else if (e->now && (!before || !streq(before, e->now)))
                snprintf(text, sizeof(text), "%.100s is %.80s now, as the %s says", e->key, e->now,
                         e->json ? "shared attribute of that name" : "configuration");
        else
                return;
        o->params.log(o->params.userdata, text);
}

static void settle(const Overrides *o, Entry *e, int error, const char *now, const char *file, const char *why) {
        bool is_option = error != -ENOENT && error != -EPERM;
        _cleanup_(freep) char *before = TAKE_PTR(e->now);

        replace(&e->now, is_option && o->allowed ? now : NULL);
        replace(&e->file, is_option && o->allowed ? file : NULL);
        replace(&e->why, error < 0 ? why : NULL);
        e->state = !is_option || !o->allowed ? OVERRIDE_NONE : error == 0 ? OVERRIDE_APPLIED : OVERRIDE_REFUSED;
        if (!is_option)
                return;
        log_settled(o, e, before);
        publish_error(o, e, e->why);
        if (now && now[0])
                o->params.publish(o->params.userdata, e->key, now);
}

/* A plugin's process may send anything. */
static const char *checked(const char *json) {
        return json_validate(json, strlen(json)) == 0 ? json : NULL;
}

void overrides_effect(Overrides *o, const char *instance, const char *path, int error, const char *now, const char *file,
                      const char *why) {
        char key[2 * KEY_TEXT_MAX];
        Entry *e;

        if (snprintf(key, sizeof(key), "%s.%s", instance, path) >= (int)sizeof(key))
                return;
        e = find(o, key);
        if (!e)
                return;
        e->open -= e->open > 0;
        settle(o, e, error, checked(now), checked(file), why);
        if (!e->json && e->open == 0) /* deleted: the file's value holds again */
                take_out(o, e);
}

/* ---- enabled */

bool overrides_enabled(const Overrides *o, const char *instance, bool configured_so) {
        for (size_t i = 0; o->allowed && i < o->n; i++) {
                const Entry *e = &o->entries[i];

                if (is_of(e, instance) && streq(path_of(e), ENABLED) && e->json &&
                    (streq(e->json, "true") || streq(e->json, "false")))
                        return streq(e->json, "true");
        }
        return configured_so;
}

static void apply_enabled(Overrides *o, Entry *e) {
        bool good = !e->json || streq(e->json, "true") || streq(e->json, "false");
        const char *file = configured(o, e) > 0 ? "true" : "false";

        if (good)
                settle(o, e, 0, e->json && o->allowed ? e->json : file, file, NULL);
        else
                settle(o, e, -EINVAL, file, file, "enabled is true or false");
        if (!e->json)
                take_out(o, e);
        o->params.enabled(o->params.userdata);
}

/* ---- to the host */

static int make_setting(const char *json, Setting **ret) {
        _cleanup_(tree_putp) json_object *tree = NULL;
        int r = tree_parse(json, strlen(json), &tree);

        return r < 0 ? r : tree_setting(tree, ret);
}

static void apply(Overrides *o, Entry *e) {
        _cleanup_(setting_freep) Setting *setting = NULL;
        char instance[256];
        int r = 0;

        if (e->instance_size >= sizeof(instance))
                return;
        memcpy(instance, e->key, e->instance_size);
        instance[e->instance_size] = '\0';
        if (e->json && o->allowed)
                r = make_setting(e->json, &setting);
        if (r == 0)
                r = o->params.apply(o->params.userdata, instance, path_of(e), setting);
        e->open += r == 0;
        e->due = r == -EAGAIN || r == -ENOMEM;
        if (e->due)
                loop_timer_arm_in(o->retry, RETRY_WAIT, USEC_PER_MSEC);
        else if (r < 0 && r != -ENOTCONN) /* none that a setting can be made of */
                e->state = OVERRIDE_NONE;
}

/* What is in the file for it comes true with the next process anyway: nothing to do where there is none. */
static void look(Overrides *o, Entry *e) {
        if (configured(o, e) < 0) {
                e->state = OVERRIDE_WAITING;
                e->open = 0;
                e->due = false;
                if (!e->json)
                        take_out(o, e);
                return;
        }
        if (!o->allowed && !e->now && e->open == 0) { /* never applied: there is nothing to take back */
                e->state = OVERRIDE_NONE;
                e->due = false;
                if (!e->json)
                        take_out(o, e);
                return;
        }
        if (streq(path_of(e), ENABLED))
                apply_enabled(o, e);
        else
                apply(o, e);
}

static void on_retry(void *userdata) {
        Overrides *o = userdata;

        for (size_t i = o->n; i-- > 0;)
                if (o->entries[i].due)
                        look(o, &o->entries[i]);
}

/* ---- the owner's side */

void overrides_set(Overrides *o, const char *key, const char *json) {
        Entry *e = find(o, key);
        size_t size = strcspn(key, ".");

        if (!e && json && size > 0 && key[size] == '.' && key[size + 1] != '\0')
                e = add(o, key);
        if (!e)
                return;
        replace(&e->json, json);
        look(o, e);
}

void overrides_begin(Overrides *o, const char *instance) {
        for (size_t i = o->n; i-- > 0;) {
                Entry *e = &o->entries[i];

                if (!is_of(e, instance) || streq(path_of(e), ENABLED))
                        continue;
                e->open = 0;
                look(o, e);
        }
}

void overrides_allow(Overrides *o, bool allowed) {
        if (o->allowed == allowed)
                return;
        o->allowed = allowed;
        for (size_t i = o->n; i-- > 0;)
                look(o, &o->entries[i]);
        if (!allowed)
                o->params.enabled(o->params.userdata);
}

void overrides_reloaded(Overrides *o) {
        for (size_t i = o->n; i-- > 0;) {
                Entry *e = &o->entries[i];
                char text[600];

                if (e->state == OVERRIDE_APPLIED && o->allowed && configured(o, e) >= 0) {
                        snprintf(text, sizeof(text), "%.100s stays %.80s, as the shared attribute of that name says, whatever "
                                 "the file says: delete the attribute to go by the file", e->key, e->json ? e->json : "");
                        o->params.log(o->params.userdata, text);
                } else if (e->state == OVERRIDE_WAITING || configured(o, e) < 0)
                        look(o, e);
        }
}

size_t overrides_n(const Overrides *o) {
        return o->n;
}

Override overrides_at(const Overrides *o, size_t i) {
        const Entry *e = &o->entries[i];

        return (Override){ .key = e->key, .instance_size = e->instance_size, .path = path_of(e), .json = e->json,
                           .state = e->state, .now = e->now, .file = e->file, .why = e->why };
}

int overrides_new(Overrides **ret, const OverridesParams *params) {
        _cleanup_(overrides_freep) Overrides *o = calloc(1, sizeof(*o));
        int r;

        if (!o)
                return -ENOMEM;
        o->params = *params;
        o->allowed = true;
        r = loop_timer_new(&o->retry, params->loop, "overrides", on_retry, o);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

Overrides *overrides_free(Overrides *o) {
        if (!o)
                return NULL;
        loop_timer_free(o->retry);
        for (size_t i = 0; i < o->n; i++)
                entry_done(&o->entries[i]);
        free(o->entries);
        free(o);
        return NULL;
}
