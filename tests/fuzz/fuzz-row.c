/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses: a row's text, or records. A valid row stays valid in whatever pieces it is cut, and
 * the pieces are the whole; no number in it is beyond a double. A record that was taken encodes to the same bytes. */
#include <assert.h>
#include <math.h>

#include "model/row.h"

static int on_member(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size) {
        char number[4096];

        assert(key[-1] == '"' && key[key_size] == '"' && value > key + key_size && value_size > 0);
        assert(json_validate(value, value_size) == 0);
        if ((*value == '-' || (*value >= '0' && *value <= '9')) && value_size < sizeof(number)) {
                memcpy(number, value, value_size);
                number[value_size] = 0;
                assert(isfinite(strtod(number, NULL)));
        }
        ++*(uint32_t *)userdata;
        return 0;
}

/* As an object of its own. */
static void check_piece(const char *members, size_t len, uint32_t points) {
        char *object = malloc(len + 2);
        uint32_t again = 0;

        if (!object)
                abort();
        object[0] = '{';
        memcpy(object + 1, members, len);
        object[len + 1] = '}';
        assert(row_validate(object, len + 2, NULL, NULL, &again) == 0 && again == points);
        free(object);
}

static void check_cut(const char *text, size_t size, uint32_t points, uint32_t max_points, size_t max_size) {
        size_t from = 0, start, len, next, at = 1;
        uint32_t n;

        do {
                bool forced = row_cut(text, size, from, max_points, max_size, &start, &len, &n, &next) < 0;

                if (forced) /* one member that is too large: alone */
                        assert(row_cut(text, size, from, 1, SIZE_MAX, &start, &len, &n, &next) == 0);
                else
                        assert(n <= max_points && (n == 0 || len + 2 <= max_size));
                assert(start == at && len <= size - start - 1 && next > from);
                check_piece(text + start, len, n);
                at = start + len + 1; /* behind the comma */
                assert(n <= points);
                points -= n;
                from = next;
        } while (from < size);
        assert(points == 0 && from == size && (at == size || text[1] != '"'));
}

static void fuzz_text(const char *text, size_t size) {
        uint32_t points, told = 0;

        if (row_validate(text, size, on_member, &told, &points) < 0)
                return;
        assert(told == points);
        assert(json_validate(text, size) == 0);
        check_cut(text, size, points, UINT32_MAX, SIZE_MAX);
        check_cut(text, size, points, 1, SIZE_MAX);
        check_cut(text, size, points, 3, size / 2);
        check_cut(text, size, points, UINT32_MAX, size > 2 ? size - 1 : 2);
        check_cut(text, size, points, UINT32_MAX, 20);
}

/* Valid JSON makes a valid row, where it is not null and not too large or too deep for one. */
static void fuzz_json(const char *text, size_t size) {
        static RowWriter writer;
        Value v = { .type = VALUE_JSON, .s = { text, size } };
        bool valid = json_validate(text, size) == 0;
        uint32_t points;
        int r;

        row_writer_reset(&writer);
        r = row_writer_add(&writer, "key", 3, &v, -1);
        assert(r == 0 || r == -EINVAL || (r == -E2BIG && size > VALUE_TEXT_MAX));
        assert(r < 0 || valid);
        text = row_writer_text(&writer, &size);
        assert(row_validate(text, size, NULL, NULL, &points) == 0 && points == (r == 0));
}

static void fuzz_records(const uint8_t *data, size_t size) {
        static uint8_t again[ROW_TEXT_MAX + ROW_DEVICE_MAX + 64];
        Row row;

        for (const uint8_t *from = data; row_decode(&data, &size, &row) == 0; from = data) {
                assert(row_encoded_size(&row) == (size_t)(data - from));
                assert(row_encode(again, &row) == (size_t)(data - from));
                assert(memcmp(again, from, (size_t)(data - from)) == 0);
                fuzz_text(row.text, row.text_size);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        if (data[0] == 'R')
                fuzz_records(data + 1, size - 1);
        else {
                fuzz_json((const char *)data + 1, size - 1);
                fuzz_text((const char *)data + 1, size - 1);
        }
        return 0;
}
