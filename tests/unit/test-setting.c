/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "model/setting.h"

static Setting *group(const char *name, const char *file, unsigned line) {
        Setting *s;

        assert_int_equal(setting_new(&s, SETTING_GROUP, name, file, line), 0);
        return s;
}

static Setting *add(Setting *parent, SettingType type, const char *name, const char *file, unsigned line) {
        Setting *s;

        assert_int_equal(setting_new(&s, type, name, file, line), 0);
        assert_int_equal(setting_add(parent, s), 0);
        return s;
}

static Setting *add_int(Setting *parent, const char *name, int64_t value, const char *file, unsigned line) {
        Setting *s = add(parent, SETTING_INT, name, file, line);

        s->i = value;
        return s;
}

static Setting *add_string(Setting *parent, const char *name, const char *value, const char *file, unsigned line) {
        Setting *s = add(parent, SETTING_STRING, name, file, line);

        assert_int_equal(setting_set_string(s, value), 0);
        return s;
}

/* { every = "10s"; sensors = { a = { decimals = 2; big = 9223372036854775807; valid = (-10, 0.5, true); }; }; } */
static Setting *example(const char *file) {
        Setting *root = group(NULL, file, 1), *sensors, *a, *valid;

        add_string(root, "every", "10s", file, 2);
        sensors = add(root, SETTING_GROUP, "sensors", file, 3);
        a = add(sensors, SETTING_GROUP, "a", file, 4);
        add_int(a, "decimals", 2, file, 5);
        add_int(a, "big", INT64_MAX, file, 6);
        valid = add(a, SETTING_LIST, "valid", file, 7);
        add_int(valid, NULL, -10, file, 7);
        add(valid, SETTING_FLOAT, NULL, file, 7)->d = 0.5;
        add(valid, SETTING_BOOL, NULL, file, 7)->b = true;
        return root;
}

static void assert_same(const Setting *a, const Setting *b) {
        assert_int_equal(a->type, b->type);
        assert_int_equal(a->line, b->line);
        assert_int_equal(a->name != NULL, b->name != NULL);
        if (a->name)
                assert_string_equal(a->name, b->name);
        assert_string_equal(a->file, b->file);
        assert_int_equal(a->n_children, b->n_children);
        for (size_t i = 0; i < a->n_children; i++)
                assert_same(a->children[i], b->children[i]);
        if (a->type == SETTING_INT)
                assert_true(a->i == b->i);
        if (a->type == SETTING_FLOAT)
                assert_true(a->d == b->d);
        if (a->type == SETTING_STRING)
                assert_string_equal(a->s, b->s);
        if (a->type == SETTING_BOOL)
                assert_true(a->b == b->b);
}

static void test_lookup(void **state) {
        _cleanup_(setting_freep) Setting *root = example("a.conf");

        (void)state;
        assert_int_equal(setting_lookup(root, "sensors.a.decimals")->i, 2);
        assert_ptr_equal(setting_lookup(root, "every"), setting_child(root, "every"));
        assert_null(setting_lookup(root, "sensors.b.decimals"));
        assert_null(setting_lookup(root, "sensor"));
        assert_null(setting_lookup(root, "every.x"));
        assert_null(setting_lookup(root, "sensors."));
        assert_null(setting_lookup(root, ""));
}

static void test_merge(void **state) {
        _cleanup_(setting_freep) Setting *into = example("a.conf");
        Setting *from = group(NULL, "b.conf", 1), *sensors, *a, *b;

        (void)state;
        add_string(from, "every", "1s", "b.conf", 2);
        sensors = add(from, SETTING_GROUP, "sensors", "b.conf", 3);
        a = add(sensors, SETTING_GROUP, "a", "b.conf", 4);
        add_int(a, "decimals", 3, "b.conf", 5);
        add_int(a, "valid", 0, "b.conf", 6); /* another type: replaced */
        b = add(sensors, SETTING_GROUP, "b", "b.conf", 7);
        add_int(b, "decimals", 4, "b.conf", 8);
        assert_int_equal(setting_merge(into, from), 0);

        assert_int_equal(into->n_children, 2);
        assert_string_equal(setting_child(into, "every")->s, "1s");
        assert_string_equal(setting_child(into, "every")->file, "b.conf");
        assert_string_equal(setting_child(into, "sensors")->file, "a.conf");
        assert_int_equal(setting_lookup(into, "sensors.a.decimals")->i, 3);
        assert_int_equal(setting_lookup(into, "sensors.a.decimals")->line, 5);
        assert_true(setting_lookup(into, "sensors.a.big")->i == INT64_MAX);
        assert_int_equal(setting_lookup(into, "sensors.a.valid")->type, SETTING_INT);
        assert_int_equal(setting_lookup(into, "sensors.b.decimals")->i, 4);
}

