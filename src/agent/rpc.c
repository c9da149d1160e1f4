/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      request --> parsed --> known? (tb/redelivery) --new--> agent.* here, else found (agent/methods) --> its host
 *         |           |          '--replied--> the reply again                                                |
 *         |           '--bad: error                                   answer, error, deadline, crash <--------'
 *         |                                                              |
 *         '-- a reply that may not be sent now (the server's limits) waits in `unsent`
 *
 * A stock dashboard takes any object for "on", an error too, so its getters that fail get no reply at all: they show
 * their own timeout. A lost connection needs no care: the server asks again for what has no reply.
 */
#include <stdio.h>

#include "agent/rpc.h"
#include "model/json.h"
#include "tb/redelivery.h"
#include "tb/request.h"

#define RETRY_WAIT (50 * USEC_PER_MSEC)
#define INSTANCE_RUNNING_MAX 16u

typedef struct Unsent {
        uint64_t token;
        bool getter;
} Unsent;

typedef struct Running {
        uint64_t token; /* 0: unused */
        usec_t deadline;
        bool getter; /* silent when it fails */
        char *instance, *method;
} Running;

struct Rpc {
        RpcParams params;
        Redelivery *table;
        char *interrupted; /* the reply to what a former process was running */
        Running running[REDELIVERY_RUNNING_MAX];
        Unsent unsent[REDELIVERY_MAX];
        size_t n_unsent;
        LoopTimer *deadline, *retry;
};

static bool is_getter(const char *method) {
        static const char *const names[] = { "getValue", "getState", "checkStatus" };
        const char *dot = strrchr(method, '.');

        for (size_t i = 0; i < ELEMENTS(names); i++)
                if (streq(dot ? dot + 1 : method, names[i]))
                        return true;
        return false;
}

/* ---- replies */

static void send_later(Rpc *r, uint64_t token, bool getter) {
        loop_timer_arm_in(r->retry, RETRY_WAIT, USEC_PER_MSEC);
        for (size_t i = 0; i < r->n_unsent; i++)
                if (r->unsent[i].token == token)
                        return;
        if (r->n_unsent < ELEMENTS(r->unsent))
                r->unsent[r->n_unsent++] = (Unsent){ token, getter };
}

static int send_too_large(const Rpc *r, uint32_t id, uint64_t token) {
        _cleanup_(freep) char *json = request_error("too_large", "the answer is larger than the server takes");

        return json ? r->params.reply(r->params.userdata, id, json, strlen(json), token) : -ENOMEM;
}

static void send_reply(Rpc *r, uint64_t token, bool getter) {
        size_t size;
        uint32_t id;
        const char *json = redelivery_reply(r->table, token, &id, &size);
        int e = json ? r->params.reply(r->params.userdata, id, json, size, token) : 0;

        if (e == -E2BIG && !getter)
                e = send_too_large(r, id, token);
        if (e == -EAGAIN)
                send_later(r, token, getter);
}

static void on_retry(void *userdata) {
        Rpc *r = userdata;
        Unsent unsent[ELEMENTS(r->unsent)];
        size_t n = r->n_unsent;

        memcpy(unsent, r->unsent, n * sizeof(*unsent));
        r->n_unsent = 0;
        for (size_t i = 0; i < n; i++)
                send_reply(r, unsent[i].token, unsent[i].getter);
}

/* json NULL: silence. */
static void set_reply(Rpc *r, uint64_t token, bool getter, const char *json) {
        if (redelivery_set_reply(r->table, token, json, json ? strlen(json) : 0) == 0 && json)
                send_reply(r, token, getter);
}

static void set_error(Rpc *r, uint64_t token, bool getter, const char *code, const char *message) {
        _cleanup_(freep) char *json = getter ? NULL : request_error(code, message);

        set_reply(r, token, getter, json);
}

/* Of a request that is not known to the table: nothing of it is run. */
static void refuse(const Rpc *r, uint32_t id, const char *code, const char *message) {
        _cleanup_(freep) char *json = request_error(code, message);

        if (json)
                (void)r->params.reply(r->params.userdata, id, json, strlen(json), 0);
}

/* ---- what runs */

static Running *running_find(Rpc *r, uint64_t token) {
        for (size_t i = 0; i < ELEMENTS(r->running); i++)
                if (r->running[i].token == token)
                        return &r->running[i];
        return NULL;
}

