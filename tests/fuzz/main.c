/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libFuzzer: hands every file of the corpus to the harness once and prints a TAP line for
 * each. Arguments are files or folders; without any, tests/fuzz/corpus/NAME of the source tree, where the
 * program is called fuzz-NAME. A harness that finds fault aborts, which the missing plan tells. */
#include <dirent.h>
#include <stdio.h>

#include "base/file.h"

#define INPUT_MAX (4 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_done, n_failed;

static void replay_file(const char *path) {
        _cleanup_(freep) char *data = NULL;
        _cleanup_(freep) uint8_t *exact = NULL;
        size_t size;
        int r = file_read(path, INPUT_MAX, &data, &size);

        if (r == 0) {
                exact = malloc(MAX(size, (size_t)1)); /* not a byte more, so that reading one too many is seen */
                if (!exact)
                        abort();
                memcpy(exact, data, size);
                r = LLVMFuzzerTestOneInput(exact, size);
        }
        n_done++;
        n_failed += r != 0;
        printf("%sok %u - %s\n", r == 0 ? "" : "not ", n_done, path);
        fflush(stdout);
}

static int is_visible(const struct dirent *e) {
        return e->d_name[0] != '.';
}

static void replay(const char *path) {
        struct dirent **entries;
        int n = scandir(path, &entries, is_visible, alphasort);

        if (n < 0) {
                replay_file(path);
                return;
        }
        for (int i = 0; i < n; i++) {
                char file[4096];

                snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
                replay_file(file);
                free(entries[i]);
        }
        free(entries);
}

int main(int argc, char *argv[]) {
        const char *name = strstr(program_invocation_short_name, "fuzz-"), *tree = getenv("TBAGENT_SRCDIR");
        char path[4096];

        for (int i = 1; i < argc; i++)
                replay(argv[i]);
        if (argc < 2 && name) {
                snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", tree ? tree : ".", name + strlen("fuzz-"));
                replay(path);
        }
        printf("1..%u\n", n_done);
        return n_done == 0 || n_failed > 0;
}
