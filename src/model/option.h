/* SPDX-License-Identifier: Apache-2.0 */
/* Holds a settings tree to a table of options (include/tbagent/plugin.h): unknown names, wrong types,
 * ranges, units, each with file, line and what to write instead, all of them and not only the first. The
 * result is a tree of nodes with defaults filled in, which is what plugins and the daemon read. Pure. */
#pragma once

#include <tbagent/plugin.h>

#include "model/setting.h"

/* fatal: the part cannot be used. text: a sentence that names the setting by its path, says what is wrong and
 * what to write. file NULL/line 0: nowhere in particular (a missing setting gets the line of its group). A function that is
 * NULL tells nobody. */
typedef void (*problem_fn)(void *userdata, bool fatal, const char *file, unsigned line, const char *text);

typedef struct tbagent_node Node;

/* The options that every channel takes beside its own: members of a MAP with TBAGENT_KEYS or TBAGENT_PREFIXES.
 * Borrowed for good; they are runtime options wherever this table stands. Set once, before the first check. */
void option_set_channel_options(const struct tbagent_option *table);
const struct tbagent_option *option_channel_options(void);

/* A GROUP or MAP without a table of members takes anything, and has no member nodes.
 * Checks group (may be NULL: empty) against the concatenation of up to four tables (NULL: none). path: prefix
 * for messages ("plugins.boiler"). *ret is NULL when memory ran out only; problems were told through fn and
 * their settings have defaults. Returns the number of problems. */
_must_check_ int node_new(Node **ret, const Setting *group, const char *path,
                          const struct tbagent_option *const tables[static 4], problem_fn fn, void *userdata);
Node *node_free(Node *n);
DEFINE_CLEANUP(Node *, node_free)

/* name is asserted to be in the tables. */
bool node_is_set(const Node *n, const char *name);
int64_t node_int(const Node *n, const char *name); /* BOOL, INT, DURATION (usec), SIZE (bytes) */
double node_float(const Node *n, const char *name);
const char *node_string(const Node *n, const char *name, size_t index);
size_t node_numbers(const Node *n, const char *name, const double **ret); /* NUMBERS, PAIRS (flat): count */
bool node_is_percent(const Node *n, const char *name); /* DELTA */
const Node *node_member(const Node *n, const char *name, size_t index); /* GROUP, MAP */
const char *node_key(const Node *n);      /* what the channel is called upstream: key/prefix, else its name */
const char *node_own_name(const Node *n); /* its name in the file */
const char *node_path(const Node *n);     /* "plugins.io.lines.pump": for messages */
const char *node_file(const Node *n, const char *name, unsigned *ret_line); /* where set; NULL: default */

/* A live change: checks setting (NULL: back to the value from the file) for path below n ("every",
 * "room.deadband"). 0: changed, node_*() show it; -ENOENT: no such option; -EPERM: not a runtime option;
 * -EINVAL: value refused, told through fn. */
_must_check_ int node_set(Node *n, const char *path, const Setting *setting, problem_fn fn, void *userdata);
/* The value of path as JSON, owned by the caller: in effect, or as it is without live changes. NULL: no such option, a
 * secret one, or no memory. */
char *node_json(Node *n, const char *path, bool in_effect);
