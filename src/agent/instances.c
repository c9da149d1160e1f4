/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances are held to the configuration by reconcile(), which may run at any time and any number of
 * times: what is gone or changed is asked to stop, what has stopped is freed, what is missing is started.
 * Start, reload and the end of a process are all the same to it. Freeing happens in a deferred call only,
 * because news of a process come from inside that process's own object. Nothing is started while something
 * is still ending: it may hold the keys and the hardware that the new one wants. A process that hangs in the
 * kernel holds up nobody but its own instance.
 */
#include "agent/instances.h"
#include "base/log.h"

#define RELOAD_WAIT (2 * USEC_PER_SEC) /* there is time then: a slow sample may end */

typedef struct Slot {
        Instance *instance;
        bool leaving;
} Slot;

struct Instances {
        InstancesParams params;
        const Config *config; /* NULL: stopped, none is wanted */
        Keys *keys;
        Exits *exits; /* borrowed */
        Slot *slots;
        size_t n_slots;
        unsigned next_owner;
        usec_t wait; /* for one that has to end */
        bool final;  /* without a config: nobody takes over */
        bool deferred;
};

static void reconcile(Instances *all);

static void on_deferred(void *userdata) {
        Instances *all = userdata;

        all->deferred = false;
        reconcile(all);
        all->params.changed(all->params.userdata);
}

static void defer_reconcile(Instances *all) {
        if (!all->deferred && loop_defer(all->params.instance.loop, on_deferred, all) == 0)
                all->deferred = true;
}

static void on_instance(void *userdata, Instance *i) {
        Instances *all = userdata;

        all->params.instance_changed(all->params.userdata, i);
        defer_reconcile(all);
}

static void on_frame(void *userdata, Instance *i, const Frame *f) {
        const Instances *all = userdata;

        all->params.frame(all->params.userdata, i, f);
}

static void on_appended(void *userdata, bool immediate) {
        const Instances *all = userdata;

        all->params.appended(all->params.userdata, immediate);
}

static bool time_trusted(void *userdata) {
        const Instances *all = userdata;

        return all->params.time_trusted(all->params.userdata);
}

static const char *owner_name(void *userdata, unsigned owner) {
        const Instances *all = userdata;

        for (size_t i = 0; i < all->n_slots; i++)
                if (instance_owner(all->slots[i].instance) == owner)
                        return instance_name(all->slots[i].instance);
        return NULL;
}

static bool is_enabled(const Instances *all, const ConfigInstance *c) {
        return all->params.enabled ? all->params.enabled(all->params.userdata, c->name, c->enabled) : c->enabled;
}

static const ConfigInstance *configured(const Instances *all, const char *name) {
        for (size_t i = 0; all->config && i < config_n_instances(all->config); i++) {
                const ConfigInstance *c = config_instance(all->config, i);
                if (streq(c->name, name))
                        return c;
        }
        return NULL;
}

static const ConfigInstance *wanted(const Instances *all, const char *name) {
        const ConfigInstance *c = configured(all, name);

        return c && is_enabled(all, c) ? c : NULL;
}

Instance *instances_find(const Instances *all, const char *name) {
        for (size_t i = 0; i < all->n_slots; i++)
                if (streq(instance_name(all->slots[i].instance), name))
                        return all->slots[i].instance;
        return NULL;
}

static bool online(void *userdata) {
        const Instances *all = userdata;

        return all->params.online && all->params.online(all->params.userdata);
}

static int add_instance(Instances *all, const ConfigInstance *config) {
        InstanceParams p = all->params.instance;
        Slot *slots = reallocarray(all->slots, all->n_slots + 1, sizeof(*slots));
        Instance *instance;
        int r;

        if (!slots)
                return -ENOMEM;
        all->slots = slots;
        p.keys = all->keys;
        p.owner = all->next_owner++;
        p.appended = on_appended;
        p.changed = on_instance;
        p.frame = on_frame;
        p.owner_name = owner_name;
        p.time_trusted = time_trusted;
        p.online = online;
        p.userdata = all;
        r = instance_new(&instance, &p, config);
        if (r < 0)
                return r;
        all->slots[all->n_slots++] = (Slot){ .instance = instance };
        instance_start(instance);
        return 0;
}

static void remove_slot(Instances *all, size_t i) {
        instance_free(all->slots[i].instance);
        all->slots[i] = all->slots[--all->n_slots];
}

/* Another plugin of the same name takes nothing over. */
static bool is_final(const Instances *all, const Instance *i) {
        const ConfigInstance *c = wanted(all, instance_name(i));

        return all->config ? !c || !streq(c->plugin, instance_plugin(i)) : all->final;
}

