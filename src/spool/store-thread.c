/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of the store. Every call becomes a job for the thread, every job comes back as one event with
 * its answer, what happened meanwhile (in order) and the figures as they are now; so nothing is shared but
 * what a job carries, and the queues cannot overflow: at most JOBS_MAX are on their way.
 *
 * Acknowledgements are many and mostly mean nothing to the disk. The thread is woken for one only where the
 * oldest file holds no more than what is acknowledged, or 10 s after the first that was not written. */
#include <malloc.h>
#include <stdio.h>

#include "base/worker.h"
#include "spool/store-inside.h"

#define JOBS_MAX 64
#define FILES_MAX 48 /* of them, that are not about rows */
#define POSITION_AFTER (10 * USEC_PER_SEC)
#define READ_AGAIN (5 * USEC_PER_SEC)
#define TRIM_AFTER (20 * USEC_PER_SEC)

typedef enum JobType { JOB_OPEN, JOB_APPEND, JOB_READ, JOB_ACKED, JOB_ERA, JOB_REPLACE, JOB_LINE, JOB_TRIM } JobType;

typedef struct Job {
        JobType type;
        uint64_t acked; /* as known when it was submitted */
        union {
                struct {
                        StoreBlock *blocks; /* with their records behind them */
                        size_t n;
                        uint64_t spare_first, spare_last;
                } append;
                struct {
                        uint64_t after;
                        size_t max_bytes;
                } read;
                bool write_position;
                Era era;
                struct {
                        char *name, *data;
                        size_t size; /* of a line: the largest file */
                        mode_t mode;
                } file;
        };
        /* the answer */
        int error;
        StoreFound found;
        StoreStats stats;
        uint64_t head_name, head_last; /* of the oldest file; 0: there is none */
        NewsList news;
} Job;

/* What the thread uses. It outlives the store where the thread does not come back. */
typedef struct Thread {
        Disk *disk;
        Worker *worker;
        Store *store; /* for the loop alone */
} Thread;

struct Store {
        StoreParams params;
        Thread *thread;
        LoopTimer *position_timer, *read_timer, *trim_timer;
        StoreStats stats;
        unsigned pending;
        bool opened, appending, reading, acking, stopped, hangs;
        uint64_t acked, acked_told, position;
        uint64_t head_name, head_last;
};

static Job *job_free(Job *job) {
        if (!job)
                return NULL;
        if (job->type == JOB_APPEND)
                free(job->append.blocks);
        if (job->type == JOB_REPLACE || job->type == JOB_LINE) {
                free(job->file.name);
                free(job->file.data);
        }
        news_done(&job->news);
        free(job);
        return NULL;
}
DEFINE_CLEANUP(Job *, job_free)

/* ---- in the thread */

static void on_job(void *userdata, void *item) {
        Thread *t = userdata;
        Disk *d = t->disk;
        Job *job = item;

        d->acked = MAX(d->acked, job->acked);
        switch (job->type) {
        case JOB_OPEN:
                disk_open(d, &job->found);
                break;
        case JOB_APPEND:
                job->error = disk_commit(d, job->append.blocks, job->append.n, job->append.spare_first, job->append.spare_last);
                break;
        case JOB_READ:
                job->error = disk_read(d, job->read.after, job->read.max_bytes);
                break;
        case JOB_ACKED:
                disk_acked(d, job->acked, job->write_position);
                break;
        case JOB_ERA:
                disk_set_era(d, &job->era);
                break;
        case JOB_REPLACE:
                disk_replace_file(d, job->file.name, job->file.data, job->file.size, job->file.mode);
                break;
        case JOB_LINE:
                disk_append_line(d, job->file.name, job->file.data, job->file.size);
                break;
        case JOB_TRIM:
                (void)malloc_trim(0);
                break;
        }
        job->stats = disk_stats(d);
        job->head_name = d->n > 0 ? d->shelves[0].name : 0;
        job->head_last = d->n > 0 ? d->shelves[0].last : 0;
        job->news = d->news;
        d->news = (NewsList){ 0 };
        if (worker_post(t->worker, job) < 0)
                job_free(job);
}

