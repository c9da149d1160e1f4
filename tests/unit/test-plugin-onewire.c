/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/macro.h"
#include "plugin-harness.h"
#include "tree.h"

#define BOILER  "28-0316a2795eff"
#define ROOM    "28-00000a0b0c0d"
#define MASTER  "w1_bus_master1"
#define READING 96 /* what the kernel writes of one */

typedef struct Fixture {
        char *root;
        Option options[8];
        Harness *harness;
        int answers; /* the write end that queue() fills, or -1 */
        int answers_read;
        int64_t now;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        f->root = tree_new();
        chmod(f->root, 0755);
        tree_put(f->root, MASTER "/w1_master_slave_count", "1\n");
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

/* What the kernel writes for a memory that begins with these eight bytes. */
static const char *slave(char text[static READING], const uint8_t m[static 8], const char *verdict, int millidegrees) {
        char bytes[32];

        snprintf(bytes, sizeof(bytes), "%02x %02x %02x %02x %02x %02x %02x %02x 1c", m[0], m[1], m[2], m[3], m[4], m[5], m[6],
                 m[7]);
        snprintf(text, READING, "%s : crc=1c %s\n%s t=%d\n", bytes, verdict, bytes, millidegrees);
        return text;
}

/* A DS18B20 after a conversion; 85 degrees of a copy and of one after power-on have byte 6 = 0x0c. */
static const char *reading(char text[static READING], int millidegrees, uint8_t byte6) {
        int t = millidegrees * 16 / 1000;

        return slave(text, (uint8_t[]){(uint8_t)t, (uint8_t)(t >> 8), 0x4b, 0x46, 0x7f, 0xff, byte6, 0x10}, "YES", millidegrees);
}

/* text NULL: the probe is gone. */
static void file_put(Fixture *f, const char *id, const char *file, const char *text) {
        char path[64];

        snprintf(path, sizeof(path), text ? MASTER "/%s/%s" : MASTER "/%s", id, file);
        tree_put(f->root, path, text);
}

static void probe_put(Fixture *f, const char *id, int millidegrees) {
        char text[READING];

        file_put(f, id, "w1_slave", reading(text, millidegrees, 0x10));
}

/* With another resolution than 12 bits. */
static void probe_put_bits(Fixture *f, const char *id, int millidegrees, int bits) {
        uint8_t config = (uint8_t)((bits - 9) << 5 | 0x1f);
        int t = millidegrees * 16 / 1000;
        char text[READING];

        file_put(f, id, "w1_slave",
                 slave(text, (uint8_t[]){(uint8_t)t, (uint8_t)(t >> 8), 0x4b, 0x46, config, 0xff, 0x10, 0x10}, "YES",
                       millidegrees));
}

static void probe_remove(Fixture *f, const char *id) {
        file_put(f, id, NULL, NULL);
}

/* What the probe answers to its next reads, one after the other: its file is a pipe of packets. */
static void queue_text(Fixture *f, const char *id, const char *answer) {
        char target[64], link[256];
        int ends[2];

        if (f->answers < 0) {
                assert_int_equal(pipe2(ends, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
                f->answers_read = ends[0];
                f->answers = ends[1];
                file_put(f, id, "w1_slave", "");
                snprintf(target, sizeof(target), "/proc/self/fd/%d", f->answers_read);
                snprintf(link, sizeof(link), "%s/" MASTER "/%s/w1_slave", f->root, id);
                assert_int_equal(unlink(link), 0);
                assert_int_equal(symlink(target, link), 0);
        }
        assert_int_equal(write(f->answers, answer, strlen(answer)), (ssize_t)strlen(answer));
}

static void queue(Fixture *f, const char *id, int millidegrees, uint8_t byte6) {
        char text[READING];

        queue_text(f, id, reading(text, millidegrees, byte6));
}

static bool queue_empty(Fixture *f) {
        char c;

        return read(f->answers_read, &c, 1) < 0 && errno == EAGAIN;
}

static int sample_after(Fixture *f, int64_t nsec) {
        f->now += nsec;
        harness_set_now(f->harness, f->now);
        return harness_sample(f->harness);
}

static int sample(Fixture *f) {
        return sample_after(f, 2000000000);
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
        probe_put(f, BOILER, -10125);
        probe_put(f, ROOM, 21000);
        probe_put(f, "26-000001a2b3c4", 5);
        assert_int_equal(harness_open(f->harness), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(sample(f), 0);
                assert_float_equal(value(f, "boiler_temp"), -10.125, 0);
        }
        assert_int_equal(harness_emits(f->harness), 2);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, ROOM " on the bus is not used"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "26-000001a2b3c4 on the bus is no thermometer"), 1);
        harness_close(f->harness);
}

static void test_all(void **state) {
        Fixture *f = *state;

        probe_put(f, BOILER, 1000);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "w1_" BOILER), 1, 0);
        assert_int_equal(harness_emits(f->harness), 1);
        assert_true(harness_timeout(f->harness) >= 2000000);

        probe_put(f, ROOM, 21500); /* plugged in while it runs */
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "w1_" ROOM), 21.5, 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "found " ROOM), 1);

        probe_remove(f, BOILER); /* and pulled out: expected back, no stale value */
        assert_int_equal(sample(f), 0);
        expect_bad(f, "w1_" BOILER, "is not on the bus");
        assert_int_equal(harness_count(f->harness, "w1_" BOILER), 2);
        probe_put(f, BOILER, 2000);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "w1_" BOILER), 2, 0);
}

