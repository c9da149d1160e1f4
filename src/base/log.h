/* SPDX-License-Identifier: Apache-2.0 */
/* Leveled log: the journal (with fields) where stderr is connected to it, else stderr.
 * Main thread only, but for log_level(). Never given credentials or payload values above debug. */
#pragma once

#include <syslog.h>

#include "base/macro.h"

typedef struct LogField {
        const char *name; /* journal field name, upper case: "INSTANCE" */
        const char *value;
} LogField;

/* MESSAGE_ID of an event an operator may have to act on; catalog entries in systemd/tbagent.catalog. */
#define LOG_ID(x) ((LogField){ "MESSAGE_ID", (x) })

/* ident: journal identifier and stderr prefix (NULL: none, as a terminal user wants). Chooses the target. */
void log_open(const char *ident);
/* level: LOG_ERR .. LOG_DEBUG; less urgent lines are dropped. Default LOG_INFO. */
void log_set_level(int level);
int log_level(void);
/* -EINVAL: not one of error, warning, notice, info, debug. */
_must_check_ int log_level_parse(const char *text);

/* Where every line also goes (tests, the ring of the last lines); NULL: nowhere. */
typedef void (*log_tap_fn)(void *userdata, int level, const char *line);
void log_tap(log_tap_fn fn, void *userdata);

/* At most `burst` lines in `interval` for each `key`; what is more is counted and told with the next line
 * that passes ("(n similar lines left out)"). For everything that something outside can trigger. */
bool log_allow(const char *key, usec_t interval, unsigned burst, unsigned *ret_left_out);

void log_fields(int level, const LogField *fields, size_t n_fields, const char *format, ...) _printf_(4, 5);
#define log_error(...) log_fields(LOG_ERR, NULL, 0, __VA_ARGS__)
#define log_warning(...) log_fields(LOG_WARNING, NULL, 0, __VA_ARGS__)
#define log_notice(...) log_fields(LOG_NOTICE, NULL, 0, __VA_ARGS__)
#define log_info(...) log_fields(LOG_INFO, NULL, 0, __VA_ARGS__)
#define log_debug(...) log_fields(LOG_DEBUG, NULL, 0, __VA_ARGS__)
/* With the field INSTANCE and the prefix "name: ". */
#define log_instance(level, name, format, ...) \
        log_fields(level, &(const LogField){ "INSTANCE", (name) }, 1, "%s: " format, (name)__VA_OPT__(, ) __VA_ARGS__)
