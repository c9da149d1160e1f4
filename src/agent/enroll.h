/* SPDX-License-Identifier: Apache-2.0 */
/* How the device comes to credentials of its own: made here, kept, granted by the server, used for the login. Logs what
 * a person should know. Main thread. */
#pragma once

#include "agent/config.h"
#include "agent/own.h"
#include "spool/store.h"

typedef struct Enroll Enroll;

typedef struct EnrollParams { /* borrowed for life */
        Loop *loop;
        const Board *board;
        const char *state_dir;
        Store *store; /* NULL: nobody writes there */
        void (*changed)(void *userdata); /* enroll_may_connect() or the text are other ones now */
        void *userdata;
} EnrollParams;

_must_check_ int enroll_new(Enroll **ret, const EnrollParams *params);
Enroll *enroll_free(Enroll *e);
DEFINE_CLEANUP(Enroll *, enroll_free)
/* As session_stop(): an exchange under way ends. */
int enroll_stop(Enroll *e, usec_t wait);

/* Another configuration is in force (borrowed until the next one); begins where it has to. */
void enroll_set_config(Enroll *e, const Config *config);
/* The server may be connected to: with credentials of the configuration, or with our own. Else it is being asked. */
bool enroll_may_connect(const Enroll *e);
const char *enroll_text(const Enroll *e); /* what it waits for */
/* Our own, and *ret_granted; NULL: the configuration's are to be used. Borrowed. */
const Own *enroll_own(const Enroll *e);
/* The server has taken them, or has refused them: true: they are to be asked for, leave the server. */
void enroll_accepted(Enroll *e);
bool enroll_refused(Enroll *e);
