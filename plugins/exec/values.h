/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of JSON to values. The only file of this plugin that knows json-c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <tbagent/plugin.h>

typedef struct Values Values;

/* key: of a line that is no object but one bare value; NULL: such a line is bad. prefix: put before every key; NULL:
 * none. Both and host are borrowed. */
int values_new(Values **ret, struct tbagent_host *host, const char *key, const char *prefix);
Values *values_free(Values *v);

/* Emits what the line says; a line_fn. The first bad line is logged with its beginning, the others are counted. */
void values_line(void *userdata, char *line, size_t size, bool whole);
/* Ends the open row, at the end of what was read at once. */
void values_flush(Values *v);
/* Lines since the last call; tells how many more were bad, and a run without any makes the next one told again. */
void values_run_ended(Values *v, size_t *ret_good, size_t *ret_bad);
