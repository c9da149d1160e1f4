/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mqtt/backoff.h"

#define S USEC_PER_SEC

/* Full jitter: below a bound that doubles, and now and then in each half of it. */
static void test_jitter(_unused_ void **state) {
        static const usec_t bounds[] = { 1 * S, 2 * S, 4 * S, 8 * S, 10 * S, 10 * S, 10 * S };
        bool high[ELEMENTS(bounds)] = {}, low[ELEMENTS(bounds)] = {};

        for (unsigned round = 0; round < 100; round++) {
                Backoff b = { .min = S, .max = 10 * S };

                for (size_t i = 0; i < ELEMENTS(bounds); i++) {
                        usec_t delay = backoff_after(&b, i % 2 ? SESSION_CLOSED : SESSION_NO_NETWORK);

                        assert_true(delay < bounds[i]);
                        *(delay < bounds[i] / 2 ? &low[i] : &high[i]) = true;
                }
        }
        for (size_t i = 0; i < ELEMENTS(bounds); i++)
                assert_true(low[i] && high[i]);
}

static void test_bounds(_unused_ void **state) {
        Backoff b = { .min = UINT64_MAX / 4, .max = UINT64_MAX / 2, .attempts = UINT32_MAX - 2 };

        for (int i = 0; i < 6; i++) /* the count goes round */
                assert_true(backoff_after(&b, SESSION_CLOSED) < UINT64_MAX / 2);
        b = (Backoff){ .min = 5, .max = 5 };
        for (int i = 0; i < 100; i++)
                assert_true(backoff_after(&b, SESSION_TIMEOUT) < 5);
        b = (Backoff){};
        assert_int_equal(backoff_after(&b, SESSION_TIMEOUT), 0);
}

static void test_lasted(_unused_ void **state) {
        Backoff b = { .min = S, .max = 3600 * S };

        for (int i = 0; i < 10; i++)
                (void)backoff_after(&b, SESSION_CLOSED);
        backoff_connected(&b);
        backoff_lasted(&b, 29 * S); /* connected alone does not count: a server that closes at once is not hammered */
        assert_int_equal(b.attempts, 10);
        backoff_lasted(&b, 30 * S);
        for (int i = 0; i < 100; i++) {
                Backoff anew = b;

                assert_true(backoff_after(&anew, SESSION_CLOSED) < S);
        }
}

static void test_refused(_unused_ void **state) {
        Backoff b = { .min = S, .max = 2 * S };

        assert_int_equal(backoff_after(&b, SESSION_REFUSED), 30 * S);
        assert_int_equal(backoff_after(&b, SESSION_NO_CREDENTIALS), 90 * S);
        for (int i = 0; i < 5; i++)
                assert_int_equal(backoff_after(&b, SESSION_REFUSED), 300 * S);
        backoff_connected(&b);
        assert_int_equal(backoff_after(&b, SESSION_REFUSED), 30 * S);
}

/* Two devices with one token: slower and slower, and not in step. */
static void test_taken_over(_unused_ void **state) {
        static const usec_t bounds[] = { 10 * S, 20 * S, 40 * S, 80 * S, 160 * S, 300 * S, 300 * S };
        Backoff b = { .min = S, .max = 2 * S };

        for (size_t i = 0; i < ELEMENTS(bounds); i++) {
                assert_in_range(backoff_after(&b, SESSION_TAKEN_OVER), bounds[i] / 2, bounds[i]);
                backoff_connected(&b);
                backoff_lasted(&b, 599 * S);
        }
        backoff_lasted(&b, 600 * S);
        assert_in_range(backoff_after(&b, SESSION_TAKEN_OVER), 5 * S, 10 * S);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_jitter),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_lasted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_taken_over),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
