/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to the server next, and when: batches of both lanes, probes and tests. What became of them is
 * agent/uplink's. Main thread. */
#pragma once

#include "agent/lanes.h"
#include "agent/pace.h"
#include "tb/client.h"
#include "tb/suspect.h"

typedef struct SenderParams {
        Loop *loop;
        Spool *spool;
        Client *client; /* all of them as in UplinkParams */
        usec_t interval, splay;
        size_t batch_size;
        unsigned backlog_rate;
        bool (*may_estimate)(void *userdata);
        int (*send)(void *userdata, const void *payload, size_t size, uint64_t context);
        void *userdata;
        const char *limits_file, *limits_server;
} SenderParams;

/* A row as it was sent last, for the probe. */
typedef struct Copy {
        uint64_t context; /* of its batch; 0: none */
        char *text;       /* its entry in the payload */
        size_t size;
        uint32_t points;
} Copy;

typedef struct Sender {
        SenderParams params;
        Pace pace;
        Window window;
        Lanes lanes;
        Suspect suspect;
        Batch batch;
        LoopTimer *tick, *retry;

        bool online;
        size_t max_payload;
        unsigned most; /* batches in flight */
        bool settled;  /* the server told its limits, or will not */
        usec_t unsettled_until; /* no message before that, unless it did */
        usec_t blocked_until;
        bool rewind; /* when nothing is in flight any more, go on with the first row that is not acknowledged */
        bool flushing;

        uint64_t due; /* new rows up to here are */
        bool stopped; /* new rows wait for the clock */
        struct {
                usec_t until; /* this lane waits for tokens */
                bool waited;  /* what is there now may go */
        } wait[_LANE_MAX];
        bool backlog_paced; /* what the backlog waits for is its own */
        size_t shortfall;   /* so much was missing when a batch was built that was neither full nor due */

        Copy sent[WINDOW_MAX], taken; /* not acknowledged yet; acknowledged last */
        uint64_t candidate;           /* where a row to probe with is looked for while there is no copy */
        bool tested;                  /* the last message was a test: new rows first */

        uint64_t batches, bytes;
} Sender;

_must_check_ int sender_init(Sender *s, const SenderParams *params);
void sender_done(Sender *s);

void sender_online(Sender *s);
void sender_offline(Sender *s); /* nothing is in flight any more */
/* All new rows are due from now on. */
void sender_make_due(Sender *s);
/* Sends what may go now. */
void sender_pump(Sender *s);
void sender_block(Sender *s, usec_t until);
/* The batch with this context arrived; it did not. */
void sender_copy_taken(Sender *s, uint64_t context);
void sender_copy_lost(Sender *s, uint64_t context);
/* ranges of the suspect were taken away: when they were the last ones, all goes on. */
void sender_suspects_gone(Sender *s);
bool sender_is_idle(const Sender *s);
