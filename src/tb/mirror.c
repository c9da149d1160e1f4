/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      boiler.every = "5s"        boiler = { every = "5s"; };           config_lookup("boiler.every") finds it
 *      a b = 5                    named = ( { name = "a b"; value = 5; } );
 *      map = {"x":1}              named = ( { name = "map"; json = "{\"x\":1}"; } );
 *
 * In `named` stands what libconfig could not read back under its own name, or at all: parts of a name that are not
 * [A-Za-z][A-Za-z0-9_-]* or are true or false in any case (the versions differ in what they take), the name of a group
 * (boiler beside boiler.every), `named` itself; objects, arrays, and text with U+0000. Integers that need more than 32
 * bits carry an L: libconfig 1.5 wraps them without it.
 *
 * The keys come sorted, so those of one group follow each other, and the text is written in one pass.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "model/option-json.h"
#include "tb/mirror.h"
#include "tb/tree.h"

#define NAMED "named"
#define PARTS_MAX 8
#define HEAD "# Shared attributes of this device as ThingsBoard has them, written by tbagent: changes made here are lost.\n"

typedef struct Path {
        const char *at[PARTS_MAX];
        size_t size[PARTS_MAX];
        size_t n;
} Path;

/* ---- names */

static bool is_name(const char *text, size_t size) {
        if (size == 0 || !isalpha((unsigned char)text[0]))
                return false;
        if ((size == 4 && strncasecmp(text, "true", 4) == 0) || (size == 5 && strncasecmp(text, "false", 5) == 0))
                return false;
        for (size_t i = 0; i < size; i++)
                if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '-')
                        return false;
        return true;
}

/* false: not a path of names. */
static bool split(const char *key, Path *ret) {
        Path p = { .n = 0 };

        for (const char *part = key;; part = p.at[p.n - 1] + p.size[p.n - 1] + 1) {
                size_t size = strcspn(part, ".");

                if (p.n == PARTS_MAX || !is_name(part, size))
                        return false;
                p.at[p.n] = part;
                p.size[p.n++] = size;
                if (part[size] == '\0')
                        break;
        }
        *ret = p;
        return p.size[0] != strlen(NAMED) || strncmp(p.at[0], NAMED, p.size[0]) != 0;
}

/* Some other key begins with this one and a dot, and stands as a group in the file. */
static bool is_group(const Attributes *a, const char *key) {
        size_t size = strlen(key);
        char prefix[KEY_TEXT_MAX + 2];
        Path p;

        memcpy(prefix, key, size);
        memcpy(prefix + size, ".", 2);
        for (size_t i = attributes_lower_bound(a, prefix); i < attributes_n(a); i++) {
                const char *other = attributes_at(a, i)->key;

                if (strncmp(other, prefix, size + 1) != 0)
                        return false;
                if (split(other, &p))
                        return true;
        }
        return false;
}

static bool has_nul(const Value *v) {
        return memchr(v->s.text, '\0', v->s.size);
}

static bool is_plain(const Value *v) {
        return v->type != VALUE_JSON && (v->type != VALUE_STRING || !has_nul(v));
}

/* Stands under its own name. */
static bool has_place(const Attributes *a, const Attribute *at, Path *ret) {
        return is_plain(&at->value) && split(at->key, ret) && !is_group(a, at->key);
}

/* ---- text */

static void write_string(FILE *f, const char *text, size_t size) {
        fputc('"', f);
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char)text[i];

                if (c == '"' || c == '\\')
                        fprintf(f, "\\%c", c);
                else if (c == '\n' || c == '\t' || c == '\r' || c == '\f')
                        fprintf(f, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 'f');
                else if (c < 0x20 || c == 0x7f)
                        fprintf(f, "\\x%02x", c);
                else
                        fputc(c, f);
        }
        fputc('"', f);
}

static void write_double(FILE *f, double d) {
        char text[40];

        snprintf(text, sizeof(text), "%.17g", d);
        fputs(text, f);
        if (!strpbrk(text, ".e"))
                fputs(".0", f);
}

static void write_value(FILE *f, const Value *v) {
        switch (v->type) {
        case VALUE_BOOL:
                fputs(v->b ? "true" : "false", f);
                break;
        case VALUE_INT:
                fprintf(f, "%" PRId64 "%s", v->i, v->i < INT32_MIN || v->i > INT32_MAX ? "L" : "");
                break;
        case VALUE_DOUBLE:
                write_double(f, v->d);
                break;
        case VALUE_STRING:
        case VALUE_JSON:
                write_string(f, v->s.text, v->s.size);
                break;
        }
}

