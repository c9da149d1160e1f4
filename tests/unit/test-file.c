/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/file.h"

static char folder[64];

static const char *in_folder(const char *name) {
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
}

static int setup(_unused_ void **state) {
        snprintf(folder, sizeof(folder), "/tmp/test-file.XXXXXX");
        return mkdtemp(folder) ? 0 : -1;
}

static int teardown(_unused_ void **state) {
        static const char *const names[] = { "a", "a.new", "empty", "sub/a", "sub/deep" };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                (void)unlink(in_folder(names[i]));
        (void)rmdir(in_folder("sub/deep"));
        (void)rmdir(in_folder("sub"));
        return rmdir(folder);
}

static void write_file(const char *path, const void *data, size_t size) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(file_write_all(fd, data, size), 0);
        close(fd);
}

static void test_read(_unused_ void **state) {
        static char big[100000];
        char *data = NULL;
        size_t size = 77;

        memset(big, 'x', sizeof(big));
        write_file(in_folder("a"), big, sizeof(big));
        assert_int_equal(file_read(in_folder("a"), sizeof(big), &data, &size), 0);
        assert_int_equal(size, sizeof(big));
        assert_memory_equal(data, big, size);
        assert_int_equal(data[size], 0);
        free(data);

        data = big;
        size = 77;
        assert_int_equal(file_read(in_folder("a"), sizeof(big) - 1, &data, &size), -E2BIG);
        assert_int_equal(file_read(in_folder("a"), 0, &data, &size), -E2BIG);
        assert_int_equal(file_read(in_folder("none"), 10, &data, &size), -ENOENT);
        assert_int_equal(file_read(folder, 10, &data, &size), -EISDIR);
        assert_int_equal(file_read_fd(-1, 10, &data, &size), -EBADF);
        assert_ptr_equal(data, big); /* untouched on failure */
        assert_int_equal(size, 77);

        write_file(in_folder("empty"), "", 0);
        assert_int_equal(file_read(in_folder("empty"), 0, &data, NULL), 0);
        assert_string_equal(data, "");
        free(data);
}

/* No size is known in advance: files of /proc, and a pipe that gives its bytes in small parts. */
static void test_read_unsized(_unused_ void **state) {
        char *data = NULL, part[1000];
        size_t size;
        int pipes[2];
        pid_t pid;

        assert_int_equal(file_read("/proc/self/status", 64 * KIB, &data, &size), 0);
        assert_non_null(strstr(data, "VmRSS"));
        assert_int_equal(strlen(data), size);
        free(data);
        assert_int_equal(file_read("/proc/self/status", 20, &data, &size), -E2BIG);

        for (size_t i = 0; i < sizeof(part); i++)
                part[i] = (char)('a' + i % 26);
        for (int larger = 0; larger < 2; larger++) {
                assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
                pid = fork();
                if (pid == 0) {
                        for (int i = 0; i < 30; i++)
                                if (file_write_all(pipes[1], part, sizeof(part)) < 0)
                                        _exit(1);
                        _exit(0);
                }
                close(pipes[1]);
                if (larger)
                        assert_int_equal(file_read_fd(pipes[0], 29999, &data, &size), -E2BIG);
                else {
                        assert_int_equal(file_read_fd(pipes[0], 30000, &data, &size), 0);
                        assert_int_equal(size, 30000);
                        for (size_t i = 0; i < size; i++)
                                assert_int_equal(data[i], part[i % sizeof(part)]);
                        free(data);
                }
                close(pipes[0]);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
        }
}

static void assert_holds(const char *path, const char *text, mode_t mode) {
        char *data = NULL;
        struct stat st;

        assert_int_equal(file_read(path, 1000, &data, NULL), 0);
        assert_string_equal(data, text);
        free(data);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, mode);
}

