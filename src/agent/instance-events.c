/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process of an instance tells.
 *
 * Health is told upstream once per change: `<instance>_ok` = false when the instance falls ill in whatever
 * way, true with the first rows of a running one. Nothing else is ever made up for an ill instance. Where the
 * time of its rows is an estimate that is told once, as `<instance>_time`.
 *
 * Everything a host says is a host's word: its log lines are rate limited, its rows go through
 * agent/intake, and a key that the file gives to two instances stops the one that comes second.
 */
#include <inttypes.h>
#include <stdio.h>

#include "agent/instance-inside.h"
#include "agent/intake.h"
#include "base/log.h"

#define LOG_INTERVAL (10 * USEC_PER_SEC)
#define LOG_BURST 10
#define PROBLEM_BURST 50 /* all mistakes of one instance */

/* ---- log: whatever a host can cause is rate limited by what it is */

static bool allowed(const Instance *i, const char *what, usec_t interval, unsigned burst) {
        char key[160];
        unsigned left_out = 0;

        snprintf(key, sizeof(key), "%s %s", i->name, what);
        if (!log_allow(key, interval, burst, &left_out))
                return false;
        if (left_out > 0)
                log_instance(LOG_INFO, i->name, "(%u similar lines left out)", left_out);
        return true;
}

/* ---- health */

static int64_t now_ns(const Instance *i) {
        return (int64_t)loop_boottime(i->params.loop) * NSEC_PER_USEC;
}

static bool tell_upstream(Instance *i, int64_t boottime_ns, const char *suffix, const Value *value, uint32_t flags) {
        char key[160];

        if (i->mute)
                return false;
        snprintf(key, sizeof(key), "%s%s", i->name, suffix);
        if (intake_own(i->params.spool, boottime_ns, key, value, flags | (i->strict ? ROW_STRICT : 0)) < 0)
                return false;
        i->params.appended(i->params.userdata, flags & ROW_IMMEDIATE);
        return true;
}

static bool tell_time(Instance *i, int64_t boottime_ns, const char *text, uint32_t flags) {
        return tell_upstream(i, boottime_ns, "_time", &(Value){ .type = VALUE_STRING, .s = { text, strlen(text) } }, flags);
}

/* A row of this time has been appended. */
static void check_time(Instance *i, int64_t boottime_ns) {
        if (i->time_estimated || !i->params.time_trusted || i->params.time_trusted(i->params.userdata))
                return;
        i->time_estimated = tell_time(i, boottime_ns, "estimated", ROW_ESTIMATED);
}

void instance_time_trusted(Instance *i) {
        if (i->time_estimated && tell_time(i, now_ns(i), "trusted", 0))
                i->time_estimated = false;
}

static void tell_health(Instance *i, bool ok) {
        int64_t now = now_ns(i);

        if (i->ok == (ok ? OK_TRUE : OK_FALSE))
                return;
        i->ok = ok ? OK_TRUE : OK_FALSE;
        if (tell_upstream(i, now, "_ok", &(Value){ .type = VALUE_BOOL, .b = ok }, ROW_IMMEDIATE))
                check_time(i, now);
}

static int state_log_level(const Instance *i, HostState state) {
        switch (state) {
        case HOST_WAITING:
                return i->optional ? LOG_DEBUG : LOG_WARNING;
        case HOST_ILL:
        case HOST_BACKOFF:
                return LOG_WARNING;
        case HOST_MISCONFIGURED:
        case HOST_STUCK:
                return LOG_ERR;
        case HOST_OPENING:
                return LOG_DEBUG;
        case HOST_RUNNING:
        case HOST_STOPPED:
        case _HOST_STATE_MAX:
                break;
        }
        return LOG_INFO;
}

static void log_state(const Instance *i, HostState state, const char *reason) {
        int level = state_log_level(i, state);

        if (level <= log_level() && allowed(i, "state", LOG_INTERVAL, LOG_BURST))
                log_instance(level, i->name, "%s%s%s", host_state_name(state), reason[0] ? ": " : "", reason);
}

