/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/macro.h"
#include "exec-fixture.h"

#define SECOND 1000000000LL

static void test_types(void **state) {
        Fixture *f = *state;

        assert_int_equal(run(f,
                             "echo '{\"i\": -5, \"d\": 21.50, \"e\": 1e3, \"t\": true, \"n\": null, \"s\": \"a\\\"b\\u00e4\"}';"
                             "echo '{\"o\": {\"x\": [1, 2.50, \"/\"]}, \"a\": []}'"),
                         0);
        assert_int_equal(emitted(f, "i", EMIT_INT)->i, -5);
        assert_float_equal(emitted(f, "d", EMIT_DOUBLE)->d, 21.5, 0);
        assert_float_equal(emitted(f, "e", EMIT_DOUBLE)->d, 1000, 0);
        assert_int_equal(emitted(f, "t", EMIT_BOOL)->i, 1);
        assert_string_equal(emitted(f, "s", EMIT_STRING)->text, "a\"b\xc3\xa4");
        assert_string_equal(emitted(f, "o", EMIT_JSON)->text, "{\"x\":[1,2.50,\"/\"]}");
        assert_string_equal(emitted(f, "a", EMIT_JSON)->text, "[]");
        assert_string_equal(emitted(f, "n", EMIT_BAD)->text, "the command could not read it (null)");
        assert_int_equal(harness_emits(f->harness), 8);
}

static void test_integers(void **state) {
        Fixture *f = *state;

        assert_int_equal(run(f, "echo '{\"max\": 9223372036854775807, \"min\": -9223372036854775808}';"
                                "echo '{\"over\": 9223372036854775808, \"far\": 99999999999999999999}';"
                                "echo '{\"under\": -9223372036854775809, \"deep\": [18446744073709551616]}';"
                                "echo '{\"fine\": [18446744073709551615]}'"),
                         0);
        assert_true(emitted(f, "max", EMIT_INT)->i == INT64_MAX);
        assert_true(emitted(f, "min", EMIT_INT)->i == INT64_MIN);
        /* What int64 can't hold is never another integer: as doubles beyond 2^63 the host refuses and counts them. */
        assert_true(emitted(f, "over", EMIT_DOUBLE)->d >= 0x1p63);
        assert_true(emitted(f, "far", EMIT_DOUBLE)->d >= 0x1p63);
        assert_true(emitted(f, "under", EMIT_DOUBLE)->d < -0x1p63);
        emitted(f, "deep", EMIT_BAD);
        assert_string_equal(emitted(f, "fine", EMIT_JSON)->text, "[18446744073709551615]");
}

static void test_bare(void **state) {
        Fixture *f = *state;

        option(f, "key", "level");
        assert_int_equal(
                run(f, "echo 21.5; echo; echo '  7\r'; echo true; echo '\"text\"'; echo null; echo '[1]'; echo '{\"other\":1}'"),
                0);
        assert_int_equal(harness_count(f->harness, "level"), 4);
        assert_float_equal(harness_emit(f->harness, 0)->d, 21.5, 0);
        assert_int_equal(harness_emit(f->harness, 1)->i, 7);
        assert_string_equal(harness_emit(f->harness, 3)->text, "text");
        emitted(f, "level", EMIT_BAD); /* null */
        assert_int_equal(emitted(f, "other", EMIT_INT)->i, 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "is neither a JSON object nor a value: [1]"), 1);
        /* One after the other in time, so each in a row of its own. */
        assert_int_not_equal(harness_emit(f->harness, 0)->row, harness_emit(f->harness, 1)->row);
}

static void test_bare_needs_key(void **state) {
        Fixture *f = *state;

        assert_int_equal(run(f, "echo 21.5"), -EBADMSG);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "a line of its output is no JSON object: 21.5"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "the command printed no good line"), 1);
        assert_int_equal(harness_emits(f->harness), 0);
}

