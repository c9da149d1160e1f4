/* SPDX-License-Identifier: Apache-2.0 */
/* The client with a real session, against the stand-in ThingsBoard server. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "standin.h"
#include "tb/client.h"

typedef struct World {
        Loop *loop;
        Client *client;
        unsigned online, offline, warnings, acked, lost, answers, subscribing, delivered, requests, updates;
        uint64_t delivered_context;
        uint32_t request_id;
        char update[256], request[256];
        ClientLimits limits;
        char points[64], warning[256], answer[256];
        int error;
} World;

static Standin server;

static void on_state(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry) {
        (void)userdata, (void)state, (void)reason, (void)code, (void)text, (void)retry;
}

static void on_online(void *userdata, const ClientLimits *limits) {
        World *w = userdata;

        w->online++;
        w->limits = *limits;
        snprintf(w->points, sizeof(w->points), "%s", limits->telemetry_points ?: "none");
}

static void on_offline(void *userdata, SessionReason reason) {
        (void)reason;
        ((World *)userdata)->offline++;
}

static void on_published(void *userdata, uint64_t context, int code) {
        World *w = userdata;

        assert_int_equal(context, 41);
        w->acked += code == 0;
        w->lost += code == SESSION_LOST;
}

static void on_warning(void *userdata, const char *text) {
        World *w = userdata;

        w->warnings++;
        snprintf(w->warning, sizeof(w->warning), "%s", text);
}

static void on_delivered(void *userdata, uint64_t context, int code) {
        World *w = userdata;

        w->delivered += code == 0;
        w->delivered_context = context;
}

static void on_subscribing(void *userdata) {
        ((World *)userdata)->subscribing++;
}

static void on_attributes(void *userdata, const char *json, size_t size) {
        World *w = userdata;

        w->updates++;
        snprintf(w->update, sizeof(w->update), "%.*s", (int)size, json ?: "");
}

static void on_request(void *userdata, uint32_t id, const char *json, size_t size) {
        World *w = userdata;

        w->requests++;
        w->request_id = id;
        snprintf(w->request, sizeof(w->request), "%.*s", (int)size, json ?: "too large");
}

static int on_credentials(void *userdata, SessionCredentials *ret, char **ret_text) {
        (void)userdata, (void)ret_text;
        ret->username = strdup("TOKEN");
        return ret->username ? 0 : -ENOMEM;
}

static void on_answer(void *userdata, int error, const char *json, size_t size) {
        World *w = userdata;

        w->answers++;
        w->error = error;
        snprintf(w->answer, sizeof(w->answer), "%.*s", (int)size, json ?: "");
}

static void world_new(World *w, int protocol) {
        ClientParams params = {
                .session = { .url = server.url, .client_id = "tbagent-test", .protocol = protocol,
                             .keepalive = 30 * USEC_PER_SEC, .backoff_min = 20 * USEC_PER_MSEC, .backoff_max = 100 * USEC_PER_MSEC },
                .limits_timeout = 2 * USEC_PER_SEC,
                .events = { .state = on_state, .online = on_online, .offline = on_offline, .published = on_published,
                            .delivered = on_delivered, .subscribing = on_subscribing, .attributes = on_attributes,
                            .request = on_request, .warning = on_warning, .credentials = on_credentials },
                .userdata = w,
        };

        *w = (World){ 0 };
        assert_int_equal(loop_new(&w->loop), 0);
        params.session.loop = w->loop;
        assert_int_equal(client_new(&w->client, &params), 0);
        assert_int_equal(client_telemetry(w->client, "[]", 2, 41), -ENOTCONN);
        client_start(w->client);
}

static void world_done(World *w) {
        assert_int_equal(client_stop(w->client, 10 * USEC_PER_SEC), 0);
        client_free(w->client);
        loop_free(w->loop);
        standin_do(&server, "/standin/faults/clear", "{}");
        standin_do(&server, "/standin/limits", "{\"telemetryDataPoints\":null}");
        standin_do(&server, "/standin/reset", "{}");
}

static void test_online(void **state) {
        static const char payload[] = "[{\"ts\":1700000000000,\"values\":{\"a\":1.5}}]";

        (void)state;
        standin_do(&server, "/standin/limits", "{\"telemetryDataPoints\":\"500:1,9000:60\"}");
        for (int protocol = 4; protocol <= 5; protocol++) {
                World w;

                world_new(&w, protocol);
                run_until(w.loop, w.online == 1);
                assert_false(w.limits.known);
                assert_true(client_is_online(w.client));
                assert_int_equal(client_telemetry_overhead(w.client), protocol == 5 ? 28 : 27);
                run_until(w.loop, w.online == 2);
                assert_true(w.limits.known);
                assert_int_equal(w.limits.max_payload, 65536);
                assert_int_equal(w.limits.max_inflight, 100);
                assert_null(w.limits.messages);
                if (protocol == 4)
                        assert_string_equal(w.points, "500:1,9000:60");
                assert_int_equal(client_telemetry(w.client, payload, sizeof(payload) - 1, 41), 0);
                run_until(w.loop, w.acked == 1);
                assert_int_equal(w.warnings, 0);
                world_done(&w);
                assert_int_equal(w.offline, 1);
        }
}

/* Largest telemetry payload that the overhead leaves: one byte more would be refused. */
static void test_overhead(void **state) {
        World w;

        (void)state;
        for (int protocol = 4; protocol <= 5; protocol++) {
                static char payload[65536];
                size_t size;

                world_new(&w, protocol);
                run_until(w.loop, w.online == 2);
                size = w.limits.max_payload - client_telemetry_overhead(w.client);
                memset(payload, ' ', sizeof(payload));
                memcpy(payload, "{\"a\":1", 6);
                payload[size - 1] = '}';
                assert_int_equal(client_telemetry(w.client, payload, size, 41), 0);
                run_until(w.loop, w.acked == 1);
                payload[size - 1] = ' ';
                payload[size] = '}';
                assert_int_equal(client_telemetry(w.client, payload, size + 1, 41), 0);
                run_until(w.loop, w.lost == 1);
                world_done(&w);
        }
}

