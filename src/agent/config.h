/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/tbagent.conf and conf.d to one immutable Config; every mistake is told with file, line and what to
 * write instead, all of them at once. The only file that sees libconfig. */
#pragma once

#include "model/option.h"

typedef struct Config Config;

typedef struct ConfigProblem {
        bool fatal; /* of its instance, or of all where instance is empty */
        char *instance; /* "": server, telemetry ... */
        char *file;
        unsigned line;
        char *text;
} ConfigProblem;

typedef struct ConfigInstance {
        const char *name;   /* borrowed from the Config */
        const char *plugin; /* name without .so */
        bool enabled;
        bool optional;
        bool strict_order;
        bool misconfigured; /* its part has a fatal problem found without the host */
        uint64_t intake_rate, intake_burst;
        const Setting *settings; /* its whole group, `report` defaults of the top level merged in as "report" */
        const char *file; /* where it was set first */
        unsigned line;
} ConfigInstance;

/* path: the main file; its conf.d is path + ".d". Text that cannot be parsed: -EBADMSG with the problems in
 * *ret_problems; so are fatal problems of the server part with strict. Else 0, problems may be there all the
 * same (of single instances). *ret_problems (array of *ret_n, freed by config_problems_free()) is always set. */
_must_check_ int config_load(Config **ret, const char *path, ConfigProblem **ret_problems, size_t *ret_n);
/* From the form that config_save_text() wrote: the last configuration that ran. */
_must_check_ int config_load_saved(Config **ret, const char *path);
_must_check_ int config_save(const Config *c, const char *path); /* 0600; no write when unchanged */
Config *config_free(Config *c);
DEFINE_CLEANUP(Config *, config_free)
void config_problems_free(ConfigProblem *p, size_t n);
/* "FILE:LINE: error: TEXT" (or warning), without newline; owned by the caller. */
char *config_problem_text(const ConfigProblem *p);

const Node *config_server(const Config *c);     /* url token token_file username password ... */
const Node *config_telemetry(const Config *c);  /* batch_interval batch_size store_after ... */
const Node *config_top(const Config *c);        /* clock, log_level, ... */
size_t config_n_instances(const Config *c);
const ConfigInstance *config_instance(const Config *c, size_t i);
/* NULL: no server configured. */
const char *config_url(const Config *c);
/* The token or name/password for a connect: from the config, token_file (default /etc/tbagent.token), the
 * systemd credential, re-read each time. -ENOENT and the like: *ret_text says what to do. Owned by the caller. */
_must_check_ int config_credentials(const Config *c, char **ret_username, char **ret_password, char **ret_text);
/* Would both give the same connection and the same batches? */
bool config_same_server(const Config *a, const Config *b);
