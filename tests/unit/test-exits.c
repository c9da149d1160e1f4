/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of outputs when their process is not there. This program plays the processes of instances; those that set outputs
 * are real hosts with the plugin `keeper`, whose outputs are memory files. The clock is simulated: on_exit_after passes by
 * loop_advance(), the hosts take the time that they take. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/exit-record.h"
#include "agent/exits.h"
#include "base/log.h"
#include "sensor/rules.h"
#include "tree.h"

#define MS       USEC_PER_MSEC
#define NEVER_MS 20000 /* of real time: longer than any host takes */

typedef struct World {
        char *root, host[PATH_MAX], plugins[PATH_MAX], linger[PATH_MAX];
        Loop *loop;
        Keep *keep; /* systemd's store is that of this program: it outlives Exits, as it does daemons */
        Exits *exits;
        const char *linger_at; /* an output: hosts that are held are so before that */
        int outputs[4]; /* a, b, c, d */
        unsigned n_given;
        int given_error; /* of the last answer; 0: a descriptor came */
} World;

static void on_give(void *userdata, const char *instance, const char *name, int fd) {
        World *w = userdata;

        assert_string_equal(instance, "io");
        assert_true(name[0] >= 'a' && name[0] <= 'd');
        w->n_given++;
        w->given_error = fd < 0 ? fd : 0;
        closep(&fd);
}

static void on_changed(void *userdata _unused_) {
}

/* A daemon starts. */
static void start(World *w) {
        ExitsParams p = { .loop = w->loop, .keep = w->keep, .host_path = w->host, .plugin_dirs = w->plugins, .runtime_dir = w->root };

        assert_int_equal(exits_new(&w->exits, &p), 0);
        exits_listen(w->exits, &(ExitsEvents){ on_give, on_changed, w });
}

/* And ends without a word; its children with it. */
static void crash(World *w) {
        w->exits = exits_free(w->exits);
        for (size_t i = 0; i < KEEP_MAX && i < keep_n(w->keep, NULL); i++)
                keep_unclaim_all(w->keep, keep_instance_at(w->keep, i));
}

static int setup(void **state) {
        const char *build = getenv("TBAGENT_BUILDDIR");
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        w->root = tree_new();
        w->linger_at = "a";
        snprintf(w->host, sizeof(w->host), "%s/tbagent-plugin-host", build ? build : ".");
        snprintf(w->plugins, sizeof(w->plugins), "%s/tests/plugins/.libs", build ? build : ".");
        snprintf(w->linger, sizeof(w->linger), "%s/linger", w->root);
        assert_int_equal(loop_new_simulated(&w->loop, 0), 0);
        assert_int_equal(keep_new(&w->keep), 0);
        for (size_t i = 0; i < ELEMENTS(w->outputs); i++) {
                w->outputs[i] = memfd_create("output", MFD_CLOEXEC);
                assert_int_equal(write(w->outputs[i], "used", 4), 4);
        }
        log_set_level(LOG_EMERG);
        start(w);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        exits_free(w->exits);
        keep_free(w->keep);
        loop_free(w->loop);
        for (size_t i = 0; i < ELEMENTS(w->outputs); i++)
                close(w->outputs[i]);
        tree_free(w->root);
        free(w);
        return 0;
}

/* ---- a process of the instance */

static uint8_t *encode(const Setting *s, size_t *ret_size) {
        uint8_t *data = malloc(setting_encoded_size(s));

        assert_non_null(data);
        *ret_size = setting_encode(s, data);
        return data;
}

