/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/macro.h"
#include "plugin-harness.h"
#include "tree.h"

#define BOILER "28-0316a2795eff"
#define ROOM   "28-00000a0b0c0d"

typedef struct Fixture {
        char *root;
        Option options[8];
        Harness *harness;
        int answers; /* the write end that queue() fills, or -1 */
        int answers_read;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        f->root = tree_new();
        chmod(f->root, 0755);
        tree_put(f->root, "w1_bus_master1/w1_master_slave_count", "1\n");
        f->options[0] = (Option){"path", f->root};
        f->harness = harness_new("onewire", f->options);
        f->answers = f->answers_read = -1;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        harness_free(f->harness);
        tree_free(f->root);
        closep(&f->answers);
        closep(&f->answers_read);
        free(f);
        return 0;
}

/* text NULL: the probe is gone. */
static void probe_put(Fixture *f, const char *id, const char *text) {
        char path[64];

        snprintf(path, sizeof(path), text ? "%s/temperature" : "%s", id);
        tree_put(f->root, path, text);
}

/* What the probe answers to its next reads, one after the other: its file is a pipe of packets. */
static void queue(Fixture *f, const char *id, const char *const *answers) {
        char target[64], link[256];
        int ends[2];

        if (f->answers < 0) {
                assert_int_equal(pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
                f->answers_read = ends[0];
                f->answers = ends[1];
                probe_put(f, id, "");
                snprintf(target, sizeof(target), "/proc/self/fd/%d", f->answers_read);
                snprintf(link, sizeof(link), "%s/%s/temperature", f->root, id);
                assert_int_equal(unlink(link), 0);
                assert_int_equal(symlink(target, link), 0);
        }
        for (; *answers; answers++)
                assert_int_equal(write(f->answers, *answers, strlen(*answers)), (ssize_t)strlen(*answers));
}

static bool queue_empty(Fixture *f) {
        char c;

        return read(f->answers_read, &c, 1) < 0 && errno == EAGAIN;
}

static double value(Fixture *f, const char *key) {
        const Emit *e = harness_last(f->harness, key);

        if (!e)
                fail_msg("no value of %s", key);
        if (e->type != EMIT_DOUBLE)
                fail_msg("%s: %s", key, e->text);
        return e->d;
}

static void expect_bad(Fixture *f, const char *key, const char *why) {
        const Emit *e = harness_last(f->harness, key);

        assert_non_null(e);
        assert_int_equal(e->type, EMIT_BAD);
        if (!strstr(e->text, why))
                fail_msg("%s: \"%s\" lacks \"%s\"", key, e->text, why);
}

static void configure(Fixture *f, const char *id) {
        f->options[1] = (Option){"sensors.boiler_temp.id", id};
}

static void test_configured(void **state) {
        Fixture *f = *state;

        configure(f, "28-0316A2795EFF"); /* in capitals, as printed on some packages */
        probe_put(f, BOILER, "-10125\n");
        probe_put(f, ROOM, "21000\n");
        probe_put(f, "26-000001a2b3c4", "5\n");
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(harness_sample(f->harness), 0);
                assert_float_equal(value(f, "boiler_temp"), -10.125, 0);
        }
        assert_int_equal(harness_emits(f->harness), 2);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, ROOM " on the bus is not used"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "26-000001a2b3c4 on the bus is no thermometer"), 1);
        harness_close(f->harness);
}

static void test_all(void **state) {
        Fixture *f = *state;

        probe_put(f, BOILER, "1000\n");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "w1_" BOILER), 1, 0);
        assert_int_equal(harness_emits(f->harness), 1);
        assert_true(harness_timeout(f->harness) >= 2000000);

        probe_put(f, ROOM, "21500\n"); /* plugged in while it runs */
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "w1_" ROOM), 21.5, 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "found " ROOM), 1);

        probe_put(f, BOILER, NULL); /* and pulled out: expected back, no stale value */
        assert_int_equal(harness_sample(f->harness), 0);
        expect_bad(f, "w1_" BOILER, "is not on the bus");
        assert_int_equal(harness_count(f->harness, "w1_" BOILER), 2);
        probe_put(f, BOILER, "2000\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "w1_" BOILER), 2, 0);
}

