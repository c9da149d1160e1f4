/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the network, the server and the rows do: each row is delivered, rejected with proof or told in a gap record,
 * and the first arrivals of each lane come in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/log.h"
#include "uplink-world.h"

typedef struct Weather {
        int protocol;
        bool store, strict;
        unsigned poison;      /* rows in 10000 */
        unsigned close, hole; /* in 10000 steps of 50 ms: a close, a black hole */
        const char *points;   /* the server tells this limit; NULL: none */
        size_t ring;
} Weather;

static void put_any(World *w, const Weather *c) {
        char text[64];

        if (world_random(w, 10000) < c->poison) {
                snprintf(text, sizeof(text), "{\"poison\":{\"k\":%u}}", (unsigned)w->made);
                put_text(w, text, 1, c->strict ? ROW_STRICT : 0);
        } else
                put_flags(w, 1, (world_random(w, 50) == 0 ? ROW_IMMEDIATE : 0) |
                                        (c->strict && world_random(w, 2) ? ROW_STRICT : 0));
}

static void step(World *w, const Weather *c, usec_t *hole) {
        usec_t now = loop_monotonic(w->loop);

        for (unsigned n = world_random(w, 6); n > 0; n--)
                put_any(w, c);
        if (w->online && world_random(w, 10000) < c->close) {
                w->reconnect_after = (100 + world_random(w, 8000)) * MSEC;
                world_down(w, world_random(w, 4) ? SESSION_CLOSED : SESSION_TIMEOUT);
        }
        if (*hole == 0 && world_random(w, 10000) < c->hole) {
                w->silent = true;
                *hole = now + 15 * SEC;
        } else if (*hole > 0 && now >= *hole) {
                w->silent = false;
                *hole = 0;
                if (w->online)
                        world_down(w, SESSION_TIMEOUT);
        }
        advance(w, 50 * MSEC);
}

static void weather(const Weather *c, unsigned seed) {
        usec_t hole = 0;
        SpoolStats spool;
        World w;

        world_new(&w, c->ring, c->store, (UplinkParams){ .backlog_rate = world_random(&(World){ .rnd = seed }, 3) * 1000 });
        w.rnd = seed * 2654435761u;
        w.protocol = c->protocol;
        w.jitter = 40 * MSEC;
        if (c->protocol != 5)
                w.limits = (ClientLimits){ .settled = true, .max_payload = 65536, .max_inflight = 100 };
        else
                w.limits.telemetry_points = c->points;
        assert_int_equal(bucket_parse(c->protocol == 5 ? c->points : NULL, 1, loop_monotonic(w.loop), &w.points), 0);
        put(&w, 1, true); /* there is a row that the server took */
        world_up(&w);
        advance(&w, SEC);
        for (int i = 0; i < 3000; i++)
                step(&w, c, &hole);
        w.silent = false;
        if (hole > 0)
                world_down(&w, SESSION_TIMEOUT);
        for (int i = 0; i < 3600 && spool_stats(w.spool).rows > 0; i++)
                advance(&w, SEC);
        spool = spool_stats(w.spool);
        if (spool.evicted_points == 0)
                assert_all_arrived(&w);
        else /* what was stored, but its PUBACK lost, may be told as dropped as well */
                assert_true(w.distinct + spool.rejected_points + spool.evicted_points >= spool.made_points);
        assert_int_equal(spool.made_points, w.made);
        assert_int_equal(spool.acked_points + spool.evicted_points + spool.rejected_points, spool.made_points);
        assert_int_equal(w.gap_points >= spool.evicted_points, true);
        assert_int_equal(spool.gap_points, spool.evicted_points);
        if (c->protocol == 5 && c->poison > 0) /* what was sent behind a refused batch had overtaken it */
                w.inversions = 0;
        assert_int_equal(w.inversions, 0);
        world_done(&w);
}

static void each_seed(const Weather *c) {
        unsigned seeds = getenv("SEEDS") ? (unsigned)atoi(getenv("SEEDS")) : 3;

        log_set_level(LOG_ERR);
        for (unsigned seed = 1; seed <= seeds; seed++)
                weather(c, seed);
}

static void test_fair(void **state) {
        (void)state;
        each_seed(&(Weather){ .protocol = 5, .store = true, .ring = MIB, .points = "1000:1" });
}

static void test_bad_network(void **state) {
        (void)state;
        each_seed(&(Weather){ .protocol = 5, .store = true, .ring = MIB, .close = 100, .hole = 20, .points = "200:1" });
        each_seed(&(Weather){ .protocol = 4, .store = true, .ring = MIB, .close = 100, .hole = 20 });
}

static void test_strict_rows(void **state) {
        (void)state;
        each_seed(&(Weather){ .protocol = 5, .store = true, .ring = MIB, .strict = true, .close = 100, .hole = 20, .points = "200:1" });
}

static void test_poison_5(void **state) {
        (void)state;
        each_seed(&(Weather){ .protocol = 5, .store = true, .ring = MIB, .poison = 20, .close = 50, .hole = 10, .points = "1000:1" });
}

static void test_poison_311(void **state) {
        (void)state;
        each_seed(&(Weather){ .protocol = 4, .store = true, .ring = MIB, .poison = 5, .close = 20 });
        each_seed(&(Weather){ .protocol = 4, .store = true, .ring = MIB, .poison = 5, .strict = true });
}

static void test_small_ring(void **state) {
        (void)state;
        each_seed(&(Weather){ .protocol = 5, .ring = 32 * KIB, .close = 100, .hole = 30, .poison = 5, .points = "100:1" });
        each_seed(&(Weather){ .protocol = 4, .ring = 32 * KIB, .close = 100, .hole = 30 });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fair),
                cmocka_unit_test(test_bad_network),
                cmocka_unit_test(test_strict_rows),
                cmocka_unit_test(test_poison_5),
                cmocka_unit_test(test_poison_311),
                cmocka_unit_test(test_small_ring),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
