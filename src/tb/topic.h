/* SPDX-License-Identifier: Apache-2.0 */
/* The topics of ThingsBoard's device API (THINGSBOARD.md 1), one table for both directions. Pure; fuzzed. */
#pragma once

#include "base/macro.h"

typedef enum TopicKind {
        TOPIC_TELEMETRY,
        TOPIC_ATTRIBUTES,          /* client attributes out, shared attributes in */
        TOPIC_ATTRIBUTES_REQUEST,  /* with id */
        TOPIC_ATTRIBUTES_RESPONSE, /* with id */
        TOPIC_RPC_REQUEST,         /* with id: the server's to us, ours to the server */
        TOPIC_RPC_RESPONSE,        /* with id */
        TOPIC_CLAIM,
        _TOPIC_MAX,
        _TOPIC_INVALID = -EINVAL,
} TopicKind;

#define TOPIC_TEXT_MAX 64
#define TOPIC_ID_MAX INT32_MAX

bool topic_has_id(TopicKind kind);
/* id is used where the kind has one. */
const char *topic_build(TopicKind kind, uint32_t id, char out[static TOPIC_TEXT_MAX]);
/* What to subscribe to: the topic itself, or with + for the id. Static. */
const char *topic_filter(TopicKind kind);
/* The kind, *ret_id its id (0 without); _TOPIC_INVALID: none of ours. */
_must_check_ TopicKind topic_parse(const char *text, uint32_t *ret_id);