static void test_failed_reads(void **state) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                {"", "empty read"},
                {"\n", "no temperature"},
                {"21.5\n", "no temperature"},
                {"t=5\n", "no temperature"},
                {"127937\n", "outside"},
                {"-55001\n", "outside"},
                {"99999999999999999999\n", "no temperature"},
        };
        Fixture *f = *state;

        configure(f, BOILER);
        probe_put(f, BOILER, "1000\n");
        assert_int_equal(harness_open(f->harness), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                probe_put(f, BOILER, cases[i].text);
                assert_true(harness_sample(f->harness) < 0);
                expect_bad(f, "boiler_temp", cases[i].why);
                assert_int_equal(harness_count(f->harness, "boiler_temp"), 0);
        }
        probe_put(f, BOILER, "-55000\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), -55, 0);
}

static void test_old_kernel(void **state) {
        static const char good[] = "50 01 4b 46 7f ff 0c 10 e8 : crc=e8 YES\n50 01 4b 46 7f ff 0c 10 e8 t=21000\n";
        static const char wrong[] = "50 01 4b 46 7f ff 0c 10 e8 : crc=00 NO\n50 01 4b 46 7f ff 0c 10 e8 t=21000\n";
        Fixture *f = *state;

        configure(f, BOILER);
        tree_put(f->root, BOILER "/w1_slave", good);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 21, 0);
        tree_put(f->root, BOILER "/w1_slave", wrong);
        assert_int_equal(harness_sample(f->harness), -EIO);
        expect_bad(f, "boiler_temp", "wrong checksum");
        tree_put(f->root, BOILER "/w1_slave", "");
        assert_int_equal(harness_sample(f->harness), -EIO);
        expect_bad(f, "boiler_temp", "empty read");
        tree_put(f->root, BOILER "/w1_slave", "YES\nt=");
        assert_int_equal(harness_sample(f->harness), -EBADMSG);
        tree_put(f->root, BOILER "/w1_slave", "YES");
        assert_int_equal(harness_sample(f->harness), -EBADMSG);
}

static void test_retries(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        queue(f, BOILER, (const char *const[]){"x\n", "x\n", "21000\n", NULL});
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 21, 0);
        assert_true(queue_empty(f));
        queue(f, BOILER, (const char *const[]){"x\n", "x\n", "x\n", "22000\n", NULL});
        assert_int_equal(harness_sample(f->harness), -EBADMSG);
        f->options[2] = (Option){"retries", "0"}; /* while it runs */
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 22, 0);
        queue(f, BOILER, (const char *const[]){"x\n", "23000\n", NULL});
        assert_int_equal(harness_sample(f->harness), -EBADMSG);
        assert_false(queue_empty(f));
}

static void test_power_on(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        f->options[2] = (Option){"retries", "0"};
        queue(f, BOILER, (const char *const[]){"85000\n", "85000\n", NULL});
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -ERANGE);
        expect_bad(f, "boiler_temp", "as the first reading");
        assert_true(queue_empty(f));

        queue(f, BOILER, (const char *const[]){"85000\n", "20000\n", NULL}); /* once more, and it has converted */
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 20, 0);
        assert_true(queue_empty(f));

        queue(f, BOILER, (const char *const[]){"85000\n", "85000\n", NULL});
        assert_int_equal(harness_sample(f->harness), -ERANGE);
        expect_bad(f, "boiler_temp", "so far from the reading before");

        /* A boiler that does have 85 degrees. */
        queue(f, BOILER, (const char *const[]){"75000\n", "85000\n", "85000\n", "85062\n", "85000\n", "84937\n", NULL});
        for (int i = 0; i < 4; i++)
                assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 84.937, 0);
        assert_true(queue_empty(f));
}

static void test_only(void **state) {
        Fixture *f = *state;

        configure(f, "only");
        tree_put(f->root, "26-000001a2b3c4/name", "a battery monitor is not in the way");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -EIO);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "its probe gives no reading"), 1);
        expect_bad(f, "boiler_temp", "no probe on the bus");
        probe_put(f, BOILER, "84000\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 84, 0);
        probe_put(f, ROOM, "2000\n");
        assert_int_equal(harness_sample(f->harness), -EIO);
        expect_bad(f, "boiler_temp", "there are 2 probes");
        probe_put(f, BOILER, NULL);
        probe_put(f, ROOM, "85000\n"); /* another probe: 84 was not its own reading */
        assert_int_equal(harness_sample(f->harness), -ERANGE);
        probe_put(f, ROOM, "3000\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "boiler_temp"), 3, 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "not used"), 0);
}

static void test_one_of_two_fails(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        f->options[2] = (Option){"sensors.room_temp.id", ROOM};
        probe_put(f, ROOM, "19000\n");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), 0);
        expect_bad(f, "boiler_temp", "is not on the bus");
        assert_float_equal(value(f, "room_temp"), 19, 0);
}

