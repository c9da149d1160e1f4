/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value goes through its key's rules straight into the text of the open row; that text is then only copied.
 *
 *   main row   values of this call. The time of a sample() call is its mid-point, known at its end, so rows
 *              that close earlier (64 keys, 8 KiB, row_end) are staged in one buffer until then.
 *   side row   values of an earlier time: a window that has closed, the point before a jump, one that was held
 *              back. Values with the same time share a side row; it is staged before the main row that it
 *              precedes.
 *
 * Only when the call ends do rows get their time and leave. Should a call emit more than the stage holds, its
 * time is fixed there and then, and the rest of it gets the same. Rules that need a time before (intervals,
 * windows) see the beginning of the call, and what they keep is moved to the mid-point afterwards.
 *
 * One key must not stand in two rows of one millisecond: the server keeps one of them only. A row that meets
 * one moves on by 1 ms (see keytable.c), up to 100, and is dropped and counted beyond.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "sensor/sampler.h"

#define STAGE_MAX (128 * KIB)
#define MOVE_MAX 100 /* ms */

typedef struct OpenRow {
        uint64_t number; /* 0: closed */
        bool timed;      /* time_ns holds, not the time of the call */
        int64_t time_ns;
        uint32_t n_keys;
        Key *keys[ROW_KEYS_MAX];
        RowWriter writer;
} OpenRow;

/* In the stage; its keys and its text follow. */
typedef struct Staged {
        int64_t time_ns;
        uint32_t flags;
        uint32_t n_keys;
        uint32_t text_size;
        bool timed;
} Staged;

struct Sampler {
        SamplerParams params;
        SamplerCounters counters;

        KeyTable keys;
        Key **touched; /* keys whose state saw a value in this call */
        size_t n_touched, touched_size;

        bool in_call, time_fixed;
        SamplerCall kind;
        int64_t begin_ns, call_ns, wall_ns;
        bool row_timed; /* the plugin gave a time */
        int64_t row_ns;

        uint64_t last_number;
        OpenRow main, side;
        uint8_t *stage;
        size_t stage_used, stage_size;
};

/* ---- rows */

static void points_dropped(Sampler *s, uint32_t points, int64_t time_ns, const char *why) {
        s->counters.dropped += points;
        if (s->params.events.dropped)
                s->params.events.dropped(s->params.userdata, points, time_ns, why);
}

static void row_leave(Sampler *s, const Staged *g, Key *const *keys, const char *text) {
        Row row = {
                .boottime_ns = g->timed ? g->time_ns : s->call_ns,
                .points = g->n_keys,
                .flags = g->flags | s->params.row_flags,
                .device = "",
                .text = text,
                .text_size = g->text_size,
        };

        if (!keys_place(keys, g->n_keys, MOVE_MAX, &row.boottime_ns)) {
                points_dropped(s, g->n_keys, row.boottime_ns, "more than 100 rows of a key in one millisecond");
                return;
        }
        s->counters.points += row.points;
        s->params.events.row(s->params.userdata, &row);
}

static void call_fix_time(Sampler *s) {
        int64_t now;

        if (s->time_fixed)
                return;
        s->time_fixed = true;
        s->call_ns = s->begin_ns;
        if (s->kind == SAMPLER_SAMPLE) {
                now = s->params.events.now(s->params.userdata);
                s->call_ns += (now - s->begin_ns) / 2;
        }
}

static size_t staged_size(size_t n_keys, size_t text_size) {
        return (sizeof(Staged) + n_keys * sizeof(Key *) + text_size + 7) & ~(size_t)7;
}

static void stage_leave(Sampler *s) {
        size_t at = 0;

        if (s->stage_used == 0)
                return;
        call_fix_time(s);
        while (at < s->stage_used) {
                const Staged *g = (const Staged *)(const void *)(s->stage + at);
                Key *const *keys = (Key *const *)(g + 1);
                const char *text = (const char *)(keys + g->n_keys);

                row_leave(s, g, keys, text);
                at += staged_size(g->n_keys, g->text_size);
        }
        s->stage_used = 0;
}

