/* SPDX-License-Identifier: Apache-2.0 */
/* Takes longer words than libconfig does ("10s", "server.url", "28-0316a2795eff" are one each), so that a message
 * can quote what somebody meant; a word that is none of libconfig's kinds of value is a TOKEN_NAME, and what is
 * wrong with it depends on where it stands. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/config-token.h"

#define MISTAKES_MAX 20 /* in one file */

void tokens_tell(Tokens *s, unsigned line, const char *format, ...) {
        char text[400];
        va_list ap;

        if (s->given_up)
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        config_problems_add(s->problems, true, "", s->file, line, "%s", text);
        if (++s->mistakes == MISTAKES_MAX) {
                config_problems_add(s->problems, true, "", s->file, line,
                                    "there may be more mistakes below: mend these first");
                s->given_up = true;
        }
}

void tokens_give_up(Tokens *s) {
        s->given_up = true;
        s->p = s->end;
        s->t = (Token){ TOKEN_END, s->end, 0, s->line };
}

int token_shown(const Token *t) {
        return (int)MIN(t->size, (size_t)40);
}

bool tokens_at(const Tokens *s, char c) {
        return s->t.type == TOKEN_SIGN && *s->t.p == c;
}

bool tokens_at_one_of(const Tokens *s, const char *signs) {
        return s->t.type == TOKEN_SIGN && *s->t.p != '\0' && strchr(signs, *s->t.p);
}

static void skip_blanks(Tokens *s) {
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
                                tokens_tell(s, s->line,
                                            "the comment that begins here has no end: write */ behind it");
                                s->p = s->end;
                                return;
                        }
                        for (; s->p < close + 2; s->p++)
                                s->line += *s->p == '\n';
                } else
                        return;
        }
}

static void take_string(Tokens *s) {
        const char *p = s->p + 1;

        for (; p < s->end && *p != '"' && *p != '\n'; p++) {
                if (*p != '\\' || p + 1 == s->end || p[1] == '\n')
                        continue;
                p++;
                if (s->end - p >= 3 && strncmp(p, "x00", 3) == 0)
                        tokens_tell(s, s->line, "text cannot hold the character \\x00");
        }
        if (p < s->end && *p == '"')
                p++;
        else
                tokens_tell(s, s->line,
                            "the text that begins here has no closing quote: write one \" before the end of "
                            "its line");
        s->t.type = TOKEN_STRING;
        s->t.size = (size_t)(p - s->p);
}

static bool word_char(char c) {
        return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '+' || c == '.' || c == '*' ||
               (unsigned char)c >= 0x80;
}

/* Digits to a number; *ret_large: beyond uint64. */
static uint64_t take_digits(const char *p, size_t n, unsigned base, bool *ret_large) {
        uint64_t value = 0;

        *ret_large = false;
        for (size_t i = 0; i < n; i++) {
                unsigned digit = isdigit((unsigned char)p[i])
                                         ? (unsigned)(p[i] - '0')
                                         : (unsigned)(tolower((unsigned char)p[i]) - 'a' + 10);

                if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
                    __builtin_add_overflow(value, (uint64_t)digit, &value))
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
static bool take_integer(Tokens *s) {
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
                tokens_tell(s, s->line, "%.*s begins with a zero: write it without", token_shown(&s->t), s->t.p);
        value = take_digits(p, n, hex ? 16 : 10, &large);
        limit = (l > 0 ? (uint64_t)INT64_MAX : INT32_MAX) + negative;
        if ((large || value > limit) && s->secret)
                tokens_tell(s, s->line, "a number is too large here: write it as text, in quotes");
        else if (large || value > limit)
                tokens_tell(s, s->line, "%.*s is too large for a number here: write it as text, \"%.*s\"",
                            token_shown(&s->t), s->t.p, (int)MIN(s->t.size - l, (size_t)40), s->t.p);
        return true;
}

static bool take_float(Tokens *s) {
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

static void take_word(Tokens *s) {
        const char *p = s->p;

        while (p < s->end && word_char(*p))
                p++;
        s->t.size = (size_t)(p - s->p);
        if ((s->t.size == 4 && strncasecmp(s->p, "true", 4) == 0) ||
            (s->t.size == 5 && strncasecmp(s->p, "false", 5) == 0))
                s->t.type = TOKEN_BOOL;
        else if (!take_integer(s) && !take_float(s))
                s->t.type = TOKEN_NAME; /* or what should have been something else */
}

void tokens_next(Tokens *s) {
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

void tokens_skip(Tokens *s, bool in_list) {
        unsigned line = s->t.line;

        while (s->t.type != TOKEN_END && s->t.line == line &&
               (s->secret || !tokens_at_one_of(s, in_list ? ";},)]" : ";}"))) {
                s->unsure = s->unsure || tokens_at_one_of(s, "{}()[]");
                tokens_next(s);
        }
        if (!in_list && tokens_at(s, ';'))
                tokens_next(s);
}

void tokens_rest(const Tokens *s, const Token *t, char *out, size_t size) {
        const char *p = t->p;

        while (p < s->end && !strchr(";,})]\n\r\"#", *p) &&
               !(isspace((unsigned char)*p) && p + 1 < s->end && strchr("/#", p[1])))
                p++;
        while (p > t->p && isspace((unsigned char)p[-1]))
                p--;
        snprintf(out, size, "%.*s", (int)MIN((size_t)(p - t->p), size - 1), t->p);
}

bool tokens_before_equals(const Tokens *s) {
        const char *p = s->p;

        while (p < s->end && isspace((unsigned char)*p))
                p++;
        return p < s->end && (*p == '=' || (*p == ':' && p + 1 < s->end &&
                                            (isspace((unsigned char)p[1]) || strchr("\"{([", p[1]))));
}

bool tokens_at_setting(const Tokens *s) {
        return s->t.type == TOKEN_NAME && tokens_before_equals(s);
}
