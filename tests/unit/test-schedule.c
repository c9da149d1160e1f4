/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/loop.h"
#include "sensor/schedule.h"

#define SEC USEC_PER_SEC
#define MONOTONIC (1000 * SEC)

typedef struct Clock {
        usec_t monotonic, realtime;
} Clock;

static void advance(Clock *c, usec_t by) {
        c->monotonic += by;
        c->realtime += by;
}

/* Waits for the sample, takes it in `takes`. */
static void take(Schedule *s, Clock *c, usec_t takes) {
        assert_true(s->due != USEC_INFINITY);
        if (s->due > c->monotonic)
                advance(c, s->due - c->monotonic);
        advance(c, takes);
        schedule_taken(s, c->monotonic, c->realtime);
}

static void first_at_once_then_aligned(void **state _unused_) {
        Clock c = { MONOTONIC, 1700000003 * SEC + 400000 };
        Schedule s = { 0 };

        schedule_start(&s, 10 * SEC, c.monotonic);
        assert_int_equal(s.due, c.monotonic);
        take(&s, &c, 50000);
        for (int i = 0; i < 100; i++) {
                assert_int_equal((c.realtime + (s.due - c.monotonic)) % (10 * SEC), 0);
                take(&s, &c, 50000);
        }
        assert_int_equal(c.realtime - 50000, 1700000000 * SEC + 100 * 10 * SEC);
        assert_int_equal(s.overruns, 0);
}

static void start_on_a_multiple_gives_no_twin(void **state _unused_) {
        Clock c = { MONOTONIC, 1700000000 * SEC };
        Schedule s = { 0 };

        schedule_start(&s, SEC, c.monotonic);
        take(&s, &c, 1000);
        assert_int_equal(s.due, MONOTONIC + SEC);
        /* just before one: the next is not within the same milliseconds */
        c = (Clock){ MONOTONIC, 1700000000 * SEC - 500 };
        schedule_start(&s, SEC, c.monotonic);
        take(&s, &c, 0);
        assert_int_equal(s.due, MONOTONIC + SEC + 500);
}

static void overruns_are_counted_not_made_up_for(void **state _unused_) {
        Clock c = { MONOTONIC, 1700000000 * SEC };
        Schedule s = { 0 };
        usec_t before;

        schedule_start(&s, SEC, c.monotonic);
        take(&s, &c, 10000);
        take(&s, &c, 3500000); /* due at 1, 2, 3, 4: over at 4.5 */
        assert_int_equal(s.overruns, 3);
        assert_int_equal(s.due, MONOTONIC + 5 * SEC);
        for (int i = 0; i < 10; i++) {
                before = s.due;
                take(&s, &c, 1200000);
                assert_int_equal(s.due - before, 2 * SEC);
        }
        assert_int_equal(s.overruns, 13);
}

static void steps_neither_burst_nor_stall(void **state _unused_) {
        static const int64_t steps[] = { 1, -1, 300000, -300000, 700000, -700000, 3600000000, -3600000000, 1700000000000000, -1699999999000000 };
        usec_t period = SEC;

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                Clock c = { MONOTONIC, 1700000000 * SEC + 123 };
                Schedule s = { 0 };
                usec_t last = 0;

                schedule_start(&s, period, c.monotonic);
                for (int n = 0; n < 20; n++) {
                        if (n == 5)
                                c.realtime = (usec_t)((int64_t)c.realtime + steps[i]);
                        last = s.due;
                        take(&s, &c, 1000);
                        if (n > 0)
                                assert_in_range(s.due - last, period / 2, period * 3 / 2);
                }
                assert_int_equal((c.realtime + (s.due - c.monotonic)) % period, 0);
                assert_int_equal(s.overruns, 0);
        }
}

/* As sensor/life has it: a timer on a loop that is never told of a step. Rows are counted by CLOCK_BOOTTIME. */
typedef struct Sampling {
        Loop *loop;
        LoopTimer *timer;
        Schedule schedule;
        unsigned n;
        usec_t last, least, most; /* between two samples */
} Sampling;

