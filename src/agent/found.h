/* SPDX-License-Identifier: Apache-2.0 */
/* One thing that a plugin's scan() told (tbagent_found() in plugin.h), from JSON that may be anything. Pure. */
#pragma once

#include "base/macro.h"

#define FOUND_NAME_MAX    64
#define FOUND_TEXT_MAX    240
#define FOUND_OPTIONS_MAX 1000
#define FOUND_CONFIG_MAX  4000

typedef struct Found { /* no text is NULL */
        char *id, *what; /* for people: without control characters */
        char *config;    /* options in the file's syntax, complete; "": nothing can be configured */
        char *group;     /* the option that config goes into; "": the instance itself */
        char *instance;  /* its name; "": the plugin's */
        char *options;   /* what the instance needs besides, in the file's syntax */
        bool commented;  /* config is a proposal that somebody has to decide on */
} Found;

/* -EBADMSG: *ret_why says what is wrong with it; -ENOMEM. */
_must_check_ int found_parse(const char *json, size_t size, Found *ret, const char **ret_why);
void found_done(Found *f);
