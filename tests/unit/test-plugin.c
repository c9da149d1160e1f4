/* SPDX-License-Identifier: Apache-2.0 */
/* The loader, with the plugins of tests/plugins (TBAGENT_PLUGINS). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "sensor/channels.h"
#include "sensor/plugin.h"

static const char *path_of(const char *name) {
        static char path[512];

        snprintf(path, sizeof path, "%s/%s.so", getenv("TBAGENT_PLUGINS"), name);
        return path;
}

static void assert_refused(const char *path, const char *part) {
        _cleanup_(freep) char *why = NULL;
        Plugin *p = NULL;

        assert_true(plugin_new(&p, path, instance_options, &why) < 0);
        assert_null(p);
        assert_non_null(why);
        if (!strstr(why, part))
                fail_msg("\"%s\" is not in: %s", part, why);
}

static void a_good_one_is_loaded(void **state _unused_) {
        _cleanup_(plugin_freep) Plugin *p = NULL;
        _cleanup_(freep) char *why = NULL;

        assert_int_equal(plugin_new(&p, path_of("ok"), instance_options, &why), 0);
        assert_string_equal(p->ops.name, "ok");
        assert_non_null(plugin_method(p, "echo"));
        assert_null(plugin_method(p, "ech"));
}

static void verbs_behind_the_size_are_absent(void **state _unused_) {
        _cleanup_(plugin_freep) Plugin *p = NULL;
        _cleanup_(freep) char *why = NULL;

        assert_int_equal(plugin_new(&p, path_of("old-size"), instance_options, &why), 0);
        assert_non_null(p->ops.sample);
        assert_null(p->ops.rpc);
        assert_null(p->ops.close);
}

static void unfit_ones_are_refused_with_a_reason(void **state _unused_) {
        assert_refused(path_of("no-symbol"), "no symbol tbagent_plugin");
        assert_refused(path_of("wrong-abi"), "built for interface 77");
        assert_refused(path_of("new-size"), "built with a newer tbagent: update this one");
        assert_refused(path_of("wrong-name"), "name and file have to be the same");
        assert_refused(path_of("bad-table"), "\"port\" stands twice");
        assert_refused(path_of("absent"), "cannot be read");
        assert_refused("/", "not a regular file");
}

static void a_file_that_is_no_object_is_refused(void **state _unused_) {
        char folder[] = "/tmp/test-plugin-XXXXXX", path[64];

        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof path, "%s/x.so", folder);
        assert_true(file_replace(path, "text", 4, 0644) >= 0);
        assert_refused(path, "cannot be loaded");
        assert_int_equal(chmod(path, 0666), 0);
        assert_refused(path, "chmod o-w");
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(chmod(folder, 0777), 0);
        assert_refused(path, "folder");
        unlink(path);
        rmdir(folder);
}

/* A plugin must not take a name that every instance has: the plugin `ok` against a table with one of its own. */
static void reserved_names_are_refused(void **state _unused_) {
        static const struct tbagent_option reserved[] = { { .name = "text", .type = TBAGENT_STRING }, { 0 } };
        _cleanup_(freep) char *why = NULL;
        Plugin *p = NULL;

        assert_true(plugin_new(&p, path_of("ok"), reserved, &why) < 0);
        assert_non_null(strstr(why, "\"text\" has the name of an option that every plugin has"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_good_one_is_loaded),
                cmocka_unit_test(verbs_behind_the_size_are_absent),
                cmocka_unit_test(unfit_ones_are_refused_with_a_reason),
                cmocka_unit_test(a_file_that_is_no_object_is_refused),
                cmocka_unit_test(reserved_names_are_refused),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        if (!getenv("TBAGENT_PLUGINS")) {
                printf("1..0 # SKIP TBAGENT_PLUGINS says where they are\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
