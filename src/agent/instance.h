/* SPDX-License-Identifier: Apache-2.0 */
/* One configured instance: its plugin host, the door its rows come in by (checked, owned, appended to the
 * spool), its health as `<instance>_ok`, and its lines in the log. Main thread. */
#pragma once

#include "agent/config.h"
#include "agent/exits.h"
#include "agent/keys.h"
#include "sensor/child.h"
#include "spool/spool.h"

typedef struct Instance Instance;

typedef struct InstanceParams {
        Loop *loop;
        Spool *spool; /* borrowed */
        Keys *keys;   /* borrowed */
        Exits *exits; /* borrowed; NULL: nothing can be kept */
        unsigned owner; /* in keys, from 1 */
        const char *host_path;
        const char *plugin_dirs;
        const char *runtime_dir, *state_dir; /* for what the plugin keeps, see PluginStateParams */
        uint64_t burst_max; /* bytes that it may send at once, whatever its configuration says; 0: any */
        int log_level;
        void (*appended)(void *userdata, bool immediate); /* rows went into the spool */
        void (*changed)(void *userdata, Instance *i);     /* state or reason */
        /* A frame that concerns the server's side of it: HELLO (its process is new, METHOD and CHECKED follow), METHOD, CHECKED,
         * REPLY, ERROR, EFFECT, SUBSCRIBE, ATTRIBUTES, ATTRIBUTES_REQUEST, CALL. */
        void (*frame)(void *userdata, Instance *i, const Frame *f);
        /* who owns a key, for the log; may be NULL */
        const char *(*owner_name)(void *userdata, unsigned owner);
        bool (*time_trusted)(void *userdata); /* NULL: it always is */
        bool (*online)(void *userdata);       /* the server can be reached; NULL: never */
        void *userdata;
} InstanceParams;

typedef struct InstanceStats {
        uint64_t rows, points;  /* accepted */
        uint64_t refused_rows, foreign_points;
        uint64_t samples, overruns, failed_reads, dropped_points, refused_values; /* as the host counts them */
} InstanceStats;

/* config is borrowed during the call. A wrong plugin name gives an instance that is misconfigured. */
_must_check_ int instance_new(Instance **ret, const InstanceParams *params, const ConfigInstance *config);
Instance *instance_free(Instance *i);
DEFINE_CLEANUP(Instance *, instance_free)

void instance_start(Instance *i);
/* final: nobody takes over from it. */
void instance_stop(Instance *i, usec_t wait, bool final);
/* That is not as it was when it was stopped; it may still be ending. */
void instance_set_final(Instance *i, bool final);
/* The answer of exits_take(). fd is the callee's, or a negative errno. */
void instance_give(Instance *i, const char *name, int fd);
/* The server can be reached, or not any more. */
void instance_connection(Instance *i, bool online);
/* No host process is left. */
bool instance_is_stopped(const Instance *i);
/* Its process got SIGKILL and does not end. */
bool instance_is_stuck(const Instance *i);
/* Trust came after rows had gone with an estimate of the time: what was said of that is taken back. */
void instance_time_trusted(Instance *i);
/* Would this configuration give the same instance? */
bool instance_is_same(const Instance *i, const ConfigInstance *config);

/* To its host; -ENOTCONN: there is none; -EAGAIN: it does not read, later. */
_must_check_ int instance_rpc(Instance *i, uint64_t token, const char *channel, const char *method, const char *params);
_must_check_ int instance_attribute(Instance *i, const char *key, const char *json); /* NULL: deleted */
_must_check_ int instance_setting(Instance *i, const char *path, const Setting *setting); /* NULL: back to the file's */
_must_check_ int instance_answer(Instance *i, uint64_t token, int error, const char *json);
_must_check_ int instance_sample(Instance *i);
_must_check_ int instance_level(Instance *i, int log_level);

const char *instance_name(const Instance *i);
const char *instance_plugin(const Instance *i);
unsigned instance_restarts(const Instance *i);
HostState instance_state(const Instance *i);
const char *instance_reason(const Instance *i);
unsigned instance_owner(const Instance *i);
InstanceStats instance_stats(const Instance *i);
