/* SPDX-License-Identifier: Apache-2.0 */
/* Which instances want to know of which shared attributes. Main thread. */
#pragma once

#include "agent/instance.h"
#include "tb/attributes.h"

typedef struct Subscriptions Subscriptions;

typedef struct SubscriptionsParams {
        Loop *loop;
        const Attributes *attributes; /* borrowed for life */
        Instance *(*instance)(void *userdata, const char *name); /* NULL: there is none */
        void *userdata;
} SubscriptionsParams;

_must_check_ int subscriptions_new(Subscriptions **ret, const SubscriptionsParams *params);
Subscriptions *subscriptions_free(Subscriptions *all);
DEFINE_CLEANUP(Subscriptions *, subscriptions_free)

/* It is told at once what there is, also where it has asked before. -ENOSPC: too many are wanted. */
_must_check_ int subscriptions_add(Subscriptions *all, const char *instance, const char *key);
/* NULL: of all instances. */
void subscriptions_forget(Subscriptions *all, const char *instance);
/* json NULL: it is gone. */
void subscriptions_changed(Subscriptions *all, const char *key, const char *json);