static void test_failed_reads(void **state) {
        char hot[READING], cold[READING], wrong[READING];
        const struct {
                const char *text, *why;
        } cases[] = {
                {"", "empty read"},
                {"\n", "no temperature"},
                {"21000\n", "no temperature"},
                {"YES\nt=", "no temperature"},
                {"YES", "no temperature"},
                {"50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n", "no temperature"},
                {"50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 t=x\n", "no temperature"},
                {"50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 t=99999999999999999999\n", "no temperature"},
                {reading(hot, 127937, 1), "outside"},
                {reading(cold, -55062, 0x10), "outside"},
                {slave(wrong, (uint8_t[]){0x50, 1, 0x4b, 0x46, 0x7f, 0xff, 0x10, 0x10}, "NO", 21000), "wrong checksum"},
                {"00 00 00 00 00 00 00 00 00 : crc=00 YES\n00 00 00 00 00 00 00 00 00 t=0\n", "only zeros"},
        };
        Fixture *f = *state;

        configure(f, BOILER);
        probe_put(f, BOILER, 1000);
        assert_int_equal(harness_open(f->harness), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                file_put(f, BOILER, "w1_slave", cases[i].text);
                assert_true(sample(f) < 0);
                expect_bad(f, "boiler_temp", cases[i].why);
                assert_int_equal(harness_count(f->harness, "boiler_temp"), 0);
        }
        probe_put(f, BOILER, -55000);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), -55, 0);
        probe_put(f, BOILER, 0); /* a real one has more than zeros in its memory */
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 0, 0);
}

static void test_thermocouple(void **state) {
        static const struct {
                uint8_t fault;
                const char *why;
        } cases[] = {{1, "not connected"}, {2, "touches ground"}, {4, "touches the supply"}};
        Fixture *f = *state;
        char text[READING];

        configure(f, "3b-0000000a0b0c");
        assert_int_equal(harness_open(f->harness), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                uint8_t m[] = {0x01, 0x08, 0x90 | cases[i].fault, 0x01, 0xf0, 0xff, 0xff, 0xff};

                file_put(f, "3b-0000000a0b0c", "w1_slave", slave(text, m, "YES", 128000));
                assert_int_equal(sample(f), -EIO);
                expect_bad(f, "boiler_temp", cases[i].why);
        }
        file_put(f, "3b-0000000a0b0c", "w1_slave",
                 slave(text, (uint8_t[]){0, 8, 0x90, 1, 0xf0, 0xff, 0xff, 0xff}, "YES", 128000));
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 128, 0);
        /* A DS1825 is of the same family, and its lowest bit belongs to the temperature. */
        file_put(f, "3b-0000000a0b0c", "w1_slave",
                 slave(text, (uint8_t[]){0x51, 1, 0x91, 0x46, 0x7f, 0xff, 0x0f, 0x10}, "YES", 21062));
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 21.062, 0);
}

