/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of an instance share. */
#pragma once

#include "agent/instance.h"
#include "agent/plugin-state.h"

struct Instance {
        InstanceParams params;
        char *name, *plugin;
        usec_t on_exit_after;
        bool optional, strict;
        bool final; /* nobody takes over from it */
        bool misconfigured;
        char *reason; /* of misconfigured */
        uint8_t *settings;
        size_t settings_size;
        char *plugin_file;
        Child *child; /* NULL: misconfigured from the start */
        PluginState *kept; /* NULL as well */
        bool mute; /* another instance has the keys of what would be told of this one */
        enum { OK_UNKNOWN, OK_FALSE, OK_TRUE } ok;
        bool time_estimated; /* told, and not taken back */
        InstanceStats stats;
};

/* What its process tells; userdata: the Instance. */
extern const ChildEvents instance_events;

/* As if its process had told so; child NULL: there is none. */
void instance_on_state(void *userdata, Child *child, HostState state, const char *reason);
/* The first reason stays. */
void instance_mark_misconfigured(Instance *i, const char *reason);
