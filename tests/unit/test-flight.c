/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt/flight.h"

static void test_answers(_unused_ void **state) {
        Flight f = { .first = UINT32_MAX - 2 }; /* ids wrap in the middle */
        uint32_t first = flight_next(&f);
        uint64_t context = 0;
        FlightEntry e;

        for (unsigned i = 0; i < 6; i++) {
                assert_int_equal(flight_next(&f), first + i);
                flight_push(&f, i == 4 ? FLIGHT_SUBSCRIBE : FLIGHT_PUBLISH, 100 + i);
        }
        assert_int_equal(flight_take(&f, first + 1, FLIGHT_PUBLISH, &context), 0);
        assert_int_equal(context, 101);
        assert_int_equal(flight_take(&f, first + 1, FLIGHT_PUBLISH, &context), -ENOENT); /* twice */
        assert_int_equal(flight_take(&f, first + 6, FLIGHT_PUBLISH, &context), -ENOENT); /* never given */
        assert_int_equal(flight_take(&f, first - 1, FLIGHT_PUBLISH, &context), -ENOENT);
        assert_int_equal(flight_take(&f, first + 4, FLIGHT_PUBLISH, &context), -ENOENT); /* the other kind */
        assert_int_equal(flight_take(&f, first, FLIGHT_PUBLISH, &context), 1);
        assert_int_equal(context, 100);
        assert_int_equal(f.n, 4); /* both answered ones went */
        assert_int_equal(flight_take(&f, first, FLIGHT_PUBLISH, &context), -ENOENT);

        assert_int_equal(flight_take(&f, first + 3, FLIGHT_PUBLISH, &context), 0);
        assert_true(flight_pop(&f, &e));
        assert_int_equal(e.context, 102);
        assert_true(flight_pop(&f, &e));
        assert_int_equal(e.context, 104);
        assert_int_equal(e.kind, FLIGHT_SUBSCRIBE);
        assert_true(flight_pop(&f, &e));
        assert_int_equal(e.context, 105);
        assert_false(flight_pop(&f, &e));
        assert_int_equal(flight_next(&f), first + 6);
        assert_int_equal(flight_take(&f, first + 5, FLIGHT_PUBLISH, &context), -ENOENT);
}

/* An id that stood in the same place a round before finds nothing. */
static void test_full(_unused_ void **state) {
        Flight f = {};
        uint64_t context;

        for (unsigned i = 0; i < FLIGHT_MAX; i++)
                flight_push(&f, FLIGHT_PUBLISH, i);
        assert_int_equal(f.n, FLIGHT_MAX);
        assert_int_equal(flight_take(&f, 0, FLIGHT_PUBLISH, &context), 1);
        flight_push(&f, FLIGHT_PUBLISH, FLIGHT_MAX);
        assert_int_equal(flight_take(&f, 0, FLIGHT_PUBLISH, &context), -ENOENT);
        assert_int_equal(flight_take(&f, FLIGHT_MAX, FLIGHT_PUBLISH, &context), 0);
        assert_int_equal(context, FLIGHT_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_full),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