static int stage_reserve(Sampler *s, size_t size) {
        uint8_t *bigger;
        size_t want;

        if (s->stage_used + size > STAGE_MAX)
                stage_leave(s);
        if (s->stage_used + size <= s->stage_size)
                return 0;
        want = MAX(s->stage_size * 2, MAX(s->stage_used + size, 4 * KIB));
        bigger = realloc(s->stage, want);
        if (!bigger)
                return -ENOMEM;
        s->stage = bigger;
        s->stage_size = want;
        return 0;
}

static void row_stage(Sampler *s, OpenRow *row, uint32_t flags) {
        size_t text_size, keys_size = row->n_keys * sizeof(Key *), size;
        const char *text;
        Staged *g;

        if (row->number == 0)
                return;
        row->number = 0;
        text = row_writer_text(&row->writer, &text_size);
        size = staged_size(row->n_keys, text_size);
        if (stage_reserve(s, size) < 0) {
                points_dropped(s, row->n_keys, row->timed ? row->time_ns : s->begin_ns, "out of memory");
                return;
        }
        g = (Staged *)(void *)(s->stage + s->stage_used);
        *g = (Staged){ .time_ns = row->time_ns, .flags = flags, .n_keys = row->n_keys,
                       .text_size = (uint32_t)text_size, .timed = row->timed };
        memcpy(g + 1, row->keys, keys_size);
        memcpy((uint8_t *)(g + 1) + keys_size, text, text_size);
        s->stage_used += size;
}

/* Earlier values first. */
static void row_close(Sampler *s, OpenRow *row, uint32_t flags) {
        if (row == &s->main)
                row_stage(s, &s->side, 0);
        row_stage(s, row, flags);
}

static void row_open(Sampler *s, OpenRow *row, bool timed, int64_t time_ns) {
        row->number = ++s->last_number;
        row->timed = timed;
        row->time_ns = time_ns;
        row->n_keys = 0;
        row_writer_reset(&row->writer);
}

static int row_add(Sampler *s, OpenRow *row, uint64_t *key_row, Key *k, const Value *v, int decimals) {
        int r;

        if (row->number == 0 || *key_row == row->number || row->n_keys == ROW_KEYS_MAX) {
                bool timed = row == &s->main ? s->row_timed : row->timed;
                int64_t time_ns = row == &s->main ? s->row_ns : row->time_ns;

                if (row->number != 0)
                        row_close(s, row, 0);
                row_open(s, row, timed, time_ns);
        }
        r = row_writer_add(&row->writer, k->name, k->size, v, decimals);
        if (r == -ENOSPC) {
                row_close(s, row, 0);
                row_open(s, row, row->timed, row->time_ns);
                r = row_writer_add(&row->writer, k->name, k->size, v, decimals);
        }
        if (r < 0) {
                if (row->n_keys == 0)
                        row->number = 0;
                return r;
        }
        row->keys[row->n_keys++] = k;
        *key_row = row->number;
        return 0;
}

static int main_add(Sampler *s, Key *k, const Value *v, int decimals) {
        return row_add(s, &s->main, &k->main_row, k, v, decimals);
}

/* Values of an earlier time; the row is kept open for others of that time. */
static int side_add(Sampler *s, Key *k, const Value *v, int decimals, int64_t time_ns) {
        if (s->side.number != 0 && s->side.time_ns != time_ns)
                row_close(s, &s->side, 0);
        if (s->side.number == 0)
                row_open(s, &s->side, true, time_ns);
        return row_add(s, &s->side, &k->side_row, k, v, decimals);
}

/* ---- values */

static int64_t call_time(const Sampler *s) {
        return s->row_timed ? s->row_ns : s->begin_ns;
}

/* Of the open call or of an earlier time? Rules saw the call's beginning, or the time that the plugin gave. */
static int value_add(Sampler *s, Key *k, const Value *v, int decimals, int64_t time_ns) {
        if (s->in_call && time_ns == call_time(s))
                return main_add(s, k, v, decimals);
        return side_add(s, k, v, decimals, time_ns);
}