/* What it has kept is taken by its next process, or its outputs are set by another. */
static void tell_exits(const Instance *i, HostState state) {
        Exits *exits = i->params.exits;

        if (!exits)
                return;
        switch (state) {
        case HOST_OPENING:
                break;
        case HOST_WAITING:
                exits_away(exits, i->name);
                break;
        case HOST_RUNNING:
        case HOST_ILL:
                exits_back(exits, i->name, state == HOST_RUNNING);
                break;
        case HOST_MISCONFIGURED:
        case HOST_BACKOFF:
        case HOST_STUCK:
        case HOST_STOPPED:
                exits_ended(exits, i->name, i->final);
                break;
        case _HOST_STATE_MAX:
                break;
        }
}

void instance_on_state(void *userdata, Child *c, HostState state, const char *reason) {
        Instance *i = userdata;
        bool absent = state == HOST_WAITING && i->optional;

        if (c)
                tell_exits(i, state);
        if (c && i->misconfigured && (state == HOST_STOPPED || state == HOST_MISCONFIGURED))
                state = HOST_MISCONFIGURED; /* the mistake itself was logged */
        else
                log_state(i, state, reason);
        if (!absent && (state == HOST_WAITING || state == HOST_ILL || state == HOST_BACKOFF || state == HOST_STUCK ||
                        state == HOST_MISCONFIGURED))
                tell_health(i, false);
        if (state == HOST_RUNNING) /* after a first good sample */
                tell_health(i, true);
        i->params.changed(i->params.userdata, i);
}

/* ---- rows */

static void tell_foreign(Instance *i, const IntakeResult *got) {
        const char *owner = i->params.owner_name ? i->params.owner_name(i->params.userdata, got->foreign_owner) : NULL;

        if (!allowed(i, "foreign", 3600 * USEC_PER_SEC, 1))
                return;
        if (got->foreign_owner == i->params.owner)
                log_instance(LOG_WARNING, i->name,
                             "key \"%s\" is one too many: no more than %u are told apart; new ones are dropped",
                             got->foreign_key, (unsigned)KEYS_MAX);
        else if (got->foreign_owner == KEYS_AGENT)
                log_instance(LOG_WARNING, i->name,
                             "key \"%s\" is what the daemon tells of an instance: its values from here are dropped; rename it by "
                             "key or keys", got->foreign_key);
        else
                log_instance(LOG_WARNING, i->name,
                             "key \"%s\" belongs to %s%s: its values from here are dropped; rename it by key or keys",
                             got->foreign_key, owner ? "instance " : "another instance", owner ? owner : "");
}

static void on_rows(void *userdata, Child *c _unused_, const uint8_t *data, size_t size) {
        Instance *i = userdata;
        IntakeResult got;

        got = intake_rows(i->params.spool, i->params.keys, i->params.owner, i->name, now_ns(i), data, size);
        i->stats.rows += got.rows;
        i->stats.points += got.points;
        i->stats.refused_rows += got.refused_rows;
        i->stats.foreign_points += got.foreign_points;
        if (got.foreign_points > 0)
                tell_foreign(i, &got);
        if ((got.refused_rows > 0 || got.error < 0) && allowed(i, "rows", 60 * USEC_PER_SEC, 1))
                log_instance(LOG_WARNING, i->name,
                             "sent rows that are not valid; they are dropped and counted (%" PRIu64 " so far)",
                             i->stats.refused_rows);
        if (got.rows == 0)
                return;
        check_time(i, got.first_ns);
        i->params.appended(i->params.userdata, got.immediate);
}

/* ---- frames */

void instance_mark_misconfigured(Instance *i, const char *reason) {
        if (i->misconfigured)
                return;
        free(i->reason);
        i->reason = strdup(reason);
        i->misconfigured = true;
}

static void on_declare(Instance *i, const Frame *f) {
        KeysConflict with;
        char why[512], text[1024];

        if (i->misconfigured)
                return;
        if (keys_declare(i->params.keys, f->f[0].data, i->params.owner, f->f[1].data, (unsigned)f->f[2].u, &with) != 1 ||
            with.owner == i->params.owner) /* within one instance the host itself looks */
                return;
        snprintf(text, sizeof(text), "%s:%u: %s", f->f[1].data, (unsigned)f->f[2].u,
                 keys_conflict_text(&with, why, sizeof(why)));
        log_instance(LOG_ERR, i->name, "%s", text);
        instance_mark_misconfigured(i, text);
        child_stop(i->child, USEC_PER_SEC, false);
}

