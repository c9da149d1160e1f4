/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An option is a line, what one would write in the file, and a paragraph: its help, then what the rest of its row says. As text
 * the options of a group stand indented below it. A manual page has no place for that depth: there each group has a
 * subsection, behind the one that names it. Its paragraphs are one line each, because a word that happens to begin a line may
 * mean something to scdoc.
 */
#include <ctype.h>

#include "base/unit.h"
#include "sensor/manual.h"

#define COLUMNS     100
#define CHOICES_MAX 60 /* what is longer goes into the paragraph */
#define PATH_SIZE   600

typedef struct Out {
        FILE *f;
        ManualForm form;
        bool failed; /* no memory */
} Out;

/* ---- text */

static void put(const Out *o, const char *text) {
        for (; *text; text++) {
                if (o->form == MANUAL_SCDOC && strchr("\\_*", *text))
                        fputc('\\', o->f);
                fputc(*text, o->f);
        }
}

static void put_wrapped(FILE *f, unsigned indent, const char *text) {
        size_t column = 0;

        while (*text) {
                size_t size = strcspn(text, " ");

                if (column > 0 && column + 1 + size > COLUMNS) {
                        fputc('\n', f);
                        column = 0;
                }
                column += (size_t)fprintf(f, "%*s%.*s", column > 0 ? 1 : (int)indent, "", (int)size, text);
                text += size + strspn(text + size, " ");
        }
        fputc('\n', f);
}

/* The line that something begins with: `before` and `after` are as they stand, `name` is bold. */
static void put_term(const Out *o, unsigned depth, const char *before, const char *name, const char *after) {
        bool page = o->form == MANUAL_SCDOC;

        fprintf(o->f, "%s%*s%s", page ? "\n" : "", page ? 0 : (int)(2 + 4 * depth), "", page && before[0] ? "_" : "");
        put(o, before);
        fputs(page ? before[0] ? "_.*" : "*" : before[0] ? "." : "", o->f);
        put(o, name);
        fputs(page ? "*" : "", o->f);
        put(o, after);
        fputc('\n', o->f);
}

static void put_paragraph(const Out *o, unsigned depth, const char *text) {
        if (o->form == MANUAL_TEXT) {
                put_wrapped(o->f, 6 + 4 * depth, text);
                return;
        }
        fputc('\t', o->f);
        put(o, text);
        fputc('\n', o->f);
}

/* A help begins as it would behind a colon. A plain word gets its capital, a name such as "cpu_usage" does not. */
static void print_help(FILE *f, const char *help) {
        size_t size = strspn(help, "abcdefghijklmnopqrstuvwxyz");
        char last = help[0] ? help[strlen(help) - 1] : '.';

        if (size > 0 && (help[size] == ' ' || help[size] == '\0'))
                fprintf(f, "%c%s", toupper((unsigned char)help[0]), help + 1);
        else
                fputs(help, f);
        fputs(last == '.' ? "" : ".", f);
}

/* ---- what is written behind the name */

static void print_choices(FILE *f, const char *choices, const char *between) {
        while (*choices) {
                size_t size = strcspn(choices, "|");

                fprintf(f, "\"%.*s\"%s", (int)size, choices, choices[size] ? between : "");
                choices += size + (choices[size] != '\0');
        }
}

static void print_bound(FILE *f, uint32_t type, double bound) {
        char text[40];

        if (type == TBAGENT_DURATION)
                fputs(duration_text((usec_t)(bound * USEC_PER_SEC + 0.5), text, sizeof(text)), f);
        else if (type == TBAGENT_SIZE)
                fputs(size_text((uint64_t)bound, text, sizeof(text)), f);
        else
                fprintf(f, "%.10g", bound);
}

/* For lists: how many of them. */
static void print_range(FILE *f, const struct tbagent_option *o) {
        if (o->min == 0 && o->max == 0)
                return;
        fputs(", ", f);
        if (o->min == o->max)
                fprintf(f, "%.10g", o->min);
        else if (o->min == 0 && o->type != TBAGENT_INT && o->type != TBAGENT_FLOAT) {
                fputs("up to ", f);
                print_bound(f, o->type, o->max);
        } else {
                print_bound(f, o->type, o->min);
                fputs(" to ", f);
                print_bound(f, o->type, o->max);
        }
}

