/* SPDX-License-Identifier: Apache-2.0 */
/* STATE/shared.conf, written by a real store, on a simulated clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/mirror-file.h"
#include "base/file.h"
#include "base/log.h"
#include "mirror-check.h"
#include "tree.h"

typedef struct Test {
        Loop *loop;
        Store *store;
        Attributes *a;
        MirrorFile *m;
        char *root;
        char dir[256], path[320];
        bool opened;    /* the store: it has made its folder */
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
        test.opened = true;
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

static int setup(void **state _unused_) {
        Test *t = &test;

        *t = (Test){ .root = tree_new() };
        snprintf(t->dir, sizeof(t->dir), "%s/state", t->root);
        snprintf(t->path, sizeof(t->path), "%s/state/" MIRROR_FILE, t->root);
        umask(077);
        log_tap(on_line, t);
        if (file_mkdir(t->dir, 0755) < 0 || loop_new_simulated(&t->loop, 0) < 0)
                return -1;
        StoreParams p = { .loop = t->loop, .dir = t->dir, .max_bytes = MIB,
                          .events = { on_opened, on_committed, on_block, on_lost, on_store_state } };
        if (store_new(&t->store, &p) < 0)
                return -1;
        while (!t->opened)
                assert_true(loop_iterate(t->loop, 10 * USEC_PER_SEC) >= 0);
        t->a = mirror_attributes(t->loop);
        return mirror_file_new(&t->m, t->loop, t->store, t->a);
}

static int teardown(void **state _unused_) {
        Test *t = &test;

        mirror_file_free(t->m);
        attributes_free(t->a);
        assert_int_equal(store_stop(t->store, 10 * USEC_PER_SEC), 0);
        store_free(t->store);
        loop_free(t->loop);
        log_tap(NULL, NULL);
        tree_free(t->root);
        return 0;
}

static void wait_for_store(void) {
        while (!store_is_idle(test.store))
                assert_true(loop_iterate(test.loop, 10 * USEC_PER_SEC) >= 0);
}

static void advance(usec_t by) {
        assert_int_equal(loop_advance(test.loop, by), 0);
        wait_for_store();
}

static void change(const char *key, const char *json) {
        mirror_set(test.a, key, json);
        mirror_file_changed(test.m, false);
}

/* 0: not there. */
static ino_t inode(void) {
        struct stat st;

        return stat(test.path, &st) == 0 ? st.st_ino : 0;
}

static void expect_in_file(const char *text) {
        _cleanup_(freep) char *content = NULL;

        assert_int_equal(file_read(test.path, MIB, &content, NULL), 0);
        if (!strstr(content, text))
                fail_msg("%s is not in\n%s", text, content);
}

