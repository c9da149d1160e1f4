/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts of agent/: which plugins there are, who the machine is. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/identity.h"
#include "agent/plugins.h"
#include "tree.h"

/* ---- plugins */

static void plugins_are_found_by_name(void **state _unused_) {
        char *t = tree_new();
        _cleanup_(freep) char *path = NULL, *text = NULL, *dirs = NULL, *expected = NULL;

        tree_put(t, "a/one.so", "");
        tree_put(t, "b/system.so", "");
        assert_true(asprintf(&dirs, "%s/a:%s/b", t, t) > 0);
        assert_true(asprintf(&expected, "%s/b/system.so", t) > 0);
        assert_int_equal(plugins_find(dirs, "system", &path, &text), 0);
        assert_string_equal(path, expected);
        tree_free(t);
}

static void a_missing_plugin_is_told_with_the_nearest(void **state _unused_) {
        char *t = tree_new();
        _cleanup_(freep) char *path = NULL, *text = NULL;

        tree_put(t, "onewire.so", "");
        tree_put(t, "system.so", "");
        assert_int_equal(plugins_find(t, "systm", &path, &text), -ENOENT);
        assert_string_equal(text, "no plugin \"systm\" is installed; did you mean \"system\"? There are: onewire, system");
        tree_free(t);
}

static void a_plugin_name_is_no_path(void **state _unused_) {
        static const char *const names[] = { "../system", "/etc/x", "", "a b", "-x", "a.so" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_(freep) char *path = NULL, *text = NULL;
                assert_int_equal(plugins_find("/tmp", names[i], &path, &text), -EINVAL);
                assert_non_null(strstr(text, "is no plugin name"));
        }
}

/* ---- identity */

static void the_identity_stays(void **state _unused_) {
        char *t = tree_new();
        char a[IDENTITY_DIGITS + 1], b[IDENTITY_DIGITS + 1];

        identity_get(t, a);
        identity_get(t, b);
        assert_int_equal(strspn(a, "0123456789abcdef"), IDENTITY_DIGITS);
        assert_string_equal(a, b);
        assert_true(identity_splay(a, USEC_PER_SEC) < USEC_PER_SEC);
        assert_int_equal(identity_splay(a, USEC_PER_SEC), identity_splay(b, USEC_PER_SEC));
        assert_int_equal(identity_splay(a, 0), 0);
        tree_free(t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plugins_are_found_by_name),
                cmocka_unit_test(a_missing_plugin_is_told_with_the_nearest),
                cmocka_unit_test(a_plugin_name_is_no_path),
                cmocka_unit_test(the_identity_stays),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