static void test_retries(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        queue_text(f, BOILER, "x\n");
        queue_text(f, BOILER, "x\n");
        queue(f, BOILER, 21000, 0x10);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 21, 0);
        assert_true(queue_empty(f));
        for (int i = 0; i < 3; i++)
                queue_text(f, BOILER, "x\n");
        queue(f, BOILER, 22000, 0x10);
        assert_int_equal(sample(f), -EBADMSG);
        f->options[2] = (Option){"retries", "0"}; /* while it runs */
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 22, 0);
        queue_text(f, BOILER, "x\n");
        queue(f, BOILER, 23000, 0x10);
        assert_int_equal(sample(f), -EBADMSG);
        assert_false(queue_empty(f));
}

static bool conversion_was_started(Fixture *f) {
        char path[256], text[16] = "";
        FILE *file;

        snprintf(path, sizeof(path), "%s/" MASTER "/therm_bulk_read", f->root);
        file = fopen(path, "re");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        fclose(file);
        return strcmp(text, "trigger\n") == 0;
}

/* Read again and again it could keep the kernel from taking it off the bus. */
static void test_left_alone(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        f->options[2] = (Option){"retries", "0"};
        queue_text(f, BOILER, "x\n");
        queue(f, BOILER, 20000, 0x10);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), -EBADMSG);
        tree_put(f->root, MASTER "/therm_bulk_read", "0\n");
        assert_int_equal(sample_after(f, 1000000000), -EBADMSG);
        expect_bad(f, "boiler_temp", "no temperature");
        assert_false(conversion_was_started(f)); /* for nobody */
        assert_int_equal(sample_after(f, 200000000), 0);
        assert_true(conversion_was_started(f));
        assert_float_equal(value(f, "boiler_temp"), 20, 0);
        assert_true(queue_empty(f));
        queue(f, BOILER, 21000, 0x10);
        assert_int_equal(sample_after(f, 1), 0); /* a good one may be read at once */
}

static void test_power_on(void **state) {
        static const int passing[] = {75000, 85000, 85000, 85062, 85000, 84937};
        Fixture *f = *state;

        configure(f, BOILER);
        f->options[2] = (Option){"retries", "0"};
        queue(f, BOILER, 85000, 0x0c);
        queue(f, BOILER, 85000, 0x0c);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), -ERANGE);
        expect_bad(f, "boiler_temp", "as the first reading");
        assert_true(queue_empty(f));

        queue(f, BOILER, 85000, 0x0c); /* once more, and it has converted */
        queue(f, BOILER, 20000, 0x0c);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 20, 0);
        assert_true(queue_empty(f));

        queue(f, BOILER, 85000, 0x0c);
        queue(f, BOILER, 85000, 0x0c);
        assert_int_equal(sample(f), -ERANGE);
        expect_bad(f, "boiler_temp", "so far from the reading before");

        /* A boiler that does have 85 degrees, with a copy of a DS18B20 that cannot say so. */
        for (size_t i = 0; i < ELEMENTS(passing); i++)
                queue(f, BOILER, passing[i], 0x0c);
        for (int i = 0; i < 4; i++)
                assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 84.937, 0);
        assert_true(queue_empty(f));

        queue(f, BOILER, 20000, 0x10);
        assert_int_equal(sample(f), 0);
        queue(f, BOILER, 85000, 0x10); /* it says that it has converted: a real one, however far */
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 85, 0);
        queue(f, BOILER, 85000, 0x0c); /* and one that can say so and does not has lost its supply, however near */
        queue(f, BOILER, 85000, 0x0c);
        assert_int_equal(sample(f), -ERANGE);
        expect_bad(f, "boiler_temp", "not believed of one that says when it has converted");
        assert_true(queue_empty(f));
}

