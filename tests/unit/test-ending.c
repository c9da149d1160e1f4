/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "sensor/ending.h"

static uint8_t datagram[FRAME_SIZE_MAX];

#define NOTE(e, ...)                                                                    \
        do {                                                                            \
                ssize_t _n = frame_build(datagram, __VA_ARGS__);                        \
                Frame _f;                                                               \
                                                                                        \
                assert_int_equal(frame_parse(datagram, (size_t)_n, &_f), 0);            \
                ending_note((e), &_f);                                                  \
        } while (0)

static const char *describe(const Ending *e, int status, bool may_end) {
        static char text[ENDING_TEXT_MAX];

        ending_describe(e, status, may_end, text);
        return text;
}

static void test_status(_unused_ void **state) {
        static const struct {
                int status;
                const char *words;
        } cases[] = {
                { W_EXITCODE(0, 0), "ended by itself" },
                { W_EXITCODE(3, 0), "ended with exit code 3" },
                { W_EXITCODE(78, 0), "its part of the configuration is wrong" },
                { SIGSEGV, "crashed (SIGSEGV)" },
                { SIGABRT | WCOREFLAG, "crashed (SIGABRT)" },
                { SIGKILL, "hung in a call, killed (timeout)" },
                { SIGTERM, "ended from outside (SIGTERM)" },
                { 40, "crashed (signal 40)" },
        };
        const Ending none = { 0 };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                assert_string_equal(describe(&none, cases[i].status, false), cases[i].words);
                assert_string_equal(describe(&none, cases[i].status, true), cases[i].status == 0 ? "" : cases[i].words);
                assert_int_equal(ending_is_misconfigured(&none, cases[i].status), cases[i].status == W_EXITCODE(78, 0));
        }
}

static void test_words(_unused_ void **state) {
        Ending e = { 0 };

        NOTE(&e, FRAME_DONE, "");
        assert_string_equal(describe(&e, SIGSEGV, false), "crashed (SIGSEGV)");
        NOTE(&e, FRAME_DONE, "memory");
        assert_string_equal(describe(&e, W_EXITCODE(1, 0), false), "memory");
        assert_string_equal(describe(&e, 0, true), ""); /* "sampled", and all is well */
        ending_say(&e, "sent a bad frame");
        assert_string_equal(describe(&e, SIGKILL, false), "sent a bad frame");
        assert_false(ending_is_misconfigured(&e, SIGKILL));
}

static void test_problems(_unused_ void **state) {
        Ending e = { 0 }, bare = { 0 };

        NOTE(&e, FRAME_PROBLEM, (uint64_t)0, "a.conf", (uint64_t)3, "only a warning");
        assert_false(ending_is_misconfigured(&e, 0));
        NOTE(&e, FRAME_PROBLEM, (uint64_t)1, "a.conf", (uint64_t)4, "wrong type");
        NOTE(&e, FRAME_PROBLEM, (uint64_t)1, "b.conf", (uint64_t)5, "the second");
        NOTE(&e, FRAME_DONE, "misconfigured");
        ending_say(&e, "did not end in time, killed");
        assert_true(ending_is_misconfigured(&e, SIGKILL));
        assert_string_equal(describe(&e, 0, true), "a.conf:4: wrong type");

        NOTE(&bare, FRAME_PROBLEM, (uint64_t)1, "", (uint64_t)0, "no such plugin");
        assert_string_equal(describe(&bare, 0, false), "no such plugin");
}

/* Whatever a host says fits, and ends with a whole character. */
static void test_long(_unused_ void **state) {
        char text[600], out[ENDING_TEXT_MAX];

        for (size_t shift = 0; shift < 2; shift++) {
                Ending e = { 0 };

                memset(text, 'a', sizeof(text));
                for (size_t i = shift; i + 2 < sizeof(text); i += 2)
                        memcpy(text + i, "\xc3\xa4", 2);
                text[sizeof(text) - 1] = 0;
                ending_copy(out, text);
                assert_int_equal(strlen(out), ENDING_TEXT_MAX - 1 - (shift == 0));
                NOTE(&e, FRAME_PROBLEM, (uint64_t)1, "f", (uint64_t)1, text);
                assert_in_range(strlen(e.words), ENDING_TEXT_MAX - 2, ENDING_TEXT_MAX - 1);
                assert_int_equal((unsigned char)e.words[strlen(e.words) - 1], 0xa4);
        }
        memset(text, 'b', ENDING_TEXT_MAX - 1);
        text[ENDING_TEXT_MAX - 1] = 0;
        ending_copy(out, text); /* fits to the last byte */
        assert_string_equal(out, text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_problems),
                cmocka_unit_test(test_long),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
