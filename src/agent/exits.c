/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One Exit for each instance that has something kept:
 *
 *      its process    on_exit values                          what is kept
 *      runs           -                                       stays; what it did not take: set, then forgotten (exits_back)
 *      has ended      set after on_exit_after, once           stays: the next process takes it
 *      ended finally  set, where the plugin left some kept    forgotten then
 *
 * "Set" is a host in MODE_EXIT_STATE (agent/exit-host) that takes what no process claims. It gets the settings that belong to
 * what is kept (`held`), which are not those of the configuration after a reload; a file has them, for a daemon that starts
 * again with another configuration. They become those of the running process (`next`) when that runs: from then on what is
 * kept is what it has taken or given.
 *
 * No two processes may drive an output: a process that comes back while a host sets its outputs waits for the answer to
 * fd_take() until that host, which is killed then, is gone. What a process has claimed a host leaves alone: its end then counts
 * for the others only (`busy`), and when the process goes, meanwhile or later, a host sets all of them.
 */
#include <stdio.h>

#include "agent/exit-host.h"
#include "agent/exits.h"
#include "base/log.h"

#define AFTER_DEFAULT USEC_PER_SEC
#define AWAY_MAX (10 * USEC_PER_SEC) /* through all daemons and processes that come and go meanwhile */
#define STOP_WAIT USEC_PER_SEC

typedef struct Exit {
        Exits *all;
        char *instance;
        ExitRecord held, next;
        LoopTimer *timer;
        ExitHost *host;   /* sets outputs just now; NULL: none */
        bool running;     /* a process of the instance is there */
        bool set;         /* the outputs have their on_exit values, and no process has taken one since */
        bool final;       /* none comes: all is forgotten afterwards */
        bool forget;      /* what is unclaimed is forgotten afterwards */
        bool done;        /* the host has done it */
        bool busy;        /* but for what a process has claimed since it began */
        bool killed;      /* the host is, for a process that came back */
        bool want;        /* and then another one is needed */
        bool again;       /* the host is gone, after_host() comes */
        char **waiting;   /* names that the process wants to take, when the host is gone */
        size_t n_waiting;
} Exit;

struct Exits {
        ExitsParams params;
        ExitsEvents events; /* all NULL: none */
        Exit **list;
        size_t n;
        bool deferred, leaving;
};

static void on_timer(void *userdata);
static void after_host(Exit *e);

/* ---- */

static void exit_free(Exit *e) {
        exit_host_free(e->host);
        loop_timer_free(e->timer);
        exit_record_done(&e->held);
        exit_record_done(&e->next);
        for (size_t i = 0; i < e->n_waiting; i++)
                free(e->waiting[i]);
        free(e->waiting);
        free(e->instance);
        free(e);
}

static Exit *find(const Exits *all, const char *instance) {
        for (size_t i = 0; i < all->n; i++)
                if (streq(all->list[i]->instance, instance))
                        return all->list[i];
        return NULL;
}

static int add(Exits *all, const char *instance, Exit **ret) {
        Exit **list = reallocarray(all->list, all->n + 1, sizeof(*list));
        Exit *e = calloc(1, sizeof(*e));
        int r = -ENOMEM;

        if (list)
                all->list = list;
        if (e && list) {
                e->all = all;
                e->instance = strdup(instance);
                r = e->instance ? loop_timer_new(&e->timer, all->params.loop, "on_exit_after", on_timer, e) : -ENOMEM;
        }
        if (r < 0) {
                if (e)
                        exit_free(e);
                return r;
        }
        all->list[all->n++] = e;
        *ret = e;
        return 0;
}

static size_t n_kept(const Exit *e) {
        return keep_n(e->all->params.keep, e->instance);
}

static size_t n_unclaimed(const Exit *e) {
        return keep_n_unclaimed(e->all->params.keep, e->instance);
}

static void write_record(const Exit *e, const ExitRecord *record) {
        int r = exit_record_save(record, e->all->params.runtime_dir, e->instance);

        if (r < 0 && log_allow("exit-record", 3600 * USEC_PER_SEC, 1, NULL))
                log_instance(LOG_WARNING, e->instance,
                             "cannot write to %s/" EXIT_RECORD_DIR
                             " (%s): a daemon that fails could not give its outputs their on_exit values",
                             e->all->params.runtime_dir, strerror(-r));
}

