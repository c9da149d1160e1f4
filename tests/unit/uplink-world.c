/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tree.h"
#include "uplink-world.h"

#define STEP (5 * MSEC)
#define OFFSET_MS ((int64_t)(START / 1000) - 1000000)

unsigned world_random(World *w, unsigned below) {
        w->rnd ^= w->rnd << 13;
        w->rnd ^= w->rnd >> 17;
        w->rnd ^= w->rnd << 5;
        return w->rnd % below;
}

/* ---- the server */

/* Where the row waits now: what the server sees is a batch that has just been built. */
static unsigned lane_of(const World *w, uint64_t seq) {
        SpoolRow row;

        return spool_next(w->spool, LANE_LIVE, seq, &row) == 1 && row.seq == seq ? LANE_LIVE : LANE_BACKLOG;
}

static void store_row(World *w, WorldRow *row, uint64_t k) {
        unsigned lane = lane_of(w, row->seq), order = row->strict ? _LANE_MAX : lane;

        if (row->stored)
                return;
        row->stored = true;
        w->distinct++;
        if (lane == LANE_LIVE && w->measures)
                w->lags[w->n_lags++] = loop_monotonic(w->loop) - row->made;
        if (row->mixed)
                return;
        w->inversions += k < w->last_new[order];
        w->last_new[order] = MAX(w->last_new[order], k);
}

typedef void (*row_fn)(World *w, WorldRow *row, uint64_t k);

static void each_row(World *w, char *text, row_fn fn) {
        for (char *at = text; (at = strstr(at, "\"k\":"));) {
                uint64_t k = strtoull(at + 4, &at, 10);

                assert_true(k < ROWS_MAX);
                fn(w, &w->rows[k], k);
        }
}

static void mix(World *w, WorldRow *row, uint64_t k) {
        (void)w;
        (void)k;
        row->mixed = true;
}

static void store_gaps(World *w, const char *text) {
        for (char *at = (char *)text; (at = strstr(at, "{\"tbagent_gap\":{\"dropped\":"));)
                w->gap_points += strtoull(at + 26, &at, 10);
}

static uint32_t count_text(const char *payload, const char *text) {
        uint32_t count = 0;

        for (const char *at = payload; (at = strstr(at, text)); at++)
                count++;
        return count;
}

/* Every key has a colon; a row has two more, a gap record five, a poisonous value one. */
static uint32_t count_points(const char *payload) {
        return count_text(payload, ":") - 2 * count_text(payload, "{\"ts\":") - 5 * count_text(payload, "\"tbagent_gap\":") -
               count_text(payload, "{\"poison\":");
}

void world_down(World *w, SessionReason reason) {
        usec_t now = loop_monotonic(w->loop);

        for (unsigned i = 0; i < w->n_acks; i++)
                uplink_published(w->uplink, w->acks[i].context, SESSION_LOST);
        w->n_acks = 0;
        w->online = w->deaf = false;
        uplink_offline(w->uplink, reason);
        w->early_closes += w->closes_n == 0 || now - w->last_close < 10 * MINUTE;
        w->closes_n++;
        w->last_close = now;
        loop_timer_arm_in(w->reconnect, w->reconnect_after, 0);
}

static void arm_acks(World *w) {
        if (w->n_acks > 0)
                loop_timer_arm(w->acks_timer, w->acks[0].due, 0);
}

static void on_acks(void *userdata) {
        World *w = userdata;

        while (w->n_acks > 0 && w->acks[0].due <= loop_monotonic(w->loop)) {
                Ack a = w->acks[0];

                if (a.code < 0) {
                        world_down(w, w->reason);
                        return;
                }
                memmove(w->acks, w->acks + 1, --w->n_acks * sizeof(Ack));
                uplink_published(w->uplink, a.context, a.code);
        }
        arm_acks(w);
}

static void add_ack(World *w, uint64_t context, int code) {
        usec_t due = loop_monotonic(w->loop) + w->rtt + (w->jitter > 0 ? world_random(w, (unsigned)w->jitter) : 0);
        unsigned i = w->n_acks;

        assert_true(w->n_acks < ACKS_MAX);
        for (; i > 0 && w->acks[i - 1].due > due; i--)
                w->acks[i] = w->acks[i - 1];
        w->acks[i] = (Ack){ .context = context, .due = due, .code = code };
        w->n_acks++;
        w->most_acks = MAX(w->most_acks, w->n_acks);
        arm_acks(w);
}

