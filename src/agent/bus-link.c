/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      AWAY --timer--> ASKING --the name is ours--> THERE
 *        ^               | refused, closed            | closed
 *        '---------------+----------------------------'   after 1 s, doubled up to 60 s, begun anew by THERE
 *
 * Connecting, saying hello and asking for the name are all under way at once and bounded by sd-bus's own time-outs (90 s,
 * 25 s). The end of a connection comes as a message, from within sd-bus, so it is dropped a turn later.
 *
 * The name may be refused for a moment: while the package is being installed the bus has read its policy before the user was
 * there that it is about, and Debian tells it to read again only at the end. So the first refusal is not worth a line.
 */
#include "agent/bus-link.h"
#include "base/log.h"

#define RETRY_MIN USEC_PER_SEC
#define RETRY_MAX (60 * USEC_PER_SEC)
#define NAME_OWNER 1u   /* answers to RequestName (D-Bus specification) */
#define NAME_ALREADY 4u

struct BusLink {
        BusLinkParams params;
        LoopTimer *timer;
        usec_t delay;
        sd_bus *bus;  /* NULL: away */
        bool failed;  /* the timer is armed to drop it */
        bool told;    /* that it is away stands in the log: the next tries are not worth a line */
};

/* ---- the end of a connection */

static void drop(BusLink *l) {
        l->bus = sd_bus_close_unref(l->bus);
        l->failed = false;
}

static void retry_later(BusLink *l) {
        loop_timer_arm_in(l->timer, l->delay, l->delay / 4);
        l->delay = MIN(2 * l->delay, RETRY_MAX);
}

static void tell(BusLink *l, int level, const char *what, const char *why) {
        log_fields(l->told ? LOG_DEBUG : level, NULL, 0,
                   "%s is not on the system bus, tbagentctl cannot reach it: %s%s; it is tried again", l->params.name, what, why);
        l->told = l->told || level < LOG_DEBUG;
}

/* From within sd-bus. */
static void fail(BusLink *l, int level, const char *what, const char *why) {
        if (l->failed)
                return;
        l->failed = true;
        tell(l, level, what, why);
        loop_timer_arm_in(l->timer, 0, 0);
}

static int on_disconnected(sd_bus_message *m _unused_, void *userdata, sd_bus_error *error _unused_) {
        fail(userdata, LOG_NOTICE, "the bus has ended the connection", "");
        return 0;
}

/* ---- the way to it */

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        BusLink *l = userdata;
        const sd_bus_error *refused = sd_bus_message_get_error(m);
        int level = l->delay > RETRY_MIN ? LOG_NOTICE : LOG_DEBUG;
        uint32_t answer = 0;

        if (refused)
                fail(l, level, "", refused->message ? refused->message : refused->name);
        else if (sd_bus_message_read(m, "u", &answer) < 0 || (answer != NAME_OWNER && answer != NAME_ALREADY))
                fail(l, level, "another process has that name", "");
        else {
                log_fields(l->told ? LOG_NOTICE : LOG_DEBUG, NULL, 0, "%s is on the system bus", l->params.name);
                l->told = false;
                l->delay = RETRY_MIN;
        }
        return 0;
}

static int connect_bus(BusLink *l) {
        const BusLinkParams *p = &l->params;
        int r = sd_bus_open_system_with_description(&l->bus, "tbagent");

        if (r >= 0)
                r = sd_bus_attach_event(l->bus, loop_sd_event(p->loop), 0);
        if (r >= 0)
                r = sd_bus_add_object_vtable(l->bus, NULL, p->path, p->interface, p->vtable, p->userdata);
        if (r >= 0)
                r = sd_bus_match_signal_async(l->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, l);
        return r < 0 ? r : sd_bus_request_name_async(l->bus, NULL, p->name, 0, on_name, l);
}

static void on_timer(void *userdata) {
        BusLink *l = userdata;
        int r;

        if (l->bus) {
                drop(l);
                l->params.lost(l->params.userdata);
                retry_later(l);
                return;
        }
        r = connect_bus(l);
        if (r >= 0)
                return;
        drop(l);
        tell(l, r == -ENOENT ? LOG_DEBUG : LOG_NOTICE, "", strerror(-r)); /* without any bus all is as somebody wanted it */
        retry_later(l);
}

/* ---- */

int bus_link_new(BusLink **ret, const BusLinkParams *params) {
        _cleanup_(bus_link_freep) BusLink *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->params = *params;
        l->delay = RETRY_MIN;
        r = loop_timer_new(&l->timer, params->loop, "bus", on_timer, l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

BusLink *bus_link_free(BusLink *l) {
        if (!l)
                return NULL;
        drop(l);
        loop_timer_free(l->timer);
        free(l);
        return NULL;
}

void bus_link_start(BusLink *l) {
        loop_timer_arm_in(l->timer, 0, 0);
}

void bus_link_stop(BusLink *l) {
        loop_timer_disarm(l->timer);
        drop(l);
}
