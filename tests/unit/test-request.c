/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/json.h"
#include "tb/request.h"

static RequestError error;

static int parse_bytes(const char *text, size_t size, Request *ret) {
        _cleanup_(freep) char *exact = malloc(size > 0 ? size : 1);

        assert_non_null(exact);
        memcpy(exact, text, size);
        error = (RequestError){ 0 };
        return request_parse(exact, size, ret, &error);
}

static Request parse(const char *text) {
        Request r = { 0 };

        if (parse_bytes(text, strlen(text), &r) < 0)
                fail_msg("refused (%s): %s", error.message, text);
        return r;
}

static void refused_bytes(const char *text, size_t size, const char *code) {
        Request r = { .hash = 77 };

        if (parse_bytes(text, size, &r) != -EBADMSG)
                fail_msg("taken: %.100s", text);
        assert_string_equal(error.code, code);
        assert_non_null(error.message);
        assert_null(r.method);
        assert_int_equal(r.hash, 77);
}

static void refused(const char *text) {
        refused_bytes(text, strlen(text), "bad_request");
}

/* ---- what is taken */

static void params_may_be_anything(void **state _unused_) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "null", "null" }, { "true", "true" }, { "false", "false" }, { "0", "0" },
                { "9223372036854775807", "9223372036854775807" }, { "1.50", "1.50" }, { "\"on\"", "\"on\"" }, { "\"\"", "\"\"" },
                { "[ ]", "[]" }, { "{ }", "{}" }, { "[1,\"a\",null,{\"b\":[]}]", "[1,\"a\",null,{\"b\":[]}]" },
                { "{\"pin\": 7, \"enabled\": true}", "{\"pin\":7,\"enabled\":true}" },
                { "\"{\\\"pin\\\":1}\"", "\"{\\\"pin\\\":1}\"" }, { "\"\\u0000\"", "\"\\u0000\"" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(request_done) Request r = { 0 };
                char text[200];

                snprintf(text, sizeof(text), "{\"method\":\"m\",\"params\":%s}", cases[i].in);
                r = parse(text);
                assert_string_equal(r.method, "m");
                assert_string_equal(r.params, cases[i].out);
                assert_int_equal(json_validate(r.params, strlen(r.params)), 0);
        }
}

static void missing_params_are_null(void **state _unused_) {
        _cleanup_(request_done) Request a = parse("{\"method\":\"m\"}"), b = parse(" {\"params\" : null , \"method\" : \"m\" } ");

        assert_string_equal(a.params, "null");
        assert_string_equal(b.params, "null");
        assert_int_equal(a.hash, b.hash);
        assert_int_equal(a.expires_ms, 0);
}

static void other_members_are_left_aside(void **state _unused_) {
        _cleanup_(request_done) Request a = parse("{\"method\":\"m\",\"params\":1,\"id\":5,\"timeout\":[{}]}"),
        b = parse("{\"method\":\"m\",\"params\":1}");

        assert_int_equal(a.hash, b.hash);
}

/* ---- what is refused */

static void what_is_no_request_is_refused(void **state _unused_) {
        static const char *const bad[] = {
                "", " ", "null", "true", "5", "\"m\"", "[]", "{}", "[{\"method\":\"m\"}]", "{\"method\":\"m\"",
                "{\"method\":\"m\"}x", "{\"method\":\"m\",}",
                "{\"params\":1}", "{\"method\":null}", "{\"method\":5}", "{\"method\":true}", "{\"method\":[\"m\"]}",
                "{\"method\":{}}", "{\"method\":\"\"}",
                "{\"method\":\"a\\u0000b\"}", "{\"method\":\"\\u0000\"}", "{\"Method\":\"m\"}", "{\"method\\u0000\":\"m\"}",
                "{\"method\":\"m\",\"params\":1e400}", "{\"method\":\"m\",\"params\":[18446744073709551616]}",
                "{\"method\":\"m\",\"params\":NaN}", "{\"method\":\"m\",\"params\":[1,]}", "{method:\"m\"}",
                "{\"method\":\"\xff\"}", "{\"method\":\"m\",\"params\":\"\xc0\xaf\"}",
                "{\"method\":\"m\",\"params\":{\"\xed\xa0\x80\":1}}",
                "\xef\xbb\xbf{\"method\":\"m\"}",
        };

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                refused(bad[i]);
        refused_bytes("{\"method\":\"m\"}\0", 15, "bad_request");
}

