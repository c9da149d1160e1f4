/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept, what systemd is told of it (a socket stands in for it), and the records of how it was driven. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "agent/exit-record.h"
#include "agent/keep.h"
#include "base/file.h"
#include "sensor/wire.h"
#include "tree.h"

typedef struct World {
        char *root;
        int socket;
        Keep *keep;
} World;

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        assert_non_null(w);
        w->root = tree_new();
        snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify", w->root);
        w->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(w->socket >= 0);
        assert_int_equal(bind(w->socket, (struct sockaddr *)&a, sizeof(a)), 0);
        setenv("NOTIFY_SOCKET", a.sun_path, 1);
        assert_int_equal(keep_new(&w->keep), 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        keep_free(w->keep);
        close(w->socket);
        unsetenv("NOTIFY_SOCKET");
        tree_free(w->root);
        free(w);
        return 0;
}

/* The next message, and whether a descriptor came with it. */
static void expect_said(World *w, const char *text, bool with_fd) {
        char data[1024];
        int fd = -EBADF;
        ssize_t n = wire_receive(w->socket, data, sizeof(data) - 1, &fd);

        assert_true(n > 0);
        data[n] = '\0';
        assert_string_equal(data, text);
        assert_int_equal(fd >= 0, with_fd);
        closep(&fd);
}

static void expect_silence(World *w) {
        char data[16];
        int fd = -EBADF;

        assert_int_equal(wire_receive(w->socket, data, sizeof(data), &fd), -EAGAIN);
}

static int number_of(int fd) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return (int)st.st_ino;
}

static int pipe_end(int *ret_number) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        close(fds[0]);
        *ret_number = number_of(fds[1]);
        return fds[1];
}

static void expect_kept(World *w, const char *instance, const char *name, int number) {
        int fd = keep_take(w->keep, instance, name);

        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(number_of(fd), number);
        close(fd);
}

static void systemd_has_what_is_kept(void **state) {
        World *w = *state;
        int one, two, three;

        assert_int_equal(keep_put(w->keep, "io", "a", pipe_end(&one)), 0);
        expect_said(w, "FDSTORE=1\nFDNAME=io.a", true);
        assert_int_equal(keep_put(w->keep, "io", "b.c", pipe_end(&two)), 0);
        expect_said(w, "FDSTORE=1\nFDNAME=io.b.c", true);
        assert_int_equal(keep_put(w->keep, "io", "a", pipe_end(&three)), 0);
        expect_said(w, "FDSTOREREMOVE=1\nFDNAME=io.a", false); /* first, for it goes by the name */
        expect_said(w, "FDSTORE=1\nFDNAME=io.a", true);
        expect_kept(w, "io", "a", three);
        expect_kept(w, "io", "b.c", two);
        assert_int_equal(keep_take(w->keep, "i", "o.a"), -ENOENT);
        keep_forget(w->keep, "io", "a");
        expect_said(w, "FDSTOREREMOVE=1\nFDNAME=io.a", false);
        keep_forget(w->keep, "io", "a");
        assert_int_equal(keep_take(w->keep, "io", "a"), -ENOENT);
        assert_int_equal(keep_n(w->keep, "io"), 1);
        w->keep = keep_free(w->keep);
        expect_silence(w); /* systemd's copies stay */
}

static void names_are_checked(void **state) {
        static const char *const bad[] = { "", "a:b", "a b", "a\tb", "a\n", "caf\xc3\xa9", "\x7f" };
        World *w = *state;
        char name[256];
        int n;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(keep_put(w->keep, "io", bad[i], pipe_end(&n)), -EINVAL);
        memset(name, 'x', sizeof(name));
        name[253] = '\0'; /* with "io." one too many */
        assert_int_equal(keep_put(w->keep, "io", name, pipe_end(&n)), -EINVAL);
        expect_silence(w);
        name[252] = '\0';
        assert_int_equal(keep_put(w->keep, "io", name, pipe_end(&n)), 0);
        expect_kept(w, "io", name, n);
        assert_int_equal(keep_put(w->keep, "io", "none", -EBADF), -EINVAL);
}

static void there_is_room_for_64(void **state) {
        World *w = *state;
        char name[16];
        int n;

        unsetenv("NOTIFY_SOCKET");
        for (int i = 0; i < KEEP_MAX; i++) {
                snprintf(name, sizeof(name), "line%d", i);
                assert_int_equal(keep_put(w->keep, i % 2 ? "odd" : "even", name, pipe_end(&n)), 0);
        }
        assert_int_equal(keep_put(w->keep, "odd", "more", pipe_end(&n)), -ENOSPC);
        assert_int_equal(keep_put(w->keep, "odd", "line1", pipe_end(&n)), 0); /* in place of another */
        assert_int_equal(keep_n(w->keep, "odd"), 32);
        assert_int_equal(keep_n(w->keep, NULL), 64);
}

