/* SPDX-License-Identifier: Apache-2.0 */
/* Rows from the spool to the server: batches under the server's limits, a small window in flight, pacing,
 * and spool_ack() when the PUBACK is there, and only then. New rows go first, what waits in the store fills
 * the rest; a row that the server is proven to refuse goes to spool_reject(). */
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
        unsigned backlog_rate; /* rows per second of the backlog, where the server names no limits; 0: any */
        /* Where limits are kept over a restart (DESIGN.md 3.7), on a tmpfs, and the server they are of. NULL: nowhere. Copied. */
        const char *limits_file, *limits_server;
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
        uint64_t rejected_rows;
        bool refused; /* the server takes no telemetry at all; everything is kept */
} UplinkStats;

_must_check_ int uplink_new(Uplink **ret, const UplinkParams *params);
Uplink *uplink_free(Uplink *u);
DEFINE_CLEANUP(Uplink *, uplink_free)

/* Rows were appended, the spool became ready, or the clock came to be trusted. immediate: a new row must not wait for the batch
 * interval. */
void uplink_notify(Uplink *u, bool immediate);
/* The client came online (limits known or not) or went offline; told by the agent. reason as the session gave it. */
void uplink_online(Uplink *u, const ClientLimits *limits);
void uplink_offline(Uplink *u, SessionReason reason);
/* PUBACK (or loss) of a batch, told by the agent from the client's event. */
void uplink_published(Uplink *u, uint64_t context, int code);
/* Sends new rows without regard to the interval (orderly stop). */
void uplink_flush(Uplink *u);
/* Nothing is in flight and no new row waits that could go. The backlog may be as long as it is: it stays in the store. */
bool uplink_idle(const Uplink *u);
/* Room for a message with *points client attributes, which the server counts as telemetry: 0 and it is taken, for as many
 * of them as its limits allow in one message; else when to ask again. */
usec_t uplink_take(Uplink *u, uint32_t *points);
UplinkStats uplink_stats(const Uplink *u);
