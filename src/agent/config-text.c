/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of libconfig's grammar that builds nothing and goes on after a mistake:
 *
 *      settings = { NAME ("=" | ":") value [";" | ","] }
 *      value    = true | false | number | string { string } | "{" settings "}"
 *               | "(" [value { "," value }] ")" | "[" [scalar { "," scalar }] "]"
 *
 * What is refused beside that, because libconfig 1.5 and 1.7 disagree or read something that nobody meant:
 *
 *      integers beyond int32 without L    1.5 wraps them without a word, 0xFFFFFFFF is -1 on both
 *      integers that begin with 0         decimal on 1.5, octal on 1.7
 *      a comma before a closing bracket   a syntax error on 1.5
 *      a string over several lines        nearly always a missing quote
 *      two strings side by side in a list nearly always a missing comma
 *      @include                           conf.d is for that, and merges by name
 *
 * A missing semicolon is none of these: both versions take a new setting without one.
 *
 * After a mistake in a value the rest of its line, or of its setting, is skipped. Brackets that do not match
 * and nesting beyond what a tree may have end the reading of the file: nothing below would be true.
 */
#include <ctype.h>

#include "agent/config-text.h"
#include "agent/config-token.h"
#include "model/setting.h"

static void parse_settings(Tokens *s, unsigned depth, const Token *open);

/* The value that begins at t, up to what ends it, is not what was meant: write the name with another one. */
static void tell_value(Tokens *s, const Token *t, bool in_list, const char *what, const char *value) {
        const char *quote = value ? "" : "\"";
        char text[60];

        tokens_rest(s, t, text, sizeof(text));
        if (s->secret)
                tokens_tell(s, t->line, "the text of %.*s needs quotes", token_shown(&s->name), s->name.p);
        else if (in_list)
                tokens_tell(s, t->line, "%s %s: write %s%s%s", text, what, quote, value ? value : text, quote);
        else
                tokens_tell(s, t->line, "%.*s = %s %s: write %.*s = %s%s%s;", token_shown(&s->name),
                            s->name.p, text, what, token_shown(&s->name), s->name.p, quote,
                            value ? value : text, quote);
        tokens_skip(s, in_list);
}

/* A word where a value should be. */
static void tell_word(Tokens *s, bool in_list) {
        static const char *const words[][2] = {
                {"yes", "true"}, {"on", "true"}, {"no", "false"}, {"off", "false"}};
        const Token t = s->t;

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (t.size == strlen(words[i][0]) && strncasecmp(t.p, words[i][0], t.size) == 0) {
                        tell_value(s, &t, in_list, "is not known", words[i][1]);
                        return;
                }
        if (t.size > 2 && strncmp(t.p, "\xe2\x80", 2) == 0) { /* as word processors set them */
                tokens_tell(s, t.line, "the quotes of %.*s are not plain ones: write \"",
                            token_shown(&s->name), s->name.p);
                tokens_skip(s, in_list);
                return;
        }
        tell_value(s, &t, in_list, "needs quotes", NULL);
}

static void tell_no_value(Tokens *s, bool in_list) {
        if (s->t.type == TOKEN_END || tokens_at_one_of(s, ";,})]")) {
                tokens_tell(s, s->last_line, "a value is missing before %s",
                            s->t.type == TOKEN_END ? "the end" : (char[]){*s->t.p, '\0'});
                return;
        }
        if (tokens_at(s, '\''))
                tokens_tell(s, s->t.line, "text stands in double quotes: write \" in place of '");
        else
                tokens_tell(s, s->t.line, "%.*s is no value: text needs quotes", token_shown(&s->t), s->t.p);
        tokens_skip(s, in_list);
}

static void tell_open(Tokens *s, const Token *open) {
        char close = *open->p == '{' ? '}' : *open->p == '(' ? ')' : ']';

        if (s->unsure)
                return;
        tokens_tell(s, open->line, "the %c that is opened here is never closed: write %c where it ends",
                    *open->p, close);
}

static void parse_value(Tokens *s, unsigned depth, bool in_list);

/* After "(" or "[": values with commas between, up to the closing one. */
static void parse_list(Tokens *s, unsigned depth, const Token *open) {
        char close = *open->p == '(' ? ')' : ']';
        TokenType type = s->t.type;

        while (!tokens_at(s, close)) {
                if (s->t.type == TOKEN_END || tokens_at_one_of(s, ";})]") || tokens_at_setting(s)) {
                        tell_open(s, open);
                        return;
                }
                if (close == ']' && s->t.type != TOKEN_NAME && (s->t.type == TOKEN_SIGN || s->t.type != type)) {
                        tokens_tell(s, s->t.line, "[ ] holds plain values of one type: write ( ) for others");
                        type = s->t.type;
                }
                parse_value(s, depth + 1, true);
                if (tokens_at(s, ',')) {
                        tokens_next(s);
                        if (tokens_at(s, close))
                                tokens_tell(s, s->last_line,
                                            "the comma before %c is one too many: take it away", close);
                } else if (s->t.type != TOKEN_END && !tokens_at_one_of(s, ";})]") && !tokens_at_setting(s))
                        tokens_tell(s, s->last_line, "a comma is missing before %.*s",
                                    s->secret ? 0 : token_shown(&s->t), s->t.p);
        }
        tokens_next(s);
}

