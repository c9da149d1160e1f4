/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store-fixture.h"

static int setup(void **state) {
        *state = calloc(1, sizeof(Fixture));
        fixture_init(*state);
        return 0;
}

static int teardown(void **state) {
        fixture_done(*state);
        free(*state);
        return 0;
}

static void test_keep_and_read(void **state) {
        Fixture *f = *state;

        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.rows, 0);
        assert_int_equal(fixture_append(f, 1, 100), 0);
        assert_int_equal(fixture_append(f, 101, 200), 0);
        fixture_read(f, 0);
        assert_int_equal(f->rows, 200);
        assert_false(f->out_of_order);
        fixture_close(f);

        fixture_open(f, 0, 0, 0);
        assert_int_equal(f->found.rows, 200);
        assert_int_equal(f->found.points, 200);
        assert_int_equal(f->found.first, 1);
        assert_int_equal(f->found.last, 200);
        assert_int_equal(fixture_append(f, 201, 300), 0);
        fixture_read(f, 150);
        assert_int_equal(f->rows, 200); /* whole blocks */
        assert_int_equal(store_stats(f->store).segments, 1);
        assert_int_equal(store_highest_name(f->dir), 1);
        store_acked(f->store, 300);
        fixture_wait(f);
        assert_int_equal(store_stats(f->store).segments, 0);
        assert_int_equal(store_highest_name(f->dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_keep_and_read, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
