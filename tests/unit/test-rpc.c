/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the server on a simulated clock. Every reply that goes out is held to: valid JSON, of a request that came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/rpc.h"
#include "model/json.h"
#include "tree.h"

#define SEC USEC_PER_SEC
#define SENT_MAX 512

typedef struct Sent {
        uint32_t id;
        uint64_t token;
        char json[300];
} Sent;

typedef struct Run {
        char full[128], params[128];
        uint64_t token;
} Run;

typedef struct Test {
        Loop *loop;
        Methods *methods;
        Rpc *rpc;
        Setting *aliases;
        char *root, path[256];
        Sent sent[SENT_MAX];
        unsigned n_sent, n_runs, n_builtin, n_log;
        Run runs[SENT_MAX];
        int reply_error, run_error; /* what these callbacks return */
        size_t reply_max;           /* larger ones: -E2BIG */
        int64_t now_ms;
        char builtin[128], log[400];
} Test;

static Test test;

/* ---- the world of an Rpc */

static const Setting *get_aliases(void *userdata _unused_) {
        return test.aliases;
}

static int on_reply(void *userdata _unused_, uint32_t id, const char *json, size_t size, uint64_t token) {
        Sent *s = &test.sent[test.n_sent % SENT_MAX];

        assert_int_equal(json_validate(json, size), 0);
        if (test.reply_error < 0)
                return test.reply_error;
        if (test.reply_max > 0 && size > test.reply_max)
                return -E2BIG;
        *s = (Sent){ .id = id, .token = token };
        snprintf(s->json, sizeof(s->json), "%.*s", (int)size, json);
        test.n_sent++;
        return 0;
}

static int on_run(void *userdata _unused_, const Method *m, uint64_t token, const char *params) {
        Run *r = &test.runs[test.n_runs % SENT_MAX];

        assert_int_equal(json_validate(params, strlen(params)), 0);
        if (test.run_error < 0)
                return test.run_error;
        test.n_runs++;
        *r = (Run){ .token = token };
        snprintf(r->full, sizeof(r->full), "%s", m->full);
        snprintf(r->params, sizeof(r->params), "%s", params);
        return 0;
}

static char *on_builtin(void *userdata _unused_, const char *name, const char *params, const char **ret_code,
                        const char **ret_text) {
        test.n_builtin++;
        snprintf(test.builtin, sizeof(test.builtin), "%s(%s)", name, params);
        if (streq(name, "ping"))
                return strdup("\"pong\"");
        if (streq(name, "sample")) {
                *ret_code = "not_ready";
                *ret_text = "no instance runs";
        }
        return NULL;
}

static const char *get_unready(void *userdata _unused_, const char *method) {
        return strncmp(method, "late.", strlen("late.")) == 0 ? "late" : NULL;
}

static int64_t get_now_ms(void *userdata _unused_) {
        return test.now_ms;
}

static void on_log(void *userdata _unused_, const char *text) {
        test.n_log++;
        snprintf(test.log, sizeof(test.log), "%s", text);
}

static void begin(const char *path) {
        RpcParams p = { test.loop, path, test.methods, get_aliases, on_reply, on_run, on_builtin, get_unready, get_now_ms, on_log, NULL };
        int file = 1;

        assert_int_equal(rpc_new(&test.rpc, &p, &file), 0);
        assert_int_equal(file, 0);
}

static int setup(void **state _unused_) {
        test = (Test){ .root = tree_new() };
        snprintf(test.path, sizeof(test.path), "%s/rpc", test.root);
        if (loop_new_simulated(&test.loop, 0) < 0 || methods_new(&test.methods) < 0)
                return -1;
        (void)!methods_add(test.methods, "io", "pump", "set", "", "", 0);
        (void)!methods_add(test.methods, "io", "fan", "set", "", "", 0);
        (void)!methods_add(test.methods, "io", "pump", "getValue", "", "", 0);
        (void)!methods_add(test.methods, "lcd", "", "write", "", "", TBAGENT_METHOD_TEXT);
        begin(test.path);
        return 0;
}

static int teardown(void **state _unused_) {
        rpc_free(test.rpc);
        methods_free(test.methods);
        setting_free(test.aliases);
        loop_free(test.loop);
        tree_free(test.root);
        return 0;
}

static void advance(usec_t by) {
        assert_int_equal(loop_advance(test.loop, by), 0);
}

