/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/macro.h"
#include "exec-fixture.h"
#include "tree.h"

#define SECOND   1000000000LL
#define PATIENCE 2000 /* turns of 10 ms until something that has to happen counts as missing */

/* Turns until there are n values of key. */
static void turn_until(Fixture *f, const char *key, size_t n) {
        for (int i = 0; harness_count(f->harness, key) < n; i++) {
                if (i == PATIENCE)
                        fail_msg("%zu values of %s, not %zu", harness_count(f->harness, key), key, n);
                harness_turn(f->harness, 10);
        }
}

static void turn_until_logged(Fixture *f, int level, const char *part) {
        for (int i = 0; harness_logged(f->harness, level, part) == 0; i++) {
                if (i == PATIENCE)
                        fail_msg("no line \"%s\"", part);
                harness_turn(f->harness, 10);
        }
}

static bool gone(pid_t pid) {
        char path[64], text[256] = "";
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return true;
        if (!fgets(text, sizeof(text), f))
                text[0] = 0;
        fclose(f);
        return !*text || strstr(text, ") Z"); /* a zombie waits for the machine's init */
}

static void expect_gone(pid_t pid) {
        assert_true(pid > 1);
        for (int i = 0; !gone(pid); i++) {
                if (i == PATIENCE)
                        fail_msg("process %d is still there", (int)pid);
                poll(NULL, 0, 10);
        }
}

static void test_status(void **state) {
        Fixture *f = *state;

        script(f, "echo '{\"a\":1}'; test -e stop && exit 0; exit 3");
        option(f, "dir", f->dir);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -EIO);
        assert_int_equal(harness_sample(f->harness), -EIO);
        assert_int_equal(harness_count(f->harness, "a"), 2);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "the command ended with status 3"),
                         2); /* the host's reason, each time */
        tree_put(f->dir, "stop", "");
        assert_int_equal(harness_sample(f->harness), 0);
        tree_put(f->dir, "stop", NULL);
        assert_int_equal(harness_sample(f->harness), -EIO);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "the command ended with status 3"), 3);
        harness_close(f->harness);
        assert_int_equal(run(f, "kill -SEGV $$"), -EIO);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "was killed by signal 11 (Segmentation fault)"), 1);
}

static void test_too_slow(void **state) {
        Fixture *f = *state;

        option(f, "kill_after", "300ms");
        assert_int_equal(run(f, "sleep 1000 & echo \"{\\\"pid\\\":$!}\"; trap '' TERM; wait"), -ETIMEDOUT);
        assert_int_equal(harness_timeout(f->harness), 300000 + 5000000);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "took longer than kill_after and was killed"), 1);
        expect_gone((pid_t)emitted(f, "pid", EMIT_INT)->i);
}

static void test_left_behind(void **state) {
        Fixture *f = *state;

        assert_int_equal(run(f, "sleep 1000 & echo \"{\\\"pid\\\":$!}\""), 0);
        expect_gone((pid_t)emitted(f, "pid", EMIT_INT)->i);
}

/* Its execve() does not see that an interpreter is missing. */
static bool under_valgrind(void) {
        const char *preload = getenv("LD_PRELOAD");

        return preload && strstr(preload, "vgpreload");
}

static void test_absent(void **state) {
        Fixture *f = *state;
        char path[256];

        option(f, "command", "/usr/local/bin/not there at all");
        for (int i = 0; i < 3; i++)
                assert_int_equal(harness_open(f->harness), -ENOENT);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "cannot run it: No such file"), 3);
        option(f, "command", "/home/pi/read.sh");
        assert_int_equal(harness_open(f->harness), -ENOENT);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "the service sees no home folders"), 1);

        snprintf(path, sizeof(path), "%s/script", f->dir);
        tree_put(f->dir, "script", "#!/usr/bin/no-such-interpreter\n");
        option(f, "command", path);
        assert_int_equal(harness_open(f->harness), -EACCES);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "chmod +x"), 1);
        assert_int_equal(chmod(path, 0755), 0);
        assert_int_equal(harness_open(f->harness), 0);
        if (!under_valgrind()) {
                assert_int_equal(harness_sample(f->harness), -ENOENT);
                assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "the interpreter that its first line names is not"),
                                 1);
        }
        harness_close(f->harness);
        option(f, "mode", "daemon");
        assert_int_equal(harness_open(f->harness), under_valgrind() ? 0 : -ENOENT);
        if (under_valgrind())
                harness_close(f->harness);

        option(f, "mode", "periodic");
        option(f, "command", "no-such-program-in-path");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -ENOENT);
        harness_close(f->harness);
        option(f, "command", "true");
        option(f, "dir", "/no/such/folder");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -ENOENT);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "cannot go to its dir: No such file"), 1);
}

