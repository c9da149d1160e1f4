/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      tbagent-limits 1
 *      server mqtt://tb.example.com:1883
 *      told 100:1,3000:60 1000:1                      "-": no such limit
 *      messages LIMIT CEILING CEILING_UNTIL GROWTH TARGET UPDATED
 *      points LIMIT CEILING CEILING_UNTIL GROWTH TARGET UPDATED
 *      trials N PROVEN SUSPECTED
 *
 * Tokens are not kept: after a start there are none of what was learned, and of the server's own buckets the
 * shortest is taken as empty, because the daemon may have filled it just before it ended.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tb/limits-text.h"

#define TITLE "tbagent-limits 1"
#define RATE_MAX 1e12
#define GROWTH_MAX 2
#define TRIALS_MAX 100
#define AHEAD_MAX (24 * 3600 * USEC_PER_SEC)

static const char *or_dash(const char *text) {
        return *text ? text : "-";
}

static size_t write_learned(char *out, size_t room, const char *name, const Learned *d) {
        return (size_t)snprintf(out, room, "%s %.17g %.17g %" PRIu64 " %.17g %.17g %" PRIu64 "\n", name, d->limit, d->ceiling,
                                d->ceiling_until, d->growth, d->target, d->updated);
}

size_t limits_write(const Limits *l, const char *server, char out[static LIMITS_TEXT_MAX]) {
        size_t n;

        n = (size_t)snprintf(out, LIMITS_TEXT_MAX, TITLE "\nserver %s\ntold %s %s\n", or_dash(server), or_dash(l->told_messages),
                             or_dash(l->told_points));
        if (n < LIMITS_TEXT_MAX)
                n += write_learned(out + n, LIMITS_TEXT_MAX - n, "messages", &l->learned.messages);
        if (n < LIMITS_TEXT_MAX)
                n += write_learned(out + n, LIMITS_TEXT_MAX - n, "points", &l->learned.points);
        if (n < LIMITS_TEXT_MAX)
                n += (size_t)snprintf(out + n, LIMITS_TEXT_MAX - n, "trials %u %.17g %" PRIu64 "\n", l->learned.point_trials,
                                      l->learned.points_proven, l->learned.suspected);
        return n < LIMITS_TEXT_MAX ? n : 0;
}

/* The rest of a line that begins with `name`, as a copy; *text goes on behind it. */
static int take_line(const char **text, const char *name, char *out, size_t room) {
        size_t n = strlen(name), size = strcspn(*text, "\n");

        if (size < n || memcmp(*text, name, n) != 0 || (*text)[size] != '\n' || size - n >= room)
                return -EBADMSG;
        memcpy(out, *text + n, size - n);
        out[size - n] = 0;
        *text += size + 1;
        return 0;
}

/* Positive, infinite too: not a NaN. */
static bool is_rate(double v) {
        return v > 0 && (v <= RATE_MAX || isinf(v));
}

static bool is_time(uint64_t t, usec_t now) {
        return t <= now + AHEAD_MAX;
}

static int read_learned(const char **text, const char *name, usec_t now, Learned *ret) {
        Learned d = { 0 };
        char line[256];
        int end = 0;

        if (take_line(text, name, line, sizeof(line)) < 0 ||
            sscanf(line, " %lf %lf %" SCNu64 " %lf %lf %" SCNu64 "%n", &d.limit, &d.ceiling, &d.ceiling_until, &d.growth,
                   &d.target, &d.updated, &end) != 6 || line[end] != 0)
                return -EBADMSG;
        if (!is_rate(d.limit) || !is_rate(d.ceiling) || !is_rate(d.target) || !(d.growth >= 1 && d.growth <= GROWTH_MAX) ||
            !is_time(d.ceiling_until, now) || d.updated > now)
                return -EBADMSG;
        *ret = d;
        return 0;
}

static int read_trials(const char **text, usec_t now, LimitsLearned *ret) {
        unsigned trials = 0;
        uint64_t suspected = 0;
        double proven = 0;
        char line[256];
        int end = 0;

        if (take_line(text, "trials", line, sizeof(line)) < 0 ||
            sscanf(line, " %3u %lf %" SCNu64 "%n", &trials, &proven, &suspected, &end) != 3 || line[end] != 0 ||
            trials > TRIALS_MAX || !(proven >= 0 && proven <= RATE_MAX) || suspected > now)
                return -EBADMSG;
        ret->point_trials = trials;
        ret->points_proven = proven;
        ret->suspected = suspected;
        return 0;
}

static const char *not_dash(const char *text) {
        return text && streq(text, "-") ? NULL : text;
}

static int read_told(Limits *l, const char **text, usec_t now) {
        char line[2 * LIMITS_TOLD_MAX + 4], *messages, *points, *rest;

        if (take_line(text, "told ", line, sizeof(line)) < 0)
                return -EBADMSG;
        messages = strtok_r(line, " ", &rest);
        points = strtok_r(NULL, " ", &rest);
        if (!messages || !points || limits_told(l, not_dash(messages), not_dash(points), now) < 0)
                return -EBADMSG;
        if (l->messages.n > 0)
                bucket_take(&l->messages, bucket_capacity(&l->messages), now);
        if (l->points.n > 0)
                bucket_take(&l->points, bucket_capacity(&l->points), now);
        return 0;
}

int limits_read(Limits *l, const char *text, const char *server, usec_t now) {
        char line[LIMITS_TEXT_MAX];
        Limits read = *l;

        if (take_line(&text, TITLE, line, sizeof(line)) < 0 || take_line(&text, "server ", line, sizeof(line)) < 0)
                return -EBADMSG;
        if (!streq(line, or_dash(server)))
                return -ENOENT;
        if (read_told(&read, &text, now) < 0 || read_learned(&text, "messages", now, &read.learned.messages) < 0 ||
            read_learned(&text, "points", now, &read.learned.points) < 0 || read_trials(&text, now, &read.learned) < 0)
                return -EBADMSG;
        read.before = read.learned;
        *l = read;
        return 0;
}
