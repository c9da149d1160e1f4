/* SPDX-License-Identifier: Apache-2.0 */
/* On a simulated clock, with a real file. A process that was killed is one that is not freed before the next one reads. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "tb/redelivery.h"
#include "tree.h"

#define INTERRUPTED "{\"error\":\"interrupted\"}"
#define KEEP REDELIVERY_KEEP

typedef struct Test {
        Loop *loop;
        Redelivery *d;
        char *root, path[256];
} Test;

static Test test;

static Redelivery *begin(void) {
        Redelivery *d;
        int file;

        assert_int_equal(redelivery_new(&d, test.loop, test.path, &file), 0);
        assert_int_equal(file, 0);
        return d;
}

static int setup(void **state _unused_) {
        test = (Test){ .root = tree_new() };
        snprintf(test.path, sizeof(test.path), "%s/rpc", test.root);
        if (loop_new_simulated(&test.loop, 0) < 0)
                return -1;
        test.d = begin();
        return 0;
}

static int teardown(void **state _unused_) {
        test.d = redelivery_free(test.d);
        test.loop = loop_free(test.loop);
        test.root = tree_free(test.root);
        return 0;
}

/* The same again in another process. */
static void restart(void) {
        test.d = redelivery_free(test.d);
        test.d = begin();
}

static Delivery take_in(Redelivery *d, uint32_t id, uint64_t hash, uint64_t *ret_token) {
        *ret_token = 0;
        return redelivery_take(d, id, hash, INTERRUPTED, ret_token);
}

static uint64_t take(uint32_t id, uint64_t hash, Delivery expected) {
        uint64_t token;
        Delivery got = take_in(test.d, id, hash, &token);

        if (got != expected)
                fail_msg("request %u, %u: %d, not %d", (unsigned)id, (unsigned)hash, (int)got, (int)expected);
        return token;
}

static void reply(uint64_t token, const char *json) {
        assert_int_equal(redelivery_set_reply(test.d, token, json, json ? strlen(json) : 0), 0);
}

static void expect_reply(uint64_t token, uint32_t id, const char *json) {
        uint32_t to = 99;
        size_t size;
        const char *text = redelivery_reply(test.d, token, &to, &size);

        if (!json) {
                assert_null(text);
                return;
        }
        assert_non_null(text);
        assert_string_equal(text, json);
        assert_int_equal(size, strlen(json));
        assert_int_equal(to, id);
}

static uint64_t take_and_reply(uint32_t id, uint64_t hash, const char *json) {
        uint64_t token = take(id, hash, DELIVERY_NEW);

        reply(token, json);
        return token;
}

static void advance(usec_t by) {
        assert_int_equal(loop_advance(test.loop, by), 0);
}

/* ---- the states */

static void a_request_is_run_once(void **state _unused_) {
        uint64_t a = take(0, 5, DELIVERY_NEW), b = take(1, 5, DELIVERY_NEW); /* the same body under another id */

        assert_int_not_equal(a, b);
        take(0, 5, DELIVERY_RUNNING);
        expect_reply(a, 0, NULL);
        reply(a, "true");
        expect_reply(a, 0, "true");
        assert_int_equal(take(0, 5, DELIVERY_AGAIN), a);
        advance(86400 * USEC_PER_SEC); /* as long as nothing is acknowledged */
        assert_int_equal(take(0, 5, DELIVERY_AGAIN), a);
        take(1, 5, DELIVERY_RUNNING);
}

static void an_acknowledged_reply_is_kept_for_a_minute(void **state _unused_) {
        uint64_t a = take_and_reply(7, 5, "1");

        redelivery_acked(test.d, a);
        advance(KEEP - 1);
        assert_int_equal(take(7, 5, DELIVERY_AGAIN), a);
        expect_reply(a, 7, "1");
        redelivery_acked(test.d, a); /* which begins the minute anew */
        advance(KEEP - 1);
        assert_int_equal(take(7, 5, DELIVERY_AGAIN), a);
        advance(1);
        assert_int_not_equal(take(7, 5, DELIVERY_NEW), a);
        expect_reply(a, 7, NULL);
}

static void silence_is_kept_too(void **state _unused_) {
        uint64_t a = take(3, 5, DELIVERY_NEW);

        reply(a, NULL);
        expect_reply(a, 3, NULL);
        take(3, 5, DELIVERY_RUNNING);
        advance(KEEP - 1);
        take(3, 5, DELIVERY_RUNNING);
        advance(1);
        take(3, 5, DELIVERY_NEW);
}

