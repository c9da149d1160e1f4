/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "model/row.h"

static RowWriter writer;

static int add(const char *key, Value v, int decimals) {
        return row_writer_add(&writer, key, strlen(key), &v, decimals);
}

static Value text_value(ValueType type, const char *text) {
        return (Value){ .type = type, .s = { text, strlen(text) } };
}

static void assert_written(const char *want) {
        size_t size;
        const char *text = row_writer_text(&writer, &size);

        assert_int_equal(size, strlen(want));
        assert_memory_equal(text, want, size);
}

static uint32_t assert_valid(const char *text, size_t size) {
        uint32_t points = 0;

        if (row_validate(text, size, NULL, NULL, &points) != 0)
                fail_msg("refused: %.*s", (int)size, text);
        return points;
}

/* Of what the writer wrote, which is valid. */
static uint32_t written_points(void) {
        size_t size;
        const char *text = row_writer_text(&writer, &size);

        return assert_valid(text, size);
}

/* ---- writer */

static void test_writer(_unused_ void **state) {
        row_writer_reset(&writer);
        assert_written("{}");
        assert_int_equal(add("on", (Value){ .type = VALUE_BOOL, .b = true }, -1), 0);
        assert_int_equal(add("off", (Value){ .type = VALUE_BOOL }, -1), 0);
        assert_int_equal(add("n", (Value){ .type = VALUE_INT, .i = INT64_MIN }, 0), 0);
        assert_int_equal(add("t", (Value){ .type = VALUE_DOUBLE, .d = 21.375 }, 2), 0);
        assert_int_equal(add("a \"b\"", text_value(VALUE_STRING, "x\ny"), -1), 0);
        assert_int_equal(add("j", text_value(VALUE_JSON, "{\"a\":[1,null]}"), -1), 0);
        assert_int_equal(writer.points, 6);
        assert_written("{\"on\":true,\"off\":false,\"n\":-9223372036854775808,\"t\":21.38,"
                       "\"a \\\"b\\\"\":\"x\\ny\",\"j\":{\"a\":[1,null]}}");
        assert_int_equal(written_points(), 6);
}

static void test_writer_refuses(_unused_ void **state) {
        static const char *const bad[] = { "", " ", "{", "nul", "null", " null ", "01", "{'a':1}", "1 2", "1e999", "[1,]" };
        char nested[80];

        row_writer_reset(&writer);
        assert_int_equal(add("k", (Value){ .type = VALUE_DOUBLE, .d = NAN }, -1), -ERANGE);
        assert_int_equal(add("k", (Value){ .type = VALUE_DOUBLE, .d = 0x1p63 }, -1), -ERANGE);
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(add("k", text_value(VALUE_JSON, bad[i]), -1), -EINVAL);
        assert_written("{}"); /* nothing half written */

        /* a value as deep as the row around it allows */
        memset(nested, '[', 32);
        memset(nested + 32, ']', 32);
        nested[64] = 0;
        assert_int_equal(add("k", text_value(VALUE_JSON, nested), -1), -EINVAL);
        nested[63] = 0;
        assert_int_equal(add("k", text_value(VALUE_JSON, nested + 1), -1), 0);
        assert_int_equal(written_points(), 1);
}

static void test_writer_bounds(_unused_ void **state) {
        static char big[VALUE_TEXT_MAX + 1];
        Value v = { .type = VALUE_STRING, .s = { big, VALUE_TEXT_MAX + 1 } };
        size_t size;

        memset(big, 'x', sizeof(big));
        row_writer_reset(&writer);
        assert_int_equal(add("k", v, -1), -E2BIG);
        v.s.size--;
        assert_int_equal(add("k", v, -1), 0);
        assert_int_equal(add("l", v, -1), -ENOSPC); /* 2 * 4 KiB and the rest */
        v.s.size = ROW_TEXT_MAX - strlen("{\"k\":\"\",\"l\":\"\"}") - VALUE_TEXT_MAX + 1;
        assert_int_equal(add("l", v, -1), -ENOSPC);
        v.s.size--;
        assert_int_equal(add("l", v, -1), 0);
        row_writer_text(&writer, &size);
        assert_int_equal(size, ROW_TEXT_MAX);
        assert_int_equal(written_points(), 2);
        assert_int_equal(add("m", (Value){ .type = VALUE_BOOL }, -1), -ENOSPC);

        memset(big, 1, sizeof(big)); /* each grows sixfold: no row takes that */
        v.s.size = VALUE_TEXT_MAX;
        assert_int_equal(add("n", v, -1), -E2BIG);
        row_writer_reset(&writer);
        assert_int_equal(add("n", v, -1), -E2BIG);
        assert_written("{}");

        for (int i = 0; i < ROW_KEYS_MAX; i++) {
                char key[16];

                snprintf(key, sizeof(key), "k%d", i);
                assert_int_equal(add(key, (Value){ .type = VALUE_INT, .i = i }, -1), 0);
        }
        assert_int_equal(add("one more", (Value){ .type = VALUE_INT }, -1), -ENOSPC);
        assert_int_equal(written_points(), ROW_KEYS_MAX);
}

