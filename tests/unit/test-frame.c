/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/frame.h"

static uint8_t datagram[FRAME_SIZE_MAX];

static void test_table(_unused_ void **state) {
        size_t n = 0;

        for (unsigned t = 0; t < 200; t++) {
                const char *fields = frame_fields(t);

                assert_int_equal(fields == NULL, frame_name(t) == NULL);
                if (!fields)
                        continue;
                n++;
                assert_true(strlen(fields) <= FRAME_FIELDS_MAX);
                assert_int_equal(strspn(fields, "uisb"), strlen(fields));
                for (unsigned other = 0; other < t; other++)
                        assert_true(!frame_name(other) || !streq(frame_name(other), frame_name(t)));
        }
        assert_int_equal(n, 11 + (FRAME_FD_FORGET - FRAME_HELLO + 1));
        assert_null(frame_fields(0));
        assert_null(frame_fields(FRAME_CONNECTION + 1));
        assert_null(frame_fields(FRAME_FD_FORGET + 1));
        assert_null(frame_fields((FrameType)UINT32_MAX));
}

static void test_state_names(_unused_ void **state) {
        for (int s = 0; s < _HOST_STATE_MAX; s++)
                assert_non_null(host_state_name(s));
        assert_string_equal(host_state_name(HOST_RUNNING), "running");
        assert_string_equal(host_state_name(HOST_STUCK), "stuck");
        assert_string_equal(host_state_name(_HOST_STATE_MAX), "unknown"); /* it comes from a frame */
}

static void test_setup(_unused_ void **state) {
        Frame f;
        ssize_t n = frame_build(datagram, FRAME_SETUP, "boiler", "/usr/lib/tbagent/onewire.so", (uint64_t)MODE_ONCE,
                                "a\0b", (size_t)3, NULL, (size_t)0);

        assert_int_equal(n, 4 + (4 + 7) + (4 + 28) + 8 + (4 + 3) + 4);
        assert_int_equal(frame_parse(datagram, n, &f), 0);
        assert_int_equal(f.type, FRAME_SETUP);
        assert_int_equal(f.n_fields, 5);
        assert_string_equal(f.f[0].data, "boiler");
        assert_int_equal(f.f[0].size, 6);
        assert_string_equal(f.f[1].data, "/usr/lib/tbagent/onewire.so");
        assert_int_equal(f.f[2].u, MODE_ONCE);
        assert_int_equal(f.f[3].size, 3);
        assert_memory_equal(f.f[3].data, "a\0b", 3);
        assert_int_equal(f.f[4].size, 0);
}

static void test_numbers(_unused_ void **state) {
        Frame f;
        ssize_t n = frame_build(datagram, FRAME_GAP, UINT64_MAX, INT64_MIN, (int64_t)-1, "");

        assert_true(n > 0);
        assert_int_equal(frame_parse(datagram, n, &f), 0);
        assert_true(f.f[0].u == UINT64_MAX);
        assert_true((int64_t)f.f[1].u == INT64_MIN);
        assert_true((int64_t)f.f[2].u == -1);
        assert_string_equal(f.f[3].data, "");

        n = frame_build(datagram, FRAME_COUNTERS, (uint64_t)1, (uint64_t)2, (uint64_t)3, (uint64_t)4, (uint64_t)5, (uint64_t)6);
        assert_int_equal(frame_parse(datagram, n, &f), 0);
        for (size_t i = 0; i < 6; i++)
                assert_int_equal(f.f[i].u, i + 1);
}

static void test_bounds(_unused_ void **state) {
        size_t head = 4 + 4;
        _cleanup_(freep) char *big = calloc(1, FRAME_SIZE_MAX + 1);
        Frame f;

        assert_non_null(big);
        assert_int_equal(frame_build(datagram, FRAME_ROWS, big, FRAME_SIZE_MAX - head), FRAME_SIZE_MAX);
        assert_int_equal(frame_parse(datagram, FRAME_SIZE_MAX, &f), 0);
        assert_int_equal(f.f[0].size, FRAME_SIZE_MAX - head);
        assert_int_equal(frame_build(datagram, FRAME_ROWS, big, FRAME_SIZE_MAX - head + 1), -EMSGSIZE);
        assert_int_equal(frame_build(datagram, FRAME_ROWS, big, SIZE_MAX), -EMSGSIZE);

        memset(big, 'x', FRAME_SIZE_MAX);
        assert_int_equal(frame_build(datagram, FRAME_DONE, big), -EMSGSIZE);
        big[FRAME_SIZE_MAX - head - 1] = 0;
        assert_int_equal(frame_build(datagram, FRAME_DONE, big), FRAME_SIZE_MAX);
        big[FRAME_SIZE_MAX - head - 1] = 'x';
        big[FRAME_SIZE_MAX - head] = 0;
        assert_int_equal(frame_build(datagram, FRAME_DONE, big), -EMSGSIZE);
        /* a field that doesn't fit is not made up for by a smaller one behind it */
        assert_int_equal(frame_build(datagram, FRAME_REPLY, (uint64_t)1, big), -EMSGSIZE);
        assert_int_equal(frame_build(datagram, FRAME_CALL, (uint64_t)1, big, "", (uint64_t)0), -EMSGSIZE);
}

static void assert_refused(const uint8_t *data, size_t size) {
        Frame f = { .type = FRAME_LOG, .n_fields = 77 };

        assert_int_equal(frame_parse(data, size, &f), -EBADMSG);
        assert_int_equal(f.type, FRAME_LOG); /* nothing changed */
        assert_int_equal(f.n_fields, 77);
}

static void test_lies(_unused_ void **state) {
        ssize_t n = frame_build(datagram, FRAME_FD, "relay", (uint64_t)0);

        for (ssize_t cut = 0; cut < n; cut++)
                assert_refused(datagram, cut);
        datagram[n] = 0;
        assert_refused(datagram, n + 1);

        uint8_t good[64];
        memcpy(good, datagram, n);
        for (unsigned length = 0; length < 300; length++) {
                if (length == 5)
                        continue;
                memcpy(datagram, good, n);
                datagram[4] = (uint8_t)length;
                datagram[5] = (uint8_t)(length >> 8);
                assert_refused(datagram, n);
        }
        memcpy(datagram, good, n);
        memset(datagram + 4, 0xff, 4);
        assert_refused(datagram, n);

        memcpy(datagram, good, n);
        datagram[8 + 2] = 0; /* a NUL inside */
        assert_refused(datagram, n);
        memcpy(datagram, good, n);
        datagram[8 + 5] = 'x'; /* none behind */
        assert_refused(datagram, n);

        static const uint32_t unknown[] = { 0, FRAME_CONNECTION + 1, FRAME_HELLO - 1, FRAME_FD_FORGET + 1, 0x80000001, UINT32_MAX };
        for (size_t i = 0; i < ELEMENTS(unknown); i++) {
                memcpy(datagram, &unknown[i], 4);
                assert_refused(datagram, 4);
                assert_refused(datagram, n);
        }
        assert_refused(datagram, FRAME_SIZE_MAX + 1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_state_names),
                cmocka_unit_test(test_setup),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_lies),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
