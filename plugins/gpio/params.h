/* SPDX-License-Identifier: Apache-2.0 */
/* What the server sends with a method, or as an attribute: JSON from outside. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What an output is to become, in percent: 0 off, 100 on. true, false, 1, 0, "on", "off", 35 (percent, where percent), all of
 * them also in {"value": ...}. -EINVAL. */
int params_duty(const char *json, bool percent, double *ret);
/* A time: 500 (ms), "500ms", "2s", "1min", or {"ms": 500}, {"time": "2s"}. 0: nothing of it is said; -EINVAL. */
int params_time(const char *json, int64_t *ret_ns);
/* A number, also in {"value": ...} or as text. -EINVAL. */
int params_number(const char *json, double *ret);
/* {"pin": 7, "enabled": true}, as the GPIO widgets send it. -EINVAL. */
int params_pin(const char *json, unsigned *ret_pin, bool *ret_on);
/* A number out of {"client": {KEY: number}}. -ENOENT. */
int params_attribute(const char *json, const char *key, double *ret);
