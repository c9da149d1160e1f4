/* SPDX-License-Identifier: Apache-2.0 */
/* What people write as arguments. */
#pragma once

#include <json-c/json.h>

#include "base/macro.h"

static inline void json_putp(json_object **o) {
        json_object_put(*o);
}

/* One JSON text, strictly; owned by the caller (NULL is null). -EBADMSG: *ret_at is where it goes wrong, from 1. */
_must_check_ int input_json(const char *text, json_object **ret, size_t *ret_at);

/* KEY=VALUE... as the text of an object, owned by the caller: a value goes in as it is where it is JSON, else as text.
 * -EINVAL: *ret_wrong is the argument that is not of that form; -ENOMEM. */
_must_check_ int input_pairs(char **arguments, size_t n, char **ret, const char **ret_wrong);

/* The secret that an argument names: itself, or a line of standard input where it is "-"; owned by the caller. The argument is
 * made unreadable: others see it in the list of processes, and the bus writes the command line of whoever it turns away into
 * the log. -ENODATA: there is no line; -ENOMEM. */
_must_check_ int input_secret(char *argument, char **ret);

/* "a,b" as a list that ends with NULL; both parts are owned by the caller: free(*ret_storage), free(*ret). NULL gives an empty
 * list. -EINVAL: an empty part. */
_must_check_ int input_keys(const char *text, char ***ret, char **ret_storage);
