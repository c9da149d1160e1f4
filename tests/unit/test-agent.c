/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts of agent/: which plugins there are, when the clock is trusted, who the machine is, the status. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/clock.h"
#include "agent/identity.h"
#include "agent/plugins.h"
#include "agent/status.h"
#include "tree.h"

#define REALTIME (1700000000 * USEC_PER_SEC)

/* ---- plugins */

static void plugins_are_found_by_name(void **state _unused_) {
        char *t = tree_new();
        _cleanup_(freep) char *path = NULL, *text = NULL, *dirs = NULL, *expected = NULL;

        tree_put(t, "a/one.so", "");
        tree_put(t, "b/system.so", "");
        assert_true(asprintf(&dirs, "%s/a:%s/b", t, t) > 0);
        assert_true(asprintf(&expected, "%s/b/system.so", t) > 0);
        assert_int_equal(plugins_find(dirs, "system", &path, &text), 0);
        assert_string_equal(path, expected);
        tree_free(t);
}

static void a_missing_plugin_is_told_with_the_nearest(void **state _unused_) {
        char *t = tree_new();
        _cleanup_(freep) char *path = NULL, *text = NULL;

        tree_put(t, "onewire.so", "");
        tree_put(t, "system.so", "");
        assert_int_equal(plugins_find(t, "systm", &path, &text), -ENOENT);
        assert_string_equal(text, "no plugin \"systm\" is installed; did you mean \"system\"? There are: onewire, system");
        tree_free(t);
}

static void a_plugin_name_is_no_path(void **state _unused_) {
        static const char *const names[] = { "../system", "/etc/x", "", "a b", "-x", "a.so" };

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_(freep) char *path = NULL, *text = NULL;
                assert_int_equal(plugins_find("/tmp", names[i], &path, &text), -EINVAL);
                assert_non_null(strstr(text, "is no plugin name"));
        }
}

/* ---- clock */

static void count_trust(void *userdata, const char *why) {
        assert_true(why[0] != '\0');
        ++*(int *)userdata;
}

static void a_system_clock_is_trusted_at_once(void **state _unused_) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        _cleanup_(clock_freep) Clock *clock = NULL;
        int told = 0;

        assert_int_equal(loop_new_simulated(&loop, REALTIME), 0);
        assert_int_equal(clock_new(&clock, &(ClockParams){ loop, true, USEC_PER_SEC, count_trust, &told }), 0);
        assert_int_equal(loop_advance(loop, 10 * USEC_PER_MSEC), 0);
        assert_true(clock_is_trusted(clock));
        assert_int_equal(told, 1);
        assert_int_equal(clock_offset_ms(clock), (int64_t)(REALTIME / 1000) - 1000 * 1000);
}

/* The offset is measured when trust comes, and a later step leaves it alone. */
static void an_estimate_has_to_do_in_the_end(void **state _unused_) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        _cleanup_(clock_freep) Clock *clock = NULL;
        int told = 0;
        int64_t offset;

        assert_int_equal(loop_new_simulated(&loop, REALTIME), 0);
        assert_int_equal(clock_new(&clock, &(ClockParams){ loop, false, 120 * USEC_PER_SEC, count_trust, &told }), 0);
        assert_int_equal(loop_advance(loop, 60 * USEC_PER_SEC), 0);
        if (clock_is_trusted(clock))
                return; /* this machine has a real-time clock or runs timesyncd; cmocka tells a skip() as "not ok" */
        loop_step_realtime(loop, 3600 * (int64_t)USEC_PER_SEC);
        assert_int_equal(loop_advance(loop, 62 * USEC_PER_SEC), 0);
        assert_true(clock_is_trusted(clock));
        assert_int_equal(told, 1);
        offset = clock_offset_ms(clock);
        assert_int_equal(offset, (int64_t)(REALTIME / 1000) - 1000 * 1000 + 3600 * 1000);
        loop_step_realtime(loop, -86400 * (int64_t)USEC_PER_SEC);
        assert_int_equal(loop_advance(loop, 60 * USEC_PER_SEC), 0);
        assert_int_equal(clock_offset_ms(clock), offset);
}

/* ---- identity */

static void the_identity_stays(void **state _unused_) {
        char *t = tree_new();
        char a[IDENTITY_DIGITS + 1], b[IDENTITY_DIGITS + 1];

        identity_get(t, a);
        identity_get(t, b);
        assert_int_equal(strspn(a, "0123456789abcdef"), IDENTITY_DIGITS);
        assert_string_equal(a, b);
        assert_true(identity_splay(a, USEC_PER_SEC) < USEC_PER_SEC);
        assert_int_equal(identity_splay(a, USEC_PER_SEC), identity_splay(b, USEC_PER_SEC));
        assert_int_equal(identity_splay(a, 0), 0);
        tree_free(t);
}

/* ---- status */

static void expect_status(const StatusView *v, const char *expected) {
        _cleanup_(freep) char *text = status_text(v);

        assert_non_null(text);
        assert_non_null(strstr(text, expected));
        assert_null(strchr(text, '\n'));
}

static void the_status_says_what_to_do(void **state _unused_) {
        StatusView v = { .config_path = "/etc/tbagent.conf", .clock_trusted = true };

        expect_status(&v, "no server is set. Put server = { url = \"mqtt://HOST\"; }; into /etc/tbagent.conf.d/server.conf");
        v.url = "mqtt://h";
        v.session = SESSION_CONNECTED;
        v.protocol = 5;
        v.spool = (SpoolStats){ .acked_points = 7, .points = 2 };
        expect_status(&v, "Connected to mqtt://h (MQTT 5). 7 values sent, 2 waiting.");
        v.session = SESSION_WAITING;
        v.session_text = "the server\nrefuses";
        v.retry_in = 30 * USEC_PER_SEC;
        expect_status(&v, "Not connected to mqtt://h: the server refuses; next try in 30 s.");
        v.config_error = "x.conf:3: error: no";
        expect_status(&v, "Running on the last good configuration: x.conf:3: error: no. ");
        v.clock_trusted = false;
        expect_status(&v, "2 waiting for the time to be set.");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plugins_are_found_by_name),
                cmocka_unit_test(a_missing_plugin_is_told_with_the_nearest),
                cmocka_unit_test(a_plugin_name_is_no_path),
                cmocka_unit_test(a_system_clock_is_trusted_at_once),
                cmocka_unit_test(an_estimate_has_to_do_in_the_end),
                cmocka_unit_test(the_identity_stays),
                cmocka_unit_test(the_status_says_what_to_do),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
