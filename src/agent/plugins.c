/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>

#include "agent/plugins.h"
#include "model/setting.h"

static bool name_valid(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

        return n > 0 && n <= 64 && name[n] == '\0' && name[0] != '-';
}

static bool is_listed(char *const names[], size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(names[i], name))
                        return true;
        return false;
}

static void list_folder(const char *dir, char *names[PLUGINS_MAX], size_t *n) {
        DIR *d = opendir(dir);

        for (struct dirent *e; d && *n < PLUGINS_MAX && (e = readdir(d));) {
                size_t size = strlen(e->d_name);
                char *name = size > 3 && streq(e->d_name + size - 3, ".so") ? strndup(e->d_name, size - 3) : NULL;

                if (name && name_valid(name) && !is_listed(names, *n, name))
                        names[(*n)++] = TAKE_PTR(name);
                free(name);
        }
        if (d)
                closedir(d);
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t plugins_list(const char *dirs, char *names[static PLUGINS_MAX]) {
        _cleanup_(freep) char *copy = strdup(dirs);
        size_t n = 0;

        for (char *save = NULL, *dir = copy ? strtok_r(copy, ":", &save) : NULL; dir; dir = strtok_r(NULL, ":", &save))
                list_folder(dir, names, &n);
        qsort(names, n, sizeof(names[0]), compare);
        return n;
}

/* "no plugin "x", did you mean "y"? There are: a, b" */
static char *missing_text(const char *dirs, const char *name) {
        char *names[PLUGINS_MAX], *text = NULL;
        size_t n = plugins_list(dirs, names), size = 0;
        const char *nearest;
        FILE *f;

        nearest = nearest_name(name, (const char *const *)names, n);
        f = open_memstream(&text, &size);
        if (f) {
                fprintf(f, "no plugin \"%s\" is installed", name);
                if (nearest)
                        fprintf(f, "; did you mean \"%s\"?", nearest);
                fprintf(f, n == 0 ? " in %s" : nearest ? " There are:" : "; there are:", dirs);
                for (size_t i = 0; i < n; i++)
                        if (i == 0 || !streq(names[i], names[i - 1]))
                                fprintf(f, "%s %s", i ? "," : "", names[i]);
                fclose(f);
        }
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        return text;
}

int plugins_find(const char *dirs, const char *name, char **ret, char **ret_text) {
        _cleanup_(freep) char *copy = strdup(dirs);

        if (!copy)
                return -ENOMEM;
        if (!name_valid(name)) {
                if (asprintf(ret_text, "\"%s\" is no plugin name: write letters, digits, _ and - only", name) < 0)
                        return -ENOMEM;
                return -EINVAL;
        }
        for (char *save = NULL, *dir = strtok_r(copy, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
                _cleanup_(freep) char *path = NULL;
                if (asprintf(&path, "%s/%s.so", dir, name) < 0)
                        return -ENOMEM;
                if (access(path, R_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return 0;
                }
        }
        *ret_text = missing_text(dirs, name);
        return *ret_text ? -ENOENT : -ENOMEM;
}
