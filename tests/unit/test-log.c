/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"

#define HOUR (3600 * USEC_PER_SEC)

static struct {
        unsigned n;
        int level;
        char line[4096];
} tapped;

static void on_line(void *userdata, int level, const char *line) {
        assert_ptr_equal(userdata, &tapped);
        tapped.n++;
        tapped.level = level;
        snprintf(tapped.line, sizeof(tapped.line), "%s", line);
}

/* Runs fn with stderr in a file and gives back what was written. */
static const char *stderr_of(void (*fn)(void)) {
        static char text[8192];
        FILE *file = tmpfile();
        int saved = dup(STDERR_FILENO);
        size_t n;

        assert_non_null(file);
        dup2(fileno(file), STDERR_FILENO);
        fn();
        dup2(saved, STDERR_FILENO);
        close(saved);
        rewind(file);
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = 0;
        fclose(file);
        return text;
}

static int setup(_unused_ void **state) {
        memset(&tapped, 0, sizeof(tapped));
        unsetenv("JOURNAL_STREAM");
        log_open(NULL);
        log_set_level(LOG_INFO);
        log_tap(on_line, &tapped);
        return 0;
}

static void say_hello(void) {
        errno = ENOENT;
        log_error("cannot open %s: %m", "x");
        assert_int_equal(errno, ENOENT);
        log_debug("not shown");
}

static void say_as_tbagent(void) {
        log_open("tbagent");
        log_instance(LOG_WARNING, "boiler", "gone for %d s", 3);
        log_instance(LOG_NOTICE, "boiler", "back");
}

static void test_stderr(_unused_ void **state) {
        assert_string_equal(stderr_of(say_hello), "cannot open x: No such file or directory\n");
        assert_int_equal(tapped.n, 1);
        assert_int_equal(tapped.level, LOG_ERR);
        assert_string_equal(stderr_of(say_as_tbagent), "tbagent: boiler: gone for 3 s\ntbagent: boiler: back\n");
        assert_string_equal(tapped.line, "boiler: back");
}

static void say_forged(void) {
        log_info("%s", "one\nERROR two\x1b[31m\r\t\x7f.");
}

static void test_one_line(_unused_ void **state) {
        assert_string_equal(stderr_of(say_forged), "one ERROR two [31m   .\n");
}

static void say_long(void) {
        char text[5000];

        memset(text, 'a', sizeof(text));
        text[sizeof(text) - 1] = 0;
        log_info("%s", text);
        for (size_t i = 1; i + 2 < sizeof(text); i += 2)
                memcpy(text + i, "\xc3\xa4", 2); /* one of the two parities is cut inside a character */
        log_info("%s", text);
        log_info("%s", text + 1);
}

static void test_cut(_unused_ void **state) {
        const char *out = stderr_of(say_long), *line = out;

        for (unsigned i = 0; i < 3; i++) {
                const char *end = strchr(line, '\n');

                assert_non_null(end);
                assert_true(end - line > 2000 && end - line < 2048);
                assert_memory_equal(end - 3, "...", 3);
                assert_true(end[-4] == 'a' || (unsigned char)end[-4] == 0xa4); /* a whole character */
                line = end + 1;
        }
        assert_int_equal(*line, 0);
}

static void test_level(_unused_ void **state) {
        assert_int_equal(log_level_parse("error"), LOG_ERR);
        assert_int_equal(log_level_parse("warning"), LOG_WARNING);
        assert_int_equal(log_level_parse("notice"), LOG_NOTICE);
        assert_int_equal(log_level_parse("info"), LOG_INFO);
        assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
        assert_int_equal(log_level_parse("loud"), -EINVAL);
        assert_int_equal(log_level_parse(""), -EINVAL);

        log_set_level(LOG_WARNING);
        assert_int_equal(log_level(), LOG_WARNING);
        log_notice("dropped");
        assert_int_equal(tapped.n, 0);
        log_set_level(LOG_DEBUG);
        log_tap(NULL, NULL);
        log_debug("nobody taps this");
        assert_int_equal(tapped.n, 0);
}

/* stderr claims to be the journal's: the line goes there, and through the stream with its level where no
 * journal takes it (a build machine has none). */
static void say_to_journal(void) {
        char stream[64];
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_open("test-log");
        log_fields(LOG_NOTICE, (LogField[]){ LOG_ID("00000000000000000000000000000000"), { "INSTANCE", NULL } }, 2, "hello");
        setenv("JOURNAL_STREAM", "1:2", 1);
        log_open("test-log");
        log_notice("elsewhere");
}

static void test_journal(_unused_ void **state) {
        bool journal = access("/run/systemd/journal/socket", W_OK) == 0;

        assert_string_equal(stderr_of(say_to_journal),
                            journal ? "test-log: elsewhere\n" : "<5>test-log: hello\ntest-log: elsewhere\n");
        assert_int_equal(tapped.n, 2);
}

static void test_allow(_unused_ void **state) {
        unsigned left_out = 99;

        assert_true(log_allow("a", HOUR, 2, &left_out));
        assert_int_equal(left_out, 0);
        assert_true(log_allow("a", HOUR, 2, NULL));
        left_out = 99;
        for (unsigned i = 0; i < 5; i++)
                assert_false(log_allow("a", HOUR, 2, &left_out));
        assert_int_equal(left_out, 99); /* untouched */
        assert_true(log_allow("b", HOUR, 2, &left_out)); /* another key */
        assert_int_equal(left_out, 0);

        /* The interval is the caller's: with a short one the bucket has filled again, and tells. */
        usleep(1);
        assert_true(log_allow("a", 1, 2, &left_out));
        assert_int_equal(left_out, 5);
        usleep(1);
        assert_true(log_allow("a", 1, 2, &left_out));
        assert_int_equal(left_out, 0);
}

static void test_allow_many_keys(_unused_ void **state) {
        unsigned passed = 0, left_out = 0;
        char key[32];

        for (unsigned i = 0; i < 10000; i++) {
                snprintf(key, sizeof(key), "topic/%u", i);
                passed += log_allow(key, HOUR, 1, NULL);
        }
        assert_in_range(passed, 50, 65); /* the table, then one bucket for all */

        usleep(1);
        assert_true(log_allow("topic/9999", 1, 1, &left_out));
        assert_in_range(left_out, 10000 - 66, 10000 - 50);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_stderr, setup),
                cmocka_unit_test_setup(test_one_line, setup),
                cmocka_unit_test_setup(test_cut, setup),
                cmocka_unit_test_setup(test_level, setup),
                cmocka_unit_test_setup(test_journal, setup),
                cmocka_unit_test_setup(test_allow, setup),
                cmocka_unit_test_setup(test_allow_many_keys, setup),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
