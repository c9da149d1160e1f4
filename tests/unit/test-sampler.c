/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "sensor/sampler.h"
#include "sensor/schedule.h"

#define MS NSEC_PER_MSEC
#define WALL (1700000000 * NSEC_PER_SEC)

/* A sampler on a clock of its own. out: rows as "ms{...}", flags as "!" (immediate). */
typedef struct Rig {
        Sampler *sampler;
        ReportRules rules; /* of "ruled" and "ruled_..." */
        ReportRules announced; /* of "channel" */
        int64_t now_ns, wall_ns;
        char out[4096];
        size_t used;
        unsigned n_rows, n_points, n_dropped, n_refused, n_health;
        char health[128];
        int64_t last_ms;
        bool quiet;
} Rig;

static void on_row(void *userdata, const Row *row) {
        Rig *r = userdata;
        uint32_t points;

        assert_int_equal(row_validate(row->text, row->text_size, NULL, NULL, &points), 0);
        assert_int_equal(points, row->points);
        r->n_rows++;
        r->n_points += points;
        r->last_ms = row->boottime_ns / MS;
        if (!r->quiet)
                r->used += (size_t)snprintf(r->out + r->used, sizeof r->out - r->used, "%s%lld%s%.*s", r->used ? " " : "",
                                            (long long)r->last_ms, row->flags & ROW_IMMEDIATE ? "!" : "",
                                            (int)row->text_size, row->text);
}

static void on_dropped(void *userdata, uint32_t points, int64_t time_ns _unused_, const char *why _unused_) {
        ((Rig *)userdata)->n_dropped += points;
}

static void on_health(void *userdata, const char *key, const char *reason) {
        Rig *r = userdata;

        r->n_health++;
        snprintf(r->health, sizeof r->health, "%s: %s", key, reason ? reason : "good");
}

static void on_refused(void *userdata, const char *key _unused_, int error _unused_, const char *why _unused_) {
        ((Rig *)userdata)->n_refused++;
}

static const ReportRules *on_rules(void *userdata, const char *key) {
        Rig *r = userdata;

        if (streq(key, "channel"))
                return &r->announced;
        return strncmp(key, "ruled", 5) == 0 ? &r->rules : NULL;
}

static int64_t on_now(void *userdata) {
        return ((Rig *)userdata)->now_ns;
}

static Rig *rig_new(void) {
        static Rig rig;
        SamplerParams params = { .events = { .row = on_row, .dropped = on_dropped, .health = on_health, .refused = on_refused,
                                             .rules = on_rules, .now = on_now }, .userdata = &rig };

        memset(&rig, 0, sizeof rig);
        report_rules_init(&rig.rules);
        rig.rules.plain = false;
        report_rules_init(&rig.announced);
        rig.announced.announce = true;
        rig.now_ns = 1000 * MS;
        rig.wall_ns = WALL;
        assert_int_equal(sampler_new(&rig.sampler, &params), 0);
        return &rig;
}

static void rig_done(Rig *r) {
        sampler_free(r->sampler);
}

static void begin(Rig *r, SamplerCall kind) {
        sampler_begin(r->sampler, kind, r->wall_ns);
}

static int emit_double(Rig *r, const char *key, double d) {
        return sampler_emit(r->sampler, key, &(Value){ .type = VALUE_DOUBLE, .d = d });
}

static int emit_int(Rig *r, const char *key, int64_t i) {
        return sampler_emit(r->sampler, key, &(Value){ .type = VALUE_INT, .i = i });
}

static int emit_text(Rig *r, ValueType type, const char *key, const char *text) {
        return sampler_emit(r->sampler, key, &(Value){ .type = type, .s = { text, strlen(text) } });
}

static void expect(Rig *r, const char *out) {
        assert_string_equal(r->out, out);
        r->out[0] = '\0';
        r->used = 0;
}

