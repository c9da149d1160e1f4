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
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/config-text.h"
#include "model/setting.h"

#define MISTAKES_MAX 20 /* in one file */

typedef enum TokenType {
        TOKEN_END,
        TOKEN_NAME,
        TOKEN_STRING,
        TOKEN_INT,
        TOKEN_INT64,
        TOKEN_FLOAT,
        TOKEN_BOOL,
        TOKEN_SIGN, /* one character */
} TokenType;

typedef struct Token {
        TokenType type;
        const char *p;
        size_t size;
        unsigned line;
} Token;

typedef struct Parser {
        const char *p, *end;
        const char *file;
        ConfigProblems *problems;
        Token t;            /* the next one */
        unsigned line;      /* of p */
        unsigned last_line; /* of the token before t */
        size_t mistakes, values;
        bool given_up; /* the next token is the end */
        bool unsure;   /* brackets may have been skipped */
        bool secret;   /* the value of this setting is not to be told */
        Token name;    /* of this setting */
} Parser;

static void tell(Parser *s, unsigned line, const char *format, ...) _printf_(3, 4);
static void tell(Parser *s, unsigned line, const char *format, ...) {
        char text[400];
        va_list ap;

        if (s->given_up)
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        config_problems_add(s->problems, true, "", s->file, line, "%s", text);
        if (++s->mistakes == MISTAKES_MAX) {
                config_problems_add(s->problems, true, "", s->file, line, "there may be more mistakes below: mend these first");
                s->given_up = true;
        }
}

/* Nothing below would be true. */
static void give_up(Parser *s) {
        s->given_up = true;
        s->p = s->end;
        s->t = (Token){ TOKEN_END, s->end, 0, s->line };
}

static int shown(const Token *t) {
        return (int)MIN(t->size, (size_t)40);
}

static bool is(const Parser *s, char c) {
        return s->t.type == TOKEN_SIGN && *s->t.p == c;
}

static bool is_one_of(const Parser *s, const char *signs) {
        return s->t.type == TOKEN_SIGN && *s->t.p != '\0' && strchr(signs, *s->t.p);
}

/* ---- tokens */

static void skip_blanks(Parser *s) {
        while (s->p < s->end) {
                bool two = s->end - s->p >= 2;

                if (isspace((unsigned char)*s->p)) {
                        s->line += *s->p == '\n';
                        s->p++;
                } else if (*s->p == '#' || (two && s->p[0] == '/' && s->p[1] == '/')) {
                        while (s->p < s->end && *s->p != '\n')
                                s->p++;
                } else if (two && s->p[0] == '/' && s->p[1] == '*') {
                        const char *close = memmem(s->p + 2, (size_t)(s->end - s->p - 2), "*/", 2);

                        if (!close) {
                                tell(s, s->line, "the comment that begins here has no end: write */ behind it");
                                s->p = s->end;
                                return;
                        }
                        for (; s->p < close + 2; s->p++)
                                s->line += *s->p == '\n';
                } else
                        return;
        }
}

static void take_string(Parser *s) {
        const char *p = s->p + 1;

        for (; p < s->end && *p != '"' && *p != '\n'; p++) {
                if (*p != '\\' || p + 1 == s->end || p[1] == '\n')
                        continue;
                p++;
                if (s->end - p >= 3 && strncmp(p, "x00", 3) == 0)
                        tell(s, s->line, "text cannot hold the character \\x00");
        }
        if (p < s->end && *p == '"')
                p++;
        else
                tell(s, s->line, "the text that begins here has no closing quote: write one \" before the end of its line");
        s->t.type = TOKEN_STRING;
        s->t.size = (size_t)(p - s->p);
}

static bool word_char(char c) {
        return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '+' || c == '.' || c == '*' || (unsigned char)c >= 0x80;
}