static bool passes_limits(World *w, uint32_t points) {
        usec_t now = loop_monotonic(w->loop);

        if (bucket_delay(&w->messages, 1, now) > 0 || bucket_tokens(&w->points, now) < points)
                return false;
        bucket_take(&w->messages, 1, now);
        bucket_take(&w->points, points, now);
        return true;
}

/* 0: stored; > 0: the answer; -1: it closes. */
static int take(World *w, char *text, uint32_t points) {
        if (w->closes || !passes_limits(w, points))
                return -1;
        if (w->code != 0)
                return w->code;
        if (strstr(text, "\"poison\"")) {
                if (w->protocol == 5)
                        each_row(w, text, mix);
                return w->protocol == 5 ? 0x99 : -1;
        }
        each_row(w, text, store_row);
        store_gaps(w, text);
        return 0;
}

static int on_send(void *userdata, const void *payload, size_t size, uint64_t context) {
        World *w = userdata;
        char *text = strndup(payload, size);
        uint32_t points = count_points(text);
        int code;

        assert_true(w->online);
        assert_true(size > 2 && text[0] == '[' && text[size - 1] == ']');
        assert_true(points > 0);
        w->sends++;
        w->bytes += size;
        w->largest = MAX(w->largest, size);
        snprintf(w->last, sizeof(w->last), "%s", text);
        if (!w->deaf) {
                code = take(w, text, points);
                w->deaf = code < 0;
                if (!w->silent)
                        add_ack(w, context, code);
        } else if (!w->silent)
                add_ack(w, context, -1); /* never answered: gone with the others before its turn */
        free(text);
        return 0;
}

static void on_reconnect(void *userdata) {
        world_up(userdata);
}

void world_up(World *w) {
        ClientLimits unknown = { .max_payload = 65536, .max_inflight = 100 };

        w->online = true;
        uplink_online(w->uplink, &unknown);
        if (w->limits.known || w->limits.settled)
                uplink_online(w->uplink, &w->limits);
}

/* ---- the device */

static bool on_may_estimate(void *userdata) {
        return ((World *)userdata)->may_estimate;
}

static void on_ready(void *userdata) {
        World *w = userdata;

        if (w->uplink)
                uplink_notify(w->uplink, false);
}

void world_era(World *w, int64_t offset_ms, ClockQuality quality) {
        w->spool_params.era.offset_ms = offset_ms;
        w->spool_params.era.quality = quality;
        if (w->spool)
                spool_set_era(w->spool, &w->spool_params.era);
        if (w->uplink)
                uplink_notify(w->uplink, false);
}

void world_new_uplink(World *w) {
        w->params.loop = w->loop;
        w->params.spool = w->spool;
        assert_int_equal(uplink_new(&w->uplink, &w->params), 0);
}

static void new_world(World *w, size_t ring_size, bool store, UplinkParams params, int64_t offset_ms, ClockQuality quality) {
        *w = (World){ .limits = { .known = true, .max_payload = 65536, .max_inflight = 100 }, .may_estimate = true, .protocol = 5,
                      .rtt = RTT, .rnd = 2463534242u, .reason = SESSION_CLOSED, .reconnect_after = 300 * MSEC, .measures = true };
        assert_int_equal(loop_new_simulated(&w->loop, START), 0);
        w->folder = store ? tree_new() : NULL;
        w->params = params;
        w->params.batch_interval = params.batch_interval ?: SEC;
        w->params.batch_size = params.batch_size ?: 16 * KIB;
        w->params.window = 8;
        w->params.may_estimate = on_may_estimate;
        w->params.send = on_send;
        w->params.userdata = w;
        w->spool_params = (SpoolParams){
                .loop = w->loop, .state_dir = w->folder, .ring_size = ring_size, .store_max = 256 * MIB,
                .batch_interval = w->params.batch_interval, .store_after = 5 * SEC, .events = { .ready = on_ready, .userdata = w },
                .era = { .boot_id = "0123456789abcde", .offset_ms = offset_ms, .quality = quality },
        };
        assert_int_equal(spool_new(&w->spool, &w->spool_params), 0);
        assert_int_equal(loop_timer_new(&w->acks_timer, w->loop, "acks", on_acks, w), 0);
        assert_int_equal(loop_timer_new(&w->reconnect, w->loop, "up", on_reconnect, w), 0);
        w->rows = calloc(ROWS_MAX, sizeof(*w->rows));
        w->lags = calloc(ROWS_MAX, sizeof(*w->lags));
        assert_true(w->rows && w->lags);
        world_new_uplink(w);
        advance(w, 0);
}