static void claims_are_of_one_instance(void **state) {
        World *w = *state;
        int a, b, c;

        assert_int_equal(keep_put(w->keep, "io", "a", pipe_end(&a)), 0);
        assert_int_equal(keep_put(w->keep, "io", "b", pipe_end(&b)), 0);
        assert_int_equal(keep_put(w->keep, "other", "a", pipe_end(&c)), 0);
        assert_int_equal(keep_n_unclaimed(w->keep, "io"), 0);
        keep_unclaim_all(w->keep, "io");
        assert_int_equal(keep_n_unclaimed(w->keep, "io"), 2);
        assert_true(keep_is_claimed(w->keep, "other", "a"));
        keep_claim(w->keep, "io", "b");
        keep_claim(w->keep, "io", "none");
        keep_forget_unclaimed(w->keep, "io");
        assert_int_equal(keep_take(w->keep, "io", "a"), -ENOENT);
        expect_kept(w, "io", "b", b);
        expect_kept(w, "other", "a", c);
}

/* ---- records */

static void expect_record(const ExitRecord *r, const char *plugin, const void *settings, size_t size, usec_t after) {
        assert_string_equal(r->plugin, plugin);
        assert_int_equal(r->settings_size, size);
        assert_memory_equal(r->settings, settings, size);
        assert_int_equal(r->after, after);
}

static int seen(void *userdata, const char *instance, const ExitRecord *r) {
        char *names = userdata;

        strcat(strcat(strcat(strcat(names, instance), "="), r->plugin), " ");
        return 0;
}

static void a_record_comes_back(void **state) {
        static const uint8_t settings[] = { 0, '\n', 0xff, 0, 7 };
        World *w = *state;
        ExitRecord r = { 0 }, back = { 0 };
        char names[100] = "";

        assert_int_equal(exit_record_each(w->root, seen, names), 0);
        assert_int_equal(exit_record_load(&back, w->root, "io"), -ENOENT);
        assert_int_equal(exit_record_save(NULL, w->root, "io"), 0);
        assert_int_equal(exit_record_set(&r, "gpio", settings, sizeof(settings), 1500000), 0);
        assert_int_equal(exit_record_save(&r, w->root, "io"), 0);
        assert_int_equal(exit_record_load(&back, w->root, "io"), 0);
        expect_record(&back, "gpio", settings, sizeof(settings), 1500000);
        assert_true(exit_record_same(&r, &back));
        assert_int_equal(exit_record_set(&r, "i2c-x_2", settings, 0, 0), 0);
        assert_false(exit_record_same(&r, &back));
        assert_int_equal(exit_record_save(&r, w->root, "bus"), 0);
        assert_int_equal(exit_record_each(w->root, seen, names), 0);
        assert_string_equal(names, "bus=i2c-x_2 io=gpio ");
        assert_int_equal(exit_record_save(NULL, w->root, "io"), 0);
        assert_int_equal(exit_record_load(&back, w->root, "io"), -ENOENT);
        expect_record(&back, "gpio", settings, sizeof(settings), 1500000); /* unchanged */
        exit_record_done(&r);
        exit_record_done(&back);
}

static void torn_records_are_left_out(void **state) {
        World *w = *state;
        ExitRecord r = { 0 };
        char path[512], names[100] = "", *whole;
        size_t size;

        assert_int_equal(exit_record_set(&r, "gpio", (const uint8_t *)"settings", 8, 1000000), 0);
        assert_int_equal(exit_record_save(&r, w->root, "io"), 0);
        snprintf(path, sizeof(path), "%s/" EXIT_RECORD_DIR "/io", w->root);
        assert_int_equal(file_read(path, 1000, &whole, &size), 0);
        for (size_t n = 0; n < size - 8; n++) {
                assert_int_equal(truncate(path, (off_t)n), 0);
                assert_int_equal(exit_record_load(&r, w->root, "io"), -EBADMSG);
                assert_true(file_replace(path, whole, size, 0600) > 0);
        }
        tree_put(w->root, EXIT_RECORD_DIR "/io", "tbagent kept 2\n1 gpio\n");
        assert_int_equal(exit_record_load(&r, w->root, "io"), -EBADMSG);
        tree_put(w->root, EXIT_RECORD_DIR "/io", "tbagent kept 1\n1 ../x\n");
        assert_int_equal(exit_record_load(&r, w->root, "io"), -EBADMSG);
        assert_int_equal(exit_record_each(w->root, seen, names), 0);
        assert_string_equal(names, "");
        free(whole);
        exit_record_done(&r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(systemd_has_what_is_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(names_are_checked, setup, teardown),
                cmocka_unit_test_setup_teardown(there_is_room_for_64, setup, teardown),
                cmocka_unit_test_setup_teardown(claims_are_of_one_instance, setup, teardown),
                cmocka_unit_test_setup_teardown(a_record_comes_back, setup, teardown),
                cmocka_unit_test_setup_teardown(torn_records_are_left_out, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