static void leave(const Instances *all, Slot *s) {
        if (s->leaving) { /* whether somebody takes over may have changed since */
                instance_set_final(s->instance, is_final(all, s->instance));
                return;
        }
        s->leaving = true;
        instance_stop(s->instance, all->wait, is_final(all, s->instance));
}

/* A daemon before this one has left what they kept, and nobody is going to take it. */
static void end_strangers(const Instances *all) {
        const char *name;
        size_t n = 0;

        while (exits_instance_at(all->exits, n))
                n++;
        while (n-- > 0)
                if ((name = exits_instance_at(all->exits, n)) && !instances_find(all, name) && !wanted(all, name))
                        exits_ended(all->exits, name, all->config || all->final);
}

/* true: some are still ending. */
static bool leave_unwanted(Instances *all) {
        bool ending = false;

        for (size_t i = 0; i < all->n_slots; i++) {
                const Instance *in = all->slots[i].instance;
                const ConfigInstance *c = wanted(all, instance_name(in));
                if (!c || !instance_is_same(in, c))
                        leave(all, &all->slots[i]);
        }
        for (size_t i = all->n_slots; i-- > 0;) {
                const Slot *s = &all->slots[i];
                bool stuck = instance_is_stuck(s->instance);
                if (s->leaving && (instance_is_stopped(s->instance) || (stuck && !all->config)))
                        remove_slot(all, i);
                else
                        ending |= s->leaving && !stuck;
        }
        return ending;
}

static void reconcile(Instances *all) {
        bool ending = leave_unwanted(all);

        for (size_t i = 0; !ending && all->config && i < config_n_instances(all->config); i++) {
                const ConfigInstance *c = config_instance(all->config, i);
                int r = is_enabled(all, c) && !instances_find(all, c->name) ? add_instance(all, c) : 0;
                if (r < 0)
                        log_instance(LOG_ERR, c->name, "cannot be set up: %s", strerror(-r));
        }
}

void instances_set_config(Instances *all, const Config *config) {
        all->config = config;
        /* What was wrong may be mended elsewhere: a plugin is installed, another instance gave up a key. */
        for (size_t i = 0; i < all->n_slots; i++)
                if (instance_state(all->slots[i].instance) == HOST_MISCONFIGURED)
                        leave(all, &all->slots[i]);
        reconcile(all);
        end_strangers(all);
}

void instances_look_again(Instances *all) {
        defer_reconcile(all);
}

bool instances_has(const Instances *all, const char *name) {
        return configured(all, name);
}

void instances_stop(Instances *all, usec_t wait, bool final) {
        all->config = NULL;
        all->wait = wait;
        all->final = final;
        if (!final)
                exits_leave(all->exits);
        end_strangers(all);
        defer_reconcile(all);
}

void instances_kill(Instances *all) {
        while (all->n_slots > 0)
                remove_slot(all, all->n_slots - 1);
}

static void on_give(void *userdata, const char *instance, const char *name, int fd) {
        Instance *i = instances_find(userdata, instance);

        if (i)
                instance_give(i, name, fd);
        else
                closep(&fd);
}

static void on_exits(void *userdata) {
        const Instances *all = userdata;

        all->params.changed(all->params.userdata);
}

int instances_new(Instances **ret, const InstancesParams *params) {
        _cleanup_(instances_freep) Instances *all = calloc(1, sizeof(*all));
        int r;

        if (!all)
                return -ENOMEM;
        all->params = *params;
        all->next_owner = 1;
        all->wait = RELOAD_WAIT;
        r = keys_new(&all->keys);
        if (r < 0)
                return r;
        all->exits = params->instance.exits;
        exits_listen(all->exits, &(ExitsEvents){ .give = on_give, .changed = on_exits, .userdata = all });
        *ret = TAKE_PTR(all);
        return 0;
}

Instances *instances_free(Instances *all) {
        if (!all)
                return NULL;
        for (size_t i = 0; i < all->n_slots; i++)
                instance_free(all->slots[i].instance);
        free(all->slots);
        if (all->exits)
                exits_listen(all->exits, NULL);
        keys_free(all->keys);
        free(all);
        return NULL;
}

void instances_connection(const Instances *all, bool is_online) {
        for (size_t i = 0; i < all->n_slots; i++)
                instance_connection(all->slots[i].instance, is_online);
}

void instances_time_trusted(const Instances *all) {
        for (size_t i = 0; i < all->n_slots; i++)
                instance_time_trusted(all->slots[i].instance);
}

bool instances_are_busy(const Instances *all) {
        return exits_are_busy(all->exits);
}

size_t instances_n(const Instances *all) {
        return all->n_slots;
}

const Instance *instances_at(const Instances *all, size_t i) {
        return all->slots[i].instance;
}
