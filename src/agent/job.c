/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `systemctl restart`, and so the upgrade of the package, is a job of type "restart" whose first half is a stop: while that
 * runs, ListJobs has the job under this type. Everything else that ends the daemon (stop, shutdown, a signal of somebody) is no
 * restart, and so is no answer: it costs a restarted daemon a moment of on_exit, while the other mistake would leave a pump on
 * for good.
 */
#include <systemd/sd-bus.h>

#include "agent/job.h"
#include "base/file.h"
#include "base/log.h"

#define CGROUP_SIZE_MAX 4096
#define SYSTEMD "org.freedesktop.systemd1"

struct Job {
        JobParams params;
        char *unit;
        LoopTimer *timer; /* the time is over, or the answer is there: sd-bus's callback is no place to drop its connection */
        sd_bus *bus;
        bool answered, restart;
};

static void say_unknown(const char *why) {
        log_warning("whether systemd starts this again cannot be found out (%s): outputs get their on_exit values, as for a stop",
                    why);
}

/* The job of our unit; there is at most one. */
static int has_restart(const Job *j, sd_bus_message *m) {
        const char *unit, *type;
        int restart = 0, r = sd_bus_message_enter_container(m, 'a', "(usssoo)");

        if (r <= 0)
                return r < 0 ? r : -EBADMSG;
        while ((r = sd_bus_message_read(m, "(usssoo)", NULL, &unit, &type, NULL, NULL, NULL)) > 0)
                restart |= streq(unit, j->unit) && (streq(type, "restart") || streq(type, "try-restart"));
        return r < 0 ? r : restart;
}

static int on_jobs(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Job *j = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        int r = 0;

        j->answered = true;
        if (!e)
                r = has_restart(j, m);
        if (e || r < 0)
                say_unknown(!e ? "its answer is no list of jobs" : e->message ? e->message : e->name);
        j->restart = r > 0;
        loop_timer_arm_in(j->timer, 0, 0);
        return 0;
}

static int ask(Job *j) {
        int r = sd_bus_open_system(&j->bus);

        if (r >= 0)
                r = sd_bus_attach_event(j->bus, loop_sd_event(j->params.loop), 0);
        return r < 0 ? r
                     : sd_bus_call_method_async(j->bus, NULL, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager",
                                                "ListJobs", on_jobs, j, NULL);
}

static void on_timer(void *userdata) {
        Job *j = userdata;

        if (j->bus && !j->answered)
                say_unknown("no answer in time");
        j->bus = sd_bus_close_unref(j->bus);
        j->params.answer(j->params.userdata, j->restart);
}

/* 1: the last part of a line "0::/system.slice/tbagent.service"; 0: there is no service. sd_pid_get_unit() looks at process 1,
 * too, which the unit's ProtectProc= hides. */
static int own_unit(char **ret) {
        _cleanup_(freep) char *text = NULL;
        char *rest = NULL;
        size_t size;
        int r;

        if (!getenv("NOTIFY_SOCKET"))
                return 0; /* outside a service there is nobody to ask */
        r = file_read("/proc/self/cgroup", CGROUP_SIZE_MAX, &text, &size);
        if (r < 0)
                return r;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                const char *slash = strrchr(line, '/'), *dot = slash ? strrchr(slash, '.') : NULL;

                if (dot && streq(dot, ".service") && (*ret = strdup(slash + 1)))
                        return 1;
        }
        return -ENODATA;
}

/* Whether an answer is to be waited for. */
static bool begin(Job *j, const char *unit) {
        int r = 1;

        if (!unit)
                r = own_unit(&j->unit);
        else if (!(j->unit = strdup(unit)))
                r = -ENOMEM;
        if (r == 0)
                return false;
        if (r > 0)
                r = ask(j);
        if (r < 0)
                say_unknown(r == -ENODATA ? "/proc/self/cgroup names no service" : strerror(-r));
        return r >= 0;
}

int job_new(Job **ret, const JobParams *params) {
        _cleanup_(job_freep) Job *j = calloc(1, sizeof(*j));
        int r;

        if (!j)
                return -ENOMEM;
        j->params = *params;
        r = loop_timer_new(&j->timer, params->loop, "systemd's jobs", on_timer, j);
        if (r < 0)
                return r;
        loop_timer_arm_in(j->timer, begin(j, params->unit) ? params->within : 0, 0);
        *ret = TAKE_PTR(j);
        return 0;
}

Job *job_free(Job *j) {
        if (!j)
                return NULL;
        sd_bus_close_unref(j->bus);
        loop_timer_free(j->timer);
        free(j->unit);
        free(j);
        return NULL;
}