static void values_of_a_call_share_its_mid_point(void **state _unused_) {
        Rig *r = rig_new();

        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_double(r, "a", 1.5), 0);
        r->now_ns += 300 * MS;
        assert_int_equal(emit_int(r, "b", 2), 0);
        sampler_row_end(r->sampler, ROW_IMMEDIATE);
        assert_int_equal(emit_text(r, VALUE_STRING, "c", "x\"y"), 0);
        assert_int_equal(emit_text(r, VALUE_JSON, "d", "{\"e\":[1]}"), 0);
        r->now_ns += 100 * MS;
        expect(r, "");
        sampler_end(r->sampler);
        expect(r, "1200!{\"a\":1.5,\"b\":2} 1200{\"c\":\"x\\\"y\",\"d\":{\"e\":[1]}}");
        begin(r, SAMPLER_EVENT);
        assert_int_equal(emit_int(r, "a", 1), 0);
        r->now_ns += 100 * MS;
        sampler_end(r->sampler);
        expect(r, "1400{\"a\":1}"); /* the wake-up */
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "a", 2), 0);
        sampler_row_time(r->sampler, 77 * MS); /* the kernel's own */
        assert_int_equal(emit_int(r, "a", 3), 0);
        sampler_row_time(r->sampler, 78 * MS);
        sampler_end(r->sampler);
        expect(r, "1500{\"a\":2} 77{\"a\":3}");
        rig_done(r);
}

static void what_is_not_allowed_is_refused(void **state _unused_) {
        static char large[VALUE_TEXT_MAX + 2];
        Rig *r = rig_new();

        assert_int_equal(emit_int(r, "a", 1), -EINVAL); /* between calls */
        memset(large, 'x', VALUE_TEXT_MAX + 1);
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "", 1), -EINVAL);
        assert_int_equal(emit_int(r, "ts", 1), -EINVAL);
        assert_int_equal(emit_double(r, "a", NAN), -ERANGE);
        assert_int_equal(emit_double(r, "a", INFINITY), -ERANGE);
        assert_int_equal(emit_double(r, "a", -0x1p63), -ERANGE);
        assert_int_equal(emit_text(r, VALUE_STRING, "a", large), -E2BIG);
        assert_int_equal(emit_text(r, VALUE_JSON, "a", "{"), -EINVAL);
        assert_int_equal(emit_text(r, VALUE_JSON, "ruled", "{"), -EINVAL);
        sampler_end(r->sampler);
        expect(r, "");
        assert_int_equal(r->n_refused, 9);
        assert_int_equal(sampler_counters(r->sampler)->refused, 9);
        begin(r, SAMPLER_SAMPLE);
        r->rules.scale = 1e300; /* only the rules make it too large: dropped and counted, no fault of the caller */
        assert_int_equal(emit_double(r, "ruled", 1e10), 0);
        sampler_end(r->sampler);
        assert_int_equal(r->n_dropped, 1);
        rig_done(r);
}

static void rows_close_at_their_limits(void **state _unused_) {
        static char text[2048];
        Rig *r = rig_new();
        char key[16];

        r->quiet = true;
        begin(r, SAMPLER_SAMPLE);
        for (int i = 0; i < 130; i++) {
                snprintf(key, sizeof key, "k%d", i);
                assert_int_equal(emit_int(r, key, i), 0);
        }
        sampler_end(r->sampler);
        assert_int_equal(r->n_rows, 3);
        memset(text, 'x', sizeof text - 1);
        begin(r, SAMPLER_SAMPLE);
        for (int i = 0; i < 8; i++) {
                snprintf(key, sizeof key, "t%d", i);
                assert_int_equal(emit_text(r, VALUE_STRING, key, text), 0);
        }
        sampler_end(r->sampler);
        assert_int_equal(r->n_rows, 3 + 3);
        assert_int_equal(r->n_points, 138);
        rig_done(r);
}