static void request(uint32_t id, const char *json) {
        size_t size = json ? strlen(json) : 100 * KIB;
        _cleanup_(freep) char *exact = json ? malloc(size + 1) : NULL;

        if (exact)
                memcpy(exact + 1, json, size);
        rpc_request(test.rpc, id, exact ? exact + 1 : NULL, size);
}

static void call(uint32_t id, const char *method, const char *params) {
        char text[400];

        snprintf(text, sizeof(text), "{\"method\":\"%s\",\"params\":%s}", method, params);
        request(id, text);
}

static const Run *last_run(void) {
        assert_true(test.n_runs > 0);
        return &test.runs[(test.n_runs - 1) % SENT_MAX];
}

static const Sent *last_sent(void) {
        assert_true(test.n_sent > 0);
        return &test.sent[(test.n_sent - 1) % SENT_MAX];
}

/* So many replies have gone out, and this was the last one. */
static void expect_sent(unsigned n, uint32_t id, const char *json) {
        assert_int_equal(test.n_sent, n);
        assert_int_equal(last_sent()->id, id);
        assert_string_equal(last_sent()->json, json);
}

static void expect_error(unsigned n, uint32_t id, const char *code) {
        char text[100];

        assert_int_equal(test.n_sent, n);
        assert_int_equal(last_sent()->id, id);
        snprintf(text, sizeof(text), "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
        if (strncmp(last_sent()->json, text, strlen(text)) != 0)
                fail_msg("%s is no %s", last_sent()->json, code);
}

/* ---- the usual way */

static void a_request_is_run_and_answered(void **state _unused_) {
        call(0, "pump.set", "true");
        assert_int_equal(test.n_runs, 1);
        assert_string_equal(last_run()->full, "io.pump.set");
        assert_string_equal(last_run()->params, "true");
        assert_int_equal(test.n_sent, 0);
        rpc_answer(test.rpc, last_run()->token, "{\"ok\":true}");
        expect_sent(1, 0, "{\"ok\":true}");
        rpc_answer(test.rpc, last_run()->token, "5"); /* only one answer goes out */
        rpc_fail(test.rpc, last_run()->token, "x", "y");
        advance(3600 * SEC);
        assert_int_equal(test.n_sent, 1);
        rpc_answer(test.rpc, 0, "5");
        rpc_fail(test.rpc, 0, "x", "y");
        rpc_answer(test.rpc, 4711, "5");
        assert_int_equal(test.n_sent, 1);
}

static void a_method_may_fail(void **state _unused_) {
        call(3, "pump.set", "true");
        rpc_fail(test.rpc, last_run()->token, "bad_params", "\"true\" or \xff false");
        expect_sent(1, 3, "{\"error\":{\"code\":\"bad_params\",\"message\":\"\\\"true\\\" or \xef\xbf\xbd false\"}}");
}

static void what_a_plugin_answers_is_checked(void **state _unused_) {
        static const char *const bad[] = { "", "{", "nope", "{\"a\":1} x", "\"\xff\"", "[1e400]", "\n" };

        for (uint32_t i = 0; i < ELEMENTS(bad); i++) {
                call(i, "pump.set", "1");
                rpc_answer(test.rpc, last_run()->token, bad[i]);
                expect_error(i + 1, i, "bad_reply");
        }
}

static void params_are_unwrapped(void **state _unused_) {
        call(0, "pump.set", "\"{\\\"pin\\\":7}\"");
        assert_string_equal(last_run()->params, "{\"pin\":7}");
        call(1, "lcd.write", "\"{\\\"pin\\\":7}\""); /* wants text */
        assert_string_equal(last_run()->params, "\"{\\\"pin\\\":7}\"");
        request(2, "{\"method\":\"fan.set\"}");
        assert_string_equal(last_run()->params, "null");
}

static void bad_requests_are_answered(void **state _unused_) {
        request(5, "nonsense");
        expect_error(1, 5, "bad_request");
        request(6, NULL);
        expect_error(2, 6, "too_large");
        request(5, "{\"method\":\"pump.set\",\"method\":\"fan.set\"}");
        expect_error(3, 5, "bad_request");
        assert_int_equal(test.n_runs, 0);
        call(5, "pump.set", "1"); /* the table knows nothing of those */
        assert_int_equal(test.n_runs, 1);
}

static void an_unknown_method_is_told(void **state _unused_) {
        call(1, "pump.sett", "1");
        expect_error(1, 1, "unknown_method");
        assert_non_null(strstr(last_sent()->json, "did you mean \\\"pump.set\\\"?"));
        assert_int_equal(test.n_log, 0);
        call(2, "set", "1");
        expect_error(2, 2, "ambiguous");
        assert_non_null(strstr(last_sent()->json, "io.pump.set, io.fan.set"));
        assert_int_equal(test.n_log, 1); /* a widget that sets looks at no answer */
        assert_non_null(strstr(test.log, "io.pump.set, io.fan.set"));
        assert_int_equal(test.n_runs, 0);
}

static void an_instance_that_starts_is_not_unknown(void **state _unused_) {
        call(1, "late.set", "1");
        expect_error(1, 1, "not_ready");
        assert_non_null(strstr(last_sent()->json, "late has not told its methods yet"));
        call(2, "late.getValue", "null"); /* a widget's getter asks again */
        assert_int_equal(test.n_sent, 1);
        call(3, "later.set", "1");
        expect_error(2, 3, "unknown_method");
}

static void add_alias(const char *name, const char *method) {
        Setting *alias;

        assert_int_equal(setting_new(&alias, SETTING_STRING, name, NULL, 0), 0);
        assert_int_equal(setting_set_string(alias, method), 0);
        assert_int_equal(setting_add(test.aliases, alias), 0);
}

static void aliases_decide(void **state _unused_) {
        assert_int_equal(setting_new(&test.aliases, SETTING_GROUP, "aliases", NULL, 0), 0);
        add_alias("set", "fan.set");
        add_alias("Reboot", "agent.ping");
        call(2, "set", "1");
        assert_string_equal(last_run()->full, "io.fan.set");
        call(3, "Reboot", "null");
        expect_sent(1, 3, "\"pong\"");
}

static void the_agent_has_methods_of_its_own(void **state _unused_) {
        call(1, "agent.ping", "\"[1]\"");
        expect_sent(1, 1, "\"pong\"");
        assert_string_equal(test.builtin, "ping([1])");
        call(2, "agent.sample", "null");
        expect_error(2, 2, "not_ready");
        call(3, "agent.getValue", "null"); /* no stock getter: nobody else has an instance of that name */
        expect_error(3, 3, "unknown_method");
        call(4, "agent.", "null");
        expect_error(4, 4, "unknown_method");
        call(5, "agent", "null");
        expect_error(5, 5, "unknown_method");
        assert_int_equal(test.n_builtin, 4);
        call(1, "agent.ping", "\"[1]\"");
        expect_sent(6, 1, "\"pong\""); /* again, from the table */
        assert_int_equal(test.n_builtin, 4);
}

/* ---- time */

static void the_deadline_ends_a_request(void **state _unused_) {
        call(0, "pump.set", "1");
        advance(2 * SEC);
        call(1, "fan.set", "1");
        advance(6 * SEC - 1);
        assert_int_equal(test.n_sent, 0);
        advance(20 * USEC_PER_MSEC);
        expect_error(1, 0, "timeout");
        assert_non_null(strstr(last_sent()->json, "io.pump.set has not answered in 8 s"));
        rpc_answer(test.rpc, test.runs[0].token, "true"); /* too late */
        assert_int_equal(test.n_sent, 1);
        advance(2 * SEC);
        expect_error(2, 1, "timeout");
        call(0, "pump.set", "1"); /* what came too late is not what is told now */
        expect_error(3, 0, "timeout");
        advance(3600 * SEC);
        assert_int_equal(test.n_sent, 3);
}

static void an_expired_request_is_not_run(void **state _unused_) {
        test.now_ms = 1700000000001;
        call(0, "pump.set", "{\"expires\":1700000000000}");
        expect_error(1, 0, "expired");
        call(1, "pump.set", "{\"expires\":1700000000001}");
        call(2, "pump.set", "{\"expires\":\"1\"}");
        call(3, "pump.set", "{\"expires\":0}");
        assert_int_equal(test.n_runs, 3);
        call(4, "agent.ping", "{\"expires\":1}");
        expect_error(2, 4, "expired");
        test.now_ms = 0; /* the time is not known */
        call(5, "pump.set", "{\"expires\":1700000000000}");
        assert_int_equal(test.n_runs, 4);
}

/* ---- bounds */

static void an_instance_has_so_many_at_a_time(void **state _unused_) {
        for (uint32_t i = 0; i < 16; i++)
                call(i, "pump.set", "1");
        assert_int_equal(test.n_runs, 16);
        call(16, "fan.set", "1");
        expect_error(1, 16, "busy");
        call(17, "lcd.write", "1"); /* another one is not held up */
        assert_int_equal(test.n_runs, 17);
        rpc_answer(test.rpc, test.runs[3].token, "1");
        call(18, "fan.set", "1");
        assert_int_equal(test.n_runs, 18);
}

static void all_have_so_many_at_a_time(void **state _unused_) {
        for (uint32_t i = 0; i < 64; i++) {
                char instance[16];

                snprintf(instance, sizeof(instance), "i%u", i);
                assert_int_equal(methods_add(test.methods, instance, "", "do", "", "", 0), 0);
                snprintf(instance, sizeof(instance), "i%u.do", i);
                call(i, instance, "1");
        }
        assert_int_equal(test.n_runs, 64);
        call(100, "lcd.write", "1");
        expect_error(1, 100, "busy");
        call(101, "pump.getValue", "null");
        assert_int_equal(test.n_sent, 1); /* a getter that fails is silent */
        rpc_answer(test.rpc, test.runs[0].token, "1");
        call(100, "lcd.write", "1"); /* that one was not taken, so it is new */
        assert_int_equal(test.n_runs, 65);
}

static void an_instance_that_cannot_is_told(void **state _unused_) {
        test.run_error = -ENOTCONN;
        call(0, "pump.set", "1");
        expect_error(1, 0, "not_ready");
        test.run_error = -EAGAIN;
        call(1, "pump.set", "1");
        expect_error(2, 1, "busy");
        test.run_error = -EMSGSIZE;
        call(2, "pump.set", "1");
        expect_error(3, 2, "busy");
        test.run_error = 0;
        for (uint32_t i = 3; i < 19; i++) /* none of those counts any more */
                call(i, "pump.set", "1");
        assert_int_equal(test.n_runs, 16);
}

static void an_instance_that_ends_fails_its_requests(void **state _unused_) {
        call(0, "pump.set", "1");
        call(1, "lcd.write", "1");
        call(2, "fan.set", "1");
        call(3, "pump.getValue", "null");
        rpc_instance_gone(test.rpc, "io", "signal 11 \"core\"");
        expect_error(2, 2, "crashed");
        assert_non_null(strstr(last_sent()->json, "io ended while it ran io.fan.set: signal 11 \\\"core\\\""));
        rpc_instance_gone(test.rpc, "io", "");
        assert_int_equal(test.n_sent, 2);
        rpc_answer(test.rpc, test.runs[0].token, "1");
        assert_int_equal(test.n_sent, 2);
        rpc_answer(test.rpc, test.runs[1].token, "7");
        expect_sent(3, 1, "7");
}

/* ---- replies that do not go out at once */

static void a_reply_is_tried_again(void **state _unused_) {
        test.reply_error = -EAGAIN;
        call(0, "agent.ping", "1");
        call(1, "pump.set", "1");
        rpc_answer(test.rpc, last_run()->token, "7");
        call(0, "agent.ping", "1"); /* asked again meanwhile: answered once all the same */
        call(0, "agent.ping", "1");
        advance(SEC);
        assert_int_equal(test.n_sent, 0);
        test.reply_error = 0;
        advance(100 * USEC_PER_MSEC);
        assert_int_equal(test.n_sent, 2);
        assert_int_equal(test.sent[0].id, 0);
        assert_string_equal(test.sent[1].json, "7");
        advance(3600 * SEC);
        assert_int_equal(test.n_sent, 2);
}

static void offline_nothing_is_tried(void **state _unused_) {
        test.reply_error = -EAGAIN;
        call(0, "agent.ping", "1");
        rpc_offline(test.rpc);
        test.reply_error = 0;
        advance(3600 * SEC);
        assert_int_equal(test.n_sent, 0);
        call(0, "agent.ping", "1"); /* the server asks again for what has no reply */
        expect_sent(1, 0, "\"pong\"");
        assert_int_equal(test.n_builtin, 1);
        test.reply_error = -EAGAIN;
        call(1, "agent.ping", "1");
        test.reply_error = 0;
        advance(SEC);
        expect_sent(2, 1, "\"pong\""); /* and nothing of the connection before */
}

static void a_reply_that_is_too_large_is_told(void **state _unused_) {
        char large[200];

        memset(large, '5', sizeof(large));
        large[199] = '\0';
        test.reply_max = 150;
        call(0, "pump.set", "1");
        rpc_answer(test.rpc, last_run()->token, large);
        expect_error(1, 0, "too_large");
        call(1, "pump.set", "1");
        test.reply_error = -EAGAIN; /* neither goes at first */
        rpc_answer(test.rpc, last_run()->token, large);
        test.reply_error = 0;
        advance(SEC);
        expect_error(2, 1, "too_large");
        call(2, "pump.getValue", "null");
        rpc_answer(test.rpc, last_run()->token, large);
        call(2, "pump.getValue", "null");
        test.reply_error = -EAGAIN;
        call(2, "pump.getValue", "null");
        test.reply_error = 0;
        advance(SEC);
        assert_int_equal(test.n_sent, 2); /* any object would be "on" */
}

/* ---- stock getters */

static void getters_are_silent_when_they_fail(void **state _unused_) {
        static const char *const names[] = { "getValue", "getState", "checkStatus" };
        uint32_t id = 0;

        test.now_ms = 2;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                char full[64];

                (void)!methods_add(test.methods, "x", "a", names[i], "", "", 0);
                (void)!methods_add(test.methods, "x", "b", names[i], "", "", 0);
                snprintf(full, sizeof(full), "x.a.%s", names[i]);
                call(id++, names[i], "null"); /* ambiguous, or another */
                call(id++, full + 2, "{\"expires\":1}");
                call(id++, "y.getState", "null"); /* unknown */
                call(id++, full, "null"); /* fails */
                rpc_fail(test.rpc, last_run()->token, "failed", "no");
                call(id++, full, "null"); /* is late */
                advance(10 * SEC);
                call(id++, full, "null"); /* says nonsense */
                rpc_answer(test.rpc, last_run()->token, "nonsense");
                call(id++, full, "null"); /* crashes */
                rpc_instance_gone(test.rpc, "x", "");
                test.run_error = -ENOTCONN; /* does not run */
                call(id++, full, "null");
                test.run_error = -EAGAIN;
                call(id++, full, "null");
                test.run_error = 0;
                assert_int_equal(test.n_sent, i);
                call(id++, full, "null");
                rpc_answer(test.rpc, last_run()->token, "false");
                expect_sent((unsigned)i + 1, id - 1, "false");
        }
        for (uint32_t i = 0; i < id; i++) /* and what is asked again stays silent */
                if (i % 10 != 9)
                        call(i, i % 10 == 0 ? names[i / 10] : "y.getState", "null");
}

