/* SPDX-License-Identifier: Apache-2.0 */
/* Options of instances that shared attributes change while they run: INSTANCE.OPTION (DESIGN.md 6). What is in effect
 * is answered by a client attribute of the same name. Main thread only. */
#pragma once

#include "base/loop.h"
#include "model/setting.h"

typedef struct Overrides Overrides;

typedef enum OverrideState {
        OVERRIDE_WAITING, /* for its instance */
        OVERRIDE_APPLIED,
        OVERRIDE_REFUSED, /* `why` says so; what held before holds */
        OVERRIDE_NONE,    /* no option that may change: a shared attribute like any other */
} OverrideState;

typedef struct Override {
        const char *key;      /* "boiler.every" */
        size_t instance_size; /* of "boiler" in it */
        const char *path;     /* "every" */
        const char *json;     /* as the server has it */
        OverrideState state;
        const char *now, *file; /* JSON in effect, and without the server; NULL: not known */
        const char *why;        /* of REFUSED */
} Override;

typedef struct OverridesParams {
        Loop *loop;
        /* Is it in the configuration? 1: yes, enabled; 0: yes, not enabled; -ENOENT. */
        int (*configured)(void *userdata, const char *instance);
        /* instance_setting(); answered by overrides_effect() */
        int (*apply)(void *userdata, const char *instance, const char *path, const Setting *setting);
        /* A client attribute; NULL: none, see published_clear(). */
        void (*publish)(void *userdata, const char *key, const char *json);
        void (*enabled)(void *userdata); /* overrides_enabled() may say something else now */
        void (*log)(void *userdata, const char *text);
        void *userdata;
} OverridesParams;

_must_check_ int overrides_new(Overrides **ret, const OverridesParams *params);
Overrides *overrides_free(Overrides *o);
DEFINE_CLEANUP(Overrides *, overrides_free)

/* Whether the server may change settings at all. */
void overrides_allow(Overrides *o, bool allowed);
/* A shared attribute has this value; json NULL: it is gone. Any key: what does not concern an instance is left aside. */
void overrides_set(Overrides *o, const char *key, const char *json);
/* The process of an instance has begun: it knows of none. */
void overrides_begin(Overrides *o, const char *instance);
/* What the instance answered. error: 0, or negative. now, file: JSON. */
void overrides_effect(Overrides *o, const char *instance, const char *path, int error, const char *now, const char *file,
                      const char *why);
/* Another configuration is in force: what the server overrides in it goes to the log. */
void overrides_reloaded(Overrides *o);
bool overrides_enabled(const Overrides *o, const char *instance, bool configured);

size_t overrides_n(const Overrides *o);
Override overrides_at(const Overrides *o, size_t i); /* texts are borrowed */
