/* SPDX-License-Identifier: Apache-2.0 */
/* A place on the system bus: an object of ours under a well-known name, whenever there is a bus. Never waits, and a bus
 * that is missing, hangs or goes is no failure: it is tried again. Main thread only. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/loop.h"

typedef struct BusLink BusLink;

typedef struct BusLinkParams { /* all is borrowed for life */
        Loop *loop;
        const char *name, *path, *interface;
        const sd_bus_vtable *vtable;
        /* The connection is gone: what came by it can be answered no more, and is to be dropped. Not from within sd-bus. */
        void (*lost)(void *userdata);
        void *userdata; /* the vtable's, too */
} BusLinkParams;

_must_check_ int bus_link_new(BusLink **ret, const BusLinkParams *params);
/* Tells nobody: what came by the connection is to be dropped before. */
BusLink *bus_link_free(BusLink *l);
DEFINE_CLEANUP(BusLink *, bus_link_free)

void bus_link_start(BusLink *l);
/* Gives the name back at once and stays away; tells nobody. Not from within a call that came by it. */
void bus_link_stop(BusLink *l);