static void tokens_that_do_not_run_take_no_reply(void **state _unused_) {
        uint64_t a = take_and_reply(0, 5, "1");

        assert_int_equal(redelivery_set_reply(test.d, a, "2", 1), -ENOENT);
        expect_reply(a, 0, "1");
        assert_int_equal(redelivery_set_reply(test.d, 0, "2", 1), -ENOENT);
        assert_int_equal(redelivery_set_reply(test.d, a + 1, "2", 1), -ENOENT);
        redelivery_acked(test.d, 0);
        redelivery_acked(test.d, a + 1);
        a = take(1, 5, DELIVERY_NEW);
        redelivery_acked(test.d, a); /* of what runs: nobody sent a reply */
        take(1, 5, DELIVERY_RUNNING);
}

/* ---- ids that start again */

static void another_body_under_a_known_id_clears_the_table(void **state _unused_) {
        uint64_t runs = take(2, 3, DELIVERY_NEW), acked = take_and_reply(0, 1, "1"), unacked = take_and_reply(1, 2, "2"), again;

        redelivery_acked(test.d, acked);
        take(0, 9, DELIVERY_NEW);
        expect_reply(unacked, 1, NULL);
        take(1, 2, DELIVERY_NEW);
        again = take(2, 3, DELIVERY_NEW); /* it runs a second time, because it is another one */
        reply(runs, "late");
        expect_reply(runs, 2, NULL); /* and the first one's reply goes nowhere */
        take(2, 3, DELIVERY_RUNNING);
        reply(again, "new");
        expect_reply(again, 2, "new");
}

static void an_id_far_below_all_clears_the_table(void **state _unused_) {
        uint64_t runs = take(REDELIVERY_MAX + 10, 1, DELIVERY_NEW), again;

        take_and_reply(REDELIVERY_MAX + 11, 2, "2");
        take(11, 3, DELIVERY_NEW); /* late, perhaps: the table may hold so many */
        take(REDELIVERY_MAX + 11, 2, DELIVERY_AGAIN);
        take(10, 3, DELIVERY_NEW);
        reply(runs, "late");
        expect_reply(runs, REDELIVERY_MAX + 10, NULL);
        again = take(REDELIVERY_MAX + 10, 1, DELIVERY_NEW);
        reply(again, "new");
        expect_reply(again, REDELIVERY_MAX + 10, "new");
}

static void a_running_one_with_another_body_is_left_to_itself(void **state _unused_) {
        uint64_t old = take(4, 1, DELIVERY_NEW), new = take(4, 2, DELIVERY_NEW);

        take(4, 2, DELIVERY_RUNNING);
        reply(new, "new");
        reply(old, NULL);
        assert_int_equal(take(4, 2, DELIVERY_AGAIN), new);
        expect_reply(new, 4, "new");
        redelivery_acked(test.d, old);
        expect_reply(old, 4, NULL);
}

/* ---- bounds */

static void so_many_run_at_one_time(void **state _unused_) {
        uint64_t tokens[REDELIVERY_RUNNING_MAX];

        for (uint32_t i = 0; i < REDELIVERY_RUNNING_MAX; i++)
                tokens[i] = take(i, i, DELIVERY_NEW);
        take(1000, 5, DELIVERY_BUSY);
        take(0, 0, DELIVERY_RUNNING);
        reply(tokens[7], "1");
        take(1000, 5, DELIVERY_NEW);
        take(1001, 5, DELIVERY_BUSY);
        take(0, 99, DELIVERY_BUSY); /* the ids have started again, but all of the others still run */
        reply(tokens[0], "1");
        take(0, 99, DELIVERY_NEW);
}

/* What is acknowledged is forgotten first, then what has a reply; each time the oldest. */
static void the_oldest_that_is_done_makes_room(void **state _unused_) {
        uint64_t acked[2], runs = take(0, 0, DELIVERY_NEW);

        acked[0] = take_and_reply(1, 1, "a");
        for (uint32_t i = 2; i < REDELIVERY_MAX - 1; i++)
                take_and_reply(i, i, "r");
        acked[1] = take_and_reply(REDELIVERY_MAX - 1, 7, "b");
        redelivery_acked(test.d, acked[1]);
        redelivery_acked(test.d, acked[0]);
        take_and_reply(REDELIVERY_MAX, 1, "x");
        expect_reply(acked[0], 1, NULL);
        expect_reply(acked[1], REDELIVERY_MAX - 1, "b");
        take_and_reply(REDELIVERY_MAX + 1, 1, "x");
        expect_reply(acked[1], 0, NULL);
        take(2, 2, DELIVERY_AGAIN);
        take_and_reply(REDELIVERY_MAX + 2, 1, "x");
        take(3, 3, DELIVERY_AGAIN);
        take(0, 0, DELIVERY_RUNNING);
        take_and_reply(2, 2, "new"); /* 2 was the oldest; it is a new one now, and 3 is gone for it */
        take(4, 4, DELIVERY_AGAIN);
        take(3, 3, DELIVERY_NEW);
        reply(runs, "1");
}