/* Digits to a number; *ret_large: beyond uint64. */
static uint64_t take_digits(const char *p, size_t n, unsigned base, bool *ret_large) {
        uint64_t value = 0;

        *ret_large = false;
        for (size_t i = 0; i < n; i++) {
                unsigned digit = isdigit((unsigned char)p[i]) ? (unsigned)(p[i] - '0') : (unsigned)(tolower((unsigned char)p[i]) - 'a' + 10);

                if (__builtin_mul_overflow(value, (uint64_t)base, &value) || __builtin_add_overflow(value, (uint64_t)digit, &value))
                        *ret_large = true;
        }
        return value;
}

static size_t span(const char *p, const char *end, bool hex) {
        size_t n = 0;

        while (p + n < end && (hex ? isxdigit((unsigned char)p[n]) : isdigit((unsigned char)p[n])))
                n++;
        return n;
}

/* An integer that fills the word t, or false. */
static bool take_integer(Parser *s) {
        const char *p = s->t.p, *end = p + s->t.size;
        bool negative = *p == '-', large, hex;
        uint64_t value, limit;
        size_t n, l;

        if (*p == '-' || *p == '+')
                p++;
        hex = p == s->t.p && end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
        p += hex ? 2 : 0;
        n = span(p, end, hex);
        l = (size_t)(end - p) - n;
        if (n == 0 || l > 2 || strncmp(p + n, "LL", l) != 0)
                return false;
        s->t.type = l > 0 ? TOKEN_INT64 : TOKEN_INT;
        if (!hex && n > 1 && *p == '0')
                tell(s, s->line, "%.*s begins with a zero: write it without", shown(&s->t), s->t.p);
        value = take_digits(p, n, hex ? 16 : 10, &large);
        limit = (l > 0 ? (uint64_t)INT64_MAX : INT32_MAX) + negative;
        if ((large || value > limit) && s->secret)
                tell(s, s->line, "a number is too large here: write it as text, in quotes");
        else if (large || value > limit)
                tell(s, s->line, "%.*s is too large for a number here: write it as text, \"%.*s\"", shown(&s->t), s->t.p,
                     (int)MIN(s->t.size - l, (size_t)40), s->t.p);
        return true;
}

static bool take_float(Parser *s) {
        char number[64], *end;
        size_t digits = 0;

        if (s->t.size >= sizeof(number))
                return false;
        memcpy(number, s->t.p, s->t.size);
        number[s->t.size] = '\0';
        if (strspn(number, "+-.eE0123456789") != s->t.size || !strpbrk(number, ".eE"))
                return false;
        for (const char *p = number; *p != '\0' && *p != 'e' && *p != 'E'; p++)
                digits += isdigit((unsigned char)*p) != 0;
        if (digits == 0 || !isfinite(strtod(number, &end)) || *end != '\0')
                return false;
        s->t.type = TOKEN_FLOAT;
        return true;
}

static void take_word(Parser *s) {
        const char *p = s->p;

        while (p < s->end && word_char(*p))
                p++;
        s->t.size = (size_t)(p - s->p);
        if ((s->t.size == 4 && strncasecmp(s->p, "true", 4) == 0) || (s->t.size == 5 && strncasecmp(s->p, "false", 5) == 0))
                s->t.type = TOKEN_BOOL;
        else if (!take_integer(s) && !take_float(s))
                s->t.type = TOKEN_NAME; /* or what should have been something else */
}

static void next(Parser *s) {
        s->last_line = s->t.line;
        if (!s->given_up)
                skip_blanks(s);
        s->t = (Token){ .p = s->p, .line = s->line };
        if (s->given_up || s->p == s->end)
                s->t.type = TOKEN_END;
        else if (*s->p == '"')
                take_string(s);
        else if (word_char(*s->p))
                take_word(s);
        else {
                s->t.type = TOKEN_SIGN;
                s->t.size = 1;
        }
        s->p += s->t.size;
}

/* To the end of the setting, or of its line, and no further than a closing bracket; all of the line where the
 * rest of a secret may stand. */
