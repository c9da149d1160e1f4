/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's life in its host: opened, sampled on schedule, found ill or gone, closed, opened again. */
#pragma once

#include "sensor/plugin.h"
#include "sensor/schedule.h"
#include "sensor/services.h"

typedef struct Life Life;

typedef struct LifeParams {
        Loop *loop;
        Services *services;
        Outbox *outbox;
        const Plugin *plugin;
        const Node *options;
        /* the host has to end: this cannot be mended here */
        void (*fatal)(void *userdata, const char *reason);
        void *userdata;
} LifeParams;

_must_check_ int life_new(Life **ret, const LifeParams *params); /* all is borrowed */
Life *life_free(Life *l); /* after life_close() */
DEFINE_CLEANUP(Life *, life_free)

/* Opens, and goes on by itself from there. */
void life_start(Life *l);
/* One attempt to open: 0, or -errno, told as a state. */
_must_check_ int life_open(Life *l);
/* One sample now, beside the schedule; as the plugin returned. -ENOTCONN: not open. */
int life_sample(Life *l);
void life_close(Life *l);
/* The option `every` has changed. */
void life_reschedule(Life *l);
/* After each call into the plugin: arms what has become due. */
void life_settle(Life *l);

bool life_is_open(const Life *l);
void *life_state(const Life *l); /* the plugin's */
void life_send_counters(Life *l);