/* ---- validator */

static void test_validate(_unused_ void **state) {
        static const struct {
                const char *text;
                uint32_t points;
        } fine[] = {
                { "{}", 0 },
                { "{ }", 0 },
                { "{\"a\":1}", 1 },
                { "{ \"a\" : 1 ,\n\t\"b\" : [ ] , \"c\" : { } }", 3 },
                { "{\"a\":-0.5e-3,\"b\":0,\"c\":-0,\"d\":1E+2}", 4 },
                { "{\"a\":{\"\":null,\"ts\":[null,true,false,\"\"]}}", 1 },
                { "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"}", 1 },
                { "{\"a\":\"\\u0000\\ud800\"}", 1 }, /* a value may: the server makes "?" of it */
                { "{\"\\u0061\\ud83c\\udf21\":1}", 1 },
                { "{\"\xd1\x82\":\"\xf0\x9f\x8c\xa1\"}", 1 },
                { "{\"a\":1e307,\"b\":1.7976931348623157e308,\"c\":0.00017e311,\"d\":0e999,\"e\":1e-999}", 5 },
                { "{\"a\":{\"<b>\":1}}", 1 },
        };
        static const char *const refused[] = {
                "", "{", "}", "[]", "1", "null", " {}", "{} ", "{}}", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
                "{\"a\":1 \"b\":2}", "{a:1}",
                "{'a':1}", "{\"a\":null}", "{\"a\":1;\"b\":2}", "{\"a\"=1}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}",
                "{\"a\":1.}", "{\"a\":-}",
                "{\"a\":1e}", "{\"a\":1e+}", "{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":0x10}", "{\"a\":True}",
                "{\"a\":tru}", "{\"a\":truee}",
                "{\"a\":\"x}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u123\"}", "{\"a\":\"\n\"}",
                "{\"a\":\"\x1f\"}", "{\"a\":\"\x80\"}",
                "{\"a\":\"\xc0\x80\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":[1,]}", "{\"a\":[}", "{\"a\":[1}",
                "{\"a\":{\"b\":1]}", "{\"a\":1/**/}",
                "{\"ts\":1}", "{\"values\":{}}", "{\"\":1}", "{\" \":1}", "{\"a<b\":1}", "{\"{{x}}\":1}",
                "{\"\\u0000\":1}", "{\"a\\n\":1}",
                "{\"\\u0074s\":1}", "{\"\\u003cb\":1}", "{\"\\ud800\":1}", "{\"\\ud800\\u0041\":1}",
                "{\"\\udc00\\ud800\":1}", "{\"\\ud83c\\udf2\":1}",
                "{\"a\":1e309}", "{\"a\":-1e309}", "{\"a\":1.7976931348623159e308}", "{\"a\":[1e400]}",
                "{\"a\":0.001e999}", "{\"a\":1e1000}",
                "{\"a\":0e1000}", "{\"a\":1e-1000}", "{\"a\":0e-99999999999999999999}", "\xef\xbb\xbf{}",
                "{\"a\":1}{\"a\":1}",
        };

        for (size_t i = 0; i < ELEMENTS(fine); i++)
                assert_int_equal(assert_valid(fine[i].text, strlen(fine[i].text)), fine[i].points);
        for (size_t i = 0; i < ELEMENTS(refused); i++) {
                uint32_t points = 77;

                if (row_validate(refused[i], strlen(refused[i]), NULL, NULL, &points) != -EBADMSG)
                        fail_msg("taken: %s", refused[i]);
                assert_int_equal(points, 77);
        }
        assert_int_equal(row_validate("{\"a\":1\0}", 8, NULL, NULL, &(uint32_t){ 0 }), -EBADMSG);
}

static void test_validate_cut_off(_unused_ void **state) {
        static const char text[] = "{\"a\":[1.5e2,{\"b\":\"\\u00e9\xe2\x82\xac\"},true,false,null]}";
        uint32_t points;

        for (size_t n = 0; n < sizeof(text) - 1; n++) {
                /* on the heap, so that a byte read too many is seen */
                _cleanup_(freep) char *copy = malloc(n + 1);

                memcpy(copy, text, n);
                assert_int_equal(row_validate(copy, n, NULL, NULL, &points), -EBADMSG);
        }
        assert_int_equal(assert_valid(text, sizeof(text) - 1), 1);
}

