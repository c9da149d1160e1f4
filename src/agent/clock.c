/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trust comes from the configuration, from systemd-timesyncd's stamp, or from a battery-backed clock that
 * set the system time at boot; once given it stays for this boot. Asked once a second until then, and after
 * `wait` the estimate is used: a device without any time source still delivers.
 */
#include <glob.h>

#include "agent/clock.h"
#include "base/file.h"

#define SYNCHRONIZED "/run/systemd/timesync/synchronized"
#define RTC_SET_TIME "/sys/class/rtc/rtc*/hctosys"

struct Clock {
        ClockParams params;
        LoopTimer *timer;
        usec_t deadline;
        bool trusted;
        int64_t offset_ms;
};

static bool rtc_set_the_time(void) {
        bool set = false;
        glob_t g = { 0 };

        if (glob(RTC_SET_TIME, 0, NULL, &g) == 0)
                for (size_t i = 0; i < g.gl_pathc && !set; i++) {
                        _cleanup_(freep) char *text = NULL;
                        set = file_read(g.gl_pathv[i], 16, &text, NULL) == 0 && text[0] == '1';
                }
        globfree(&g);
        return set;
}

static const char *reason_to_trust(const Clock *c) {
        if (c->params.always_trusted)
                return "the configuration says so";
        if (access(SYNCHRONIZED, F_OK) == 0)
                return "systemd-timesyncd has synchronized it";
        if (rtc_set_the_time())
                return "a real-time clock set it";
        if (loop_monotonic(c->params.loop) >= c->deadline)
                return "nothing has synchronized it in time: timestamps are estimates";
        return NULL;
}

static void measure(Clock *c) {
        c->offset_ms = (int64_t)(loop_realtime(c->params.loop) / USEC_PER_MSEC) -
                       (int64_t)(loop_boottime(c->params.loop) / USEC_PER_MSEC);
}

static void on_timer(void *userdata) {
        Clock *c = userdata;
        const char *why = reason_to_trust(c);

        if (!why) {
                loop_timer_arm_in(c->timer, USEC_PER_SEC, 100 * USEC_PER_MSEC);
                return;
        }
        measure(c);
        c->trusted = true;
        if (c->params.trusted)
                c->params.trusted(c->params.userdata, why);
}

int clock_new(Clock **ret, const ClockParams *params) {
        _cleanup_(clock_freep) Clock *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->params = *params;
        c->deadline = loop_monotonic(params->loop) + params->wait;
        r = loop_timer_new(&c->timer, params->loop, "clock-trust", on_timer, c);
        if (r < 0)
                return r;
        loop_timer_arm_in(c->timer, 0, 0);
        measure(c);
        *ret = TAKE_PTR(c);
        return 0;
}

Clock *clock_free(Clock *c) {
        if (!c)
                return NULL;
        loop_timer_free(c->timer);
        free(c);
        return NULL;
}

bool clock_is_trusted(const Clock *c) {
        return c->trusted;
}

int64_t clock_offset_ms(const Clock *c) {
        return c->offset_ms;
}
