/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tb/topic.h"

static void test_build(void **state) {
        char out[TOPIC_TEXT_MAX];

        (void)state;
        assert_string_equal(topic_build(TOPIC_TELEMETRY, 7, out), "v1/devices/me/telemetry");
        assert_string_equal(topic_build(TOPIC_RPC_RESPONSE, 0, out), "v1/devices/me/rpc/response/0");
        assert_string_equal(topic_build(TOPIC_ATTRIBUTES_RESPONSE, UINT32_MAX, out),
                            "v1/devices/me/attributes/response/4294967295");
        assert_string_equal(topic_filter(TOPIC_RPC_REQUEST), "v1/devices/me/rpc/request/+");
        assert_string_equal(topic_filter(TOPIC_ATTRIBUTES), "v1/devices/me/attributes");
        assert_true(topic_has_id(TOPIC_ATTRIBUTES_REQUEST));
        assert_false(topic_has_id(TOPIC_CLAIM));
}

static void test_round_trip(void **state) {
        static const uint32_t ids[] = { 0, 1, 65536, TOPIC_ID_MAX };
        char out[TOPIC_TEXT_MAX];

        (void)state;
        for (TopicKind kind = 0; kind < _TOPIC_MAX; kind++)
                for (size_t i = 0; i < ELEMENTS(ids); i++) {
                        uint32_t id = 99;

                        assert_int_equal(topic_parse(topic_build(kind, ids[i], out), &id), kind);
                        assert_int_equal(id, topic_has_id(kind) ? ids[i] : 0);
                }
}

static void test_foreign(void **state) {
        static const char *const bad[] = {
                "", "v1", "v1/devices/me/telemetry/", "v1/devices/me/attributes/response/", "/v1/devices/me/attributes",
                "v1/devices/me/rpc/request/-1", "v1/devices/me/rpc/request/+", "v1/devices/me/rpc/request/1/2",
                "v1/devices/me/rpc/request/2147483648", "v1/devices/me/rpc/request/99999999999999999999999",
                "v1/devices/me/rpc/request/ 1", "v1/devices/me/rpc/request/0x1", "V1/devices/me/attributes",
                "v1/gateway/rpc", "v2/a",
        };
        uint32_t id = 5;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(topic_parse(bad[i], &id), _TOPIC_INVALID);
        assert_int_equal(id, 5);
        assert_int_equal(topic_parse("v1/devices/me/rpc/request/007", &id), TOPIC_RPC_REQUEST);
        assert_int_equal(id, 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_build),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_foreign),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
