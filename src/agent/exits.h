/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the descriptors that an instance has kept, and of the outputs behind them, when its process is not there: held
 * for the next process, and set to their on_exit values when that does not come in time or there is none any more. Owned by the
 * agent for all instances, since a record outlives the Instance and its configuration. Main thread. */
#pragma once

#include "agent/keep.h"
#include "base/loop.h"

typedef struct Exits Exits;

typedef struct ExitsParams {
        Loop *loop;
        Keep *keep; /* all of these are borrowed for life */
        const char *host_path, *plugin_dirs;
        const char *runtime_dir; /* for agent/exit-record */
} ExitsParams;

typedef struct ExitsEvents {
        /* The answer to exits_take(): fd is the callee's, or a negative errno. */
        void (*give)(void *userdata, const char *instance, const char *name, int fd);
        void (*changed)(void *userdata); /* exits_are_busy() may say something else */
        void *userdata;
} ExitsEvents;

/* What is in keep already is held for processes to come. */
_must_check_ int exits_new(Exits **ret, const ExitsParams *params);
Exits *exits_free(Exits *all);
DEFINE_CLEANUP(Exits *, exits_free)

/* Outputs that have waited too long, through the daemons before this one, get their on_exit values, by processes on the loop that
 * are waited for: at most `within`. For the start, before anything that may fail or take its time. */
void exits_set_overdue(Exits *all, usec_t within);

/* Who runs processes of instances; NULL: nobody does any more. Copied. */
void exits_listen(Exits *all, const ExitsEvents *events);

/* Processes of the instance begin, with this plugin and these settings; `after`: its on_exit_after. */
_must_check_ int exits_begin(Exits *all, const char *instance, const char *plugin, const uint8_t *settings, size_t size,
                             usec_t after);
/* From that process. Takes fd. */
_must_check_ int exits_keep(Exits *all, const char *instance, const char *name, int fd);
void exits_take(Exits *all, const char *instance, const char *name);
void exits_forget(Exits *all, const char *instance, const char *name);
/* It has opened its hardware. well: and says that it runs, so whatever is kept and it has not taken is not its any more. */
void exits_back(Exits *all, const char *instance, bool well);
/* Its process is there and has closed its hardware, which is not there. */
void exits_away(Exits *all, const char *instance);
/* There is no process any more, or one that cannot be ended. final: none will come. May be told again. */
void exits_ended(Exits *all, const char *instance, bool final);

/* This daemon ends and another one comes: how long that takes is for the other one to judge. */
void exits_leave(Exits *all);

/* Outputs are being set just now. */
bool exits_are_busy(const Exits *all);
/* For the start: an instance with something kept, in no order; NULL behind the last. */
const char *exits_instance_at(const Exits *all, size_t i);