static void skip_rest(Parser *s, bool in_list) {
        unsigned line = s->t.line;

        while (s->t.type != TOKEN_END && s->t.line == line && (s->secret || !is_one_of(s, in_list ? ";},)]" : ";}"))) {
                s->unsure = s->unsure || is_one_of(s, "{}()[]");
                next(s);
        }
        if (!in_list && is(s, ';'))
                next(s);
}

/* What stands from token t to the end of its line or setting, for a message: "10 s", "mqtt://host". */
static void rest_of_line(const Parser *s, const Token *t, char *out, size_t size) {
        const char *p = t->p;

        while (p < s->end && !strchr(";,})]\n\r\"#", *p) && !(isspace((unsigned char)*p) && p + 1 < s->end && strchr("/#", p[1])))
                p++;
        while (p > t->p && isspace((unsigned char)p[-1]))
                p--;
        snprintf(out, size, "%.*s", (int)MIN((size_t)(p - t->p), size - 1), t->p);
}

/* Is t followed by what a name is? */
static bool followed_by_equals(const Parser *s) {
        const char *p = s->p;

        while (p < s->end && isspace((unsigned char)*p))
                p++;
        return p < s->end && (*p == '=' || (*p == ':' && !(p + 1 < s->end && p[1] == '/')));
}

static bool at_setting(const Parser *s) {
        return s->t.type == TOKEN_NAME && followed_by_equals(s);
}

/* ---- grammar */

static void parse_settings(Parser *s, unsigned depth, const Token *open);

/* The value that begins at t, up to what ends it, is not what was meant: write the name with another one. */
static void tell_value(Parser *s, const Token *t, bool in_list, const char *what, const char *value) {
        const char *quote = value ? "" : "\"";
        char text[60];

        rest_of_line(s, t, text, sizeof(text));
        if (s->secret)
                tell(s, t->line, "the text of %.*s needs quotes", shown(&s->name), s->name.p);
        else if (in_list)
                tell(s, t->line, "%s %s: write %s%s%s", text, what, quote, value ? value : text, quote);
        else
                tell(s, t->line, "%.*s = %s %s: write %.*s = %s%s%s;", shown(&s->name), s->name.p, text, what, shown(&s->name), s->name.p,
                     quote, value ? value : text, quote);
        skip_rest(s, in_list);
}

/* A word where a value should be. */
static void tell_word(Parser *s, bool in_list) {
        static const char *const words[][2] = { { "yes", "true" }, { "on", "true" }, { "no", "false" }, { "off", "false" } };
        const Token t = s->t;

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (t.size == strlen(words[i][0]) && strncasecmp(t.p, words[i][0], t.size) == 0) {
                        tell_value(s, &t, in_list, "is not known", words[i][1]);
                        return;
                }
        tell_value(s, &t, in_list, "needs quotes", NULL);
}

static void tell_no_value(Parser *s, bool in_list) {
        if (s->t.type == TOKEN_END || is_one_of(s, ";,})]")) {
                tell(s, s->last_line, "a value is missing before %s", s->t.type == TOKEN_END ? "the end" : (char[]){ *s->t.p, '\0' });
                return;
        }
        tell(s, s->t.line, "%.*s is no value: text needs quotes", shown(&s->t), s->t.p);
        skip_rest(s, in_list);
}

static void tell_open(Parser *s, const Token *open) {
        char close = *open->p == '{' ? '}' : *open->p == '(' ? ')' : ']';

        if (s->unsure)
                return;
        tell(s, open->line, "the %c that is opened here is never closed: write %c where it ends", *open->p, close);
}

static void parse_value(Parser *s, unsigned depth, bool in_list);

