/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, as a table for people in comments, and behind it the configuration that reads it. Pure. */
#pragma once

#include "agent/found.h"

typedef struct Thing {
        const char *plugin; /* its name; borrowed */
        Found found;
        size_t at; /* when it was found */
} Thing;

typedef struct ScanText {
        const Thing *things; /* those of a plugin stand together */
        size_t n;
        const char *file; /* what to save it as, in conf.d; NULL: found.conf */
        bool (*is_taken)(const void *userdata, const char *instance); /* there is another instance of this name */
        const void *userdata;
} ScanText;

/* A file for conf.d, owned by the caller; NULL: no memory. */
char *scan_text(const ScanText *s);
