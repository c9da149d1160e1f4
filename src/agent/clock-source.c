/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is asked again and again, because nobody tells: timedated emits no PropertiesChanged for
 * NTPSynchronized, and the folder of timesyncd's stamp is not there before timesyncd is. Two files cost a
 * few microseconds, so they are looked at once a second. The bus is dearer: each question starts
 * timedated where it does not run, with two lines in the journal. Where no time has come for two minutes
 * both are asked at long intervals, for days maybe; when the clock is set that begins anew.
 *
 * A connection lasts for one question. It is dropped in the next turn, never inside sd-bus's own callback,
 * so a bus that restarts, hangs or refuses leaves nothing behind but a question that was not answered.
 */
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

#include "agent/clock-source.h"
#include "base/file.h"

#define SYNCHRONIZED "/run/systemd/timesync/synchronized"
#define RTC_SET_TIME "/sys/class/rtc/*/hctosys"

#define QUICK_FOR (120 * USEC_PER_SEC)
#define LOOK_QUICK USEC_PER_SEC
#define LOOK_SLOW (10 * USEC_PER_SEC)
#define ASK_QUICK (5 * USEC_PER_SEC)
#define ASK_SLOW (300 * USEC_PER_SEC)
#define ANSWER_WITHIN (4 * USEC_PER_SEC)

struct ClockSource {
        ClockSourceParams params;
        char *root;
        LoopTimer *timer;
        usec_t quick_until, ask_at;
        sd_bus *bus; /* NULL: no question is open */
        bool answered, synchronized;
};

/* ---- files */

static bool rtc_set_the_time(const ClockSource *s) {
        char pattern[PATH_MAX];
        bool set = false;
        glob_t g = { 0 };

        snprintf(pattern, sizeof(pattern), "%s" RTC_SET_TIME, s->root);
        if (glob(pattern, 0, NULL, &g) == 0)
                for (size_t i = 0; i < g.gl_pathc && !set; i++) {
                        _cleanup_(freep) char *text = NULL;
                        set = file_read(g.gl_pathv[i], 16, &text, NULL) == 0 && text[0] == '1';
                }
        globfree(&g);
        return set;
}

const char *clock_source_look(const ClockSource *s) {
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s" SYNCHRONIZED, s->root);
        if (access(path, F_OK) == 0)
                return "systemd-timesyncd has synchronized it";
        if (rtc_set_the_time(s))
                return "a real-time clock set it";
        return NULL;
}

/* ---- bus */

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        ClockSource *s = userdata;
        int synchronized = 0;

        s->answered = true;
        s->synchronized = !sd_bus_message_is_method_error(m, NULL) && sd_bus_message_enter_container(m, 'v', "b") > 0 &&
                          sd_bus_message_read_basic(m, 'b', &synchronized) > 0 && synchronized;
        loop_timer_arm_in(s->timer, 0, 0);
        return 0;
}

static void drop_question(ClockSource *s) {
        s->bus = sd_bus_close_unref(s->bus);
        s->answered = false;
}

static int send_question(ClockSource *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_open_system(&s->bus);

        if (r >= 0)
                r = sd_bus_attach_event(s->bus, loop_sd_event(s->params.loop), 0);
        if (r >= 0)
                r = sd_bus_message_new_method_call(s->bus, &m, "org.freedesktop.timedate1", "/org/freedesktop/timedate1",
                                                   "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", "org.freedesktop.timedate1", "NTPSynchronized");
        return r < 0 ? r : sd_bus_call_async(s->bus, NULL, m, on_answer, s, ANSWER_WITHIN);
}

static void ask_bus(ClockSource *s, usec_t now, bool quick) {
        if (s->answered)
                drop_question(s);
        if (!s->params.ask_bus || now < s->ask_at)
                return;
        drop_question(s); /* one that has had its time */
        s->ask_at = now + (quick ? ASK_QUICK : ASK_SLOW);
        if (send_question(s) < 0)
                drop_question(s);
}

/* ---- */

static void on_timer(void *userdata) {
        ClockSource *s = userdata;
        usec_t now = loop_monotonic(s->params.loop), every;
        bool quick = now < s->quick_until;
        const char *why = s->synchronized ? "an NTP client has synchronized it" : clock_source_look(s);

        if (why) {
                s->params.trusted(s->params.userdata, why);
                return;
        }
        ask_bus(s, now, quick);
        every = quick ? LOOK_QUICK : LOOK_SLOW;
        loop_timer_arm_in(s->timer, every, every / 10);
}

int clock_source_new(ClockSource **ret, const ClockSourceParams *params) {
        _cleanup_(clock_source_freep) ClockSource *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->params = *params;
        s->root = strdup(params->root);
        if (!s->root)
                return -ENOMEM;
        r = loop_timer_new(&s->timer, params->loop, "who trusts the clock", on_timer, s);
        if (r < 0)
                return r;
        clock_source_hurry(s);
        *ret = TAKE_PTR(s);
        return 0;
}

ClockSource *clock_source_free(ClockSource *s) {
        if (!s)
                return NULL;
        drop_question(s);
        loop_timer_free(s->timer);
        free(s->root);
        free(s);
        return NULL;
}

void clock_source_hurry(ClockSource *s) {
        usec_t now = loop_monotonic(s->params.loop);

        s->quick_until = now + QUICK_FOR;
        s->ask_at = MIN(s->ask_at, now);
        loop_timer_arm(s->timer, now, 0);
}
