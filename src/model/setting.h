/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration as a tree of named settings that remember file and line. agent/config makes it from
 * libconfig files and merges them here; the part of one instance crosses the socket as bytes to its host,
 * which checks it against the plugin's option table (model/option). Pure; decoding is fuzzed. */
#pragma once

#include "base/macro.h"
#include "base/unit.h"

typedef enum SettingType { SETTING_GROUP, SETTING_LIST, SETTING_BOOL, SETTING_INT, SETTING_FLOAT, SETTING_STRING } SettingType;

typedef struct Setting Setting;
struct Setting {
        char *name; /* NULL: list element or root */
        SettingType type;
        union {
                bool b;
                int64_t i;
                double d;
                char *s;
        };
        char *file; /* where it was set last; a group: where it was opened first */
        unsigned line;
        Setting **children; /* GROUP, LIST: in the file's order, owned */
        size_t n_children;
};

#define SETTING_DEPTH_MAX 16
#define SETTING_NODES_MAX 20000

_must_check_ int setting_new(Setting **ret, SettingType type, const char *name, const char *file, unsigned line);
Setting *setting_free(Setting *s);
DEFINE_CLEANUP(Setting *, setting_free)
_must_check_ int setting_set_string(Setting *s, const char *text);
/* Takes ownership of child also on failure. */
_must_check_ int setting_add(Setting *parent, Setting *child);
_must_check_ int setting_copy(Setting **ret, const Setting *s);
/* Groups merge by name, everything else is replaced by the later one (`from`, which is consumed). */
_must_check_ int setting_merge(Setting *into, Setting *from);
/* The same values under the same names in the same order, wherever they were written. NULL is only NULL. */
bool setting_same(const Setting *a, const Setting *b);
void setting_remove(Setting *parent, const char *name);

Setting *setting_child(const Setting *group, const char *name); /* NULL: none. Borrowed. */
Setting *setting_lookup(const Setting *group, const char *path); /* "a.b.c" */
const char *setting_type_name(SettingType t); /* "group", "list", "true or false", "number", "text" */
/* The value as the file would have it: 5, "10s", true, (1, 2), { ... } cut at size. Returns out. */
char *setting_text(const Setting *s, char *out, size_t size);

size_t setting_encoded_size(const Setting *s);
size_t setting_encode(const Setting *s, uint8_t *out);
/* -EBADMSG: lengths, depth or counts wrong. */
_must_check_ int setting_decode(const uint8_t *data, size_t size, Setting **ret);
