/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of a configuration whose plugins are not installed: there, but none has a process. */
#pragma once

#include "agent/instances.h"

typedef struct AgentWorld {
        Loop *loop;
        Spool *spool;
        Keep *keep;
        Exits *exits;
        Config *config;
        Instances *instances;
        char *root;
} AgentWorld;

void agent_world_new(AgentWorld *w, const char *config); /* the text of the file */
void agent_world_done(AgentWorld *w);