static void save(const Exit *e) {
        write_record(e, n_kept(e) > 0 ? &e->held : NULL);
}

static int hold_next(Exit *e) {
        usec_t away = e->held.away;
        int r = exit_record_set(&e->held, e->next.plugin, e->next.settings, e->next.settings_size, e->next.after);

        if (r == 0)
                e->held.away = away;
        else
                log_instance(LOG_ERR, e->instance, "out of memory: on_exit and on_exit_after are those of before the reload");
        return r;
}

static void forget_unclaimed(const Exit *e) {
        keep_forget_unclaimed(e->all->params.keep, e->instance);
        save(e);
}

/* What is kept has been given or taken under the settings of the process that runs. */
static void adopt_next(Exit *e) {
        if (n_kept(e) == 0)
                exit_record_done(&e->held);
        else if (!e->next.plugin || exit_record_same(&e->held, &e->next))
                return;
        else
                (void)hold_next(e);
        save(e);
}

static void tell_changed(const Exits *all) {
        if (all->events.changed)
                all->events.changed(all->events.userdata);
}

/* ---- outputs are set */

static int on_take(void *userdata, const char *name) {
        Exit *e = userdata;
        const Keep *keep = e->all->params.keep;

        if (!keep_is_claimed(keep, e->instance, name))
                return keep_take(keep, e->instance, name);
        e->busy = true;
        return -EBUSY;
}

static void on_done(void *userdata) {
        Exit *e = userdata;

        e->done = true;
        exit_host_stop(e->host, STOP_WAIT);
}

static void on_deferred(void *userdata) {
        Exits *all = userdata;

        all->deferred = false;
        for (size_t i = all->n; i-- > 0;)
                if (all->list[i]->again)
                        after_host(all->list[i]);
        tell_changed(all);
}

/* Out of the callback of whatever has brought the news. */
static void look_again(Exit *e) {
        Exits *all = e->all;

        e->again = true;
        if (!all->deferred && loop_defer(all->params.loop, on_deferred, all) == 0)
                all->deferred = true;
}

static void on_ended(void *userdata) {
        look_again(userdata);
}

static void start_host(Exit *e) {
        const ExitRecord *record = e->held.plugin ? &e->held : &e->next;
        const ExitsParams *p = &e->all->params;
        ExitHostParams params = {.loop = p->loop,
                                 .host_path = p->host_path,
                                 .plugin_dirs = p->plugin_dirs,
                                 .instance = e->instance,
                                 .record = record,
                                 .log_level = log_level(),
                                 .take = on_take,
                                 .done = on_done,
                                 .ended = on_ended,
                                 .userdata = e};
        int r = record->plugin ? exit_host_new(&e->host, &params) : -ENODATA;

        e->done = e->killed = e->want = false;
        e->busy = n_unclaimed(e) < n_kept(e);
        if (r == 0)
                return;
        log_instance(LOG_ERR, e->instance, "its outputs stay as they are, since they cannot get their on_exit values: %s",
                     r == -ENODATA ? "the settings that they were driven with are lost; start the instance and stop it"
                                   : strerror(-r));
        look_again(e);
}

static void give_waiting(Exit *e) {
        char **names = TAKE_PTR(e->waiting);
        size_t n = e->n_waiting;

        e->n_waiting = 0;
        for (size_t i = 0; i < n; i++) {
                exits_take(e->all, e->instance, names[i]);
                free(names[i]);
        }
        free(names);
}

static void forget_exit(Exit *e) {
        Exits *all = e->all;
        size_t i = 0;

        while (all->list[i] != e)
                i++;
        all->list[i] = all->list[--all->n];
        exit_free(e);
}

/* The host is gone, or could not be started. */
static void after_host(Exit *e) {
        e->again = false;
        e->host = exit_host_free(e->host);
        e->set |= e->done && !e->busy;
        give_waiting(e);
        if (e->want && n_unclaimed(e) > 0) {
                start_host(e);
                return;
        }
        if (e->final || e->forget)
                forget_unclaimed(e);
        e->forget = false;
        if (e->final && !e->running && n_kept(e) == 0)
                forget_exit(e);
}

