/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tb/limits-text.h"
#include "tb/share.h"

#define SEC USEC_PER_SEC
#define MINUTE (60 * SEC)

static void test_parse(void **state) {
        static const char *const bad[] = { ",", ":", "1", "1:", ":1", "0:1", "1:0", "-1:1", "1:1;", "1:1,,2:2", "a:1",
                                           "1.5:1", "1:1 ", "1e3:1", "10000000000:1", "1:99999999999",
                                           "1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1,1:1" };
        Bucket b = { .n = 77 };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                assert_int_equal(bucket_parse(bad[i], 1, 0, &b), -EINVAL);
                assert_int_equal(b.n, 77);
        }
        assert_int_equal(bucket_parse(NULL, 1, 0, &b), 0);
        assert_int_equal(b.n, 0);
        assert_int_equal(bucket_parse("", 1, 0, &b), 0);
        assert_int_equal(bucket_delay(&b, 1e9, 5), 0);
        assert_int_equal(bucket_parse("200:1,6000:60,14000:3600,", 0.8, 0, &b), 0);
        assert_int_equal(b.n, 3);
        assert_true(bucket_capacity(&b) == 160);
        assert_true(fabs(b.bands[1].rate - 80) < 1e-9);
}

static void test_bucket(void **state) {
        Bucket b;

        (void)state;
        assert_int_equal(bucket_parse("10:1,30:10", 1, 0, &b), 0);
        assert_int_equal(bucket_delay(&b, 10, 0), 0);
        bucket_take(&b, 10, 0);
        assert_int_equal(bucket_delay(&b, 1, 0), SEC / 10);
        assert_int_equal(bucket_delay(&b, 10, SEC), 0);
        bucket_take(&b, 10, SEC);
        bucket_take(&b, 10, 2 * SEC); /* the long band held 30 and got 3 a second */
        assert_true(fabs(bucket_tokens(&b, 2 * SEC) - 0) < 1e-6);
        assert_int_equal(bucket_delay(&b, 10, 3 * SEC) / USEC_PER_MSEC, 333); /* 9 of 10 there, at 3 a second */
        assert_int_equal(bucket_delay(&b, 1000, 60 * SEC), 0); /* as many as it can ever hold */
        bucket_drain(&b, 60 * SEC);
        assert_true(bucket_delay(&b, 10, 60 * SEC) > 3 * SEC);
        assert_int_equal(bucket_parse("1:1", 0.8, 0, &b), 0);
        bucket_take(&b, 1, 0);
        assert_int_equal(bucket_delay(&b, 1, 0), 1250 * USEC_PER_MSEC);
}

static void test_told(void **state) {
        Limits l;

        (void)state;
        limits_init(&l, 0, 0);
        assert_int_equal(limits_max_points(&l, 0), UINT32_MAX);
        assert_int_equal(limits_delay(&l, 100000, 0), 0);
        assert_int_equal(limits_told(&l, "10:1", "bad", 0), -EINVAL);
        assert_false(l.named);
        assert_int_equal(limits_told(&l, "10:1", "20:1,300:60", 0), 0);
        assert_int_equal(limits_max_points(&l, 0), 16);
        limits_take(&l, 16, 0, 0);
        assert_true(limits_delay(&l, 16, 0) >= SEC);
        assert_int_equal(limits_points_now(&l, 0), 1);
        /* told again after a reconnect: the tokens taken stay taken */
        assert_int_equal(limits_told(&l, "10:1", "20:1,300:60", 0), 0);
        assert_true(limits_delay(&l, 16, 0) >= SEC);
        assert_true(fabs(limits_message_pace(&l, 0) - 8) < 1e-9);
        assert_true(fabs(limits_point_pace(&l, 0) - 4) < 1e-9);
}

/* ---- a server that closes instead of telling */

typedef struct Scene {
        const char *name;
        const char *messages, *points; /* of the server; NULL: none */
        double rows_per_sec;
        uint32_t points_per_row;
        usec_t interval; /* rows go at most so often; 0: at once */
        bool bare;       /* closes without a word */
        double least;    /* points per second in the last five minutes */
} Scene;

