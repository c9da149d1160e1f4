/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for a device: with the stand-in ThingsBoard server, and with one that does on purpose what that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "mqtt-fake.h"
#include "standin.h"
#include "tb/provision.h"
#include "tb/tree.h"

static Standin server;

typedef struct Test {
        Loop *loop;
        Provision *p;
        unsigned done;
        bool free_inside;
        ProvisionResult result;
        bool given;
        ProvisionType type;
        char token[128], client_id[64], username[64], password[64], certificate[256], text[512];
} Test;

static Test test;

static void keep(char *to, size_t size, const char *text) {
        snprintf(to, size, "%s", text ? text : "-");
}

static void on_done(void *userdata, ProvisionResult result, const ProvisionCredentials *c, const char *text) {
        Test *t = userdata;

        t->done++;
        t->result = result;
        t->given = c;
        assert_int_equal(c != NULL, result == PROVISION_GRANTED);
        keep(t->text, sizeof(t->text), text);
        if (c) {
                t->type = c->type;
                keep(t->token, sizeof(t->token), c->token);
                keep(t->client_id, sizeof(t->client_id), c->client_id);
                keep(t->username, sizeof(t->username), c->username);
                keep(t->password, sizeof(t->password), c->password);
                keep(t->certificate, sizeof(t->certificate), c->certificate);
        }
        if (t->free_inside)
                t->p = provision_free(t->p);
}

static ProvisionParams params(const char *url) {
        return (ProvisionParams){
                .session = { .loop = test.loop, .url = url, .client_id = "tbagent-test", .keepalive = 10 * USEC_PER_SEC,
                             .backoff_min = 1, .backoff_max = 1,
                             .ack_timeout = 2 * USEC_PER_SEC },
                .key = "KEY", .secret = "SECRET", .name = "new", .done = on_done, .userdata = &test,
        };
}

static void ask(const ProvisionParams *p) {
        test.done = 0;
        assert_int_equal(provision_new(&test.p, p), 0);
        run_until(test.loop, test.done > 0);
        assert_int_equal(test.done, 1);
        if (!test.free_inside)
                test.p = provision_free(test.p);
}

static int setup(void **state _unused_) {
        test = (Test){ 0 };
        return loop_new(&test.loop);
}

static int teardown(void **state _unused_) {
        test.loop = loop_free(test.loop);
        return 0;
}

/* ---- with the server */

/* A profile of that kind, and a device of it. */
static void create_known(const char *json) {
        json_object *profile = standin_call(&server, "/api/deviceProfile", json), *id;
        char text[300];

        assert_true(json_object_object_get_ex(profile, "id", &id));
        snprintf(text, sizeof(text), "{\"name\":\"known\",\"deviceProfileId\":%s}", json_object_to_json_string(id));
        standin_do(&server, "/api/device?accessToken=KNOWN", text);
        json_object_put(profile);
}

static int start_server(void **state _unused_) {
        standin_start(&server);
        standin_do(&server, "/api/deviceProfile",
                   "{\"name\":\"p\",\"provisionType\":\"ALLOW_CREATE_NEW_DEVICES\",\"provisionDeviceKey\":\"KEY\","
                   "\"profileData\":"
                                                  "{\"provisionConfiguration\":{\"provisionDeviceSecret\":\"SECRET\"}}}");
        create_known("{\"name\":\"q\",\"provisionType\":\"CHECK_PRE_PROVISIONED_DEVICES\",\"provisionDeviceKey\":\"PRE\","
                     "\"profileData\":{\"provisionConfiguration\":{\"provisionDeviceSecret\":\"SECRET\"}}}");
        return 0;
}

static int stop_server(void **state _unused_) {
        standin_stop(&server);
        return 0;
}

static void a_token_is_granted(void **state _unused_) {
        for (int protocol = 4; protocol <= 5; protocol++) {
                ProvisionParams p = params(server.url);

                p.session.protocol = protocol;
                p.name = protocol == 4 ? "with \"quotes\" \xc3\xa9" : "plain";
                p.credentials = (ProvisionCredentials){ .type = PROVISION_TOKEN, .token = protocol == 4 ? "TOKEN4" : "TOKEN5" };
                test.free_inside = protocol == 4;
                ask(&p);
                assert_int_equal(test.result, PROVISION_GRANTED);
                assert_int_equal(test.type, PROVISION_TOKEN);
                assert_string_equal(test.token, protocol == 4 ? "TOKEN4" : "TOKEN5");
                assert_string_equal(test.username, "-");
        }
}

static void a_token_is_made_by_the_server(void **state _unused_) {
        ProvisionParams p = params(server.url);

        p.name = NULL;
        ask(&p);
        assert_int_equal(test.result, PROVISION_GRANTED);
        assert_int_equal(strlen(test.token), 20);
}