static void test_no_driver(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        file_put(f, BOILER, "name", BOILER "\n");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), -EIO);
        expect_bad(f, "boiler_temp", "has no file w1_slave, so its driver is missing: modprobe w1_therm");
}

static void test_only(void **state) {
        char text[READING];
        Fixture *f = *state;

        configure(f, "only");
        tree_put(f->root, MASTER "/26-000001a2b3c4/name", "a battery monitor is not in the way");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), -EIO);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "its probe gives no reading"), 1);
        expect_bad(f, "boiler_temp", "no probe on the bus");
        probe_put(f, BOILER, 84000);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 84, 0);
        probe_put(f, ROOM, 2000);
        assert_int_equal(sample(f), -EIO);
        expect_bad(f, "boiler_temp", "there are 2 probes");
        probe_remove(f, BOILER);
        file_put(f, ROOM, "w1_slave", reading(text, 85000, 0x0c)); /* another probe: 84 was not its own reading */
        assert_int_equal(sample(f), -ERANGE);
        probe_put(f, ROOM, 3000);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 3, 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "not used"), 0);
}

/* The kernel's common conversion: what is written to the file starts it, and reading it then tells how far it is. */
typedef struct Kernel {
        Fixture *f;
        const char *state;
        useconds_t delay; /* of the write: it converts */
        bool silent;      /* no probe answered: the readings stay as they were */
        char written[32];
        bool was_locked;
        pthread_t thread;
} Kernel;

static void kernel_path(const Fixture *f, char path[static 256], const char *name) {
        snprintf(path, 256, "%s/" MASTER "%s", f->root, name);
}

static bool lock_is_held(const Fixture *f) {
        char path[256];
        int fd, r;

        kernel_path(f, path, "");
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = flock(fd, LOCK_EX | LOCK_NB);
        close(fd);
        return fd >= 0 && r < 0;
}

static void *kernel_run(void *data) {
        Kernel *k = data;
        char path[256];
        int fd;

        kernel_path(k->f, path, "/therm_bulk_read");
        usleep(k->delay);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, k->written, sizeof(k->written) - 1) <= 0) {
                close(fd);
                return NULL;
        }
        k->was_locked = lock_is_held(k->f);
        if (!k->silent) {
                probe_put(k->f, BOILER, 60000);
                probe_put(k->f, ROOM, 21000);
        }
        close(fd);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, k->state, strlen(k->state)) < 0)
                k->written[0] = 0;
        close(fd);
        return NULL;
}

static void kernel_run_with(Kernel *k) {
        const Fixture *f = k->f;
        char path[256];

        kernel_path(f, path, "/therm_bulk_read");
        unlink(path);
        assert_int_equal(mkfifo(path, 0666), 0);
        assert_int_equal(pthread_create(&k->thread, NULL, kernel_run, k), 0);
}

static void kernel_start(Kernel *k, Fixture *f, const char *state) {
        *k = (Kernel){.f = f, .state = state};
        kernel_run_with(k);
}

/* It has waited in vain: nobody asks it any more. */
static void kernel_end(Kernel *k) {
        char path[256];
        int fd;

        kernel_path(k->f, path, "/therm_bulk_read");
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        close(fd);
        pthread_join(k->thread, NULL);
        assert_int_equal(k->written[0], 0);
}

