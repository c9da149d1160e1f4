/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the agent know of each other: agent-parts.c (what there is, reload), agent-server.c (the connection),
 * agent-stop.c (the end). For them alone. */
#pragma once

#include "agent/agent.h"
#include "agent/bus.h"
#include "agent/clock.h"
#include "agent/device.h"
#include "agent/enroll.h"
#include "agent/report.h"
#include "agent/server.h"

typedef enum Phase { PHASE_RUN, PHASE_HOSTS, PHASE_SEND, PHASE_STORE, PHASE_END } Phase;

struct Agent {
        AgentParams params;
        Config *config;
        char *config_error;
        Board board;
        Device *device;
        Enroll *enroll;
        Bus *bus;
        char *ring_path, *clock_path, *limits_path; /* in the runtime directory */
        Clock *clock;
        bool estimating; /* rows went with an estimate of the time */
        Spool *spool;
        Instances *instances;
        Server *server;      /* NULL: none set */
        bool server_leaving; /* when its thread has ended the one of the configuration takes its place */
        bool left_thread;
        Phase phase;
        usec_t stop_began, send_ended;
        Written written;
        LoopTimer *status_timer;
        LoopTimer *liveness_timer;
        LoopTimer *stop_timer;
        usec_t liveness_every;
};

static inline usec_t agent_now(const Agent *a) {
        return loop_monotonic(a->params.loop);
}

/* ---- agent-parts.c */
void agent_status_changed(void *userdata);
/* Rows wait: the server looks, or while stopping sends all. */
void agent_notify_server(Agent *a, bool immediate);

/* ---- agent-server.c */
/* That of the configuration, if it has one and may connect. A failure is in the log. */
int agent_add_server(Agent *a);
void agent_leave_server(Agent *a);
void agent_on_enroll_changed(void *userdata);

/* ---- agent-stop.c */
void agent_stop_go_on(void *userdata);
/* At once; a thread that hangs is left behind. */
void agent_stop_server(Agent *a);
void agent_stop_store(Agent *a);
/* Something has ended that stopping may wait for. */
void agent_stop_look(void *userdata);