static void test_bad_options(void **state) {
        static const struct {
                const char *command, *shell, *env, *told;
        } cases[] = {
                {"", "false", "A=1", "command: is empty"},
                {"echo\nhello", "true", "A=1", "command: is a list"},
                {"echo\nhello", "false", "A=1\nB", "env: has one that is not written as \"NAME=value\""},
                {"who | wc -l", "false", "A=1\nB=", "command: is no program: write program and arguments as a list"},
                {"who | wc -l", "true", "A=1\nB=", NULL},
        };
        Fixture *f = *state;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                option(f, "command", cases[i].command);
                option(f, "shell", cases[i].shell);
                option(f, "env", cases[i].env);
                assert_int_equal(harness_check(f->harness), cases[i].told ? 1 : 0);
                if (cases[i].told)
                        assert_int_equal(harness_logged(f->harness, TBAGENT_ERROR, cases[i].told), 1);
        }
}

static void test_arguments(void **state) {
        Fixture *f = *state;

        option(f, "command", "printf\n{\"a\":\"%s\"}\n$HOME; * |");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_string_equal(emitted(f, "a", EMIT_STRING)->text, "$HOME; * |"); /* no shell in between */
        harness_close(f->harness);
}

/* As in /proc/PID/status, without 32 and 33: libc keeps those for itself, so what make left there stays. */
static uint64_t signal_set(const Emit *e) {
        return strtoull(e->text, NULL, 16) & ~UINT64_C(0x180000000);
}

/* What the command finds when it starts. */
static void test_surroundings(void **state) {
        struct rlimit data, low;
        Fixture *f = *state;
        char hard[32] = "unlimited";
        sigset_t block, old;
        int kept;

        assert_int_equal(setenv("NOTIFY_SOCKET", "/run/notify", 1), 0);
        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        assert_int_equal(getrlimit(RLIMIT_DATA, &data), 0);
        low = data;
        low.rlim_cur = 1ull << 60; /* high enough for sanitizers */
        assert_int_equal(setrlimit(RLIMIT_DATA, &low), 0);
        if (data.rlim_max != RLIM_INFINITY)
                snprintf(hard, sizeof(hard), "%llu", (unsigned long long)data.rlim_max / 1024);
        sigfillset(&block);
        assert_int_equal(sigprocmask(SIG_BLOCK, &block, &old), 0);
        signal(SIGPIPE, SIG_IGN);
        kept = dup(2); /* a descriptor without close-on-exec */

        option(f, "env", "NAME=a=b\nTZ=Europe/Berlin");
        option(f, "dir", f->dir);
        option(f, "prefix", "x.");
        assert_int_equal(
                run(f, "read line || echo '{\"stdin\":\"empty\"}';"
                       "echo \"{\\\"name\\\":\\\"$NAME\\\",\\\"tz\\\":\\\"$TZ\\\",\\\"socket\\\":\\\"$NOTIFY_SOCKET\\\"}\";"
                       "echo \"{\\\"instance\\\":\\\"$TBAGENT_INSTANCE\\\",\\\"dir\\\":\\\"$(pwd)\\\",\\\"data\\\":\\\"$(ulimit "
                       "-Sd)\\\"}\";"
                       "echo \"{\\\"fds\\\":$(ls /proc/self/fd | wc -l)}\";"
                       "awk '/^Sig(Blk|Ign)/ { print \"{\\\"\" $1 \"\\\":\\\"\" $2 \"\\\"}\" }' /proc/self/status"),
                0);
        signal(SIGPIPE, SIG_DFL);
        assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
        assert_int_equal(setrlimit(RLIMIT_DATA, &data), 0);
        close(kept);
        assert_string_equal(emitted(f, "x.stdin", EMIT_STRING)->text, "empty");
        assert_string_equal(emitted(f, "x.name", EMIT_STRING)->text, "a=b");
        assert_string_equal(emitted(f, "x.tz", EMIT_STRING)->text, "Europe/Berlin");
        assert_string_equal(emitted(f, "x.socket", EMIT_STRING)->text, "");
        assert_string_equal(emitted(f, "x.instance", EMIT_STRING)->text, "unit");
        assert_string_equal(emitted(f, "x.dir", EMIT_STRING)->text, f->dir);
        assert_string_equal(emitted(f, "x.data", EMIT_STRING)->text, hard);
        assert_int_equal(emitted(f, "x.fds", EMIT_INT)->i, 4); /* 0, 1, 2 and the folder itself */
        assert_int_equal(signal_set(emitted(f, "x.SigBlk:", EMIT_STRING)), 0);
        assert_int_equal(signal_set(emitted(f, "x.SigIgn:", EMIT_STRING)), 0);
}

