/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping, each step with a bound, counted from the signal:
 *
 *      HOSTS  until 0.9 s  hosts are drained, so that the rows they still hold arrive; what does not end is killed
 *      SEND   until 1.3 s  while the server is there, what waits is sent without regard to the batch interval
 *      STORE  until 1.8 s  the connection is closed, what waits goes to the disk, and the plugins' states with it; outputs of
 *                          hosts that had to be killed get their on_exit values meanwhile
 *      END                 a thread that has not come back (DNS, a disk that hangs) is left behind
 *
 * What a bound cuts off is in the ring, which outlives the process.
 */
#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "agent/agent-inside.h"
#include "base/log.h"

#define HOSTS_WAIT (800 * USEC_PER_MSEC)
#define HOSTS_WAIT_MIN (100 * USEC_PER_MSEC)
#define HOSTS_UNTIL (900 * USEC_PER_MSEC)
#define SEND_UNTIL (1300 * USEC_PER_MSEC)
#define SERVER_UNTIL (300 * USEC_PER_MSEC) /* from SEND's end */
#define STORE_UNTIL (1800 * USEC_PER_MSEC)
#define STORE_LOOK_EVERY (10 * USEC_PER_MSEC)
#define END_WAIT (50 * USEC_PER_MSEC)

static void print_counts(const Agent *a) {
        SpoolStats s = spool_stats(a->spool);

        log_info("stopped: %" PRIu64 " values made, %" PRIu64 " acknowledged, %" PRIu64 " waiting, %" PRIu64
                 " dropped; longest turn %.1f ms",
                 s.made_points, s.acked_points, s.points, s.evicted_points,
                 (double)loop_longest_turn(a->params.loop) / USEC_PER_MSEC);
}

/* A thread that hangs keeps its memory: the object is leaked on purpose. */
void agent_stop_server(Agent *a) {
        if (a->device)
                device_set_server(a->device, NULL);
        if (a->server && server_stop(a->server, END_WAIT) == -ETIMEDOUT) {
                a->left_thread = true;
                a->server = NULL;
        }
        a->server = server_free(a->server);
        if (a->enroll && enroll_stop(a->enroll, END_WAIT) == -ETIMEDOUT) {
                a->left_thread = true;
                a->enroll = NULL;
        }
}

void agent_stop_store(Agent *a) {
        SpoolStats s = spool_stats(a->spool);

        if (spool_stop(a->spool, END_WAIT) != -ETIMEDOUT)
                return;
        a->left_thread = true;
        log_warning("the disk has not answered in time: %" PRIu64 " values that wait %s", s.points,
                    s.ring_in_memory ? "are lost" : "stay in the runtime directory until the next start");
}

static void stop_end(Agent *a) {
        a->phase = PHASE_END;
        loop_timer_disarm(a->stop_timer);
        agent_stop_server(a);
        agent_stop_store(a);
        print_counts(a);
        loop_exit(a->params.loop, EXIT_SUCCESS);
}

/* Rows and the plugins' states. */
static bool is_on_disk(const Agent *a) {
        const Store *store = spool_store(a->spool);

        return spool_is_flushed(a->spool) && (!store || store_is_idle(store));
}

/* The step at hand may go on waiting for what it waits for. */
static bool stop_waits(const Agent *a) {
        usec_t passed = agent_now(a) - a->stop_began;

        switch (a->phase) {
        case PHASE_HOSTS:
                return passed < HOSTS_UNTIL && instances_n(a->instances) > 0;
        case PHASE_SEND:
                return passed < SEND_UNTIL && a->server && server_is_online(a->server) && !server_is_idle(a->server);
        case PHASE_STORE:
                return passed < STORE_UNTIL && (!is_on_disk(a) || instances_are_busy(a->instances) ||
                                                (a->server && agent_now(a) - a->send_ended < SERVER_UNTIL));
        case PHASE_RUN:
        case PHASE_END:
                break;
        }
        return true;
}

/* Nobody tells when the store is through with the small files, so it is looked at. */
static usec_t stop_next_look(const Agent *a) {
        if (a->phase == PHASE_STORE)
                return agent_now(a) + STORE_LOOK_EVERY;
        return a->stop_began + (a->phase == PHASE_HOSTS ? HOSTS_UNTIL : SEND_UNTIL);
}

void agent_stop_go_on(void *userdata) {
        Agent *a = userdata;

        while (!stop_waits(a))
                if (a->phase == PHASE_HOSTS) {
                        instances_kill(a->instances);
                        a->phase = PHASE_SEND;
                } else if (a->phase == PHASE_SEND) {
                        a->phase = PHASE_STORE;
                        a->send_ended = agent_now(a);
                        agent_leave_server(a);
                        device_flush(a->device);
                        spool_flush(a->spool);
                } else
                        stop_end(a);
        if (a->phase != PHASE_END)
                loop_timer_arm(a->stop_timer, stop_next_look(a), 0);
}

void agent_stop(Agent *a, usec_t asked, bool final) {
        usec_t passed = agent_now(a) - asked;

        if (a->phase != PHASE_RUN)
                return;
        a->phase = PHASE_HOSTS;
        a->stop_began = asked;
        sd_notify(0, "STOPPING=1\nSTATUS=Stopping.");
        loop_timer_disarm(a->status_timer);
        bus_stop(a->bus);
        agent_notify_server(a, true);
        instances_stop(a->instances, passed < HOSTS_WAIT - HOSTS_WAIT_MIN ? HOSTS_WAIT - passed : HOSTS_WAIT_MIN, final);
        agent_stop_go_on(a);
}

/* Whoever tells something may be in the middle of it: stopping goes on a turn later. */
void agent_stop_look(void *userdata) {
        const Agent *a = userdata;

        if (a->phase != PHASE_RUN && a->phase != PHASE_END)
                loop_timer_arm_in(a->stop_timer, 0, 0);
}

/* News come in bursts: one status for all of them, a moment later. */
bool agent_left_thread(const Agent *a) {
        return a->left_thread;
}
