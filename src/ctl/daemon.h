/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of org.tbagent1, waited for. What goes wrong becomes an exit status and a sentence that says what to do. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/macro.h"

/* Documented in tbagentctl(1), for scripts. */
typedef enum Status {
        STATUS_OK,
        STATUS_ERROR,       /* the server or the daemon answered with an error */
        STATUS_USAGE,
        STATUS_NOT_RUNNING, /* or there is no bus */
        STATUS_NOT_ALLOWED,
        STATUS_TIMEOUT,
} Status;

typedef struct Problem {
        Status status;
        char code[64]; /* one word, for programs */
        char text[1024];
} Problem;

/* Fills *p; returns status. */
Status problem_set(Problem *p, Status status, const char *code, const char *format, ...) _printf_(4, 5);

/* An empty call of a method, owned by the caller. */
_must_check_ Status daemon_method(sd_bus_message **ret, const char *member, Problem *p);
/* *ret_answer: the text that it answers, owned by the caller; ret_answer NULL: it answers nothing. */
_must_check_ Status daemon_call(sd_bus_message *m, usec_t wait, char **ret_answer, Problem *p);