static void a_null_body_is_too_large(void **state _unused_) {
        Request r;

        assert_int_equal(request_parse(NULL, MIB, &r, &error), -EBADMSG);
        assert_string_equal(error.code, "too_large");
        assert_int_equal(request_parse(NULL, 0, &r, &error), -EBADMSG);
}

static void the_methods_length_is_bounded(void **state _unused_) {
        char text[REQUEST_METHOD_MAX + 64];

        for (size_t size = REQUEST_METHOD_MAX; size <= REQUEST_METHOD_MAX + 1; size++) {
                char name[REQUEST_METHOD_MAX + 2];
                _cleanup_(request_done) Request r = { 0 };

                memset(name, 'x', size);
                name[size] = '\0';
                snprintf(text, sizeof(text), "{\"method\":\"%s\"}", name);
                if (size > REQUEST_METHOD_MAX) {
                        refused(text);
                        continue;
                }
                r = parse(text);
                assert_string_equal(r.method, name);
        }
}

static void depth_is_bounded(void **state _unused_) {
        for (unsigned depth = JSON_DEPTH_MAX - 2; depth <= 10000; depth = depth < JSON_DEPTH_MAX + 2 ? depth + 1 : 10 * depth)
                for (int kind = 0; kind < 2; kind++) {
                        _cleanup_(request_done) Request r = { 0 };
                        _cleanup_(freep) char *text = NULL;
                        size_t size;
                        FILE *f = open_memstream(&text, &size);

                        fputs("{\"method\":\"m\",\"params\":", f);
                        for (unsigned i = 0; i < depth; i++)
                                fputs(kind ? "[" : "{\"a\":", f);
                        fputs("1", f);
                        for (unsigned i = 0; i < depth; i++)
                                fputs(kind ? "]" : "}", f);
                        fputs("}", f);
                        fclose(f);
                        if (depth < JSON_DEPTH_MAX) /* the request itself is a level */
                                r = parse(text);
                        else
                                refused(text);
                }
}

/* ---- names that stand twice */

static void double_names_are_refused_at_every_level(void **state _unused_) {
        static const char *const bad[] = {
                "{\"method\":\"a\",\"method\":\"b\"}", "{\"method\":\"a\",\"method\":\"a\"}",
                "{\"method\":\"a\",\"params\":1,\"params\":2}", "{\"method\":\"a\",\"m\\u0065thod\":\"b\"}",
                "{\"method\":\"a\",\"params\":{\"pin\":1,\"pin\":2}}",
                "{\"method\":\"a\",\"params\":{\"pin\":1,\"p\\u0069n\":2}}",
                "{\"method\":\"a\",\"params\":{\"\xc3\xa9\":1,\"\\u00e9\":2}}",
                "{\"method\":\"a\",\"params\":[[{\"x\":{\"y\":1,\"z\":[],\"y\":1}}]]}",
                "{\"method\":\"a\",\"params\":{\"\":1,\"\":2}}", "{\"x\":{\"a\":1,\"b\":{}},\"method\":\"a\",\"x\":{\"c\":1}}",
                "{\"x\":null,\"method\":\"a\",\"x\":{\"c\":1,\"d\":2}}", "{\"method\":\"a\",\"params\":{\"a/b\":1,\"a\\/b\":2}}",
        };

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                refused(bad[i]);
}

