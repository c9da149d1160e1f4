/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/worker.h"

#define JOBS 8
#define EVENTS 16

/* A job is a heap number; it comes back as an event unless it is one of these. */
enum { JOB_HANG = 1000000, JOB_SIGNALS };

typedef struct Test {
        Loop *loop;
        Worker *worker;
        sem_t entered, release; /* for JOB_HANG */
        unsigned seen, dropped_jobs, dropped_events, refused, last, stop_at, free_at;
        bool in_order;
        bool blocked;
        char name[16];
} Test;

static int *number(int n) {
        int *p = malloc(sizeof(*p));

        assert_non_null(p);
        *p = n;
        return p;
}

static void on_job(void *userdata, void *job) {
        _cleanup_(freep) int *n = job;
        Test *t = userdata;

        if (*n == JOB_HANG) {
                sem_post(&t->entered);
                sem_wait(&t->release);
        } else if (*n == JOB_SIGNALS) {
                sigset_t set;

                pthread_sigmask(SIG_SETMASK, NULL, &set);
                t->blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGCHLD) && sigismember(&set, SIGPIPE);
                pthread_getname_np(pthread_self(), t->name, sizeof(t->name));
        }
        if (worker_post(t->worker, n) == 0)
                n = NULL; /* the loop's now */
        else
                __atomic_add_fetch(&t->refused, 1, __ATOMIC_SEQ_CST);
}

static void on_event(void *userdata, void *event) {
        _cleanup_(freep) int *n = event;
        Test *t = userdata;

        t->in_order = t->in_order && (unsigned)*n == t->last + 1;
        t->last = (unsigned)*n;
        t->seen++;
        if (t->seen == t->stop_at)
                assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
        if (t->seen == t->free_at)
                t->worker = worker_free(t->worker);
}

static void drop_job(void *userdata, void *job) {
        ((Test *)userdata)->dropped_jobs++;
        free(job);
}

static void drop_event(void *userdata, void *event) {
        ((Test *)userdata)->dropped_events++;
        free(event);
}

static int setup(void **state) {
        Test *t = calloc(1, sizeof(*t));
        WorkerParams params = {
                .name = "test-worker", .jobs_max = JOBS, .events_max = EVENTS, .job = on_job, .event = on_event,
                .drop_job = drop_job, .drop_event = drop_event, .userdata = t,
        };

        if (!t || loop_new(&t->loop) < 0)
                return -1;
        sem_init(&t->entered, 0, 0);
        sem_init(&t->release, 0, 0);
        t->in_order = true;
        *state = t;
        return worker_new(&t->worker, t->loop, &params);
}

static int teardown(void **state) {
        Test *t = *state;

        t->worker = worker_free(t->worker);
        t->loop = loop_free(t->loop);
        sem_destroy(&t->entered);
        sem_destroy(&t->release);
        free(t);
        return 0;
}

static void submit(Test *t, int n) {
        assert_int_equal(worker_submit(t->worker, number(n)), 0);
}

static void wait_seen(Test *t, unsigned n) {
        while (t->seen < n)
                assert_true(loop_iterate(t->loop, USEC_INFINITY) >= 0);
}

static void hang(Test *t) {
        submit(t, JOB_HANG);
        sem_wait(&t->entered);
}

static void test_round_trip(void **state) {
        Test *t = *state;
        int sent = 0;

        while (sent < 20000) {
                int *n = number(sent + 1);

                if (worker_submit(t->worker, n) == 0)
                        sent++;
                else {
                        free(n); /* full: let it work */
                        assert_true(loop_iterate(t->loop, USEC_INFINITY) >= 0);
                }
                /* The event queue is small too: keep it from running over. */
                if (sent - (int)t->seen >= EVENTS)
                        wait_seen(t, (unsigned)sent - EVENTS / 2);
        }
        wait_seen(t, 20000);
        assert_true(t->in_order);
        assert_int_equal(t->refused, 0);
        assert_int_equal(loop_iterate(t->loop, 0), 0); /* the eventfd is silent again */
        assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
        assert_int_equal(worker_stop(t->worker, 0), 0); /* twice does no harm */
}

static void test_thread(void **state) {
        Test *t = *state;

        submit(t, JOB_SIGNALS);
        wait_seen(t, 1);
        assert_true(t->blocked);
        assert_string_equal(t->name, "test-worker");
        assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
}

static void test_full(void **state) {
        Test *t = *state;
        int *one_more = number(99);

        hang(t);
        for (int i = 1; i <= JOBS; i++)
                submit(t, i);
        assert_int_equal(worker_submit(t->worker, one_more), -EAGAIN); /* still ours */
        free(one_more);
        sem_post(&t->release);
        wait_seen(t, JOBS + 1);
        assert_int_equal(t->last, JOBS);
        assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
        assert_int_equal(t->dropped_jobs, 0);
}