static void test_validate_bounds(_unused_ void **state) {
        char text[2000];
        uint32_t points;
        int n;

        for (int depth = 1; depth <= 64; depth++) {
                memcpy(text, "{\"a\":", 5);
                for (int i = 0; i < depth - 1; i++)
                        text[5 + i] = '[';
                text[5 + depth - 1] = '1';
                for (int i = 0; i < depth - 1; i++)
                        text[5 + depth + i] = ']';
                text[5 + 2 * depth - 1] = '}';
                n = 5 + 2 * depth;
                assert_int_equal(row_validate(text, (size_t)n, NULL, NULL, &points), depth <= ROW_DEPTH_MAX ? 0 : -EBADMSG);
                assert_int_equal(json_validate(text, (size_t)n), depth <= ROW_DEPTH_MAX ? 0 : -EBADMSG);
        }

        n = snprintf(text, sizeof(text), "{\"a\":%0*d}", 310, 0); /* leading zeros */
        assert_int_equal(row_validate(text, (size_t)n, NULL, NULL, &points), -EBADMSG);
        for (int digits = 300; digits < 320; digits++) {
                memset(text, '1', sizeof(text));
                memcpy(text, "{\"a\":", 5);
                text[5 + digits] = '}';
                assert_int_equal(row_validate(text, 6 + (size_t)digits, NULL, NULL, &points), digits <= 309 ? 0 : -EBADMSG);
        }

        /* a key of 255 units, each written as an escape of six bytes; and one more */
        for (int units = 255; units <= 256; units++) {
                n = snprintf(text, sizeof(text), "{\"");
                for (int i = 0; i < units; i++)
                        n += snprintf(text + n, sizeof(text) - (size_t)n, "\\u20ac");
                n += snprintf(text + n, sizeof(text) - (size_t)n, "\":1}");
                assert_int_equal(row_validate(text, (size_t)n, NULL, NULL, &points), units == 255 ? 0 : -EBADMSG);
        }
}

typedef struct Seen {
        char text[256];
        size_t stop_after, n;
} Seen;

static int on_member(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size) {
        Seen *seen = userdata;
        size_t used = strlen(seen->text);

        snprintf(seen->text + used, sizeof(seen->text) - used, "%.*s=%.*s;", (int)key_size, key, (int)value_size, value);
        return ++seen->n == seen->stop_after ? -ECANCELED : 1;
}

static void test_members(_unused_ void **state) {
        static const char text[] = "{ \"a\" : 1.50 , \"b\\\"\" : { \"x\" : [ 1 , 2 ] } ,\"c\":\"}\"}";
        Seen seen = { 0 };
        uint32_t points = 0;

        assert_int_equal(row_validate(text, sizeof(text) - 1, on_member, &seen, &points), 0);
        assert_int_equal(points, 3);
        assert_string_equal(seen.text, "a=1.50;b\\\"={ \"x\" : [ 1 , 2 ] };c=\"}\";");

        seen = (Seen){ .stop_after = 2 };
        assert_int_equal(row_validate(text, sizeof(text) - 1, on_member, &seen, &points), -ECANCELED);
        assert_int_equal(seen.n, 2);
}

static void test_json(_unused_ void **state) {
        static const char *const fine[] = { "1", " null ", "\"x\"", "[]", "{\"ts\":{}}", "[[],{\"\":0}]", "-1.5e3\n", "true" };
        static const char *const refused[] = { "", " ", "x", "1 1", "[1", "\"", "{\"a\":1,\"b\"}", "nan", "1e999",
                                               "[\"\\ud8\"]" };

        for (size_t i = 0; i < ELEMENTS(fine); i++)
                assert_int_equal(json_validate(fine[i], strlen(fine[i])), 0);
        for (size_t i = 0; i < ELEMENTS(refused); i++)
                assert_int_equal(json_validate(refused[i], strlen(refused[i])), -EBADMSG);
}

/* ---- cutter */