/* A host that is at it already sets them all, but for those that a process had claimed when it came to them. */
static void set_outputs(Exit *e) {
        if (e->host || e->again)
                e->want |= e->killed || e->busy;
        else
                start_host(e);
}

static void on_timer(void *userdata) {
        Exit *e = userdata;

        if (e->set || (e->running && n_unclaimed(e) == 0))
                return; /* armed while a host was at it; late, but it has set them all */
        log_instance(LOG_WARNING, e->instance, "is not back after %g s: its outputs get their on_exit values",
                     (double)e->held.after / USEC_PER_SEC);
        set_outputs(e);
        tell_changed(e->all);
}

/* ---- from the instances */

int exits_begin(Exits *all, const char *instance, const char *plugin, const uint8_t *settings, size_t size, usec_t after) {
        Exit *e = find(all, instance);
        int r = e ? 0 : add(all, instance, &e);

        if (r == 0)
                r = exit_record_set(&e->next, plugin, settings, size, after);
        if (r < 0)
                return r;
        e->running = true;
        e->final = false;
        return 0;
}

int exits_keep(Exits *all, const char *instance, const char *name, int fd) {
        Exit *e = find(all, instance);
        int r;

        if (!e) {
                closep(&fd);
                return -ENOENT;
        }
        /* The record first: a crash may come between the two. Where all that is kept is of this process, so are the settings. */
        if (e->next.plugin && (!e->held.plugin || n_unclaimed(e) == 0) && !exit_record_same(&e->held, &e->next) &&
            hold_next(e) == 0)
                write_record(e, &e->held);
        r = keep_put(all->params.keep, instance, name, fd);
        e->set = false;
        e->busy |= e->host != NULL; /* which cannot have set this one */
        if (n_kept(e) == 0)
                adopt_next(e);
        return r;
}

static int take_later(Exit *e, const char *name) {
        char **names = reallocarray(e->waiting, e->n_waiting + 1, sizeof(*names));
        char *copy = names ? strdup(name) : NULL;

        if (names)
                e->waiting = names;
        if (!copy)
                return -ENOMEM;
        e->waiting[e->n_waiting++] = copy;
        e->killed = true;
        exit_host_stop(e->host, 0);
        return 0;
}

void exits_take(Exits *all, const char *instance, const char *name) {
        Exit *e = find(all, instance);
        int fd = -ENOENT;

        if (e)
                e->running = true; /* also one that was started again by itself */
        if (e && e->host && e->n_waiting < KEEP_MAX && take_later(e, name) == 0)
                return;
        if (e) {
                fd = keep_take(all->params.keep, instance, name);
                if (fd >= 0) {
                        keep_claim(all->params.keep, instance, name);
                        e->set = false;
                }
        }
        if (all->events.give)
                all->events.give(all->events.userdata, instance, name, fd);
        else
                closep(&fd);
}

void exits_forget(Exits *all, const char *instance, const char *name) {
        Exit *e = find(all, instance);

        keep_forget(all->params.keep, instance, name);
        if (!e || n_kept(e) > 0)
                return;
        exit_record_done(&e->held); /* what is kept next has a record of its own */
        save(e);
}

/* One that is not well may have failed to open: what it has not taken it may still want. */
void exits_back(Exits *all, const char *instance, bool well) {
        Exit *e = find(all, instance);

        if (!e || (!well && n_unclaimed(e) > 0))
                return;
        loop_timer_disarm(e->timer);
        if (e->held.away > 0) {
                e->held.away = 0;
                save(e);
        }
        if (n_unclaimed(e) > 0 && !e->forget) {
                log_instance(LOG_NOTICE, instance, "no longer uses what it had kept: outputs among it get their on_exit values");
                e->forget = true;
                set_outputs(e);
        }
        adopt_next(e);
}

/* on_exit_after, from now on: a process that begins gets it whole, for it takes a moment to open its hardware. But not one after
 * the other for ever, if they, or whole daemons, end before they are well. */