static void no_two_rows_of_a_key_in_one_millisecond(void **state _unused_) {
        Rig *r = rig_new();

        begin(r, SAMPLER_EVENT);
        assert_int_equal(emit_int(r, "a", 1), 0);
        assert_int_equal(emit_int(r, "a", 2), 0); /* a key cannot stand twice in a row */
        assert_int_equal(emit_int(r, "b", 1), 0);
        sampler_row_end(r->sampler, 0);
        assert_int_equal(emit_int(r, "c", 1), 0);
        sampler_end(r->sampler);
        expect(r, "1000{\"a\":1} 1001{\"a\":2,\"b\":1} 1000{\"c\":1}");
        begin(r, SAMPLER_EVENT);
        assert_int_equal(emit_int(r, "b", 2), 0);
        sampler_end(r->sampler);
        expect(r, "1000{\"b\":2}");
        begin(r, SAMPLER_EVENT); /* an older time is fine where it is free */
        sampler_row_time(r->sampler, 995 * MS);
        assert_int_equal(emit_int(r, "a", 0), 0);
        sampler_row_time(r->sampler, 995 * MS + 999999);
        assert_int_equal(emit_int(r, "a", 0), 0);
        sampler_end(r->sampler);
        expect(r, "995{\"a\":0} 996{\"a\":0}");
        r->quiet = true;
        r->n_rows = 0;
        begin(r, SAMPLER_EVENT);
        for (int i = 0; i < 200; i++)
                assert_int_equal(emit_int(r, "many", i), 0);
        sampler_end(r->sampler);
        assert_int_equal(r->n_rows, 101); /* its own and 100 ahead */
        assert_int_equal(r->last_ms, 1100);
        assert_int_equal(r->n_dropped, 99);
        assert_int_equal(sampler_counters(r->sampler)->dropped, 99);
        rig_done(r);
}

static void bad_keys_are_told_once(void **state _unused_) {
        Rig *r = rig_new();

        r->rules.has_valid = true;
        r->rules.valid[0] = 0;
        r->rules.valid[1] = 10;
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "plain", 1), 0);
        assert_int_equal(emit_int(r, "ruled", 11), 0);
        assert_int_equal(sampler_bad(r->sampler, "other", "crc"), 0);
        sampler_end(r->sampler);
        expect(r, "1000{\"plain\":1,\"ruled_ok\":false,\"other_ok\":false}");
        assert_string_equal(r->health, "other: crc");
        r->now_ns += 1000 * MS;
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "ruled", 12), 0);
        assert_int_equal(sampler_bad(r->sampler, "other", "crc"), 0);
        sampler_end(r->sampler);
        expect(r, "");
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "ruled", 5), 0);
        assert_int_equal(emit_int(r, "other", 5), 0);
        sampler_end(r->sampler);
        expect(r, "2000{\"ruled_ok\":true,\"ruled\":5,\"other\":5,\"other_ok\":true}");
        assert_int_equal(r->n_health, 4);
        r->now_ns += 1000 * MS;
        begin(r, SAMPLER_SAMPLE); /* a configured channel clears what an earlier process may have left */
        assert_int_equal(emit_int(r, "channel", 1), 0);
        assert_int_equal(emit_int(r, "ruled", 6), 0);
        sampler_end(r->sampler);
        expect(r, "3000{\"channel\":1,\"channel_ok\":true,\"ruled\":6}");
        assert_int_equal(r->n_health, 4);
        rig_done(r);
}

static void held_values_go_with_their_own_time(void **state _unused_) {
        Rig *r = rig_new();

        r->rules.deadband = 1;
        r->rules.decimals = 1;
        for (int i = 0; i < 4; i++) {
                begin(r, SAMPLER_SAMPLE);
                assert_int_equal(emit_double(r, "ruled_a", i < 3 ? 5 + i * 0.1 : 9), 0);
                assert_int_equal(emit_double(r, "ruled_b", i < 3 ? 5 + i * 0.1 : 9), 0);
                r->now_ns += 20 * MS; /* mid-points at 10 */
                sampler_end(r->sampler);
                r->now_ns += 980 * MS;
        }
        expect(r, "1010{\"ruled_a\":5.0,\"ruled_b\":5.0} 3010{\"ruled_a\":5.2,\"ruled_b\":5.2} 4010{\"ruled_a\":9.0,\"ruled_b\":9.0}");
        rig_done(r);
}