static void basic_credentials_are_granted(void **state _unused_) {
        ProvisionParams p = params(server.url);

        p.name = "basic";
        p.credentials = (ProvisionCredentials){ .type = PROVISION_BASIC, .client_id = "me", .username = "u", .password = "p\"w" };
        ask(&p);
        assert_int_equal(test.result, PROVISION_GRANTED);
        assert_int_equal(test.type, PROVISION_BASIC);
        assert_string_equal(test.client_id, "me");
        assert_string_equal(test.username, "u");
        assert_string_equal(test.password, "p\"w");
        p.name = "other";
        ask(&p); /* somebody has these */
        assert_int_equal(test.result, PROVISION_REFUSED);
}

/* Whatever was asked for: what the server gave counts. */
static void the_type_in_the_answer_counts(void **state _unused_) {
        ProvisionParams p = params(server.url);

        p.name = "basic without anything";
        p.credentials = (ProvisionCredentials){ .type = PROVISION_BASIC };
        ask(&p);
        assert_int_equal(test.result, PROVISION_GRANTED);
        assert_int_equal(test.type, PROVISION_TOKEN);
        assert_string_not_equal(test.token, "-");
}

static void a_wrong_secret_is_not_found(void **state _unused_) {
        ProvisionParams p = params(server.url);

        p.secret = "wrong";
        ask(&p);
        assert_int_equal(test.result, PROVISION_NOT_FOUND);
        assert_string_equal(test.text, "Provision data was not found!");
}

static void a_name_that_exists_is_refused(void **state _unused_) {
        ProvisionParams p = params(server.url);

        p.name = "boiler";
        ask(&p);
        assert_int_equal(test.result, PROVISION_REFUSED);
        assert_string_equal(test.text, "Failed to provision device!");
        p.name = "known";
        p.key = "PRE"; /* where it has to exist, it is granted, as often as it is asked for */
        for (int i = 0; i < 2; i++) {
                ask(&p);
                assert_int_equal(test.result, PROVISION_GRANTED);
                assert_string_equal(test.token, "KNOWN");
        }
        p.name = "nobody";
        ask(&p);
        assert_int_equal(test.result, PROVISION_REFUSED);
}

static void it_may_be_stopped_at_any_time(void **state _unused_) {
        for (unsigned turns = 0; turns < 12; turns++) {
                ProvisionParams p = params(server.url);

                p.secret = "wrong";
                test.done = 0;
                assert_int_equal(provision_new(&test.p, &p), 0);
                for (unsigned i = 0; i < turns; i++)
                        assert_true(loop_iterate(test.loop, 10 * USEC_PER_MSEC) >= 0);
                assert_int_equal(provision_stop(test.p, 10 * USEC_PER_SEC), 0);
                provision_free(test.p);
                assert_true(test.done <= 1);
        }
}

/* ---- with others */

static Fake fake;

static void ask_fake(const FakeScript *scripts, unsigned n, int protocol, usec_t timeout) {
        ProvisionParams p;
        char url[64];

        fake_start(&fake, scripts, n);
        snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d", fake.port);
        p = params(url);
        p.session.protocol = protocol;
        p.timeout = timeout;
        ask(&p);
        fake_stop(&fake);
}

static void without_a_server_nothing_is_asked(void **state _unused_) {
        ProvisionParams p = params("mqtt://127.0.0.1:1"); /* nobody listens */

        ask(&p);
        assert_int_equal(test.result, PROVISION_NO_SERVER);
        assert_true(strlen(test.text) > 10);
}

static void a_refused_session_asks_nothing(void **state _unused_) {
        ask_fake(&(FakeScript){ .connack = 0x87 }, 1, 5, 0);
        assert_int_equal(test.result, PROVISION_NO_SERVER);
        assert_int_equal(atomic_load(&fake.connects), 1);
        assert_int_equal(atomic_load(&fake.publishes), 0);
}

static void a_silent_server_asks_for_nothing(void **state _unused_) {
        ask_fake(&(FakeScript){ .connect = FAKE_SILENT }, 1, 5, 2 * USEC_PER_SEC);
        assert_int_equal(test.result, PROVISION_NO_SERVER);
        assert_string_equal(test.text, "it takes too long");
}

