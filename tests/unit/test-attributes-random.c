/* SPDX-License-Identifier: Apache-2.0 */
/* A server that changes its attributes, and a network that lets messages overtake each other, loses answers and breaks:
 * whatever happens, once it is quiet the state is the server's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "attributes-world.h"
#include "tb/tree.h"

#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC
#define ANSWER_TIMEOUT (15 * SEC)
#define MESSAGES_MAX 512

static const char *const keys[] = { "a", "b", "b.c", "b.d", "boiler.every", "deleted", "ts", "z z", "\xd1\x82", "values" };
static const char *const values[] = { "1", "1.0", "1.0E7", "true", "false", "\"x\"", "\"\"", "{\"x\":[1]}", "[\"a\",\"b\"]", "[]",
                                      "9007199254740993" };

typedef enum Kind { MESSAGE_QUESTION, MESSAGE_ANSWER, MESSAGE_UPDATE } Kind;

typedef struct Message { /* on its way */
        Kind kind;
        usec_t at; /* when it arrives */
        uint32_t question;
        char *text;
} Message;

typedef struct Sim {
        World w;
        uint64_t seed;
        const char *state[ELEMENTS(keys)]; /* of the server; NULL: not there */
        Message messages[MESSAGES_MAX];
        size_t n;
        uint32_t question; /* the last one */
        usec_t timeout;    /* of the open one */
        bool calm;         /* nothing is lost, nothing breaks */
        unsigned connections, lost, overtaken;
} Sim;

static Sim sim;

static unsigned below(unsigned n) {
        sim.seed = sim.seed * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)((sim.seed >> 33) % n);
}

static usec_t now(void) {
        return loop_monotonic(sim.w.loop);
}

static void send(Kind kind, uint32_t question, usec_t slowest, char *text) {
        assert_true(sim.n < MESSAGES_MAX);
        sim.messages[sim.n++] = (Message){ .kind = kind, .at = now() + below((unsigned)slowest), .question = question,
                                           .text = text };
}

static void on_ask(void *userdata _unused_) {
        sim.timeout = now() + ANSWER_TIMEOUT;
        send(MESSAGE_QUESTION, ++sim.question, 300 * MSEC, NULL);
}

/* ---- the server */

static char *text_of_state(void) {
        char *text = NULL;
        bool any = false;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputs("{", f);
        for (size_t i = 0; i < ELEMENTS(keys); i++)
                if (sim.state[i]) {
                        fprintf(f, "%s\"%s\":%s", any ? "," : "\"shared\":{", keys[i], sim.state[i]);
                        any = true;
                }
        fputs(any ? "}}" : "}", f);
        fclose(f);
        return text;
}

/* One to three keys are written, or deleted, in one message each. */
static void server_changes(void) {
        bool deletes = below(4) == 0;
        char *text = NULL;
        size_t size, first = below(ELEMENTS(keys)), n = 1 + below(3);
        FILE *f = open_memstream(&text, &size);

        fputs(deletes ? "{\"deleted\":[" : "{", f);
        for (size_t i = 0; i < n; i++) {
                size_t key = (first + i) % ELEMENTS(keys), value = below(ELEMENTS(values));

                sim.state[key] = deletes ? NULL : values[value];
                fprintf(f, "%s\"%s\"", i > 0 ? "," : "", keys[key]);
                if (!deletes)
                        fprintf(f, ":%s", values[value]);
        }
        fputs(deletes ? "]}" : "}", f);
        fclose(f);
        if (sim.w.online)
                send(MESSAGE_UPDATE, 0, below(5) == 0 ? 20 * SEC : 300 * MSEC, text);
        else
                free(text); /* it tells nobody who is not there */
}

/* ---- the network */

static void lose_all(void) {
        for (size_t i = 0; i < sim.n; i++)
                free(sim.messages[i].text);
        sim.n = 0;
}

static void connect_again(void) {
        sim.connections++;
        sim.w.online = true;
        sim.w.synced = 0;
        attributes_online(sim.w.a);
}