static void point_add(Sampler *s, Key *k, const ReportPoint *p) {
        const struct {
                Derived which;
                Value value;
        } window[] = {
                { DERIVED_MIN, { .type = VALUE_DOUBLE, .d = p->min } },
                { DERIVED_MAX, { .type = VALUE_DOUBLE, .d = p->max } },
                { DERIVED_MEAN, { .type = VALUE_DOUBLE, .d = p->mean } },
                { DERIVED_COUNT, { .type = VALUE_INT, .i = (int64_t)p->count } },
        };

        if (value_add(s, k, &p->value, k->rules->decimals, p->time_ns) < 0)
                points_dropped(s, 1, p->time_ns, "out of range");
        for (size_t i = 0; i < ELEMENTS(window) && p->count > 0; i++) {
                Key *d = keytable_derived(&s->keys, k, window[i].which);

                if (!d || value_add(s, d, &window[i].value, k->rules->decimals, p->time_ns) < 0)
                        points_dropped(s, 1, p->time_ns, "out of range");
        }
}

static void key_touch(Sampler *s, Key *k) {
        if (k->touched || s->kind != SAMPLER_SAMPLE)
                return;
        if (s->n_touched == s->touched_size) {
                size_t size = s->touched_size ? s->touched_size * 2 : 64;
                Key **bigger = realloc(s->touched, size * sizeof *bigger);

                if (!bigger)
                        return; /* its times stay at the call's beginning */
                s->touched = bigger;
                s->touched_size = size;
        }
        k->touched = true;
        s->touched[s->n_touched++] = k;
}

/* Tells of the first good value only where the key is one that may go bad (an alarm of an earlier process may
 * still stand at the server). */
static void key_health(Sampler *s, Key *k, KeyHealth health, const char *reason) {
        bool first = k->health == KEY_UNKNOWN && health == KEY_GOOD, silent = first && !(k->rules && k->rules->announce);
        Key *ok;

        k->health = health;
        if (silent)
                return;
        ok = keytable_derived(&s->keys, k, DERIVED_OK);
        if (!ok || main_add(s, ok, &(Value){ .type = VALUE_BOOL, .b = health == KEY_GOOD }, -1) < 0)
                points_dropped(s, 1, call_time(s), "out of range");
        if (!first && s->params.events.health)
                s->params.events.health(s->params.userdata, k->name, reason);
}

static int emit_ruled(Sampler *s, Key *k, const Value *v) {
        ReportCall call = { .time_ns = call_time(s), .wall_ns = s->wall_ns, .scheduled = s->kind == SAMPLER_SAMPLE };
        ReportPoint points[2];
        int n = report_put(k->rules, k->state, &call, v, points);

        if (n == -ERANGE) { /* outside `valid`: no mistake of the plugin */
                char reason[80];

                snprintf(reason, sizeof reason, "outside valid (%g, %g)", k->rules->valid[0], k->rules->valid[1]);
                if (k->health != KEY_BAD)
                        key_health(s, k, KEY_BAD, reason);
                return 0;
        }
        if (n < 0)
                return n;
        if (k->health != KEY_GOOD)
                key_health(s, k, KEY_GOOD, NULL);
        key_touch(s, k);
        for (int i = 0; i < n; i++)
                point_add(s, k, &points[i]);
        return 0;
}

static int emit_refused(Sampler *s, const char *key, int error, const char *why) {
        s->counters.refused++;
        if (s->params.events.refused)
                s->params.events.refused(s->params.userdata, key, error, why);
        return error;
}

/* The row's writer checks JSON too, but rules may keep a value for long before it gets there. */
static int value_check(const Value *v, bool ruled, const char **ret_why) {
        if (v->type == VALUE_DOUBLE && !(fabs(v->d) < 0x1p63)) {
                *ret_why = "not finite, or 2^63 and more";
                return -ERANGE;
        }
        if ((v->type == VALUE_STRING || v->type == VALUE_JSON) && v->s.size > VALUE_TEXT_MAX) {
                *ret_why = "over 4 KiB";
                return -E2BIG;
        }
        if (v->type == VALUE_JSON && ruled && json_validate(v->s.text, v->s.size) < 0) {
                *ret_why = "not JSON";
                return -EINVAL;
        }
        return 0;
}

static int key_for(Sampler *s, Key **ret, const char *name) {
        const char *why = "";
        int r;

        if (!s->in_call)
                return emit_refused(s, name, -EINVAL, "emitted outside a call");
        r = keytable_get(&s->keys, ret, name, false, &why);
        return r < 0 ? emit_refused(s, name, r, why) : 0;
}