static void test_all_at_once(void **state) {
        Fixture *f = *state;
        Kernel k;

        probe_put(f, BOILER, 1000);
        probe_put(f, ROOM, 2000);
        assert_int_equal(harness_open(f->harness), 0);
        kernel_start(&k, f, "1\n");
        assert_int_equal(sample(f), 0);
        pthread_join(k.thread, NULL);
        assert_string_equal(k.written, "trigger\n"); /* just this; the kernel compares the length, too */
        assert_true(k.was_locked);
        assert_false(lock_is_held(f));
        assert_float_equal(value(f, "w1_" BOILER), 60, 0);
        assert_float_equal(value(f, "w1_" ROOM), 21, 0);

        kernel_start(&k, f, "0\n"); /* it took the word and did nothing */
        assert_int_equal(sample(f), 0);
        pthread_join(k.thread, NULL);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "did not start a common conversion on"), 1);
        assert_int_equal(harness_count(f->harness, "w1_" BOILER), 2);
}

/* The kernel keeps for ever that a conversion was made: a single probe must not be read as it was then. */
static void test_one_at_once(void **state) {
        Fixture *f = *state;
        Kernel k;

        configure(f, BOILER);
        probe_put(f, BOILER, 1000);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0); /* on this bus the kernel has no such thing */
        tree_put(f->root, MASTER "/therm_bulk_read", "0\n");
        assert_int_equal(sample(f), 0);
        assert_true(conversion_was_started(f));
        kernel_start(&k, f, "1\n");
        assert_int_equal(sample(f), 0);
        pthread_join(k.thread, NULL);
        assert_string_equal(k.written, "trigger\n");
        assert_true(k.was_locked);
        assert_float_equal(value(f, "boiler_temp"), 60, 0);
        kernel_start(&k, f, "0\n");
        assert_int_equal(sample(f), 0);
        pthread_join(k.thread, NULL);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "one by one"), 0); /* which makes no difference to it */
}

/* Where no probe answers the kernel says at once that all have converted. What they hold then is old. */
static void test_at_once_in_no_time(void **state) {
        Fixture *f = *state;
        Kernel k;

        configure(f, BOILER);
        f->options[2] = (Option){"sensors.room_temp.id", ROOM};
        probe_put(f, ROOM, 19000);
        queue(f, BOILER, 1000, 0x10); /* what it held; read, and thrown away */
        queue(f, BOILER, 2000, 0x10);
        file_put(f, BOILER, "conv_time", "750000\n");
        assert_int_equal(harness_open(f->harness), 0);
        k = (Kernel){.f = f, .state = "1\n", .silent = true};
        kernel_run_with(&k);
        assert_int_equal(sample(f), 0);
        pthread_join(k.thread, NULL);
        assert_float_equal(value(f, "boiler_temp"), 2, 0);
        assert_true(queue_empty(f));

        queue(f, BOILER, 3000, 0x10); /* it took its time */
        file_put(f, BOILER, "conv_time", "10\n");
        k = (Kernel){.f = f, .state = "1\n", .silent = true, .delay = 400000};
        kernel_run_with(&k);
        assert_int_equal(sample(f), 0);
        pthread_join(k.thread, NULL);
        assert_float_equal(value(f, "boiler_temp"), 3, 0);
}

static void test_not_at_once(void **state) {
        Fixture *f = *state;
        Kernel k;

        probe_put(f, BOILER, 1000);
        assert_int_equal(harness_open(f->harness), 0);
        kernel_start(&k, f, "1\n");
        probe_put(f, ROOM, 2000);
        tree_put(f->root, MASTER "/26-000001a2b3c4/name", "with it on the bus the kernel would go astray");
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample(f), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "one by one: with 26-000001a2b3c4 on the bus"), 1);
        assert_float_equal(value(f, "w1_" ROOM), 2, 0);
        assert_int_equal(k.written[0], 0);
        kernel_end(&k);
}

