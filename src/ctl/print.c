/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/print.h"

#define FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* C0, DEL, and C1 as UTF-8 has it: a terminal takes them for commands. Returns the bytes that stand for one; 0: none. */
static size_t control(const char *p, size_t size) {
        unsigned char c = (unsigned char)p[0];

        if (c < 0x20 || c == 0x7f)
                return 1;
        return c == 0xc2 && size > 1 && (unsigned char)p[1] >= 0x80 && (unsigned char)p[1] < 0xa0 ? 2 : 0;
}

static void put(FILE *f, const char *text, size_t size, bool lines) {
        for (size_t i = 0; i < size;) {
                size_t n = lines && text[i] == '\n' ? 0 : control(text + i, size - i);

                fputc(n > 0 ? ' ' : text[i], f);
                i += n > 0 ? n : 1;
        }
}

void print_text(FILE *f, const char *text) {
        put(f, text, strlen(text), false);
}

static const char *text_of(json_object *o, int flags, size_t *ret_size) {
        if (json_object_is_type(o, json_type_string)) {
                *ret_size = (size_t)json_object_get_string_len(o);
                return json_object_get_string(o);
        }
        return json_object_to_json_string_length(o, flags, ret_size);
}

void print_value(FILE *f, json_object *o) {
        size_t size;
        const char *text = text_of(o, FLAGS, &size);

        put(f, text, size, false);
}

void print_answer(FILE *f, json_object *o) {
        size_t size;
        const char *text = text_of(o, FLAGS | JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED, &size);

        put(f, text, size, !json_object_is_type(o, json_type_string));
        fputc('\n', f);
}

/* ---- tables */

static json_object *cell(json_object *row, const Column *c) {
        json_object *o = NULL;

        json_object_object_get_ex(row, c->member, &o);
        return o;
}

static size_t cell_width(json_object *row, const Column *c) {
        json_object *o = cell(row, c);
        size_t size = 0;

        if (o)
                (void)text_of(o, FLAGS, &size);
        return size;
}

static size_t column_width(json_object *array, const Column *c) {
        size_t width = 0;

        for (size_t i = 0; i < json_object_array_length(array); i++)
                width = MAX(width, cell_width(json_object_array_get_idx(array, i), c));
        return width > 0 ? MAX(width, strlen(c->head)) : 0;
}

/* Numbers stand to the right. */
static void put_cell(FILE *f, json_object *row, const Column *c, size_t width, bool first) {
        json_object *o = row ? cell(row, c) : NULL;
        size_t fill = width - (row ? cell_width(row, c) : strlen(c->head));
        bool right = json_object_is_type(o, json_type_int);

        fprintf(f, "%s%*s", first ? "" : "  ", right ? (int)fill : 0, "");
        if (!row)
                fputs(c->head, f);
        else if (o)
                print_value(f, o);
        if (!right)
                fprintf(f, "%*s", (int)fill, "");
}

static void put_row(FILE *f, json_object *row, const Column *columns, const size_t *widths, size_t n) {
        char *line = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&line, &size);
        bool first = true;

        if (!to)
                return;
        for (size_t i = 0; i < n; i++)
                if (widths[i] > 0) {
                        put_cell(to, row, &columns[i], widths[i], first);
                        first = false;
                }
        if (fclose(to) == 0) {
                while (size > 0 && line[size - 1] == ' ')
                        size--;
                fprintf(f, "%.*s\n", (int)size, line);
        }
        free(line);
}

void print_table(FILE *f, json_object *array, const Column *columns, size_t n) {
        size_t widths[16] = { 0 };

        n = MIN(n, ELEMENTS(widths));
        if (!json_object_is_type(array, json_type_array) || json_object_array_length(array) == 0)
                return;
        for (size_t i = 0; i < n; i++)
                widths[i] = column_width(array, &columns[i]);
        put_row(f, NULL, columns, widths, n);
        for (size_t i = 0; i < json_object_array_length(array); i++)
                put_row(f, json_object_array_get_idx(array, i), columns, widths, n);
}
