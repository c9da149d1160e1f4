/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "sensor/report.h"

#define MS NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

/* Rules and state, and what came out as text: "5000:21.5 6000:22" (ms:value, windows as value[min max mean count]). */
typedef struct Rig {
        ReportRules rules;
        ReportState *state;
        bool event;
        int64_t wall_ns;
        char out[512];
} Rig;

static void rig_begin(Rig *r) {
        r->rules.plain = false;
        assert_int_equal(report_state_new(&r->state, &r->rules), 0);
}

static void rig_end(Rig *r) {
        r->state = report_state_free(r->state);
        report_rules_done(&r->rules);
}

static void write_points(Rig *r, const ReportPoint *points, int n) {
        size_t used = strlen(r->out);

        for (int i = 0; i < n; i++) {
                const Value *v = &points[i].value;

                used += (size_t)snprintf(r->out + used, sizeof r->out - used, "%s%lld:", used ? " " : "",
                                         (long long)(points[i].time_ns / MS));
                if (v->type == VALUE_INT)
                        used += (size_t)snprintf(r->out + used, sizeof r->out - used, "%lldi", (long long)v->i);
                else if (v->type == VALUE_DOUBLE)
                        used += (size_t)snprintf(r->out + used, sizeof r->out - used, "%g", v->d);
                else if (v->type == VALUE_BOOL)
                        used += (size_t)snprintf(r->out + used, sizeof r->out - used, "%s", v->b ? "true" : "false");
                else
                        used += (size_t)snprintf(r->out + used, sizeof r->out - used, "%.*s", (int)v->s.size, v->s.text);
                if (points[i].count > 0)
                        used += (size_t)snprintf(r->out + used, sizeof r->out - used, "[%g %g %g %d]", points[i].min, points[i].max,
                                                 points[i].mean, (int)points[i].count);
        }
}

static int put(Rig *r, int64_t ms, Value v) {
        ReportCall c = { .time_ns = ms * MS, .wall_ns = r->wall_ns, .scheduled = !r->event };
        ReportPoint points[2];
        int n = report_put(&r->rules, r->state, &c, &v, points);

        write_points(r, points, n);
        return n;
}

static int put_double(Rig *r, int64_t ms, double d) {
        return put(r, ms, (Value){ .type = VALUE_DOUBLE, .d = d });
}

static int put_int(Rig *r, int64_t ms, int64_t i) {
        return put(r, ms, (Value){ .type = VALUE_INT, .i = i });
}

static int put_text(Rig *r, int64_t ms, const char *text) {
        return put(r, ms, (Value){ .type = VALUE_STRING, .s = { text, strlen(text) } });
}

static void tick(Rig *r, int64_t ms, bool everything) {
        ReportCall c = { .time_ns = ms * MS, .wall_ns = r->wall_ns };
        ReportPoint points[2];
        int n;

        while ((n = report_tick(&r->rules, r->state, &c, everything, points)) > 0)
                write_points(r, points, n);
}

static void expect(Rig *r, const char *out) {
        assert_string_equal(r->out, out);
        r->out[0] = '\0';
}

static Rig rig(void) {
        Rig r = { 0 };

        report_rules_init(&r.rules);
        return r;
}

static void valid_is_on_the_raw_value(void **state _unused_) {
        Rig r = rig();

        r.rules.has_valid = true;
        r.rules.valid[0] = -40;
        r.rules.valid[1] = 85;
        r.rules.offset = 100;
        rig_begin(&r);
        assert_int_equal(put_double(&r, 1, 20), 1);
        assert_int_equal(put_double(&r, 2, 85.01), -ERANGE);
        assert_int_equal(put_double(&r, 3, -40.01), -ERANGE);
        assert_int_equal(put_double(&r, 4, 85), 1);
        assert_int_equal(put_text(&r, 5, "999"), 1); /* not a number */
        expect(&r, "1:120 4:185 5:999");
        rig_end(&r);
}

static void median_takes_outliers_out(void **state _unused_) {
        Rig r = rig();

        r.rules.median = 3;
        rig_begin(&r);
        put_double(&r, 1, 20);
        put_double(&r, 2, 500);
        put_double(&r, 3, 21);
        put_double(&r, 4, 22);
        expect(&r, "1:20 2:260 3:21 4:22");
        report_interrupt(r.state);
        put_double(&r, 5, 80); /* nothing of the old window is in it */
        put_int(&r, 6, 80);
        put_int(&r, 7, 90);
        expect(&r, "5:80 6:80i 7:80i");
        rig_end(&r);
}