static void windows_end_by_tick_too(void **state _unused_) {
        Rig *r = rig_new();

        r->rules.aggregate_ns = 10 * NSEC_PER_SEC;
        assert_int_equal(sampler_due(r->sampler, r->wall_ns), INT64_MAX);
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "ruled", 4), 0);
        r->now_ns += 2 * MS;
        sampler_end(r->sampler);
        r->now_ns = 2000 * MS;
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "ruled", 2), 0);
        sampler_end(r->sampler);
        assert_int_equal(sampler_due(r->sampler, r->wall_ns), 10000 * MS);
        r->now_ns = 10000 * MS;
        sampler_tick(r->sampler, r->wall_ns);
        expect(r, "2000{\"ruled\":2,\"ruled_min\":2.0,\"ruled_max\":4.0,\"ruled_mean\":3.0,\"ruled_count\":2}");
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "ruled", 7), 0);
        sampler_end(r->sampler);
        sampler_flush(r->sampler, r->wall_ns);
        expect(r, "10000{\"ruled\":7,\"ruled_min\":7.0,\"ruled_max\":7.0,\"ruled_mean\":7.0,\"ruled_count\":1}");
        r->rules.aggregate_ns = 0;
        sampler_reload(r->sampler);
        r->now_ns += 1000 * MS;
        begin(r, SAMPLER_SAMPLE);
        assert_int_equal(emit_int(r, "ruled", 8), 0);
        sampler_end(r->sampler);
        expect(r, "11000{\"ruled\":8}");
        rig_done(r);
}

static void keys_and_stage_are_bounded(void **state _unused_) {
        Rig *r = rig_new();
        unsigned refused = 0;
        char key[32];

        r->quiet = true;
        begin(r, SAMPLER_SAMPLE);
        for (int i = 0; i < KEYTABLE_MAX + 1000; i++) {
                snprintf(key, sizeof key, "made_up_%d", i);
                refused += emit_int(r, key, i) < 0;
        }
        assert_true(r->n_rows > 0); /* the stage is full before the call ends */
        sampler_end(r->sampler);
        assert_int_equal(refused, 1000);
        assert_int_equal(r->n_points, KEYTABLE_MAX);
        rig_done(r);
}

/* One simulated hour of one key a second: schedule, rules, rows. */
static void an_hour_gives_3600_aligned_rows(void **state _unused_) {
        Rig *r = rig_new();
        Schedule s = { 0 };
        usec_t monotonic = 1000 * USEC_PER_SEC + 123456, start = monotonic;
        int64_t last_wall_ms = 0;
        unsigned aligned = 0;

        r->quiet = true;
        r->rules.decimals = 2;
        r->rules.scale = 0.1;
        schedule_start(&s, USEC_PER_SEC, monotonic);
        while (s.due < start + 3600 * USEC_PER_SEC) {
                int64_t wall_ms;

                monotonic = s.due;
                r->now_ns = (int64_t)monotonic * NSEC_PER_USEC;
                begin(r, SAMPLER_SAMPLE);
                assert_int_equal(emit_int(r, "ruled", 215), 0);
                sampler_end(r->sampler);
                schedule_taken(&s, monotonic, monotonic + WALL / NSEC_PER_USEC);
                wall_ms = r->last_ms + WALL / MS;
                aligned += wall_ms % 1000 == 0;
                assert_true(wall_ms > last_wall_ms);
                last_wall_ms = wall_ms;
        }
        assert_int_equal(aligned, 3600);
        assert_int_equal(r->n_rows, 3601); /* and one at start */
        assert_int_equal(s.overruns + r->n_dropped, 0);
        rig_done(r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_of_a_call_share_its_mid_point),
                cmocka_unit_test(what_is_not_allowed_is_refused),
                cmocka_unit_test(rows_close_at_their_limits),
                cmocka_unit_test(no_two_rows_of_a_key_in_one_millisecond),
                cmocka_unit_test(bad_keys_are_told_once),
                cmocka_unit_test(held_values_go_with_their_own_time),
                cmocka_unit_test(windows_end_by_tick_too),
                cmocka_unit_test(keys_and_stage_are_bounded),
                cmocka_unit_test(an_hour_gives_3600_aligned_rows),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