static void test_no_rights_at_once(void **state) {
        bool root = geteuid() == 0;
        Fixture *f = *state;
        char path[256];

        probe_put(f, BOILER, 1000);
        probe_put(f, ROOM, 2000);
        tree_put(f->root, MASTER "/therm_bulk_read", "0\n");
        kernel_path(f, path, "/therm_bulk_read");
        assert_int_equal(chmod(path, 0444), 0);
        assert_int_equal(harness_open(f->harness), 0);
        if (root)
                assert_int_equal(seteuid(65534), 0);
        assert_int_equal(sample(f), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "no rights"), 0); /* a rule may be about to run */
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample(f), 0);
        if (root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "no rights to start a common conversion"), 1);
        assert_float_equal(value(f, "w1_" ROOM), 2, 0);
}

static void expect_resolution(Fixture *f, const char *id, int bits) {
        char path[256], text[16] = "";
        FILE *file;

        snprintf(path, sizeof(path), "%s/" MASTER "/%s/resolution", f->root, id);
        file = fopen(path, "re");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        fclose(file);
        assert_int_equal(atoi(text), bits);
}

static void test_resolution(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        f->options[2] = (Option){"sensors.room_temp.id", ROOM};
        f->options[3] = (Option){"sensors.room_temp.resolution", "10"};
        f->options[4] = (Option){"resolution", "9"};
        probe_put_bits(f, BOILER, 1000, 9);
        probe_put_bits(f, ROOM, 2000, 10);
        file_put(f, BOILER, "resolution", "12\n");
        file_put(f, ROOM, "resolution", "12\n");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0);
        expect_resolution(f, BOILER, 9);
        expect_resolution(f, ROOM, 10);

        file_put(f, BOILER, "resolution", "12\n"); /* its supply broke down, and it shows that at the next read */
        file_put(f, BOILER, "w1_slave", "");
        assert_int_equal(sample(f), 0);
        expect_resolution(f, BOILER, 12);
        probe_put_bits(f, BOILER, 1000, 9);
        assert_int_equal(sample(f), 0);
        expect_resolution(f, BOILER, 9);

        file_put(f, ROOM, "resolution", "-5\n"); /* the kernel cannot ask it */
        f->options[3].value = "11";
        assert_int_equal(harness_setting(f->harness, "room_temp.resolution"), 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample(f), 0);
        assert_int_equal(
                harness_logged(f->harness, TBAGENT_WARNING, "room_temp: " ROOM " does not take a resolution of 11 bits; "), 1);
        file_put(f, ROOM, "resolution", "12\n");
        probe_put_bits(f, ROOM, 2000, 11);
        assert_int_equal(sample(f), 0);
        expect_resolution(f, ROOM, 11);
        assert_float_equal(value(f, "room_temp"), 2, 0);
}

/* It lost its supply and says so by its resolution alone: the kernel did not wait for it, so this is an old reading. */
static void test_resolution_lost(void **state) {
        Fixture *f = *state;
        char text[READING];

        configure(f, BOILER);
        f->options[2] = (Option){"resolution", "9"};
        file_put(f, BOILER, "resolution", "9\n");
        probe_put_bits(f, BOILER, 20000, 9);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0);
        file_put(f, BOILER, "resolution", "12\n");
        probe_put(f, BOILER, 21000);
        assert_int_equal(sample(f), -ESTALE);
        expect_bad(f, "boiler_temp", "has 12 bits of resolution, no longer 9: it lost its supply");
        probe_put_bits(f, BOILER, 22000, 9);
        assert_int_equal(sample(f), 0);
        expect_resolution(f, BOILER, 9);
        assert_float_equal(value(f, "boiler_temp"), 22, 0);

        /* Where none is wanted, what another program sets is learned. And a copy with 14 bits has them. */
        f->options[2] = (Option){NULL, NULL};
        file_put(f, BOILER, "resolution", "14\n");
        assert_int_equal(sample(f), 0);
        file_put(f, BOILER, "w1_slave",
                 slave(text, (uint8_t[]){0x50, 1, 0x4b, 0x46, 0xff, 0xff, 0x10, 0x10}, "YES", 21000));
        assert_int_equal(sample(f), -ESTALE);
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "boiler_temp"), 21, 0);
}

