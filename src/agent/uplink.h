/* SPDX-License-Identifier: Apache-2.0 */
/* Rows from the spool to the server: batches under the server's limits, a small window in flight, pacing,
 * and spool_ack() when the PUBACK is there, and only then. */
#pragma once

#include "base/loop.h"
#include "spool/spool.h"
#include "tb/client.h"

typedef struct Uplink Uplink;

typedef struct UplinkParams {
        Loop *loop;
        Spool *spool;   /* borrowed */
        Client *client; /* borrowed */
        usec_t batch_interval;
        size_t batch_size;
        unsigned window; /* batches in flight, <= 8 */
        bool (*may_estimate)(void *userdata); /* rows whose time is an estimate may go; NULL: they may */
        usec_t splay;    /* fixed delay of the batch tick, < batch_interval (DESIGN.md 3.7) */
        /* rows per second that waited long, beside the new ones, where the server names no limits; 0: any */
        unsigned backlog_rate;
        /* How a payload leaves; NULL: client_telemetry(). Tests put a server of their own here, client may be NULL then. */
        int (*send)(void *userdata, const void *payload, size_t size, uint64_t context);
        void *userdata;
} UplinkParams;

typedef struct UplinkStats {
        uint64_t batches, batches_acked, rows_acked, points_acked, resent_batches, payload_bytes;
        size_t in_flight;
        double message_rate, point_rate; /* the pace in force; 0: no limit known */
        usec_t last_ack; /* monotonic; 0: never */
        usec_t blocked_until; /* monotonic: pacing; 0: not blocked */
} UplinkStats;

_must_check_ int uplink_new(Uplink **ret, const UplinkParams *params);
Uplink *uplink_free(Uplink *u);
DEFINE_CLEANUP(Uplink *, uplink_free)

/* Rows were appended; immediate: one of them must not wait for the batch interval. */
void uplink_notify(Uplink *u, bool immediate);
/* The client came online (limits known or not) or went offline; told by the agent. reason as the session gave it. */
void uplink_online(Uplink *u, const ClientLimits *limits);
void uplink_offline(Uplink *u, SessionReason reason);
/* PUBACK (or loss) of a batch, told by the agent from the client's event. */
void uplink_published(Uplink *u, uint64_t context, int code);
/* Sends what waits without regard to the interval (orderly stop). */
void uplink_flush(Uplink *u);
bool uplink_idle(const Uplink *u); /* nothing waits, nothing in flight */
UplinkStats uplink_stats(const Uplink *u);
