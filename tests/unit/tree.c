/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tree.h"

char *tree_new(void) {
        char root[] = "/tmp/tbagent-test-XXXXXX";

        assert_non_null(mkdtemp(root));
        return strdup(root);
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *at) {
        (void)st;
        (void)type;
        (void)at;
        return remove(path);
}

static void remove_all(const char *path) {
        nftw(path, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

char *tree_free(char *root) {
        if (root)
                remove_all(root);
        free(root);
        return NULL;
}

void tree_put(const char *root, const char *path, const char *content) {
        char full[512];
        FILE *f;

        assert_true(snprintf(full, sizeof(full), "%s/%s", root, path) < (int)sizeof(full));
        if (!content) {
                remove_all(full);
                return;
        }
        for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = 0;
                mkdir(full, 0755);
                *slash = '/';
        }
        f = fopen(full, "we");
        assert_non_null(f);
        assert_true(fputs(content, f) >= 0);
        assert_int_equal(fclose(f), 0);
}
