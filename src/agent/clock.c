/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state       era            leaves it by
 *   WAITING     estimated      a source of trust (agent/clock-source) -> TRUSTED; `wait` is over -> GAVE_UP
 *   GAVE_UP     estimated      a source of trust -> TRUSTED: a device without any time source delivers all the same
 *   TRUSTED     trusted        never: what loses its network keeps its time
 *
 * CLOCK_BOOTTIME runs on whatever anybody does to the wall clock, and both are slewed alike, so one offset
 * holds until the wall clock is set. While it is not trusted, setting it is what is hoped for: the estimate
 * follows each step, and holds for the rows taken before, too. With trust it is measured once more and stays.
 * A step after that is somebody's wish for later rows: a new era. What is smaller than STEP_MIN is no step:
 * clients that correct by little jumps would fill the table of eras, and stored times stay within it.
 *
 * A wall clock that is slewed to the truth (by timesyncd below 0.4 s, by chrony below what makestep says) was
 * wrong by so much before, and so are rows of that time: the offset is one and the same.
 *
 * Both hold for the boot, not for the process: `keep` names a file on a tmpfs with the boot id and the offset
 * ("-" where it gave up), so that a daemon that comes back after its NTP client went silent has the same time as
 * before, and one without any does not wait again.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>

#include "agent/clock-source.h"
#include "agent/clock.h"
#include "base/file.h"
#include "base/stepwatch.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_TEXT 37
#define STEP_MIN 20 /* ms */

struct Clock {
        ClockParams params;
        char *keep;
        char boot_id[BOOT_ID_TEXT]; /* as the kernel writes it */
        Era era;
        ClockSource *source; /* NULL: trusted */
        StepWatch *watch;
        LoopTimer *timer; /* `wait`, or the first turn where everything was known at the start */
        const char *why;  /* to be told there */
        bool gave_up;
};

/* ---- boot */

static int hex_digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_boot_id(const char *text, uint8_t ret[static BOOT_ID_SIZE]) {
        size_t n = 0;

        for (; n < 2 * BOOT_ID_SIZE; text++) {
                int digit = hex_digit(*text);
                if (*text == '-')
                        continue;
                if (digit < 0)
                        return false;
                ret[n / 2] = (uint8_t)(n % 2 ? ret[n / 2] | digit : digit << 4);
                n++;
        }
        return true;
}

/* Where the kernel does not tell it, each process is a boot of its own: its estimates stay what they are, but no row gets
 * the offset of another boot. */
static void read_boot_id(Clock *c) {
        char path[PATH_MAX];
        _cleanup_(freep) char *text = NULL;

        snprintf(path, sizeof(path), "%s" BOOT_ID_FILE, c->params.root);
        if (file_read(path, 64, &text, NULL) == 0 && parse_boot_id(text, c->era.boot_id)) {
                text[strcspn(text, "\n")] = '\0';
                snprintf(c->boot_id, sizeof(c->boot_id), "%s", text);
        } else if (getrandom(c->era.boot_id, BOOT_ID_SIZE, GRND_NONBLOCK) < 0)
                memset(c->era.boot_id, 0, BOOT_ID_SIZE);
}

/* ---- offset */

/* REALTIME stands between two readings of BOOTTIME; of three tries the one with the least between them. */
static int64_t measure(const Clock *c) {
        usec_t best = USEC_INFINITY;
        int64_t offset = 0, ms;

        for (int i = 0; i < 3; i++) {
                usec_t before = loop_boottime(c->params.loop), wall = loop_realtime(c->params.loop),
                       width = loop_boottime(c->params.loop) - before;
                if (width >= best)
                        continue;
                best = width;
                offset = (int64_t)wall - (int64_t)(before + width / 2);
        }
        ms = (offset + 500) / 1000;
        return (offset + 500) % 1000 < 0 ? ms - 1 : ms;
}

static void keep_state(const Clock *c) {
        char text[BOOT_ID_TEXT + 32];
        int n;

        if (!c->keep || !c->boot_id[0] || c->params.always_trusted)
                return;
        if (clock_is_trusted(c))
                n = snprintf(text, sizeof(text), "%s %" PRId64 "\n", c->boot_id, c->era.offset_ms);
        else
                n = snprintf(text, sizeof(text), "%s -\n", c->boot_id);
        (void)!file_replace(c->keep, text, (size_t)n, 0600);
}