static bool has_long_choices(const struct tbagent_option *o) {
        return o->type == TBAGENT_STRING && o->choices && strlen(o->choices) > CHOICES_MAX;
}

static void print_type(FILE *f, const struct tbagent_option *o) {
        static const char *const names[] = {
                [TBAGENT_BOOL] = "true | false", [TBAGENT_INT] = "whole number", [TBAGENT_FLOAT] = "number",
                [TBAGENT_STRING] = "text", [TBAGENT_DURATION] = "time", [TBAGENT_SIZE] = "size",
                [TBAGENT_STRINGS] = "text or list of texts", [TBAGENT_NUMBERS] = "(number, ...)",
                [TBAGENT_PAIRS] = "((number, number), ...)", [TBAGENT_DELTA] = "number or \"number%\"",
                [TBAGENT_GROUP] = "{ ... }", [TBAGENT_MAP] = "{ NAME = { ... }; ... }",
        };
        bool plain = o->type != TBAGENT_BOOL && o->type != TBAGENT_GROUP && o->type != TBAGENT_MAP;

        if (o->type == TBAGENT_STRING && o->choices && !has_long_choices(o)) {
                print_choices(f, o->choices, " | ");
                return;
        }
        fputs(o->flags & TBAGENT_KEYS ? "{ KEY = { ... }; ... }" : names[o->type], f);
        if (plain && o->type != TBAGENT_STRING)
                print_range(f, o);
        if (plain && o->unit && o->type != TBAGENT_DURATION && o->type != TBAGENT_SIZE)
                fprintf(f, " (%s)", o->unit);
}

/* ---- what is told of it */

static bool is_quoted(const struct tbagent_option *o) {
        switch (o->type) {
        case TBAGENT_STRING:
        case TBAGENT_STRINGS:
                return true;
        case TBAGENT_DURATION:
        case TBAGENT_SIZE:
        case TBAGENT_DELTA:
                return !streq(o->fallback, "0") && !isdigit((unsigned char)o->fallback[strlen(o->fallback) - 1]);
        default:
                return false;
        }
}

static void print_channels(FILE *f, const struct tbagent_option *o) {
        if (o->flags & TBAGENT_KEYS)
                fputs(" Each KEY is a telemetry key, unless the option key in it names another.", f);
        if (o->flags & TBAGENT_PREFIXES)
                fputs(" Telemetry keys begin with NAME, unless the option prefix in it says otherwise.", f);
        if (o->flags & (TBAGENT_KEYS | TBAGENT_PREFIXES))
                fputs(" Each takes the report rules of a key as well (decimals, deadband, ...).", f);
}

static void print_option_text(FILE *f, const struct tbagent_option *o) {
        const char *quote;

        print_help(f, o->help ? o->help : "");
        if (has_long_choices(o)) {
                fputs(" One of ", f);
                print_choices(f, o->choices, ", ");
                fputc('.', f);
        }
        print_channels(f, o);
        if (o->flags & TBAGENT_REQUIRED)
                fputs(" Required.", f);
        if (o->fallback) {
                quote = is_quoted(o) ? "\"" : "";
                fprintf(f, " Default: %s%s%s.", quote, o->fallback, quote);
        }
        if (o->flags & TBAGENT_RUNTIME)
                fputs(" May be changed while it runs.", f);
        if (o->flags & TBAGENT_SECRET)
                fputs(" Never shown.", f);
}

/* "direction=out": sensor/plugin has looked at it. */
static void print_method_text(FILE *f, const struct tbagent_method *m) {
        const char *equals = m->when ? strchr(m->when, '=') : NULL;

        print_help(f, m->help ? m->help : "");
        if (m->params)
                fprintf(f, " Parameters: %s.", m->params);
        if (equals)
                fprintf(f, " Only where %.*s is \"%s\".", (int)(equals - m->when), m->when, equals + 1);
}

/* ---- tables */

