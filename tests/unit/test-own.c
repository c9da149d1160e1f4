/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that the device makes for itself, and what becomes of them when the card moves to another board. */
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/certificate.h"
#include "agent/own.h"
#include "base/file.h"
#include "tree.h"

#define SERVER "mqtt://thingsboard.example.com"

static char *root;
static const Board first = { .digits = "aaaaaaaaaaaa", .serial = "1000000000000001" };
static const Board second = { .digits = "bbbbbbbbbbbb", .serial = "2/../../2" };

static int setup(void **state _unused_) {
        root = tree_new();
        return 0;
}

static int teardown(void **state _unused_) {
        root = tree_free(root);
        return 0;
}

/* ---- */

static Own make(ProvisionType type, const Board *board) {
        Own o;

        assert_int_equal(own_make(&o, root, type, "say \"hello\"\\\n\xc3\xa9", board, SERVER), 0);
        assert_int_equal(o.type, type);
        assert_false(o.granted);
        return o;
}

static Own load(void) {
        _cleanup_(freep) char *text = NULL;
        Own o;

        if (own_load(&o, root, SERVER, &text) < 0)
                fail_msg("%s", text ? text : "not loaded");
        return o;
}

static void path_to(char out[static 512], const char *name) {
        snprintf(out, 512, "%s/%s", root, name);
}

static bool is_there(const char *name) {
        char path[512];

        path_to(path, name);
        return access(path, F_OK) == 0;
}

static void put(const char *name, const char *text) {
        char path[512];

        path_to(path, name);
        assert_true(file_replace(path, text, strlen(text), 0600) >= 0);
}

static void expect_secret(const char *name) {
        char path[512];
        struct stat st;

        path_to(path, name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static void same(const char *a, const char *b) {
        if (a || b) {
                assert_non_null(a);
                assert_non_null(b);
                assert_string_equal(a, b);
        }
}

static void what_is_made_is_read_again(void **state _unused_) {
        for (int type = 0; type < _PROVISION_TYPE_MAX; type++) {
                Own a = make((ProvisionType)type, &first), b = load();

                assert_int_equal(a.type, b.type);
                assert_false(b.granted);
                same(a.name, b.name);
                same(a.token, b.token);
                same(a.client_id, b.client_id);
                same(a.username, b.username);
                same(a.password, b.password);
                same(a.certificate, b.certificate);
                same(b.board, first.serial);
                expect_secret(OWN_FILE);
                own_done(&a);
                own_done(&b);
        }
        expect_secret("device.key");
}

static void secrets_are_made_anew_each_time(void **state _unused_) {
        Own a = make(PROVISION_TOKEN, &first), b = make(PROVISION_TOKEN, &first);

        assert_int_equal(strlen(a.token), 20);
        assert_string_not_equal(a.token, b.token);
        own_done(&a);
        own_done(&b);
}

static void the_certificate_is_of_that_key(void **state _unused_) {
        _cleanup_(freep) char *certificate = NULL, *key = NULL;
        BIO *c, *k;
        X509 *x;
        EVP_PKEY *p;
        char name[200];

        assert_int_equal(certificate_make("pi-1 of the \"cellar\"", &certificate, &key), 0);
        c = BIO_new_mem_buf(certificate, -1);
        k = BIO_new_mem_buf(key, -1);
        x = PEM_read_bio_X509(c, NULL, NULL, NULL);
        p = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
        assert_non_null(x);
        assert_non_null(p);
        assert_int_equal(X509_check_private_key(x, p), 1);
        assert_int_equal(X509_verify(x, p), 1);
        assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name)) > 0);
        assert_string_equal(name, "pi-1 of the \"cellar\"");
        assert_true(X509_cmp_current_time(X509_get0_notBefore(x)) < 0);
        EVP_PKEY_free(p);
        X509_free(x);
        BIO_free(c);
        BIO_free(k);
}

static void a_name_of_any_length_gets_a_certificate(void **state _unused_) {
        _cleanup_(freep) char *certificate = NULL, *key = NULL;
        char name[300];

        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(certificate_make(name, &certificate, &key), 0);
}

static void what_the_server_gives_takes_their_place(void **state _unused_) {
        Own o = make(PROVISION_TOKEN, &first);
        size_t size;
        _cleanup_(freep) char *text = NULL;

        assert_int_equal(own_take(&o, &(ProvisionCredentials){ .type = PROVISION_X509, .certificate = "x" }), -EBADMSG);
        assert_int_equal(own_take(&o, &(ProvisionCredentials){ .type = PROVISION_BASIC, .username = "u", .password = "p" }), 0);
        text = own_text(&o, &size);
        put(OWN_FILE, text);
        own_done(&o);
        o = load();
        assert_true(o.granted);
        assert_int_equal(o.type, PROVISION_BASIC);
        assert_null(o.token);
        same(o.username, "u");
        same(o.password, "p");
        own_done(&o);
}