static void test_no_limits_told(void **state) {
        World w;

        (void)state;
        standin_do(&server, "/standin/faults", "{\"session_limits\":\"silent\"}");
        world_new(&w, 5);
        run_until(w.loop, w.online == 1);
        assert_false(w.limits.settled);
        run_until(w.loop, w.online == 2);
        assert_true(w.limits.settled && !w.limits.known);
        assert_int_equal(client_call(w.client, "whoever", "{\"a\":1}", 100 * USEC_PER_MSEC, on_answer, &w), 0);
        run_until(w.loop, w.answers == 1);
        assert_int_equal(w.error, -ETIMEDOUT); /* ours */
        standin_do(&server, "/standin/options", "{\"client_rpc_timeout\":0.05}");
        assert_int_equal(client_call(w.client, "whoever", NULL, 60 * USEC_PER_SEC, on_answer, &w), 0);
        run_until(w.loop, w.answers == 2);
        assert_int_equal(w.error, -ETIMEDOUT); /* the server's */
        standin_do(&server, "/standin/options", "{\"client_rpc_timeout\":60}");
        assert_int_equal(w.online, 2);
        assert_int_equal(w.warnings, 0);
        world_done(&w);
}

static void test_odd_limits(void **state) {
        static const char *const odd[] = {
                "{\"session_limits\":{\"a\":1}}",
                "{\"session_limits\":{\"maxPayloadSize\":\"x\",\"maxInflightMessages\":1,\"rateLimits\":{}}}",
                "{\"session_limits\":{\"maxPayloadSize\":65536,\"maxInflightMessages\":100,\"rateLimits\":[]}}",
                "{\"session_limits\":{\"maxPayloadSize\":65536,\"maxInflightMessages\":100,\"rateLimits\":{\"messages\":7}}}",
                "{\"session_limits\":{\"maxPayloadSize\":65536,\"maxInflightMessages\":100,\"rateLimits\":{\"telemetryDataPoints\":\"0:0\"}}}",
                "{\"session_limits\":{\"maxPayloadSize\":-5,\"maxInflightMessages\":100,\"rateLimits\":{}}}",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(odd); i++) {
                World w;

                standin_do(&server, "/standin/faults", odd[i]);
                world_new(&w, 5);
                run_until(w.loop, w.warnings == 1);
                assert_non_null(strstr(w.warning, "getSessionLimits"));
                assert_int_equal(w.online, 2);
                assert_true(w.limits.settled && !w.limits.known); /* no better answer is to be waited for */
                assert_int_equal(w.limits.max_payload, 65536);
                world_done(&w);
        }
}

static void test_refused_subscriptions(void **state) {
        World w;

        (void)state;
        standin_do(&server, "/standin/faults", "{\"suback\":\"refuse\"}");
        world_new(&w, 5);
        run_until(w.loop, w.online >= 1);
        assert_int_equal(w.warnings, 4);
        assert_non_null(strstr(w.warning, "v1/devices/me/rpc/response/+"));
        world_done(&w);
}

static bool is_readable(int fd) {
        return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) > 0;
}