typedef struct Outcome {
        unsigned closes, early_closes; /* early: less than ten minutes after another */
        usec_t last_close;
        uint64_t made, stored; /* rows */
        double late_rate;      /* points per second stored in the last 5 minutes */
} Outcome;

typedef struct Sim {
        const Scene *scene;
        Limits limits;
        Bucket messages, points;
        usec_t now, ready, blocked, next_tick;
        bool waited;
        unsigned rnd;
        double arrived;
        Outcome out;
} Sim;

static unsigned sim_random(Sim *s, unsigned below) {
        s->rnd ^= s->rnd << 13;
        s->rnd ^= s->rnd >> 17;
        s->rnd ^= s->rnd << 5;
        return s->rnd % below;
}

/* One message of the waiting rows, as the uplink sends it. */
static void sim_send(Sim *s) {
        uint64_t waiting = s->out.made - s->out.stored, rows;
        uint32_t k = s->scene->points_per_row, most = limits_max_points(&s->limits, s->now);
        usec_t delay;

        if (s->waited)
                most = MIN(most, limits_points_now(&s->limits, s->now));
        rows = MIN(MIN(waiting, (uint64_t)300), MAX((uint64_t)1, (uint64_t)(most / k)));
        delay = limits_delay(&s->limits, (uint32_t)rows * k, s->now);
        if (delay > 0) {
                s->blocked = s->now + delay;
                s->waited = true;
                return;
        }
        s->waited = false;
        limits_take(&s->limits, (uint32_t)rows * k, 0, s->now);
        s->now += 2000 + sim_random(s, 2000); /* on its way */
        if (bucket_delay(&s->messages, 1, s->now) == 0 && bucket_tokens(&s->points, s->now) >= (double)(rows * k)) {
                bucket_take(&s->messages, 1, s->now);
                bucket_take(&s->points, (double)(rows * k), s->now);
                s->now += 2000;
                limits_acked(&s->limits, (uint32_t)rows * k, s->now);
                s->out.stored += rows;
                return;
        }
        s->out.closes++;
        if (s->now - s->out.last_close < 10 * MINUTE || s->out.closes == 1)
                s->out.early_closes++;
        s->out.last_close = s->now;
        limits_failed(&s->limits, !s->scene->bare, s->now);
        s->blocked = 0;
        s->waited = false;
        s->ready = s->now + 20000 + sim_random(s, 1000000); /* full jitter up to a second */
}

static Outcome simulate(const Scene *scene, usec_t duration, unsigned seed) {
        Sim s = { .scene = scene, .now = 1000 * SEC, .rnd = seed * 2654435761u };
        const usec_t start = s.now;
        uint64_t late = 0;

        limits_init(&s.limits, 0, s.now);
        assert_int_equal(bucket_parse(scene->messages, 1, s.now, &s.messages), 0);
        assert_int_equal(bucket_parse(scene->points, 1, s.now, &s.points), 0);
        s.ready = s.now;
        s.next_tick = s.now + scene->interval;
        while (s.now < start + duration) {
                usec_t before = s.now;

                s.out.made = (uint64_t)((double)(s.now - start) / 1e6 * scene->rows_per_sec);
                if (scene->interval > 0 && s.now >= s.next_tick && s.out.made == s.out.stored)
                        s.next_tick = s.now + scene->interval;
                if (s.now >= s.ready && s.now >= s.blocked && s.out.made > s.out.stored && s.now >= s.next_tick)
                        sim_send(&s);
                if (s.now == before)
                        s.now += 1000;
                if (late == 0 && s.now >= start + duration - 5 * MINUTE)
                        late = s.out.stored;
        }
        s.out.late_rate = (double)(s.out.stored - late) * scene->points_per_row / 300;
        return s.out;
}