static usec_t patience(Exit *e) {
        usec_t now = loop_boottime(e->all->params.loop);

        if (e->held.away == 0 && e->held.plugin) {
                e->held.away = now;
                save(e);
        }
        return e->held.away > 0 && now > e->held.away + MAX(AWAY_MAX, e->held.after) ? 0 : e->held.after;
}

static void wait_for_it(Exit *e) {
        e->forget = false;
        keep_unclaim_all(e->all->params.keep, e->instance);
        if (n_kept(e) > 0 && !e->set && !e->all->leaving && !loop_timer_armed(e->timer))
                loop_timer_arm_in(e->timer, patience(e), 10 * USEC_PER_MSEC);
}

void exits_away(Exits *all, const char *instance) {
        Exit *e = find(all, instance);

        if (e)
                wait_for_it(e);
}

static void end_finally(Exit *e) {
        loop_timer_disarm(e->timer);
        keep_unclaim_all(e->all->params.keep, e->instance);
        if (n_kept(e) > 0)
                set_outputs(e);
        else if (!e->host && !e->again)
                forget_exit(e);
}

void exits_ended(Exits *all, const char *instance, bool final) {
        Exit *e = find(all, instance);

        if (!e)
                return;
        e->running = false;
        e->final = final;
        while (e->n_waiting > 0)
                free(e->waiting[--e->n_waiting]); /* of the process that has ended: another one asks for itself */
        if (final)
                end_finally(e);
        else
                wait_for_it(e);
}

void exits_leave(Exits *all) {
        all->leaving = true;
        for (size_t i = 0; i < all->n; i++)
                loop_timer_disarm(all->list[i]->timer);
}

bool exits_are_busy(const Exits *all) {
        for (size_t i = 0; i < all->n; i++)
                if (all->list[i]->host || all->list[i]->again)
                        return true;
        return false;
}

const char *exits_instance_at(const Exits *all, size_t i) {
        return i < all->n ? all->list[i]->instance : NULL;
}

/* ---- */

static int adopt(Exits *all, const char *instance) {
        Exit *e;
        int r = find(all, instance) ? 0 : add(all, instance, &e);

        if (r < 0 || find(all, instance)->held.plugin)
                return r;
        e = find(all, instance);
        if (exit_record_load(&e->held, all->params.runtime_dir, instance) < 0)
                e->held.after = AFTER_DEFAULT;
        exits_ended(all, instance, false);
        return 0;
}

/* Nothing of it is kept any more: its lines may be somebody else's. */
static int forget_record(void *userdata, const char *instance, const ExitRecord *record _unused_) {
        const Exits *all = userdata;

        if (!find(all, instance))
                (void)!exit_record_save(NULL, all->params.runtime_dir, instance);
        return 0;
}

int exits_new(Exits **ret, const ExitsParams *params) {
        _cleanup_(exits_freep) Exits *all = calloc(1, sizeof(*all));
        int r = 0;

        if (!all)
                return -ENOMEM;
        all->params = *params;
        for (size_t i = 0; r == 0 && i < keep_n(params->keep, NULL); i++)
                r = adopt(all, keep_instance_at(params->keep, i));
        if (r < 0)
                return r;
        (void)!exit_record_each(params->runtime_dir, forget_record, all);
        *ret = TAKE_PTR(all);
        return 0;
}

void exits_set_overdue(Exits *all, usec_t within) {
        usec_t now = loop_monotonic(all->params.loop), until = now + within;
        int r = 1;

        for (size_t i = 0; i < all->n; i++) {
                Exit *e = all->list[i];

                if (!loop_timer_armed(e->timer) || loop_timer_deadline(e->timer) > now)
                        continue;
                loop_timer_disarm(e->timer);
                on_timer(e);
        }
        while (r > 0 && exits_are_busy(all) && (now = loop_monotonic(all->params.loop)) < until)
                r = loop_iterate(all->params.loop, until - now);
}

void exits_listen(Exits *all, const ExitsEvents *events) {
        all->events = events ? *events : (ExitsEvents){ 0 };
}

Exits *exits_free(Exits *all) {
        if (!all)
                return NULL;
        for (size_t i = 0; i < all->n; i++)
                exit_free(all->list[i]);
        free(all->list);
        free(all);
        return NULL;
}