/* How was it before in this boot? true: trusted. */
static bool recall_state(Clock *c) {
        _cleanup_(freep) char *text = NULL;
        size_t n = strlen(c->boot_id);
        int64_t offset, now = c->era.offset_ms;

        if (!c->keep || n == 0 || file_read(c->keep, 128, &text, NULL) < 0 || strncmp(text, c->boot_id, n) != 0)
                return false;
        c->gave_up = streq(text + n, " -\n");
        if (sscanf(text + n, " %" SCNd64, &offset) != 1)
                return false;
        if (now > offset - STEP_MIN && now < offset + STEP_MIN)
                c->era.offset_ms = offset;
        return true;
}

static void set_era(Clock *c, int64_t offset_ms, ClockQuality quality) {
        c->era.offset_ms = offset_ms;
        c->era.quality = quality;
        if (quality == CLOCK_TRUSTED)
                keep_state(c);
        if (c->params.events.era)
                c->params.events.era(c->params.userdata, &c->era);
}

/* ---- events */

static void on_trusted(void *userdata, const char *why) {
        Clock *c = userdata;

        c->source = clock_source_free(c->source);
        loop_timer_disarm(c->timer);
        set_era(c, measure(c), CLOCK_TRUSTED);
        if (c->params.events.trusted)
                c->params.events.trusted(c->params.userdata, why);
}

static void on_timer(void *userdata) {
        Clock *c = userdata;

        if (c->why) {
                if (c->params.events.trusted)
                        c->params.events.trusted(c->params.userdata, c->why);
                return;
        }
        c->gave_up = true;
        keep_state(c);
        if (c->params.events.gave_up)
                c->params.events.gave_up(c->params.userdata);
}

static void on_set(void *userdata) {
        Clock *c = userdata;
        int64_t by, now = measure(c);

        by = now - c->era.offset_ms;
        if (!clock_is_trusted(c)) {
                if (by != 0)
                        set_era(c, now, CLOCK_ESTIMATED);
                clock_source_hurry(c->source);
                return;
        }
        if (by > -STEP_MIN && by < STEP_MIN)
                return;
        set_era(c, now, CLOCK_TRUSTED);
        if (c->params.events.stepped)
                c->params.events.stepped(c->params.userdata, by);
}

/* ---- life */

/* Trusted from the start, or later by a source. */
static int find_trust(Clock *c) {
        ClockSourceParams p = { .loop = c->params.loop, .root = c->params.root, .ask_bus = c->params.ask_bus,
                                .trusted = on_trusted, .userdata = c };
        int r;

        c->era.offset_ms = measure(c);
        if (c->params.always_trusted)
                c->why = "the configuration says so";
        else if (recall_state(c))
                c->why = "it was so before in this boot";
        else {
                r = clock_source_new(&c->source, &p);
                if (r < 0)
                        return r;
                c->why = clock_source_look(c->source);
        }
        if (!c->why)
                return 0;
        c->source = clock_source_free(c->source);
        c->era.quality = CLOCK_TRUSTED;
        keep_state(c);
        return 0;
}

int clock_new(Clock **ret, const ClockParams *params) {
        _cleanup_(clock_freep) Clock *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->params = *params;
        c->params.root = params->root ? params->root : "";
        c->keep = params->keep ? strdup(params->keep) : NULL;
        if (params->keep && !c->keep)
                return -ENOMEM;
        read_boot_id(c);
        /* before the first measurement, or a step between the two would be missed */
        r = stepwatch_new(&c->watch, params->loop, on_set, c);
        if (r == 0)
                r = loop_timer_new(&c->timer, params->loop, "clock", on_timer, c);
        if (r == 0)
                r = find_trust(c);
        if (r < 0)
                return r;
        loop_timer_arm_in(c->timer, c->why || c->gave_up ? 0 : params->wait, 100 * USEC_PER_MSEC);
        *ret = TAKE_PTR(c);
        return 0;
}

Clock *clock_free(Clock *c) {
        if (!c)
                return NULL;
        clock_source_free(c->source);
        stepwatch_free(c->watch);
        loop_timer_free(c->timer);
        free(c->keep);
        free(c);
        return NULL;
}

Era clock_era(const Clock *c) {
        return c->era;
}

bool clock_is_trusted(const Clock *c) {
        return c->era.quality == CLOCK_TRUSTED;
}

bool clock_may_estimate(const Clock *c) {
        return c->gave_up || clock_is_trusted(c);
}