static void test_resolution_refused(void **state) {
        static const char couple[] = "3b-00000000000d", old[] = "10-0316a2795eff"; /* they have but one */
        bool root = geteuid() == 0;
        Fixture *f = *state;
        char path[256], text[READING];

        f->options[1] = (Option){"sensors.boiler_temp.id", old};
        f->options[2] = (Option){"sensors.boiler_temp.resolution", "10"};
        f->options[3] = (Option){"sensors.flame_temp.id", couple};
        f->options[4] = (Option){"sensors.room_temp.id", ROOM};
        f->options[5] = (Option){"resolution", "9"};
        probe_put(f, old, 1000);
        probe_put(f, ROOM, 2000);
        file_put(f, couple, "w1_slave", slave(text, (uint8_t[]){0, 8, 0x90, 1, 0xf0, 0xff, 0xff, 0xff}, "YES", 128000));
        file_put(f, couple, "resolution", "14\n");
        file_put(f, ROOM, "resolution", "12\n");
        kernel_path(f, path, "/" ROOM "/resolution");
        assert_int_equal(chmod(path, 0444), 0);
        assert_int_equal(harness_open(f->harness), 0);
        if (root)
                assert_int_equal(seteuid(65534), 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(sample(f), 0);
        if (root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(
                harness_logged(f->harness, TBAGENT_WARNING, "boiler_temp: 10-0316a2795eff does not take a resolution of 10"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "room_temp: may not set its resolution"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "flame_temp"), 0); /* what is meant for all */
        expect_resolution(f, couple, 14);
        assert_int_equal(harness_count(f->harness, "room_temp"), 2);
        assert_int_equal(harness_count(f->harness, "boiler_temp"), 2);
        assert_int_equal(harness_count(f->harness, "flame_temp"), 2);
}

static void test_two_buses(void **state) {
        char text[READING];
        Fixture *f = *state;

        probe_put(f, BOILER, 1000);
        tree_put(f->root, "w1_bus_master2/" ROOM "/w1_slave", reading(text, 2000, 0x10));
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0);
        assert_float_equal(value(f, "w1_" BOILER), 1, 0);
        assert_float_equal(value(f, "w1_" ROOM), 2, 0);
        tree_put(f->root, MASTER, NULL); /* one of them is unplugged */
        assert_int_equal(sample(f), 0);
        expect_bad(f, "w1_" BOILER, "is not on the bus");
        assert_int_equal(harness_count(f->harness, "w1_" ROOM), 2);
}

static void test_one_of_two_fails(void **state) {
        Fixture *f = *state;

        configure(f, BOILER);
        f->options[2] = (Option){"sensors.room_temp.id", ROOM};
        probe_put(f, ROOM, 19000);
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), 0);
        expect_bad(f, "boiler_temp", "is not on the bus");
        assert_float_equal(value(f, "room_temp"), 19, 0);
}

static void test_bad_id(void **state) {
        static const char *const ids[] = {
                "", "boiler", "28-0316a2795ef", "28-0316a2795efff", "28-0316a2795efg", "28_0316a2795eff", "99-0316a2795eff"};
        Fixture *f = *state;

        probe_put(f, ROOM, 19000);
        f->options[2] = (Option){"sensors.room_temp.id", ROOM};
        for (size_t i = 0; i < ELEMENTS(ids); i++) {
                configure(f, ids[i]);
                assert_int_equal(harness_open(f->harness), 0);
                assert_int_equal(harness_logged(f->harness, TBAGENT_ERROR, "is no id of a thermometer; write one such as"),
                                 i + 1);
                assert_int_equal(sample(f), 0); /* the other one goes on */
                expect_bad(f, "boiler_temp", "no id of a thermometer");
                assert_float_equal(value(f, "room_temp"), 19, 0);
                harness_close(f->harness);
        }
}

