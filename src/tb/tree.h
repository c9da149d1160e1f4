/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside as json-c's trees, parsed strictly and within bounds. Pure. */
#pragma once

#include <json-c/json.h>

#include "model/setting.h"

#define TREE_TEXT_MAX (64 * KIB) /* of one body that is kept or handed on */

static inline void tree_putp(json_object **o) {
        json_object_put(*o);
}

/* text need not end with NUL. -EBADMSG: as json_validate() and json_check_tree(); 0 and *ret NULL: it is
 * null. */
_must_check_ int tree_parse(const char *text, size_t size, json_object **ret);
/* An object of which a part may be what tree_parse() does not take (too deep, a number without bounds): a member whose
 * value is not taken is null, and what is an object is looked through in the same way down to so many levels. -EBADMSG:
 * no object; -ENOMEM. */
_must_check_ int tree_parse_members(const char *text, size_t size, unsigned levels, json_object **ret);
/* Shortest text of o, owned by the caller; NULL: no memory. */
char *tree_text(json_object *o, size_t *ret_size);
/* The member of an object; NULL: none, or null, or o is no object. */
json_object *tree_member(json_object *o, const char *name);

/* A setting without a name, file and line. -EINVAL: null is no setting; -ENOMEM. */
_must_check_ int tree_setting(json_object *o, Setting **ret);