static void a_silent_getter_stays_silent(void **state _unused_) {
        call(7, "pump.getValue", "null");
        rpc_fail(test.rpc, last_run()->token, "failed", "no");
        call(7, "pump.getValue", "null");
        assert_int_equal(test.n_runs, 1);
        call(8, "pump.getValue", "null");
        rpc_free(test.rpc); /* and the next process knows only that it ran */
        begin(test.path);
        call(7, "pump.getValue", "null");
        call(8, "pump.getValue", "null");
        advance(SEC);
        call(8, "pump.getValue", "null");
        assert_int_equal(test.n_runs, 2);
        assert_int_equal(test.n_sent, 0);
}

/* ---- asked again */

static void what_is_asked_again_is_answered_once(void **state _unused_) {
        uint64_t token;

        call(4, "pump.set", "1");
        token = last_run()->token;
        call(4, "pump.set", "1"); /* while it runs: after a reconnect */
        rpc_offline(test.rpc);
        call(4, "pump.set", "1");
        assert_int_equal(test.n_runs, 1);
        assert_int_equal(test.n_sent, 0);
        rpc_answer(test.rpc, token, "true");
        expect_sent(1, 4, "true");
        rpc_delivered(test.rpc, last_sent()->token, -ENOTCONN); /* lost: the server asks again */
        call(4, "pump.set", "1");
        expect_sent(2, 4, "true");
        assert_int_equal(test.n_runs, 1);
        rpc_delivered(test.rpc, last_sent()->token, 0);
        advance(61 * SEC);
        call(4, "pump.set", "1"); /* so long after it is another one */
        assert_int_equal(test.n_runs, 2);
        rpc_delivered(test.rpc, 0, 0); /* of what was refused: no token */
}

