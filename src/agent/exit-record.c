/* SPDX-License-Identifier: Apache-2.0 */
/* The file: a magic word, then on_exit_after and since when it is away, in microseconds, and the plugin's name as lines of text,
 * then the settings. It is renamed into place, on a tmpfs. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/exit-record.h"
#include "base/file.h"
#include "model/frame.h"

#define MAGIC "tbagent kept 2\n"
#define PLUGIN_NAME_MAX 64

int exit_record_set(ExitRecord *r, const char *plugin, const uint8_t *settings, size_t size, usec_t after) {
        ExitRecord new = { .plugin = strdup(plugin), .settings = malloc(size + 1), .settings_size = size, .after = after };

        if (!new.plugin || !new.settings) {
                exit_record_done(&new);
                return -ENOMEM;
        }
        memcpy(new.settings, settings, size);
        exit_record_done(r);
        *r = new;
        return 0;
}

void exit_record_done(ExitRecord *r) {
        free(r->plugin);
        free(r->settings);
        *r = (ExitRecord){ 0 };
}

bool exit_record_same(const ExitRecord *a, const ExitRecord *b) {
        return a->plugin && b->plugin && streq(a->plugin, b->plugin) && a->after == b->after &&
               a->settings_size == b->settings_size && memcmp(a->settings, b->settings, a->settings_size) == 0;
}

/* ---- files */

/* data ends with a NUL. */
static int parse(ExitRecord *ret, const char *data, size_t size) {
        char plugin[PLUGIN_NAME_MAX + 1];
        uint64_t after, away;
        int used = 0, r;

        if (strncmp(data, MAGIC, strlen(MAGIC)) != 0 ||
            sscanf(data + strlen(MAGIC), "%" SCNu64 " %" SCNu64 " %64[A-Za-z0-9_-]%n", &after, &away, plugin, &used) != 3)
                return -EBADMSG;
        data += strlen(MAGIC) + (size_t)used;
        size -= strlen(MAGIC) + (size_t)used;
        if (*data != '\n')
                return -EBADMSG;
        r = exit_record_set(ret, plugin, (const uint8_t *)data + 1, size - 1, after);
        if (r == 0)
                ret->away = away;
        return r;
}

int exit_record_load(ExitRecord *ret, const char *runtime_dir, const char *instance) {
        _cleanup_(freep) char *path = NULL, *data = NULL;
        size_t size;
        int r;

        if (asprintf(&path, "%s/" EXIT_RECORD_DIR "/%s", runtime_dir, instance) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_read(path, FRAME_SIZE_MAX, &data, &size);
        return r < 0 ? r : parse(ret, data, size);
}

static int save(const ExitRecord *r, const char *path) {
        char *data = NULL;
        size_t size;
        FILE *f = open_memstream(&data, &size);
        int e;

        if (!f)
                return -ENOMEM;
        fprintf(f, MAGIC "%" PRIu64 " %" PRIu64 " %s\n", r->after, r->away, r->plugin);
        fwrite(r->settings, 1, r->settings_size, f);
        e = fclose(f) == 0 ? file_replace(path, data, size, 0600) : -ENOMEM;
        free(data);
        return MIN(e, 0);
}

int exit_record_save(const ExitRecord *r, const char *runtime_dir, const char *instance) {
        _cleanup_(freep) char *path = NULL, *folder = NULL;
        int e;

        if (asprintf(&folder, "%s/" EXIT_RECORD_DIR, runtime_dir) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        if (asprintf(&path, "%s/%s", folder, instance) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (!r || !r->plugin)
                return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
        e = file_mkdir(folder, 0700);
        return e < 0 ? e : save(r, path);
}

static int is_plain(const struct dirent *entry) {
        return entry->d_name[0] != '.' && !strchr(entry->d_name, '.');
}

int exit_record_each(const char *runtime_dir, int (*fn)(void *userdata, const char *instance, const ExitRecord *r),
                     void *userdata) {
        _cleanup_(freep) char *folder = NULL;
        struct dirent **entries;
        int n, r = 0;

        if (asprintf(&folder, "%s/" EXIT_RECORD_DIR, runtime_dir) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        n = scandir(folder, &entries, is_plain, alphasort);
        if (n < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        for (int i = 0; i < n; i++) {
                ExitRecord record = { 0 };

                if (r >= 0 && exit_record_load(&record, runtime_dir, entries[i]->d_name) == 0)
                        r = fn(userdata, entries[i]->d_name, &record);
                exit_record_done(&record);
                free(entries[i]);
        }
        free(entries);
        return MIN(r, 0);
}
