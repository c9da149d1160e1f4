/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "attributes-world.h"
#include "model/value.h"
#include "tb/tree.h"

#define START (1000 * USEC_PER_SEC) /* of the simulated clock */

static int on_ask(void *userdata) {
        World *w = userdata;

        assert_true(w->online);
        assert_false(w->open); /* never two at a time */
        if (w->refuse < 0)
                return w->refuse;
        if (w->asked < WORLD_TIMES)
                w->times[w->asked] = loop_monotonic(w->loop) - START;
        w->asked++;
        w->open = true;
        if (w->on_ask)
                w->on_ask(w->userdata);
        return 0;
}

static void on_changed(void *userdata, const char *key, const Attribute *now) {
        World *w = userdata;
        const Attribute *held = attributes_get(w->a, key), *was = attributes_get(w->copy, key);
        _cleanup_(freep) char *quoted = json_string(key), *deletion = NULL;

        w->changes++;
        assert_ptr_equal(held, now);
        if (now) {
                assert_string_equal(now->key, key);
                assert_int_equal(strlen(now->json), now->json_size);
                assert_false(was && streq(was->json, now->json)); /* a change changes something */
                assert_int_equal(attributes_set(w->copy, key, now->json, now->json_size), 0);
                return;
        }
        assert_non_null(was);
        assert_true(asprintf(&deletion, "{\"deleted\":[%s]}", quoted) > 0);
        attributes_update(w->copy, deletion, strlen(deletion));
}

static void on_client(void *userdata, json_object *client) {
        World *w = userdata;

        w->client++;
        snprintf(w->client_text, sizeof(w->client_text), "%s",
                 client ? json_object_to_json_string_ext(client, JSON_C_TO_STRING_PLAIN) : "none");
}

static void on_synced(void *userdata) {
        World *w = userdata;

        assert_true(w->online);
        w->synced++;
}

static void on_warning(void *userdata, const char *text) {
        World *w = userdata;

        w->warnings++;
        snprintf(w->warning, sizeof(w->warning), "%s", text);
}

static int copy_ask(void *userdata _unused_) {
        return -ENOTCONN;
}

static void copy_changed(void *userdata _unused_, const char *key _unused_, const Attribute *now _unused_) {
}

static void copy_client(void *userdata _unused_, json_object *client _unused_) {
}

static void copy_synced(void *userdata _unused_) {
}

static void copy_warning(void *userdata _unused_, const char *text) {
        fail_msg("%s", text);
}

void world_new(World *w) {
        AttributesEvents events = { on_ask, on_changed, on_client, on_synced, on_warning, w };
        AttributesEvents quiet = { copy_ask, copy_changed, copy_client, copy_synced, copy_warning, NULL };

        *w = (World){ 0 };
        assert_int_equal(loop_new_simulated(&w->loop, 0), 0);
        assert_int_equal(attributes_new(&w->a, w->loop, &events), 0);
        assert_int_equal(attributes_new(&w->copy, w->loop, &quiet), 0);
}

void world_done(World *w) {
        attributes_free(w->a);
        attributes_free(w->copy);
        loop_free(w->loop);
}

void world_advance(World *w, usec_t by) {
        assert_int_equal(loop_advance(w->loop, by), 0);
}

/* From memory that ends with the text. */
static char *exact(const char *json, size_t *ret_size) {
        char *copy;

        *ret_size = json ? strlen(json) : 0;
        if (!json)
                return NULL;
        copy = malloc(MAX(*ret_size, (size_t)1));
        assert_non_null(copy);
        memcpy(copy, json, *ret_size);
        return copy;
}

void world_answer(World *w, int error, const char *json) {
        size_t size;
        _cleanup_(freep) char *text = exact(json, &size);

        assert_true(w->open);
        w->open = false;
        attributes_answer(w->a, error, text, size);
}

void world_update(World *w, const char *json) {
        size_t size;
        _cleanup_(freep) char *text = exact(json, &size);

        attributes_update(w->a, text, size);
}

char *world_text(const Attributes *a) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        fputc('{', f);
        for (size_t i = 0; i < attributes_n(a); i++) {
                const Attribute *at = attributes_at(a, i);
                _cleanup_(freep) char *key = json_string(at->key);

                if (i > 0)
                        assert_true(strcmp(attributes_at(a, i - 1)->key, at->key) < 0);
                assert_ptr_equal(attributes_get(a, at->key), at);
                fprintf(f, "%s%s:%s", i > 0 ? "," : "", key, at->json);
        }
        fputc('}', f);
        fclose(f);
        return text;
}

void world_expect(const World *w, const char *json) {
        _cleanup_(freep) char *now = world_text(w->a), *copy = world_text(w->copy);

        assert_string_equal(now, json);
        assert_string_equal(copy, json);
}
