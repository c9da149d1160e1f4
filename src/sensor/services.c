/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands round a call into the plugin, and where the rows of the call go. Everything that a call gave leaves
 * in one go at its end: rows, kept state, log lines.
 *
 * A refused value is told once for each kind of mistake, with the key that made it first; counters have the rest.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "sensor/services.h"


static int64_t boottime_ns(void) {
        struct timespec t;

        clock_gettime(CLOCK_BOOTTIME, &t);
        return (int64_t)t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

int64_t services_wall_ns(const Services *s) {
        return ((int64_t)loop_realtime(s->params.loop) - (int64_t)loop_boottime(s->params.loop)) * NSEC_PER_USEC;
}

void services_say(Services *s, int level, const char *format, ...) {
        char text[SERVICES_TEXT_MAX];
        va_list args;

        if (level > s->log_level)
                return;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        (void)outbox_send(s->params.outbox, FRAME_LOG, (uint64_t)level, text);
}

int services_rpc_begin(Services *s, uint64_t id) {
        if (s->n_rpc == SERVICES_RPC_MAX)
                return -EBUSY;
        s->rpc[s->n_rpc++] = id;
        return 0;
}

bool services_rpc_end(Services *s, uint64_t id) {
        for (size_t i = 0; i < s->n_rpc; i++)
                if (s->rpc[i] == id) {
                        s->rpc[i] = s->rpc[--s->n_rpc];
                        return true;
                }
        return false;
}

/* ---- calls */

void services_enter(Services *s, SamplerCall kind) {
        assert(!s->in_call);
        s->in_call = true;
        s->complaint[0] = '\0';
        guard_arm(s->params.guard, (usec_t)node_int(s->params.options, "timeout"));
        s->armed = true;
        sampler_begin(s->sampler, kind, services_wall_ns(s));
}

void services_returned(Services *s) {
        if (s->armed)
                guard_disarm(s->params.guard);
        s->armed = false;
}

void services_leave(Services *s) {
        uint64_t used;

        services_returned(s);
        sampler_end(s->sampler);
        s->in_call = false;
        if (s->state_changed && outbox_send(s->params.outbox, FRAME_PUT, (const void *)s->state, s->state_size) == 0)
                s->state_changed = false;
        if (guard_memory_is_short(s->params.guard, &used))
                s->params.memory_short(s->params.userdata, used);
        s->params.left(s->params.userdata);
}

static void on_enter(void *userdata) {
        services_enter(userdata, SAMPLER_EVENT);
}

static void on_leave(void *userdata) {
        services_leave(userdata);
}

/* ---- from the sampler */

static void on_row(void *userdata, const Row *row) {
        Services *s = userdata;

        outbox_add_row(s->params.outbox, row);
}

static void on_dropped(void *userdata, uint32_t points, int64_t time_ns, const char *why) {
        Services *s = userdata;

        outbox_add_gap(s->params.outbox, points, time_ns, time_ns, why);
}

static void on_health(void *userdata, const char *key, const char *reason) {
        if (reason)
                services_say(userdata, TBAGENT_WARNING, "%s: %s", key, reason);
        else
                services_say(userdata, TBAGENT_NOTICE, "%s is good again", key);
}

static unsigned refusal_bit(int error) {
        switch (error) {
        case -EINVAL:
                return 1;
        case -ERANGE:
                return 2;
        case -E2BIG:
                return 4;
        default:
                return 8;
        }
}

static void on_refused(void *userdata, const char *key, int error, const char *why) {
        Services *s = userdata;

        if (s->refused_told & refusal_bit(error))
                return;
        s->refused_told |= refusal_bit(error);
        services_say(s, TBAGENT_WARNING, "value of \"%.100s\" is refused: %s; more of the kind are only counted", key, why);
}

static const ReportRules *on_rules(void *userdata, const char *key) {
        const Services *s = userdata;

        return channels_rules(*s->params.channels, key);
}

static int64_t on_now(void *userdata _unused_) {
        return boottime_ns();
}

/* ---- */

int services_new(Services **ret, const ServicesParams *params) {
        _cleanup_(services_freep) Services *s = calloc(1, sizeof *s);
        SamplerParams sampler = {
                .row_flags = params->strict ? ROW_STRICT : 0,
                .events = { .row = on_row, .dropped = on_dropped, .health = on_health, .refused = on_refused,
                            .rules = on_rules, .now = on_now },
                .userdata = s,
        };
        int r;

        if (!s)
                return -ENOMEM;
        s->host.services = params->operations;
        s->params = *params;
        s->log_level = TBAGENT_INFO;
        s->state_size = MIN(params->state_size, SERVICES_STATE_MAX);
        if (s->state_size > 0)
                memcpy(s->state, params->state, s->state_size);
        r = sampler_new(&s->sampler, &sampler);
        if (r == 0)
                r = events_new(&s->events, &(EventsParams){ .loop = params->loop, .host = &s->host, .enter = on_enter,
                                                            .leave = on_leave, .userdata = s });
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Services *services_free(Services *s) {
        if (!s)
                return NULL;
        events_free(s->events);
        sampler_free(s->sampler);
        free(s);
        return NULL;
}
