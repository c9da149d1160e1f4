/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin keeps: in two real folders, by a real store, on a simulated clock. A process that is killed is one
 * that is not freed before the next one reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/plugin-state.h"
#include "base/file.h"
#include "base/log.h"
#include "tree.h"

#define PERSIST (900 * USEC_PER_SEC)

typedef struct Test {
        Loop *loop;
        Store *store;
        char *root;
        char runtime[256], saved[256], runtime_file[320], saved_file[320];
        unsigned lines; /* of the log */
        char last[512];
} Test;

static Test test;

static void on_line(void *userdata, int level _unused_, const char *line) {
        Test *t = userdata;

        t->lines++;
        snprintf(t->last, sizeof(t->last), "%s", line);
}

static void on_opened(void *userdata _unused_, const StoreFound *found _unused_) {
}

static void on_committed(void *userdata _unused_, uint64_t first _unused_, uint64_t last _unused_, int error _unused_) {
}

static void on_block(void *userdata _unused_, StoreBlock *block _unused_) {
}

static void on_lost(void *userdata _unused_, uint64_t first _unused_, uint64_t last _unused_, uint64_t rows _unused_,
                    uint64_t points _unused_, int64_t from_ms _unused_, int64_t to_ms _unused_, const char *why _unused_) {
}

static void on_store_state(void *userdata _unused_, StoreState state _unused_, const char *text _unused_) {
}

static int setup(_unused_ void **state) {
        Test *t = &test;

        *t = (Test){ .root = tree_new() };
        snprintf(t->runtime, sizeof(t->runtime), "%s/run", t->root);
        snprintf(t->saved, sizeof(t->saved), "%s/saved", t->root);
        snprintf(t->runtime_file, sizeof(t->runtime_file), "%s/run/state/boiler", t->root);
        snprintf(t->saved_file, sizeof(t->saved_file), "%s/saved/state/boiler", t->root);
        log_tap(on_line, t);
        if (file_mkdir(t->runtime, 0755) < 0 || file_mkdir(t->saved, 0755) < 0 ||
            loop_new_simulated(&t->loop, 1700000000 * USEC_PER_SEC) < 0)
                return -1;
        StoreParams p = { .loop = t->loop, .dir = t->saved, .max_bytes = MIB,
                          .events = { on_opened, on_committed, on_block, on_lost, on_store_state } };
        return store_new(&t->store, &p);
}

static int teardown(_unused_ void **state) {
        Test *t = &test;

        assert_int_equal(store_stop(t->store, 10 * USEC_PER_SEC), 0);
        t->store = store_free(t->store);
        t->loop = loop_free(t->loop);
        log_tap(NULL, NULL);
        t->root = tree_free(t->root);
        return 0;
}

static PluginState *begin(void) {
        PluginStateParams p = { .loop = test.loop, .instance = "boiler", .runtime_dir = test.runtime, .state_dir = test.saved,
                                .store = test.store, .persist = PERSIST };
        PluginState *s;

        assert_int_equal(plugin_state_new(&s, &p), 0);
        return s;
}

static void put(PluginState *s, const char *text) {
        assert_int_equal(plugin_state_put(s, text, strlen(text)), 0);
}

static void expect(const PluginState *s, const char *text) {
        const char *data;
        size_t size;

        data = plugin_state_data(s, &size);
        assert_int_equal(size, strlen(text));
        assert_memory_equal(data ? data : "", text, size);
}

/* What one that starts now finds. */
static void expect_next(const char *text) {
        PluginState *s = begin();

        expect(s, text);
        plugin_state_free(s);
}

static void advance(usec_t by) {
        assert_int_equal(loop_advance(test.loop, by), 0);
}

static void wait_for_store(void) {
        while (!store_is_idle(test.store))
                assert_true(loop_iterate(test.loop, 10 * USEC_PER_SEC) >= 0);
}

static bool exists(const char *path) {
        return access(path, F_OK) == 0;
}

static void nothing_is_kept_at_first(_unused_ void **state) {
        PluginState *s = begin();

        expect(s, "");
        plugin_state_free(s);
        wait_for_store();
        assert_false(exists(test.runtime_file) || exists(test.saved_file));
        assert_int_equal(test.lines, 0);
}