static void other_params_under_the_same_id_are_another_request(void **state _unused_) {
        call(4, "pump.set", "true");
        call(4, "pump.set", "false");
        assert_int_equal(test.n_runs, 2);
        rpc_answer(test.rpc, test.runs[0].token, "\"first\""); /* would be taken for the second one's */
        assert_int_equal(test.n_sent, 0);
        rpc_answer(test.rpc, test.runs[1].token, "\"second\"");
        expect_sent(1, 4, "\"second\"");
}

static void a_refusal_by_the_server_is_an_end(void **state _unused_) {
        call(4, "agent.ping", "1");
        rpc_delivered(test.rpc, last_sent()->token, 0x97);
        advance(61 * SEC);
        call(4, "agent.ping", "1");
        assert_int_equal(test.n_builtin, 2);
}

static void a_restart_interrupts(void **state _unused_) {
        call(0, "pump.set", "1");
        call(1, "fan.set", "1");
        rpc_answer(test.rpc, last_run()->token, "true");
        rpc_free(test.rpc);
        begin(test.path);
        call(0, "pump.set", "1");
        expect_error(2, 0, "interrupted");
        call(1, "fan.set", "1");
        expect_error(3, 1, "interrupted");
        assert_int_equal(test.n_runs, 2);
        call(0, "pump.set", "2");
        assert_int_equal(test.n_runs, 3);
        rpc_answer(test.rpc, last_run()->token, "5");
        expect_sent(4, 0, "5");
        rpc_free(test.rpc);
        begin(NULL); /* without the file nothing is known */
        call(0, "pump.set", "2");
        assert_int_equal(test.n_runs, 4);
}