/* ---- in the loop */

static int submit(Store *s, JobType type, Job *job) {
        int r;

        if (s->stopped || s->pending >= (type == JOB_REPLACE || type == JOB_LINE ? FILES_MAX : JOBS_MAX))
                return -EAGAIN;
        job->acked = s->acked;
        r = worker_submit(s->thread->worker, job);
        if (r == 0)
                s->pending++;
        return r;
}

static Job *job_new(JobType type) {
        Job *job = calloc(1, sizeof(*job));

        if (job)
                job->type = type;
        return job;
}

static void submit_acked(Store *s, bool write_position) {
        _cleanup_(job_freep) Job *job = job_new(JOB_ACKED);

        if (!job)
                return;
        job->write_position = write_position;
        if (submit(s, JOB_ACKED, job) < 0)
                return;
        TAKE_PTR(job);
        s->acking = true;
        s->acked_told = s->acked;
        if (write_position)
                s->position = s->acked;
}

static void look_at_acked(Store *s) {
        if (!s->opened || s->acking || s->head_name == 0 || s->acked < s->head_name)
                return;
        if (s->acked >= s->head_last) {
                if (s->acked > s->acked_told)
                        submit_acked(s, false);
        } else if (s->acked > s->position && !loop_timer_armed(s->position_timer))
                loop_timer_arm_in(s->position_timer, POSITION_AFTER, USEC_PER_SEC);
}

static void on_position_timer(void *userdata) {
        Store *s = userdata;

        if (s->acked > s->position)
                submit_acked(s, true);
}

/* What compressing took goes back to the system when it has not been needed for a while. */
static void on_trim_timer(void *userdata) {
        _cleanup_(job_freep) Job *job = job_new(JOB_TRIM);

        if (job && submit(userdata, JOB_TRIM, job) == 0)
                TAKE_PTR(job);
}

static void tell_news(Store *s, NewsList *list) {
        const StoreEvents *e = &s->params.events;

        for (size_t i = 0; i < list->n; i++) {
                News *n = &list->items[i];

                switch (n->what) {
                case NEWS_BLOCK:
                        e->block(s->params.userdata, &n->block);
                        break;
                case NEWS_LOST:
                        e->lost(s->params.userdata, n->lost.first, n->lost.last, n->lost.rows, n->lost.points, n->lost.from_ms,
                                n->lost.to_ms, n->lost.why);
                        break;
                case NEWS_STATE:
                        e->state(s->params.userdata, n->state.state, n->state.text);
                        break;
                }
        }
}

static void end_reading(void *userdata) {
        Store *s = userdata;

        s->reading = false;
        s->params.events.block(s->params.userdata, NULL);
}

static void on_event(void *userdata, void *item) {
        Store *s = ((Thread *)userdata)->store;
        _cleanup_(job_freep) Job *job = item;
        const StoreEvents *e = &s->params.events;

        s->pending--;
        if (job->type == JOB_APPEND || job->type == JOB_READ)
                loop_timer_arm_in(s->trim_timer, TRIM_AFTER, 5 * USEC_PER_SEC);
        s->stats = job->stats;
        s->head_name = job->head_name;
        s->head_last = job->head_last;
        if (job->type == JOB_OPEN) {
                s->opened = true;
                s->acked = MAX(s->acked, job->found.acked);
                s->position = s->acked_told = job->found.acked;
                e->opened(s->params.userdata, &job->found);
        }
        tell_news(s, &job->news);
        if (job->type == JOB_ACKED)
                s->acking = false;
        else if (job->type == JOB_APPEND) {
                const StoreBlock *blocks = job->append.blocks;

                s->appending = false;
                e->committed(s->params.userdata, blocks[0].first, blocks[job->append.n - 1].last, job->error);
        } else if (job->type == JOB_READ) {
                if (job->error < 0) /* whoever asks again at once would be told the same */
                        loop_timer_arm_in(s->read_timer, READ_AGAIN, USEC_PER_SEC);
                else
                        end_reading(s);
        }
        look_at_acked(s);
}