static void indent(FILE *f, size_t depth) {
        for (size_t i = 0; i < depth; i++)
                fputs("  ", f);
}

static size_t common_groups(const Path *a, const Path *b) {
        size_t n = 0;

        while (n + 1 < a->n && n + 1 < b->n && a->size[n] == b->size[n] && memcmp(a->at[n], b->at[n], a->size[n]) == 0)
                n++;
        return n;
}

/* Closes the groups of the key before, opens those of the next: to is n 0 at the end. */
static void change_group(FILE *f, const Path *from, const Path *to) {
        size_t common = common_groups(from, to);

        for (size_t depth = from->n; depth-- > common + 1;) {
                indent(f, depth - 1);
                fputs("};\n", f);
        }
        for (size_t depth = common; depth + 1 < to->n; depth++) {
                indent(f, depth);
                fprintf(f, "%.*s = {\n", (int)to->size[depth], to->at[depth]);
        }
}

static void write_places(FILE *f, const Attributes *a) {
        Path before = { .n = 0 };

        for (size_t i = 0; i < attributes_n(a); i++) {
                const Attribute *at = attributes_at(a, i);
                Path p;

                if (!has_place(a, at, &p))
                        continue;
                change_group(f, &before, &p);
                indent(f, p.n - 1);
                fprintf(f, "%.*s = ", (int)p.size[p.n - 1], p.at[p.n - 1]);
                write_value(f, &at->value);
                fputs(";\n", f);
                before = p;
        }
        change_group(f, &before, &(Path){ .n = 0 });
}

static void write_named(FILE *f, const Attributes *a) {
        bool any = false;

        for (size_t i = 0; i < attributes_n(a); i++) {
                const Attribute *at = attributes_at(a, i);
                Path p;

                if (has_place(a, at, &p))
                        continue;
                fputs(any ? ",\n  { name = " : NAMED " = (\n  { name = ", f);
                any = true;
                write_string(f, at->key, strlen(at->key));
                fputs(is_plain(&at->value) ? "; value = " : "; json = ", f);
                if (is_plain(&at->value))
                        write_value(f, &at->value);
                else
                        write_string(f, at->json, at->json_size);
                fputs("; }", f);
        }
        if (any)
                fputs("\n);\n", f);
}

int mirror_text(const Attributes *a, char **ret, size_t *ret_size) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        bool failed;

        if (!f)
                return -ENOMEM;
        fputs(HEAD, f);
        write_places(f, a);
        write_named(f, a);
        failed = ferror(f);
        if (fclose(f) != 0 || failed) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        *ret_size = size;
        return 0;
}

/* ---- back */

static int put(Attributes *a, const char *key, const char *json) {
        int r = attributes_set(a, key, json, strlen(json));

        return r == -ENOMEM ? r : r < 0;
}

static int put_setting(Attributes *a, const char *key, const Setting *s) {
        _cleanup_(freep) char *json = NULL;

        if (s->type == SETTING_GROUP || s->type == SETTING_LIST)
                return 1;
        json = setting_json(s);
        return json ? put(a, key, json) : -ENOMEM;
}

static int load_named(Attributes *a, const Setting *list) {
        int odd = 0;

        for (size_t i = 0; i < list->n_children; i++) {
                const Setting *name = setting_child(list->children[i], "name");
                const Setting *value = setting_child(list->children[i], "value");
                const Setting *json = setting_child(list->children[i], "json");
                int r = 1;

                if (name && name->type == SETTING_STRING && value)
                        r = put_setting(a, name->s, value);
                else if (name && name->type == SETTING_STRING && json && json->type == SETTING_STRING)
                        r = put(a, name->s, json->s);
                if (r < 0)
                        return r;
                odd += r;
        }
        return odd;
}

static int load_group(Attributes *a, const char *prefix, const Setting *group) {
        int odd = 0;

        for (size_t i = 0; i < group->n_children; i++) {
                const Setting *s = group->children[i];
                char key[KEY_TEXT_MAX + 1];
                bool fits = snprintf(key, sizeof(key), "%s%s%s", prefix, prefix[0] ? "." : "", s->name) < (int)sizeof(key);
                int r = 1;

                if (!prefix[0] && streq(s->name, NAMED) && s->type == SETTING_LIST)
                        r = load_named(a, s);
                else if (fits && s->type == SETTING_GROUP)
                        r = load_group(a, key, s);
                else if (fits)
                        r = put_setting(a, key, s);
                if (r < 0)
                        return r;
                odd += r;
        }
        return odd;
}

int mirror_load(Attributes *a, const Setting *root) {
        return root->type == SETTING_GROUP ? load_group(a, "", root) : 1;
}
