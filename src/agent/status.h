/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the whole daemon in one sentence for `systemctl status`. Pure. */
#pragma once

#include "agent/instances.h"
#include "agent/overrides.h"
#include "mqtt/session.h"
#include "spool/spool.h"

typedef struct StatusView {
        const char *url;          /* NULL: no server set */
        const char *config_error; /* NULL: none */
        const char *enrolling;    /* it is asking for a device of its own; NULL: it is not */
        const char *config_path;
        SessionState session;
        int protocol;
        const char *session_text; /* why not connected */
        usec_t retry_in;
        bool refused; /* it takes no telemetry at all */
        usec_t now; /* CLOCK_REALTIME */
        bool clock_trusted;
        SpoolStats spool;
        uint64_t written_today; /* bytes */
        const Config *config;
        const Instances *instances; /* NULL: none */
        const Overrides *overrides; /* NULL: none */
        size_t shared; /* attributes of the server */
        bool shared_synced;
} StatusView;

/* Owned by the caller; NULL: out of memory. */
char *status_text(const StatusView *view);

/* What was written since midnight, or since the start where that was later; zero at first. */
typedef struct Written {
        int64_t day; /* 0: not known */
        uint64_t before, last;
} Written;

/* To be called now and then with the bytes since the start: what was written between the last call of a day and
 * the first of the next counts for the new one. Until the time is trusted there is no midnight. */
uint64_t written_today(Written *w, usec_t now, bool clock_trusted, uint64_t bytes);
