/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a server for a device of one's own (THINGSBOARD.md 7.2), in a session made for it alone. The credentials that are
 * asked for come from the caller, who has kept them before: so an answer that gets lost costs a login, not a second
 * device. Main thread only. */
#pragma once

#include "mqtt/session.h"

typedef struct Provision Provision;

typedef enum ProvisionType { PROVISION_TOKEN, PROVISION_BASIC, PROVISION_X509, _PROVISION_TYPE_MAX } ProvisionType;
/* "ACCESS_TOKEN" ...; -EINVAL: no such. */
const char *provision_type_name(ProvisionType type);
_must_check_ int provision_type_parse(const char *text, ProvisionType *ret);

typedef struct ProvisionCredentials { /* what the type has no use for is NULL */
        ProvisionType type;
        const char *token;
        const char *client_id, *username, *password;
        const char *certificate; /* PEM */
} ProvisionCredentials;

typedef enum ProvisionResult {
        PROVISION_GRANTED,
        PROVISION_NOT_FOUND, /* key and secret are not those of a profile that takes devices */
        PROVISION_REFUSED,   /* the name exists, or (pre-provisioned) does not, or somebody has these credentials */
        PROVISION_UNKNOWN,   /* no answer: it may have been granted */
        PROVISION_NO_SERVER, /* nothing was asked */
} ProvisionResult;

typedef struct ProvisionParams { /* texts are copied */
        SessionParams session; /* its events and userdata are not used */
        const char *key, *secret, *name;
        ProvisionCredentials credentials; /* wished for */
        usec_t timeout; /* for the whole; default 60 s */
        /* Once. credentials: what the server gave; else text says what happened and what to do. Both borrowed. The session
         * has ended; provision_free() may come from here. */
        void (*done)(void *userdata, ProvisionResult result, const ProvisionCredentials *credentials, const char *text);
        void *userdata;
} ProvisionParams;

_must_check_ int provision_new(Provision **ret, const ProvisionParams *params);
/* As session_stop(). */
int provision_stop(Provision *p, usec_t wait);
Provision *provision_free(Provision *p);
DEFINE_CLEANUP(Provision *, provision_free)

/* For tests and the fuzzer: what an answer says. -EBADMSG: none. Texts are of *ret_tree, which the caller puts. */
struct json_object;
_must_check_ int provision_read(const char *json, size_t size, struct json_object **ret_tree, ProvisionResult *ret_result,
                                ProvisionCredentials *ret, const char **ret_message);
