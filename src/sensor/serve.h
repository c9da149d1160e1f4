/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin host's conversation with the daemon once the configuration is checked: frames in, frames out, live
 * settings, methods. */
#pragma once

#include "base/loop.h"
#include "sensor/channels.h"
#include "sensor/guard.h"
#include "sensor/outbox.h"
#include "sensor/plugin.h"

typedef struct Serve Serve;

typedef struct ServeParams {
        Loop *loop;
        int fd; /* the socket */
        Outbox *outbox;
        Guard *guard;
        const Plugin *plugin;
        const char *instance;
        Node *options;
        const Setting *settings;
        Channels *channels; /* taken over */
        const void *state;
        size_t state_size;
        bool once; /* it is for serve_once() */
} ServeParams;

/* All but `channels` is borrowed. On failure channels stays the caller's. */
_must_check_ int serve_new(Serve **ret, const ServeParams *params);
Serve *serve_free(Serve *s);
DEFINE_CLEANUP(Serve *, serve_free)

/* One for each FrameMode beside CHECK. Returns the exit code. */
int serve_run(Serve *s);
int serve_once(Serve *s);
int serve_scan(Serve *s);
int serve_exit_state(Serve *s);
