/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin's tables say of its options and methods, in words. Pure. */
#pragma once

#include <stdio.h>

#include "sensor/plugin.h"

typedef enum ManualForm {
        MANUAL_TEXT,  /* for a terminal */
        MANUAL_SCDOC, /* the sections OPTIONS and METHODS of a manual page */
} ManualForm;

/* The same on every machine. 0, -ENOMEM, or what writing to f gave. */
_must_check_ int manual_print(FILE *f, const Plugin *p, ManualForm form);