static void test_merge_of_values(void **state) {
        _cleanup_(setting_freep) Setting *root = example("a.conf");
        Setting *value = NULL;

        (void)state;
        assert_int_equal(setting_new(&value, SETTING_BOOL, "other", "b.conf", 9), 0);
        value->b = true;
        assert_int_equal(setting_merge(setting_child(root, "sensors"), value), 0);
        assert_int_equal(setting_child(root, "sensors")->type, SETTING_BOOL);
        assert_int_equal(setting_child(root, "sensors")->line, 9);
        assert_null(setting_child(root, "other"));
}

static void test_remove_and_add(void **state) {
        _cleanup_(setting_freep) Setting *root = group(NULL, NULL, 0);
        char name[16];

        (void)state;
        for (int i = 0; i < 40; i++) {
                snprintf(name, sizeof(name), "n%d", i);
                add_int(root, name, i, NULL, 0);
                if (i % 3 == 0)
                        setting_remove(root, name);
        }
        setting_remove(root, "n0");
        assert_int_equal(root->n_children, 26);
        assert_null(setting_child(root, "n39"));
        assert_int_equal(setting_child(root, "n38")->i, 38);
}

static void test_copy_and_codec(void **state) {
        _cleanup_(setting_freep) Setting *root = example("a.conf"), *copy = NULL, *decoded = NULL;
        uint8_t bytes[1024];
        size_t size;

        (void)state;
        add_string(root, "odd", "", "other.conf", 70000);
        assert_int_equal(setting_copy(&copy, root), 0);
        assert_same(root, copy);

        size = setting_encoded_size(root);
        assert_true(size <= sizeof(bytes));
        assert_int_equal(setting_encode(root, bytes), size);
        assert_int_equal(setting_decode(bytes, size, &decoded), 0);
        assert_same(root, decoded);
        /* "a.conf" is there once */
        assert_null(memmem((uint8_t *)memmem(bytes, size, "a.conf", 6) + 1, 100, "a.conf", 6));
}

static void test_same(void **state) {
        _cleanup_(setting_freep) Setting *a = example("a.conf"), *b = example("b.conf");

        (void)state;
        assert_true(setting_same(a, b));
        assert_false(setting_same(a, NULL));
        assert_true(setting_same(NULL, NULL));
        setting_lookup(b, "sensors.a.decimals")->i++;
        assert_false(setting_same(a, b));
        setting_lookup(b, "sensors.a.decimals")->i--;
        setting_lookup(b, "sensors.a.decimals")->line++;
        assert_true(setting_same(a, b));
        add_int(setting_lookup(b, "sensors.a.valid"), NULL, 1, "b.conf", 7);
        assert_false(setting_same(a, b));
}

/* No cut or changed byte is more than refused or another tree; run under the sanitizers. */
static void test_decode_damage(void **state) {
        _cleanup_(setting_freep) Setting *root = example("a.conf");
        uint8_t bytes[1024], damaged[1024];
        size_t size = setting_encode(root, bytes);

        (void)state;
        for (size_t cut = 0; cut < size; cut++) {
                Setting *s = NULL;

                assert_int_equal(setting_decode(bytes, cut, &s), -EBADMSG);
                assert_null(s);
        }
        bytes[size] = 0;
        assert_int_equal(setting_decode(bytes, size + 1, &root), -EBADMSG);
        for (size_t at = 0; at < size; at++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        Setting *s = NULL;
                        int r;

                        memcpy(damaged, bytes, size);
                        damaged[at] ^= (uint8_t)(1u << bit);
                        r = setting_decode(damaged, size, &s);
                        assert_true(r == 0 || r == -EBADMSG);
                        setting_free(s);
                }
}

static void test_decode_depth(void **state) {
        _cleanup_(setting_freep) Setting *root = group(NULL, "f", 1), *decoded = NULL;
        uint8_t bytes[1024];
        Setting *at = root;
        size_t size;

        (void)state;
        for (int i = 1; i < SETTING_DEPTH_MAX; i++)
                at = add(at, SETTING_GROUP, "g", "f", 1);
        size = setting_encode(root, bytes);
        assert_int_equal(setting_decode(bytes, size, &decoded), 0);
        add(at, SETTING_GROUP, "g", "f", 1);
        size = setting_encode(root, bytes);
        decoded = setting_free(decoded);
        assert_int_equal(setting_decode(bytes, size, &decoded), -EBADMSG);
}

static void test_text(void **state) {
        _cleanup_(setting_freep) Setting *root = example("a.conf");
        char text[64], little[8];

        (void)state;
        assert_string_equal(setting_text(setting_child(root, "every"), text, sizeof(text)), "\"10s\"");
        assert_string_equal(setting_text(setting_lookup(root, "sensors.a.valid"), text, sizeof(text)), "(-10, 0.5, true)");
        assert_string_equal(setting_text(setting_lookup(root, "sensors.a.big"), text, sizeof(text)), "9223372036854775807");
        assert_string_equal(setting_text(root, text, sizeof(text)), "{ ... }");
        assert_string_equal(setting_text(setting_lookup(root, "sensors.a.valid"), little, sizeof(little)), "(-10, 0");
        assert_string_equal(setting_text(root, little, 1), "");
}

