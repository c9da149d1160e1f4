/* SPDX-License-Identifier: Apache-2.0 */
/* A host that does not read just now is told later, and then what is true by then. */
#include "agent/subscriptions.h"

#define SUBSCRIPTIONS_MAX 1024
#define RETRY_WAIT (200 * USEC_PER_MSEC)

typedef struct Subscription {
        char *instance, *key;
        bool waits; /* the host did not read: it is told later */
} Subscription;

struct Subscriptions {
        SubscriptionsParams params;
        Subscription *list;
        size_t n;
        LoopTimer *retry;
};

static void tell(Subscriptions *all, Subscription *s, const char *json) {
        Instance *i = all->params.instance(all->params.userdata, s->instance);
        int r = i ? instance_attribute(i, s->key, json) : 0;

        s->waits = r == -EAGAIN;
        if (s->waits)
                loop_timer_arm_in(all->retry, RETRY_WAIT, USEC_PER_MSEC);
}

static void on_retry(void *userdata) {
        Subscriptions *all = userdata;

        for (size_t i = 0; i < all->n; i++) {
                Subscription *s = &all->list[i];
                const Attribute *a = s->waits ? attributes_get(all->params.attributes, s->key) : NULL;

                if (s->waits)
                        tell(all, s, a ? a->json : NULL);
        }
}

static Subscription *find(Subscriptions *all, const char *instance, const char *key) {
        for (size_t i = 0; i < all->n; i++)
                if (streq(all->list[i].key, key) && streq(all->list[i].instance, instance))
                        return &all->list[i];
        return NULL;
}

static void subscription_done(Subscription *s) {
        free(s->instance);
        free(s->key);
}

static int add(Subscriptions *all, const char *instance, const char *key, Subscription **ret) {
        Subscription s, *list;

        if (all->n >= SUBSCRIPTIONS_MAX)
                return -ENOSPC;
        list = reallocarray(all->list, all->n + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        all->list = list;
        s = (Subscription){ .instance = strdup(instance), .key = strdup(key) };
        if (!s.instance || !s.key) {
                subscription_done(&s);
                return -ENOMEM;
        }
        list[all->n] = s;
        *ret = &list[all->n++];
        return 0;
}

int subscriptions_add(Subscriptions *all, const char *instance, const char *key) {
        const Attribute *a = attributes_get(all->params.attributes, key);
        Subscription *s = find(all, instance, key); /* its plugin was opened again */
        int r = s ? 0 : add(all, instance, key, &s);

        if (r == 0 && a)
                tell(all, s, a->json);
        return r;
}

void subscriptions_forget(Subscriptions *all, const char *instance) {
        size_t n = 0;

        for (size_t i = 0; i < all->n; i++)
                if (instance && !streq(all->list[i].instance, instance))
                        all->list[n++] = all->list[i];
                else
                        subscription_done(&all->list[i]);
        all->n = n;
}

void subscriptions_changed(Subscriptions *all, const char *key, const char *json) {
        for (size_t i = 0; i < all->n; i++)
                if (streq(all->list[i].key, key))
                        tell(all, &all->list[i], json);
}

int subscriptions_new(Subscriptions **ret, const SubscriptionsParams *params) {
        _cleanup_(subscriptions_freep) Subscriptions *all = calloc(1, sizeof(*all));
        int r;

        if (!all)
                return -ENOMEM;
        all->params = *params;
        r = loop_timer_new(&all->retry, params->loop, "subscriptions", on_retry, all);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}

Subscriptions *subscriptions_free(Subscriptions *all) {
        if (!all)
                return NULL;
        subscriptions_forget(all, NULL);
        loop_timer_free(all->retry);
        free(all->list);
        free(all);
        return NULL;
}
