/* SPDX-License-Identifier: Apache-2.0 */
/* Every refusal ends with what to write instead. The value itself is quoted, so that a reader sees which of
 * several files won, except for secrets, whose messages name the path only. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "model/option-value.h"

#define TEXT_MAX 512

void problems_tell(Problems *p, const Setting *where, const char *format, ...) {
        char text[TEXT_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        p->n++;
        if (p->fn)
                p->fn(p->userdata, true, where ? where->file : NULL, where ? where->line : 0, text);
}

void option_value_done(OptionValue *v) {
        for (size_t i = 0; v->strings && v->strings[i]; i++)
                free(v->strings[i]);
        free(v->strings);
        free(v->numbers);
        free(v->file);
        *v = (OptionValue){ 0 };
}

/* What is being checked, for the helpers below. */
typedef struct Check {
        const struct tbagent_option *o;
        const Setting *s; /* as told; elements of a list are told with the list's value */
        const char *path;
        Problems *p;
} Check;

/* "PATH = VALUE WHAT", without the value where it is secret or no single one. */
static int refuse(const Check *c, const char *format, ...) _printf_(2, 3);
static int refuse(const Check *c, const char *format, ...) {
        char what[TEXT_MAX], value[100];
        va_list ap;

        va_start(ap, format);
        vsnprintf(what, sizeof(what), format, ap);
        va_end(ap);
        if ((c->o->flags & TBAGENT_SECRET) || c->s->type == SETTING_GROUP)
                problems_tell(c->p, c->s, "%s %s", c->path, what);
        else
                problems_tell(c->p, c->s, "%s = %s %s", c->path, setting_text(c->s, value, sizeof(value)), what);
        return -EINVAL;
}

static bool has_range(const struct tbagent_option *o) {
        return o->min != 0 || o->max != 0;
}

/* A bound as one would write it: 5, 0.5, "10s", "16k". */
static const char *bound_text(const struct tbagent_option *o, double bound, char *out, size_t size) {
        char unit[40];

        if (o->type == TBAGENT_DURATION)
                snprintf(out, size, "\"%s\"", duration_text((usec_t)llround(bound * 1e6), unit, sizeof(unit)));
        else if (o->type == TBAGENT_SIZE)
                snprintf(out, size, "\"%s\"", size_text((uint64_t)bound, unit, sizeof(unit)));
        else
                snprintf(out, size, "%.15g", bound);
        return out;
}

static int check_range(const Check *c, double value) {
        char low[48], high[48];

        if (!has_range(c->o) || (value >= c->o->min && value <= c->o->max))
                return 0;
        bound_text(c->o, c->o->min, low, sizeof(low));
        if (c->o->max >= 1e18)
                return refuse(c, "is too small: write %s or more", low);
        return refuse(c, "is out of range: write %s to %s", low, bound_text(c->o, c->o->max, high, sizeof(high)));
}

/* Decimal or 0x..., all of it. */
static bool integer_in_text(const char *text, int64_t *ret) {
        const char *digits = text + (*text == '-' || *text == '+');
        bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
        char *end;
        long long value;

        if (!isdigit((unsigned char)*digits))
                return false;
        errno = 0;
        value = strtoll(text, &end, hex ? 16 : 10);
        if (errno != 0 || *end != '\0')
                return false;
        *ret = value;
        return true;
}

static bool number_in_text(const char *text, double *ret) {
        char *end;

        if (!isdigit((unsigned char)text[*text == '-' || *text == '+']))
                return false;
        *ret = strtod(text, &end);
        return *end == '\0' && isfinite(*ret);
}

/* Integers beyond int32 are written as text, because libconfig 1.5 wraps them without a word. */
static bool large_integer(const Setting *s, int64_t *ret) {
        return s->type == SETTING_STRING && integer_in_text(s->s, ret) && (*ret > INT32_MAX || *ret < INT32_MIN);
}

static int parse_bool(const Check *c, OptionValue *v) {
        static const char *const yes[] = { "yes", "on", "true", "1" };
        static const char *const no[] = { "no", "off", "false", "0" };
        char text[8];

        if (c->s->type == SETTING_BOOL) {
                v->i = c->s->b;
                return 0;
        }
        if (c->s->type == SETTING_STRING)
                snprintf(text, sizeof(text), "%s", c->s->s);
        else
                setting_text(c->s, text, sizeof(text));
        for (size_t i = 0; i < ELEMENTS(yes); i++) {
                if (strcasecmp(text, yes[i]) == 0)
                        return refuse(c, "wants true or false: write true, without quotes");
                if (strcasecmp(text, no[i]) == 0)
                        return refuse(c, "wants true or false: write false, without quotes");
        }
        return refuse(c, "wants true or false");
}

