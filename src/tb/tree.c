/* SPDX-License-Identifier: Apache-2.0 */
/* What passes json_validate() is safe for json-c: its depth is bounded, its text is UTF-8, its numbers are finite.
 * json-c keeps the text of a double, so that what the server wrote is what is handed on. It is not told to be strict: that
 * was seen to, and json-c 0.18 (Debian 13) then takes every byte above 0x7f in a text for a control character. */
#include "model/json.h"
#include "tb/tree.h"

int tree_parse(const char *text, size_t size, json_object **ret) {
        struct json_tokener *t;
        json_object *o;
        enum json_tokener_error e;
        size_t names;

        if (size > INT32_MAX / 2 || json_validate(text, size) < 0 || json_check_tree(text, size, &names) < 0)
                return -EBADMSG;
        t = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
        if (!t)
                return -ENOMEM;
        o = json_tokener_parse_ex(t, text, (int)size);
        e = json_tokener_get_error(t);
        if (e == json_tokener_continue) { /* a number at the end may go on */
                o = json_tokener_parse_ex(t, "", 1);
                e = json_tokener_get_error(t);
        }
        json_tokener_free(t);
        if (e != json_tokener_success) {
                json_object_put(o);
                return -EBADMSG;
        }
        *ret = o;
        return 0;
}

/* ---- members, each for itself */

/* Behind a value of any kind, also one that is no JSON: at the comma or bracket that ends it. */
static void skip_value(JsonScan *s) {
        size_t depth = 0;
        bool quoted = false;

        for (; s->p < s->end; s->p++) {
                char c = *s->p;

                if (quoted && c == '\\')
                        s->p += s->end - s->p > 1;
                else if (c == '"')
                        quoted = !quoted;
                else if (quoted)
                        continue;
                else if (depth == 0 && (c == ',' || c == '}' || c == ']'))
                        return;
                else if (c == '{' || c == '[')
                        depth++;
                else if (c == '}' || c == ']')
                        depth--;
        }
}

static int add_parsed(json_object *to, const JsonText *name, const char *value, size_t size, unsigned levels) {
        _cleanup_(tree_putp) json_object *key = NULL, *o = NULL;
        int r = tree_parse(name->data - 1, name->size + 2, &key); /* with its quotes */

        if (r < 0)
                return r;
        if (strlen(json_object_get_string(key)) != (size_t)json_object_get_string_len(key))
                return 0;
        if (tree_parse(value, size, &o) < 0 && levels > 1 && tree_parse_members(value, size, levels - 1, &o) < 0)
                o = NULL;
        if (json_object_object_add(to, json_object_get_string(key), o) < 0)
                return -ENOMEM;
        TAKE_PTR(o);
        return 0;
}

int tree_parse_members(const char *text, size_t size, unsigned levels, json_object **ret) {
        _cleanup_(tree_putp) json_object *o = json_object_new_object();
        JsonScan s = { text, text + size };
        bool more;

        if (!o)
                return -ENOMEM;
        json_skip_blanks(&s);
        if (!json_skip(&s, '{'))
                return -EBADMSG;
        json_skip_blanks(&s);
        for (more = !json_at(&s, '}'); more; more = json_skip(&s, ',')) {
                const char *value;
                JsonText name;
                int r;

                if (!json_scan_name(&s, &name))
                        return -EBADMSG;
                value = s.p;
                skip_value(&s);
                r = add_parsed(o, &name, value, (size_t)(s.p - value), levels);
                if (r < 0)
                        return r;
        }
        if (!json_skip(&s, '}'))
                return -EBADMSG;
        json_skip_blanks(&s);
        if (s.p != s.end)
                return -EBADMSG;
        *ret = TAKE_PTR(o);
        return 0;
}

/* ---- */

char *tree_text(json_object *o, size_t *ret_size) {
        size_t size = 0;
        const char *text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
        char *copy = text ? malloc(size + 1) : NULL;

        if (!copy)
                return NULL;
        memcpy(copy, text, size);
        copy[size] = '\0';
        *ret_size = size;
        return copy;
}

json_object *tree_member(json_object *o, const char *name) {
        json_object *member = NULL;

        if (json_object_is_type(o, json_type_object))
                json_object_object_get_ex(o, name, &member);
        return member;
}

/* ---- settings */

static int add_member(Setting *to, json_object *o, const char *name) {
        _cleanup_(setting_freep) Setting *s = NULL;
        int r = tree_setting(o, &s);

        if (r < 0)
                return r;
        if (name) {
                s->name = strdup(name);
                if (!s->name)
                        return -ENOMEM;
        }
        return setting_add(to, TAKE_PTR(s));
}

static int add_members(Setting *to, json_object *o) {
        if (to->type == SETTING_LIST) {
                for (size_t i = 0; i < json_object_array_length(o); i++) {
                        int r = add_member(to, json_object_array_get_idx(o, i), NULL);

                        if (r < 0)
                                return r;
                }
                return 0;
        }
        json_object_object_foreach(o, name, member) {
                int r = add_member(to, member, name);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int setting_value(Setting *s, json_object *o) {
        switch (s->type) {
        case SETTING_BOOL:
                s->b = json_object_get_boolean(o);
                return 0;
        case SETTING_INT:
                s->i = json_object_get_int64(o);
                return 0;
        case SETTING_FLOAT:
                s->d = json_object_get_double(o);
                return 0;
        case SETTING_STRING:
                return setting_set_string(s, json_object_get_string(o));
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        return add_members(s, o);
}

/* json-c has whole numbers up to 2^64 - 1, and cuts them off at 2^63 - 1 where 63 bits are asked for. */
static bool is_beyond_int64(json_object *o) {
        return json_object_is_type(o, json_type_int) && json_object_get_uint64(o) > INT64_MAX;
}

int tree_setting(json_object *o, Setting **ret) {
        static const SettingType types[] = {
                [json_type_boolean] = SETTING_BOOL, [json_type_int] = SETTING_INT,   [json_type_double] = SETTING_FLOAT,
                [json_type_string] = SETTING_STRING, [json_type_array] = SETTING_LIST, [json_type_object] = SETTING_GROUP,
        };
        _cleanup_(setting_freep) Setting *s = NULL;
        int r;

        if (!o)
                return -EINVAL;
        r = setting_new(&s, is_beyond_int64(o) ? SETTING_FLOAT : types[json_object_get_type(o)], NULL, NULL, 0);
        if (r == 0)
                r = setting_value(s, o);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}