/* It begins, with these outputs ("a b") and this value for a stop. */
static void begin(World *w, const char *outputs, const char *on_exit, const char *after) {
        char text[2 * PATH_MAX], path[PATH_MAX], *rest, names[20];
        size_t n = (size_t)snprintf(text, sizeof(text), "plugins = { io = { plugin = \"keeper\"; on_exit_after = \"%s\"; "
                                    "linger = \"%s\"; linger_at = \"%s\"; outputs = { ", after, w->linger, w->linger_at),
               n_problems, size;
        ConfigProblem *problems;
        Config *config;
        uint8_t *data;
        const ConfigInstance *c;

        snprintf(names, sizeof(names), "%s", outputs);
        for (char *o = strtok_r(names, " ", &rest); o; o = strtok_r(NULL, " ", &rest))
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s = { on_exit = \"%s\"; }; ", o, on_exit);
        snprintf(text + n, sizeof(text) - n, "}; }; };");
        tree_put(w->root, "tbagent.conf", text);
        snprintf(path, sizeof(path), "%s/tbagent.conf", w->root);
        assert_int_equal(config_load(&config, path, &problems, &n_problems), 0);
        assert_int_equal(n_problems, 0);
        config_problems_free(problems, n_problems);
        c = config_instance(config, 0);
        data = encode(c->settings, &size);
        assert_int_equal(exits_begin(w->exits, "io", c->plugin, data, size, c->on_exit_after), 0);
        free(data);
        config_free(config);
}

static void keep(World *w, const char *name) {
        assert_int_equal(exits_keep(w->exits, "io", name, dup(w->outputs[name[0] - 'a'])), 0);
}

/* The first process of all. */
static void drive(World *w, const char *outputs) {
        begin(w, outputs, "off", "1s");
        for (const char *o = outputs; *o; o++)
                if (*o != ' ')
                        keep(w, (char[]){ *o, 0 });
        exits_back(w->exits, "io", true);
}

static void take(World *w, const char *name, int expected) {
        unsigned before = w->n_given;

        exits_take(w->exits, "io", name);
        while (w->n_given == before)
                assert_int_equal(loop_iterate(w->loop, NEVER_MS * MS), 1);
        assert_int_equal(w->given_error, expected);
}

static void ends(World *w) {
        exits_ended(w->exits, "io", false);
}

/* ---- time and what is seen */

static void pass(World *w, usec_t by) {
        assert_int_equal(loop_advance(w->loop, by), 0);
}

static void settle(World *w) {
        while (exits_are_busy(w->exits))
                assert_int_equal(loop_iterate(w->loop, NEVER_MS * MS), 1);
}

/* on_exit_after passes, and a host sets what there is to set. */
static void time_out(World *w) {
        pass(w, 1100 * MS);
        settle(w);
}

static void expect(const World *w, const char *name, const char *expected) {
        char text[20] = "";

        assert_true(pread(w->outputs[name[0] - 'a'], text, sizeof(text) - 1, 0) >= 0);
        if (strcmp(text, expected) != 0)
                fail_msg("%s is %s, not %s", name, text, expected);
}

static void use(const World *w) {
        for (size_t i = 0; i < ELEMENTS(w->outputs); i++) {
                assert_int_equal(ftruncate(w->outputs[i], 0), 0);
                assert_int_equal(pwrite(w->outputs[i], "used", 4, 0), 4);
        }
}

static bool has_record(const World *w) {
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/" EXIT_RECORD_DIR "/io", w->root);
        return access(path, F_OK) == 0;
}

/* From now on a host makes the file one byte when it begins, and does not go on. */
static void hold_hosts(const World *w) {
        tree_put(w->root, "linger", "");
}

static void wait_for_host(World *w) {
        struct stat st = { 0 };

        assert_true(exits_are_busy(w->exits));
        for (int i = 0; st.st_size == 0; i++) {
                assert_true(i < NEVER_MS / 10);
                assert_true(loop_iterate(w->loop, 10 * MS) >= 0);
                assert_int_equal(stat(w->linger, &st), 0);
        }
}

/* A host is about to set the outputs of a process that has ended. */
static void hold_overdue(World *w, const char *outputs) {
        drive(w, outputs);
        ends(w);
        hold_hosts(w);
        pass(w, 1100 * MS);
        wait_for_host(w);
}

static void release_hosts(const World *w) {
        tree_put(w->root, "linger", NULL);
}

/* ---- away, back, final */

static void away_and_back(void **state) {
        World *w = *state;

        drive(w, "a b");
        assert_true(has_record(w));
        ends(w);
        pass(w, 900 * MS);
        begin(w, "a b", "off", "1s");
        take(w, "a", 0);
        take(w, "b", 0);
        take(w, "c", -ENOENT);
        exits_back(w->exits, "io", true);
        pass(w, 60 * USEC_PER_SEC);
        assert_false(exits_are_busy(w->exits));
        expect(w, "a", "used");
        ends(w);
        pass(w, 900 * MS);
        assert_false(exits_are_busy(w->exits));
        pass(w, 200 * MS);
        assert_true(exits_are_busy(w->exits));
        settle(w);
        expect(w, "a", "off");
        expect(w, "b", "off");
        assert_int_equal(keep_n(w->keep, "io"), 2); /* for the next one */
        use(w);
        ends(w); /* again, after a restart that failed: they are set already */
        pass(w, 60 * USEC_PER_SEC);
        assert_false(exits_are_busy(w->exits));
        expect(w, "a", "used");
}