static void the_same_name_in_different_objects_is_fine(void **state _unused_) {
        static const char *const good[] = {
                "{\"method\":\"a\",\"params\":{\"method\":\"b\",\"params\":{\"method\":1}}}",
                "{\"method\":\"a\",\"params\":[{\"x\":1},{\"x\":1}]}",
                "{\"method\":\"a\",\"params\":{\"a\":{\"b\":1},\"b\":{\"a\":1},\"A\":0,\"a \":0}}",
                "{\"method\":\"a\",\"params\":[\"method\",\"method\",\":\"]}",
        };

        for (size_t i = 0; i < ELEMENTS(good); i++) {
                _cleanup_(request_done) Request r = parse(good[i]);

                assert_string_equal(r.method, "a");
        }
}

static void one_double_name_among_many_is_found(void **state _unused_) {
        for (unsigned twice = 0; twice < 2; twice++)
                for (unsigned n = 1; n <= 4096; n *= 8) {
                        _cleanup_(request_done) Request r = { 0 };
                        _cleanup_(freep) char *text = NULL;
                        size_t size;
                        FILE *f = open_memstream(&text, &size);

                        fputs("{\"method\":\"m\",\"params\":{", f);
                        for (unsigned i = 0; i < n; i++)
                                fprintf(f, "\"k%u\":%u,", i * 2654435761u % 65536, i);
                        fprintf(f, "\"%s\":0}}", twice ? "k0" : "last");
                        fclose(f);
                        if (twice)
                                refused(text);
                        else
                                r = parse(text);
                }
}

/* ---- expires */

static void expires_is_a_number_of_milliseconds(void **state _unused_) {
        static const struct {
                const char *params;
                int64_t expires;
        } cases[] = {
                { "{\"expires\":1700000000000}", 1700000000000 }, { "{\"pin\":1,\"expires\":1.7E12}", 1700000000000 },
                { "{\"expires\":1700000000000.75}", 1700000000000 }, { "{\"expires\":\"1700000000000\"}", 0 },
                { "{\"expires\":null}", 0 }, { "{\"expires\":true}", 0 }, { "{\"expires\":{\"expires\":5}}", 0 },
                { "{\"a\":{\"expires\":5}}", 0 }, { "{}", 0 }, { "5", 0 }, { "[1700000000000]", 0 }, { "{\"expires\":0}", 0 },
                { "{\"expires\":-5}", -5 }, { "{\"expires\":1e300}", INT64_MAX },
                { "{\"expires\":18446744073709551615}", INT64_MAX }, { "{\"expires\":9223372036854775807}", INT64_MAX },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(request_done) Request r = { 0 };
                char text[200];

                snprintf(text, sizeof(text), "{\"method\":\"m\",\"params\":%s}", cases[i].params);
                r = parse(text);
                assert_int_equal(r.expires_ms, cases[i].expires);
        }
}

/* ---- hash */

static void the_hash_is_of_method_and_params(void **state _unused_) {
        static const char *const same[] = {
                "{\"method\":\"set\",\"params\":{\"a\":1,\"b\":[true]}}",
                " { \"params\" : { \"a\":1, \"b\":[ true ] }, \"method\":\"set\" } ",
                "{\"method\":\"s\\u0065t\",\"params\":{\"\\u0061\":1,\"b\":[true]},\"other\":1}",
        };
        static const char *const others[] = {
                "{\"method\":\"set\",\"params\":{\"a\":1,\"b\":[false]}}",
                "{\"method\":\"set\",\"params\":{\"a\":2,\"b\":[true]}}", "{\"method\":\"set\"}",
                "{\"method\":\"Set\",\"params\":{\"a\":1,\"b\":[true]}}",
                "{\"method\":\"set{\",\"params\":{\"a\":1,\"b\":[true]}}",
                "{\"method\":\"set\",\"params\":\"{\\\"a\\\":1,\\\"b\\\":[true]}\"}", "{\"method\":\"null\",\"params\":\"set\"}",
                "{\"method\":\"set\",\"params\":1}",
                "{\"method\":\"set\",\"params\":1.0}", "{\"method\":\"set\",\"params\":\"1\"}",
                "{\"method\":\"set\",\"params\":[1]}",
        };
        uint64_t hashes[1 + ELEMENTS(others)];

        for (size_t i = 0; i < ELEMENTS(same); i++) {
                _cleanup_(request_done) Request r = parse(same[i]);

                hashes[0] = i == 0 ? r.hash : hashes[0];
                assert_int_equal(r.hash, hashes[0]);
        }
        for (size_t i = 0; i < ELEMENTS(others); i++) {
                _cleanup_(request_done) Request r = parse(others[i]);

                hashes[i + 1] = r.hash;
                for (size_t k = 0; k <= i; k++)
                        if (hashes[k] == r.hash)
                                fail_msg("%s has the hash of another", others[i]);
        }
}