static void test_prefix(void **state) {
        Fixture *f = *state;

        option(f, "prefix", "shed_");
        option(f, "key", "bare");
        assert_int_equal(run(f, "echo '{\"a\":1}'; echo 2"), 0);
        assert_int_equal(emitted(f, "shed_a", EMIT_INT)->i, 1);
        assert_int_equal(emitted(f, "shed_bare", EMIT_INT)->i, 2);
}

static void test_rows(void **state) {
        Fixture *f = *state;
        size_t row;

        assert_int_equal(run(f, "printf '%s\\n' '{\"a\":1}' '{\"b\":2,\"c\":3}' '{\"d\":4,\"b\":5}' '{\"e\":6}'"), 0);
        row = emitted(f, "a", EMIT_INT)->row;
        assert_int_equal(harness_emit(f->harness, 1)->row, row); /* b joins a */
        assert_int_equal(harness_emit(f->harness, 2)->row, row);
        assert_int_equal(harness_emit(f->harness, 3)->row, row + 1); /* d stays with its b, which a's row has */
        assert_int_equal(harness_emit(f->harness, 4)->row, row + 1);
        assert_int_equal(harness_emit(f->harness, 5)->row, row + 1);
}

static void test_many_keys(void **state) {
        size_t in_row[400] = {0};
        Fixture *f = *state;

        /* 150 lines of one key, a line of 100 keys, one more line; awk writes them at once. */
        assert_int_equal(run(f,
                             "awk 'BEGIN { for (i = 1; i <= 150; i++) printf \"{\\\"k%d\\\":1}\\n\", i; printf \"{\\\"m0\\\":0\";"
                             "for (i = 1; i < 100; i++) printf \",\\\"m%d\\\":1\", i; print \"}\\n{\\\"z\\\":1}\" }'"),
                         0);
        for (size_t i = 0; i < harness_emits(f->harness); i++) {
                assert_true(harness_emit(f->harness, i)->row < ELEMENTS(in_row));
                if (harness_emit(f->harness, i)->key[0] == 'k')
                        in_row[harness_emit(f->harness, i)->row]++;
        }
        for (size_t i = 0; i < ELEMENTS(in_row); i++)
                assert_true(in_row[i] <= 64);
        assert_int_equal(emitted(f, "k150", EMIT_INT)->row, 3);
        assert_int_equal(emitted(f, "m0", EMIT_INT)->row, emitted(f, "m99", EMIT_INT)->row);
        assert_int_equal(emitted(f, "z", EMIT_INT)->row, emitted(f, "m0", EMIT_INT)->row + 1);
        assert_int_equal(harness_emits(f->harness), 251);
}

static void test_time(void **state) {
        Fixture *f = *state;
        struct timespec now;
        char text[256];
        int64_t ts;

        clock_gettime(CLOCK_REALTIME, &now);
        ts = (now.tv_sec - 3600) * 1000LL;
        harness_set_now(f->harness, 10000 * SECOND);
        snprintf(text, sizeof(text),
                 "echo '{\"before\":1}'; echo '{\"ts\":%lld,\"values\":{\"a\":1,\"b\":2}}'; echo '{\"after\":1}'", (long long)ts);
        assert_int_equal(run(f, text), 0);
        assert_true(emitted(f, "before", EMIT_INT)->time_ns == 0);
        assert_true(emitted(f, "after", EMIT_INT)->time_ns == 0);
        /* An hour ago; the command may have taken its time. */
        assert_true(emitted(f, "a", EMIT_INT)->time_ns <= 6400 * SECOND);
        assert_true(emitted(f, "a", EMIT_INT)->time_ns > 6300 * SECOND);
        assert_true(emitted(f, "b", EMIT_INT)->row == emitted(f, "a", EMIT_INT)->row);
        assert_true(emitted(f, "before", EMIT_INT)->row < emitted(f, "a", EMIT_INT)->row);
        assert_true(emitted(f, "after", EMIT_INT)->row > emitted(f, "a", EMIT_INT)->row);
}

