/* SPDX-License-Identifier: Apache-2.0 */
/* What is there for a plugin in its host, and the frame round every call into it: kill timer, rows, kept state,
 * memory. sensor/operations is the plugin's view of it. */
#pragma once

#include "base/loop.h"
#include "sensor/channels.h"
#include "sensor/events.h"
#include "sensor/guard.h"
#include "sensor/outbox.h"
#include "sensor/sampler.h"

#define SERVICES_STATE_MAX (4 * KIB)
#define SERVICES_RPC_MAX 64
#define SERVICES_TEXT_MAX 1024

typedef struct ServicesParams {
        const struct tbagent_services *operations;
        Loop *loop;
        Outbox *outbox;
        Guard *guard;
        const char *instance; /* all of these are borrowed */
        Node *options;
        Channels **channels;  /* what the pointer points to may be replaced between calls */
        bool strict;
        bool once; /* one sample for somebody who looks */
        const void *state;    /* kept from before; copied */
        size_t state_size;
        /* takes the descriptor out of FRAME_FD, or -errno; waits for it */
        int (*take_fd)(void *userdata, const char *name);
        /* the plugin uses too much memory */
        void (*memory_short)(void *userdata, uint64_t used);
        /* a call has ended: rows may have become due, the socket may be full */
        void (*left)(void *userdata);
        void *userdata;
} ServicesParams;

typedef struct Services {
        struct tbagent_host host; /* first: it is all the plugin sees */
        ServicesParams params;
        Sampler *sampler;
        Events *events;
        bool in_call, armed;
        bool final; /* nobody takes over from this process */
        bool online; /* the server can be reached */
        problem_fn problem; /* check() runs: who is told; else NULL */
        void *problem_userdata;
        bool quiet; /* complaints are only kept: absence of an optional instance is silent */
        int log_level;
        char complaint[256];
        char complained[256]; /* the complaint that was logged last: it is not repeated until a sample is good */
        unsigned refused_told; /* bits of the kinds of mistakes */
        uint64_t rpc[SERVICES_RPC_MAX];
        size_t n_rpc;
        uint8_t state[SERVICES_STATE_MAX];
        size_t state_size;
        bool state_changed;
} Services;

_must_check_ int services_new(Services **ret, const ServicesParams *params);
Services *services_free(Services *s);
DEFINE_CLEANUP(Services *, services_free)

int64_t services_wall_ns(const Services *s); /* CLOCK_REALTIME - CLOCK_BOOTTIME */

/* Every call into the plugin stands between these. returned() may come before leave(), where frames have to
 * be sent before the rows of the call. */
void services_enter(Services *s, SamplerCall kind);
void services_returned(Services *s);
void services_leave(Services *s);
/* A log line under the instance's name. */
void services_say(Services *s, int level, const char *format, ...) _printf_(3, 4);

/* An RPC is open until it is answered. -EBUSY: too many are. */
_must_check_ int services_rpc_begin(Services *s, uint64_t id);
/* Was it still open? Now it is not. */
bool services_rpc_end(Services *s, uint64_t id);
