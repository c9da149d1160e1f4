/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin tells ends up on a terminal and in a configuration file that runs as it is. So text for people loses its
 * control characters, and each piece of configuration has to be whole by itself: nothing in it closes a group that it has not
 * opened, or opens one and leaves it to what follows. What it means is checked later, when the file is there. */
#include <stdio.h>

#include "agent/config-text.h"
#include "agent/found.h"
#include "tb/tree.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

typedef struct Member {
        const char *name;
        size_t offset, size_max;
        bool required;
        const char *wrong; /* what is told where it is missing, of another type or too long */
} Member;

#define MEMBER(name, size, required) \
        { #name, offsetof(Found, name), size, required, "its \"" #name "\" is missing, no text or too long" }

static const Member members[] = {
        MEMBER(id, FOUND_NAME_MAX, true),        MEMBER(what, FOUND_TEXT_MAX, true),
        MEMBER(config, FOUND_CONFIG_MAX, false), MEMBER(options, FOUND_OPTIONS_MAX, false),
        MEMBER(group, FOUND_NAME_MAX, false),    MEMBER(instance, FOUND_NAME_MAX, false),
};

static char **text_of(Found *f, const Member *m) {
        return (char **)((char *)f + m->offset);
}

static int take_text(json_object *o, const Member *m, Found *ret, const char **ret_why) {
        json_object *value = tree_member(o, m->name);
        const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
        size_t size = strlen(text);

        if ((m->required ? size == 0 : value && !json_object_is_type(value, json_type_string)) || size > m->size_max ||
            (size_t)json_object_get_string_len(value) > size) { /* a NUL is inside */
                *ret_why = m->wrong;
                return -EBADMSG;
        }
        *text_of(ret, m) = strdup(text);
        return *text_of(ret, m) ? 0 : -ENOMEM;
}

/* What a terminal takes for a command: below a blank, 0x7f, and in UTF-8 U+0080 to U+009f. */
static bool is_control(const char *text) {
        const unsigned char *p = (const unsigned char *)text;

        return p[0] < ' ' || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
}

static void clean(char *text) {
        for (; *text; text++)
                if (is_control(text)) {
                        if ((unsigned char)*text == 0xc2)
                                *text++ = ' ';
                        *text = ' ';
                }
}

static bool is_name(const char *text) {
        if (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'))
                return false;
        return strspn(text, NAME_CHARS) == strlen(text);
}

/* A text that could be a file of its own. */
static bool is_whole(const char *text) {
        ConfigProblems problems = { 0 };
        size_t mistakes = config_text_check(text, strlen(text), "", &problems);

        config_problems_free(problems.list, problems.n);
        for (; *text; text++)
                mistakes += is_control(text) && *text != '\n' && *text != '\t';
        return mistakes == 0;
}

static int judge(Found *f, const char **ret_why) {
        clean(f->id);
        clean(f->what);
        if (!is_name(f->group) || !is_name(f->instance))
                *ret_why = "its \"group\" or \"instance\" is no name";
        else if (!is_whole(f->config))
                *ret_why = "its \"config\" is not in the syntax of a configuration file";
        else if (!is_whole(f->options))
                *ret_why = "its \"options\" are not in the syntax of a configuration file";
        else
                return 0;
        return -EBADMSG;
}

int found_parse(const char *json, size_t size, Found *ret, const char **ret_why) {
        _cleanup_(tree_putp) json_object *o = NULL;
        _cleanup_(found_done) Found f = { 0 };
        int r;

        *ret_why = "it is no JSON object";
        r = tree_parse(json, size, &o);
        if (r == 0 && !json_object_is_type(o, json_type_object))
                r = -EBADMSG;
        for (size_t i = 0; r == 0 && i < ELEMENTS(members); i++)
                r = take_text(o, &members[i], &f, ret_why);
        if (r == 0)
                r = judge(&f, ret_why);
        if (r < 0)
                return r;
        f.commented = json_object_get_boolean(tree_member(o, "commented"));
        *ret = f;
        f = (Found){ 0 };
        return 0;
}

void found_done(Found *f) {
        for (size_t i = 0; i < ELEMENTS(members); i++)
                free(*text_of(f, &members[i]));
        *f = (Found){ 0 };
}
