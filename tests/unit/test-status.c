/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/status.h"

#define NOW (1700000000 * USEC_PER_SEC)
#define DAY (86400 * USEC_PER_SEC)

static void expect(const StatusView *v, const char *expected) {
        _cleanup_(freep) char *text = status_text(v);

        assert_non_null(text);
        if (!strstr(text, expected))
                print_error("not in it: \"%s\"\n%s\n", expected, text);
        assert_non_null(strstr(text, expected));
        assert_null(strchr(text, '\n'));
}

static void expect_not(const StatusView *v, const char *unexpected) {
        _cleanup_(freep) char *text = status_text(v);

        assert_non_null(text);
        assert_null(strstr(text, unexpected));
}

static StatusView connected(void) {
        return (StatusView){ .config_path = "/etc/tbagent.conf", .clock_trusted = true, .now = NOW, .url = "mqtt://h",
                             .session = SESSION_CONNECTED, .protocol = 5 };
}

static void it_says_what_to_do(void **state _unused_) {
        StatusView v = { .config_path = "/etc/tbagent.conf", .clock_trusted = true };

        expect(&v, "no server is set. Put server = { url = \"mqtt://HOST\"; }; into /etc/tbagent.conf.d/server.conf");
        v = connected();
        v.spool = (SpoolStats){ .acked_points = 7, .points = 2 };
        expect(&v, "Connected to mqtt://h (MQTT 5). 7 values sent, 2 waiting. 0 of 0 instances running");
        v.refused = true;
        expect(&v, "Connected to mqtt://h (MQTT 5), which refuses all telemetry: ");
        v.session = SESSION_WAITING;
        v.session_text = "the server\nrefuses";
        v.retry_in = 30 * USEC_PER_SEC;
        expect(&v, "Not connected to mqtt://h: the server refuses; next try in 30 s.");
        v.config_error = "x.conf:3: error: no";
        expect(&v, "Running on the last good configuration: x.conf:3: error: no. ");
        v.clock_trusted = false;
        expect(&v, "2 waiting for the time to be set.");
}

static void it_says_how_long_rows_wait(void **state _unused_) {
        static const struct {
                unsigned seconds;
                const char *text;
        } ages[] = {
                { 59, "3 waiting." }, { 60, "3 waiting for up to 1 min." }, { 3599, "3 waiting for up to 59 min." },
                { 3600, "3 waiting for up to 1 h." }, { 2 * 86400 - 1, "3 waiting for up to 47 h." },
                { 3 * 86400, "3 waiting for up to 3 days." },
        };
        StatusView v = connected();

        v.spool = (SpoolStats){ .rows = 1, .points = 3 };
        expect(&v, "3 waiting."); /* not known yet */
        for (size_t i = 0; i < ELEMENTS(ages); i++) {
                v.spool.oldest_ms = (int64_t)((NOW - ages[i].seconds * USEC_PER_SEC) / USEC_PER_MSEC);
                expect(&v, ages[i].text);
        }
        v.spool.oldest_ms = (int64_t)((NOW + DAY) / USEC_PER_MSEC); /* before a step of the clock */
        expect(&v, "3 waiting.");
}

static void it_says_what_was_lost(void **state _unused_) {
        StatusView v = connected();

        expect_not(&v, "dropped");
        v.spool = (SpoolStats){ .evicted_points = 5, .rejected_points = 2 };
        expect(&v, "0 waiting, 5 dropped, 2 refused by the server (rejected.jsonl).");
}

static void it_says_how_the_store_is(void **state _unused_) {
        StatusView v = connected();

        expect_not(&v, "disk");
        v.spool.store = (StoreStats){ .state = STORE_OK, .segments = 2, .bytes = 1234567 };
        v.written_today = 5500000;
        expect(&v, " On the disk 1.2 MB, 5.5 MB written today.");
        v.spool.store.state = STORE_FULL;
        snprintf(v.spool.store.text, sizeof(v.spool.store.text), "the disk is full");
        expect(&v, "written today. The store: the disk is full.");
        v.spool.ring_in_memory = true;
        expect(&v, "What waits is in memory alone: a crash would lose it.");
}

static void a_day_begins_at_midnight(void **state _unused_) {
        Written w = { 0 };

        setenv("TZ", "UTC", 1);
        assert_int_equal(written_today(&w, NOW, true, 100), 100);
        assert_int_equal(written_today(&w, NOW + 3600 * USEC_PER_SEC, true, 150), 150);
        assert_int_equal(written_today(&w, NOW + DAY, true, 180), 30);
        assert_int_equal(written_today(&w, NOW + DAY + 1, true, 200), 50);
        assert_int_equal(written_today(&w, NOW + 20 * DAY, true, 200), 0);
}

/* The clock of a board without a battery is in another year before it is set: that is no midnight. */
static void an_untrusted_clock_has_no_midnight(void **state _unused_) {
        Written w = { 0 };

        assert_int_equal(written_today(&w, NOW - 300 * DAY, false, 100), 100);
        assert_int_equal(written_today(&w, NOW, true, 110), 110);
        assert_int_equal(written_today(&w, NOW + DAY, true, 110), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_says_what_to_do),
                cmocka_unit_test(it_says_how_long_rows_wait),
                cmocka_unit_test(it_says_what_was_lost),
                cmocka_unit_test(it_says_how_the_store_is),
                cmocka_unit_test(a_day_begins_at_midnight),
                cmocka_unit_test(an_untrusted_clock_has_no_midnight),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