static int parse_int(const Check *c, OptionValue *v) {
        int64_t value;

        if (c->s->type == SETTING_INT)
                v->i = c->s->i;
        else if (!large_integer(c->s, &v->i)) {
                if (c->s->type == SETTING_STRING && integer_in_text(c->s->s, &value))
                        return refuse(c, "wants a number: write %s, without quotes", c->s->s);
                return refuse(c, "wants a whole number");
        }
        v->d = (double)v->i;
        return check_range(c, v->d);
}

static int parse_float(const Check *c, OptionValue *v) {
        int64_t large;
        double value;

        if (c->s->type == SETTING_INT)
                v->d = (double)c->s->i;
        else if (c->s->type == SETTING_FLOAT && isfinite(c->s->d))
                v->d = c->s->d;
        else if (large_integer(c->s, &large))
                v->d = (double)large;
        else if (c->s->type == SETTING_STRING && number_in_text(c->s->s, &value))
                return refuse(c, "wants a number: write %s, without quotes", c->s->s);
        else
                return refuse(c, "wants a number");
        return check_range(c, v->d);
}

/* 0.5, or "5%" of the value before. */
static int parse_delta(const Check *c, OptionValue *v) {
        char number[32];
        size_t length = c->s->type == SETTING_STRING ? strlen(c->s->s) : 0;

        if (length > 1 && length < sizeof(number) && c->s->s[length - 1] == '%') {
                memcpy(number, c->s->s, length - 1);
                number[length - 1] = '\0';
                if (!number_in_text(number, &v->d))
                        return refuse(c, "wants a number or a percentage: write 0.5 or \"5%%\"");
                v->percent = true;
        } else if (c->s->type == SETTING_INT || c->s->type == SETTING_FLOAT || (length > 0 && number_in_text(c->s->s, &v->d))) {
                int r = parse_float(c, v);

                if (r < 0)
                        return r;
        } else
                return refuse(c, "wants a number or a percentage: write 0.5 or \"5%%\"");
        return v->d < 0 ? refuse(c, "is less than 0: write how much a value has to change, like 0.5 or \"5%%\"") : 0;
}

static int refuse_bare_number(const Check *c, double value) {
        char text[48];

        if (c->o->type == TBAGENT_DURATION)
                snprintf(text, sizeof(text), "%.15gs", value);
        else if (value >= 1024 && value < 1e15)
                size_text((uint64_t)value, text, sizeof(text));
        else if (value > 0 && value < 1024)
                return refuse(c, "needs a unit: write \"%.15gk\" or \"%.15gM\"", value, value);
        else
                snprintf(text, sizeof(text), "16k");
        return refuse(c, "needs a unit: write \"%s\"", text);
}

/* DURATION and SIZE: text with a unit. */
static int parse_quantity(const Check *c, OptionValue *v) {
        bool duration = c->o->type == TBAGENT_DURATION;
        uint64_t value;
        double number;
        int r;

        if (c->s->type == SETTING_INT)
                return refuse_bare_number(c, (double)c->s->i);
        if (c->s->type == SETTING_FLOAT)
                return refuse_bare_number(c, c->s->d);
        r = c->s->type != SETTING_STRING ? -EINVAL : duration ? duration_parse(c->s->s, &value) : size_parse(c->s->s, &value);
        if (r == -ERANGE)
                return refuse(c, "is too large");
        if (r < 0 && c->s->type == SETTING_STRING && number_in_text(c->s->s, &number) && number >= 0)
                return refuse_bare_number(c, number);
        if (r < 0)
                return duration ? refuse(c, "is no duration: write a number and a unit (ms, s, min, h, d), like \"10s\"")
                                : refuse(c, "is no size: write a number and a unit (B, k, M, G), like \"16k\"");
        v->i = (int64_t)value;
        return check_range(c, duration ? (double)value / 1e6 : (double)value);
}