static const Scene scenes[] = {
        { "10 messages/s, one-key rows at once", "10:1", NULL, 20, 1, 0, false, 19 },
        { "10 messages/s, ten-key rows at once", "10:1", NULL, 20, 10, 0, false, 190 },
        { "10 messages/s, bare closes", "10:1", NULL, 20, 1, 0, true, 19 },
        { "1 message/s", "1:1", NULL, 2, 1, 0, false, 1.9 },
        { "200 points/s, batches", NULL, "200:1", 400, 1, SEC, false, 150 },
        { "200 points/s, eight-key rows", NULL, "200:1", 50, 8, SEC, false, 150 },
        { "200 points/s, rows at once", NULL, "200:1", 20, 20, 0, false, 150 },
        { "200 points/s, bare closes", NULL, "200:1", 400, 1, SEC, true, 150 },
        { "200 points/s, rows at once, bare closes", NULL, "200:1", 20, 20, 0, true, 150 },
        { "20 points:1s, batches", NULL, "20:1", 40, 1, SEC, false, 15 },
        { "20 points:1s, rows at once", NULL, "20:1", 40, 1, 0, false, 15 },
        { "100:1 and 3000:60 messages", "100:1,3000:60", NULL, 100, 1, 0, false, 95 },
        { "100:1 and 3000:60 points", NULL, "100:1,3000:60", 100, 1, SEC, false, 30 },
        { "both", "10:1", "200:1", 40, 10, 0, false, 150 },
};

/* At most three closes, and a later one only where ten minutes went by (a bucket of thousands of tokens hides
 * for so long). What only messages limit keeps up with the demand; of points most of what there is, is used. */
static void test_hidden_limits(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTS(scenes); i++)
                for (unsigned seed = 1; seed <= 3; seed++) {
                        const Scene *c = &scenes[i];
                        Outcome o = simulate(c, 25 * MINUTE, seed);

                        if (o.early_closes > 3 || o.late_rate < c->least)
                                print_error("%s: %u closes (%u early), %.0f of %.0f points/s\n", c->name, o.closes,
                                            o.early_closes, o.late_rate, c->rows_per_sec * c->points_per_row);
                        assert_true(o.closes >= 1);
                        assert_true(o.early_closes <= 3);
                        assert_true(o.late_rate >= c->least);
                        assert_true(o.stored <= o.made);
                }
}

/* One bare close may be the network: the pace is back within seconds, nothing is held for hours. */
static void test_one_bare_close(void **state) {
        Limits l;

        (void)state;
        limits_init(&l, 0, SEC);
        for (usec_t t = 10; t < 20; t++)
                limits_take(&l, 1000, 0, t * SEC);
        limits_failed(&l, false, 20 * SEC);
        assert_true(limits_point_pace(&l, 20 * SEC) < 500);
        assert_true(isinf(limits_point_pace(&l, 40 * SEC)));
        assert_true(isinf(limits_message_pace(&l, 40 * SEC)));
        assert_int_equal(limits_max_points(&l, 40 * SEC), UINT32_MAX);
}

static void test_failure_halves(void **state) {
        Limits l;

        (void)state;
        limits_init(&l, 0, SEC);
        for (usec_t t = 0; t < 20; t++)
                limits_take(&l, 10, 0, 10 * SEC + t * SEC / 20);
        limits_failed(&l, true, 11 * SEC);
        assert_true(fabs(limits_message_pace(&l, 11 * SEC) - 8) < 0.5); /* 80 % of the half of 20 */
        assert_true(fabs(limits_point_pace(&l, 11 * SEC) - 80) < 5);
        assert_true(limits_delay(&l, 1, 11 * SEC) > 100 * USEC_PER_MSEC);
        assert_true(limits_max_points(&l, 11 * SEC) <= 80);
        assert_true(limits_message_pace(&l, 5 * 3600 * SEC) <= 16);    /* 80 % of what failed, for six hours */
        assert_true(limits_message_pace(&l, 5 * 3600 * SEC) > 15);
        assert_true(limits_message_pace(&l, 7 * 3600 * SEC) > 100);
}