void world_new(World *w, size_t ring_size, bool store, UplinkParams params) {
        new_world(w, ring_size, store, params, OFFSET_MS, CLOCK_TRUSTED);
}

void world_new_untrusted(World *w, int64_t offset_ms) {
        new_world(w, MIB, false, (UplinkParams){ 0 }, offset_ms, CLOCK_ESTIMATED);
}

void world_done(World *w) {
        uplink_free(w->uplink);
        spool_stop(w->spool, SEC);
        spool_free(w->spool);
        loop_timer_free(w->acks_timer);
        loop_timer_free(w->reconnect);
        loop_free(w->loop);
        tree_free(w->folder);
        free(w->rows);
        free(w->lags);
}

/* The store's thread is quick beside the simulated clock, as a disk is. */
static void settle(World *w) {
        Store *store = spool_store(w->spool);

        while (store && !store_is_idle(store))
                assert_true(loop_iterate(w->loop, MSEC) >= 0);
}

void advance(World *w, usec_t by) {
        usec_t end = loop_monotonic(w->loop) + by, now;

        settle(w);
        while ((now = loop_monotonic(w->loop)) < end) {
                assert_true(loop_advance(w->loop, w->folder ? MIN(STEP, end - now) : end - now) >= 0);
                settle(w);
        }
}

void put_text(World *w, const char *text, unsigned points, uint32_t flags) {
        uint64_t seq = 0;

        assert_int_equal(spool_append(w->spool, &(Row){ .boottime_ns = (int64_t)loop_boottime(w->loop) * 1000, .points = points,
                                                        .flags = flags, .device = "", .text = text, .text_size = strlen(text) },
                                      &seq), 0);
        assert_true(w->made < ROWS_MAX);
        w->rows[w->made++] = (WorldRow){ .seq = seq, .made = loop_monotonic(w->loop), .strict = flags & ROW_STRICT,
                                         .poison = strstr(text, "\"poison\"") };
        uplink_notify(w->uplink, flags & ROW_IMMEDIATE);
}

void put_flags(World *w, unsigned points, uint32_t flags) {
        char text[2048];
        size_t n = (size_t)snprintf(text, sizeof(text), "{\"k\":%u", (unsigned)w->made);

        for (unsigned i = 1; i < points; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, ",\"x%u\":1.25", i);
        text[n++] = '}';
        text[n] = 0;
        put_text(w, text, points, flags);
}

void put(World *w, unsigned points, bool immediate) {
        put_flags(w, points, immediate ? ROW_IMMEDIATE : 0);
}

static int compare(const void *a, const void *b) {
        usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

        return (x > y) - (x < y);
}

usec_t world_lag_p99(World *w) {
        assert_true(w->n_lags > 0);
        qsort(w->lags, w->n_lags, sizeof(*w->lags), compare);
        return w->lags[w->n_lags * 99 / 100];
}

void assert_all_arrived(World *w) {
        uint64_t poison = 0;

        for (uint64_t k = 0; k < w->made; k++) {
                if (w->rows[k].stored == w->rows[k].poison)
                        print_error("row %u of %u: %s\n", (unsigned)k, (unsigned)w->made,
                                    w->rows[k].poison ? "stored, though it is poison" : "not stored");
                assert_int_equal(w->rows[k].stored, !w->rows[k].poison);
                poison += w->rows[k].poison;
        }
        assert_int_equal(uplink_stats(w->uplink).rejected_rows, poison);
        assert_int_equal(spool_stats(w->spool).rows, 0);
}

void assert_all_delivered(World *w) {
        assert_all_arrived(w);
        assert_int_equal(w->inversions, 0);
}
