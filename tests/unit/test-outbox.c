/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "sensor/outbox.h"
#include "sensor/wire.h"

static Outbox *outbox;
static int fds[2]; /* its own, the reader's */

static int setup(void **state _unused_) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(outbox_new(&outbox, fds[0], 32 * KIB), 0);
        return 0;
}

static int teardown(void **state _unused_) {
        outbox = outbox_free(outbox);
        close(fds[0]);
        if (fds[1] >= 0)
                close(fds[1]);
        return 0;
}

static void add_row(int64_t ms) {
        char text[64];
        Row row = { .boottime_ns = ms * NSEC_PER_MSEC, .points = 1, .device = "", .text = text };

        row.text_size = (size_t)snprintf(text, sizeof text, "{\"key\":%lld}", (long long)ms);
        outbox_add_row(outbox, &row);
}

/* false: nothing waits. */
static bool take(Frame *ret, int *ret_fd) {
        static uint8_t data[FRAME_SIZE_MAX];
        ssize_t n = wire_receive(fds[1], data, sizeof data, ret_fd);

        if (n == -EAGAIN)
                return false;
        assert_true(n > 0);
        assert_int_equal(frame_parse(data, (size_t)n, ret), 0);
        return true;
}

static void rows_gather_and_keep_their_order(void **state _unused_) {
        int fd = -EBADF;
        Frame f;
        Row row;

        add_row(1);
        add_row(2);
        assert_int_equal(outbox_send(outbox, FRAME_LOG, (uint64_t)4, "between"), 0);
        add_row(3);
        assert_int_equal(outbox_flush(outbox), 1);
        assert_true(take(&f, &fd));
        assert_int_equal(f.type, FRAME_ROWS);
        for (int i = 1; i <= 2; i++) {
                assert_int_equal(row_decode((const uint8_t **)&f.f[0].data, &f.f[0].size, &row), 0);
                assert_int_equal(row.boottime_ns, i * NSEC_PER_MSEC);
        }
        assert_int_equal(f.f[0].size, 0);
        assert_true(take(&f, &fd));
        assert_string_equal(f.f[1].data, "between");
        assert_true(take(&f, &fd));
        assert_int_equal(f.type, FRAME_ROWS);
        assert_false(take(&f, &fd));
}

static void a_full_queue_loses_the_oldest_and_says_so(void **state _unused_) {
        uint64_t gap = 0, rows = 0;
        int64_t last = 0, gap_to = 0;
        int fd = -EBADF, n = 0;
        Frame f;
        Row row;

        /* until the socket is full, and the queue twice over */
        while (outbox_dropped(outbox) < 2000)
                add_row(++n);
        assert_int_equal(outbox_flush(outbox), 0);
        while (take(&f, &fd) || outbox_flush(outbox) == 0 || take(&f, &fd)) {
                if (f.type == FRAME_GAP) {
                        gap += f.f[0].u;
                        assert_int_equal((int64_t)f.f[1].u, last + NSEC_PER_MSEC); /* in its place */
                        gap_to = (int64_t)f.f[2].u;
                        last = gap_to;
                        assert_string_equal(f.f[3].data, "host queue full");
                }
                while (f.type == FRAME_ROWS && f.f[0].size > 0) {
                        assert_int_equal(row_decode((const uint8_t **)&f.f[0].data, &f.f[0].size, &row), 0);
                        assert_int_equal(row.boottime_ns, last + NSEC_PER_MSEC);
                        last = row.boottime_ns;
                        rows++;
                }
        }
        assert_int_equal(gap, outbox_dropped(outbox));
        assert_int_equal(gap + rows, n);
        assert_int_equal(last, n * NSEC_PER_MSEC);
}

static void other_frames_outlive_rows_and_log_lines(void **state _unused_) {
        static char text[1000];
        unsigned states = 0, logs = 0;
        int fd = -EBADF;
        Frame f;

        memset(text, 'x', sizeof text - 1);
        while (outbox_flush(outbox) == 1) /* fills the socket */
                assert_int_equal(outbox_send(outbox, FRAME_LOG, (uint64_t)4, text), 0);
        for (int i = 0; i < 2000; i++) {
                assert_int_equal(outbox_send(outbox, FRAME_LOG, (uint64_t)4, text), 0);
                if (i % 20 == 0)
                        assert_int_equal(outbox_send(outbox, FRAME_STATE, (uint64_t)HOST_ILL, text), 0);
        }
        while (outbox_send(outbox, FRAME_STATE, (uint64_t)HOST_ILL, text) == 0) /* no log line is left to go */
                states++;
        assert_int_equal(outbox_send(outbox, FRAME_STATE, (uint64_t)HOST_ILL, text), -ENOBUFS);
        while (take(&f, &fd) || outbox_flush(outbox) == 0 || take(&f, &fd))
                *(f.type == FRAME_STATE ? &states : &logs) += 1;
        assert_true(states > 100);
        assert_true(logs > 0);
}

static void only_the_newest_state_waits(void **state _unused_) {
        int fd = -EBADF, n = 0;
        Frame f;

        for (uint32_t i = 0; i < 1000; i++)
                assert_int_equal(outbox_send(outbox, FRAME_PUT, (const void *)&i, sizeof i), 0);
        assert_int_equal(outbox_drain(outbox, 0), 1);
        while (take(&f, &fd)) {
                assert_memory_equal(f.f[0].data, (&(uint32_t){ 999 }), 4);
                n++;
        }
        assert_int_equal(n, 1);
}

static void a_descriptor_goes_along(void **state _unused_) {
        int pipe_fds[2], fd = -EBADF;
        char byte = 0;
        Frame f;

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        assert_int_equal(outbox_send_fd(outbox, pipe_fds[1], FRAME_FD_KEEP, "line"), 0);
        close(pipe_fds[1]); /* the queue has its own */
        assert_int_equal(outbox_flush(outbox), 1);
        assert_true(take(&f, &fd));
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "x", 1), 1);
        assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
        close(fd);
        close(pipe_fds[0]);
}

static void nobody_there_is_told(void **state _unused_) {
        close(fds[1]);
        fds[1] = -1;
        add_row(1);
        assert_int_equal(outbox_flush(outbox), -ENOTCONN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(rows_gather_and_keep_their_order, setup, teardown),
                cmocka_unit_test_setup_teardown(a_full_queue_loses_the_oldest_and_says_so, setup, teardown),
                cmocka_unit_test_setup_teardown(other_frames_outlive_rows_and_log_lines, setup, teardown),
                cmocka_unit_test_setup_teardown(only_the_newest_state_waits, setup, teardown),
                cmocka_unit_test_setup_teardown(a_descriptor_goes_along, setup, teardown),
                cmocka_unit_test_setup_teardown(nobody_there_is_told, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
