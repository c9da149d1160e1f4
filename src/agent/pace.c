/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a backlog drains at the full pace, new rows must find tokens at their next tick. What they will want is
 * what came in the last interval, and a little more; the backlog takes what is left of what flows in until then.
 * Where new rows want more than there is, tb/share gives the backlog its fifth all the same.
 */
#include <math.h>

#include "agent/pace.h"
#include "base/file.h"
#include "base/log.h"
#include "tb/limits-text.h"

#define SAVE_INTERVAL (60 * USEC_PER_SEC)
#define NEED_MARGIN 1.1
#define LEAST_SHARE 0.05 /* of a second: a message of less is not worth its token */

static usec_t now_of(const Pace *p) {
        return loop_monotonic(p->loop);
}

/* ---- the file */

static void save(Pace *p) {
        char text[LIMITS_TEXT_MAX];
        size_t size = limits_write(&p->limits, p->server, text);
        int r;

        p->changed = false;
        p->saved = now_of(p);
        r = size > 0 ? file_replace(p->file, text, size, 0600) : -E2BIG;
        if (r < 0 && log_allow("uplink-limits", 3600 * USEC_PER_SEC, 1, NULL))
                log_warning("%s cannot be written (%s): after a restart the server's limits are learned anew", p->file,
                            strerror(-r));
}

static void on_timer(void *userdata) {
        Pace *p = userdata;

        if (p->changed)
                save(p);
}

static void note_change(Pace *p) {
        if (!p->file || p->changed)
                return;
        p->changed = true;
        loop_timer_arm(p->timer, MAX(p->saved > 0 ? p->saved + SAVE_INTERVAL : 0, now_of(p)), USEC_PER_SEC);
}

static void load(Pace *p) {
        _cleanup_(freep) char *text = NULL;

        if (file_read(p->file, LIMITS_TEXT_MAX, &text, NULL) == 0 &&
            limits_read(&p->limits, text, p->server, now_of(p)) == -EBADMSG)
                log_warning("%s is not what was written there: the server's limits are learned anew", p->file);
}

int pace_init(Pace *p, const PaceParams *params) {
        int r;

        *p = (Pace){ .loop = params->loop, .interval = params->interval };
        limits_init(&p->limits, params->backlog_rate, now_of(p));
        r = loop_timer_new(&p->timer, p->loop, "uplink-limits", on_timer, p);
        if (r < 0 || !params->file)
                return r;
        p->file = strdup(params->file);
        p->server = strdup(params->server ?: "");
        if (!p->file || !p->server)
                return -ENOMEM;
        load(p);
        return 0;
}

void pace_done(Pace *p) {
        if (p->changed)
                save(p);
        loop_timer_free(p->timer);
        free(p->file);
        free(p->server);
        *p = (Pace){ 0 };
}

int pace_told(Pace *p, const char *telemetry_messages, const char *telemetry_points) {
        int r = limits_told(&p->limits, telemetry_messages, telemetry_points, now_of(p));

        if (r == 0)
                note_change(p);
        return r;
}

void pace_failed(Pace *p, bool certain) {
        limits_failed(&p->limits, certain, now_of(p));
        note_change(p);
}

void pace_acquit(Pace *p) {
        limits_acquit(&p->limits, now_of(p));
        note_change(p);
}

/* ---- new rows and the backlog */

void pace_tick(Pace *p, uint64_t made_points) {
        usec_t now = now_of(p);
        double intervals = fmax(1, (double)(now - p->ticked) / (double)p->interval);

        if (p->ticked > 0) /* else what is made by now came before our time */
                p->points = (double)(made_points - p->made) / intervals;
        p->messages = p->live_messages > 0 || p->points > 0 ? fmax(1, p->live_messages / intervals) : 0;
        p->made = made_points;
        p->live_messages = 0;
        p->ticked = now;
}

uint32_t pace_spare(Pace *p, usec_t next_tick) {
        usec_t now = now_of(p);
        LimitsNeed need = {
                .messages = p->messages * NEED_MARGIN,
                .points = p->points * NEED_MARGIN,
                .until = next_tick > now ? next_tick - now : 0,
        };
        double pace = limits_point_pace(&p->limits, now);
        uint32_t spare = limits_spare_points(&p->limits, &need, now);

        return isinf(pace) || spare >= pace * LEAST_SHARE ? spare : 0;
}

uint32_t pace_second(Pace *p) {
        double pace = limits_point_pace(&p->limits, now_of(p));

        return pace >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)fmax(pace, 1);
}

bool pace_is_backlogs(Pace *p) {
        usec_t now = now_of(p);

        return share_is_backlogs(&p->share, limits_message_pace(&p->limits, now), limits_point_pace(&p->limits, now));
}

void pace_take(Pace *p, uint32_t points, uint32_t rows, bool backlog) {
        usec_t now = now_of(p);
        double messages = limits_message_pace(&p->limits, now), per_second = limits_point_pace(&p->limits, now);

        limits_take(&p->limits, points, backlog ? rows : 0, now);
        if (backlog)
                share_backlog(&p->share, points, messages, per_second);
        else
                share_live(&p->share, points, messages, per_second);
        p->live_messages += !backlog;
}
