/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine is called, with copies of what a Pi's kernel shows in /proc/device-tree. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/board.h"
#include "base/file.h"
#include "tree.h"

static char *root;

static int setup(void **state _unused_) {
        root = tree_new();
        return 0;
}

static int teardown(void **state _unused_) {
        root = tree_free(root);
        return 0;
}

/* As the kernel does: with the NUL behind it. */
static void put_bytes(const char *name, const char *bytes, size_t size) {
        char path[256];

        snprintf(path, sizeof(path), "%s/%s", root, name);
        assert_true(file_replace(path, bytes, size, 0644) >= 0);
}

static Board read_board(void) {
        Board b;

        memset(&b, 'x', sizeof(b));
        board_read(&b, root, root);
        return b;
}

static void expect_text(const Board *b, const char *text, const char *expected) {
        _cleanup_(freep) char *filled = board_text(b, text);

        assert_non_null(filled);
        assert_string_equal(filled, expected);
}

static void a_pi_has_a_serial_number(void **state _unused_) {
        Board b;

        put_bytes("serial-number", "10000000a1b2c3d4", 17);
        put_bytes("model", "Raspberry Pi 4 Model B Rev 1.4", 31);
        b = read_board();
        assert_string_equal(b.serial, "10000000a1b2c3d4");
        assert_string_equal(b.model, "Raspberry Pi 4 Model B Rev 1.4");
        assert_string_equal(board_serial(&b), "10000000a1b2c3d4");
        assert_int_equal(strspn(b.digits, "0123456789abcdef"), IDENTITY_DIGITS);
        expect_text(&b, "pi-%s (%M)", "pi-10000000a1b2c3d4 (Raspberry Pi 4 Model B Rev 1.4)");
}

static void another_machine_has_none(void **state _unused_) {
        Board b = read_board(), again = read_board();
        char host[256] = "";

        assert_string_equal(b.serial, "");
        assert_string_equal(b.model, "");
        assert_string_equal(board_serial(&b), b.digits);
        assert_string_equal(b.digits, again.digits);
        (void)gethostname(host, sizeof(host) - 1);
        expect_text(&b, "%M", host);
        expect_text(&b, "%s", b.digits);
}

static void zeros_are_no_serial_number(void **state _unused_) {
        Board b;

        put_bytes("serial-number", "0000000000000000", 17);
        b = read_board();
        assert_string_equal(b.serial, "");
        put_bytes("serial-number", "0000000000000001", 17);
        b = read_board();
        assert_string_equal(b.serial, "0000000000000001");
}

/* Names and attributes are made of it: nothing that is not seen, and never more than there is room for. */
static void odd_bytes_are_left_out(void **state _unused_) {
        char large[600];
        Board b;

        put_bytes("serial-number", "12\n3\x01\x7f 4\xc3\xa9", 11);
        put_bytes("model", "", 0);
        b = read_board();
        assert_string_equal(b.serial, "123 4");
        assert_string_equal(b.model, "");
        memset(large, 'm', sizeof(large));
        put_bytes("serial-number", large, 500);
        put_bytes("model", large, 500);
        b = read_board();
        assert_int_equal(strlen(b.serial), 64);
        assert_int_equal(strlen(b.model), 128);
        put_bytes("serial-number", large, 600); /* no serial number is that long */
        b = read_board();
        assert_string_equal(b.serial, "");
        put_bytes("serial-number", "\0\0\0", 3);
        b = read_board();
        assert_string_equal(b.serial, "");
}

static void texts_are_filled_in(void **state _unused_) {
        Board b = { .digits = "0123456789ab", .serial = "S%s", .model = "M" };
        char host[256] = "";

        (void)gethostname(host, sizeof(host) - 1);
        expect_text(&b, "", "");
        expect_text(&b, "plain", "plain");
        expect_text(&b, "%m/%s/%M/%v", "0123456789ab/S%s/M/" PACKAGE_VERSION); /* what was filled in is not looked at again */
        expect_text(&b, "%H", host);
        expect_text(&b, "100%%", "100%");
        expect_text(&b, "100%", "100%");
        expect_text(&b, "%", "%");
        expect_text(&b, "%%%m", "%0123456789ab");
        expect_text(&b, "%x %S %\xc3\xa9", "%x %S %\xc3\xa9");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_pi_has_a_serial_number),
                TEST(another_machine_has_none),
                TEST(zeros_are_no_serial_number),
                TEST(odd_bytes_are_left_out),
                TEST(texts_are_filled_in),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