/* A stream into memory. NULL: there is none, which is kept in o->failed. */
static FILE *memory_open(Out *o, char **ret, size_t *ret_size) {
        FILE *f = open_memstream(ret, ret_size);

        o->failed |= !f;
        return f;
}

static void memory_close(Out *o, FILE *f, char **text) {
        if (fclose(f) == 0 && *text)
                return;
        o->failed = true;
        free(*text);
        *text = NULL;
}

static void put_option(Out *o, unsigned depth, const struct tbagent_option *option) {
        _cleanup_(freep) char *text = NULL, *type = NULL;
        size_t size;
        FILE *f = memory_open(o, &type, &size);

        if (!f)
                return;
        fputs(" = ", f);
        print_type(f, option);
        memory_close(o, f, &type);
        f = memory_open(o, &text, &size);
        if (!f)
                return;
        print_option_text(f, option);
        memory_close(o, f, &text);
        if (!type || !text)
                return;
        put_term(o, depth, "", option->name, type);
        put_paragraph(o, depth, text);
}

static void put_text_options(Out *o, unsigned depth, const struct tbagent_option *table) {
        for (; table && table->name; table++) {
                put_option(o, depth, table);
                put_text_options(o, depth + 1, table->members);
        }
}

/* path: of the group that they are in, "" at the top. */
static void put_page_options(Out *o, const char *path, const struct tbagent_option *table) {
        for (const struct tbagent_option *t = table; t && t->name; t++)
                put_option(o, 0, t);
        for (const struct tbagent_option *t = table; t && t->name; t++) {
                const char *member = t->type != TBAGENT_MAP ? "" : t->flags & TBAGENT_KEYS ? ".KEY" : ".NAME";
                char inside[PATH_SIZE];

                if (!t->members)
                        continue;
                fprintf(o->f, "\n## %s %s%s\n", member[0] ? "Each of" : "Of", path, t->name);
                snprintf(inside, sizeof(inside), "%s%s%s.", path, t->name, member);
                put_page_options(o, inside, t->members);
        }
}

static void put_methods(Out *o, const struct tbagent_method *table) {
        for (const struct tbagent_method *m = table; m && m->name; m++) {
                _cleanup_(freep) char *text = NULL;
                size_t size;
                FILE *f = memory_open(o, &text, &size);

                if (!f)
                        return;
                print_method_text(f, m);
                memory_close(o, f, &text);
                if (!text)
                        return;
                put_term(o, 0, m->flags & TBAGENT_METHOD_CHANNEL ? "INSTANCE.CHANNEL" : "INSTANCE", m->name, "");
                put_paragraph(o, 0, text);
        }
}

static void put_text(Out *o, const struct tbagent_plugin *ops) {
        fprintf(o->f, "%s%s%s\n\n", ops->name, ops->summary ? " - " : "", ops->summary ? ops->summary : "");
        fputs("Options, beside those of every instance (every, keys, report, ...: man tbagent.conf):\n\n", o->f);
        put_text_options(o, 0, ops->options);
        if (!ops->options || !ops->options->name)
                fputs("  none\n", o->f);
        if (!ops->methods || !ops->methods->name)
                return;
        fputs("\nMethods:\n\n", o->f);
        put_methods(o, ops->methods);
}

static void put_page(Out *o, const struct tbagent_plugin *ops) {
        fputs("# OPTIONS\n\n"
              "The options that every instance has (_every_, _keys_, _report_, ...) stand in *tbagent.conf*(5).\n", o->f);
        put_page_options(o, "", ops->options);
        if (!ops->methods || !ops->methods->name)
                return;
        fputs("\n# METHODS\n", o->f);
        put_methods(o, ops->methods);
}

int manual_print(FILE *f, const Plugin *p, ManualForm form) {
        Out o = { .f = f, .form = form };

        errno = 0;
        if (form == MANUAL_TEXT)
                put_text(&o, &p->ops);
        else
                put_page(&o, &p->ops);
        if (o.failed)
                return -ENOMEM;
        return fflush(f) != 0 || ferror(f) ? errno ? -errno : -EIO : 0;
}
