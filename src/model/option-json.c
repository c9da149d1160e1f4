/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "model/option-json.h"
#include "model/value.h"

static void write_text(FILE *f, const char *text) {
        size_t size = strlen(text);
        char *quoted = malloc(6 * size + 2);

        if (!quoted)
                return;
        fwrite(quoted, 1, json_quote(quoted, text, size), f);
        free(quoted);
}

static void write_double(FILE *f, double d) {
        char text[NUMBER_TEXT_MAX];
        size_t size;

        if (d == 0) {
                fputs(signbit(d) ? "-0.0" : "0.0", f);
                return;
        }
        if (number_format_double(text, d, -1, &size) == 0) {
                text[size] = '\0';
                if (strtod(text, NULL) == d) {
                        fputs(text, f);
                        return;
                }
        }
        fprintf(f, "%.17g", d);
}

static void write_percent(FILE *f, double d) {
        char text[32];

        snprintf(text, sizeof(text), "%.15g", d);
        fprintf(f, strtod(text, NULL) == d ? "\"%.15g%%\"" : "\"%.17g%%\"", d);
}

/* Closes f. */
static char *finish(FILE *f, char **text) {
        bool failed = ferror(f);

        if (fclose(f) == 0 && !failed)
                return *text;
        free(*text);
        return NULL;
}

/* ---- options */

static void write_strings(FILE *f, char **strings) {
        fputc('[', f);
        for (size_t i = 0; strings[i]; i++) {
                if (i > 0)
                        fputc(',', f);
                write_text(f, strings[i]);
        }
        fputc(']', f);
}

/* (lo, hi), or ((a, b), (a, b)) where step is 2. */
static void write_numbers(FILE *f, const OptionValue *v, size_t step) {
        fputc('[', f);
        for (size_t i = 0; i < v->n_numbers; i += step) {
                if (i > 0)
                        fputc(',', f);
                if (step > 1)
                        fputc('[', f);
                for (size_t k = i; k < i + step && k < v->n_numbers; k++) {
                        if (k > i)
                                fputc(',', f);
                        write_double(f, v->numbers[k]);
                }
                if (step > 1)
                        fputc(']', f);
        }
        fputc(']', f);
}

static void write_value(FILE *f, const OptionValue *v, const struct tbagent_option *o) {
        char text[64];

        switch (o->type) {
        case TBAGENT_BOOL:
                fputs(v->i ? "true" : "false", f);
                break;
        case TBAGENT_INT:
                fprintf(f, "%" PRId64, v->i);
                break;
        case TBAGENT_FLOAT:
                write_double(f, v->d);
                break;
        case TBAGENT_DURATION:
                write_text(f, duration_text((usec_t)v->i, text, sizeof(text)));
                break;
        case TBAGENT_SIZE:
                write_text(f, size_text((uint64_t)v->i, text, sizeof(text)));
                break;
        case TBAGENT_DELTA:
                if (v->percent)
                        write_percent(f, v->d);
                else
                        write_double(f, v->d);
                break;
        case TBAGENT_STRINGS:
                write_strings(f, v->strings);
                break;
        case TBAGENT_NUMBERS:
        case TBAGENT_PAIRS:
                write_numbers(f, v, o->type == TBAGENT_PAIRS ? 2 : 1);
                break;
        default:
                write_text(f, v->strings[0]);
        }
}

static bool is_there(const OptionValue *v, const struct tbagent_option *o) {
        switch (o->type) {
        case TBAGENT_STRING:
                return v->strings && v->strings[0];
        case TBAGENT_STRINGS: /* a list that is set may be empty */
                return v->strings && (v->set || v->strings[0]);
        case TBAGENT_NUMBERS:
        case TBAGENT_PAIRS:
                return v->set || v->n_numbers > 0;
        default:
                return v->set || o->fallback;
        }
}

char *option_value_json(const OptionValue *v, const struct tbagent_option *o) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        if (is_there(v, o))
                write_value(f, v, o);
        else
                fputs("\"\"", f);
        return finish(f, &text);
}

/* ---- settings */

static void write_setting(FILE *f, const Setting *s) {
        switch (s->type) {
        case SETTING_BOOL:
                fputs(s->b ? "true" : "false", f);
                return;
        case SETTING_INT:
                fprintf(f, "%" PRId64, s->i);
                return;
        case SETTING_FLOAT:
                write_double(f, s->d);
                return;
        case SETTING_STRING:
                write_text(f, s->s);
                return;
        case SETTING_GROUP:
        case SETTING_LIST:
                break;
        }
        fputc(s->type == SETTING_GROUP ? '{' : '[', f);
        for (size_t i = 0; i < s->n_children; i++) {
                if (i > 0)
                        fputc(',', f);
                if (s->type == SETTING_GROUP) {
                        write_text(f, s->children[i]->name);
                        fputc(':', f);
                }
                write_setting(f, s->children[i]);
        }
        fputc(s->type == SETTING_GROUP ? '}' : ']', f);
}

char *setting_json(const Setting *s) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        write_setting(f, s);
        return finish(f, &text);
}
