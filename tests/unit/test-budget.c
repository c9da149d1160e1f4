/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sensor/budget.h"

static void test_burst_then_rate(_unused_ void **state) {
        size_t got = 0;
        usec_t now = 77;
        Budget b;

        budget_init(&b, 1000, 5000, now);
        assert_true(budget_is_limited(&b));
        for (; budget_is_left(&b); got += 300)
                budget_spend(&b, 300);
        assert_int_equal(got, 5100); /* overdrawn by the last one */

        /* An hour at the rate, however unevenly it is asked for. */
        for (got = 0; now < 77 + 3600 * USEC_PER_SEC;) {
                usec_t wait = budget_wait(&b);

                assert_true(wait > 0 && wait <= USEC_PER_SEC);
                now += wait;
                budget_refill(&b, now);
                assert_int_equal(budget_wait(&b), 0);
                for (; budget_is_left(&b); got += 300)
                        budget_spend(&b, 300);
        }
        assert_in_range(got, 3600 * 1000 - 600, 3600 * 1000 + 1000);
}

/* Many small refills lose nothing, and what is saved up is bounded. */
static void test_refill(_unused_ void **state) {
        usec_t now = 0;
        Budget b;

        budget_init(&b, 100, 50, now);
        budget_spend(&b, 100);
        while (!budget_is_left(&b))
                budget_refill(&b, now += 10); /* a thousandth of a byte each */
        assert_in_range(now, USEC_PER_SEC / 2 - 20, USEC_PER_SEC / 2 + 20);
        budget_refill(&b, now += 3600 * USEC_PER_SEC);
        budget_spend(&b, 49);
        assert_true(budget_is_left(&b));
        budget_spend(&b, 1);
        assert_false(budget_is_left(&b));
}

static void test_defaults(_unused_ void **state) {
        Budget b;

        budget_init(&b, 0, 0, 5);
        assert_false(budget_is_limited(&b));
        budget_spend(&b, SIZE_MAX);
        assert_true(budget_is_left(&b));
        assert_int_equal(budget_wait(&b), 0);

        budget_init(&b, 100, 0, 5);
        budget_spend(&b, 99);
        assert_true(budget_is_left(&b));
        budget_spend(&b, 1);
        assert_false(budget_is_left(&b));

        /* A burst that is smaller than a portion is waited for, not more. */
        budget_init(&b, 1000, 1, 5);
        budget_spend(&b, 1);
        assert_in_range(budget_wait(&b), 1, 1001);
        budget_refill(&b, 5 + budget_wait(&b));
        assert_true(budget_is_left(&b));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_burst_then_rate),
                cmocka_unit_test(test_refill),
                cmocka_unit_test(test_defaults),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