/* choices: "in|out". Tells the nearest one and all of them. */
static int check_choice(const Check *c, const char *text) {
        char copy[256], list[300] = "";
        const char *names[32], *nearest;
        size_t n = 0, used = 0;
        char *save = NULL;

        if (!c->o->choices)
                return 0;
        snprintf(copy, sizeof(copy), "%s", c->o->choices);
        for (char *name = strtok_r(copy, "|", &save); name && n < ELEMENTS(names); name = strtok_r(NULL, "|", &save)) {
                if (streq(name, text))
                        return 0;
                names[n++] = name;
                used += (size_t)snprintf(list + used, sizeof(list) - used, "%s\"%s\"", used > 0 ? ", " : "", name);
                used = MIN(used, sizeof(list) - 1);
        }
        nearest = nearest_name(text, names, n);
        if (nearest)
                return refuse(c, "is not known; did you mean \"%s\"? Choices: %s", nearest, list);
        return refuse(c, "is not known: write one of %s", list);
}

static int add_string(const Check *c, const Setting *s, OptionValue *v, size_t i) {
        char value[100];

        if (s->type == SETTING_GROUP || s->type == SETTING_LIST)
                return refuse(c, "wants text, not a %s", setting_type_name(s->type));
        if (s->type != SETTING_STRING && (c->o->flags & TBAGENT_SECRET))
                return refuse(c, "wants text: put it in quotes");
        if (s->type != SETTING_STRING)
                return refuse(c, "wants text: put it in quotes, \"%s\"", setting_text(s, value, sizeof(value)));
        if (s->s[0] == '\0' && (c->o->flags & TBAGENT_REQUIRED))
                return refuse(c, "is empty");
        v->strings[i] = strdup(s->s);
        if (!v->strings[i])
                return -ENOMEM;
        return check_choice(c, s->s);
}

/* min and max of a list are how many elements it has. */
static int check_count(const Check *c, size_t n, const char *what) {
        if (!has_range(c->o) || ((double)n >= c->o->min && (double)n <= c->o->max))
                return 0;
        if (c->o->min == c->o->max)
                return refuse(c, "wants %.0f %s, like %s", c->o->min, what, c->o->min == 2 ? "(0, 100)" : "(1, 2, ...)");
        if (c->o->max >= 1e18)
                return refuse(c, "wants %.0f %s or more", c->o->min, what);
        return refuse(c, "wants %.0f to %.0f %s", c->o->min, c->o->max, what);
}

static int parse_strings(const Check *c, OptionValue *v) {
        bool list = c->o->type == TBAGENT_STRINGS && c->s->type == SETTING_LIST;
        size_t n = list ? c->s->n_children : 1;
        int r = 0;

        v->strings = calloc(n + 1, sizeof(*v->strings));
        if (!v->strings)
                return -ENOMEM;
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_string(c, list ? c->s->children[i] : c->s, v, i);
        return r < 0 || c->o->type == TBAGENT_STRING ? r : check_count(c, n, "texts");
}

static bool take_numbers(const Setting *list, double *out) {
        for (size_t i = 0; i < list->n_children; i++) {
                const Setting *e = list->children[i];

                if (e->type != SETTING_INT && !(e->type == SETTING_FLOAT && isfinite(e->d)))
                        return false;
                out[i] = e->type == SETTING_INT ? (double)e->i : e->d;
        }
        return true;
}

static int parse_numbers(const Check *c, OptionValue *v) {
        int r;

        if (c->s->type != SETTING_LIST)
                return refuse(c, "wants numbers in parentheses, like (0, 100)");
        v->numbers = calloc(c->s->n_children + 1, sizeof(*v->numbers));
        if (!v->numbers)
                return -ENOMEM;
        v->n_numbers = c->s->n_children;
        if (!take_numbers(c->s, v->numbers))
                return refuse(c, "wants numbers only, like (0, 100)");
        r = check_count(c, v->n_numbers, "numbers");
        if (r < 0)
                return r;
        if (c->o->min == 2 && c->o->max == 2 && v->numbers[0] > v->numbers[1])
                return refuse(c, "has the higher number first: write (%.15g, %.15g)", v->numbers[1], v->numbers[0]);
        return 0;
}

