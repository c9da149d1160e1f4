/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between the daemon and a plugin host: one SEQPACKET datagram each, a type and a fixed
 * list of fields. One table gives every type its fields, and frame_parse() holds whatever arrives to it,
 * so that neither side ever acts on a lying length. Pure; fuzzed. */
#pragma once

#include <stdarg.h>

#include "base/macro.h"

#define FRAME_SIZE_MAX (128 * KIB) /* 208 KiB would fail with EMSGSIZE (ENGINE.md) */
#define FRAME_FIELDS_MAX 8

/* Fields in brackets: u = number (64 bit), i = signed number, s = text (no NUL inside; ends with NUL in the
 * datagram so that it can be used in place), b = bytes. */
typedef enum FrameType {
        /* daemon -> host */
        FRAME_SETUP = 1,   /* s instance, s plugin file, u mode (FrameMode), b settings (setting_encode), b state */
        FRAME_SAMPLE,      /* - : sample now */
        FRAME_RPC,         /* u id, s channel ("" none), s method, s params */
        FRAME_ATTRIBUTE,   /* s key, s json ("" deleted) */
        FRAME_SETTING,     /* s path, b setting ("" bytes: back to the file's) */
        FRAME_ANSWER,      /* u token, u errno, s json: to ATTRIBUTES_REQUEST and CALL */
        FRAME_FD,          /* s name, u errno: to FD_TAKE; with the fd */
        FRAME_LEVEL,       /* u log level */
        FRAME_STOP,        /* u final : close and end; end of file means the same, not finally */
        FRAME_ROWS_ACK,    /* u bytes: of ROWS frames taken, see sensor/outbox.h; not answered by old daemons */
        FRAME_CONNECTION,  /* u online : whether the server can be reached; after CHECKED and at each change */
        /* host -> daemon */
        FRAME_HELLO = 64,  /* u abi of the plugin, s plugin name, s summary */
        FRAME_PROBLEM,     /* u fatal, s file, u line, s text : of the configuration; fatal: misconfigured */
        FRAME_DECLARE,     /* s key, s file, u line : a telemetry key that the configuration names */
        FRAME_METHOD,      /* s channel, s name, s params, s help, u flags */
        FRAME_CHECKED,     /* u problems : after SETUP, options checked */
        FRAME_STATE,       /* u HostState, s reason : opening result and every change */
        FRAME_ROWS,        /* b rows (row_encode, one after the other) */
        FRAME_GAP,         /* u points, i from (BOOTTIME ns), i to, s why */
        FRAME_LOG,         /* u level, s text */
        FRAME_REPLY,       /* u id, s json */
        FRAME_ERROR,       /* u id, s code, s message : answer to RPC */
        FRAME_SUBSCRIBE,   /* s attribute */
        FRAME_ATTRIBUTES,  /* s json : publish as client attributes */
        FRAME_ATTRIBUTES_REQUEST, /* u token, s client keys, s shared keys, u timeout usec */
        FRAME_CALL,        /* u token, s method, s params, u timeout usec */
        FRAME_PUT,         /* b state */
        FRAME_FD_KEEP,     /* s name; with the fd */
        FRAME_FD_TAKE,     /* s name */
        FRAME_FOUND,       /* s json : from scan */
        FRAME_COUNTERS,    /* u samples, u points, u overruns, u failed reads, u dropped points, u refused values */
        FRAME_DONE,        /* s reason : CHECK, ONCE or SCAN mode is through, or the host is about to end */
        FRAME_EFFECT,      /* s path, u errno, s json in effect ("" none), s json without live changes, s why : answer to SETTING;
                              ENOENT, EPERM: not an option that may change, else the value was refused */
        FRAME_FD_FORGET,   /* s name : it is not to be kept any more */
} FrameType;

typedef enum FrameMode { MODE_RUN, MODE_CHECK, MODE_ONCE, MODE_SCAN, MODE_EXIT_STATE } FrameMode;

/* What an instance is doing. The host tells OPENING..ILL; the rest is the daemon's view of the process. */
typedef enum HostState {
        HOST_OPENING,       /* not yet open; no fault so far */
        HOST_WAITING,       /* hardware absent or out of reach; reason says what to do */
        HOST_RUNNING,
        HOST_ILL,           /* running, but the last sample failed */
        HOST_MISCONFIGURED, /* not started: its part of the configuration is wrong */
        HOST_BACKOFF,       /* ended, will start again */
        HOST_STUCK,         /* killed but not reaped (D state) */
        HOST_STOPPED,
        _HOST_STATE_MAX
} HostState;
const char *host_state_name(HostState s); /* "running" ... */

typedef struct FrameField {
        uint64_t u;       /* u, i (cast) */
        const char *data; /* s (NUL behind), b; borrowed from the datagram */
        size_t size;
} FrameField;

typedef struct Frame {
        FrameType type;
        size_t n_fields;
        FrameField f[FRAME_FIELDS_MAX];
} Frame;

/* "ssubb" for FRAME_SETUP ...; NULL: no such type. */
const char *frame_fields(FrameType type);
const char *frame_name(FrameType type);

/* Builds a datagram in a buffer of FRAME_SIZE_MAX: arguments as the type's fields say (u: uint64_t, i: int64_t,
 * s: const char *, b: const void *, size_t). Returns its size, or -EMSGSIZE. Wrong use asserts. */
_must_check_ ssize_t frame_build(uint8_t out[static FRAME_SIZE_MAX], FrameType type, ...);
_must_check_ ssize_t frame_build_list(uint8_t out[static FRAME_SIZE_MAX], FrameType type, va_list ap);
/* Checks and takes apart one datagram. -EBADMSG: not a frame (unknown type, lengths, missing NUL, bytes left). */
_must_check_ int frame_parse(const uint8_t *data, size_t size, Frame *ret);
