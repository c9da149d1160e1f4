/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "agent/config-problem.h"

void config_problems_add(ConfigProblems *p, bool fatal, const char *instance, const char *file, unsigned line,
                         const char *format, ...) {
        ConfigProblem *list = reallocarray(p->list, p->n + 1, sizeof(*list));
        ConfigProblem *last;
        va_list ap;

        if (!list)
                return;
        p->list = list;
        last = &list[p->n++];
        *last = (ConfigProblem){ .fatal = fatal, .instance = strdup(instance), .file = strdup(file), .line = line };
        va_start(ap, format);
        if (vasprintf(&last->text, format, ap) < 0)
                last->text = NULL;
        va_end(ap);
}

bool config_problems_fatal(const ConfigProblems *p, size_t from) {
        for (size_t i = from; i < p->n; i++)
                if (p->list[i].fatal && (!p->list[i].instance || p->list[i].instance[0] == '\0'))
                        return true;
        return false;
}

static int compare(const ConfigProblem *a, const ConfigProblem *b) {
        int r = strcmp(a->file ? a->file : "", b->file ? b->file : "");

        return r != 0 ? r : (a->line > b->line) - (a->line < b->line);
}

/* By insertion: those of one line stay as they are, and they come nearly sorted. */
void config_problems_sort(ConfigProblems *p) {
        for (size_t i = 1; i < p->n; i++) {
                ConfigProblem moved = p->list[i];
                size_t at = i;

                for (; at > 0 && compare(&p->list[at - 1], &moved) > 0; at--)
                        p->list[at] = p->list[at - 1];
                p->list[at] = moved;
        }
}

void config_problems_free(ConfigProblem *p, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(p[i].instance);
                free(p[i].file);
                free(p[i].text);
        }
        free(p);
}

char *config_problem_text(const ConfigProblem *p) {
        const char *kind = p->fatal ? "error" : "warning", *file = p->file ? p->file : "";
        const char *text = p->text ? p->text : "out of memory";
        char *out;
        int r;

        r = p->line > 0 ? asprintf(&out, "%s:%u: %s: %s", file, p->line, kind, text)
                        : asprintf(&out, "%s: %s: %s", file, kind, text);
        return r < 0 ? NULL : out;
}