static void test_replace(_unused_ void **state) {
        const char *path = in_folder("a");
        struct stat before, after;
        mode_t mask = umask(0077);

        assert_int_equal(file_replace(path, "one", 3, 0640), 1);
        assert_holds(path, "one", 0640); /* as wanted, whatever the umask is */
        assert_int_equal(stat(path, &before), 0);
        assert_int_equal(file_replace(path, "one", 3, 0640), 0);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino); /* nothing was written */

        assert_int_equal(file_replace(path, "two", 3, 0600), 1);
        assert_holds(path, "two", 0600);
        assert_int_equal(stat(path, &after), 0);
        assert_int_not_equal(before.st_ino, after.st_ino); /* whoever had the old one open still reads it */
        assert_int_equal(file_replace(path, "tw", 2, 0600), 1);
        assert_int_equal(file_replace(path, "", 0, 0600), 1);
        assert_int_equal(file_replace(path, "", 0, 0600), 0);
        assert_int_equal(access(in_folder("a.new"), F_OK), -1);
        umask(mask);
}

static void test_replace_fails(_unused_ void **state) {
        char path[128], target[128], name[5000];
        struct rlimit old, small = { 1000, RLIM_INFINITY };
        static char big[10000];

        snprintf(path, sizeof(path), "%s", in_folder("a"));
        assert_int_equal(file_replace(in_folder("no/such"), "x", 1, 0600), -ENOENT);
        assert_int_equal(file_replace(folder, "x", 1, 0600), -EISDIR);
        memset(name, 'n', sizeof(name));
        name[sizeof(name) - 1] = 0;
        assert_int_equal(file_replace(name, "x", 1, 0600), -ENAMETOOLONG);

        /* What a crash left behind, or somebody planted, is not written through. */
        snprintf(target, sizeof(target), "%s", in_folder("empty"));
        write_file(target, "mine", 4);
        assert_int_equal(symlink(target, in_folder("a.new")), 0);
        assert_int_equal(file_replace(path, "one", 3, 0600), 1);
        assert_holds(path, "one", 0600);
        assert_holds(target, "mine", 0644);

        /* A disk that is full in the middle: the old content stays, nothing is left behind. */
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        small.rlim_max = old.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(file_replace(path, big, sizeof(big), 0600), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_holds(path, "one", 0600);
        assert_int_equal(access(in_folder("a.new"), F_OK), -1);
}

static void test_mkdir(_unused_ void **state) {
        char path[128];
        struct stat st;
        mode_t mask = umask(0077);

        snprintf(path, sizeof(path), "%s", in_folder("sub"));
        assert_int_equal(file_mkdir(in_folder("sub/deep"), 0750), -ENOENT); /* one level alone */
        assert_int_equal(file_mkdir(path, 0750), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        assert_int_equal(file_mkdir(path, 0700), 0); /* there, and left as it is */
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        umask(mask);

        write_file(in_folder("a"), "", 0);
        assert_int_equal(file_mkdir(in_folder("a"), 0700), -ENOTDIR);
}

static void test_nonblock(_unused_ void **state) {
        char byte;
        int pipes[2];

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(fd_set_nonblock(pipes[0]), 0);
        assert_int_equal(read(pipes[0], &byte, 1), -1);
        assert_int_equal(errno, EAGAIN);
        close(pipes[0]);
        close(pipes[1]);
        assert_int_equal(fd_set_nonblock(-1), -EBADF);
        assert_int_equal(file_write_all(-1, "x", 1), -EBADF);
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

/* In a child: what is closed may be what the test framework needs. */
static void test_close_above(_unused_ void **state) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                for (int fd = 100; fd < 110; fd++)
                        if (dup2(0, fd) != fd)
                                _exit(1);
                fd_close_above(101, (int[]){ 108, 50, 103, 104 }, 4);
                for (int fd = 100; fd < 110; fd++)
                        if (is_open(fd) != (fd == 100 || fd == 103 || fd == 104 || fd == 108))
                                _exit(2);
                fd_close_above(100, NULL, 0);
                for (int fd = 100; fd < 110; fd++)
                        if (is_open(fd))
                                _exit(3);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_read_unsized, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replace_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(test_mkdir, setup, teardown),
                cmocka_unit_test(test_nonblock),
                cmocka_unit_test(test_close_above),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