static void on_log(const Instance *i, const Frame *f) {
        int level = f->f[0].u <= LOG_DEBUG && f->f[0].u >= LOG_ERR ? (int)f->f[0].u : LOG_INFO;

        if (level <= log_level() && allowed(i, "log", LOG_INTERVAL, LOG_BURST))
                log_instance(level, i->name, "%s", f->f[1].data);
}

static void on_counters(Instance *i, const Frame *f) {
        i->stats.samples = f->f[0].u;
        i->stats.overruns = f->f[2].u;
        i->stats.failed_reads = f->f[3].u;
        i->stats.dropped_points = f->f[4].u;
        i->stats.refused_values = f->f[5].u;
}

static void on_problem(Instance *i, const Frame *f) {
        char text[1024];

        if (f->f[1].size)
                snprintf(text, sizeof(text), "%s:%u: %s", f->f[1].data, (unsigned)f->f[2].u, f->f[3].data);
        else
                snprintf(text, sizeof(text), "%s", f->f[3].data);
        if (allowed(i, "problem", LOG_INTERVAL, PROBLEM_BURST))
                log_instance(f->f[0].u ? LOG_ERR : LOG_WARNING, i->name, "%s", text);
        if (f->f[0].u)
                instance_mark_misconfigured(i, text);
}

/* Takes fd. */
static void on_keep(Instance *i, const char *name, int fd) {
        int r;

        if (!i->params.exits) {
                closep(&fd);
                return;
        }
        r = exits_keep(i->params.exits, i->name, name, fd);
        if (r < 0 && allowed(i, "keep", 3600 * USEC_PER_SEC, 1))
                log_instance(LOG_WARNING, i->name, "\"%.128s\" cannot be kept, so that a crash moves it: %s", name,
                             r == -ENOSPC ? "64 descriptors are, of all instances together: keep fewer lines" : strerror(-r));
}

static void on_frame(void *userdata, Child *c, const Frame *f, int passed_fd) {
        _cleanup_(closep) int fd = passed_fd;
        Instance *i = userdata;
        int r = 0;

        switch (f->type) {
        case FRAME_DECLARE:
                on_declare(i, f);
                break;
        case FRAME_LOG:
                on_log(i, f);
                break;
        case FRAME_PROBLEM:
                on_problem(i, f);
                break;
        case FRAME_COUNTERS:
                on_counters(i, f);
                break;
        case FRAME_GAP:
                spool_record_gap(i->params.spool, i->name, f->f[3].data, f->f[0].u, (int64_t)f->f[1].u, (int64_t)f->f[2].u);
                i->params.appended(i->params.userdata, false);
                break;
        case FRAME_PUT:
                r = plugin_state_put(i->kept, f->f[0].data, f->f[0].size);
                if (r == 0)
                        r = child_set_state_blob(c, f->f[0].data, f->f[0].size);
                break;
        case FRAME_FD_KEEP:
                on_keep(i, f->f[0].data, TAKE_FD(fd));
                break;
        case FRAME_FD_TAKE:
                if (i->params.exits)
                        exits_take(i->params.exits, i->name, f->f[0].data);
                else
                        instance_give(i, f->f[0].data, -ENOENT);
                break;
        case FRAME_FD_FORGET:
                if (i->params.exits)
                        exits_forget(i->params.exits, i->name, f->f[0].data);
                break;
        case FRAME_CHECKED:
                instance_connection(i, i->params.online && i->params.online(i->params.userdata));
                i->params.frame(i->params.userdata, i, f);
                break;
        case FRAME_HELLO:
        case FRAME_METHOD:
        case FRAME_REPLY:
        case FRAME_ERROR:
        case FRAME_EFFECT:
        case FRAME_SUBSCRIBE:
        case FRAME_ATTRIBUTES:
        case FRAME_ATTRIBUTES_REQUEST:
        case FRAME_CALL:
                i->params.frame(i->params.userdata, i, f);
                break;
        default:
                break;
        }
        if (r < 0)
                log_debug("%s: %s: %s", i->name, frame_name(f->type), strerror(-r));
}

const ChildEvents instance_events = { instance_on_state, on_rows, on_frame };
