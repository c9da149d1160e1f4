/* SPDX-License-Identifier: Apache-2.0 */
/* The ring after `kill -9`: at random moments, and after every single instruction of each call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "spool/ring-file.h"

#include "ring-fixture.h"

#define SIZE (16 * KIB)
#define KILLS 110
#define CHILD_CANNOT 42

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#if !defined(SANITIZED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define SANITIZED true
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static uint32_t random_next(uint32_t *random) {
        *random = *random * 1664525 + 1013904223;
        return *random >> 8;
}

/* ---- at random moments */

/* What the child has finished. */
typedef struct Shared {
        volatile uint64_t changes, first, next;
} Shared;

static void change_for_ever(const char *path, size_t size, uint32_t random, Shared *shared) {
        RingOpened opened;
        Ring *r;

        if (ring_open(&r, &(RingParams){ .path = path, .size = size, .first_seq = 1 }, &opened) < 0)
                abort();
        for (;;) {
                uint32_t choice = random_next(&random) % 100;
                int cell = choice % 3 == 0 ? (int)(random_next(&random) % RING_CELLS) : -1;

                if (choice < 20)
                        take(r, ring_first(r) + random_next(&random) % 20, cell);
                else if (ring_used(r) > SIZE - 2 * KIB || put(r, cell) < 0)
                        take(r, ring_first(r) + random_next(&random) % 60, cell);
                shared->first = ring_first(r);
                shared->next = ring_next(r);
                shared->changes++;
        }
}

/* Dies after `changes` and a little. */
static void run_and_kill(const char *path, size_t size, uint32_t *random, Shared *shared) {
        uint64_t changes = shared->changes + random_next(random) % 300;
        uint32_t spin = random_next(random) % 200;
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0)
                change_for_ever(path, size, random_next(random), shared);
        while (shared->changes < changes)
                sched_yield();
        while (spin-- > 0)
                __atomic_signal_fence(__ATOMIC_SEQ_CST);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* All that was finished is there, and of the rest all or nothing. Now and then the size is another one. */
static void test_random_moments(void **state) {
        RingFixture *f = *state;
        Shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        uint32_t random = 1;

        assert_ptr_not_equal(shared, MAP_FAILED);
        shared->first = shared->next = 1;
        for (unsigned i = 0; i < KILLS; i++) {
                size_t size = SIZE + i / 7 % 5 * 4 * KIB;
                RingOpened opened;
                Ring *r;

                run_and_kill(f->path, size, &random, shared);
                assert_int_equal(ring_open(&r, &(RingParams){ .path = f->path, .size = size, .first_seq = 1 }, &opened), 0);
                assert_true(opened.how == RING_KEPT || (opened.how == RING_NEW && shared->next == 1));
                assert_string_equal(opened.text, "");
                assert_int_equal(opened.lost_rows, 0);
                assert_whole(r);
                assert_in_range(ring_next(r), shared->next, shared->next + 1);
                assert_true(ring_first(r) >= shared->first);
                assert_true(ring_first(r) == shared->first || ring_next(r) == shared->next);
                shared->first = ring_first(r);
                shared->next = ring_next(r);
                ring_free(r);
        }
        assert_true(shared->next > KILLS);
        print_message("# %d times killed, %llu rows\n", KILLS, (unsigned long long)shared->next - 1);
        munmap(shared, sizeof(*shared));
}

/* ---- after every instruction */

#define CHANGES 21

/* Fills the ring so far that the rows of the changes go round its end. */
static void prepare(Ring *r) {
        while (put(r, -1) == 0)
                ;
        take(r, ring_next(r) - 12, 1);
        while (ring_used(r) < 2000 && put(r, -1) == 0)
                ;
}

static void change(Ring *r, unsigned i) {
        switch (i % 7) {
        case 0:
                take(r, ring_first(r) + 1, -1);
                break;
        case 1:
                take(r, ring_first(r), 2);
                break;
        case 2:
                put(r, -1);
                break;
        case 3: /* several rows are one change */
                ring_gather(r, true);
                put(r, -1);
                put(r, -1);
                put(r, -1);
                ring_gather(r, false);
                break;
        case 4:
                put(r, 2);
                break;
        case 5:
                ring_set_done(r, ring_next(r) - 2);
                break;
        default:
                if (i > CHANGES / 2)
                        take(r, i == CHANGES - 1 ? UINT64_MAX : 0, 3);
                else
                        put(r, i % 4 == 1 ? 2 : 4);
        }
}

