/* SPDX-License-Identifier: Apache-2.0 */
/* All instances, held to the configuration: what is gone or changed ends, what is missing starts. Main thread. */
#pragma once

#include "agent/config.h"
#include "agent/instance.h"

typedef struct Instances Instances;

typedef struct InstancesParams {
        InstanceParams instance; /* what each gets, but for keys, owner and callbacks; borrowed for life */
        void (*appended)(void *userdata, bool immediate);
        void (*changed)(void *userdata); /* a status would show it, or one is through with its end */
        bool (*time_trusted)(void *userdata);
        bool (*online)(void *userdata); /* as in InstanceParams */
        void (*instance_changed)(void *userdata, Instance *i); /* its state or reason */
        void (*frame)(void *userdata, Instance *i, const Frame *f); /* as in InstanceParams */
        /* Whether it is to run, where more than the configuration decides; NULL: as the configuration says. */
        bool (*enabled)(void *userdata, const char *name, bool configured);
        void *userdata;
} InstancesParams;

_must_check_ int instances_new(Instances **ret, const InstancesParams *params);
/* Ends what still runs by SIGKILL; the loop does not turn any more. */
Instances *instances_free(Instances *all);
DEFINE_CLEANUP(Instances *, instances_free)

/* config is borrowed until the next one. Only what differs restarts; what was misconfigured is tried again. */
void instances_set_config(Instances *all, const Config *config);
/* All end and none starts any more: instances_n() falls to 0 within about `wait`, by SIGKILL if need be. final: outputs get
 * their on_exit values; else they are held for a daemon that comes. */
void instances_stop(Instances *all, usec_t wait, bool final);
void instances_kill(Instances *all); /* whatever is left */

/* See instance_connection(). */
void instances_connection(const Instances *all, bool online);
/* See instance_time_trusted(). */
void instances_time_trusted(const Instances *all);

/* enabled() may say something else now. */
void instances_look_again(Instances *all);
/* Any that is configured, running or not, enabled or not. */
bool instances_has(const Instances *all, const char *name);
Instance *instances_find(const Instances *all, const char *name); /* NULL: there is none now */

/* Outputs of some that are gone are being set. */
bool instances_are_busy(const Instances *all);
size_t instances_n(const Instances *all);
const Instance *instances_at(const Instances *all, size_t i);