static void running_end(Running *run) {
        free(run->instance);
        free(run->method);
        *run = (Running){ 0 };
}

static unsigned running_count(const Rpc *r, const char *instance) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTS(r->running); i++)
                n += r->running[i].token != 0 && streq(r->running[i].instance, instance);
        return n;
}

static void arm_deadline(const Rpc *r) {
        usec_t first = USEC_INFINITY;

        for (size_t i = 0; i < ELEMENTS(r->running); i++)
                if (r->running[i].token != 0)
                        first = MIN(first, r->running[i].deadline);
        if (first == USEC_INFINITY)
                loop_timer_disarm(r->deadline);
        else
                loop_timer_arm(r->deadline, first, 10 * USEC_PER_MSEC);
}

static void fail(Rpc *r, Running *run, const char *code, const char *message) {
        uint64_t token = run->token;
        bool getter = run->getter;

        running_end(run);
        arm_deadline(r);
        set_error(r, token, getter, code, message);
}

static void on_deadline(void *userdata) {
        Rpc *r = userdata;
        usec_t now = loop_monotonic(r->params.loop);

        for (size_t i = 0; i < ELEMENTS(r->running); i++) {
                Running *run = &r->running[i];
                char text[REQUEST_MESSAGE_MAX];

                if (run->token == 0 || run->deadline > now)
                        continue;
                snprintf(text, sizeof(text), "%.200s has not answered in %u s; it may still be at it", run->method,
                         (unsigned)(RPC_DEADLINE / USEC_PER_SEC));
                fail(r, run, "timeout", text);
        }
        arm_deadline(r);
}

void rpc_instance_gone(Rpc *r, const char *instance, const char *why) {
        for (size_t i = 0; i < ELEMENTS(r->running); i++) {
                Running *run = &r->running[i];
                char text[REQUEST_MESSAGE_MAX];

                if (run->token == 0 || !streq(run->instance, instance))
                        continue;
                snprintf(text, sizeof(text), "%.100s ended while it ran %.200s%s%.150s", instance, run->method,
                         why[0] ? ": " : "", why);
                fail(r, run, "crashed", text);
        }
}

void rpc_answer(Rpc *r, uint64_t token, const char *json) {
        Running *run = token != 0 ? running_find(r, token) : NULL;
        bool getter = run && run->getter;

        if (!run)
                return;
        if (json_validate(json, strlen(json)) < 0) { /* a plugin's process may send anything */
                fail(r, run, "bad_reply", "the answer is not JSON");
                return;
        }
        running_end(run);
        arm_deadline(r);
        set_reply(r, token, getter, json);
}

void rpc_fail(Rpc *r, uint64_t token, const char *code, const char *message) {
        Running *run = token != 0 ? running_find(r, token) : NULL;

        if (run)
                fail(r, run, code, message);
}

/* ---- requests */

static void run_builtin(Rpc *r, const Request *request, const char *name, uint64_t token) {
        const char *code = NULL, *text = NULL;
        _cleanup_(freep) char *params = request_params(request->params, false), *json = NULL;

        if (params)
                json = r->params.builtin(r->params.userdata, name + strlen("agent."), params, &code, &text);
        if (json)
                set_reply(r, token, false, json);
        else
                set_error(r, token, false, code ? code : "unknown_method",
                          text ? text : "there is no such method of the agent: agent.methods lists them");
}

static void run_method(Rpc *r, const Request *request, const Method *m, uint64_t token) {
        _cleanup_(freep) char *params = request_params(request->params, m->flags & TBAGENT_METHOD_TEXT);
        bool getter = is_getter(request->method);
        Running *run = running_find(r, 0);
        int e;

        if (!params || !run || running_count(r, m->instance) >= INSTANCE_RUNNING_MAX) {
                set_error(r, token, getter, "busy", "too many requests wait for an answer");
                return;
        }
        *run = (Running){ .token = token, .deadline = loop_monotonic(r->params.loop) + RPC_DEADLINE, .getter = getter,
                          .instance = strdup(m->instance), .method = strdup(m->full) };
        e = run->instance && run->method ? r->params.run(r->params.userdata, m, token, params) : -ENOMEM;
        if (e == 0)
                arm_deadline(r);
        else if (e == -ENOTCONN)
                fail(r, run, "not_ready", "the instance does not run: agent.status says why");
        else
                fail(r, run, "busy", "the instance is busy");
}

