/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read-conf --watch FILE: reads FILE over and over, as another program would, until SIGTERM; then prints
 *     reads=N failures=N versions=N closest_ms=N
 * versions: how often it was replaced; closest_ms: the shortest time between two of them (by their mtime).
 * read-conf --dump FILE: one line a setting, NAME<tab>TYPE<tab>VALUE, names joined by dots and `named` taken apart. Text is
 * in hexadecimal.
 */
#include <errno.h>
#include <libconfig.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t over;

static void on_signal(int signo) {
        (void)signo;
        over = 1;
}

static void print_hex(const char *text) {
        for (; *text; text++)
                printf("%02x", (unsigned char)*text);
}

static void print_value(const char *name, const config_setting_t *s, const char *text_type) {
        print_hex(name);
        switch (config_setting_type(s)) {
        case CONFIG_TYPE_INT:
                printf("\tint\t%d\n", config_setting_get_int(s));
                break;
        case CONFIG_TYPE_INT64:
                printf("\tint\t%lld\n", config_setting_get_int64(s));
                break;
        case CONFIG_TYPE_FLOAT:
                printf("\tfloat\t%.17g\n", config_setting_get_float(s));
                break;
        case CONFIG_TYPE_BOOL:
                printf("\tbool\t%d\n", config_setting_get_bool(s));
                break;
        case CONFIG_TYPE_STRING:
                printf("\t%s\t", text_type);
                print_hex(config_setting_get_string(s));
                printf("\n");
                break;
        default:
                printf("\todd\t\n");
        }
}

static void print_named(const config_setting_t *list) {
        for (int i = 0; i < config_setting_length(list); i++) {
                const config_setting_t *e = config_setting_get_elem(list, (unsigned)i);
                const config_setting_t *name = config_setting_get_member(e, "name"), *value = config_setting_get_member(e, "value");
                const config_setting_t *json = config_setting_get_member(e, "json");

                if (name && (value || json))
                        print_value(config_setting_get_string(name), value ? value : json, value ? "text" : "json");
        }
}

static void print_group(const char *prefix, const config_setting_t *group) {
        for (int i = 0; i < config_setting_length(group); i++) {
                const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
                char name[4096];

                snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", config_setting_name(s));
                if (!*prefix && !strcmp(name, "named") && config_setting_is_list(s))
                        print_named(s);
                else if (config_setting_is_group(s))
                        print_group(name, s);
                else
                        print_value(name, s, "text");
        }
}

static int dump(const char *file) {
        config_t c;

        config_init(&c);
        if (!config_read_file(&c, file)) {
                fprintf(stderr, "%s:%d: %s\n", file, config_error_line(&c), config_error_text(&c));
                return 1;
        }
        print_group("", config_root_setting(&c));
        config_destroy(&c);
        return 0;
}

typedef struct Watch {
        unsigned long reads, failures, versions;
        struct stat last;
        long long closest_ms;
} Watch;

static long long ms_of(const struct stat *st) {
        return st->st_mtim.tv_sec * 1000LL + st->st_mtim.tv_nsec / 1000000;
}

static void look(Watch *w, const char *file) {
        struct stat st;
        config_t c;

        if (stat(file, &st) < 0)
                return;
        if (w->versions == 0 || st.st_ino != w->last.st_ino || ms_of(&st) != ms_of(&w->last)) {
                if (w->versions++ > 0 && ms_of(&st) - ms_of(&w->last) < w->closest_ms)
                        w->closest_ms = ms_of(&st) - ms_of(&w->last);
                w->last = st;
        }
        config_init(&c);
        w->reads++;
        if (!config_read_file(&c, file)) {
                w->failures++;
                fprintf(stderr, "%s:%d: %s\n", file, config_error_line(&c), config_error_text(&c));
        }
        config_destroy(&c);
}

static int watch(const char *file) {
        Watch w = { .closest_ms = LLONG_MAX };

        signal(SIGTERM, on_signal);
        while (!over) {
                look(&w, file);
                usleep(2000);
        }
        printf("reads=%lu failures=%lu versions=%lu closest_ms=%lld\n", w.reads, w.failures, w.versions,
               w.closest_ms == LLONG_MAX ? -1 : w.closest_ms);
        return w.failures > 0;
}

int main(int argc, char **argv) {
        if (argc == 3 && !strcmp(argv[1], "--watch"))
                return watch(argv[2]);
        if (argc == 3 && !strcmp(argv[1], "--dump"))
                return dump(argv[2]);
        fprintf(stderr, "usage: read-conf --watch|--dump FILE\n");
        return 2;
}