static void drop_job(_unused_ void *userdata, void *job) {
        job_free(job);
}

static void thread_free(Thread *t) {
        disk_free(t->disk);
        free(t);
}

static int start(Store *s) {
        const WorkerParams p = {
                .name = "tbagent-store",
                .jobs_max = JOBS_MAX,
                .events_max = JOBS_MAX,
                .job = on_job,
                .event = on_event,
                .drop_job = drop_job,
                .drop_event = drop_job,
                .userdata = s->thread,
        };

        return worker_new(&s->thread->worker, s->params.loop, &p);
}

int store_new(Store **ret, const StoreParams *params) {
        _cleanup_(store_freep) Store *s = calloc(1, sizeof(*s));
        _cleanup_(job_freep) Job *job = job_new(JOB_OPEN);
        int r;

        if (!s || !job)
                return -ENOMEM;
        s->stopped = true;
        s->params = *params;
        s->params.dir = NULL;
        s->thread = calloc(1, sizeof(*s->thread));
        if (!s->thread)
                return -ENOMEM;
        s->thread->store = s;
        r = disk_new(&s->thread->disk, params->dir, params->max_bytes, params->known_acked, params->known_last);
        if (r == 0)
                s->thread->disk->ring_kept = params->ring_kept;
        if (r == 0)
                r = loop_timer_new(&s->position_timer, params->loop, "store-position", on_position_timer, s);
        if (r == 0)
                r = loop_timer_new(&s->read_timer, params->loop, "store-read", end_reading, s);
        if (r == 0)
                r = loop_timer_new(&s->trim_timer, params->loop, "store-trim", on_trim_timer, s);
        if (r == 0)
                r = start(s);
        if (r < 0)
                return r;
        s->stopped = false;
        r = submit(s, JOB_OPEN, job);
        if (r < 0) {
                (void)store_stop(s, USEC_PER_SEC);
                return r;
        }
        TAKE_PTR(job);
        *ret = TAKE_PTR(s);
        return 0;
}

int store_stop(Store *s, usec_t wait) {
        int r;

        if (s->stopped)
                return s->hangs ? -ETIMEDOUT : 0;
        s->stopped = true;
        loop_timer_disarm(s->position_timer);
        loop_timer_disarm(s->read_timer);
        loop_timer_disarm(s->trim_timer);
        r = worker_stop(s->thread->worker, wait);
        s->hangs = r < 0;
        return r;
}

Store *store_free(Store *s) {
        if (!s)
                return NULL;
        loop_timer_free(s->position_timer);
        loop_timer_free(s->read_timer);
        loop_timer_free(s->trim_timer);
        if (s->thread) {
                worker_free(s->thread->worker);
                if (!s->hangs)
                        thread_free(s->thread);
        }
        free(s);
        return NULL;
}

/* ---- calls */

static StoreBlock *copy_blocks(const StoreBlock *blocks, size_t n) {
        size_t size = n * sizeof(*blocks);
        StoreBlock *copy;
        uint8_t *p;

        for (size_t i = 0; i < n; i++)
                size += blocks[i].size;
        copy = malloc(size);
        if (!copy)
                return NULL;
        memcpy(copy, blocks, n * sizeof(*blocks));
        p = (uint8_t *)(copy + n);
        for (size_t i = 0; i < n; i++) {
                copy[i].records = p;
                if (blocks[i].size > 0)
                        p = mempcpy(p, blocks[i].records, blocks[i].size);
        }
        return copy;
}