static char *text_of(size_t size) {
        char *text = malloc(size + 1);

        assert_non_null(text);
        memset(text, 'x', size);
        text[size] = '\0';
        return text;
}

/* 64 replies of 32 KiB are more than is kept: the texts of the oldest go, what was run stays known. */
static void the_texts_of_replies_are_bounded(void **state _unused_) {
        _cleanup_(freep) char *text = text_of(32 * KIB);
        uint64_t tokens[64];
        size_t bytes = 0;

        for (int ack = 0; ack < 2; ack++) {
                for (uint32_t i = 0; i < ELEMENTS(tokens); i++) {
                        tokens[i] = take_and_reply(100 * (uint32_t)ack + i, i, text);
                        if (ack)
                                redelivery_acked(test.d, tokens[i]);
                }
                bytes = 0;
                for (uint32_t i = 0; i < ELEMENTS(tokens); i++) {
                        uint32_t id;
                        size_t size;

                        bytes += redelivery_reply(test.d, tokens[i], &id, &size) ? size : 0;
                }
                assert_in_range(bytes, REDELIVERY_BYTES_MAX / 2, REDELIVERY_BYTES_MAX);
                assert_int_equal(take(100 * (uint32_t)ack, 0, DELIVERY_AGAIN), tokens[0]);
                expect_reply(tokens[0], 100 * (uint32_t)ack, INTERRUPTED); /* it can't be said any more */
                expect_reply(tokens[63], 100 * (uint32_t)ack + 63, text);
                for (uint32_t i = 0; i < ELEMENTS(tokens); i++)
                        redelivery_acked(test.d, tokens[i]);
        }
}

/* ---- the file */

static void a_killed_process_is_told_from_an_orderly_one(void **state _unused_) {
        for (int killed = 0; killed < 2; killed++) {
                Redelivery *old = test.d;
                uint64_t token;

                take(0, 1, DELIVERY_NEW);
                token = take_and_reply(1, 2, "2");
                if (killed)
                        test.d = begin();
                else
                        restart();
                token = take(0, 1, DELIVERY_AGAIN);
                expect_reply(token, 0, INTERRUPTED);
                token = take(1, 2, DELIVERY_AGAIN);
                expect_reply(token, 1, INTERRUPTED); /* whether the reply was told is not known */
                redelivery_acked(test.d, token);
                advance(KEEP);
                take(1, 2, DELIVERY_NEW);
                take(0, 1, DELIVERY_AGAIN);
                take(5, 5, DELIVERY_NEW);
                if (killed)
                        redelivery_free(old);
                assert_int_equal(unlink(test.path), 0);
                restart();
        }
}

static void what_was_acknowledged_runs_again_after_a_minute(void **state _unused_) {
        uint64_t token = take_and_reply(3, 1, "1");

        redelivery_acked(test.d, token);
        advance(KEEP - 1);
        restart();
        token = take(3, 1, DELIVERY_AGAIN);
        expect_reply(token, 3, INTERRUPTED); /* the text is not in the file */
        restart();
        advance(1);
        take(3, 1, DELIVERY_NEW);
        restart();
        token = take(3, 1, DELIVERY_AGAIN);
        expect_reply(token, 3, INTERRUPTED);
        take(3, 2, DELIVERY_NEW); /* the ids have started again */
        restart();
        take(3, 2, DELIVERY_AGAIN);
}

static void silence_survives_too(void **state _unused_) {
        uint64_t token = take(3, 1, DELIVERY_NEW);

        reply(token, NULL);
        restart();
        token = 0;
        assert_int_equal(redelivery_take(test.d, 3, 1, NULL, &token), DELIVERY_RUNNING); /* its caller wants silence or a value */
        restart();
        assert_int_equal(redelivery_take(test.d, 3, 1, NULL, &token), DELIVERY_RUNNING);
        advance(KEEP);
        take(3, 1, DELIVERY_NEW);
        restart(); /* while it runs */
        assert_int_equal(redelivery_take(test.d, 3, 1, NULL, &token), DELIVERY_RUNNING);
}

static void what_was_cleared_stays_so(void **state _unused_) {
        take(0, 1, DELIVERY_NEW);
        take_and_reply(1, 1, "1");
        take(0, 2, DELIVERY_NEW);
        restart();
        take(1, 1, DELIVERY_NEW);
        take(0, 1, DELIVERY_NEW); /* which clears again */
}

static void a_full_table_survives(void **state _unused_) {
        for (uint32_t i = 0; i < REDELIVERY_MAX; i++)
                take_and_reply(i, 1000 + i, "1");
        restart();
        for (uint32_t i = 0; i < REDELIVERY_MAX; i++)
                take(i, 1000 + i, DELIVERY_AGAIN);
        take(1000, 1, DELIVERY_NEW);
        restart();
        take(1000, 1, DELIVERY_AGAIN);
}