static int parse_pairs(const Check *c, OptionValue *v) {
        static const char example[] = "wants pairs of numbers, like ((0, 0.5), (100, 99.2))";

        if (c->s->type != SETTING_LIST)
                return refuse(c, "%s", example);
        v->numbers = calloc(2 * c->s->n_children + 1, sizeof(*v->numbers));
        if (!v->numbers)
                return -ENOMEM;
        v->n_numbers = 2 * c->s->n_children;
        for (size_t i = 0; i < c->s->n_children; i++) {
                const Setting *pair = c->s->children[i];

                if (pair->type != SETTING_LIST || pair->n_children != 2 || !take_numbers(pair, &v->numbers[2 * i]))
                        return refuse(c, "%s", example);
        }
        return check_count(c, c->s->n_children, "pairs");
}

static int parse_value(const Check *c, OptionValue *v) {
        switch ((enum tbagent_type)c->o->type) {
        case TBAGENT_BOOL:
                return parse_bool(c, v);
        case TBAGENT_INT:
                return parse_int(c, v);
        case TBAGENT_FLOAT:
                return parse_float(c, v);
        case TBAGENT_DELTA:
                return parse_delta(c, v);
        case TBAGENT_DURATION:
        case TBAGENT_SIZE:
                return parse_quantity(c, v);
        case TBAGENT_STRING:
        case TBAGENT_STRINGS:
                return parse_strings(c, v);
        case TBAGENT_NUMBERS:
                return parse_numbers(c, v);
        case TBAGENT_PAIRS:
                return parse_pairs(c, v);
        case TBAGENT_GROUP:
        case TBAGENT_MAP:
                break;
        }
        return refuse(c, "cannot be set: its type in the option table is unknown");
}

int option_value_parse(OptionValue *ret, const struct tbagent_option *o, const Setting *s, const char *path, Problems *p) {
        Check c = { o, s, path, p };
        OptionValue v = { .set = true, .line = s->line };
        int r;

        r = parse_value(&c, &v);
        if (r >= 0 && s->file && !(v.file = strdup(s->file)))
                r = -ENOMEM;
        if (r < 0) {
                option_value_done(&v);
                return r;
        }
        *ret = v;
        return 0;
}

/* "(0, 100)" or "0, 100" to a list */
static int numbers_fallback(Setting *list, const char *text) {
        for (const char *p = text + strspn(text, "( "); *p != '\0' && *p != ')';) {
                Setting *number;
                char *end;
                double d = strtod(p, &end);
                int r;

                if (end == p)
                        return -EINVAL;
                r = setting_new(&number, SETTING_FLOAT, NULL, NULL, 0);
                if (r < 0)
                        return r;
                number->d = d;
                r = setting_add(list, number);
                if (r < 0)
                        return r;
                p = end + strspn(end, ", ");
        }
        return 0;
}

/* The text of a default as the setting that a file would make of it. */
static int fallback_setting(Setting **ret, const struct tbagent_option *o) {
        _cleanup_(setting_freep) Setting *s = NULL;
        bool number = o->type == TBAGENT_FLOAT || (o->type == TBAGENT_DELTA && !strchr(o->fallback, '%'));
        SettingType type = o->type == TBAGENT_BOOL      ? SETTING_BOOL
                           : o->type == TBAGENT_INT     ? SETTING_INT
                           : o->type == TBAGENT_NUMBERS ? SETTING_LIST
                           : number                     ? SETTING_FLOAT
                                                        : SETTING_STRING;
        int r;

        r = setting_new(&s, type, NULL, NULL, 0);
        if (r < 0)
                return r;
        if (type == SETTING_BOOL)
                s->b = streq(o->fallback, "true");
        else if (type == SETTING_INT)
                r = integer_in_text(o->fallback, &s->i) ? 0 : -EINVAL;
        else if (type == SETTING_LIST)
                r = numbers_fallback(s, o->fallback);
        else if (type == SETTING_FLOAT)
                r = number_in_text(o->fallback, &s->d) ? 0 : -EINVAL;
        else
                r = setting_set_string(s, o->fallback);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int option_value_fallback(OptionValue *ret, const struct tbagent_option *o, const char *path, Problems *p) {
        _cleanup_(setting_freep) Setting *s = NULL;
        int r;

        *ret = (OptionValue){ 0 };
        if (!o->fallback)
                return 0;
        r = fallback_setting(&s, o);
        if (r == -EINVAL)
                problems_tell(p, NULL, "%s has a default that cannot be read: a mistake in the option table", path);
        if (r < 0)
                return r;
        r = option_value_parse(ret, o, s, path, p);
        ret->set = false;
        return r;
}