static void a_put_survives_a_kill(_unused_ void **state) {
        PluginState *killed = begin();
        struct stat st;

        put(killed, "total 7");
        assert_int_equal(stat(test.runtime_file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        expect_next("total 7");
        advance(USEC_PER_SEC);
        put(killed, "");
        expect_next("");
        plugin_state_free(killed);
}

/* As many puts as may be, in one moment and then one each millisecond: the file is written fifty times a second. */
static void puts_are_gathered(_unused_ void **state) {
        PluginState *killed = begin();
        unsigned changes = 0;
        ino_t inode = 0;
        char text[32];

        for (int i = 0; i < 1000; i++) {
                snprintf(text, sizeof(text), "at once %d", i);
                put(killed, text);
        }
        expect_next("at once 0");
        advance(20 * USEC_PER_MSEC);
        expect_next("at once 999");
        for (int i = 0; i < 1000; i++) {
                struct stat st;

                snprintf(text, sizeof(text), "%d", i);
                put(killed, text);
                advance(USEC_PER_MSEC);
                assert_int_equal(stat(test.runtime_file, &st), 0);
                changes += st.st_ino != inode;
                inode = st.st_ino;
        }
        assert_in_range(changes, 40, 55);
        advance(20 * USEC_PER_MSEC);
        expect_next("999");
        plugin_state_free(killed);
}

static void the_disk_gets_it_after_persist(_unused_ void **state) {
        PluginState *s = begin();

        put(s, "a");
        advance(PERSIST / 2);
        put(s, "b");
        wait_for_store();
        assert_false(exists(test.saved_file));
        advance(PERSIST / 2 + 2 * USEC_PER_SEC); /* from the first change, not from the last */
        wait_for_store();
        tree_put(test.runtime, "state", NULL);
        expect_next("b");

        assert_int_equal(unlink(test.saved_file), 0);
        put(s, "b");
        advance(10 * PERSIST); /* nothing changed: nothing is written */
        wait_for_store();
        assert_false(exists(test.saved_file));
        plugin_state_free(s);
}

static void the_end_puts_it_on_the_disk(_unused_ void **state) {
        PluginState *s = begin();

        put(s, "last words");
        plugin_state_free(s);
        wait_for_store();
        tree_put(test.runtime, "state", NULL);
        expect_next("last words");
        assert_int_equal(test.lines, 0);
}

/* What a crash left in the runtime directory alone reaches the disk without a further change. */
static void what_a_crash_left_is_saved(_unused_ void **state) {
        PluginState *killed = begin(), *s;

        put(killed, "x");
        s = begin();
        advance(PERSIST + 2 * USEC_PER_SEC);
        wait_for_store();
        assert_true(exists(test.saved_file));
        plugin_state_free(s);
        plugin_state_free(killed);
}

static void the_newer_one_counts(_unused_ void **state) {
        char *old;
        size_t size;
        PluginState *s = begin();

        put(s, "old");
        assert_int_equal(file_read(test.runtime_file, 8192, &old, &size), 0);
        advance(USEC_PER_SEC);
        put(s, "new");
        plugin_state_free(s);
        wait_for_store();
        expect_next("new");
        assert_int_equal(file_replace(test.runtime_file, old, size, 0600), 1);
        expect_next("new");
        free(old);
        assert_int_equal(test.lines, 0);
}

/* One flipped byte, each in turn, and each length: told with one line, left out, and the other file is taken. */
static void a_torn_file_is_left_out(_unused_ void **state) {
        static const char text[] = "what was kept";
        char *bytes;
        size_t size;
        PluginState *s = begin();

        put(s, "on the disk");
        plugin_state_free(s);
        wait_for_store();
        s = begin();
        put(s, text);
        assert_int_equal(file_read(test.runtime_file, 8192, &bytes, &size), 0);
        for (size_t i = 0; i < size; i++) {
                bytes[i] ^= 0x40;
                assert_int_equal(file_replace(test.runtime_file, bytes, size, 0600), 1);
                expect_next("on the disk");
                assert_int_equal(test.lines, i + 1);
                assert_non_null(strstr(test.last, "boiler: what it kept in "));
                bytes[i] ^= 0x40;
        }
        for (size_t n = 0; n < size; n++) {
                assert_int_equal(file_replace(test.runtime_file, bytes, n, 0600), 1);
                expect_next("on the disk");
                assert_int_equal(test.lines, size + n + 1);
        }
        assert_int_equal(file_replace(test.runtime_file, bytes, size, 0600), 1);
        expect_next(text);
        assert_int_equal(test.lines, 2 * size);
        free(bytes);
        plugin_state_free(s);
}

static void a_huge_file_is_left_out(_unused_ void **state) {
        static char huge[64 * KIB];
        PluginState *s;

        assert_int_equal(plugin_state_put(s = begin(), huge, PLUGIN_STATE_MAX + 1), -E2BIG);
        assert_int_equal(plugin_state_put(s, huge, PLUGIN_STATE_MAX), 0);
        plugin_state_free(s);
        s = begin();
        assert_int_equal(file_replace(test.runtime_file, huge, sizeof(huge), 0600), 1);
        plugin_state_free(s);
        wait_for_store();
        tree_put(test.saved, "state", NULL);
        expect_next("");
        assert_int_equal(test.lines, 1);
}

/* A folder that cannot be written: told once, tried again, and the disk has it all the same. */
static void an_unwritable_folder_is_told_once(_unused_ void **state) {
        PluginState *s = begin();

        tree_put(test.runtime, "state", NULL);
        put(s, "a");
        advance(USEC_PER_SEC);
        put(s, "b");
        advance(60 * USEC_PER_SEC);
        assert_int_equal(test.lines, 1);
        assert_non_null(strstr(test.last, "cannot keep its state in "));
        assert_int_equal(file_mkdir(test.runtime, 0755), 0);
        tree_put(test.runtime, "state/other", "");
        advance(60 * USEC_PER_SEC);
        assert_true(exists(test.runtime_file));
        expect_next("b");
        plugin_state_free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(nothing_is_kept_at_first, setup, teardown),
                cmocka_unit_test_setup_teardown(a_put_survives_a_kill, setup, teardown),
                cmocka_unit_test_setup_teardown(puts_are_gathered, setup, teardown),
                cmocka_unit_test_setup_teardown(the_disk_gets_it_after_persist, setup, teardown),
                cmocka_unit_test_setup_teardown(the_end_puts_it_on_the_disk, setup, teardown),
                cmocka_unit_test_setup_teardown(what_a_crash_left_is_saved, setup, teardown),
                cmocka_unit_test_setup_teardown(the_newer_one_counts, setup, teardown),
                cmocka_unit_test_setup_teardown(a_torn_file_is_left_out, setup, teardown),
                cmocka_unit_test_setup_teardown(a_huge_file_is_left_out, setup, teardown),
                cmocka_unit_test_setup_teardown(an_unwritable_folder_is_told_once, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