static void test_no_bus(void **state) {
        Fixture *f = *state;

        tree_put(f->root, MASTER, NULL); /* the driver is loaded, but there is no bus */
        for (int i = 0; i < 3; i++)
                assert_int_equal(harness_open(f->harness), -ENODEV);
        assert_int_equal(
                harness_logged(f->harness, TBAGENT_WARNING, "add dtoverlay=w1-gpio to /boot/firmware/config.txt and reboot"), 3);
        f->options[0].value = "/nowhere/at/all";
        assert_int_equal(harness_open(f->harness), -ENODEV);
        f->options[0].value = f->root;

        tree_put(f->root, MASTER "/w1_master_slave_count", "0\n");
        tree_put(f->root, MASTER "/00-800000000000/name", "what a floating line shows\n");
        assert_int_equal(harness_open(f->harness), 0);
        assert_int_equal(sample(f), -EAGAIN);
        assert_int_equal(sample(f), -EAGAIN);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "lacks the pull-up"), 1);
        assert_int_equal(harness_logged(f->harness, TBAGENT_INFO, "no temperature probe on the bus yet"), 1);
        tree_put(f->root, MASTER, NULL);
        assert_int_equal(sample(f), -ENODEV);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "dtoverlay"), 5);
}

static void test_permission(void **state) {
        bool root = geteuid() == 0;
        Fixture *f = *state;
        char path[256];

        configure(f, BOILER);
        probe_put(f, BOILER, 1000);
        snprintf(path, sizeof(path), "%s/" MASTER "/" BOILER "/w1_slave", f->root);
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(harness_open(f->harness), 0);
        if (root)
                assert_int_equal(seteuid(65534), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(sample(f), -EACCES);
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

        probe_put(f, ROOM, 19062);
        file_put(f, BOILER, "w1_slave", "");
        probe_put(f, "26-000001a2b3c4", 1);
        assert_int_equal(harness_scan(f->harness), 0);
        assert_string_equal(
                harness_found(f->harness, 1),
                "{\"id\":\"28-00000a0b0c0d\",\"what\":\"DS18B20 thermometer, 19.062 degrees Celsius\",\"family\":\"28\","
                "\"group\":\"sensors\",\"config\":\"w1_28-00000a0b0c0d = { id = \\\"28-00000a0b0c0d\\\"; };\"}");
        assert_string_equal(harness_found(f->harness, 0),
                            "{\"id\":\"26-000001a2b3c4\",\"what\":\"no thermometer that this plugin reads, family 26\"}");
        assert_non_null(strstr(harness_found(f->harness, 2), "DS18B20 thermometer, no reading: 28-0316a2795eff does not answer"));
        assert_null(harness_found(f->harness, 3));
        tree_put(f->root, MASTER "/00-800000000000/name", "what a floating line shows\n");
        assert_int_equal(harness_scan(f->harness), 0);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "lacks the pull-up"), 1);
        tree_put(f->root, MASTER, NULL);
        assert_int_equal(harness_scan(f->harness), -ENODEV);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_configured),
                TEST(test_all),
                TEST(test_failed_reads),
                TEST(test_thermocouple),
                TEST(test_retries),
                TEST(test_left_alone),
                TEST(test_power_on),
                TEST(test_no_driver),
                TEST(test_only),
                TEST(test_one_of_two_fails),
                TEST(test_all_at_once),
                TEST(test_one_at_once),
                TEST(test_at_once_in_no_time),
                TEST(test_not_at_once),
                TEST(test_no_rights_at_once),
                TEST(test_resolution),
                TEST(test_resolution_lost),
                TEST(test_two_buses),
                TEST(test_bad_id),
                TEST(test_no_bus),
                TEST(test_permission),
                TEST(test_resolution_refused),
                TEST(test_scan),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
