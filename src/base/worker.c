/* SPDX-License-Identifier: Apache-2.0 */
/* Two bounded rings of pointers under one mutex. Jobs wake the thread by a condition, events wake the loop
 * by an eventfd that is written when the first one comes and read when there is none, so that a thousand
 * events cost one system call. Wake-ups are given after the mutex is let go: whoever wakes takes it at once,
 * and would have to wait for a thread that just lost the processor to it. So the loop may wake for nothing.
 *
 * A ping is no job: the thread answers it whenever it comes by the queue, so a full queue does not make it
 * deaf, but a job that hangs does.
 *
 * The thread and the owner hold one reference each. A thread that does not come back in time is detached
 * and keeps its reference: what it touches when it comes back after all (mutex, rings, eventfd) is still
 * there, its events are refused, and it frees the rest itself. A library's own threads may post only while
 * one of the two is sure to be there. */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/worker.h"

#define EVENTS_PER_TURN 64

typedef struct Ring {
        void **items;
        size_t size, first, n;
} Ring;

struct Worker {
        WorkerParams params;
        Loop *loop;
        LoopIo *io;
        pthread_t thread;
        int event_fd;
        bool started, dispatching, free_wanted; /* the owner's alone */

        pthread_mutex_t mutex; /* all below */
        pthread_cond_t wake;   /* for the thread: job, ping or stop */
        pthread_cond_t done;   /* for the owner: the thread has ended */
        Ring jobs, events;
        bool stopping, ended;
        uint64_t pings, pings_answered;
        usec_t ping_since; /* the oldest that is not answered */
        unsigned n_ref;
};

static int ring_init(Ring *ring, size_t size) {
        ring->items = calloc(size, sizeof(void *));
        ring->size = size;
        return ring->items ? 0 : -ENOMEM;
}

static bool ring_put(Ring *ring, void *item) {
        if (ring->n == ring->size)
                return false;
        ring->items[(ring->first + ring->n++) % ring->size] = item;
        return true;
}

static void *ring_take(Ring *ring) {
        void *item;

        if (ring->n == 0)
                return NULL;
        item = ring->items[ring->first];
        ring->first = (ring->first + 1) % ring->size;
        ring->n--;
        return item;
}

static void worker_unref(Worker *w) {
        bool last;

        pthread_mutex_lock(&w->mutex);
        last = --w->n_ref == 0;
        pthread_mutex_unlock(&w->mutex);
        if (!last)
                return;

        pthread_cond_destroy(&w->wake);
        pthread_cond_destroy(&w->done);
        pthread_mutex_destroy(&w->mutex);
        if (w->event_fd >= 0)
                close(w->event_fd);
        free(w->jobs.items);
        free(w->events.items);
        free(w);
}

static void *worker_main(void *userdata) {
        Worker *w = userdata;

        (void)pthread_setname_np(pthread_self(), w->params.name);

        pthread_mutex_lock(&w->mutex);
        for (;;) {
                void *job;

                w->pings_answered = w->pings;
                if (w->stopping)
                        break;
                job = ring_take(&w->jobs);
                if (!job) {
                        pthread_cond_wait(&w->wake, &w->mutex);
                        continue;
                }
                pthread_mutex_unlock(&w->mutex);
                w->params.job(w->params.userdata, job);
                pthread_mutex_lock(&w->mutex);
        }
        w->ended = true;
        pthread_cond_signal(&w->done);
        pthread_mutex_unlock(&w->mutex);

        worker_unref(w);
        return NULL;
}

/* The next event, NULL when there is none; at the last one, or without one, the eventfd becomes silent. */
static void *event_take(Worker *w, bool *ret_last) {
        uint64_t count;
        void *event;

        pthread_mutex_lock(&w->mutex);
        event = ring_take(&w->events);
        *ret_last = w->events.n == 0;
        if (*ret_last && read(w->event_fd, &count, sizeof(count)) < 0)
                assert(errno == EAGAIN);
        pthread_mutex_unlock(&w->mutex);
        return event;
}

static void on_event_fd(void *userdata, _unused_ uint32_t revents) {
        Worker *w = userdata;
        bool last = false;

        w->dispatching = true;
        for (unsigned n = 0; n < EVENTS_PER_TURN && !last && !w->free_wanted; n++) {
                void *event = event_take(w, &last);

                if (event)
                        w->params.event(w->params.userdata, event);
        }
        w->dispatching = false;
        if (w->free_wanted)
                worker_free(w);
}