static void calibration_is_a_line_through_pairs(void **state _unused_) {
        Rig r = rig();

        r.rules.n_calibrate = 3;
        r.rules.calibrate = malloc(6 * sizeof(double));
        memcpy(r.rules.calibrate, (double[]){ 0, 1, 100, 101, 200, 301 }, 6 * sizeof(double));
        rig_begin(&r);
        put_double(&r, 1, 0);
        put_double(&r, 2, 50);
        put_double(&r, 3, 100);
        put_double(&r, 4, 150);
        put_double(&r, 5, -10);
        put_int(&r, 6, 300);
        expect(&r, "1:1 2:51 3:101 4:201 5:-9 6:501");
        rig_end(&r);
        r = rig();
        r.rules.n_calibrate = 1;
        r.rules.calibrate = malloc(2 * sizeof(double));
        memcpy(r.rules.calibrate, (double[]){ 20, 20.5 }, 2 * sizeof(double));
        rig_begin(&r);
        put_double(&r, 1, 30);
        expect(&r, "1:30.5");
        rig_end(&r);
}

static void scale_offset_clamp_in_this_order(void **state _unused_) {
        Rig r = rig();

        r.rules.scale = 2;
        r.rules.offset = -1;
        r.rules.has_clamp = true;
        r.rules.clamp[0] = 0;
        r.rules.clamp[1] = 100;
        rig_begin(&r);
        put_double(&r, 1, 10);
        put_double(&r, 2, 0);
        put_double(&r, 3, 80);
        expect(&r, "1:19 2:0 3:100");
        rig_end(&r);
        /* what no rule computes with keeps all its digits */
        r = rig();
        r.rules.on_change = true;
        rig_begin(&r);
        put_int(&r, 1, INT64_MAX);
        put_int(&r, 2, INT64_MAX - 1);
        put_int(&r, 3, INT64_MAX - 1);
        expect(&r, "1:9223372036854775807i 2:9223372036854775806i");
        rig_end(&r);
}

static void windows_are_aligned_and_keep_their_time(void **state _unused_) {
        Rig r = rig();

        r.rules.aggregate_ns = 10 * SEC;
        r.wall_ns = 3 * SEC; /* the wall clock is 3 s ahead: windows end at 7, 17, 27 */
        rig_begin(&r);
        put_double(&r, 1000, 4);
        put_double(&r, 6000, 2);
        expect(&r, "");
        assert_int_equal(report_due(&r.rules, r.state, r.wall_ns), 7 * SEC);
        put_double(&r, 7000, 9);
        expect(&r, "6000:2[2 4 3 2]");
        tick(&r, 16999, false);
        expect(&r, "");
        tick(&r, 17000, false); /* nothing comes: the window ends all the same, with the time of its last value */
        expect(&r, "7000:9[9 9 9 1]");
        assert_int_equal(report_due(&r.rules, r.state, r.wall_ns), INT64_MAX);
        put_double(&r, 20000, 1);
        tick(&r, 20500, true);
        expect(&r, "20000:1[1 1 1 1]");
        put_text(&r, 21000, "on"); /* no number: the last one only */
        put_text(&r, 22000, "off");
        put_text(&r, 30000, "on");
        expect(&r, "22000:off");
        rig_end(&r);
}

static void windows_outlive_no_step_of_the_clock(void **state _unused_) {
        static const int64_t steps[] = { -1 * SEC, -7 * SEC, -86400 * SEC, 86400 * SEC, 3652 * 86400 * SEC };
        static const int64_t dues[] = { 16000, 16000, 16000, 7000 - 86400000, 7000 - 3652 * INT64_C(86400000) };

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                Rig r = rig();

                r.rules.aggregate_ns = 10 * SEC;
                r.wall_ns = 1700000003 * SEC;
                rig_begin(&r);
                put_double(&r, 6000, 1);
                r.wall_ns += steps[i];
                assert_int_equal(report_due(&r.rules, r.state, r.wall_ns), MIN(dues[i], 7000 - steps[i] / MS) * MS);
                /* nothing else comes; what is due is done in one call, and then there is nothing due */
                tick(&r, 16000, false);
                expect(&r, "6000:1[1 1 1 1]");
                assert_int_equal(report_due(&r.rules, r.state, r.wall_ns), INT64_MAX);
                rig_end(&r);
        }
}

static void deadband_sends_the_sample_before_the_jump(void **state _unused_) {
        Rig r = rig();

        r.rules.deadband = 0.1;
        rig_begin(&r);
        put_double(&r, 1000, 21.3);
        put_double(&r, 2000, 21.35);
        put_double(&r, 3000, 21.31);
        put_double(&r, 4000, 25);
        expect(&r, "1000:21.3 3000:21.31 4000:25");
        put_double(&r, 5000, 26); /* the one before was sent itself */
        expect(&r, "5000:26");
        put_double(&r, 6000, 26.1); /* 26.1 - 26 is 0.1000...01 or 0.0999...: a step of the deadband counts */
        put_double(&r, 7000, 26.2);
        put_double(&r, 8000, 26.3);
        expect(&r, "6000:26.1 7000:26.2 8000:26.3");
        rig_end(&r);
        r = rig();
        r.rules.deadband = 5;
        r.rules.deadband_percent = true;
        rig_begin(&r);
        put_double(&r, 1, 100);
        put_double(&r, 2, 104);
        put_double(&r, 3, 105);
        put_double(&r, 4, 0);
        put_double(&r, 5, 0);
        put_double(&r, 6, 0.001);
        expect(&r, "1:100 2:104 3:105 4:0 5:0 6:0.001");
        put_text(&r, 7, "x"); /* not a number: always */
        put_text(&r, 8, "x");
        expect(&r, "7:x 8:x");
        rig_end(&r);
}

