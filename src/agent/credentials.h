/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon shows the server at CONNECT. No message holds any of it. */
#pragma once

#include "model/option.h"

#ifndef TBAGENT_TOKEN_FILE
#define TBAGENT_TOKEN_FILE "/etc/tbagent.token"
#endif

/* ThingsBoard knows three kinds: an access token is the user name alone; MQTT basic is user name and password,
 * or the client id alone (both NULL); X.509 (both NULL) is `cert`. server, provision: the checked groups. 0, or an error
 * with a sentence in *ret_text that says what to do. All owned by the caller. */
_must_check_ int credentials_read(const Node *server, const Node *provision, char **ret_username, char **ret_password,
                                   char **ret_text);