static void test_backlog(void **state) {
        Limits l;
        uint64_t sent = 0;

        (void)state;
        limits_init(&l, 2000, SEC);
        limits_reset_backlog(&l, SEC);
        for (usec_t t = SEC; t < 11 * SEC; t += 10 * USEC_PER_MSEC) {
                limits_take(&l, 100, 0, t); /* new rows come beside it, and are not held up */
                while (limits_backlog_delay(&l, 300, t) == 0) {
                        assert_int_equal(limits_delay(&l, 300, t), 0);
                        limits_take(&l, 300, 300, t);
                        sent += 300;
                }
        }
        assert_true(sent > 19000 && sent <= 20000);
        assert_int_equal(limits_told(&l, NULL, "1000000:1", 11 * SEC), 0); /* a server that names limits needs no such care */
        assert_int_equal(limits_backlog_delay(&l, 300, 11 * SEC), 0);
        assert_int_equal(limits_backlog_now(&l, 11 * SEC), UINT32_MAX);
}

/* The backlog drains at all of the pace, and yet each second's new rows find their tokens at once. */
static void test_spare(void **state) {
        uint64_t backlog = 0;
        Limits l;

        (void)state;
        limits_init(&l, 2000, 0);
        assert_int_equal(limits_told(&l, "100:1", "1000:1", 0), 0);
        for (usec_t t = 0; t < 60 * SEC; t += 5 * USEC_PER_MSEC) {
                LimitsNeed need = { .messages = 1, .points = 100, .until = SEC - t % SEC };
                uint32_t spare = limits_spare_points(&l, &need, t);

                if (t % SEC == 0) {
                        assert_int_equal(limits_delay(&l, 100, t), 0);
                        limits_take(&l, 100, 0, t);
                        continue;
                }
                spare = MIN(spare, 270u);
                if (spare >= 40 && limits_delay(&l, spare, t) == 0) {
                        limits_take(&l, spare, spare, t);
                        backlog += spare;
                }
        }
        assert_true(backlog > 690 * 60 && backlog <= 700 * 60 + 800);
        limits_init(&l, 0, 0);
        assert_int_equal(limits_spare_points(&l, &(LimitsNeed){ .points = 1e9, .messages = 1e9 }, 0), UINT32_MAX);
}

static void fail_three_times(Limits *l, usec_t from) {
        for (usec_t t = from; t < from + 60 * SEC; t += 20 * SEC) {
                for (int i = 0; i < 10; i++)
                        limits_take(l, 300, 0, t + (usec_t)i);
                limits_failed(l, false, t + SEC);
        }
}

static void test_acquit(void **state) {
        Limits l, learned;

        (void)state;
        limits_init(&l, 0, SEC);
        fail_three_times(&l, 10 * SEC);
        assert_true(limits_message_pace(&l, 80 * SEC) < 10);
        limits_acquit(&l, 80 * SEC);
        assert_true(isinf(limits_message_pace(&l, 80 * SEC)));
        assert_true(isinf(limits_point_pace(&l, 80 * SEC)));
        limits_take(&l, 20, 0, 100 * SEC); /* what was learned before stays */
        limits_failed(&l, true, 101 * SEC);
        learned = l;
        fail_three_times(&l, 3600 * SEC);
        limits_acquit(&l, 3700 * SEC);
        limits_acquit(&l, 3701 * SEC);
        assert_true(limits_message_pace(&l, 3701 * SEC) == limits_message_pace(&learned, 3701 * SEC));
        assert_true(limits_point_pace(&l, 3701 * SEC) == limits_point_pace(&learned, 3701 * SEC));
}