static void test_server_rpc(void **state) {
        static const char reply[] = "{\"hot\":true}";
        char id[64], path[128];
        json_object *answer;
        World w;
        int fd;

        (void)state;
        standin_device_id(&server, id);
        world_new(&w, 5);
        run_until(w.loop, w.online == 2);
        snprintf(path, sizeof(path), "/api/rpc/twoway/%s", id);
        fd = standin_request(&server, path, "{\"method\":\"boil\",\"params\":{\"deep\":[[[1]]]},\"timeout\":5000}");
        run_until(w.loop, w.requests == 1);
        assert_string_equal(w.request, "{\"method\":\"boil\",\"params\":{\"deep\":[[[1]]]}}");
        assert_int_equal(client_reply(w.client, w.request_id, reply, sizeof(reply) - 1, 7), 0);
        run_until(w.loop, is_readable(fd) && w.delivered == 1);
        assert_int_equal(w.delivered_context, 7);
        answer = standin_answer(fd);
        assert_string_equal(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN), reply);
        json_object_put(answer);
        world_done(&w);
}

/* Publishing, asking for what was published, an update, and a claim. */
static void test_attributes(void **state) {
        static const char own[] = "{\"board\":\"b\",\"n\":9007199254740993}";
        char id[64], path[128];
        World w;

        (void)state;
        standin_device_id(&server, id);
        world_new(&w, 5);
        assert_int_equal(client_claim(w.client, NULL, 0, 9), -ENOTCONN);
        run_until(w.loop, w.online == 2);
        assert_int_equal(w.subscribing, 1);
        assert_int_equal(client_publish_attributes(w.client, own, sizeof(own) - 1, 8), 0);
        run_until(w.loop, w.delivered == 1);
        assert_int_equal(w.delivered_context, 8);
        for (unsigned tries = 0; !strstr(w.answer, "9007199254740993") && tries < 100; tries++) {
                unsigned answers = w.answers;

                assert_int_equal(client_request_attributes(w.client, "board,n", NULL, 5 * USEC_PER_SEC, on_answer, &w), 0);
                run_until(w.loop, w.answers > answers); /* the server stores after its PUBACK */
                assert_int_equal(w.error, 0);
        }
        assert_string_equal(w.answer, "{\"client\":{\"board\":\"b\",\"n\":9007199254740993}}");
        snprintf(path, sizeof(path), "/api/plugins/telemetry/DEVICE/%s/attributes/SHARED_SCOPE", id);
        standin_do(&server, path, "{\"every\":\"5s\"}");
        run_until(w.loop, w.updates == 1);
        assert_string_equal(w.update, "{\"every\":\"5s\"}");
        assert_int_equal(client_claim(w.client, "secret", 60 * USEC_PER_SEC, 9), 0);
        run_until(w.loop, w.delivered == 2);
        assert_int_equal(client_request_attributes(w.client, "a,,b", NULL, USEC_PER_SEC, on_answer, &w), -EINVAL);
        assert_int_equal(client_request_attributes(w.client, NULL, "", USEC_PER_SEC, on_answer, &w), -EINVAL);
        world_done(&w);
}

/* The limit of messages that the server told is kept by what is not telemetry. */
static void test_message_limit(void **state) {
        unsigned sent = 0;
        World w;
        int r = 0;

        (void)state;
        standin_do(&server, "/standin/limits", "{\"messages\":\"10:60\"}");
        world_new(&w, 5);
        run_until(w.loop, w.online == 2);
        while (sent < 100 && (r = client_reply(w.client, 1000 + sent, "1", 1, 1)) == 0)
                sent++;
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(sent, 8); /* 80 % */
        world_done(&w);
        standin_do(&server, "/standin/limits", "{\"messages\":null}");
}

static void test_connection_lost(void **state) {
        World w;

        (void)state;
        world_new(&w, 5);
        run_until(w.loop, w.online == 2);
        assert_int_equal(client_call(w.client, "whoever", NULL, 60 * USEC_PER_SEC, on_answer, &w), 0);
        standin_do(&server, "/standin/drop", "{\"how\":\"reset\"}");
        run_until(w.loop, w.offline == 1);
        assert_int_equal(w.answers, 1);
        assert_int_equal(w.error, -ENOTCONN);
        run_until(w.loop, w.online == 4); /* subscribed and asked again */
        world_done(&w);
}

static int setup(void **state) {
        (void)state;
        signal(SIGPIPE, SIG_IGN);
        session_init_process();
        standin_start(&server);
        return 0;
}

static int teardown(void **state) {
        (void)state;
        standin_stop(&server);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_online),
                cmocka_unit_test(test_overhead),
                cmocka_unit_test(test_no_limits_told),
                cmocka_unit_test(test_odd_limits),
                cmocka_unit_test(test_refused_subscriptions),
                cmocka_unit_test(test_server_rpc),
                cmocka_unit_test(test_attributes),
                cmocka_unit_test(test_message_limit),
                cmocka_unit_test(test_connection_lost),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, setup, teardown);
}
