/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT reason codes in words: what a refused CONNECT or a DISCONNECT means and what to do about it. Pure. */
#pragma once

#include "base/macro.h"

typedef enum SessionReason {
        SESSION_OK,
        SESSION_NO_CREDENTIALS,      /* the credentials callback failed */
        SESSION_NO_NETWORK,          /* name, route, refused, TLS: text says which */
        SESSION_REFUSED,             /* CONNACK: credentials */
        SESSION_UNAVAILABLE,         /* CONNACK: server busy, limits, protocol */
        SESSION_TIMEOUT,             /* connected TCP without CONNACK, or no PUBACK in time */
        SESSION_CLOSED,              /* by the server without a word */
        SESSION_TAKEN_OVER,          /* 0x8E */
        SESSION_RATE_LIMITED,        /* 0x83, 0x97, 0x96 */
        SESSION_CREDENTIALS_CHANGED, /* 0x98 */
        SESSION_DISCONNECTED,        /* any other DISCONNECT code */
} SessionReason;

typedef struct ReasonWords {
        int code; /* -1: any other */
        SessionReason reason;
        const char *text; /* one sentence without its full stop */
} ReasonWords;

/* MQTT 3.1.1 return codes (1..5) and MQTT 5 reason codes alike: servers mix them up. */
const ReasonWords *reason_connack(int code);
const ReasonWords *reason_disconnect(int code);
/* CONNACK says that the server does not speak the protocol version asked for. */
bool reason_is_version(int code);
