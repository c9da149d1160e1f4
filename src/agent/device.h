/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine is to the server beside its telemetry: shared and client attributes, live settings, requests both
 * ways, claiming. Lives as long as the daemon; the connection to the server comes and goes. Main thread. */
#pragma once

#include "agent/board.h"
#include "agent/instances.h"
#include "agent/overrides.h"
#include "agent/server.h"

typedef struct Device Device;

typedef struct DeviceParams {
        Loop *loop;
        const Board *board;       /* all is borrowed for life */
        const char *runtime_dir;  /* for what must survive a crash */
        const char *state_dir;    /* for shared.conf */
        Store *store;             /* writes there; NULL: nobody does */
        Instances *(*instances)(void *userdata);
        char *(*status)(void *userdata);  /* JSON, owned by the caller */
        void (*reload)(void *userdata);   /* as SIGHUP */
        int64_t (*now_ms)(void *userdata); /* as in RpcParams */
        void (*ready)(void *userdata); /* device_is_ready() from now on */
        /* What became of device_claim(), once: 0: the server has it, which says nothing of success; else as in SessionEvents */
        void (*claimed)(void *userdata, uint64_t token, int code);
        void *userdata;
} DeviceParams;

_must_check_ int device_new(Device **ret, const DeviceParams *params);
Device *device_free(Device *d);
DEFINE_CLEANUP(Device *, device_free)

/* Another configuration is in force; borrowed until the next one. */
void device_set_config(Device *d, const Config *config);
/* "" : all is well. */
void device_set_config_error(Device *d, const char *text);
/* The connection that there is from now on; NULL: none. */
void device_set_server(Device *d, Server *server);
/* What waits to be written goes to the store now. */
void device_flush(Device *d);

/* From the server. */
void device_subscribing(Device *d);
void device_online(Device *d);
void device_offline(Device *d);
/* The server can be reached, and has said what the shared attributes are, or not in time. */
bool device_is_ready(const Device *d);
void device_attributes(Device *d, const char *json, size_t size);
void device_request(Device *d, uint32_t id, const char *json, size_t size);
void device_delivered(Device *d, uint64_t context, int code);

/* From the instances. */
void device_frame(Device *d, Instance *i, const Frame *f);
void device_instance_changed(Device *d, Instance *i);
bool device_enabled(const Device *d, const char *instance, bool configured);

/* For other doors (D-Bus): errors as in ClientParams. */
_must_check_ int device_publish(Device *d, const char *json);
_must_check_ int device_claim(Device *d, const char *secret, usec_t duration, uint64_t token); /* < 2^60 */
Client *device_client(Device *d); /* NULL: none, or not connected */

const Overrides *device_overrides(const Device *d);
size_t device_shared_n(const Device *d, bool *ret_synced);