/* 10 s: a unit that stands apart. */
static void parse_number(Tokens *s, bool in_list) {
        Token t = s->t;

        tokens_next(s);
        if (s->t.type == TOKEN_NAME && s->t.line == t.line && !tokens_at_setting(s))
                tell_value(s, &t, in_list, "needs quotes", NULL);
}

static void parse_strings(Tokens *s, bool in_list) {
        tokens_next(s);
        while (s->t.type == TOKEN_STRING && !in_list)
                tokens_next(s);
}

static void parse_brackets(Tokens *s, unsigned depth) {
        Token open = s->t;

        if (depth + 1 >= SETTING_DEPTH_MAX) {
                tokens_tell(s, s->t.line, "brackets are nested more than %d deep", SETTING_DEPTH_MAX - 2);
                tokens_give_up(s);
                return;
        }
        tokens_next(s);
        if (*open.p == '{')
                parse_settings(s, depth + 1, &open);
        else
                parse_list(s, depth, &open);
}

/* depth is that of the value in the tree, whose root has 0. */
static void parse_value(Tokens *s, unsigned depth, bool in_list) {
        if (++s->values >= SETTING_NODES_MAX) {
                tokens_tell(s, s->t.line, "there are more than %d settings", SETTING_NODES_MAX - 1);
                tokens_give_up(s);
                return;
        }
        switch (s->t.type) {
        case TOKEN_BOOL:
                tokens_next(s);
                return;
        case TOKEN_INT:
        case TOKEN_INT64:
        case TOKEN_FLOAT:
                parse_number(s, in_list);
                return;
        case TOKEN_STRING:
                parse_strings(s, in_list);
                return;
        case TOKEN_NAME:
                if (tokens_at_setting(s) && s->t.line != s->last_line)
                        tokens_tell(s, s->last_line, "%.*s has no value: write %.*s = ...;",
                                    token_shown(&s->name), s->name.p, token_shown(&s->name), s->name.p);
                else
                        tell_word(s, in_list);
                return;
        case TOKEN_END:
        case TOKEN_SIGN:
                break;
        }
        if (tokens_at_one_of(s, "{(["))
                parse_brackets(s, depth);
        else
                tell_no_value(s, in_list);
}

static void tell_no_name(Tokens *s, unsigned depth) {
        Token t = s->t;

        if (*t.p == '{' || *t.p == '(') {
                tokens_tell(s, t.line, "%c stands where the name of a setting should: write NAME = %c", *t.p, *t.p);
                parse_brackets(s, depth);
                return;
        }
        tokens_next(s);
        if (*t.p == ';' || *t.p == ',')
                tokens_tell(s, t.line, "the %c is one too many: take it away", *t.p);
        else if (*t.p == '}' || *t.p == ')' || *t.p == ']') {
                if (!s->unsure)
                        tokens_tell(s, t.line, "the %c closes nothing: take it away", *t.p);
                if (tokens_at(s, ';'))
                        tokens_next(s);
        } else if (*t.p == '@') {
                tokens_tell(s, t.line, "@include is not read: put the file into the folder .conf.d beside this one");
                tokens_skip(s, false);
        } else if (*t.p == '[') {
                tokens_tell(s, t.line, "[ ] does not begin a section: write NAME = { ... };");
                tokens_skip(s, false);
        } else {
                tokens_tell(s, t.line, "%.*s stands where the name of a setting should", token_shown(&t), t.p);
                tokens_skip(s, false);
        }
}

static void check_name(Tokens *s, const Token *name) {
        const char *dot = memchr(name->p, '.', name->size);

        if (dot)
                tokens_tell(s, name->line, "%.*s has a dot: write %.*s = { %.*s = ...; };", token_shown(name),
                            name->p, (int)(dot - name->p), name->p, (int)(name->p + name->size - dot - 1),
                            dot + 1);
        else if (name->size > 64)
                tokens_tell(s, name->line, "%.*s... is too long for a name: write at most 64 characters",
                            token_shown(name), name->p);
        else if (!isalpha((unsigned char)*name->p) || name->type == TOKEN_BOOL)
                tokens_tell(s, name->line,
                            "%.*s is no name: one begins with a letter, and is not true or false",
                            token_shown(name), name->p);
        else
                for (size_t i = 0; i < name->size; i++)
                        if (!isalnum((unsigned char)name->p[i]) && name->p[i] != '_' && name->p[i] != '-') {
                                tokens_tell(s, name->line, "%.*s is no name: write letters, digits, _ and -",
                                            token_shown(name), name->p);
                                break;
                        }
}