static bool is_expired(const Rpc *r, const Request *request) {
        int64_t now = request->expires_ms > 0 ? r->params.now_ms(r->params.userdata) : 0;

        return now > request->expires_ms;
}

static void refuse_unknown(Rpc *r, const Request *request, const char *name, uint64_t token, const char *text) {
        const char *instance = r->params.unready(r->params.userdata, name);
        _cleanup_(freep) char *unready = NULL;

        if (instance && asprintf(&unready, "%s has not told its methods yet: agent.status says why", instance) < 0)
                unready = NULL;
        set_error(r, token, is_getter(request->method), instance ? "not_ready" : "unknown_method",
                  unready ? unready : text ? text : "out of memory");
}

static void run_new(Rpc *r, const Request *request, uint64_t token) {
        const char *name = methods_alias(r->params.aliases(r->params.userdata), request->method);
        _cleanup_(freep) char *text = NULL;
        const Method *m;
        int e;

        if (is_expired(r, request)) {
                set_error(r, token, is_getter(request->method), "expired", "it is later than the request's `expires`");
                return;
        }
        if (strncmp(name, "agent.", strlen("agent.")) == 0) {
                run_builtin(r, request, name, token);
                return;
        }
        e = methods_find(r->params.methods, name, &m, &text);
        if (e == 0) {
                run_method(r, request, m, token);
                return;
        }
        if (e != -ENOTUNIQ) {
                refuse_unknown(r, request, name, token, text);
                return;
        }
        r->params.log(r->params.userdata, text); /* widgets set without wanting an answer: else nobody would ever know */
        set_error(r, token, is_getter(request->method), "ambiguous", text ? text : "out of memory");
}

void rpc_request(Rpc *r, uint32_t id, const char *json, size_t size) {
        _cleanup_(request_done) Request request = { 0 };
        RequestError error;
        uint64_t token;
        bool getter;
        int e = request_parse(json, size, &request, &error);

        if (e < 0) {
                refuse(r, id, e == -ENOMEM ? "busy" : error.code, e == -ENOMEM ? "out of memory" : error.message);
                return;
        }
        getter = is_getter(request.method);
        switch (redelivery_take(r->table, id, request.hash, getter ? NULL : r->interrupted, &token)) {
        case DELIVERY_NEW:
                run_new(r, &request, token);
                break;
        case DELIVERY_RUNNING:
                break;
        case DELIVERY_AGAIN:
                send_reply(r, token, getter);
                break;
        case DELIVERY_BUSY:
                if (!getter)
                        refuse(r, id, "busy", "too many requests wait for an answer");
                break;
        }
}

void rpc_delivered(Rpc *r, uint64_t token, int code) {
        if (code >= 0 && token != 0)
                redelivery_acked(r->table, token);
}

void rpc_offline(Rpc *r) {
        r->n_unsent = 0;
        loop_timer_disarm(r->retry);
}

/* ---- */

int rpc_new(Rpc **ret, const RpcParams *params, int *ret_file) {
        _cleanup_(rpc_freep) Rpc *r = calloc(1, sizeof(*r));
        int e;

        if (!r)
                return -ENOMEM;
        r->params = *params;
        r->interrupted = request_error("interrupted",
                                       "the agent was restarted while this ran: whether it had an effect is not known");
        if (!r->interrupted)
                return -ENOMEM;
        e = redelivery_new(&r->table, params->loop, params->path, ret_file);
        if (e == 0)
                e = loop_timer_new(&r->deadline, params->loop, "rpc-deadline", on_deadline, r);
        if (e == 0)
                e = loop_timer_new(&r->retry, params->loop, "rpc-retry", on_retry, r);
        if (e < 0)
                return e;
        *ret = TAKE_PTR(r);
        return 0;
}

Rpc *rpc_free(Rpc *r) {
        if (!r)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(r->running); i++)
                running_end(&r->running[i]);
        redelivery_free(r->table);
        loop_timer_free(r->deadline);
        loop_timer_free(r->retry);
        free(r->interrupted);
        free(r);
        return NULL;
}
