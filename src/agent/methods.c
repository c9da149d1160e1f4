/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name means every method whose full name it is, or ends in behind a dot: "pump.set" and "set" both mean
 * "io.pump.set". Where it means more than one nobody guesses. An alias stands for another name and is looked for
 * first, so that it can decide.
 */
#include <stdio.h>

#include "agent/methods.h"

#define METHODS_MAX 4096 /* in all: an instance with a hundred channels of ten methods is large */
#define NAME_MAX_SIZE 256 /* of all three parts; and of the other texts: */
#define TEXT_MAX_SIZE KIB
#define CHOICES_SHOWN 6

struct Methods {
        Method *list;
        size_t n;
};

static void method_done(Method *m) {
        free((char *)m->instance);
        free((char *)m->channel);
        free((char *)m->name);
        free((char *)m->full);
        free((char *)m->params);
        free((char *)m->help);
}

int methods_new(Methods **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

Methods *methods_free(Methods *m) {
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->n; i++)
                method_done(&m->list[i]);
        free(m->list);
        free(m);
        return NULL;
}

void methods_clear(Methods *m, const char *instance) {
        size_t n = 0;

        for (size_t i = 0; i < m->n; i++)
                if (streq(m->list[i].instance, instance))
                        method_done(&m->list[i]);
                else
                        m->list[n++] = m->list[i];
        m->n = n;
}

int methods_add(Methods *m, const char *instance, const char *channel, const char *name, const char *params, const char *help,
                uint32_t flags) {
        char *full = NULL;
        Method *list, method;

        if (strlen(instance) + strlen(channel) + strlen(name) > NAME_MAX_SIZE || strlen(params) > TEXT_MAX_SIZE ||
            strlen(help) > TEXT_MAX_SIZE)
                return -E2BIG;
        if (m->n >= METHODS_MAX)
                return -ENOSPC;
        list = reallocarray(m->list, m->n + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        m->list = list;
        if (asprintf(&full, "%s%s%s.%s", instance, channel[0] ? "." : "", channel, name) < 0)
                full = NULL;
        method = (Method){ strdup(instance), strdup(channel), strdup(name), full, strdup(params), strdup(help), flags };
        if (!method.instance || !method.channel || !method.name || !full || !method.params || !method.help) {
                method_done(&method);
                return -ENOMEM;
        }
        m->list[m->n++] = method;
        return 0;
}

/* ---- by name */

static bool means(const char *name, const char *full) {
        size_t size = strlen(name), whole = strlen(full);

        return whole >= size && streq(full + whole - size, name) && (whole == size || full[whole - size - 1] == '.');
}

const char *methods_alias(const Setting *aliases, const char *name) {
        const Setting *s = aliases ? setting_child(aliases, name) : NULL;

        return s && s->type == SETTING_STRING ? s->s : name;
}

/* A short name that is nearly the one asked for: of all lengths, the shortest first. */
static const char *nearest_method(const Methods *m, const char *name) {
        size_t dots = 0;
        const char **candidates = calloc(m->n + 1, sizeof(*candidates)), *found = NULL;

        for (const char *p = strchr(name, '.'); p; p = strchr(p + 1, '.'))
                dots++;
        for (size_t i = 0; candidates && i < m->n; i++) {
                const char *from = m->list[i].full + strlen(m->list[i].full);
                size_t left = dots + 1;

                while (from > m->list[i].full && (from[-1] != '.' || --left > 0))
                        from--;
                candidates[i] = from;
        }
        if (candidates)
                found = nearest_name(name, candidates, m->n);
        free(candidates);
        return found;
}

static char *text_of_choices(const Methods *m, const char *name) {
        char *text = NULL;
        size_t size, n = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        fprintf(f, "\"%.100s\" may mean", name);
        for (size_t i = 0; i < m->n; i++)
                if (means(name, m->list[i].full) && n++ < CHOICES_SHOWN)
                        fprintf(f, "%s %s", n > 1 ? "," : "", m->list[i].full);
        if (n > CHOICES_SHOWN)
                fprintf(f, " and %zu more", n - CHOICES_SHOWN);
        fputs(": use one of these names, or decide in rpc.aliases", f);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}

static int not_found(const Methods *m, const char *name, char **ret_text) {
        const char *near = nearest_method(m, name);
        const char *ask = near ? "; did you mean \"" : "", *end = near ? "\"?" : ";";
        int r = asprintf(ret_text, "there is no method \"%.100s\"%s%s%s agent.methods lists them", name, ask,
                         near ? near : "", end);

        if (r < 0)
                *ret_text = NULL;
        return r < 0 ? -ENOMEM : -ENOENT;
}

int methods_find(const Methods *m, const char *name, const Method **ret, char **ret_text) {
        const Method *found = NULL;
        size_t n = 0;

        for (size_t i = 0; i < m->n; i++) {
                if (!means(name, m->list[i].full))
                        continue;
                n++;
                found = &m->list[i];
                if (streq(name, found->full)) { /* in full it means itself, whatever else ends so */
                        n = 1;
                        break;
                }
        }
        if (n == 0)
                return not_found(m, name, ret_text);
        if (n > 1) {
                *ret_text = text_of_choices(m, name);
                return *ret_text ? -ENOTUNIQ : -ENOMEM;
        }
        *ret = found;
        return 0;
}

size_t methods_n(const Methods *m) {
        return m->n;
}

const Method *methods_at(const Methods *m, size_t i) {
        return &m->list[i];
}