static void on_change_looks_at_what_would_be_written(void **state _unused_) {
        Rig r = rig();

        r.rules.on_change = true;
        r.rules.decimals = 1;
        rig_begin(&r);
        put_double(&r, 1, 21.31);
        put_double(&r, 2, 21.33);
        put_double(&r, 3, 21.38);
        put_text(&r, 4, "a");
        put_text(&r, 5, "a");
        put(&r, 6, (Value){ .type = VALUE_BOOL, .b = true });
        put(&r, 7, (Value){ .type = VALUE_BOOL, .b = true });
        put(&r, 8, (Value){ .type = VALUE_BOOL, .b = false });
        expect(&r, "1:21.31 3:21.38 4:a 6:true 8:false");
        rig_end(&r);
}

static void max_interval_sends_fresh_samples_only(void **state _unused_) {
        Rig r = rig();

        r.rules.on_change = true;
        r.rules.max_interval_ns = 300 * SEC;
        rig_begin(&r);
        for (int64_t s = 0; s <= 900; s += 10)
                put_double(&r, s * 1000 - (s == 300), 5); /* the 30th comes a millisecond early */
        expect(&r, "0:5 299999:5 600000:5 900000:5");
        tick(&r, 2000000, false);
        expect(&r, "");
        rig_end(&r);
}

static void min_interval_holds_back_the_newest(void **state _unused_) {
        Rig r = rig();

        r.rules.on_change = true;
        r.rules.min_interval_ns = 1 * SEC;
        r.event = true;
        rig_begin(&r);
        put_text(&r, 0, "open");
        put_text(&r, 300, "closed"); /* the last word within the interval must come through */
        assert_int_equal(report_due(&r.rules, r.state, 0), 1 * SEC);
        tick(&r, 500, false);
        expect(&r, "0:open");
        tick(&r, 1000, false);
        expect(&r, "300:closed");
        put_text(&r, 1200, "open");
        put_text(&r, 1300, "closed"); /* as the server has it: nothing to say */
        tick(&r, 5000, false);
        expect(&r, "");
        rig_end(&r);
        /* scheduled samples wait for the next one instead of a timer */
        r = rig();
        r.rules.min_interval_ns = 10 * SEC;
        rig_begin(&r);
        for (int64_t s = 0; s <= 20; s++) {
                put_int(&r, s * 1000, s);
                assert_int_equal(report_due(&r.rules, r.state, 0), INT64_MAX);
        }
        expect(&r, "0:0i 10000:10i 20000:20i");
        rig_end(&r);
}

static void windows_go_through_the_filter(void **state _unused_) {
        Rig r = rig();

        r.rules.aggregate_ns = 1 * SEC;
        r.rules.deadband = 1;
        rig_begin(&r);
        put_double(&r, 100, 5);
        put_double(&r, 1100, 5.2);
        put_double(&r, 2100, 5.1);
        put_double(&r, 2200, 9); /* a spike inside a window: its maximum moved */
        put_double(&r, 2300, 5.1);
        put_double(&r, 3100, 5);
        expect(&r, "100:5[5 5 5 1] 1100:5.2[5.2 5.2 5.2 1] 2300:5.1[5.1 9 6.4 3]");
        rig_end(&r);
}

static void times_follow_the_mid_point(void **state _unused_) {
        Rig r = rig();

        r.rules.deadband = 1;
        rig_begin(&r);
        put_double(&r, 1000, 5);
        put_double(&r, 2000, 5.1);
        report_retime(r.state, 2000 * MS, 2250 * MS);
        put_double(&r, 3000, 9);
        expect(&r, "1000:5 2250:5.1 3000:9");
        rig_end(&r);
}

static void nothing_of_a_dropped_key(void **state _unused_) {
        Rig r = rig();

        r.rules.drop = true;
        rig_begin(&r);
        put_double(&r, 1, 5);
        tick(&r, 1000000, true);
        expect(&r, "");
        rig_end(&r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(valid_is_on_the_raw_value),
                cmocka_unit_test(median_takes_outliers_out),
                cmocka_unit_test(calibration_is_a_line_through_pairs),
                cmocka_unit_test(scale_offset_clamp_in_this_order),
                cmocka_unit_test(windows_are_aligned_and_keep_their_time),
                cmocka_unit_test(windows_outlive_no_step_of_the_clock),
                cmocka_unit_test(deadband_sends_the_sample_before_the_jump),
                cmocka_unit_test(on_change_looks_at_what_would_be_written),
                cmocka_unit_test(max_interval_sends_fresh_samples_only),
                cmocka_unit_test(min_interval_holds_back_the_newest),
                cmocka_unit_test(windows_go_through_the_filter),
                cmocka_unit_test(times_follow_the_mid_point),
                cmocka_unit_test(nothing_of_a_dropped_key),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
