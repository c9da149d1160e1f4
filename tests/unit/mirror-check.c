/* SPDX-License-Identifier: Apache-2.0 */
#include <libconfig.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "agent/config.h"
#include "base/file.h"
#include "mirror-check.h"
#include "tb/mirror.h"
#include "tb/tree.h"

/* ---- attributes of their own */

static int on_ask(void *userdata _unused_) {
        return -ENOTCONN;
}

static void on_changed(void *userdata _unused_, const char *key _unused_, const Attribute *now _unused_) {
}

static void on_client(void *userdata _unused_, json_object *client _unused_) {
}

static void on_synced(void *userdata _unused_) {
}

static void on_warning(void *userdata _unused_, const char *text _unused_) {
}

Attributes *mirror_attributes(Loop *loop) {
        AttributesEvents events = { on_ask, on_changed, on_client, on_synced, on_warning, NULL };
        Attributes *a;

        assert_int_equal(attributes_new(&a, loop, &events), 0);
        return a;
}

void mirror_set(Attributes *a, const char *key, const char *json) {
        int r = attributes_set(a, key, json, strlen(json));

        if (r < 0)
                fail_msg("%s = %s: %s", key, json, strerror(-r));
}

/* ---- the file, as others read it */

static void expect_string_of(const config_setting_t *s, const char *text, size_t size) {
        const char *found = config_setting_get_string(s);

        assert_int_equal(config_setting_type(s), CONFIG_TYPE_STRING);
        assert_int_equal(strlen(found), size);
        assert_memory_equal(found, text, size);
}

static void expect_typed(const config_setting_t *s, const Attribute *a) {
        double d;

        switch (a->value.type) {
        case VALUE_BOOL:
                assert_int_equal(config_setting_type(s), CONFIG_TYPE_BOOL);
                assert_int_equal(config_setting_get_bool(s), a->value.b);
                break;
        case VALUE_INT:
                if (a->value.i >= INT32_MIN && a->value.i <= INT32_MAX) {
                        assert_int_equal(config_setting_type(s), CONFIG_TYPE_INT);
                        assert_int_equal(config_setting_get_int(s), a->value.i);
                        break;
                }
                assert_int_equal(config_setting_type(s), CONFIG_TYPE_INT64);
                assert_int_equal(config_setting_get_int64(s), a->value.i);
                break;
        case VALUE_DOUBLE:
                assert_int_equal(config_setting_type(s), CONFIG_TYPE_FLOAT);
                d = config_setting_get_float(s);
                assert_memory_equal(&d, &a->value.d, sizeof(d));
                break;
        case VALUE_STRING:
                expect_string_of(s, a->value.s.text, a->value.s.size);
                break;
        case VALUE_JSON:
                fail_msg("%s is no plain value", a->key);
        }
}

static bool is_json(const Attribute *a) {
        return a->value.type == VALUE_JSON || (a->value.type == VALUE_STRING && memchr(a->value.s.text, 0, a->value.s.size));
}

static const config_setting_t *find_named(const config_t *config, const char *key) {
        const config_setting_t *list = config_lookup(config, "named");
        const config_setting_t *found = NULL;

        for (int i = 0; list && i < config_setting_length(list); i++) {
                const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);
                const config_setting_t *name = config_setting_get_member(entry, "name");

                assert_int_equal(config_setting_length(entry), 2);
                if (!streq(config_setting_get_string(name), key))
                        continue;
                assert_null(found);
                found = entry;
        }
        return found;
}

static void expect_attribute(const config_t *config, const Attribute *a) {
        const config_setting_t *entry = find_named(config, a->key), *value;

        if (!entry) {
                value = config_lookup(config, a->key);
                if (!value)
                        fail_msg("%s is not in the file", a->key);
                expect_typed(value, a);
                return;
        }
        value = config_setting_get_member(entry, is_json(a) ? "json" : "value");
        assert_non_null(value);
        if (is_json(a))
                expect_string_of(value, a->json, a->json_size);
        else
                expect_typed(value, a);
}

static size_t count_values(const config_setting_t *s) {
        size_t n = 0;

        if (!config_setting_is_group(s) && !config_setting_is_list(s))
                return 1;
        if (config_setting_is_group(s) && !config_setting_is_root(s) && config_setting_length(s) == 0)
                fail_msg("a group is empty");
        for (int i = 0; i < config_setting_length(s); i++) {
                const config_setting_t *child = config_setting_get_elem(s, (unsigned)i);

                n += config_setting_is_list(s) ? 1 : count_values(child);
        }
        return n;
}

static void read_text(config_t *config, const char *text) {
        config_init(config);
        if (!config_read_string(config, text))
                fail_msg("line %d: %s in\n%.5000s", config_error_line(config), config_error_text(config), text);
}

MirrorPlace mirror_place(const Attributes *a, const char *key) {
        _cleanup_(freep) char *text = NULL;
        config_t config;
        bool named;
        size_t size;

        assert_int_equal(mirror_text(a, &text, &size), 0);
        read_text(&config, text);
        named = find_named(&config, key);
        config_destroy(&config);
        return named ? MIRROR_NAMED : MIRROR_PATH;
}

/* ---- the file, as we read it again */

static void expect_same(const Attributes *a, const Attributes *b) {
        assert_int_equal(attributes_n(a), attributes_n(b));
        for (size_t i = 0; i < attributes_n(a); i++) {
                const Attribute *x = attributes_at(a, i), *y = attributes_at(b, i);

                assert_string_equal(x->key, y->key);
                assert_int_equal(x->value.type, y->value.type);
                if (x->value.type == VALUE_DOUBLE)
                        assert_memory_equal(&x->value.d, &y->value.d, sizeof(double));
                else
                        assert_string_equal(x->json, y->json);
        }
}

static void expect_again(Loop *loop, const Attributes *a, const char *text, size_t size) {
        _cleanup_(attributes_freep) Attributes *again = mirror_attributes(loop);
        _cleanup_(closep) int fd = memfd_create("shared.conf", MFD_CLOEXEC);
        _cleanup_(setting_freep) Setting *root = NULL;
        _cleanup_(freep) char *why = NULL, *text_again = NULL;
        char path[64];
        size_t size_again;

        assert_int_equal(file_write_all(fd, text, size), 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (config_load_tree(path, &root, &why) != 0)
                fail_msg("%s", why);
        assert_int_equal(mirror_load(again, root), 0);
        expect_same(a, again);
        assert_int_equal(mirror_text(again, &text_again, &size_again), 0);
        assert_string_equal(text_again, text);
}

void mirror_check(Loop *loop, const Attributes *a) {
        _cleanup_(freep) char *text = NULL;
        config_t config;
        size_t size;

        assert_int_equal(mirror_text(a, &text, &size), 0);
        assert_int_equal(strlen(text), size);
        read_text(&config, text);
        for (size_t i = 0; i < attributes_n(a); i++)
                expect_attribute(&config, attributes_at(a, i));
        assert_int_equal(count_values(config_root_setting(&config)), attributes_n(a));
        config_destroy(&config);
        expect_again(loop, a, text, size);
}