static void test_bad_id(void **state) {
        static const char *const ids[] = {
                "", "boiler", "28-0316a2795ef", "28-0316a2795efff", "28-0316a2795efg", "28_0316a2795eff", "99-0316a2795eff"};
        Fixture *f = *state;

        probe_put(f, ROOM, "19000\n");
        f->options[2] = (Option){"sensors.room_temp.id", ROOM};
        for (size_t i = 0; i < ELEMENTS(ids); i++) {
                configure(f, ids[i]);
                assert_int_equal(harness_open(f->harness), 0);
                assert_int_equal(harness_logged(f->harness, TBAGENT_ERROR, "is no id of a thermometer; write one such as"),
                                 i + 1);
                assert_int_equal(harness_sample(f->harness), 0); /* the other one goes on */
                expect_bad(f, "boiler_temp", "no id of a thermometer");
                assert_float_equal(value(f, "room_temp"), 19, 0);
                harness_close(f->harness);
        }
}

static void test_no_bus(void **state) {
        Fixture *f = *state;

        tree_put(f->root, "w1_bus_master1", NULL); /* the driver is loaded, but there is no bus */
        for (int i = 0; i < 3; i++)
                assert_int_equal(harness_open(f->harness), -ENODEV);
        assert_int_equal(
                harness_logged(f->harness, TBAGENT_WARNING, "add dtoverlay=w1-gpio to /boot/firmware/config.txt and reboot"), 3);
        f->options[0].value = "/nowhere/at/all";
        assert_int_equal(harness_open(f->harness), -ENODEV);
        f->options[0].value = f->root;

        tree_put(f->root, "w1_bus_master1/w1_master_slave_count", "0\n");
        tree_put(f->root, "00-800000000000/name", "what a floating line shows\n");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(harness_sample(f->harness), -EAGAIN);
        assert_int_equal(harness_sample(f->harness), -EAGAIN);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "lacks the pull-up"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "no temperature probe on the bus yet"), 1);
        tree_put(f->root, "w1_bus_master1", NULL);
        assert_int_equal(harness_sample(f->harness), -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "dtoverlay"), 5);
}

static void test_permission(void **state) {
        bool root = geteuid() == 0;
        Fixture *f = *state;
        char path[256];

        configure(f, BOILER);
        probe_put(f, BOILER, "1000\n");
        snprintf(path, sizeof(path), "%s/" BOILER "/temperature", f->root);
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(harness_open(f->harness), 0);
        if (root)
                assert_int_equal(seteuid(65534), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(harness_sample(f->harness), -EACCES);
                expect_bad(f, "boiler_temp", "permission denied");
        }
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "boiler_temp: may not read"), 1);
        harness_close(f->harness);
        if (root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(chmod(f->root, 0700), 0);
        if (!root)
                assert_int_equal(chmod(f->root, 0), 0);
        if (root)
                assert_int_equal(seteuid(65534), 0);
        assert_int_equal(harness_open(f->harness), -EACCES);
        if (root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(chmod(f->root, 0700), 0);
}

static void test_scan(void **state) {
        Fixture *f = *state;

        probe_put(f, ROOM, "19062\n");
        probe_put(f, BOILER, "");
        probe_put(f, "26-000001a2b3c4", "1\n");
        assert_int_equal(harness_scan(f->harness), 0);
        assert_string_equal(
                harness_found(f->harness, 0),
                "{\"id\":\"28-00000a0b0c0d\",\"what\":\"DS18B20 thermometer, 19.062 degrees Celsius\",\"family\":\"28\","
                "\"group\":\"sensors\",\"config\":\"w1_28-00000a0b0c0d = { id = \\\"28-00000a0b0c0d\\\"; };\"}");
        assert_non_null(strstr(harness_found(f->harness, 1), "DS18B20 thermometer, no reading: 28-0316a2795eff does not answer"));
        assert_null(harness_found(f->harness, 2));
        tree_put(f->root, "w1_bus_master1", NULL);
        assert_int_equal(harness_scan(f->harness), -ENODEV);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_configured), TEST(test_all),      TEST(test_failed_reads), TEST(test_old_kernel),
                TEST(test_retries),    TEST(test_power_on), TEST(test_only),         TEST(test_one_of_two_fails),
                TEST(test_bad_id),     TEST(test_no_bus),   TEST(test_permission),   TEST(test_scan),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