static void on_sample(void *userdata) {
        Sampling *s = userdata;
        usec_t now = loop_boottime(s->loop);

        if (s->n++ > 0) {
                s->least = MIN(s->least, now - s->last);
                s->most = MAX(s->most, now - s->last);
        }
        s->last = now;
        schedule_taken(&s->schedule, loop_monotonic(s->loop), loop_realtime(s->loop));
        loop_timer_arm(s->timer, s->schedule.due, 0);
}

static unsigned sample_for(Sampling *s, usec_t by) {
        unsigned before = s->n;

        s->least = USEC_INFINITY;
        s->most = 0;
        assert_int_equal(loop_advance(s->loop, by), 0);
        return s->n - before;
}

static void a_loop_sees_no_burst_and_no_stall(void **state _unused_) {
        static const int64_t days[] = { -1, 3652, -3652, 1 };
        static const usec_t periods[] = { 2000, 10000, SEC, 10 * SEC, 600 * SEC };

        for (size_t p = 0; p < ELEMENTS(periods); p++) {
                Sampling s = { .last = 0 };
                usec_t period = periods[p];

                assert_int_equal(loop_new_simulated(&s.loop, 1700000000 * SEC + 123456), 0);
                assert_int_equal(loop_timer_new(&s.timer, s.loop, "sample", on_sample, &s), 0);
                schedule_start(&s.schedule, period, loop_monotonic(s.loop));
                loop_timer_arm(s.timer, s.schedule.due, 0);
                sample_for(&s, 10 * period);
                for (size_t i = 0; i < ELEMENTS(days); i++) {
                        /* at some other moment of a period each time, and not by whole periods */
                        sample_for(&s, period * (i + 1) / 5);
                        loop_step_realtime(s.loop, days[i] * 86400 * (int64_t)SEC + 314159 * (int64_t)(i + 1));
                        assert_in_range(sample_for(&s, 100 * period), 99, 101);
                        assert_in_range(s.least, period / 2, period);
                        assert_in_range(s.most, period, period * 3 / 2);
                        assert_int_equal((loop_realtime(s.loop) + s.schedule.due - loop_monotonic(s.loop)) % period, 0);
                }
                assert_int_equal(s.schedule.overruns, 0);
                loop_timer_free(s.timer);
                loop_free(s.loop);
        }
}

/* An hour of a clock that is slewed by 500 ppm, and samples that come late by up to 2 ms. */
static void slewing_loses_and_doubles_nothing(void **state _unused_) {
        Clock c = { MONOTONIC, 1700000000 * SEC + 1 };
        Schedule s = { 0 };
        unsigned n = 0;
        usec_t wall_before = 0;

        schedule_start(&s, SEC, c.monotonic);
        take(&s, &c, 100);
        while (c.monotonic < MONOTONIC + 3600 * SEC) {
                usec_t wall;

                c.realtime += 500;
                take(&s, &c, (n * 7919) % 2000);
                wall = (c.realtime + SEC / 2) / SEC;
                if (n++ > 0)
                        assert_int_equal(wall, wall_before + 1);
                wall_before = wall;
        }
        assert_in_range(n, 3600, 3602);
        assert_int_equal(s.overruns, 0);
}

static void a_new_period_holds_at_once(void **state _unused_) {
        Clock c = { MONOTONIC, 1700000000 * SEC + 300000 };
        Schedule s = { 0 };

        schedule_start(&s, 3600 * SEC, c.monotonic);
        take(&s, &c, 0);
        schedule_set_period(&s, SEC, c.monotonic, c.realtime);
        assert_int_equal(s.due, MONOTONIC + 700000);
        schedule_stop(&s);
        schedule_set_period(&s, 2 * SEC, c.monotonic, c.realtime);
        schedule_taken(&s, c.monotonic, c.realtime);
        assert_true(s.due == USEC_INFINITY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(first_at_once_then_aligned),
                cmocka_unit_test(start_on_a_multiple_gives_no_twin),
                cmocka_unit_test(overruns_are_counted_not_made_up_for),
                cmocka_unit_test(steps_neither_burst_nor_stall),
                cmocka_unit_test(a_loop_sees_no_burst_and_no_stall),
                cmocka_unit_test(slewing_loses_and_doubles_nothing),
                cmocka_unit_test(a_new_period_holds_at_once),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