/* After "(" or "[": values with commas between, up to the closing one. */
static void parse_list(Parser *s, unsigned depth, const Token *open) {
        char close = *open->p == '(' ? ')' : ']';
        TokenType type = s->t.type;

        while (!is(s, close)) {
                if (s->t.type == TOKEN_END || is_one_of(s, ";})]") || at_setting(s)) {
                        tell_open(s, open);
                        return;
                }
                if (close == ']' && s->t.type != TOKEN_NAME && (s->t.type == TOKEN_SIGN || s->t.type != type)) {
                        tell(s, s->t.line, "[ ] holds plain values of one type: write ( ) for others");
                        type = s->t.type;
                }
                parse_value(s, depth + 1, true);
                if (is(s, ',')) {
                        next(s);
                        if (is(s, close))
                                tell(s, s->last_line, "the comma before %c is one too many: take it away", close);
                } else if (s->t.type != TOKEN_END && !is_one_of(s, ";})]") && !at_setting(s))
                        tell(s, s->last_line, "a comma is missing before %.*s", s->secret ? 0 : shown(&s->t), s->t.p);
        }
        next(s);
}

/* 10 s: a unit that stands apart. */
static void parse_number(Parser *s, bool in_list) {
        Token t = s->t;

        next(s);
        if (s->t.type == TOKEN_NAME && s->t.line == t.line && !at_setting(s))
                tell_value(s, &t, in_list, "needs quotes", NULL);
}

static void parse_strings(Parser *s, bool in_list) {
        next(s);
        while (s->t.type == TOKEN_STRING && !in_list)
                next(s);
}

static void parse_brackets(Parser *s, unsigned depth) {
        Token open = s->t;

        if (depth + 1 >= SETTING_DEPTH_MAX) {
                tell(s, s->t.line, "brackets are nested more than %d deep", SETTING_DEPTH_MAX - 2);
                give_up(s);
                return;
        }
        next(s);
        if (*open.p == '{')
                parse_settings(s, depth + 1, &open);
        else
                parse_list(s, depth, &open);
}

/* depth is that of the value in the tree, whose root has 0. */
static void parse_value(Parser *s, unsigned depth, bool in_list) {
        if (++s->values >= SETTING_NODES_MAX) {
                tell(s, s->t.line, "there are more than %d settings", SETTING_NODES_MAX - 1);
                give_up(s);
                return;
        }
        switch (s->t.type) {
        case TOKEN_BOOL:
                next(s);
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
                tell_word(s, in_list);
                return;
        case TOKEN_END:
        case TOKEN_SIGN:
                break;
        }
        if (is_one_of(s, "{(["))
                parse_brackets(s, depth);
        else
                tell_no_value(s, in_list);
}

static void tell_no_name(Parser *s, unsigned depth) {
        Token t = s->t;

        if (*t.p == '{' || *t.p == '(') {
                tell(s, t.line, "%c stands where the name of a setting should: write NAME = %c", *t.p, *t.p);
                parse_brackets(s, depth);
                return;
        }
        next(s);
        if (*t.p == ';' || *t.p == ',')
                tell(s, t.line, "the %c is one too many: take it away", *t.p);
        else if (*t.p == '}' || *t.p == ')' || *t.p == ']') {
                if (!s->unsure)
                        tell(s, t.line, "the %c closes nothing: take it away", *t.p);
                if (is(s, ';'))
                        next(s);
        } else if (*t.p == '@') {
                tell(s, t.line, "@include is not read: put the file into the folder .conf.d beside this one");
                skip_rest(s, false);
        } else if (*t.p == '[') {
                tell(s, t.line, "[ ] does not begin a section: write NAME = { ... };");
                skip_rest(s, false);
        } else {
                tell(s, t.line, "%.*s stands where the name of a setting should", shown(&t), t.p);
                skip_rest(s, false);
        }
}