static void test_durations(void **state) {
        static const struct { const char *text; int r; usec_t usec; } cases[] = {
                { "250ms", 0, 250000 }, { "10s", 0, 10000000 }, { "5min", 0, 300000000 }, { "1h", 0, 3600000000 },
                { "2d", 0, 172800000000 }, { "7us", 0, 7 }, { "1.5s", 0, 1500000 }, { "0.5 h", 0, 1800000000 },
                { "0", 0, 0 }, { "0s", 0, 0 }, { "0.000001s", 0, 1 }, { "0.25ms", 0, 250 }, { "106751991d", 0, 9223372022400000000 },
                { "10", -EINVAL, 0 }, { "", -EINVAL, 0 }, { "s", -EINVAL, 0 }, { "-1s", -EINVAL, 0 }, { " 1s", -EINVAL, 0 },
                { "1 s ", -EINVAL, 0 }, { "1  s", -EINVAL, 0 }, { "1m", -EINVAL, 0 }, { "1.s", -EINVAL, 0 }, { ".5s", -EINVAL, 0 },
                { "1.1234567s", -EINVAL, 0 }, { "10sec", -EINVAL, 0 }, { "1e3s", -EINVAL, 0 }, { "0x10s", -EINVAL, 0 },
                { "106751992d", -ERANGE, 0 }, { "99999999999999999999s", -ERANGE, 0 },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                usec_t usec = 0;

                assert_int_equal(duration_parse(cases[i].text, &usec), cases[i].r);
                assert_true(usec == cases[i].usec);
        }
}

static void test_sizes(void **state) {
        static const struct { const char *text; int r; uint64_t size; } cases[] = {
                { "16k", 0, 16384 }, { "16K", 0, 16384 }, { "256M", 0, 268435456 }, { "1G", 0, 1073741824 }, { "100B", 0, 100 },
                { "1.5k", 0, 1536 }, { "0", 0, 0 }, { "1024", -EINVAL, 0 }, { "1m", -EINVAL, 0 }, { "16 kB", -EINVAL, 0 },
                { "9999999999G", -ERANGE, 0 }, { "9223372036854775808B", -ERANGE, 0 }, { "9223372036854775807B", 0, INT64_MAX },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint64_t size = 0;

                assert_int_equal(size_parse(cases[i].text, &size), cases[i].r);
                assert_true(size == cases[i].size);
        }
}

/* What is written reads back as the same. */
static void test_duration_text(void **state) {
        static const char *const texts[] = { "250ms", "10s", "90s", "5min", "1h", "2d", "36h", "1500ms", "1us", "0s" };
        char out[32];
        usec_t usec;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                assert_int_equal(duration_parse(texts[i], &usec), 0);
                assert_string_equal(duration_text(usec, out, sizeof(out)), texts[i]);
        }
        assert_string_equal(size_text(64 * MIB, out, sizeof(out)), "64M");
        assert_string_equal(size_text(1000, out, sizeof(out)), "1000B");
}

static void test_nearest(void **state) {
        static const char *const names[] = { "every", "enabled", "deadband", "decimals", "min_interval", "max_interval", "token", "ca" };
        static const struct { const char *name, *nearest; } cases[] = {
                { "evry", "every" }, { "eveyr", "every" }, { "Every", "every" }, { "dedband", "deadband" }, { "decimal", "decimals" },
                { "min-interval", "min_interval" }, { "mx_interval", "max_interval" }, { "tokn", "token" }, { "maxinterval", "max_interval" },
                { "colour", NULL }, { "x", NULL }, { "", NULL }, { "cb", "ca" }, { "zz", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *n = nearest_name(cases[i].name, names, ELEMENTS(names));

                if (cases[i].nearest)
                        assert_string_equal(n, cases[i].nearest);
                else
                        assert_null(n);
        }
        assert_null(nearest_name("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", names, ELEMENTS(names)));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lookup),          cmocka_unit_test(test_merge),       cmocka_unit_test(test_merge_of_values),
                cmocka_unit_test(test_remove_and_add),  cmocka_unit_test(test_copy_and_codec), cmocka_unit_test(test_decode_damage),
                cmocka_unit_test(test_decode_depth),    cmocka_unit_test(test_text),        cmocka_unit_test(test_durations),
                cmocka_unit_test(test_sizes),           cmocka_unit_test(test_duration_text), cmocka_unit_test(test_nearest),
                cmocka_unit_test(test_same),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