static void another_servers_are_not_used(void **state _unused_) {
        Own o = make(PROVISION_TOKEN, &first);
        _cleanup_(freep) char *text = NULL;

        own_done(&o);
        assert_int_equal(own_load(&o, root, "mqtts://other.example.com", &text), -ENOENT);
}

static void any_part_of_the_file_is_told_or_whole(void **state _unused_) {
        Own o = make(PROVISION_BASIC, &first), got;
        size_t size;
        _cleanup_(freep) char *text = own_text(&o, &size);

        for (size_t i = 0; i < size; i++) {
                _cleanup_(freep) char *why = NULL;
                char path[512];
                int r;

                path_to(path, OWN_FILE);
                assert_true(file_replace(path, text, i, 0600) >= 0);
                r = own_load(&got, root, SERVER, &why);
                if (r == 0) { /* then all that a login needs is there, as it was */
                        same(got.client_id, o.client_id);
                        own_done(&got);
                } else if (r != -ENOENT) {
                        assert_non_null(why);
                        assert_null(strstr(why, o.password)); /* told in the log */
                }
        }
        own_done(&o);
}

/* ---- the card moves */

static int mind(const Board *board, const char *words) {
        _cleanup_(freep) char *text = NULL;
        int r = own_mind_board(root, board, &text);

        if (words && (!text || !strstr(text, words)))
                fail_msg("%s is not in: %s", words, text ? text : "(nothing)");
        return r;
}

static void live_in(const Board *board, const char *rows) {
        Own o = make(PROVISION_X509, board);

        own_done(&o);
        put("shared.conf", rows);
        put("last-good.conf", "x");
        tree_put(root, "spool/1", rows);
}

static void expect_rows(const char *name, const char *rows) {
        _cleanup_(freep) char *text = NULL;
        char path[512];
        size_t size;

        path_to(path, name);
        assert_int_equal(file_read(path, 1000, &text, &size), 0);
        assert_string_equal(text, rows);
}

static void its_own_state_stays(void **state _unused_) {
        assert_int_equal(mind(&first, NULL), 0); /* nothing is there */
        live_in(&first, "1");
        assert_int_equal(mind(&first, NULL), 0);
        assert_true(is_there(OWN_FILE) && is_there("spool/1"));
}

static void another_boards_state_is_set_aside_and_comes_back(void **state _unused_) {
        live_in(&first, "1");
        assert_int_equal(mind(&second, "the card comes from board 1000000000000001"), 1);
        assert_false(is_there(OWN_FILE) || is_there("spool") || is_there("shared.conf") || is_there("device.key"));
        assert_true(is_there("last-good.conf")); /* what a user has configured holds for the next one */
        assert_int_equal(mind(&second, NULL), 0);
        live_in(&second, "2");
        assert_int_equal(mind(&first, "its credentials and data are back"), 1);
        expect_rows("spool/1", "1");
        expect_rows("of-2_.._.._2/spool/1", "2");
        assert_int_equal(mind(&first, NULL), 0);
        assert_int_equal(mind(&second, "are back from"), 1);
        expect_rows("spool/1", "2");
        expect_rows("of-1000000000000001/shared.conf", "1");
}

static void a_half_done_move_goes_on(void **state _unused_) {
        char from[512], to[512];

        live_in(&first, "1");
        tree_put(root, "of-1000000000000001/x", "");
        path_to(from, "spool");
        path_to(to, "of-1000000000000001/spool");
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(mind(&second, "set aside"), 1);
        expect_rows("of-1000000000000001/spool/1", "1");
        assert_false(is_there(OWN_FILE));
        path_to(from, "of-1000000000000001/spool"); /* and half of the way back */
        path_to(to, "spool");
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(mind(&first, "are back from"), 1);
        expect_rows("spool/1", "1");
}

static void what_cannot_be_set_aside_is_told(void **state _unused_) {
        live_in(&first, "1");
        put("of-1000000000000001", "a file in the way");
        assert_true(mind(&second, "cannot be set aside") < 0);
        assert_true(is_there(OWN_FILE) && is_there("spool/1"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(what_is_made_is_read_again),
                TEST(secrets_are_made_anew_each_time),
                TEST(the_certificate_is_of_that_key),
                TEST(a_name_of_any_length_gets_a_certificate),
                TEST(what_the_server_gives_takes_their_place),
                TEST(another_servers_are_not_used),
                TEST(any_part_of_the_file_is_told_or_whole),
                TEST(its_own_state_stays),
                TEST(another_boards_state_is_set_aside_and_comes_back),
                TEST(a_half_done_move_goes_on),
                TEST(what_cannot_be_set_aside_is_told),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
