/* SPDX-License-Identifier: Apache-2.0 */
/* Finds words for a connection that does not come about: the MQTT library only says that it failed. Looks
 * the name up and tries TCP and TLS once more, step by step. Blocks: for a worker thread alone. */
#pragma once

#include <sys/socket.h>

#include "base/macro.h"

typedef struct Endpoint {
        char host[256];
        char port[8];
        bool tls;
} Endpoint;

/* mqtt://host[:port], mqtts://host[:port], [v6] in brackets. -EINVAL: not such a URL. */
_must_check_ int endpoint_parse(const char *url, Endpoint *ret);

typedef struct ProbeAddress {
        struct sockaddr_storage address;
        socklen_t size;
} ProbeAddress;

typedef struct ProbeFiles { /* NULL: the system's, none */
        const char *ca, *cert, *key;
} ProbeFiles;

/* The address the MQTT library would take (the first of IPv4, else of IPv6); blocks as long as the resolver
 * does. < 0: `text` says what is wrong. */
_must_check_ int probe_name(const Endpoint *endpoint, ProbeAddress *ret, char *text, size_t size);
/* 0: TCP, and TLS where the URL asks for it, work now. < 0: `text` says what is wrong. `wait` for each step. */
_must_check_ int probe_connect(const Endpoint *endpoint, const ProbeAddress *address, const ProbeFiles *files, usec_t wait,
                               char *text, size_t size);