static void child_to_be_stepped(const char *path) {
        RingOpened opened;
        Ring *r;

        if (ring_open(&r, &(RingParams){ .path = path, .size = SIZE, .first_seq = 1 }, &opened) < 0)
                abort();
        prepare(r);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                _exit(CHILD_CANNOT);
        raise(SIGSTOP);
        for (unsigned i = 0; i < CHANGES; i++)
                change(r, i);
        _exit(0);
}

/* What the ring is before and after each change. */
static void follow(uint64_t digests[static CHANGES + 1]) {
        Ring *r = must_open(NULL, SIZE, RING_NEW, "");
        uint64_t first;

        prepare(r);
        first = ring_first(r);
        digests[0] = digest_of(r);
        for (unsigned i = 0; i < CHANGES; i++) {
                change(r, i);
                digests[i + 1] = digest_of(r);
                assert_true(digests[i + 1] != digests[i]);
        }
        assert_true(ring_first(r) > first);
        ring_free(r);
}

/* One step of the child: true; false: it has ended. cannot: this machine does not do it. */
static bool step(pid_t child, bool *cannot) {
        int status;

        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0) {
                *cannot = true;
                return false;
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFSTOPPED(status))
                return true;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
}

static uint64_t digest_of_snapshot(const char *path, const void *bytes, size_t size) {
        uint64_t digest;
        Ring *r;

        spit(path, bytes, size);
        r = must_open(path, SIZE, RING_KEPT, "");
        digest = digest_of(r);
        ring_free(r);
        return digest;
}

static bool can_be_stepped(pid_t child) {
        int status;

        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFSTOPPED(status))
                return true;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), CHILD_CANNOT);
        return false;
}

static void expect_all_or_nothing(const RingFixture *f, pid_t child) {
        const size_t size = sizeof(RingHeader) + SIZE;
        uint64_t digests[CHANGES + 1];
        unsigned long steps = 0, snapshots = 0;
        uint8_t *last = malloc(size), *file;
        char copy[80];
        bool cannot = false;
        unsigned done = 0;
        int fd;

        snprintf(copy, sizeof(copy), "%s-copy", f->path);
        fd = open(f->path, O_RDONLY | O_CLOEXEC);
        file = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        assert_non_null(last);
        assert_ptr_not_equal(file, MAP_FAILED);
        close(fd);
        follow(digests);
        memcpy(last, file, size);
        assert_true(digest_of_snapshot(copy, last, size) == digests[0]);
        for (; step(child, &cannot); steps++) {
                uint64_t digest;

                if (memcmp(last, file, size) == 0)
                        continue;
                memcpy(last, file, size);
                snapshots++;
                digest = digest_of_snapshot(copy, last, size);
                if (digest != digests[done]) {
                        done++;
                        assert_in_range(done, 1, CHANGES);
                        assert_true(digest == digests[done]);
                }
        }
        if (!cannot) {
                assert_int_equal(done, CHANGES);
                assert_true(snapshots > 3 * CHANGES); /* a record, a state, a generation each; wide stores make few of many */
        }
        print_message("# %lu instructions, %lu of them changed the file%s\n", steps, snapshots,
                      cannot ? ", and this machine does not step" : "");
        munmap(file, size);
        free(last);
}

static bool under_valgrind(void) {
        const char *preload = getenv("LD_PRELOAD");

        return preload && strstr(preload, "vgpreload");
}

static void test_every_instruction(void **state) {
        const RingFixture *f = *state;
        pid_t child;

        if (SANITIZED || under_valgrind()) {
                print_message("# not stepped through under sanitizers and valgrind\n");
                return;
        }
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                child_to_be_stepped(f->path);
        if (can_be_stepped(child))
                expect_all_or_nothing(f, child);
        else
                print_message("# not stepped through: ptrace() is forbidden here\n");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_random_moments, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_every_instruction, fixture_setup, fixture_teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