static void the_file_is_the_owners_alone(void **state _unused_) {
        struct stat st;

        assert_int_equal(stat(test.path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static char *file_with_five(size_t *ret_size) {
        char *bytes;

        for (uint32_t i = 0; i < 5; i++)
                take_and_reply(i, 100 + i, "1");
        assert_int_equal(file_read(test.path, MIB, &bytes, ret_size), 0);
        return bytes;
}

/* How many of the five does a process know that finds these bytes? What it takes for new then runs. */
static unsigned known_of(const char *bytes, size_t size) {
        unsigned n = 0;

        assert_true(file_replace(test.path, bytes, size, 0600) >= 0);
        restart();
        for (uint32_t i = 0; i < 5; i++) {
                uint64_t token;
                Delivery got = take_in(test.d, i, 100 + i, &token);

                assert_true(got == DELIVERY_NEW || got == DELIVERY_AGAIN);
                n += got == DELIVERY_AGAIN;
        }
        return n;
}

/* A record that was damaged is none; all the others hold. */
static void any_flipped_bit_costs_one_record(void **state _unused_) {
        size_t size;
        _cleanup_(freep) char *bytes = file_with_five(&size);

        assert_int_equal(known_of(bytes, size), 5);
        for (size_t i = 0; i < size; i++)
                for (int bit = 0; bit < 8; bit++) {
                        unsigned n;

                        bytes[i] ^= (char)(1 << bit);
                        n = known_of(bytes, size);
                        if (i >= sizeof(uint64_t)) /* else it is another kind of file */
                                assert_in_range(n, 4, 5);
                        bytes[i] ^= (char)(1 << bit);
                }
}

static void a_short_file_costs_what_is_missing(void **state _unused_) {
        size_t size;
        _cleanup_(freep) char *bytes = file_with_five(&size);

        for (size_t n = 0; n <= size; n++)
                assert_int_equal(known_of(bytes, n), n < 8 ? 0 : MIN((n - 8) / 24, (size_t)5));
}

static void foreign_files_are_begun_anew(void **state _unused_) {
        _cleanup_(freep) char *bytes = text_of(100 * KIB);
        struct stat st;

        assert_int_equal(known_of(bytes, 100 * KIB), 0);
        assert_int_equal(stat(test.path, &st), 0);
        assert_in_range(st.st_size, 8, 8 * KIB);
        restart();
        take(0, 100, DELIVERY_AGAIN);
}

static void a_file_that_cannot_be_used_is_told(void **state _unused_) {
        char path[300], link[300], fifo[300];
        const char *const paths[] = { "/no/such/folder/rpc", "/proc/self/status", test.root, link, fifo };

        snprintf(path, sizeof(path), "%s/other", test.root);
        snprintf(link, sizeof(link), "%s/link", test.root);
        snprintf(fifo, sizeof(fifo), "%s/fifo", test.root);
        assert_int_equal(symlink(path, link), 0);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                Redelivery *d = NULL;
                uint64_t token;
                int file = 1;

                assert_int_equal(redelivery_new(&d, test.loop, paths[i], &file), 0);
                if (file >= 0)
                        fail_msg("%s can be used", paths[i]);
                assert_int_equal(take_in(d, 0, 1, &token), DELIVERY_NEW); /* it goes on without */
                assert_int_equal(take_in(d, 0, 1, &token), DELIVERY_RUNNING);
                redelivery_free(d);
        }
        assert_int_equal(access(path, F_OK), -1);
}

static void without_a_file_nothing_survives(void **state _unused_) {
        Redelivery *d;
        int file = 1;

        assert_int_equal(redelivery_new(&d, test.loop, NULL, &file), 0);
        assert_int_equal(file, 0);
        redelivery_free(d);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_request_is_run_once),
                TEST(an_acknowledged_reply_is_kept_for_a_minute),
                TEST(silence_is_kept_too),
                TEST(tokens_that_do_not_run_take_no_reply),
                TEST(another_body_under_a_known_id_clears_the_table),
                TEST(an_id_far_below_all_clears_the_table),
                TEST(a_running_one_with_another_body_is_left_to_itself),
                TEST(so_many_run_at_one_time),
                TEST(the_oldest_that_is_done_makes_room),
                TEST(the_texts_of_replies_are_bounded),
                TEST(a_killed_process_is_told_from_an_orderly_one),
                TEST(what_was_acknowledged_runs_again_after_a_minute),
                TEST(silence_survives_too),
                TEST(what_was_cleared_stays_so),
                TEST(a_full_table_survives),
                TEST(the_file_is_the_owners_alone),
                TEST(any_flipped_bit_costs_one_record),
                TEST(a_short_file_costs_what_is_missing),
                TEST(foreign_files_are_begun_anew),
                TEST(a_file_that_cannot_be_used_is_told),
                TEST(without_a_file_nothing_survives),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
