/* SPDX-License-Identifier: Apache-2.0 */
/* TLS with certificates made on the spot, and what is said when they do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mqtt-broker.h"
#include "mqtt-watch.h"

#define REQUEST "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
#define SIGN(name, ca, extension)                                                                                                \
        REQUEST "-keyout " name ".key -subj /CN=" name " -out " name ".csr && "                                                  \
                "echo '" extension "' >ext && openssl x509 -req -in " name ".csr -CA " ca ".pem -CAkey " ca                      \
                ".key -CAcreateserial -days 10 -extfile ext -out " name ".pem"
#define AUTHORITY(name) REQUEST "-x509 -keyout " name ".key -subj /CN=" name " -days 10 -out " name ".pem"

static Watch watch;
static Broker plain, tls, strict;
static char ca[96], other[96], cert[96], key[96], missing[96];

static void path(char *ret, const char *name) {
        snprintf(ret, 96, "%s/%s", tls.dir, name);
}

static int setup(_unused_ void **state) {
        char options[512];

        broker_init(&plain, "allow_anonymous true");
        broker_init(&tls, "allow_anonymous true\ncertfile {dir}/server.pem\nkeyfile {dir}/server.key");
        broker_shell(&tls, AUTHORITY("ca") " && " AUTHORITY("other"));
        broker_shell(&tls, SIGN("server", "ca", "subjectAltName=DNS:localhost"));
        broker_shell(&tls, SIGN("device", "ca", "extendedKeyUsage=clientAuth"));
        path(ca, "ca.pem");
        path(other, "other.pem");
        path(cert, "device.pem");
        path(key, "device.key");
        path(missing, "missing.pem");
        snprintf(options, sizeof(options),
                 "allow_anonymous true\ncafile %s\ncertfile %s/server.pem\nkeyfile %s/server.key\nrequire_certificate true", ca,
                 tls.dir, tls.dir);
        broker_init(&strict, options);
        broker_start(&plain);
        broker_start(&tls);
        broker_start(&strict);
        return 0;
}

static int teardown(_unused_ void **state) {
        broker_done(&plain);
        broker_done(&tls);
        broker_done(&strict);
        return 0;
}

static void session_for(Loop *loop, const Broker *b, const char *host, const char *ca_file) {
        watch_init(&watch, loop, "mqtts", host, b->port);
        watch.params.ca_file = ca_file;
}

static void expect(SessionReason reason, const char *words) {
        watch_start(&watch);
        watch_until(&watch, session_state(watch.session) == SESSION_WAITING || session_state(watch.session) == SESSION_CONNECTED);
        if (watch_last(&watch)->reason != reason || !strstr(watch_last(&watch)->text, words))
                print_error("reason %d: %s\n", watch_last(&watch)->reason, watch_last(&watch)->text);
        assert_int_equal(watch_last(&watch)->reason, reason);
        assert_non_null(strstr(watch_last(&watch)->text, words));
}

static void test_good(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        assert_int_equal(loop_new(&loop), 0);
        session_for(loop, &tls, "localhost", ca);
        expect(SESSION_OK, "connected");
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(watch_publish(&watch, i, 16000), 0);
        watch_until(&watch, watch.acked == 50);
        watch_done(&watch);
}

static void test_client_certificate(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        assert_int_equal(loop_new(&loop), 0);
        session_for(loop, &strict, "localhost", ca);
        watch.params.cert_file = cert;
        watch.params.key_file = key;
        expect(SESSION_OK, "connected");
        watch_done(&watch);

        session_for(loop, &strict, "localhost", ca);
        expect(SESSION_NO_NETWORK, "client certificate");
        watch_done(&watch);
}

static void test_bad(_unused_ void **state) {
        _cleanup_(loop_freep) Loop *loop = NULL;

        assert_int_equal(loop_new_simulated(&loop, 1700000000 * USEC_PER_SEC), 0);
        session_for(loop, &tls, "localhost", other);
        expect(SESSION_NO_NETWORK, "not trusted");
        assert_non_null(strstr(watch_last(&watch)->text, "server.ca "));
        watch_done(&watch);

        session_for(loop, &tls, "localhost", NULL); /* the system's */
        expect(SESSION_NO_NETWORK, "not trusted");
        watch_done(&watch);

        session_for(loop, &tls, "127.0.0.1", ca);
        expect(SESSION_NO_NETWORK, "is not for the name 127.0.0.1");
        watch_done(&watch);

        session_for(loop, &tls, "localhost", missing);
        expect(SESSION_NO_NETWORK, "cannot use the CA file");
        watch_done(&watch);

        session_for(loop, &tls, "localhost", ca);
        watch.params.cert_file = cert;
        watch.params.key_file = missing;
        expect(SESSION_NO_NETWORK, "cannot use the client key");
        watch_done(&watch);

        session_for(loop, &plain, "localhost", ca);
        expect(SESSION_NO_NETWORK, "is port");
        watch_done(&watch);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_client_certificate),
                cmocka_unit_test(test_bad),
        };

        session_init_process();
        cmocka_set_message_output(CM_OUTPUT_TAP);
        if (!broker_available() || system("openssl version >/dev/null 2>&1") != 0) {
                puts("1..0 # SKIP mosquitto or openssl is not installed");
                return 0;
        }
        return cmocka_run_group_tests(tests, setup, teardown);
}