/* The loop does not turn while the thread posts: what is over events_max is refused, the rest arrives in order. */
static void test_events_full(void **state) {
        Test *t = *state;

        for (int i = 1; i <= EVENTS; i++)
                assert_int_equal(worker_post(t->worker, number(i)), 0); /* from any thread */
        hang(t);
        submit(t, 77);
        sem_post(&t->release);
        while (__atomic_load_n(&t->refused, __ATOMIC_SEQ_CST) < 2)
                sched_yield();
        wait_seen(t, EVENTS);
        assert_true(t->in_order);
        assert_int_equal(loop_iterate(t->loop, 0), 0);
        assert_int_equal(worker_post(t->worker, number(EVENTS + 1)), 0); /* and it goes on */
        wait_seen(t, EVENTS + 1);
        assert_true(t->in_order);
        assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
}

static void test_stop_drops(void **state) {
        Test *t = *state;
        int *late = number(1);

        hang(t);
        for (int i = 1; i <= 5; i++)
                submit(t, i);
        assert_int_equal(worker_post(t->worker, number(6)), 0);
        assert_int_equal(worker_stop(t->worker, USEC_PER_MSEC), -ETIMEDOUT);
        assert_int_equal(t->dropped_jobs, 5);
        assert_int_equal(t->dropped_events, 1);
        assert_int_equal(worker_submit(t->worker, late), -EAGAIN);
        assert_int_equal(worker_post(t->worker, late), -ENOBUFS);
        free(late);
        assert_int_equal(loop_iterate(t->loop, 0), 0);
        sem_post(&t->release); /* so that nothing is left when teardown frees what the job uses */
        while (__atomic_load_n(&t->refused, __ATOMIC_SEQ_CST) == 0)
                sched_yield();
        assert_int_equal(t->seen, 0);
}

/* The owner frees the worker while its thread hangs; the thread comes back later and finds everything it touches. */
static sem_t stuck_entered, stuck_release, stuck_left;
static int stuck_posted;
static Worker *stuck_worker;

static void stuck_job(_unused_ void *userdata, void *job) {
        sem_post(&stuck_entered);
        sem_wait(&stuck_release);
        stuck_posted = worker_post(stuck_worker, job);
        free(job);
        sem_post(&stuck_left);
}

static void never_event(_unused_ void *userdata, _unused_ void *event) {
        fail();
}

static void test_stuck(_unused_ void **state) {
        WorkerParams params = { .name = "stuck", .jobs_max = 1, .events_max = 1, .job = stuck_job, .event = never_event };
        Loop *loop;

        sem_init(&stuck_entered, 0, 0);
        sem_init(&stuck_release, 0, 0);
        sem_init(&stuck_left, 0, 0);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(worker_new(&stuck_worker, loop, &params), 0);
        assert_int_equal(worker_submit(stuck_worker, number(1)), 0);
        sem_wait(&stuck_entered);
        assert_int_equal(worker_stop(stuck_worker, 0), -ETIMEDOUT);
        worker_free(stuck_worker);
        loop_free(loop);
        sem_post(&stuck_release);
        sem_wait(&stuck_left);
        assert_int_equal(stuck_posted, -ENOBUFS);
}

static void test_ping(void **state) {
        Test *t = *state;
        usec_t deaf;

        assert_int_equal(worker_deaf_for(t->worker), 0);
        worker_ping(t->worker);
        while (worker_deaf_for(t->worker) > 0) /* an idle thread answers */
                sched_yield();

        hang(t);
        for (int i = 1; i <= JOBS; i++)
                submit(t, i); /* a full queue does not matter */
        assert_int_equal(worker_deaf_for(t->worker), 0); /* nobody asked */
        worker_ping(t->worker);
        while ((deaf = worker_deaf_for(t->worker)) < 2000)
                sched_yield();
        worker_ping(t->worker); /* the oldest counts */
        assert_true(worker_deaf_for(t->worker) >= deaf);
        sem_post(&t->release);
        while (worker_deaf_for(t->worker) > 0)
                sched_yield();
        wait_seen(t, JOBS + 1);
        assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
}

static void test_stop_inside_event(void **state) {
        Test *t = *state;

        t->stop_at = t->free_at = 3;
        for (int i = 1; i <= 6; i++)
                assert_int_equal(worker_post(t->worker, number(i)), 0);
        wait_seen(t, 3);
        assert_null(t->worker);
        assert_int_equal(loop_iterate(t->loop, 0), 0);
        assert_int_equal(t->seen, 3);
        assert_int_equal(t->dropped_events, 3);
}

static void *post_many(void *userdata) {
        Test *t = userdata;

        for (int i = 0; i < 5000; i++) {
                int *n = number(i);

                while (worker_post(t->worker, n) < 0)
                        sched_yield();
        }
        return NULL;
}

/* A library's callback threads post beside the worker's own. */
static void test_many_posters(void **state) {
        Test *t = *state;
        pthread_t threads[3];

        for (size_t i = 0; i < ELEMENTS(threads); i++)
                assert_int_equal(pthread_create(threads + i, NULL, post_many, t), 0);
        wait_seen(t, 5000 * ELEMENTS(threads));
        for (size_t i = 0; i < ELEMENTS(threads); i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(loop_iterate(t->loop, 0), 0);
        assert_int_equal(worker_stop(t->worker, 10 * USEC_PER_SEC), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
                cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
                cmocka_unit_test_setup_teardown(test_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_events_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_drops, setup, teardown),
                cmocka_unit_test(test_stuck),
                cmocka_unit_test_setup_teardown(test_ping, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_inside_event, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many_posters, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
