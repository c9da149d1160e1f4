/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options as JSON, the way a shared attribute would set them. Pure. */
#pragma once

#include "model/option-value.h"

/* Owned by the caller: "10s", 5, true, [0, 50]; "" for what is unset. NULL: no memory. */
char *option_value_json(const OptionValue *v, const struct tbagent_option *o);
/* JSON text of a setting, owned by the caller. NULL: no memory. */
char *setting_json(const Setting *s);