static void test_cut(_unused_ void **state) {
        static const char text[] = "{\"a\":1,\"b\":\"x,}\\\"\",\"c\":{\"d\":[1,2]},\"e\":[{},\"]\"] }";
        static const char *const members[] = { "\"a\":1", "\"b\":\"x,}\\\"\"", "\"c\":{\"d\":[1,2]}", "\"e\":[{},\"]\"] " };
        size_t size = sizeof(text) - 1, start, len, next, from = 0;
        uint32_t points;

        for (size_t i = 0; i < ELEMENTS(members); i++) {
                assert_int_equal(row_cut(text, size, from, 1, SIZE_MAX, &start, &len, &points, &next), 0);
                assert_int_equal(points, 1);
                assert_int_equal(len, strlen(members[i]));
                assert_memory_equal(text + start, members[i], len);
                assert_int_equal(next == size, i == ELEMENTS(members) - 1);
                from = next;
        }

        assert_int_equal(row_cut(text, size, 0, UINT32_MAX, size, &start, &len, &points, &next), 0);
        assert_int_equal(points, 4);
        assert_int_equal(next, size);
        assert_int_equal(len + 2, size);

        /* exactly the first two, one byte less, and less than the first */
        size_t two = strlen(members[0]) + 1 + strlen(members[1]) + 2;
        assert_int_equal(row_cut(text, size, 0, 4, two, &start, &len, &points, &next), 0);
        assert_int_equal(points, 2);
        assert_int_equal(len + 2, two);
        assert_int_equal(row_cut(text, size, 0, 4, two - 1, &start, &len, &points, &next), 0);
        assert_int_equal(points, 1);
        points = 77;
        assert_int_equal(row_cut(text, size, 0, 4, strlen(members[0]) + 1, &start, &len, &points, &next), -E2BIG);
        assert_int_equal(row_cut(text, size, 0, 0, size, &start, &len, &points, &next), -E2BIG);
        assert_int_equal(points, 77);

        assert_int_equal(row_cut("{ }", 3, 0, 1, 100, &start, &len, &points, &next), 0);
        assert_int_equal(points, 0);
        assert_int_equal(len, 0);
        assert_int_equal(next, 3);
}

/* ---- record */

static const Row sample_row = {
        .boottime_ns = -5, .points = 2, .flags = ROW_STRICT, .device = "pump", .device_size = 4,
        .text = "{\"a\":1,\"b\":2}", .text_size = 13,
};

static void test_record(_unused_ void **state) {
        uint8_t bytes[256];
        const uint8_t *p = bytes;
        Row second = sample_row, row;
        size_t size;

        second.device = "";
        second.device_size = 0;
        second.flags = ROW_IMMEDIATE;
        second.boottime_ns = INT64_MAX;
        size = row_encode(bytes, &sample_row);
        assert_int_equal(size, row_encoded_size(&sample_row));
        size += row_encode(bytes + size, &second);

        assert_int_equal(row_decode(&p, &size, &row), 0);
        assert_int_equal(row.boottime_ns, -5);
        assert_int_equal(row.points, 2);
        assert_int_equal(row.flags, ROW_STRICT);
        assert_int_equal(row.device_size, 4);
        assert_memory_equal(row.device, "pump", 4);
        assert_int_equal(row.text_size, 13);
        assert_memory_equal(row.text, sample_row.text, 13);

        assert_int_equal(row_decode(&p, &size, &row), 0);
        assert_true(row.boottime_ns == INT64_MAX);
        assert_int_equal(row.flags, ROW_IMMEDIATE);
        assert_int_equal(row.device_size, 0);
        assert_int_equal(size, 0);
        assert_int_equal(row_decode(&p, &size, &row), -EBADMSG);
}

static void test_record_lies(_unused_ void **state) {
        uint8_t good[256], bytes[256];
        size_t n = row_encode(good, &sample_row);
        const struct {
                size_t at;
                uint8_t value;
        } lies[] = {
                { 0, 14 },   /* text longer than what is there */
                { 0, 1 },    /* shorter than {} */
                { 1, 0x20 }, /* longer than ROW_TEXT_MAX */
                { 1, 0xff },
                { 2, 255 },  /* device */
                { 3, ROW_GAP }, /* the daemon's own */
                { 3, ROW_ESTIMATED },
                { 3, ROW_STRICT | ROW_ESTIMATED },
                { 3, 0x10 }, /* unknown */
                { 3, 0x80 },
                { 4, 0 },    /* no point */
                { 4, 65 },   /* too many */
                { 7, 0xff },
        };
        Row row = { .points = 77 };

        for (size_t cut = 0; cut < n; cut++) {
                const uint8_t *p = good;
                size_t size = cut;

                assert_int_equal(row_decode(&p, &size, &row), -EBADMSG);
                assert_ptr_equal(p, good);
                assert_int_equal(size, cut);
        }
        for (size_t i = 0; i < ELEMENTS(lies); i++) {
                const uint8_t *p = bytes;
                size_t size = n;

                memcpy(bytes, good, n);
                bytes[lies[i].at] = lies[i].value;
                assert_int_equal(row_decode(&p, &size, &row), -EBADMSG);
        }
        assert_int_equal(row.points, 77);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_writer),
                cmocka_unit_test(test_writer_refuses),
                cmocka_unit_test(test_writer_bounds),
                cmocka_unit_test(test_validate),
                cmocka_unit_test(test_validate_cut_off),
                cmocka_unit_test(test_validate_bounds),
                cmocka_unit_test(test_members),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_record),
                cmocka_unit_test(test_record_lies),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