typedef struct Names {
        Token *list;
        size_t n, room;
} Names;

static void names_done(Names *n) {
        free(n->list);
}

static void check_twice(Tokens *s, Names *names, const Token *name) {
        for (size_t i = 0; i < names->n; i++)
                if (names->list[i].size == name->size && memcmp(names->list[i].p, name->p, name->size) == 0) {
                        tokens_tell(s, name->line, "%.*s is set twice here, first on line %u: remove one",
                                    token_shown(name), name->p, names->list[i].line);
                        return;
                }
        if (names->n == names->room) {
                size_t room = MAX(2 * names->room, (size_t)16);
                Token *grown = reallocarray(names->list, room, sizeof(*grown));

                if (!grown)
                        return;
                names->list = grown;
                names->room = room;
        }
        names->list[names->n++] = *name;
}

static bool is_secret(const Token *name) {
        static const char *const parts[] = { "tok", "pass", "secret", "key", "psk" };

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                for (size_t at = 0; at + strlen(parts[i]) <= name->size; at++)
                        if (strncasecmp(name->p + at, parts[i], strlen(parts[i])) == 0)
                                return true;
        return false;
}

static void parse_setting(Tokens *s, unsigned depth, Names *names) {
        Token name = s->t;

        if (name.type == TOKEN_SIGN || (name.type != TOKEN_NAME && !tokens_before_equals(s))) {
                tell_no_name(s, depth);
                return;
        }
        if (name.type == TOKEN_STRING)
                tokens_tell(s, name.line, "%.*s is a name: write it without quotes", token_shown(&name), name.p);
        else
                check_name(s, &name);
        check_twice(s, names, &name);
        s->secret = is_secret(&name);
        s->name = name;
        tokens_next(s);
        if (tokens_at(s, '{'))
                tokens_tell(s, name.line, "a = is missing before {: write %.*s = {", token_shown(&name), name.p);
        else if (tokens_at_one_of(s, "=:"))
                tokens_next(s);
        else {
                bool same_line = s->t.line == name.line && !tokens_at_one_of(s, ";,})]");

                tokens_tell(s, name.line, "%.*s has no %s: write %.*s = ...;", token_shown(&name), name.p,
                            same_line ? "= behind it" : "value", token_shown(&name), name.p);
                if (s->t.line == name.line)
                        tokens_skip(s, false);
                s->secret = false;
                return;
        }
        parse_value(s, depth, false);
        if (s->secret && s->t.line == s->last_line && s->t.type != TOKEN_END && !tokens_at_one_of(s, ";,}") &&
            !tokens_at_setting(s)) {
                tokens_tell(s, s->t.line,
                            "%.*s has something behind its closing quote: a quote inside is written \\\"",
                            token_shown(&name), name.p);
                tokens_skip(s, false);
        } else if (tokens_at(s, ';') || tokens_at(s, ','))
                tokens_next(s);
        s->secret = false;
}

/* open NULL: the whole file. */
static void parse_settings(Tokens *s, unsigned depth, const Token *open) {
        _cleanup_(names_done) Names names = { 0 };

        while (s->t.type != TOKEN_END && !(open && tokens_at(s, '}')))
                parse_setting(s, depth, &names);
        if (open && s->t.type == TOKEN_END)
                tell_open(s, open);
        tokens_next(s);
}

/* libconfig's scanner takes bytes as they come; a file that is none of text would fill pages. */
static bool is_text(Tokens *s) {
        unsigned line = 1;

        for (const char *p = s->p; p < s->end; p++) {
                if ((unsigned char)*p < 0x20 && (*p == '\0' || !strchr("\t\n\r\f", *p))) {
                        tokens_tell(s, line, "this is no text: there is a byte 0x%02x", (unsigned char)*p);
                        return false;
                }
                line += *p == '\n';
        }
        return true;
}

size_t config_text_check(const char *text, size_t size, const char *file, ConfigProblems *problems) {
        Tokens s = { .p = text, .end = text + size, .file = file, .problems = problems, .line = 1 };

        if (!is_text(&s))
                return s.mistakes;
        if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
                tokens_tell(&s, 1, "the file begins with a byte order mark: store it as UTF-8 without one");
                s.p += 3;
        }
        tokens_next(&s);
        parse_settings(&s, 1, NULL);
        return s.mistakes;
}