/* ---- params as the method wants them */

static void wrapped_params_are_unwrapped(void **state _unused_) {
        static const struct {
                const char *in, *out; /* where no text is wanted */
        } cases[] = {
                { "null", "null" }, { "true", "true" }, { "5", "5" }, { "{\"a\":\"1\"}", "{\"a\":\"1\"}" },
                { "[\"5\"]", "[\"5\"]" }, { "\"true\"", "true" }, { "\"5\"", "5" }, { "\" 1.50 \"", "1.50" },
                { "\"null\"", "null" }, { "\"{}\"", "{}" }, { "\"{\\\"pin\\\": 7}\"", "{\"pin\":7}" }, { "\"[1, 2]\"", "[1,2]" },
                { "\"on\"", "\"on\"" }, { "\"\"", "\"\"" }, { "\" \"", "\" \"" }, { "\"007\"", "\"007\"" },
                { "\"1.2.3\"", "\"1.2.3\"" }, { "\"{pin:7}\"", "\"{pin:7}\"" }, { "\"1e400\"", "\"1e400\"" },
                { "\"\\\"on\\\"\"", "\"\\\"on\\\"\"" }, { "\"\\\"{}\\\"\"", "\"\\\"{}\\\"\"" },
                { "\"5\\u0000\"", "\"5\\u0000\"" }, { "\"[\\\"\\\\u0000\\\"]\"", "[\"\\u0000\"]" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(freep) char *plain = request_params(cases[i].in, false), *text = request_params(cases[i].in, true);

                assert_string_equal(plain, cases[i].out);
                assert_string_equal(text, cases[i].in);
                assert_int_equal(json_validate(plain, strlen(plain)), 0);
        }
}

static void errors_are_json(void **state _unused_) {
        _cleanup_(freep) char *a = request_error("busy", "too many"), *b = request_error("c\"ode", "\xff \"quoted\"\n"),
        *c = request_error("", "");

        assert_string_equal(a, "{\"error\":{\"code\":\"busy\",\"message\":\"too many\"}}");
        assert_string_equal(b, "{\"error\":{\"code\":\"c\\\"ode\",\"message\":\"\xef\xbf\xbd \\\"quoted\\\"\\n\"}}");
        assert_string_equal(c, "{\"error\":{\"code\":\"\",\"message\":\"\"}}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(params_may_be_anything),
                cmocka_unit_test(missing_params_are_null),
                cmocka_unit_test(other_members_are_left_aside),
                cmocka_unit_test(what_is_no_request_is_refused),
                cmocka_unit_test(a_null_body_is_too_large),
                cmocka_unit_test(the_methods_length_is_bounded),
                cmocka_unit_test(depth_is_bounded),
                cmocka_unit_test(double_names_are_refused_at_every_level),
                cmocka_unit_test(the_same_name_in_different_objects_is_fine),
                cmocka_unit_test(one_double_name_among_many_is_found),
                cmocka_unit_test(expires_is_a_number_of_milliseconds),
                cmocka_unit_test(the_hash_is_of_method_and_params),
                cmocka_unit_test(wrapped_params_are_unwrapped),
                cmocka_unit_test(errors_are_json),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
