/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>

#include "agent/board.h"
#include "base/file.h"

/* Visible characters alone, from a file that may end with NUL. */
static void read_text(const char *folder, const char *name, char *out, size_t size) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        size_t n = 0;

        out[0] = '\0';
        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return;
        }
        if (file_read(path, 512, &text, NULL) < 0)
                return;
        for (const char *p = text; *p && n + 1 < size; p++)
                if (isprint((unsigned char)*p))
                        out[n++] = *p;
        out[n] = '\0';
}

void board_read(Board *ret, const char *tree, const char *state_dir) {
        *ret = (Board){ 0 };
        identity_get(state_dir, ret->digits);
        read_text(tree, "serial-number", ret->serial, sizeof(ret->serial));
        read_text(tree, "model", ret->model, sizeof(ret->model));
        if (strspn(ret->serial, "0") == strlen(ret->serial)) /* a board that was not given one */
                ret->serial[0] = '\0';
}

const char *board_serial(const Board *b) {
        return b->serial[0] ? b->serial : b->digits;
}

static void write_filled(FILE *f, const Board *b, char what, const char *host) {
        switch (what) {
        case 's':
                fputs(board_serial(b), f);
                break;
        case 'm':
                fputs(b->digits, f);
                break;
        case 'M':
                fputs(b->model[0] ? b->model : host, f);
                break;
        case 'H':
                fputs(host, f);
                break;
        case 'v':
                fputs(PACKAGE_VERSION, f);
                break;
        case '%':
                fputc('%', f);
                break;
        default:
                fprintf(f, "%%%c", what);
        }
}

char *board_text(const Board *b, const char *text) {
        char host[256] = "", *out = NULL;
        size_t size;
        FILE *f = open_memstream(&out, &size);

        if (!f)
                return NULL;
        (void)gethostname(host, sizeof(host) - 1);
        for (const char *p = text; *p; p++)
                if (*p == '%' && p[1])
                        write_filled(f, b, *++p, host);
                else
                        fputc(*p, f);
        if (fclose(f) == 0)
                return out;
        free(out);
        return NULL;
}