/* A server that does not know MQTT 5 is asked in 3.1.1; whether it has 3.1.1 is found out before anything is asked. */
static void the_protocol_is_found(void **state _unused_) {
        static const FakeScript told[] = { { .connack = 0x84 }, { .publish = FAKE_HANG_UP } };
        static const FakeScript closed[] = { { .connect = FAKE_CLOSE }, { .connect = FAKE_CLOSE }, { .publish = FAKE_HANG_UP } };

        ask_fake(told, 2, 0, 0);
        assert_int_equal(test.result, PROVISION_UNKNOWN);
        assert_int_equal(atomic_load(&fake.levels[0]), 5);
        assert_int_equal(atomic_load(&fake.levels[1]), 4);
        assert_int_equal(atomic_load(&fake.publishes), 1);
        ask_fake(closed, 3, 0, 0);
        assert_int_equal(test.result, PROVISION_UNKNOWN);
        assert_int_equal(atomic_load(&fake.levels[1]), 5);
        assert_int_equal(atomic_load(&fake.levels[2]), 4);
        assert_int_equal(atomic_load(&fake.publishes), 1);
        ask_fake(&(FakeScript){ .connect = FAKE_CLOSE }, 1, 0, 0);
        assert_int_equal(test.result, PROVISION_NO_SERVER);
        assert_int_equal(atomic_load(&fake.connects), 3);
}

static void another_broker_asks_for_nothing(void **state _unused_) {
        ask_fake(&(FakeScript){ .suback = "\x8f", .suback_n = 1 }, 1, 5, 0);
        assert_int_equal(test.result, PROVISION_NO_SERVER);
        assert_non_null(strstr(test.text, "/provision/response (MQTT code 0x8f)"));
        assert_int_equal(atomic_load(&fake.publishes), 0);
}

/* Whether it was granted is not known, and it is not asked twice. */
static void no_answer_is_unknown(void **state _unused_) {
        static const FakeScript scripts[] = { { .publish = FAKE_HANG_UP }, { .publish = FAKE_HOLD },
                                              { .publish = FAKE_DISCONNECT, .code = 0x98 } };

        for (size_t i = 0; i < ELEMENTS(scripts); i++) {
                ask_fake(&scripts[i], 1, 5, 0);
                assert_int_equal(test.result, PROVISION_UNKNOWN);
                assert_int_equal(atomic_load(&fake.publishes), 1);
                assert_non_null(strstr(test.text, "did not answer"));
        }
        ask_fake(&(FakeScript){ .publish = FAKE_ACK }, 1, 5, 2 * USEC_PER_SEC);
        assert_int_equal(test.result, PROVISION_UNKNOWN);
        assert_int_equal(atomic_load(&fake.publishes), 1);
}

static void a_request_that_is_not_taken_is_told(void **state _unused_) {
        ask_fake(&(FakeScript){ .publish = FAKE_ACK, .code = 0x83 }, 1, 5, 0);
        assert_int_equal(test.result, PROVISION_NOT_FOUND);
        assert_non_null(strstr(test.text, "0x83"));
}

/* ---- answers */

static const char *read_answer(const char *json, ProvisionResult *ret_result, ProvisionCredentials *ret, json_object **ret_tree) {
        const char *message = "untouched";
        _cleanup_(freep) char *exact = malloc(strlen(json) + 1);
        int r;

        memcpy(exact + 1, json, strlen(json));
        r = provision_read(exact + 1, strlen(json), ret_tree, ret_result, ret, &message);
        assert_true(r == 0 || r == -EBADMSG);
        return r == 0 ? message : "bad";
}