static void check_name(Parser *s, const Token *name) {
        const char *dot = memchr(name->p, '.', name->size);

        if (dot)
                tell(s, name->line, "%.*s has a dot: write %.*s = { %.*s = ...; };", shown(name), name->p,
                     (int)(dot - name->p), name->p, (int)(name->p + name->size - dot - 1), dot + 1);
        else if (name->size > 64)
                tell(s, name->line, "%.*s... is too long for a name: write at most 64 characters", shown(name), name->p);
        else if (!isalpha((unsigned char)*name->p) || name->type == TOKEN_BOOL)
                tell(s, name->line, "%.*s is no name: one begins with a letter, and is not true or false", shown(name), name->p);
        else
                for (size_t i = 0; i < name->size; i++)
                        if (!isalnum((unsigned char)name->p[i]) && name->p[i] != '_' && name->p[i] != '-') {
                                tell(s, name->line, "%.*s is no name: write letters, digits, _ and -", shown(name), name->p);
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

static void check_twice(Parser *s, Names *names, const Token *name) {
        for (size_t i = 0; i < names->n; i++)
                if (names->list[i].size == name->size && memcmp(names->list[i].p, name->p, name->size) == 0) {
                        tell(s, name->line, "%.*s is set twice here, first on line %u: take one away", shown(name), name->p,
                             names->list[i].line);
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

static void parse_setting(Parser *s, unsigned depth, Names *names) {
        Token name = s->t;

        if (name.type == TOKEN_SIGN || (name.type != TOKEN_NAME && !followed_by_equals(s))) {
                tell_no_name(s, depth);
                return;
        }
        if (name.type == TOKEN_STRING)
                tell(s, name.line, "%.*s is a name: write it without quotes", shown(&name), name.p);
        else
                check_name(s, &name);
        check_twice(s, names, &name);
        s->secret = is_secret(&name);
        s->name = name;
        next(s);
        if (is(s, '{'))
                tell(s, name.line, "a = is missing before {: write %.*s = {", shown(&name), name.p);
        else if (is_one_of(s, "=:"))
                next(s);
        else {
                bool same_line = s->t.line == name.line && !is_one_of(s, ";,})]");

                tell(s, name.line, "%.*s has no %s: write %.*s = ...;", shown(&name), name.p, same_line ? "= behind it" : "value",
                     shown(&name), name.p);
                if (s->t.line == name.line)
                        skip_rest(s, false);
                s->secret = false;
                return;
        }
        parse_value(s, depth, false);
        if (s->secret && s->t.line == s->last_line && s->t.type != TOKEN_END && !is_one_of(s, ";,}") && !at_setting(s)) {
                tell(s, s->t.line, "%.*s has something behind its closing quote: a quote inside is written \\\"", shown(&name), name.p);
                skip_rest(s, false);
        } else if (is(s, ';') || is(s, ','))
                next(s);
        s->secret = false;
}

/* open NULL: the whole file. */
static void parse_settings(Parser *s, unsigned depth, const Token *open) {
        _cleanup_(names_done) Names names = { 0 };

        while (s->t.type != TOKEN_END && !(open && is(s, '}')))
                parse_setting(s, depth, &names);
        if (open && s->t.type == TOKEN_END)
                tell_open(s, open);
        next(s);
}

/* libconfig's scanner takes bytes as they come; a file that is none of text would fill pages. */
static bool is_text(Parser *s) {
        unsigned line = 1;

        for (const char *p = s->p; p < s->end; p++) {
                if ((unsigned char)*p < 0x20 && (*p == '\0' || !strchr("\t\n\r\f", *p))) {
                        tell(s, line, "this is no text: there is a byte 0x%02x", (unsigned char)*p);
                        return false;
                }
                line += *p == '\n';
        }
        return true;
}

size_t config_text_check(const char *text, size_t size, const char *file, ConfigProblems *problems) {
        Parser s = { .p = text, .end = text + size, .file = file, .problems = problems, .line = 1 };

        if (!is_text(&s))
                return s.mistakes;
        if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
                tell(&s, 1, "the file begins with a byte order mark: store it as UTF-8 without one");
                s.p += 3;
        }
        next(&s);
        parse_settings(&s, 1, NULL);
        return s.mistakes;
}