/* ---- at random */

static uint64_t seed = 3;

static unsigned below(unsigned n) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)((seed >> 33) % n);
}

static unsigned runs_of[4000];
static bool acked[4000]; /* then it may be forgotten */

static void random_step(uint32_t *id) {
        uint32_t which = below(3) > 0 ? (*id)++ : *id - MIN(below(20), *id);
        unsigned before = test.n_runs;
        char params[16];

        snprintf(params, sizeof(params), "%u", which);
        test.reply_error = below(10) ? 0 : -EAGAIN;
        call(which, "pump.set", params);
        runs_of[which] += test.n_runs - before;
        if (test.n_runs > 0 && below(4) > 0)
                rpc_answer(test.rpc, test.runs[(test.n_runs - 1 - MIN(below(10), test.n_runs - 1)) % SENT_MAX].token, "1");
        if (test.n_sent > 0 && below(3) > 0) {
                bool lost = below(4) == 0;

                rpc_delivered(test.rpc, last_sent()->token, lost ? -ENOTCONN : 0);
                acked[last_sent()->id] |= !lost;
        }
        advance(below(500) * USEC_PER_MSEC);
}

/* Ids rise, are asked again, answers come or not, processes end: what the server has no reply to is not run twice. */
static void nothing_runs_twice(void **state _unused_) {
        uint32_t id = 0;

        while (id < 3900) {
                random_step(&id);
                if (below(200) == 0) { /* who was to answer has ended, too */
                        rpc_free(test.rpc);
                        begin(test.path);
                        test.n_runs = test.n_sent = 0;
                }
        }
        for (uint32_t i = 0; i < id; i++)
                assert_true(runs_of[i] <= 1 || acked[i]);
        test.reply_error = 0;
        advance(10 * SEC);
        test.n_runs = 0;
        call(id, "pump.set", "\"the end\"");
        assert_int_equal(test.n_runs, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_request_is_run_and_answered),
                TEST(a_method_may_fail),
                TEST(what_a_plugin_answers_is_checked),
                TEST(params_are_unwrapped),
                TEST(bad_requests_are_answered),
                TEST(an_unknown_method_is_told),
                TEST(an_instance_that_starts_is_not_unknown),
                TEST(aliases_decide),
                TEST(the_agent_has_methods_of_its_own),
                TEST(the_deadline_ends_a_request),
                TEST(an_expired_request_is_not_run),
                TEST(an_instance_has_so_many_at_a_time),
                TEST(all_have_so_many_at_a_time),
                TEST(an_instance_that_cannot_is_told),
                TEST(an_instance_that_ends_fails_its_requests),
                TEST(a_reply_is_tried_again),
                TEST(offline_nothing_is_tried),
                TEST(a_reply_that_is_too_large_is_told),
                TEST(getters_are_silent_when_they_fail),
                TEST(a_silent_getter_stays_silent),
                TEST(what_is_asked_again_is_answered_once),
                TEST(other_params_under_the_same_id_are_another_request),
                TEST(a_refusal_by_the_server_is_an_end),
                TEST(a_restart_interrupts),
                TEST(nothing_runs_twice),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
