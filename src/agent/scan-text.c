/* SPDX-License-Identifier: Apache-2.0 */
/* Things of one plugin with the same instance become one instance, those of them with the same group stand together in it.
 * What somebody has to decide on is there as a comment, with all that it would need: an instance that would be empty
 * without it is one as a whole. */
#include <stdio.h>

#include "agent/scan-text.h"

#define NAME_SIZE (FOUND_NAME_MAX + 24)

static const char head[] =
        "# What tbagent --scan found, and a configuration that reads it. Saved as /etc/tbagent.conf.d/%s "
        "it runs as it is.\n"
        "# A name before \"= {\" becomes the key of a value: give it one that says what is measured.\n"
        "#\n";

/* Every line with something before it. */
static void print_lines(FILE *f, const char *before, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                if (n > 0)
                        fprintf(f, "%s%.*s\n", before, (int)n, text);
                text += n + (text[n] == '\n');
        }
}

/* ---- the table */

static void print_table(FILE *f, const ScanText *s) {
        size_t plugin = strlen("PLUGIN"), id = strlen("ID");

        for (size_t i = 0; i < s->n; i++) {
                plugin = MAX(plugin, strlen(s->things[i].plugin));
                id = MAX(id, strlen(s->things[i].found.id));
        }
        fprintf(f, "#   %-*s  %-*s  WHAT\n", (int)plugin, "PLUGIN", (int)id, "ID");
        for (size_t i = 0; i < s->n; i++)
                fprintf(f, "#   %-*s  %-*s  %s\n", (int)plugin, s->things[i].plugin, (int)id, s->things[i].found.id,
                        s->things[i].found.what);
}

/* ---- the configuration */

static const char *instance_of(const Thing *t) {
        return t->found.instance[0] ? t->found.instance : t->plugin;
}

static bool is_configured(const Thing *t) {
        return t->found.config[0];
}

static bool same_instance(const Thing *a, const Thing *b) {
        return streq(a->plugin, b->plugin) && streq(instance_of(a), instance_of(b));
}

/* The first one with something to configure that meets `same`: what stands together is written there. */
static bool is_first(const ScanText *s, size_t at, bool (*same)(const Thing *, const Thing *)) {
        for (size_t i = 0; i < at; i++)
                if (is_configured(&s->things[i]) && same(&s->things[i], &s->things[at]))
                        return false;
        return true;
}

static bool same_group(const Thing *a, const Thing *b) {
        return same_instance(a, b) && streq(a->found.group, b->found.group);
}

static void print_things(FILE *f, const ScanText *s, const Thing *first, bool commented) {
        const char *indent = first->found.group[0] ? "      " : "    ";
        char before[16];

        for (size_t i = 0; i < s->n; i++) {
                const Thing *t = &s->things[i];

                if (!is_configured(t) || !same_group(t, first))
                        continue;
                snprintf(before, sizeof before, "%s%s", indent, t->found.commented && !commented ? "# " : "");
                print_lines(f, before, t->found.config);
        }
}

static void print_group(FILE *f, const ScanText *s, const Thing *first, bool commented) {
        if (first->found.group[0])
                fprintf(f, "    %s = {\n", first->found.group);
        print_things(f, s, first, commented);
        if (first->found.group[0])
                fputs("    };\n", f);
}

static void name_instance(const ScanText *s, const Thing *first, char out[static NAME_SIZE]) {
        snprintf(out, NAME_SIZE, "%s", instance_of(first));
        for (unsigned n = 2; s->is_taken && s->is_taken(s->userdata, out) && n < 1000; n++)
                snprintf(out, NAME_SIZE, "%s_%u", instance_of(first), n);
}

static void print_inside(FILE *f, const ScanText *s, const Thing *first, bool commented) {
        char name[NAME_SIZE];

        name_instance(s, first, name);
        fprintf(f, "  %s = {\n    plugin = \"%s\";\n", name, first->plugin);
        print_lines(f, "    ", first->found.options);
        for (size_t i = 0; i < s->n; i++)
                if (is_configured(&s->things[i]) && same_instance(&s->things[i], first) && is_first(s, i, same_group))
                        print_group(f, s, &s->things[i], commented);
        fputs("  };\n", f);
}

static bool all_commented(const ScanText *s, const Thing *first) {
        for (size_t i = 0; i < s->n; i++)
                if (is_configured(&s->things[i]) && same_instance(&s->things[i], first) && !s->things[i].found.commented)
                        return false;
        return true;
}

static void print_instance(FILE *f, const ScanText *s, const Thing *first) {
        bool commented = all_commented(s, first);
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *inside = open_memstream(&text, &size);

        if (!inside)
                return;
        print_inside(inside, s, first, commented);
        if (fclose(inside) == 0)
                print_lines(f, commented ? "# " : "", text);
}

static void print_configuration(FILE *f, const ScanText *s) {
        fputs("\nplugins = {\n", f);
        for (size_t i = 0; i < s->n; i++)
                if (is_configured(&s->things[i]) && is_first(s, i, same_instance))
                        print_instance(f, s, &s->things[i]);
        fputs("};\n", f);
}

char *scan_text(const ScanText *s) {
        char *text = NULL;
        bool configured = false;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; i < s->n; i++)
                configured |= is_configured(&s->things[i]);
        if (configured)
                fprintf(f, head, s->file ? s->file : "found.conf");
        else
                fputs("# What tbagent --scan found:\n#\n", f);
        if (s->n > 0)
                print_table(f, s);
        else
                fputs("#   nothing\n", f);
        if (configured)
                print_configuration(f, s);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}
