/* SPDX-License-Identifier: Apache-2.0 */
/* The tree itself and its form as bytes.
 *
 * Every setting knows where it was written, so that a check made later, in another process and against a
 * plugin's own table, can still say file and line. A group that several files add to keeps the place where
 * it was opened first; its members keep theirs.
 *
 * As bytes a node is its type, line, name, file and value, children following their parent:
 *
 *      u8 type | u32 line | text name | text file | value
 *      text:   u16 length, bytes; 0xFFFF: none (a file: the parent's, which is the usual case)
 *      value:  BOOL u8; INT i64; FLOAT f64; STRING u32 length, bytes; GROUP, LIST u32 count, then the children
 *
 * Numbers are in the machine's own order, because the bytes never leave it. The decoder trusts nothing: it
 * bounds depth and number of nodes before it allocates, wants texts without NUL and a name for each member
 * of a group, and no byte may be left over.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "model/setting.h"

#define TEXT_NONE UINT16_MAX
#define NODE_SIZE_MIN 10 /* type, line, two absent texts, a BOOL's byte */

int setting_new(Setting **ret, SettingType type, const char *name, const char *file, unsigned line) {
        _cleanup_(setting_freep) Setting *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->type = type;
        s->line = line;
        if (name && !(s->name = strdup(name)))
                return -ENOMEM;
        if (file && !(s->file = strdup(file)))
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

static bool has_children(const Setting *s) {
        return s->type == SETTING_GROUP || s->type == SETTING_LIST;
}

static void free_content(Setting *s) {
        for (size_t i = 0; i < s->n_children; i++)
                setting_free(s->children[i]);
        free(s->children);
        s->children = NULL;
        s->n_children = 0;
        if (s->type == SETTING_STRING)
                free(TAKE_PTR(s->s));
}

Setting *setting_free(Setting *s) {
        if (!s)
                return NULL;
        free_content(s);
        free(s->name);
        free(s->file);
        free(s);
        return NULL;
}

int setting_set_string(Setting *s, const char *text) {
        char *copy;

        assert(s->type == SETTING_STRING);
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(s->s);
        s->s = copy;
        return 0;
}

int setting_add(Setting *parent, Setting *child) {
        assert(has_children(parent));
        assert((parent->type == SETTING_GROUP) == (child->name != NULL));

        /* grows to the next power of two whenever the count is one */
        if ((parent->n_children & (parent->n_children - 1)) == 0) {
                size_t room = MAX(2 * parent->n_children, (size_t)1);
                Setting **grown = reallocarray(parent->children, room, sizeof(*grown));

                if (!grown) {
                        setting_free(child);
                        return -ENOMEM;
                }
                parent->children = grown;
        }
        parent->children[parent->n_children++] = child;
        return 0;
}

int setting_copy(Setting **ret, const Setting *s) {
        _cleanup_(setting_freep) Setting *copy = NULL;
        int r;

        r = setting_new(&copy, s->type, s->name, s->file, s->line);
        if (r < 0)
                return r;
        switch (s->type) {
        case SETTING_BOOL:
                copy->b = s->b;
                break;
        case SETTING_INT:
                copy->i = s->i;
                break;
        case SETTING_FLOAT:
                copy->d = s->d;
                break;
        case SETTING_STRING:
                r = setting_set_string(copy, s->s ? s->s : "");
                break;
        case SETTING_GROUP:
        case SETTING_LIST:
                for (size_t i = 0; r >= 0 && i < s->n_children; i++) {
                        Setting *child;

                        r = setting_copy(&child, s->children[i]);
                        if (r >= 0)
                                r = setting_add(copy, child);
                }
                break;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

static size_t child_index(const Setting *group, const char *name, size_t length) {
        for (size_t i = 0; i < group->n_children; i++) {
                const char *n = group->children[i]->name;

                if (n && strncmp(n, name, length) == 0 && n[length] == '\0')
                        return i;
        }
        return SIZE_MAX;
}

static int merge_children(Setting *into, Setting *from) {
        for (size_t i = 0; i < from->n_children; i++) {
                Setting *child = TAKE_PTR(from->children[i]);
                size_t at = child_index(into, child->name, strlen(child->name));
                int r = 0;

                if (at == SIZE_MAX)
                        r = setting_add(into, child);
                else if (into->children[at]->type == SETTING_GROUP && child->type == SETTING_GROUP)
                        r = setting_merge(into->children[at], child);
                else {
                        setting_free(into->children[at]);
                        into->children[at] = child;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int setting_merge(Setting *into, Setting *from) {
        Setting content;
        int r = 0;

        if (into->type == SETTING_GROUP && from->type == SETTING_GROUP)
                r = merge_children(into, from);
        else {
                content = *into;
                *into = *from;
                *from = content;
                /* into stays the member it was */
                from->name = into->name;
                into->name = content.name;
        }
        setting_free(from);
        return r;
}

static bool same_value(const Setting *a, const Setting *b) {
        switch (a->type) {
        case SETTING_BOOL:
                return a->b == b->b;
        case SETTING_INT:
                return a->i == b->i;
        case SETTING_FLOAT:
                return a->d == b->d;
        case SETTING_STRING:
                return streq(a->s, b->s);
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        for (size_t i = 0; i < a->n_children; i++)
                if (!setting_same(a->children[i], b->children[i]))
                        return false;
        return true;
}

bool setting_same(const Setting *a, const Setting *b) {
        if (!a || !b)
                return a == b;
        return a->type == b->type && a->n_children == b->n_children && !a->name == !b->name &&
               (!a->name || streq(a->name, b->name)) && same_value(a, b);
}

void setting_remove(Setting *parent, const char *name) {
        size_t at = child_index(parent, name, strlen(name));

        if (at == SIZE_MAX)
                return;
        setting_free(parent->children[at]);
        /* a count that falls to a power of two makes setting_add() allocate again, which is harmless */
        memmove(&parent->children[at], &parent->children[at + 1], (parent->n_children - at - 1) * sizeof(Setting *));
        parent->n_children--;
}

Setting *setting_child(const Setting *group, const char *name) {
        size_t at = child_index(group, name, strlen(name));

        return at == SIZE_MAX ? NULL : group->children[at];
}

Setting *setting_lookup(const Setting *group, const char *path) {
        while (group) {
                size_t length = strcspn(path, ".");
                size_t at = child_index(group, path, length);
                Setting *child = at == SIZE_MAX ? NULL : group->children[at];

                if (path[length] == '\0')
                        return child;
                group = child;
                path += length + 1;
        }
        return NULL;
}

const char *setting_type_name(SettingType t) {
        switch (t) {
        case SETTING_GROUP:
                return "group";
        case SETTING_LIST:
                return "list";
        case SETTING_BOOL:
                return "true or false";
        case SETTING_INT:
        case SETTING_FLOAT:
                return "number";
        case SETTING_STRING:
                return "text";
        }
        return "nothing";
}

static void print_setting(FILE *f, const Setting *s) {
        switch (s->type) {
        case SETTING_GROUP:
                fputs(s->n_children > 0 ? "{ ... }" : "{ }", f);
                break;
        case SETTING_LIST:
                fputc('(', f);
                for (size_t i = 0; i < s->n_children; i++) {
                        fputs(i > 0 ? ", " : "", f);
                        print_setting(f, s->children[i]);
                }
                fputc(')', f);
                break;
        case SETTING_BOOL:
                fputs(s->b ? "true" : "false", f);
                break;
        case SETTING_INT:
                fprintf(f, "%" PRId64, s->i);
                break;
        case SETTING_FLOAT:
                fprintf(f, "%.15g", s->d);
                break;
        case SETTING_STRING:
                fprintf(f, "\"%s\"", s->s ? s->s : "");
                break;
        }
}

char *setting_text(const Setting *s, char *out, size_t size) {
        FILE *f;

        assert(size > 0);
        out[0] = '\0';
        f = fmemopen(out, size, "w");
        if (f) {
                /* unbuffered, so that what is too long is cut and not left out */
                setvbuf(f, NULL, _IONBF, 0);
                print_setting(f, s);
                fclose(f);
        }
        out[size - 1] = '\0';
        return out;
}

static size_t text_size(const char *text) {
        return text ? strnlen(text, TEXT_NONE - 1) : 0;
}

static const char *own_file(const Setting *s, const char *inherited) {
        return s->file && !(inherited && streq(s->file, inherited)) ? s->file : NULL;
}

static size_t node_size(const Setting *s, const char *inherited) {
        size_t size = 1 + 4 + 2 + text_size(s->name) + 2 + text_size(own_file(s, inherited));

        switch (s->type) {
        case SETTING_BOOL:
                return size + 1;
        case SETTING_INT:
        case SETTING_FLOAT:
                return size + 8;
        case SETTING_STRING:
                return size + 4 + (s->s ? strlen(s->s) : 0);
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        size += 4;
        for (size_t i = 0; i < s->n_children; i++)
                size += node_size(s->children[i], s->file ? s->file : inherited);
        return size;
}

size_t setting_encoded_size(const Setting *s) {
        return node_size(s, NULL);
}

static uint8_t *put(uint8_t *p, const void *data, size_t size) {
        if (size > 0)
                memcpy(p, data, size);
        return p + size;
}

static uint8_t *put_text(uint8_t *p, const char *text) {
        uint16_t length = text ? (uint16_t)text_size(text) : TEXT_NONE;

        p = put(p, &length, sizeof(length));
        return put(p, text, text_size(text));
}

static uint8_t *put_node(uint8_t *p, const Setting *s, const char *inherited) {
        uint8_t type = (uint8_t)s->type, b = s->type == SETTING_BOOL && s->b;
        uint32_t line = s->line, length;

        p = put(p, &type, 1);
        p = put(p, &line, sizeof(line));
        p = put_text(p, s->name);
        p = put_text(p, own_file(s, inherited));
        switch (s->type) {
        case SETTING_BOOL:
                return put(p, &b, 1);
        case SETTING_INT:
                return put(p, &s->i, 8);
        case SETTING_FLOAT:
                return put(p, &s->d, 8);
        case SETTING_STRING:
                length = s->s ? (uint32_t)strlen(s->s) : 0;
                p = put(p, &length, sizeof(length));
                return put(p, s->s, length);
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        length = (uint32_t)s->n_children;
        p = put(p, &length, sizeof(length));
        for (size_t i = 0; i < s->n_children; i++)
                p = put_node(p, s->children[i], s->file ? s->file : inherited);
        return p;
}

size_t setting_encode(const Setting *s, uint8_t *out) {
        return (size_t)(put_node(out, s, NULL) - out);
}

typedef struct Reader {
        const uint8_t *p;
        size_t left;
        size_t nodes; /* still allowed */
} Reader;

static bool get(Reader *r, void *out, size_t size) {
        if (r->left < size)
                return false;
        memcpy(out, r->p, size);
        r->p += size;
        r->left -= size;
        return true;
}

static int get_bytes_as_text(Reader *r, size_t length, char **ret) {
        char *text;

        if (length > r->left || memchr(r->p, '\0', length))
                return -EBADMSG;
        text = strndup((const char *)r->p, length);
        if (!text)
                return -ENOMEM;
        r->p += length;
        r->left -= length;
        *ret = text;
        return 0;
}

static int get_text(Reader *r, char **ret) {
        uint16_t length;

        if (!get(r, &length, sizeof(length)))
                return -EBADMSG;
        return length == TEXT_NONE ? 0 : get_bytes_as_text(r, length, ret);
}

static int get_node(Reader *r, unsigned depth, const char *inherited, Setting **ret);

static int get_children(Reader *r, unsigned depth, Setting *s) {
        uint32_t count;

        if (!get(r, &count, sizeof(count)) || count > r->left / NODE_SIZE_MIN)
                return -EBADMSG;
        for (uint32_t i = 0; i < count; i++) {
                Setting *child = NULL;
                int e = get_node(r, depth + 1, s->file, &child);

                if (e < 0)
                        return e;
                if ((s->type == SETTING_GROUP) != (child->name != NULL)) {
                        setting_free(child);
                        return -EBADMSG;
                }
                e = setting_add(s, child);
                if (e < 0)
                        return e;
        }
        return 0;
}

static int get_value(Reader *r, unsigned depth, Setting *s) {
        uint32_t length;
        uint8_t b;

        switch (s->type) {
        case SETTING_BOOL:
                if (!get(r, &b, 1) || b > 1)
                        return -EBADMSG;
                s->b = b;
                return 0;
        case SETTING_INT:
                return get(r, &s->i, 8) ? 0 : -EBADMSG;
        case SETTING_FLOAT:
                return get(r, &s->d, 8) ? 0 : -EBADMSG;
        case SETTING_STRING:
                return get(r, &length, sizeof(length)) ? get_bytes_as_text(r, length, &s->s) : -EBADMSG;
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        return get_children(r, depth, s);
}

static int get_node(Reader *r, unsigned depth, const char *inherited, Setting **ret) {
        _cleanup_(setting_freep) Setting *s = NULL;
        uint32_t line;
        uint8_t type;
        int e;

        if (depth >= SETTING_DEPTH_MAX || r->nodes-- == 0)
                return -EBADMSG;
        if (!get(r, &type, 1) || type > SETTING_STRING || !get(r, &line, sizeof(line)))
                return -EBADMSG;
        e = setting_new(&s, type, NULL, NULL, line);
        if (e < 0)
                return e;
        if ((e = get_text(r, &s->name)) < 0 || (e = get_text(r, &s->file)) < 0)
                return e;
        if (!s->file && inherited && !(s->file = strdup(inherited)))
                return -ENOMEM;
        e = get_value(r, depth, s);
        if (e < 0)
                return e;
        *ret = TAKE_PTR(s);
        return 0;
}

int setting_decode(const uint8_t *data, size_t size, Setting **ret) {
        _cleanup_(setting_freep) Setting *s = NULL;
        Reader r = { data, size, SETTING_NODES_MAX };
        int e;

        e = get_node(&r, 0, NULL, &s);
        if (e < 0)
                return e;
        if (r.left > 0)
                return -EBADMSG;
        *ret = TAKE_PTR(s);
        return 0;
}