static void test_text(void **state) {
        static const char whole[] = "tbagent-limits 1\nserver a\ntold 100:1 -\nmessages 5 inf 0 1.5 inf 7\n"
                                    "points inf inf 0 1 inf 0\ntrials 1 2.5 3\n";
        static const char *const bad[] = {
                "", "tbagent-limits 2\nserver a\n", "tbagent-limits 1\nserver a\ntold x -\n",
                "tbagent-limits 1\nserver a\ntold 100:1 -\nmessages 5 inf 0 1.5 inf 7\n",
                "tbagent-limits 1\nserver a\ntold - -\nmessages -5 inf 0 1.5 inf 7\npoints inf inf 0 1 inf 0\ntrials 1 2.5 3\n",
                "tbagent-limits 1\nserver a\ntold - -\nmessages nan inf 0 1.5 inf 7\npoints inf inf 0 1 inf 0\ntrials 1 2.5 3\n",
                "tbagent-limits 1\nserver a\ntold - -\nmessages 5 inf 0 3 inf 7\npoints inf inf 0 1 inf 0\ntrials 1 2.5 3\n",
                "tbagent-limits 1\nserver a\ntold - -\nmessages 5 inf 0 1 inf 99999999999\npoints inf inf 0 1 inf 0\ntrials 1 2.5 3\n",
                "tbagent-limits 1\nserver a\ntold - -\nmessages 5 inf 0 1 inf 7 8\npoints inf inf 0 1 inf 0\ntrials 1 2.5 3\n",
        };
        char text[LIMITS_TEXT_MAX];
        Limits l, again;
        size_t size;

        (void)state;
        limits_init(&l, 0, SEC);
        assert_int_equal(limits_told(&l, "100:1,3000:60", NULL, SEC), 0);
        fail_three_times(&l, 10 * SEC);
        size = limits_write(&l, "mqtt://a:1883", text);
        assert_true(size > 100 && strlen(text) == size);
        limits_init(&again, 0, 80 * SEC);
        assert_int_equal(limits_read(&again, text, "mqtt://b:1883", 80 * SEC), -ENOENT);
        assert_true(isinf(limits_message_pace(&again, 80 * SEC)));
        assert_int_equal(limits_read(&again, text, "mqtt://a:1883", 80 * SEC), 0);
        assert_true(again.named);
        assert_true(fabs(limits_message_pace(&again, 90 * SEC) - limits_message_pace(&l, 90 * SEC)) < 1e-6);
        assert_true(fabs(limits_point_pace(&again, 90 * SEC) - limits_point_pace(&l, 90 * SEC)) < 1e-6);
        assert_true(bucket_tokens(&again.messages, 80 * SEC) <= 0); /* the daemon before may have used it up */
        assert_true(limits_write(&again, "mqtt://a:1883", text) > 0);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                limits_init(&again, 0, SEC);
                assert_int_equal(limits_read(&again, bad[i], "a", SEC), -EBADMSG);
                assert_false(again.named);
                assert_true(isinf(limits_message_pace(&again, SEC)));
        }
        for (size_t n = 0; n < sizeof(whole) - 1; n++) { /* cut anywhere */
                char cut[sizeof(whole)];

                memcpy(cut, whole, n);
                cut[n] = 0;
                limits_init(&again, 0, SEC);
                assert_int_equal(limits_read(&again, cut, "a", SEC), -EBADMSG);
        }
        assert_int_equal(limits_read(&again, whole, "a", SEC), 0);
}

static void test_share(void **state) {
        const double messages = 80, points = 800;
        unsigned live = 0, backlog = 0, first = 0;
        Share s = { 0 };

        (void)state;
        for (int i = 0; i < 1000; i++) {
                if (!share_is_backlogs(&s, messages, points)) {
                        share_live(&s, 100, messages, points);
                        live++;
                        first += backlog == 0;
                } else {
                        share_backlog(&s, 100, messages, points);
                        backlog++;
                }
        }
        assert_in_range(first, 9, 10); /* a second's worth ahead */
        assert_in_range(live, 800, 810);
        for (int i = 0; i < 1000; i++) /* nothing is saved up */
                share_backlog(&s, 100, messages, points);
        for (live = 0; !share_is_backlogs(&s, messages, points); live++)
                share_live(&s, 100, messages, points);
        assert_in_range(live, 15, 25);
        for (int i = 0; i < 1000; i++) {
                assert_false(share_is_backlogs(&s, INFINITY, INFINITY) && i > 0);
                share_live(&s, 1000, INFINITY, INFINITY);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_bucket),
                cmocka_unit_test(test_told),
                cmocka_unit_test(test_failure_halves),
                cmocka_unit_test(test_one_bare_close),
                cmocka_unit_test(test_backlog),
                cmocka_unit_test(test_spare),
                cmocka_unit_test(test_acquit),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_share),
                cmocka_unit_test(test_hidden_limits),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
