/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon tells of an instance. Its plugin is not installed, so each has one thing to tell at its start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/instance.h"

typedef struct World {
        Loop *loop;
        Spool *spool;
        Keys *keys;
        Setting *settings;
        bool trusted;
        unsigned appended;
} World;

static bool time_trusted(void *userdata) {
        return ((World *)userdata)->trusted;
}

static void on_appended(void *userdata, bool immediate _unused_) {
        ((World *)userdata)->appended++;
}

static void on_changed(void *userdata _unused_, Instance *i _unused_) {
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        assert_int_equal(loop_new_simulated(&w->loop, 0), 0);
        assert_int_equal(spool_new(&w->spool, &(SpoolParams){ .loop = w->loop, .ring_size = 64 * KIB }), 0);
        assert_int_equal(keys_new(&w->keys), 0);
        assert_int_equal(setting_new(&w->settings, SETTING_GROUP, "boiler", "a.conf", 3), 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        spool_free(w->spool);
        keys_free(w->keys);
        setting_free(w->settings);
        loop_free(w->loop);
        free(w);
        return 0;
}

static Instance *start(World *w, const char *name, unsigned owner) {
        InstanceParams p = { .loop = w->loop, .spool = w->spool, .keys = w->keys, .owner = owner, .host_path = "/nowhere",
                             .plugin_dirs = "/nowhere", .appended = on_appended, .changed = on_changed,
                             .time_trusted = time_trusted, .userdata = w };
        ConfigInstance config = { .name = name, .plugin = "none", .enabled = true, .settings = w->settings, .file = "a.conf",
                                  .line = 3 };
        Instance *i = NULL;

        assert_int_equal(instance_new(&i, &p, &config), 0);
        instance_start(i);
        assert_int_equal(instance_state(i), HOST_MISCONFIGURED);
        return i;
}

static SpoolRow expect_row(World *w, uint64_t seq, const char *text, uint32_t flags) {
        SpoolRow r;

        assert_int_equal(spool_next(w->spool, LANE_LIVE, seq, &r), 1);
        assert_int_equal(r.seq, seq);
        assert_int_equal(r.row.text_size, strlen(text));
        assert_memory_equal(r.row.text, text, r.row.text_size);
        assert_int_equal(r.row.flags, flags);
        return r;
}

static void an_estimated_time_is_told_once_and_taken_back_once(void **state) {
        World *w = *state;
        Instance *i = start(w, "boiler", 1);
        int64_t first = expect_row(w, 1, "{\"boiler_ok\":false}", ROW_IMMEDIATE).row.boottime_ns;

        assert_int_equal(expect_row(w, 2, "{\"boiler_time\":\"estimated\"}", ROW_ESTIMATED).row.boottime_ns, first);
        assert_int_equal(w->appended, 2);
        instance_start(i); /* as after a restart of the host: all is told */
        assert_int_equal(spool_stats(w->spool).next_seq, 3);
        assert_int_equal(loop_advance(w->loop, USEC_PER_SEC), 0);
        w->trusted = true;
        instance_time_trusted(i);
        instance_time_trusted(i);
        assert_int_equal(expect_row(w, 3, "{\"boiler_time\":\"trusted\"}", 0).row.boottime_ns, first + NSEC_PER_SEC);
        assert_int_equal(spool_stats(w->spool).next_seq, 4);
        instance_free(i);
}

static void a_time_that_was_right_is_not_told(void **state) {
        World *w = *state;
        Instance *i;

        w->trusted = true;
        i = start(w, "boiler", 1);
        instance_time_trusted(i);
        assert_int_equal(spool_stats(w->spool).next_seq, 2);
        instance_free(i);
}

/* The file gives "boiler_ok" to a channel of an instance that runs, and now there is an instance boiler as well. */
static void keys_that_a_file_gives_away_are_left_alone(void **state) {
        World *w = *state;
        KeysConflict with;
        unsigned owner;
        Instance *i;

        assert_int_equal(keys_declare(w->keys, "boiler_ok", 7, "b.conf", 5, &with), 0);
        i = start(w, "boiler", 1);
        assert_string_equal(instance_reason(i), "a.conf:3: key \"boiler_ok\" is also made at b.conf:5: give one of them another "
                                                "name (key = \"...\")");
        assert_int_equal(w->appended, 0);
        instance_free(i);
        /* freed, it has none any more: the agent makes a new one when the file is mended */
        keys_release(w->keys, 7);
        i = start(w, "boiler", 2);
        expect_row(w, 1, "{\"boiler_ok\":false}", ROW_IMMEDIATE);
        instance_free(i);
        assert_int_equal(keys_claim(w->keys, "boiler_time", 11, 3, &owner), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(an_estimated_time_is_told_once_and_taken_back_once, setup, teardown),
                cmocka_unit_test_setup_teardown(a_time_that_was_right_is_not_told, setup, teardown),
                cmocka_unit_test_setup_teardown(keys_that_a_file_gives_away_are_left_alone, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