static int emit_plain(Sampler *s, Key *k, const Value *v) {
        int r = main_add(s, k, v, k->rules ? k->rules->decimals : -1);

        if (r == 0 && k->health != KEY_GOOD)
                key_health(s, k, KEY_GOOD, NULL);
        return r;
}

int sampler_emit(Sampler *s, const char *key, const Value *v) {
        const char *why = "not a value";
        Key *k;
        int r = key_for(s, &k, key);

        if (r < 0)
                return r;
        r = value_check(v, k->state != NULL, &why);
        if (r == 0 && !(k->rules && k->rules->drop))
                r = k->state ? emit_ruled(s, k, v) : emit_plain(s, k, v);
        return r < 0 ? emit_refused(s, key, r, why) : 0;
}

int sampler_bad(Sampler *s, const char *key, const char *reason) {
        Key *k;
        int r = key_for(s, &k, key);

        if (r < 0)
                return r;
        if (k->state)
                report_interrupt(k->state);
        if (k->health != KEY_BAD && !(k->rules && k->rules->drop))
                key_health(s, k, KEY_BAD, reason ? reason : "could not be read");
        return 0;
}

void sampler_row_time(Sampler *s, int64_t boottime_ns) {
        row_close(s, &s->main, 0);
        s->row_timed = true;
        s->row_ns = boottime_ns;
}

void sampler_row_end(Sampler *s, uint32_t flags) {
        row_close(s, &s->main, flags);
}

/* ---- calls */

void sampler_begin(Sampler *s, SamplerCall kind, int64_t wall_ns) {
        assert(!s->in_call);
        s->in_call = true;
        s->time_fixed = false;
        s->row_timed = false;
        s->kind = kind;
        s->wall_ns = wall_ns;
        s->begin_ns = s->params.events.now(s->params.userdata);
}

void sampler_end(Sampler *s) {
        assert(s->in_call);
        row_close(s, &s->main, 0);
        stage_leave(s);
        if (s->n_touched > 0)
                call_fix_time(s);
        for (size_t i = 0; i < s->n_touched; i++) {
                s->touched[i]->touched = false;
                report_retime(s->touched[i]->state, s->begin_ns, s->call_ns);
        }
        s->n_touched = 0;
        s->in_call = false;
}

static void key_tick(Sampler *s, Key *k, const ReportCall *call, bool everything) {
        ReportPoint points[2];
        int n;

        while ((n = report_tick(k->rules, k->state, call, everything, points)) > 0)
                for (int i = 0; i < n; i++)
                        point_add(s, k, &points[i]);
}

static void tick_all(Sampler *s, int64_t wall_ns, bool everything) {
        ReportCall call = { .time_ns = s->params.events.now(s->params.userdata), .wall_ns = wall_ns };

        assert(!s->in_call);
        if (!s->keys.timed)
                return;
        for (size_t i = 0; i < s->keys.n_slots; i++)
                if (s->keys.slots[i] && s->keys.slots[i]->state)
                        key_tick(s, s->keys.slots[i], &call, everything);
        row_close(s, &s->side, 0);
        stage_leave(s);
}

void sampler_tick(Sampler *s, int64_t wall_ns) {
        tick_all(s, wall_ns, false);
}

void sampler_flush(Sampler *s, int64_t wall_ns) {
        tick_all(s, wall_ns, true);
}

int64_t sampler_due(Sampler *s, int64_t wall_ns) {
        int64_t due = INT64_MAX;

        for (size_t i = 0; s->keys.timed && i < s->keys.n_slots; i++) {
                const Key *k = s->keys.slots[i];

                if (k && k->state)
                        due = MIN(due, report_due(k->rules, k->state, wall_ns));
        }
        return due;
}

void sampler_reload(Sampler *s) {
        assert(!s->in_call);
        keytable_reload(&s->keys);
}

const SamplerCounters *sampler_counters(const Sampler *s) {
        return &s->counters;
}

int sampler_new(Sampler **ret, const SamplerParams *params) {
        Sampler *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->params = *params;
        s->keys.rules = params->events.rules;
        s->keys.userdata = params->userdata;
        *ret = s;
        return 0;
}

Sampler *sampler_free(Sampler *s) {
        if (!s)
                return NULL;
        keytable_done(&s->keys);
        free(s->touched);
        free(s->stage);
        free(s);
        return NULL;
}
