/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a configuration file, one after the other, for agent/config-text. Text is borrowed. */
#pragma once

#include "agent/config-problem.h"

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

typedef struct Tokens {
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
} Tokens;

/* Tells a mistake; after the twentieth of a file nothing more is read. */
void tokens_tell(Tokens *s, unsigned line, const char *format, ...) _printf_(3, 4);
/* Nothing below would be true. */
void tokens_give_up(Tokens *s);
void tokens_next(Tokens *s);
/* To the end of the setting, or of its line, and no further than a closing bracket; all of the line where the
 * rest of a secret may stand. */
void tokens_skip(Tokens *s, bool in_list);

/* Is the token in hand this sign, or one of these? */
bool tokens_at(const Tokens *s, char sign);
bool tokens_at_one_of(const Tokens *s, const char *signs);
/* Is it followed by what a name is? "host:1883" and "mqtt://" are not. */
bool tokens_before_equals(const Tokens *s);
bool tokens_at_setting(const Tokens *s);

/* How much of it goes into a message. */
int token_shown(const Token *t);
/* What stands from t to the end of its line or setting, for a message: "10 s", "mqtt://host". */
void tokens_rest(const Tokens *s, const Token *t, char *out, size_t size);