static void test_stderr(void **state) {
        Fixture *f = *state;

        harness_set_now(f->harness, 100 * SECOND);
        assert_int_equal(run(f, "for i in $(seq 100); do echo \"trouble\t$i\" >&2; done; echo '{\"a\":1}'"), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_NOTICE, "trouble "), 20);
        assert_int_equal(harness_logged(f->harness, TBAGENT_NOTICE, "80 more lines of its stderr are left out"), 1);
        harness_clear(f->harness);
        option(f, "stderr", "drop");
        assert_int_equal(run(f, "echo trouble >&2; echo '{\"a\":1}'"), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_NOTICE, ""), 0);
}

/* ---- daemon */

static void daemon_open(Fixture *f, const char *text) {
        script(f, text);
        option(f, "mode", "daemon");
        assert_int_equal(harness_open(f->harness), 0);
}

static void test_daemon(void **state) {
        Fixture *f = *state;
        char fifo[256];
        int fd;

        snprintf(fifo, sizeof(fifo), "%s/fifo", f->dir);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        option(f, "dir", f->dir);
        daemon_open(f, "echo '{\"up\":1}'; exec cat fifo");
        turn_until(f, "up", 1);
        assert_int_equal(harness_sample(f->harness), 0);
        fd = open(fifo, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "{\"a\":1}\n{\"a\":2}\n{\"b\"", 20), 20); /* a line comes in two parts */
        turn_until(f, "a", 2);
        assert_null(harness_last(f->harness, "b"));
        assert_int_equal(write(fd, ":3}\n", 4), 4);
        turn_until(f, "b", 1);
        assert_int_equal(harness_emit(f->harness, 1)->i, 1);
        assert_int_equal(harness_emit(f->harness, 2)->i, 2);
        close(fd);
        turn_until_logged(f, TBAGENT_WARNING, "the command ended; it is started again in 1 s");
        assert_int_equal(harness_sample(f->harness), -ECHILD);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "the command ended; it is started again in 1 s"), 2);
        harness_close(f->harness);
}

static void test_restarts(void **state) {
        static const uint64_t seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
        Fixture *f = *state;
        uint64_t usec;

        harness_set_now(f->harness, 100 * SECOND);
        daemon_open(f, "echo '{\"run\":1}'; exit 1");
        for (size_t i = 0; i < ELEMENTS(seconds); i++) {
                turn_until_logged(f, TBAGENT_WARNING, "ended with status 1; it is started again");
                assert_int_equal(harness_count(f->harness, "run"), 1); /* what it wrote before it ended is there */
                assert_int_equal(harness_sample(f->harness), -ECHILD);
                harness_clear(f->harness);
                assert_true(harness_timer(f->harness, &usec));
                assert_int_equal(usec, seconds[i] * 1000000);
        }
        harness_set_now(f->harness, 161 * SECOND); /* this one has lived for a minute */
        turn_until_logged(f, TBAGENT_WARNING, "started again in 1 s");
        harness_close(f->harness);
}