static void hardware_that_is_away(void **state) {
        World *w = *state;

        drive(w, "a");
        exits_away(w->exits, "io");
        time_out(w);
        expect(w, "a", "off");
        take(w, "a", 0); /* it sets it itself, from then on */
        exits_back(w->exits, "io", true);
        use(w);
        exits_away(w->exits, "io");
        time_out(w);
        expect(w, "a", "off");
}

static void the_end_forgets(void **state) {
        World *w = *state;

        drive(w, "a b");
        exits_forget(w->exits, "io", "a"); /* close() has set it */
        exits_ended(w->exits, "io", true);
        assert_true(exits_are_busy(w->exits));
        settle(w);
        expect(w, "a", "used");
        expect(w, "b", "off");
        assert_int_equal(keep_n(w->keep, NULL), 0);
        assert_false(has_record(w));
        assert_null(exits_instance_at(w->exits, 0));
}

static void a_restart_leaves_it_to_the_next_daemon(void **state) {
        World *w = *state;

        drive(w, "a");
        exits_leave(w->exits);
        ends(w);
        pass(w, 60 * USEC_PER_SEC);
        assert_false(exits_are_busy(w->exits));
        expect(w, "a", "used");
        assert_true(has_record(w));
        assert_int_equal(keep_n(w->keep, "io"), 1);
}

/* ---- a process and a host at the same time */

static void take_waits_for_a_host(void **state) {
        World *w = *state;

        hold_overdue(w, "a b");
        begin(w, "a b", "off", "1s");
        take(w, "a", 0); /* that host is killed before */
        assert_false(exits_are_busy(w->exits));
        take(w, "b", 0);
        exits_back(w->exits, "io", true);
        pass(w, 60 * USEC_PER_SEC);
        expect(w, "a", "used");
        expect(w, "b", "used");
}

/* It is killed for a process that is gone before it has anything. */
static void take_of_one_that_ends_as_well(void **state) {
        World *w = *state;

        hold_overdue(w, "a");
        begin(w, "a", "off", "1s");
        exits_take(w->exits, "io", "a");
        ends(w);
        release_hosts(w);
        settle(w);
        time_out(w);
        assert_int_equal(w->n_given, 0);
        expect(w, "a", "off");
}

/* A process that has taken `a` has left `b`, and a host that has met that claim is about to set `b`. */
static void hold_host_behind_a_claim(World *w) {
        drive(w, "a b");
        ends(w);
        begin(w, "a", "off", "1s");
        take(w, "a", 0);
        hold_hosts(w);
        exits_back(w->exits, "io", true);
        wait_for_host(w);
}

static void the_process_goes_while_a_host_is_at_it(void **state) {
        World *w = *state;

        w->linger_at = "b";
        hold_host_behind_a_claim(w);
        ends(w);
        pass(w, 1100 * MS);
        release_hosts(w);
        settle(w);
        time_out(w);
        expect(w, "a", "off");
        expect(w, "b", "off");
}

static void it_ends_finally_while_a_host_is_at_it(void **state) {
        World *w = *state;

        w->linger_at = "b";
        hold_host_behind_a_claim(w);
        exits_ended(w->exits, "io", true);
        release_hosts(w);
        settle(w);
        expect(w, "a", "off");
        expect(w, "b", "off");
        assert_int_equal(keep_n(w->keep, NULL), 0);
}

static void what_it_does_not_use_any_more_is_set(void **state) {
        World *w = *state;

        drive(w, "a b");
        ends(w);
        begin(w, "a", "new", "1s");
        take(w, "a", 0);
        exits_back(w->exits, "io", false); /* not well: it may still want the other one */
        assert_false(exits_are_busy(w->exits));
        exits_back(w->exits, "io", true);
        settle(w);
        expect(w, "a", "used");
        expect(w, "b", "off"); /* as it was driven */
        assert_int_equal(keep_n(w->keep, "io"), 1);
        ends(w);
        time_out(w);
        expect(w, "a", "new");
}

