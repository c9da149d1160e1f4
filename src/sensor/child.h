/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of one plugin host: spawns tbagent-plugin-host, reads its frames within an intake
 * budget, restarts it with back-off, kills what does not end, and never waits for anything. No config, no
 * log: news travel by ChildEvents. Main thread only. */
#pragma once

#include "base/loop.h"
#include "model/frame.h"

typedef struct Child Child;

typedef struct ChildEvents {
        /* state or reason changed (never twice the same in a row) */
        void (*state)(void *userdata, Child *c, HostState state, const char *reason);
        /* one ROWS frame; not yet validated beyond the frame codec */
        void (*rows)(void *userdata, Child *c, const uint8_t *data, size_t size);
        /* every other frame but STATE; fd (-EBADF: none) belongs to the callee */
        void (*frame)(void *userdata, Child *c, const Frame *frame, int fd);
} ChildEvents;

typedef struct ChildParams {
        Loop *loop;
        const char *host_path;   /* the program */
        const char *instance;    /* name; copied like every text here */
        const char *plugin_file; /* the .so */
        FrameMode mode;
        const uint8_t *settings; /* encoded, copied */
        size_t settings_size;
        uint64_t intake_rate;    /* bytes per second, 0: no limit */
        uint64_t intake_burst;
        int log_level;
        bool sanitized;          /* host runs under a sanitizer or valgrind: no RLIMIT_DATA. It gets TBAGENT_SANITIZED=1 */
        ChildEvents events;
        void *userdata;
} ChildParams;

_must_check_ int child_new(Child **ret, const ChildParams *params);
/* Kills what still runs (SIGKILL) and does not wait for it. */
Child *child_free(Child *c);
DEFINE_CLEANUP(Child *, child_free)

/* Spawns; a host that ends is started again (mode RUN) until child_stop(). Called again after MISCONFIGURED
 * or STOPPED it starts anew; while the old one is still ending, as soon as that has ended. What cannot be
 * spawned is told as a state and, in mode RUN, tried again: 0. */
_must_check_ int child_start(Child *c);
/* Orderly: FRAME_STOP, end of file, SIGKILL after `wait`; ends in HOST_STOPPED (or HOST_STUCK). final: nobody takes over
 * from it, which the plugin is told. */
void child_stop(Child *c, usec_t wait, bool final);

/* What goes in at the next start, copied (live settings, kept state). */
_must_check_ int child_set_settings(Child *c, const uint8_t *settings, size_t size);
_must_check_ int child_set_state_blob(Child *c, const void *data, size_t size);

/* Arguments as frame_build(). -ENOTCONN: not running; -EAGAIN: its socket is full (the frame is dropped). */
_must_check_ int child_send(Child *c, FrameType type, ...);
_must_check_ int child_send_fd(Child *c, int fd, FrameType type, ...);

HostState child_state(const Child *c);
const char *child_reason(const Child *c); /* never NULL */
const char *child_instance(const Child *c);
pid_t child_pid(const Child *c); /* 0: none */
unsigned child_restarts(const Child *c);
void *child_userdata(const Child *c);