static int thread_start(Worker *w) {
        sigset_t all, old;
        int r;

        sigfillset(&all);
        r = pthread_sigmask(SIG_BLOCK, &all, &old); /* the thread inherits it; signals belong to the loop */
        if (r != 0)
                return -r;
        w->n_ref++;
        r = pthread_create(&w->thread, NULL, worker_main, w);
        if (r == 0)
                w->started = true;
        else
                w->n_ref--;
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
        return -r;
}

int worker_new(Worker **ret, Loop *loop, const WorkerParams *params) {
        _cleanup_(worker_freep) Worker *w = NULL;
        pthread_condattr_t attr;
        int r;

        assert(params->jobs_max > 0 && params->events_max > 0);
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->params = *params;
        w->loop = loop;
        w->n_ref = 1;
        pthread_mutex_init(&w->mutex, NULL);
        pthread_cond_init(&w->wake, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&w->done, &attr);
        pthread_condattr_destroy(&attr);

        w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->event_fd < 0)
                return -errno;
        if (ring_init(&w->jobs, params->jobs_max) < 0 || ring_init(&w->events, params->events_max) < 0)
                return -ENOMEM;
        r = loop_io_new(&w->io, loop, params->name, w->event_fd, EPOLLIN, on_event_fd, w);
        if (r < 0)
                return r;
        r = thread_start(w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

static struct timespec deadline_after(usec_t wait) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        wait = MIN(wait, 3600 * USEC_PER_SEC);
        ts.tv_sec += (time_t)(wait / USEC_PER_SEC);
        ts.tv_nsec += (long)(wait % USEC_PER_SEC) * NSEC_PER_USEC;
        if (ts.tv_nsec >= NSEC_PER_SEC) {
                ts.tv_sec++;
                ts.tv_nsec -= NSEC_PER_SEC;
        }
        return ts;
}

/* Nobody puts anything in any more: without the mutex, the drop functions may call worker_ functions. */
static void drop_all(Worker *w, Ring *ring, void (*drop)(void *userdata, void *item)) {
        for (;;) {
                void *item;

                pthread_mutex_lock(&w->mutex);
                item = ring_take(ring);
                pthread_mutex_unlock(&w->mutex);
                if (!item)
                        return;
                if (drop)
                        drop(w->params.userdata, item);
        }
}

int worker_stop(Worker *w, usec_t wait) {
        struct timespec deadline = deadline_after(wait);
        bool ended;

        if (!w->started)
                return 0;
        w->started = false;
        w->io = loop_io_free(w->io);

        pthread_mutex_lock(&w->mutex);
        w->stopping = true;
        pthread_cond_signal(&w->wake);
        while (!w->ended)
                if (pthread_cond_timedwait(&w->done, &w->mutex, &deadline) != 0)
                        break;
        ended = w->ended;
        pthread_mutex_unlock(&w->mutex);

        if (ended)
                pthread_join(w->thread, NULL);
        else
                pthread_detach(w->thread);
        drop_all(w, &w->jobs, w->params.drop_job);
        drop_all(w, &w->events, w->params.drop_event);
        return ended ? 0 : -ETIMEDOUT;
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;
        if (w->dispatching) {
                w->free_wanted = true;
                return NULL;
        }
        assert(!w->started);
        loop_io_free(w->io);
        worker_unref(w);
        return NULL;
}

int worker_submit(Worker *w, void *job) {
        bool put;

        assert(job);
        pthread_mutex_lock(&w->mutex);
        put = !w->stopping && ring_put(&w->jobs, job);
        pthread_mutex_unlock(&w->mutex);
        if (put)
                pthread_cond_signal(&w->wake);
        return put ? 0 : -EAGAIN;
}

int worker_post(Worker *w, void *event) {
        const uint64_t one = 1;
        bool put, first;

        assert(event);
        pthread_mutex_lock(&w->mutex);
        put = !w->stopping && ring_put(&w->events, event);
        first = put && w->events.n == 1;
        pthread_mutex_unlock(&w->mutex);
        if (first && write(w->event_fd, &one, sizeof(one)) < 0)
                assert(errno == EAGAIN); /* full: readable all the more */
        return put ? 0 : -ENOBUFS;
}

void worker_ping(Worker *w) {
        pthread_mutex_lock(&w->mutex);
        if (w->pings == w->pings_answered)
                w->ping_since = loop_monotonic(w->loop);
        w->pings++;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->mutex);
}

usec_t worker_deaf_for(const Worker *w) {
        Worker *mutable = (Worker *)w; /* the mutex alone changes */
        usec_t deaf = 0;

        pthread_mutex_lock(&mutable->mutex);
        if (w->pings != w->pings_answered)
                deaf = loop_monotonic(w->loop) - w->ping_since;
        pthread_mutex_unlock(&mutable->mutex);
        return deaf;
}