/* What a host has set of an instance is not what its next process drives. */
static void outputs_that_come_later(void **state) {
        World *w = *state;

        drive(w, "a");
        ends(w);
        begin(w, "b", "off", "1s");
        keep(w, "b");
        exits_back(w->exits, "io", true);
        settle(w);
        expect(w, "a", "off");
        ends(w);
        time_out(w);
        expect(w, "b", "off");
}

static void outputs_that_come_while_a_host_is_at_it(void **state) {
        World *w = *state;

        hold_overdue(w, "a");
        begin(w, "a b", "off", "1s");
        keep(w, "b");
        release_hosts(w);
        settle(w);
        expect(w, "a", "off");
        expect(w, "b", "used");
        exits_back(w->exits, "io", true);
        settle(w);
        ends(w);
        time_out(w);
        expect(w, "b", "off");
}

/* ---- daemons */

/* Its chip was gone for a moment: what it keeps then has a record again, for the next daemon. */
static void kept_once_more(void **state) {
        World *w = *state;

        drive(w, "a");
        exits_forget(w->exits, "io", "a");
        assert_false(has_record(w));
        keep(w, "a");
        assert_true(has_record(w));
        crash(w);
        start(w);
        time_out(w);
        expect(w, "a", "off");
}

/* A reload adds b, and the process ends before it was well. */
static void one_more_after_a_reload(void **state) {
        World *w = *state;

        drive(w, "a");
        ends(w);
        begin(w, "a b", "on", "1s");
        take(w, "a", 0);
        keep(w, "b");
        ends(w);
        time_out(w);
        expect(w, "a", "on");
        expect(w, "b", "on");
}

static void a_record_of_another_configuration(void **state) {
        World *w = *state;

        drive(w, "a b");
        crash(w);
        start(w);
        begin(w, "a", "new", "5s");
        take(w, "a", 0);
        exits_back(w->exits, "io", true);
        settle(w);
        expect(w, "b", "off");
        assert_int_equal(keep_n(w->keep, "io"), 1);
        crash(w); /* and the record is the new one's from now on */
        start(w);
        pass(w, 4900 * MS);
        assert_false(exits_are_busy(w->exits));
        pass(w, 200 * MS);
        settle(w);
        expect(w, "a", "new");
}

static void a_corrupt_record(void **state) {
        World *w = *state;

        drive(w, "a");
        crash(w);
        tree_put(w->root, EXIT_RECORD_DIR "/io", "tbagent kept 2\n1000000");
        start(w);
        pass(w, 1100 * MS); /* nobody knows how to set it */
        settle(w);
        expect(w, "a", "used");
        assert_int_equal(keep_n(w->keep, "io"), 1);
        begin(w, "a", "off", "1s");
        take(w, "a", 0);
        exits_back(w->exits, "io", true);
        ends(w);
        time_out(w);
        expect(w, "a", "off");
}

static void records_of_nothing_go(void **state) {
        World *w = *state;

        drive(w, "a");
        crash(w);
        keep_forget(w->keep, "io", "a"); /* systemd has closed it with the unit */
        assert_true(has_record(w));
        start(w);
        assert_false(has_record(w));
}

static void no_room_for_more(void **state) {
        World *w = *state;
        char name[16];

        for (int i = 0; i < KEEP_MAX; i++) {
                snprintf(name, sizeof(name), "line%d", i);
                assert_int_equal(keep_put(w->keep, "other", name, dup(w->outputs[3])), 0);
        }
        begin(w, "a", "off", "1s");
        assert_int_equal(exits_keep(w->exits, "io", "a", dup(w->outputs[0])), -ENOSPC);
        assert_false(has_record(w));
        exits_back(w->exits, "io", true);
        ends(w);
        pass(w, 60 * USEC_PER_SEC);
        assert_false(exits_are_busy(w->exits)); /* there is nothing that could be set */
        expect(w, "a", "used");
        keep_forget(w->keep, "other", "line0");
        keep(w, "a");
        assert_true(has_record(w));
        assert_int_equal(exits_keep(w->exits, "io", "b", dup(w->outputs[1])), -ENOSPC);
        assert_true(has_record(w));
        assert_int_equal(exits_keep(w->exits, "stranger", "a", dup(w->outputs[1])), -ENOENT);
}

