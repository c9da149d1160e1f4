/* SPDX-License-Identifier: Apache-2.0 */
/* A key and a certificate that the device makes for itself: the server knows it by its bytes (THINGSBOARD.md 10). */
#pragma once

#include "base/macro.h"

/* P-256, signed by itself, valid from 2020 to 9999: the machine may not know the time when it makes it, and a server that
 * looks at the dates would refuse one from the future. PEM texts, owned by the caller. -ENOMEM, -EIO */
_must_check_ int certificate_make(const char *name, char **ret_certificate, char **ret_key);
