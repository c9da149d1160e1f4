/* SPDX-License-Identifier: Apache-2.0 */
/* Owns and wires everything: instances into the spool, the spool through the uplink to the server. Main thread. */
#pragma once

#include "agent/config.h"
#include "agent/exits.h"
#include "base/loop.h"

typedef struct Agent Agent;

typedef struct AgentParams {
        Loop *loop;
        Exits *exits; /* it is told of processes, and what there is kept goes to them; borrowed for the agent's life */
        const char *config_path;  /* for messages */
        const char *config_error; /* why the last good configuration runs; NULL: it is the file's */
        const char *host_path;
        const char *plugin_dirs;
        const char *runtime_dir; /* on a tmpfs: survives the process, not the boot */
        const char *state_dir;
        const char *device_tree; /* serial number and model of the board */
        void (*reload)(void *userdata); /* the configuration is to be read again, as for SIGHUP */
        void *userdata;
        int log_level;
        usec_t deaf_after; /* the MQTT worker may stay silent so long (DESIGN.md 2) */
} AgentParams;

/* Takes config over, also on failure. Texts in params are borrowed for the agent's life. */
_must_check_ int agent_new(Agent **ret, const AgentParams *params, Config *config);
Agent *agent_free(Agent *a);
DEFINE_CLEANUP(Agent *, agent_free)

/* Sampling starts at once, the connection beside it. */
_must_check_ int agent_start(Agent *a);
/* Drains hosts, sends what it can within about a second, puts the rest on the disk; ends the loop with 0 in less than two from
 * `asked`, when it was asked for (loop_monotonic()). final: outputs get their on_exit values, for no daemon is going to take
 * them over. */
void agent_stop(Agent *a, usec_t asked, bool final);
/* A thread that hangs was left behind (DNS, a disk): the process has to end by _exit(). */
bool agent_left_thread(const Agent *a);
/* Takes config over: only instances whose part changed restart, a changed server part reconnects. */
_must_check_ int agent_reload(Agent *a, Config *config);
/* A file that could not be used: what runs stays, the status says why. NULL: all well again. */
void agent_set_config_error(Agent *a, const char *text);
/* Owned by the caller; NULL: no memory. */
char *agent_status_json(Agent *a);
