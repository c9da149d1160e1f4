/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/tbagent.conf and conf.d to one immutable Config; every mistake is told with file, line and what to
 * write instead, all of them at once. Its .c is the only file that sees libconfig. */
#pragma once

#include "agent/config-check.h"

typedef struct Config Config;

/* path: the main file; its conf.d is path + ".d". -EBADMSG: its text, or a file of conf.d, cannot be parsed; other:
 * it cannot be read. Else 0 and a Config, but it is not to be run where a fatal problem has no instance. The
 * problems of a failure are told too. *ret_problems (array of *ret_n, freed by config_problems_free()) is always
 * set. option_set_channel_options() comes before. */
_must_check_ int config_load(Config **ret, const char *path, ConfigProblem **ret_problems, size_t *ret_n);
/* From what config_save() wrote: the last configuration that ran. -EBADMSG: it cannot be used. */
_must_check_ int config_load_saved(Config **ret, const char *path);
_must_check_ int config_save(const Config *c, const char *path); /* 0600; no write when unchanged */
Config *config_free(Config *c);
DEFINE_CLEANUP(Config *, config_free)

/* A file in the same syntax that a program has written, without any check of what is in it. -ENOENT; others: *ret_text says
 * why. */
_must_check_ int config_load_tree(const char *path, Setting **ret, char **ret_text);

const Setting *config_root(const Config *c); /* all of it as it was merged: attributes.client, rpc.aliases */
const Node *config_server(const Config *c);     /* url token token_file username password ... */
const Node *config_telemetry(const Config *c);  /* batch_interval batch_size store_after ... */
const Node *config_top(const Config *c);        /* clock, log_level, and the groups as members */
size_t config_n_instances(const Config *c);
const ConfigInstance *config_instance(const Config *c, size_t i);
/* NULL: no server configured. */
const char *config_url(const Config *c);
/* The token or name/password for a connect: from the config, token_file (default /etc/tbagent.token), the
 * systemd credential, re-read each time. -ENOENT and the like: *ret_text says what to do. Owned by the caller. */
_must_check_ int config_credentials(const Config *c, char **ret_username, char **ret_password, char **ret_text);
/* Would both ask the same server for the same device? */
bool config_same_provision(const Config *a, const Config *b);
/* Would both give the same connection and the same batches? */
bool config_same_server(const Config *a, const Config *b);