static void answers_are_read(void **state _unused_) {
        static const struct {
                const char *json;
                ProvisionType type;
                const char *token, *client_id, *username, *password, *certificate;
        } cases[] = {
                { "{\"credentialsValue\":\"T\",\"credentialsType\":\"ACCESS_TOKEN\",\"status\":\"SUCCESS\"}", PROVISION_TOKEN,
                  "T", NULL, NULL, NULL, NULL },
                { "{\"status\":\"SUCCESS\",\"credentialsType\":\"MQTT_BASIC\",\"credentialsValue\":{\"clientId\":\"c\","
                  "\"userName\":\"\",\"password\":\"p\"},\"x\":[]}",
                  PROVISION_BASIC, NULL, "c", NULL, "p", NULL },
                { "{\"status\":\"SUCCESS\",\"credentialsType\":\"MQTT_BASIC\",\"credentialsValue\":{\"clientId\":null,"
                  "\"userName\":\"u\"}}", PROVISION_BASIC, NULL,
                  NULL, "u", NULL, NULL },
                { "{\"status\":\"SUCCESS\",\"credentialsType\":\"X509_CERTIFICATE\",\"credentialsValue\":\"-----BEGIN\\n\"}",
                  PROVISION_X509, NULL, NULL, NULL, NULL,
                  "-----BEGIN\n" },
                { "{\"status\":\"SUCCESS\",\"credentialsType\":\"X509_CERTIFICATE\",\"credentialsValue\":null}", PROVISION_X509,
                  NULL, NULL, NULL, NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_(tree_putp) json_object *tree = NULL;
                ProvisionCredentials c;
                ProvisionResult result;
                const char *const expected[] = { cases[i].token, cases[i].client_id, cases[i].username, cases[i].password,
                                                 cases[i].certificate };

                assert_null(read_answer(cases[i].json, &result, &c, &tree));
                assert_int_equal(result, PROVISION_GRANTED);
                assert_int_equal(c.type, cases[i].type);
                const char *const got[] = { c.token, c.client_id, c.username, c.password, c.certificate };
                for (size_t k = 0; k < ELEMENTS(got); k++)
                        if (expected[k] ? !got[k] || !streq(got[k], expected[k]) : got[k] != NULL)
                                fail_msg("%s: %zu", cases[i].json, k);
        }
}

static void failures_are_read(void **state _unused_) {
        _cleanup_(tree_putp) json_object *a = NULL, *b = NULL, *d = NULL;
        ProvisionCredentials c;
        ProvisionResult result;

        assert_string_equal(read_answer("{\"errorMsg\":\"no\",\"status\":\"NOT_FOUND\"}", &result, &c, &a), "no");
        assert_int_equal(result, PROVISION_NOT_FOUND);
        assert_null(read_answer("{\"status\":\"FAILURE\"}", &result, &c, &b));
        assert_int_equal(result, PROVISION_REFUSED);
        assert_null(read_answer("{\"status\":\"FAILURE\",\"errorMsg\":5,\"credentialsType\":\"ACCESS_TOKEN\","
                                "\"credentialsValue\":\"T\"}", &result, &c, &d));
        assert_int_equal(result, PROVISION_REFUSED);
        assert_null(c.token);
}

static void what_is_no_answer_leaves_all_as_it_is(void **state _unused_) {
        static const char *const bad[] = {
                "", "null", "[]", "5", "{}", "{\"status\":5}", "{\"status\":\"\"}", "{\"status\":\"success\"}",
                "{\"status\":\"SUCCESS\"}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"ACCESS_TOKEN\"}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"ACCESS_TOKEN\",\"credentialsValue\":\"\"}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"ACCESS_TOKEN\",\"credentialsValue\":{\"token\":\"T\"}}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"ACCESS_TOKEN\",\"credentialsValue\":\"a\\u0000b\"}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"LWM2M_CREDENTIALS\",\"credentialsValue\":\"T\"}",
                "{\"status\":\"SUCCESS\",\"credentialsValue\":\"T\"}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"MQTT_BASIC\",\"credentialsValue\":\"T\"}",
                "{\"status\":\"SUCCESS\",\"credentialsType\":\"MQTT_BASIC\",\"credentialsValue\":{\"password\":\"p\"}}",
                "{\"status\":\"SUCCESS\",\"errorMsg\":\"x\"", "{\"errorMsg\":\"no\"}",
        };

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                ProvisionCredentials c = { .token = "kept" };
                json_object *tree = (json_object *)-1;
                ProvisionResult result = PROVISION_UNKNOWN;
                const char *message = "kept";

                if (provision_read(bad[i], strlen(bad[i]), &tree, &result, &c, &message) != -EBADMSG)
                        fail_msg("taken: %s", bad[i]);
                assert_ptr_equal(tree, (json_object *)-1);
                assert_int_equal(result, PROVISION_UNKNOWN);
                assert_string_equal(c.token, "kept");
                assert_string_equal(message, "kept");
        }
        json_object *tree;
        ProvisionCredentials c;
        ProvisionResult result;
        const char *message;
        assert_int_equal(provision_read(NULL, MIB, &tree, &result, &c, &message), -EBADMSG);
}

static void types_have_names(void **state _unused_) {
        ProvisionType type;

        for (ProvisionType t = 0; t < _PROVISION_TYPE_MAX; t++) {
                assert_int_equal(provision_type_parse(provision_type_name(t), &type), 0);
                assert_int_equal(type, t);
        }
        assert_int_equal(provision_type_parse("access_token", &type), -EINVAL);
        assert_int_equal(provision_type_parse("", &type), -EINVAL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_token_is_granted),
                TEST(a_token_is_made_by_the_server),
                TEST(basic_credentials_are_granted),
                TEST(the_type_in_the_answer_counts),
                TEST(a_wrong_secret_is_not_found),
                TEST(a_name_that_exists_is_refused),
                TEST(it_may_be_stopped_at_any_time),
                TEST(without_a_server_nothing_is_asked),
                TEST(a_refused_session_asks_nothing),
                TEST(a_silent_server_asks_for_nothing),
                TEST(the_protocol_is_found),
                TEST(another_broker_asks_for_nothing),
                TEST(no_answer_is_unknown),
                TEST(a_request_that_is_not_taken_is_told),
                cmocka_unit_test(answers_are_read),
                cmocka_unit_test(failures_are_read),
                cmocka_unit_test(what_is_no_answer_leaves_all_as_it_is),
                cmocka_unit_test(types_have_names),
        };

        session_init_process();
        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, start_server, stop_server);
}
