/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   told       leaves it by
 *   OPENING    first good sample (or open, where the plugin has no sample) -> RUNNING; not there -> WAITING
 *   WAITING    tried again with back-off; first good sample -> RUNNING
 *   RUNNING    failed sample -> ILL; -ENODEV -> closed, WAITING
 *   ILL        good sample -> RUNNING; -ENODEV -> closed, WAITING
 *
 * An open that fails for another reason than absence is told as ILL and ends the process: what is wrong may be in it, and the
 * daemon starts another one with back-off. Absence is nobody's fault, and costs no new process.
 *
 * RUNNING is told before the rows of the sample that proved it, ILL before those that a failed one may still
 * have emitted, because the daemon makes INSTANCE_ok of states and takes rows as they come.
 */
#include <stdio.h>

#include "sensor/life.h"

#define RETRY_MIN (1 * USEC_PER_SEC)
#define RETRY_MAX (60 * USEC_PER_SEC)
#define COUNTERS_EVERY (10 * USEC_PER_SEC)

struct Life {
        LifeParams params;
        bool open;
        void *state; /* the plugin's */
        HostState told;
        char reason[320];
        Schedule schedule;
        usec_t retry; /* the last wait before another attempt; 0: none yet */
        LoopTimer *sample_timer, *retry_timer, *tick_timer;
        uint64_t samples, failed_reads;
        usec_t counters_at;
        uint64_t counters_samples; /* as told last */
};

static void tell(Life *l, HostState state, const char *reason) {
        if (l->told == state && streq(l->reason, reason))
                return;
        l->told = state;
        snprintf(l->reason, sizeof l->reason, "%s", reason);
        (void)outbox_send(l->params.outbox, FRAME_STATE, (uint64_t)state, l->reason);
}

/* What the plugin said about it is worth more than the number it returned. */
static const char *describe(const Life *l, int error) {
        if (l->params.services->complaint[0])
                return l->params.services->complaint;
        switch (error) {
        case -ENODEV:
        case -ENOENT:
                return "hardware is not there";
        case -EAGAIN:
                return "hardware is not ready";
        case -EACCES:
        case -EPERM:
                return "no permission: the daemon's user is not in the group that owns the device";
        default:
                return strerror(-error);
        }
}

static bool is_absence(int error) {
        return error == -ENODEV || error == -ENOENT || error == -EAGAIN || error == -EACCES || error == -EPERM;
}

bool life_is_open(const Life *l) {
        return l->open;
}

void *life_state(const Life *l) {
        return l->state;
}

/* ---- open and close */

static void retry_later(Life *l) {
        l->retry = l->retry == 0 ? RETRY_MIN : MIN(l->retry * 2, RETRY_MAX);
        loop_timer_arm_in(l->retry_timer, l->retry, l->retry / 10);
}

int life_open(Life *l) {
        const struct tbagent_plugin *ops = &l->params.plugin->ops;
        Services *s = l->params.services;
        char reason[320];
        int r;

        services_enter(s, SAMPLER_EVENT);
        l->state = NULL;
        s->quiet = node_int(l->params.options, "optional");
        r = ops->open ? ops->open(&s->host, &l->state) : 0;
        services_returned(s);
        r = MIN(r, 0);
        if (r == 0 && s->quiet && s->complaint[0])
                services_say(s, TBAGENT_WARNING, "%s", s->complaint);
        s->quiet = false;
        if (r == 0) {
                l->open = true;
                events_set_state(s->events, l->state);
                if (!ops->sample)
                        tell(l, HOST_RUNNING, "");
        } else {
                events_clear(s->events);
                if (is_absence(r))
                        tell(l, HOST_WAITING, describe(l, r));
                else {
                        snprintf(reason, sizeof reason, "open failed: %s", describe(l, r));
                        tell(l, HOST_ILL, reason);
                        l->params.fatal(l->params.userdata, reason);
                }
        }
        services_leave(s);
        return r;
}

void life_close(Life *l) {
        const struct tbagent_plugin *ops = &l->params.plugin->ops;
        Services *s = l->params.services;

        if (!l->open)
                return;
        l->open = false;
        schedule_stop(&l->schedule);
        loop_timer_disarm(l->sample_timer);
        events_clear(s->events);
        if (ops->close) {
                services_enter(s, SAMPLER_EVENT);
                ops->close(&s->host, l->state);
                services_leave(s);
        }
        events_clear(s->events); /* close() may have opened some */
        sampler_flush(s->sampler, services_wall_ns(s));
        l->state = NULL;
}