static usec_t since(const World *w, usec_t began) {
        return loop_boottime(w->loop) - began;
}

/* They open, have taken everything, and end before they are well. */
static void processes_fail_one_after_the_other(void **state) {
        World *w = *state;
        usec_t began = loop_boottime(w->loop);
        unsigned n = 0;

        drive(w, "a");
        ends(w);
        while (!exits_are_busy(w->exits)) {
                assert_in_range(++n, 1, 30);
                pass(w, 500 * MS);
                begin(w, "a", "off", "1s");
                take(w, "a", 0);
                pass(w, 500 * MS);
                ends(w);
                pass(w, 10 * MS); /* it is time by now, or not */
        }
        assert_in_range(since(w, began), 10 * USEC_PER_SEC, 12 * USEC_PER_SEC);
        settle(w);
        expect(w, "a", "off");
}

/* Each gets on_exit_after whole, but not for ever; the last one sets it before it does anything else. */
static void daemons_fail_one_after_the_other(void **state) {
        World *w = *state;
        usec_t began = loop_boottime(w->loop);
        unsigned n = 0;
        char text[8] = "";

        drive(w, "a");
        while (strcmp(text, "off") != 0) {
                assert_in_range(++n, 1, 30);
                crash(w);
                start(w);
                exits_set_overdue(w->exits, NEVER_MS * MS);
                assert_false(exits_are_busy(w->exits));
                assert_true(pread(w->outputs[0], text, 3, 0) >= 0);
                pass(w, 900 * MS);
        }
        assert_in_range(since(w, began), 10 * USEC_PER_SEC, 12 * USEC_PER_SEC);
        assert_int_equal(keep_n(w->keep, "io"), 1);
        begin(w, "a", "off", "1s");
        take(w, "a", 0);
        exits_back(w->exits, "io", true);
        use(w);
        crash(w); /* one has been well: from the beginning */
        start(w);
        exits_set_overdue(w->exits, NEVER_MS * MS);
        expect(w, "a", "used");
}

/* A host that hangs costs the start of the daemon so much and no more. */
static void overdue_and_it_hangs(void **state) {
        World *w = *state;

        drive(w, "a");
        crash(w);
        start(w);
        pass(w, 900 * MS);
        crash(w);
        pass(w, 10 * USEC_PER_SEC);
        hold_hosts(w);
        start(w);
        exits_set_overdue(w->exits, 200 * MS);
        assert_true(exits_are_busy(w->exits));
        expect(w, "a", "used");
        release_hosts(w);
        settle(w);
        expect(w, "a", "off");
}

/* It dies while a host sets outputs: the next one begins anew. */
static void a_daemon_dies_while_a_host_is_at_it(void **state) {
        World *w = *state;

        hold_overdue(w, "a");
        crash(w);
        release_hosts(w);
        start(w);
        time_out(w);
        expect(w, "a", "off");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(away_and_back),
                TEST(hardware_that_is_away),
                TEST(the_end_forgets),
                TEST(a_restart_leaves_it_to_the_next_daemon),
                TEST(take_waits_for_a_host),
                TEST(take_of_one_that_ends_as_well),
                TEST(the_process_goes_while_a_host_is_at_it),
                TEST(it_ends_finally_while_a_host_is_at_it),
                TEST(what_it_does_not_use_any_more_is_set),
                TEST(outputs_that_come_later),
                TEST(outputs_that_come_while_a_host_is_at_it),
                TEST(kept_once_more),
                TEST(one_more_after_a_reload),
                TEST(a_record_of_another_configuration),
                TEST(a_corrupt_record),
                TEST(records_of_nothing_go),
                TEST(no_room_for_more),
                TEST(processes_fail_one_after_the_other),
                TEST(daemons_fail_one_after_the_other),
                TEST(overdue_and_it_hangs),
                TEST(a_daemon_dies_while_a_host_is_at_it),
        };

        option_set_channel_options(report_options);
        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests_name("exits", tests, NULL, NULL);
}