/* The client may tell of the lost question before or after it says that it is offline. */
static void disconnect(void) {
        bool first = below(2);

        lose_all();
        if (sim.w.open && first)
                world_answer(&sim.w, -ENOTCONN, NULL);
        sim.w.online = sim.w.open = false;
        attributes_offline(sim.w.a);
        if (!first)
                attributes_answer(sim.w.a, -ENOTCONN, NULL, 0);
}

static void arrive(const Message *m) {
        switch (m->kind) {
        case MESSAGE_QUESTION: /* the server answers with what it has at this moment */
                if (!sim.calm && below(5) == 0)
                        sim.lost++;
                else
                        send(MESSAGE_ANSWER, m->question, below(5) == 0 ? 20 * SEC : 300 * MSEC, text_of_state());
                break;
        case MESSAGE_ANSWER: /* one that is late was given up: nobody is told */
                if (m->question == sim.question && sim.w.open)
                        world_answer(&sim.w, 0, !sim.calm && below(10) == 0 ? "what?" : m->text);
                break;
        case MESSAGE_UPDATE:
                world_update(&sim.w, m->text);
                break;
        }
        free(m->text);
}

static void deliver_due(void) {
        for (size_t i = 0; i < sim.n;) {
                Message m = sim.messages[i];

                if (m.at > now()) {
                        i++;
                        continue;
                }
                sim.overtaken += i > 0;
                sim.messages[i] = sim.messages[--sim.n];
                arrive(&m);
        }
        if (sim.w.open && now() >= sim.timeout)
                world_answer(&sim.w, -ETIMEDOUT, NULL);
}

static void pass(usec_t time) {
        for (usec_t end = now() + time; now() < end;) {
                world_advance(&sim.w, 5 * MSEC);
                deliver_due();
                assert_true(sim.w.synced <= 1);
        }
}

/* ---- */

static void step(void) {
        unsigned what = below(100);

        if (what < 40)
                server_changes();
        else if (what < 42 && sim.w.online)
                disconnect();
        else if (what < 60 && !sim.w.online)
                connect_again();
        sim.w.refuse = below(20) == 0 ? -EAGAIN : 0;
        pass(below(10) == 0 ? 3 * SEC : below(4) == 0 ? 300 * MSEC : 10 * MSEC);
}

static void expect_the_servers_state(void) {
        _cleanup_(freep) char *text = text_of_state(), *mine = world_text(sim.w.a);
        _cleanup_(tree_putp) json_object *theirs = NULL, *ours = NULL;
        json_object *shared;

        assert_int_equal(tree_parse(text, strlen(text), &theirs), 0);
        assert_int_equal(tree_parse(mine, strlen(mine), &ours), 0);
        shared = tree_member(theirs, "shared");
        if (shared ? !json_object_equal(shared, ours) : json_object_object_length(ours) > 0)
                fail_msg("%s is not %s", mine, text);
        world_expect(&sim.w, mine);
}

static void run(uint64_t seed, unsigned steps) {
        sim = (Sim){ .seed = seed };
        world_new(&sim.w);
        sim.w.on_ask = on_ask;
        connect_again();
        for (unsigned i = 0; i < steps; i++)
                step();
        sim.calm = true;
        sim.w.refuse = 0;
        if (!sim.w.online)
                connect_again();
        pass(200 * SEC); /* the longest pause between questions is 120 s */
        assert_int_equal(sim.n, 0);
        assert_true(attributes_are_synced(sim.w.a));
        assert_int_equal(sim.w.synced, 1);
        expect_the_servers_state();
        assert_true(sim.connections > 1 && sim.lost > 0 && sim.overtaken > 0);
        world_done(&sim.w);
}

static void in_the_end_it_is_the_servers_state(void **state _unused_) {
        for (uint64_t seed = 1; seed <= 40; seed++)
                run(seed, 300);
}

static void a_long_run_ends_so_too(void **state _unused_) {
        run(4711, 10000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(in_the_end_it_is_the_servers_state),
                cmocka_unit_test(a_long_run_ends_so_too),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
