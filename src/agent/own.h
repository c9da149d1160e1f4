/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that the device made for itself, to be granted by the server (provisioning): STATE/credentials, 0600, and
 * for X.509 STATE/device.crt and STATE/device.key. They belong to one board and one server. */
#pragma once

#include "agent/board.h"
#include "tb/provision.h"

typedef struct Own {
        ProvisionType type;
        bool granted; /* the server has said so, or a login has worked */
        char *name;   /* of the device */
        char *token;
        char *client_id, *username, *password;
        char *certificate;         /* PEM */
        char *cert_file, *key_file; /* of X.509 */
        char *board, *server;
} Own;

/* What is kept. -ENOENT: nothing, or of another server; else *ret_text says why it cannot be used. */
_must_check_ int own_load(Own *ret, const char *state_dir, const char *server, char **ret_text);
/* Makes new ones and writes them, durable when it returns: once in the life of a device, before it asks for itself. */
_must_check_ int own_make(Own *ret, const char *state_dir, ProvisionType type, const char *name, const Board *board,
                           const char *server);
/* What the server gave in their place, or that it took them; not written. -ENOMEM */
_must_check_ int own_take(Own *o, const ProvisionCredentials *given);
/* The text of STATE/credentials, owned by the caller; NULL: no memory. */
char *own_text(const Own *o, size_t *ret_size);
void own_done(Own *o);
#define OWN_FILE "credentials"

/* The state directory of another board (a copied card) is set aside, all but the configuration, so that nothing of that
 * device is used or sent under this one's name. What was set aside for this board comes back. 1: done, *ret_text says so;
 * 0: it is this board's, or nobody's; else *ret_text says what went wrong. */
_must_check_ int own_mind_board(const char *state_dir, const Board *board, char **ret_text);