static void a_change_is_written_at_once(void **state _unused_) {
        struct stat st;

        advance(60 * USEC_PER_SEC);
        assert_int_equal(inode(), 0);
        change("boiler.every", "\"5s\"");
        advance(20 * USEC_PER_MSEC);
        expect_in_file("boiler = {\n  every = \"5s\";\n};\n");
        assert_int_equal(stat(test.path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640); /* whatever the umask is */
        assert_int_equal(test.lines, 0);
}

static void many_changes_are_written_once_a_second(void **state _unused_) {
        unsigned writes = 0;
        ino_t before = 0;
        char json[16];

        for (unsigned i = 0; i < 500; i++) { /* 10 s */
                snprintf(json, sizeof(json), "%u", i);
                change("a", json);
                advance(20 * USEC_PER_MSEC);
                writes += inode() != before;
                before = inode();
        }
        assert_in_range(writes, 10, 11);
        advance(USEC_PER_SEC);
        expect_in_file("a = 499;");
}

static void what_is_the_same_is_not_written(void **state _unused_) {
        struct timespec before;
        struct stat st;
        ino_t first;

        change("a", "1");
        advance(USEC_PER_SEC);
        first = inode();
        assert_int_equal(stat(test.path, &st), 0);
        before = st.st_mtim;
        change("a", "2");
        change("a", "1"); /* back again before it was written */
        advance(10 * USEC_PER_SEC);
        mirror_file_changed(test.m, false);
        advance(10 * USEC_PER_SEC);
        mirror_file_changed(test.m, true); /* looked at on the disk, where it is the same */
        advance(10 * USEC_PER_SEC);
        assert_int_equal(stat(test.path, &st), 0);
        assert_int_equal(st.st_ino, first);
        assert_memory_equal(&st.st_mtim, &before, sizeof(before));
}

static void a_file_that_is_gone_comes_back(void **state _unused_) {
        change("a", "1");
        advance(USEC_PER_SEC);
        assert_int_equal(unlink(test.path), 0);
        mirror_file_changed(test.m, false);
        advance(10 * USEC_PER_SEC);
        assert_int_equal(inode(), 0); /* nothing has changed, and nobody looks */
        mirror_file_changed(test.m, true);
        advance(10 * USEC_PER_SEC);
        expect_in_file("a = 1;");
        assert_int_equal(file_replace(test.path, "other", 5, 0640), 1);
        mirror_file_changed(test.m, true);
        advance(10 * USEC_PER_SEC);
        expect_in_file("a = 1;");
}

static void a_folder_that_is_gone_comes_back(void **state _unused_) {
        change("a", "1");
        advance(USEC_PER_SEC);
        tree_put(test.root, "state", NULL);
        change("a", "2");
        advance(10 * USEC_PER_SEC);
        expect_in_file("a = 2;");
}

/* The disk takes nothing for a while: after the next connect the file is as it should be. */
static void a_failed_write_is_healed(void **state _unused_) {
        tree_put(test.root, "state", NULL);
        tree_put(test.root, "state", "a file is in the way");
        change("a", "1");
        advance(10 * USEC_PER_SEC);
        tree_put(test.root, "state", NULL);
        assert_int_equal(file_mkdir(test.dir, 0755), 0);
        mirror_file_changed(test.m, true);
        advance(10 * USEC_PER_SEC);
        expect_in_file("a = 1;");
}

static void what_waits_is_written_at_the_end(void **state _unused_) {
        change("a", "1");
        advance(20 * USEC_PER_MSEC);
        change("a", "2");
        mirror_file_flush(test.m);
        wait_for_store();
        expect_in_file("a = 2;");
        assert_int_equal(unlink(test.path), 0);
        mirror_file_flush(test.m); /* nothing waits */
        wait_for_store();
        assert_int_equal(inode(), 0);
}

static void without_a_store_nothing_is_written(void **state _unused_) {
        MirrorFile *m;

        assert_int_equal(mirror_file_new(&m, test.loop, NULL, test.a), 0);
        mirror_set(test.a, "a", "1");
        mirror_file_changed(m, false);
        advance(USEC_PER_SEC);
        mirror_file_flush(m);
        wait_for_store();
        mirror_file_free(m);
        assert_int_equal(inode(), 0);
}

/* ---- reading */

static int load(Attributes *a, char **ret_text) {
        *ret_text = NULL;
        return mirror_file_load(test.dir, a, ret_text);
}

static void what_was_written_is_read_again(void **state _unused_) {
        _cleanup_(attributes_freep) Attributes *again = mirror_attributes(test.loop);
        _cleanup_(freep) char *text = NULL;

        assert_int_equal(load(again, &text), 0); /* not there: nothing */
        assert_int_equal(attributes_n(again), 0);
        change("boiler.every", "\"5s\"");
        change("named", "{\"x\":[1]}");
        change("a b", "9007199254740993");
        advance(USEC_PER_SEC);
        assert_int_equal(load(again, &text), 0);
        assert_null(text);
        assert_int_equal(attributes_n(again), 3);
        assert_string_equal(attributes_get(again, "boiler.every")->json, "\"5s\"");
        assert_string_equal(attributes_get(again, "named")->json, "{\"x\":[1]}");
        assert_string_equal(attributes_get(again, "a b")->json, "9007199254740993");
        assert_int_equal(test.lines, 0);
}

static void a_damaged_file_is_told(void **state _unused_) {
        static const char *const texts[] = { "a = ;", "{", "a = \"x", "\xff\xfe", "a = 1; a = 2;" };

        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(attributes_freep) Attributes *again = mirror_attributes(test.loop);
                _cleanup_(freep) char *text = NULL;

                tree_put(test.root, "state/" MIRROR_FILE, texts[i]);
                assert_true(load(again, &text) < 0);
                assert_non_null(text);
                assert_non_null(strstr(text, MIRROR_FILE));
                assert_int_equal(attributes_n(again), 0);
        }
        _cleanup_(freep) char *text = NULL;
        tree_put(test.root, "state/" MIRROR_FILE, NULL);
        assert_int_equal(file_mkdir(test.path, 0755), 0); /* something else in its place */
        assert_true(load(test.a, &text) < 0);
        assert_non_null(text);
}

static void odd_entries_are_told_and_left_out(void **state _unused_) {
        _cleanup_(freep) char *text = NULL;

        tree_put(test.root, "state/" MIRROR_FILE,
                 "a = 1; list = (1, 2); array = [1]; g = { }; named = ( 5, { name = \"x\"; } );");
        assert_int_equal(load(test.a, &text), 0);
        assert_int_equal(attributes_n(test.a), 1);
        assert_int_equal(test.lines, 1);
        assert_non_null(strstr(test.last, "4 entries are not understood"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_change_is_written_at_once),
                TEST(many_changes_are_written_once_a_second),
                TEST(what_is_the_same_is_not_written),
                TEST(a_file_that_is_gone_comes_back),
                TEST(a_folder_that_is_gone_comes_back),
                TEST(a_failed_write_is_healed),
                TEST(what_waits_is_written_at_the_end),
                TEST(without_a_store_nothing_is_written),
                TEST(what_was_written_is_read_again),
                TEST(a_damaged_file_is_told),
                TEST(odd_entries_are_told_and_left_out),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