/* ---- samples */

static void arm_sample(Life *l) {
        if (l->schedule.due != USEC_INFINITY)
                loop_timer_arm(l->sample_timer, l->schedule.due, MIN(l->schedule.period / 100, USEC_PER_MSEC));
}

static void sampled(Life *l, int r) {
        if (r >= 0) {
                l->retry = 0;
                l->params.services->complained[0] = '\0';
                tell(l, HOST_RUNNING, "");
        } else if (r == -EAGAIN) {
                if (l->told == HOST_OPENING)
                        tell(l, HOST_RUNNING, "");
        } else {
                l->failed_reads++;
                tell(l, r == -ENODEV ? HOST_WAITING : HOST_ILL, describe(l, r));
        }
}

int life_sample(Life *l) {
        Services *s = l->params.services;
        int r;

        if (!l->open || !l->params.plugin->ops.sample)
                return -ENOTCONN;
        services_enter(s, SAMPLER_SAMPLE);
        r = l->params.plugin->ops.sample(&s->host, l->state);
        services_returned(s);
        l->samples++;
        sampled(l, r);
        services_leave(s);
        if (r == -ENODEV) {
                life_close(l);
                retry_later(l);
        }
        return r;
}

static void on_sample(void *userdata) {
        Life *l = userdata;

        (void)life_sample(l);
        schedule_taken(&l->schedule, loop_monotonic(l->params.loop), loop_realtime(l->params.loop));
        arm_sample(l);
}

static void on_retry(void *userdata) {
        life_start(userdata);
}

void life_start(Life *l) {
        int r = life_open(l);

        if (r == 0 && l->params.plugin->ops.sample) {
                schedule_start(&l->schedule, (usec_t)node_int(l->params.options, "every"), loop_monotonic(l->params.loop));
                arm_sample(l);
        } else if (is_absence(r))
                retry_later(l);
}

void life_reschedule(Life *l) {
        schedule_set_period(&l->schedule, (usec_t)node_int(l->params.options, "every"), loop_monotonic(l->params.loop),
                            loop_realtime(l->params.loop));
        arm_sample(l);
}

/* ---- between calls */

static void on_tick(void *userdata) {
        Life *l = userdata;
        Services *s = l->params.services;

        sampler_tick(s->sampler, services_wall_ns(s));
        s->params.left(s->params.userdata);
}

void life_send_counters(Life *l) {
        const SamplerCounters *c = sampler_counters(l->params.services->sampler);

        l->counters_at = loop_monotonic(l->params.loop);
        l->counters_samples = l->samples;
        (void)outbox_send(l->params.outbox, FRAME_COUNTERS, l->samples, c->points, l->schedule.overruns, l->failed_reads,
                          outbox_dropped(l->params.outbox), c->refused);
}

void life_settle(Life *l) {
        Services *s = l->params.services;
        int64_t due = sampler_due(s->sampler, services_wall_ns(s));
        usec_t now = loop_monotonic(l->params.loop);

        if (due != INT64_MAX) {
                int64_t in = due / NSEC_PER_USEC + 1 - (int64_t)loop_boottime(l->params.loop);

                loop_timer_arm(l->tick_timer, now + (usec_t)MAX(in, 0), USEC_PER_MSEC);
        }
        if (l->samples != l->counters_samples && now - l->counters_at >= COUNTERS_EVERY)
                life_send_counters(l);
}

/* ---- */

int life_new(Life **ret, const LifeParams *params) {
        _cleanup_(life_freep) Life *l = calloc(1, sizeof *l);
        int r;

        if (!l)
                return -ENOMEM;
        l->params = *params;
        l->told = HOST_OPENING;
        l->counters_at = loop_monotonic(params->loop);
        schedule_stop(&l->schedule);
        r = loop_timer_new(&l->sample_timer, params->loop, "sample", on_sample, l);
        if (r == 0)
                r = loop_timer_new(&l->retry_timer, params->loop, "open again", on_retry, l);
        if (r == 0)
                r = loop_timer_new(&l->tick_timer, params->loop, "report rules", on_tick, l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

Life *life_free(Life *l) {
        if (!l)
                return NULL;
        loop_timer_free(l->sample_timer);
        loop_timer_free(l->retry_timer);
        loop_timer_free(l->tick_timer);
        free(l);
        return NULL;
}