static void test_bad_times(void **state) {
        static const char *const times[] = {"1700000000", "\"1700000000000\"", "null", "-1", "1e300", "99999999999999999999"};
        Fixture *f = *state;
        char text[256];

        for (size_t i = 0; i < ELEMENTS(times); i++) {
                snprintf(text, sizeof(text), "echo '{\"ts\":%s,\"values\":{\"a\":1}}'", times[i]);
                assert_int_equal(run(f, text), -EBADMSG);
                assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "has a ts"), i + 1);
        }
        assert_int_equal(harness_emits(f->harness), 0);
}

static void test_bad_lines(void **state) {
        Fixture *f = *state;

        script(f, "echo 'Reading sensor now ...'; printf '\\377\\000\\001{\\n'; echo '{\"a\":'; echo '{\"a\":1}x'; echo "
                  "'{\"good\":1}'");
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(harness_sample(f->harness), 0);
        assert_int_equal(harness_count(f->harness, "good"), 3);
        assert_int_equal(harness_count(f->harness, "a"), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, ""), 1); /* once, not every time */
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "a line of its output is no JSON: Reading sensor now ..."),
                         1);
}

/* Of any script, byte by byte; what is no JSON stays so beside it. */
static void test_text(void **state) {
        Fixture *f = *state;

        assert_int_equal(run(f, "echo '{\"w\": \"W\u00e4rme \u20ac \U0001f321\"}  '; echo '{\"x\": \"\u00e4\"}x'; "
                                "echo '{\"a\": 1, \"y\": \"\u00e4}'; "
                                "echo '{\"\u00fc\": 2}'"),
                         0);
        assert_string_equal(emitted(f, "w", EMIT_STRING)->text, "W\u00e4rme \u20ac \U0001f321");
        assert_int_equal(emitted(f, "\u00fc", EMIT_INT)->i, 2);
        assert_int_equal(harness_emits(f->harness), 2);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "2 lines of its output were bad"), 1);
}

static void test_garbage(void **state) {
        Fixture *f = *state;

        assert_int_equal(run(f, "head -c 200000 /dev/urandom; echo; echo '{\"a\":1}'"), 0);
        assert_int_equal(emitted(f, "a", EMIT_INT)->i, 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, ""), 1);
        assert_int_equal(harness_count(f->harness, "a"), 1);
}

static void test_long_lines(void **state) {
        Fixture *f = *state;

        /* 65536 bytes are a line: {"s":"..."} around 65528. */
        assert_int_equal(run(f, "long() { printf '{\"s\":\"'; head -c $1 /dev/zero | tr '\\0' a; echo '\"}'; }; long 65528; long "
                                "65529; long 300000;"
                                "echo '{\"a\":1}'; long 10"),
                         0);
        assert_int_equal(harness_count(f->harness, "s"), 2);
        assert_int_equal(strlen(harness_emit(f->harness, 0)->text), 65528);
        assert_int_equal(emitted(f, "a", EMIT_INT)->i, 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "is longer than 64 KiB: {\"s\":\"aaa"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "2 lines of its output were bad"), 1);
}

static void test_no_newline(void **state) {
        Fixture *f = *state;

        option(f, "key", "n");
        assert_int_equal(run(f, "printf 123"), 0);
        assert_int_equal(emitted(f, "n", EMIT_INT)->i, 123);
        assert_int_equal(run(f, "printf 12; kill -9 $$"), -EIO); /* cut in the middle: perhaps it was 123 */
        assert_int_equal(harness_count(f->harness, "n"), 1);
        assert_int_equal(run(f, "true"), 0); /* nothing to say is no fault */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, exec_setup, exec_teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_types),   TEST(test_integers),   TEST(test_bare),       TEST(test_bare_needs_key), TEST(test_prefix),
                TEST(test_rows),    TEST(test_many_keys),  TEST(test_time),       TEST(test_bad_times),      TEST(test_bad_lines),      TEST(test_text),
                TEST(test_garbage), TEST(test_long_lines), TEST(test_no_newline),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
