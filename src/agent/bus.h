/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's door for other programs of this machine: org.tbagent1 on the system bus (systemd/org.tbagent1.xml tells its
 * methods). Everybody may look, control is for root and group tbagent. Main thread. */
#pragma once

#include "agent/device.h"

typedef struct Bus Bus;

typedef struct BusParams { /* all is borrowed for life */
        Loop *loop;
        Device *device;
        char *(*status)(void *userdata); /* JSON, owned by the caller */
        void *userdata;
} BusParams;

_must_check_ int bus_new(Bus **ret, const BusParams *params);
/* After the connection to the server, which may have questions of ours to answer. */
Bus *bus_free(Bus *b);
DEFINE_CLEANUP(Bus *, bus_free)

void bus_start(Bus *b);
/* Whoever waits is told, and the name is given back. Not from within a call of the bus. */
void bus_stop(Bus *b);
/* As DeviceParams.claimed. */
void bus_claimed(Bus *b, uint64_t token, int code);