int store_append(Store *s, const StoreBlock *blocks, size_t n, uint64_t spare_first, uint64_t spare_last) {
        _cleanup_(job_freep) Job *job = NULL;
        int r;

        if (!s->opened || s->appending)
                return -EAGAIN;
        if (n == 0)
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (blocks[i].size > SEGMENT_RAW_MAX)
                        return -E2BIG;
        job = job_new(JOB_APPEND);
        if (!job)
                return -ENOMEM;
        job->append.blocks = copy_blocks(blocks, n);
        if (!job->append.blocks)
                return -ENOMEM;
        job->append.n = n;
        job->append.spare_first = spare_first;
        job->append.spare_last = spare_last;
        r = submit(s, JOB_APPEND, job);
        if (r < 0)
                return r;
        TAKE_PTR(job);
        s->appending = true;
        return 0;
}

int store_read(Store *s, uint64_t after, size_t max_bytes) {
        _cleanup_(job_freep) Job *job = NULL;
        int r;

        if (!s->opened || s->reading)
                return -EAGAIN;
        job = job_new(JOB_READ);
        if (!job)
                return -ENOMEM;
        job->read.after = after;
        job->read.max_bytes = MAX(max_bytes, (size_t)1);
        r = submit(s, JOB_READ, job);
        if (r < 0)
                return r;
        TAKE_PTR(job);
        s->reading = true;
        return 0;
}

void store_write_position(Store *s) {
        if (s->opened && s->head_name > 0 && s->acked > s->position)
                submit_acked(s, true);
}

void store_acked(Store *s, uint64_t seq) {
        if (seq <= s->acked)
                return;
        s->acked = seq;
        look_at_acked(s);
}

void store_set_era(Store *s, const Era *era) {
        _cleanup_(job_freep) Job *job = job_new(JOB_ERA);

        if (!job)
                return;
        job->era = *era;
        if (submit(s, JOB_ERA, job) == 0)
                TAKE_PTR(job);
}

static int submit_file(Store *s, JobType type, const char *name, const void *data, size_t data_size, size_t size, mode_t mode) {
        _cleanup_(job_freep) Job *job = job_new(type);
        int r;

        if (!job)
                return -ENOMEM;
        job->file.name = strdup(name);
        job->file.data = malloc(data_size + 1);
        if (!job->file.name || !job->file.data)
                return -ENOMEM;
        if (data_size > 0)
                memcpy(job->file.data, data, data_size);
        job->file.data[data_size] = 0;
        job->file.size = size;
        job->file.mode = mode;
        r = submit(s, type, job);
        if (r == 0)
                TAKE_PTR(job);
        return r;
}

int store_write_file(Store *s, const char *name, const void *data, size_t size, mode_t mode) {
        return submit_file(s, JOB_REPLACE, name, data, size, size, mode);
}

int store_append_line(Store *s, const char *name, const char *line, size_t max_size) {
        return submit_file(s, JOB_LINE, name, line, strlen(line), max_size, 0);
}

bool store_is_idle(const Store *s) {
        return s->pending == 0;
}

StoreStats store_stats(const Store *s) {
        return s->stats;
}

uint8_t *store_block_take(StoreBlock *block) {
        uint8_t *records = (uint8_t *)(uintptr_t)block->records;

        block->records = NULL;
        return records;
}

const char *store_state_name(StoreState state) {
        switch (state) {
        case STORE_OPENING:
                return "opening";
        case STORE_OK:
                return "ok";
        case STORE_FULL:
                return "full";
        case STORE_FAILED:
                return "failed";
        }
        return "?";
}

uint64_t store_highest_name(const char *dir) {
        _cleanup_(freep) uint64_t *names = NULL;
        char *folder = NULL;
        size_t n = 0;
        int r;

        if (asprintf(&folder, "%s/spool", dir) < 0)
                return 0;
        r = segment_list(folder, &names, &n);
        free(folder);
        return r == 0 && n > 0 ? names[n - 1] : 0;
}
