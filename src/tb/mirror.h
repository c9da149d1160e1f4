/* SPDX-License-Identifier: Apache-2.0 */
/* Shared attributes as a file in libconfig's syntax, for other programs and for a start without a network. Pure. */
#pragma once

#include "model/setting.h"
#include "tb/attributes.h"

/* The whole text, owned by the caller. -ENOMEM */
_must_check_ int mirror_text(const Attributes *a, char **ret, size_t *ret_size);
/* Puts in what such a file says; root: as libconfig read it. Returns how many parts of it were none of ours, or -ENOMEM. */
_must_check_ int mirror_load(Attributes *a, const Setting *root);
