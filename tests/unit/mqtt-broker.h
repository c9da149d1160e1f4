/* SPDX-License-Identifier: Apache-2.0 */
/* A real mosquitto on a free loopback port, started and killed by the test. */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

typedef struct Broker {
        char dir[64]; /* scratch, removed by broker_done() */
        char config[128];
        int port;
        pid_t pid; /* 0: not running */
} Broker;

bool broker_available(void);
/* options: more lines of mosquitto.conf; {dir} in them is the scratch folder. broker_start() waits until it listens. */
void broker_init(Broker *b, const char *options);
void broker_start(Broker *b);
void broker_kill(Broker *b);
void broker_done(Broker *b);

/* Runs a shell command in the scratch folder; the test fails when it does. */
void broker_shell(const Broker *b, const char *command);
int free_port(void);