static void test_restart_fails(void **state) {
        Fixture *f = *state;
        uint64_t usec;

        option(f, "dir", f->dir);
        daemon_open(f, "exit 1");
        turn_until_logged(f, TBAGENT_WARNING, "started again in 1 s");
        f->dir = tree_free(f->dir); /* now it can't be started any more */
        for (uint64_t s = 1; s <= 4; s *= 2) {
                assert_true(harness_timer(f->harness, &usec));
                assert_int_equal(usec, s * 1000000);
                assert_int_equal(harness_sample(f->harness), -ECHILD);
        }
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "cannot go to its dir"),
                         6); /* three starts, three samples */
        harness_close(f->harness);
}

static void test_closes_stdout(void **state) {
        Fixture *f = *state;

        daemon_open(f, "echo '{\"a\":1}'; exec >&-; echo bye >&2; exec 2>&-; exec sleep 1000");
        turn_until_logged(f, TBAGENT_NOTICE, "bye");
        while (harness_turn(f->harness, 100))
                ;
        assert_int_equal(harness_count(f->harness, "a"), 1);
        assert_int_equal(harness_sample(f->harness), 0); /* it lives */
        harness_close(f->harness);
}

/* A flood is read in bounded parts: the host's loop turns in between. */
static void test_flood(void **state) {
        Fixture *f = *state;

        daemon_open(f, "exec yes '{\"a\":1}'");
        turn_until(f, "a", 1);
        for (int i = 0; i < 3; i++) {
                harness_clear(f->harness);
                assert_true(harness_turn(f->harness, 10000));
                assert_true(harness_emits(f->harness) <= 65537 / strlen("{\"a\":1}\n") + 1);
        }
        harness_close(f->harness);
}

static void test_silence(void **state) {
        Fixture *f = *state;
        int64_t start = 100 * SECOND;

        harness_set_now(f->harness, start);
        option(f, "silence", "30s");
        daemon_open(f, "echo '{\"a\":1}'; exec sleep 1000");
        turn_until(f, "a", 1);
        harness_set_now(f->harness, start + 30 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        while (harness_turn(f->harness, 100))
                ;
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, ""), 0);
        harness_set_now(f->harness, start + 31 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        turn_until_logged(f, TBAGENT_WARNING, "was silent for too long and was killed; it is started again in 1 s");
        harness_close(f->harness);
}

#define STUBBORN                                                                                                                 \
        "trap '' TERM HUP; sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & echo \"{\\\"pid\\\":$!,\\\"self\\\":$$}\"; "  \
        "wait"

static void test_close_ends_all(void **state) {
        Fixture *f = *state;

        daemon_open(f, STUBBORN);
        turn_until(f, "pid", 1);
        harness_close(f->harness);
        expect_gone((pid_t)emitted(f, "self", EMIT_INT)->i);
        expect_gone((pid_t)emitted(f, "pid", EMIT_INT)->i);
}

/* The host is killed and can do nothing: the guard does. */
static void test_host_killed(void **state) {
        Fixture *f = *state;
        pid_t host, pids[2];
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        host = fork();
        assert_true(host >= 0);
        if (host == 0) {
                daemon_open(f, STUBBORN);
                turn_until(f, "pid", 1);
                pids[0] = (pid_t)emitted(f, "pid", EMIT_INT)->i;
                pids[1] = (pid_t)emitted(f, "self", EMIT_INT)->i;
                if (write(ends[1], pids, sizeof(pids)) != sizeof(pids))
                        _exit(1);
                for (;;)
                        pause();
        }
        close(ends[1]);
        assert_int_equal(read(ends[0], pids, sizeof(pids)), sizeof(pids));
        close(ends[0]);
        assert_false(gone(pids[0]));
        assert_int_equal(kill(host, SIGKILL), 0);
        assert_int_equal(waitpid(host, NULL, 0), host);
        expect_gone(pids[1]);
        expect_gone(pids[0]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, exec_setup, exec_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_status),      TEST(test_too_slow),  TEST(test_left_behind),    TEST(test_absent),
                TEST(test_bad_options), TEST(test_arguments), TEST(test_surroundings),   TEST(test_stderr),
                TEST(test_daemon),      TEST(test_restarts),  TEST(test_restart_fails),  TEST(test_closes_stdout),
                TEST(test_flood),       TEST(test_silence),   TEST(test_close_ends_all), TEST(test_host_killed),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
