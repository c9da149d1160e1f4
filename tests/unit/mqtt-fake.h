/* SPDX-License-Identifier: Apache-2.0 */
/* A server that does on purpose what a broker does not: one connection at a time, each by its own script. */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/macro.h"

#define FAKE_SCRIPTS 8

typedef enum FakeConnect {
        FAKE_ACCEPT,  /* CONNACK with `connack` */
        FAKE_SILENT,  /* takes the connection and never answers */
        FAKE_CLOSE,   /* closes on CONNECT */
        FAKE_AT_ONCE, /* closes before CONNECT */
        FAKE_HTTP,    /* is another kind of server */
} FakeConnect;

typedef enum FakePublish {
        FAKE_ACK,        /* PUBACK, with `code` where it is not 0 */
        FAKE_HOLD,       /* PUBACK only by fake_ack() */
        FAKE_DISCONNECT, /* DISCONNECT with `code`, then close */
        FAKE_HANG_UP,    /* close */
} FakePublish;

typedef struct FakeScript {
        FakeConnect connect;
        uint8_t connack;
        FakePublish publish;
        uint8_t code;
        unsigned flood;     /* messages sent after CONNACK */
        bool hang_up;       /* closes after CONNACK */
        const char *suback; /* codes, instead of one 1 */
        size_t suback_n;
} FakeScript;

typedef struct Fake {
        FakeScript scripts[FAKE_SCRIPTS]; /* of the first, second... connection; the last one repeats */
        unsigned n_scripts;
        int port;

        int listen_fd, stop_fd;
        pthread_t thread;
        atomic_int client_fd;
        atomic_uint connects, publishes;
        atomic_uint levels[32]; /* protocol level of each CONNECT */
        atomic_uint last_id;
} Fake;

void fake_start(Fake *f, const FakeScript *scripts, unsigned n);
void fake_stop(Fake *f);
/* Acknowledges a packet id in 3.1.1 or 5. */
void fake_ack(Fake *f, unsigned id);
