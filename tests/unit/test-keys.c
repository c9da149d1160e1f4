/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/keys.h"

static Keys *new_keys(void) {
        Keys *k = NULL;

        assert_int_equal(keys_new(&k), 0);
        return k;
}

static int claim(Keys *k, const char *key, unsigned owner) {
        unsigned other = 0;
        int r = keys_claim(k, key, strlen(key), owner, &other);

        return r == 1 ? (int)other : r < 0 ? r : 0;
}

static void first_emitter_keeps_the_key(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();

        assert_int_equal(claim(k, "temperature", 1), 0);
        assert_int_equal(claim(k, "temperature", 1), 0);
        assert_int_equal(claim(k, "temperature", 2), 1);
        assert_int_equal(claim(k, "temp", 2), 0);
        assert_int_equal(claim(k, "temp", 1), 2);
}

static void released_keys_go_to_the_next(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();

        assert_int_equal(claim(k, "a", 1), 0);
        keys_release(k, 1);
        assert_int_equal(claim(k, "a", 2), 0);
        assert_int_equal(claim(k, "a", 1), 2);
}

static void declared_keys_conflict_with_file_and_line(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();
        KeysConflict c = { 0 };

        assert_int_equal(keys_declare(k, "door", 1, "a.conf", 3, &c), 0);
        assert_int_equal(keys_declare(k, "door", 1, "a.conf", 9, &c), 0);
        assert_int_equal(keys_declare(k, "door", 2, "b.conf", 7, &c), 1);
        assert_string_equal(c.with, "door");
        assert_null(c.generated_from);
        assert_string_equal(c.file, "a.conf");
        assert_int_equal(c.line, 3);
        assert_int_equal(c.owner, 1);
        assert_int_equal(claim(k, "door", 2), 1);
}

static void generated_keys_conflict_both_ways(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();
        KeysConflict c = { 0 };

        assert_int_equal(keys_declare(k, "room", 1, "a.conf", 3, &c), 0);
        assert_int_equal(keys_declare(k, "room_max", 2, "b.conf", 4, &c), 1);
        assert_string_equal(c.with, "room_max");
        assert_string_equal(c.generated_from, "room");
        assert_int_equal(keys_declare(k, "hall_ok", 2, "b.conf", 5, &c), 0);
        assert_int_equal(keys_declare(k, "hall", 1, "a.conf", 6, &c), 1);
        assert_string_equal(c.with, "hall_ok");
        assert_string_equal(c.file, "b.conf");
        assert_int_equal(c.line, 5);
}

static void generated_keys_conflict_within_one_instance(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();
        KeysConflict c = { 0 };

        assert_int_equal(keys_declare(k, "room", 1, "a.conf", 3, &c), 0);
        assert_int_equal(keys_declare(k, "room_ok", 1, "a.conf", 4, &c), 1);
        assert_string_equal(c.generated_from, "room");
}

static void what_the_daemon_tells_is_its_own(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();
        KeysConflict c = { 0 };
        unsigned other = 99;
        char text[200];

        assert_int_equal(claim(k, "boiler_ok", 2), 0);
        assert_int_equal(keys_reserve(k, "boiler", 1, "a.conf", 3, &c), 0);
        for (unsigned owner = 1; owner <= 2; owner++) { /* 2 had not declared its key, and loses it */
                assert_int_equal(keys_claim(k, "boiler_ok", 9, owner, &other), 1);
                assert_int_equal(other, KEYS_AGENT);
                assert_int_equal(keys_claim(k, "boiler_time", 11, owner, &other), 1);
                assert_int_equal(claim(k, "boiler", owner), owner == 1 ? 0 : 1);
        }
        keys_release(k, 2);
        assert_int_equal(keys_reserve(k, "gas", 2, "a.conf", 4, &c), 0);
        assert_int_equal(keys_declare(k, "boiler_ok", 2, "b.conf", 5, &c), 1);
        assert_string_equal(keys_conflict_text(&c, text, sizeof(text)),
                            "key \"boiler_ok\" is what the daemon tells of instance boiler (a.conf:3): give this one another name "
                            "(key = \"...\")");
        assert_int_equal(keys_declare(k, "boiler", 2, "b.conf", 6, &c), 1); /* its health would be boiler_ok as well */
        assert_string_equal(c.with, "boiler_ok");
        keys_release(k, 1);
        assert_int_equal(keys_declare(k, "boiler_ok", 2, "b.conf", 5, &c), 0);
        assert_int_equal(keys_reserve(k, "boiler", 3, "a.conf", 3, &c), 1);
        assert_int_equal(c.owner, 2);
        assert_string_equal(c.file, "b.conf");
        assert_int_equal(keys_claim(k, "boiler_time", 11, 2, &other), 0); /* all or nothing */
}

/* A channel that is named like its instance. */
static void the_daemons_own_conflict_within_one_instance(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();
        KeysConflict c = { 0 };

        assert_int_equal(keys_reserve(k, "boiler", 1, "a.conf", 3, &c), 0);
        assert_int_equal(keys_declare(k, "boiler", 1, "a.conf", 4, &c), 1);
        assert_int_equal(c.owner, KEYS_AGENT);
        assert_string_equal(c.with, "boiler_ok");
        assert_int_equal(c.line, 3);
        assert_int_equal(keys_declare(k, "boiler_temp", 1, "a.conf", 5, &c), 0);
}

static void the_table_is_bounded(void **state _unused_) {
        _cleanup_(keys_freep) Keys *k = new_keys();
        char key[16];

        for (unsigned i = 0; i < KEYS_MAX; i++) {
                snprintf(key, sizeof(key), "k%u", i);
                assert_int_equal(claim(k, key, 1), 0);
        }
        assert_int_equal(claim(k, "one more", 1), -ENOSPC);
        for (unsigned i = 0; i < KEYS_MAX; i += 977) {
                snprintf(key, sizeof(key), "k%u", i);
                assert_int_equal(claim(k, key, 2), 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(first_emitter_keeps_the_key),
                cmocka_unit_test(released_keys_go_to_the_next),
                cmocka_unit_test(declared_keys_conflict_with_file_and_line),
                cmocka_unit_test(generated_keys_conflict_both_ways),
                cmocka_unit_test(generated_keys_conflict_within_one_instance),
                cmocka_unit_test(what_the_daemon_tells_is_its_own),
                cmocka_unit_test(the_daemons_own_conflict_within_one_instance),
                cmocka_unit_test(the_table_is_bounded),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
