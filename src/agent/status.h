/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the whole daemon in one sentence for `systemctl status`. Pure. */
#pragma once

#include "agent/instance.h"
#include "mqtt/session.h"
#include "spool/spool.h"

typedef struct StatusView {
        const char *url;          /* NULL: no server set */
        const char *config_error; /* NULL: none */
        const char *config_path;
        SessionState session;
        int protocol;
        const char *session_text; /* why not connected */
        usec_t retry_in;
        bool clock_trusted;
        SpoolStats spool;
        Instance *const *instances;
        size_t n_instances;
} StatusView;

/* Owned by the caller; NULL: out of memory. */
char *status_text(const StatusView *view);
