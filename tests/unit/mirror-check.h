/* SPDX-License-Identifier: Apache-2.0 */
/* Holds what mirror_text() writes to what libconfig reads, and to what mirror_load() makes of it. */
#pragma once

#include "tb/attributes.h"

typedef enum MirrorPlace { MIRROR_PATH, MIRROR_NAMED } MirrorPlace; /* boiler = { every = ... }; or in the list `named` */

Attributes *mirror_attributes(Loop *loop);
/* json NULL: what is not taken fails the test. */
void mirror_set(Attributes *a, const char *key, const char *json);
/* Fails the test where any attribute is not found in the file with its type and value, where something else stands there,
 * or where the file does not give the same attributes again. */
void mirror_check(Loop *loop, const Attributes *a);
MirrorPlace mirror_place(const Attributes *a, const char *key); /* where it stands in the file */
