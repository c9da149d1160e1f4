/* SPDX-License-Identifier: Apache-2.0 */
/* Why a host ended, in words for people: from what was said before and from how it ended. Pure. */
#pragma once

#include "model/frame.h"

#define ENDING_TEXT_MAX 256

typedef struct Ending { /* zeroed: nothing was said */
        bool fatal;     /* told a fatal problem of its configuration */
        char words[ENDING_TEXT_MAX];
} Ending;

/* Keeps the words of a DONE or fatal PROBLEM frame. */
void ending_note(Ending *e, const Frame *frame);
/* The daemon's own reason goes before the host's. */
void ending_say(Ending *e, const char *words);
/* status as of waitpid(). */
bool ending_is_misconfigured(const Ending *e, int status);
/* may_end: exit code 0 is as it should be, "". */
void ending_describe(const Ending *e, int status, bool may_end, char out[static ENDING_TEXT_MAX]);
/* Cuts at the border of a UTF-8 character. */
void ending_copy(char out[static ENDING_TEXT_MAX], const char *text);
