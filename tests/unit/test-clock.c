/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include <cmocka.h>

#include "agent/clock.h"
#include "tree.h"

#define SEC USEC_PER_SEC
#define WALL (1700000000 * SEC)
#define BOOT (1000 * SEC) /* of a simulated loop */
#define OFFSET (1700000000000 - 1000000)
#define DAY (86400 * (int64_t)SEC)
#define YEARS (3652 * DAY)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define STAMP "/run/systemd/timesync/synchronized"

/* A clock and all that it has told. */
typedef struct World {
        char *root;
        char keep[PATH_MAX];
        Loop *loop;
        Clock *clock;
        unsigned eras, trusted, gave_up, steps;
        Era era; /* as told last */
        char why[80];
        int64_t by;
} World;

static void on_era(void *userdata, const Era *era) {
        World *w = userdata;

        w->eras++;
        w->era = *era;
}

static void on_trusted(void *userdata, const char *why) {
        World *w = userdata;

        w->trusted++;
        snprintf(w->why, sizeof(w->why), "%s", why);
}

static void on_gave_up(void *userdata) {
        ((World *)userdata)->gave_up++;
}

static void on_stepped(void *userdata, int64_t by) {
        World *w = userdata;

        w->steps++;
        w->by = by;
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        w->root = tree_new();
        assert_non_null(w->root);
        tree_put(w->root, BOOT_ID, "01234567-89ab-cdef-0123-456789abcdef\n");
        snprintf(w->keep, sizeof(w->keep), "%s/clock", w->root);
        assert_int_equal(loop_new_simulated(&w->loop, WALL), 0);
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        clock_free(w->clock);
        loop_free(w->loop);
        tree_free(w->root);
        free(w);
        return 0;
}

static ClockParams params(World *w) {
        return (ClockParams){ .loop = w->loop, .wait = 120 * SEC, .root = w->root, .userdata = w,
                              .events = { on_era, on_trusted, on_gave_up, on_stepped } };
}

/* Another process: nothing has been told to it. */
static void start_with(World *w, ClockParams p) {
        w->clock = clock_free(w->clock);
        w->eras = w->trusted = w->gave_up = w->steps = 0;
        w->why[0] = '\0';
        assert_int_equal(clock_new(&w->clock, &p), 0);
}

static void start(World *w) {
        start_with(w, params(w));
}

static void advance(World *w, usec_t by) {
        assert_int_equal(loop_advance(w->loop, by), 0);
}

static void expect_era(const World *w, int64_t offset_ms, ClockQuality quality) {
        Era era = clock_era(w->clock);

        assert_int_equal(era.offset_ms, offset_ms);
        assert_int_equal(era.quality, quality);
        if (w->eras > 0)
                assert_memory_equal(&w->era, &era, sizeof(era));
}

static void expect_trusted(World *w, const char *why, int64_t offset_ms) {
        advance(w, 100000);
        assert_true(clock_is_trusted(w->clock));
        assert_true(clock_may_estimate(w->clock));
        assert_int_equal(w->trusted, 1);
        assert_string_equal(w->why, why);
        expect_era(w, offset_ms, CLOCK_TRUSTED);
}

/* ---- trust */

static void trust_at_the_start_is_there_before_the_first_turn(void **state) {
        World *w = *state;
        ClockParams p = params(w);

        p.always_trusted = true;
        start_with(w, p);
        assert_true(clock_is_trusted(w->clock));
        assert_int_equal(w->trusted, 0);
        expect_trusted(w, "the configuration says so", OFFSET);
        tree_put(w->root, STAMP, "");
        start(w);
        assert_true(clock_is_trusted(w->clock));
        expect_trusted(w, "systemd-timesyncd has synchronized it", OFFSET);
        assert_int_equal(w->eras + w->gave_up, 0);
}

static void a_battery_backed_clock_is_trusted_if_it_set_the_time(void **state) {
        World *w = *state;

        tree_put(w->root, "/sys/class/rtc/rtc0/hctosys", "0\n");
        start(w);
        assert_false(clock_is_trusted(w->clock));
        tree_put(w->root, "/sys/class/rtc/rtc1/hctosys", "1\n");
        start(w);
        expect_trusted(w, "a real-time clock set it", OFFSET);
}

static void time_arrives_late(void **state) {
        World *w = *state;

        start(w);
        advance(w, 90 * SEC);
        expect_era(w, OFFSET, CLOCK_ESTIMATED);
        assert_false(clock_may_estimate(w->clock));
        loop_step_realtime(w->loop, YEARS);
        tree_put(w->root, STAMP, "");
        advance(w, SEC);
        expect_trusted(w, "systemd-timesyncd has synchronized it", OFFSET + YEARS / 1000);
        advance(w, 600 * SEC);
        assert_int_equal(w->trusted, 1);
        assert_int_equal(w->gave_up + w->steps, 0);
}

/* The stamp is there before the step has been seen: the one measurement that counts is made then. */
static void trust_measures_once_more(void **state) {
        World *w = *state;

        start(w);
        advance(w, 10 * SEC);
        tree_put(w->root, STAMP, "");
        advance(w, SEC - 100000);
        loop_step_realtime(w->loop, 1234567);
        advance(w, SEC);
        expect_trusted(w, "systemd-timesyncd has synchronized it", OFFSET + 1235);
}

static void without_a_source_the_estimate_has_to_do(void **state) {
        World *w = *state;

        start(w);
        advance(w, 119 * SEC);
        assert_int_equal(w->gave_up, 0);
        advance(w, 2 * SEC);
        assert_int_equal(w->gave_up, 1);
        assert_true(clock_may_estimate(w->clock));
        assert_false(clock_is_trusted(w->clock));
        advance(w, 3 * 3600 * SEC);
        assert_int_equal(w->gave_up + w->trusted, 1);
        tree_put(w->root, STAMP, "");
        advance(w, 11 * SEC);
        expect_trusted(w, "systemd-timesyncd has synchronized it", OFFSET);
        assert_int_equal(w->eras, 1);
}

static void waiting_costs_few_turns(void **state) {
        World *w = *state;
        uint64_t turns;

        start(w);
        advance(w, 180 * SEC);
        turns = loop_turns(w->loop);
        advance(w, 3600 * SEC);
        assert_in_range(loop_turns(w->loop) - turns, 350, 370);
        loop_step_realtime(w->loop, DAY); /* something happens: for a while it is looked at every second */
        turns = loop_turns(w->loop);
        advance(w, 60 * SEC);
        assert_in_range(loop_turns(w->loop) - turns, 50, 70);
        tree_put(w->root, STAMP, "");
        advance(w, SEC);
        turns = loop_turns(w->loop);
        advance(w, 3600 * SEC);
        assert_int_equal(loop_turns(w->loop), turns);
}

/* ---- steps */

static void the_estimate_follows_the_wall_clock(void **state) {
        static const int64_t steps[] = { -DAY, YEARS, 1500, -WALL };
        World *w = *state;
        int64_t wall = WALL;

        start(w);
        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                advance(w, SEC);
                loop_step_realtime(w->loop, steps[i]);
                wall += steps[i];
                advance(w, 1000);
                assert_int_equal(w->eras, i + 1);
                /* the nearest millisecond, also below zero */
                expect_era(w, (wall - (int64_t)BOOT + (wall > 2000 ? 500 : -499)) / 1000, CLOCK_ESTIMATED);
        }
        assert_int_equal(w->steps, 0);
}

static void a_step_after_trust_begins_an_era(void **state) {
        World *w = *state;

        tree_put(w->root, STAMP, "");
        start(w);
        loop_step_realtime(w->loop, -DAY);
        advance(w, 1000);
        assert_int_equal(w->steps, 1);
        assert_int_equal(w->by, -86400000);
        expect_era(w, OFFSET - 86400000, CLOCK_TRUSTED);
        loop_step_realtime(w->loop, YEARS + DAY);
        advance(w, 1000);
        assert_int_equal(w->by, (YEARS + DAY) / 1000);
        expect_era(w, OFFSET + YEARS / 1000, CLOCK_TRUSTED);
        assert_int_equal(w->eras, 2);
        /* there and back before anybody looked, as after a suspend: nothing is different */
        loop_step_realtime(w->loop, 10 * DAY);
        loop_step_realtime(w->loop, -10 * DAY);
        advance(w, 1000);
        assert_int_equal(w->eras, 2);
        assert_int_equal(w->trusted, 1);
}

static void little_jumps_gather_until_they_matter(void **state) {
        World *w = *state;

        tree_put(w->root, STAMP, "");
        start(w);
        for (int i = 1; i <= 30; i++) {
                loop_step_realtime(w->loop, -3000);
                advance(w, SEC);
                /* what is stored is never off by as much as 20 ms */
                assert_in_range(clock_era(w->clock).offset_ms - (OFFSET - 3 * i), 0, 19);
        }
        assert_in_range(w->eras, 3, 5);
        assert_int_equal(w->steps, w->eras);
}

/* ---- boot and process */

static void trust_is_for_the_boot(void **state) {
        World *w = *state;
        ClockParams p = params(w);

        p.keep = w->keep;
        start_with(w, p);
        assert_int_equal(access(w->keep, F_OK), -1);
        tree_put(w->root, STAMP, "");
        advance(w, 2 * SEC);
        tree_put(w->root, STAMP, NULL);
        loop_step_realtime(w->loop, 5 * SEC);
        advance(w, SEC);
        expect_era(w, OFFSET + 5000, CLOCK_TRUSTED);
        /* the next process: nobody says so any more, and the offset is the same one */
        loop_step_realtime(w->loop, 7000);
        start_with(w, p);
        expect_trusted(w, "it was so before in this boot", OFFSET + 5000);
        /* set while no process ran */
        w->clock = clock_free(w->clock);
        loop_step_realtime(w->loop, DAY);
        start_with(w, p);
        expect_trusted(w, "it was so before in this boot", OFFSET + 5007 + DAY / 1000);
        /* the next boot */
        tree_put(w->root, BOOT_ID, "01234567-89ab-cdef-0123-456789abcdee\n");
        start_with(w, p);
        assert_false(clock_is_trusted(w->clock));
        tree_put(w->root, "clock", "");
        start_with(w, p);
        assert_false(clock_is_trusted(w->clock));
}

static void nobody_waits_twice(void **state) {
        World *w = *state;
        ClockParams p = params(w);

        p.keep = w->keep;
        start_with(w, p);
        advance(w, 121 * SEC);
        assert_int_equal(w->gave_up, 1);
        start_with(w, p);
        assert_true(clock_may_estimate(w->clock));
        assert_int_equal(w->gave_up, 0);
        advance(w, SEC);
        assert_int_equal(w->gave_up, 1);
        assert_false(clock_is_trusted(w->clock));
        tree_put(w->root, STAMP, "");
        advance(w, SEC);
        expect_trusted(w, "systemd-timesyncd has synchronized it", OFFSET);
        tree_put(w->root, STAMP, NULL);
        start_with(w, p);
        expect_trusted(w, "it was so before in this boot", OFFSET);
        assert_int_equal(w->gave_up, 0);
}

static void what_the_configuration_says_is_not_kept(void **state) {
        World *w = *state;
        ClockParams p = params(w);

        p.keep = w->keep;
        p.always_trusted = true;
        start_with(w, p);
        p.always_trusted = false;
        start_with(w, p);
        assert_false(clock_is_trusted(w->clock));
}

static void each_boot_has_its_id(void **state) {
        static const uint8_t id[BOOT_ID_SIZE] = "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        static const char *const bad[] = { "", "01234567-89ab", "01234567-89ab-cdef-0123-456789abcdeg\n" };
        World *w = *state;
        Era era;

        start(w);
        assert_memory_equal(clock_era(w->clock).boot_id, id, sizeof(id));
        /* where it cannot be known no two processes take each other's rows for their own */
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                tree_put(w->root, BOOT_ID, bad[i]);
                start(w);
                era = clock_era(w->clock);
                start(w);
                assert_memory_not_equal(clock_era(w->clock).boot_id, era.boot_id, BOOT_ID_SIZE);
        }
}

static void the_real_clocks(void **state _unused_) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        _cleanup_(clock_freep) Clock *c = NULL;
        int64_t off;
        Era era;

        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(clock_new(&c, &(ClockParams){ .loop = loop, .always_trusted = true }), 0);
        era = clock_era(c);
        off = ((int64_t)loop_realtime(loop) - (int64_t)loop_boottime(loop)) / 1000 - era.offset_ms;
        assert_in_range(off + 100, 0, 200); /* whoever is put to sleep between the two readings sees some of it */
        assert_int_equal(loop_iterate(loop, SEC), 1);
}

/* ---- the bus */

typedef struct Bus {
        pid_t daemon;
        sd_bus *service;
        enum { SAYS_NO, SAYS_YES, SAYS_TEXT, SAYS_ERROR, SAYS_NOTHING } says;
        unsigned asked;
} Bus;
static Bus bus;

static int on_call(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get"))
                return 0;
        bus.asked++;
        switch (bus.says) {
        case SAYS_NO:
        case SAYS_YES:
                return sd_bus_reply_method_return(m, "v", "b", bus.says == SAYS_YES);
        case SAYS_TEXT:
                return sd_bus_reply_method_return(m, "v", "s", "yes");
        case SAYS_ERROR:
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
        case SAYS_NOTHING:
                break;
        }
        return 1;
}

static void put_bus_configuration(const char *root) {
        char text[PATH_MAX + 512];

        snprintf(text, sizeof(text),
                 "<busconfig><type>system</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>"
                 "<policy context=\"default\"><allow send_destination=\"*\"/><allow receive_sender=\"*\"/>"
                 "<allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>",
                 root);
        tree_put(root, "bus.conf", text);
}

/* Returns false where there is no dbus-daemon. */
static bool start_bus(World *w) {
        char option[PATH_MAX], address[PATH_MAX] = "";
        int ready[2];

        put_bus_configuration(w->root);
        snprintf(option, sizeof(option), "--config-file=%s/bus.conf", w->root);
        assert_int_equal(pipe(ready), 0);
        bus.daemon = fork();
        if (bus.daemon == 0) {
                dup2(ready[1], 3);
                dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
                execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--print-address=3", option, NULL);
                _exit(127);
        }
        close(ready[1]);
        ssize_t n = read(ready[0], address, sizeof(address) - 1);
        close(ready[0]);
        if (n <= 0)
                return false;
        address[strcspn(address, "\n")] = '\0';
        setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
        return true;
}

static void start_service(World *w) {
        assert_true(sd_bus_open_system(&bus.service) >= 0);
        assert_true(sd_bus_add_filter(bus.service, NULL, on_call, NULL) >= 0);
        assert_true(sd_bus_request_name(bus.service, "org.freedesktop.timedate1", 0) >= 0);
        assert_true(sd_bus_attach_event(bus.service, loop_sd_event(w->loop), 0) >= 0);
}

static int setup_bus(void **state) {
        setup(state);
        bus = (Bus){ 0 };
        assert_true(start_bus(*state));
        return 0;
}

static int teardown_bus(void **state) {
        bus.service = sd_bus_close_unref(bus.service);
        kill(bus.daemon, SIGKILL);
        waitpid(bus.daemon, NULL, 0);
        return teardown(state);
}

static void start_asking(World *w) {
        ClockParams p = params(w);

        p.ask_bus = true;
        start_with(w, p);
}

/* Connections to the bus: an event loop opens other descriptors of its own accord. */
static unsigned open_sockets(void) {
        unsigned n = 0;
        struct stat st;

        for (int fd = 0; fd < 256; fd++)
                n += fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
        return n;
}

/* Lets messages pass, but no time. */
static void pass_until_asked(World *w, unsigned times) {
        for (int i = 0; i < 1000 && bus.asked < times; i++)
                assert_true(loop_iterate(w->loop, 10000) >= 0);
        assert_int_equal(bus.asked, times);
}

static void pass_until_closed(World *w, unsigned sockets) {
        for (int i = 0; i < 1000 && open_sockets() > sockets; i++)
                assert_true(loop_iterate(w->loop, 10000) >= 0);
        assert_int_equal(open_sockets(), sockets);
}

static void an_ntp_client_is_believed(void **state) {
        World *w = *state;
        unsigned sockets;

        start_service(w);
        sockets = open_sockets();
        start_asking(w);
        pass_until_asked(w, 1);
        pass_until_closed(w, sockets);
        assert_false(clock_is_trusted(w->clock));
        loop_step_realtime(w->loop, YEARS);
        bus.says = SAYS_YES;
        pass_until_asked(w, 2); /* a step is followed by a question */
        pass_until_closed(w, sockets);
        expect_trusted(w, "an NTP client has synchronized it", OFFSET + YEARS / 1000);
        advance(w, 3600 * SEC);
        assert_int_equal(bus.asked, 2);
}

static void no_answer_is_no_trust(void **state) {
        World *w = *state;
        unsigned sockets;

        start_service(w);
        sockets = open_sockets();
        start_asking(w);
        pass_until_asked(w, 1);
        pass_until_closed(w, sockets);
        for (bus.says = SAYS_TEXT; bus.says <= SAYS_NOTHING; bus.says++) {
                unsigned asked = bus.asked;

                assert_false(clock_is_trusted(w->clock));
                advance(w, 5 * SEC);
                pass_until_asked(w, asked + 1);
                if (bus.says != SAYS_NOTHING)
                        pass_until_closed(w, sockets);
        }
        assert_false(clock_is_trusted(w->clock));
        bus.says = SAYS_YES; /* the question that was never answered holds up nothing */
        advance(w, 5 * SEC);
        pass_until_asked(w, 5);
        pass_until_closed(w, sockets);
        expect_trusted(w, "an NTP client has synchronized it", OFFSET);
}

static void long_waits_ask_seldom(void **state) {
        World *w = *state;
        unsigned sockets;

        start_service(w);
        sockets = open_sockets();
        start_asking(w);
        for (unsigned i = 1; i <= 24; i++) { /* two minutes */
                pass_until_asked(w, i);
                pass_until_closed(w, sockets);
                advance(w, 5 * SEC);
        }
        pass_until_asked(w, 25);
        pass_until_closed(w, sockets);
        for (unsigned i = 1; i <= 10; i++) {
                advance(w, 280 * SEC);
                pass_until_asked(w, 24 + i);
                advance(w, 20 * SEC);
                pass_until_asked(w, 25 + i);
                pass_until_closed(w, sockets);
        }
        assert_false(clock_is_trusted(w->clock));
}

static void a_bus_may_be_absent_or_go(void **state) {
        World *w = *state;
        unsigned sockets;

        start_service(w);
        bus.service = sd_bus_close_unref(bus.service);
        sockets = open_sockets();
        start_asking(w); /* nobody has the name */
        assert_true(loop_iterate(w->loop, 0) >= 0);
        pass_until_closed(w, sockets);
        start_service(w);
        bus.says = SAYS_NOTHING;
        advance(w, 5 * SEC);
        pass_until_asked(w, 1);
        kill(bus.daemon, SIGKILL);
        waitpid(bus.daemon, NULL, 0);
        bus.service = sd_bus_close_unref(bus.service);
        pass_until_closed(w, sockets);
        advance(w, 60 * SEC);
        assert_int_equal(open_sockets(), sockets);
        assert_false(clock_is_trusted(w->clock));
}

/* Freed with a question open. */
static void a_clock_may_be_freed_while_it_asks(void **state) {
        World *w = *state;
        unsigned sockets;

        start_service(w);
        bus.says = SAYS_NOTHING;
        sockets = open_sockets();
        start_asking(w);
        pass_until_asked(w, 1);
        w->clock = clock_free(w->clock);
        assert_int_equal(open_sockets(), sockets);
        advance(w, 60 * SEC);
}

static bool have_dbus_daemon(void) {
        return system("command -v dbus-daemon >/dev/null") == 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(trust_at_the_start_is_there_before_the_first_turn, setup, teardown),
                cmocka_unit_test_setup_teardown(a_battery_backed_clock_is_trusted_if_it_set_the_time, setup, teardown),
                cmocka_unit_test_setup_teardown(time_arrives_late, setup, teardown),
                cmocka_unit_test_setup_teardown(trust_measures_once_more, setup, teardown),
                cmocka_unit_test_setup_teardown(without_a_source_the_estimate_has_to_do, setup, teardown),
                cmocka_unit_test_setup_teardown(waiting_costs_few_turns, setup, teardown),
                cmocka_unit_test_setup_teardown(the_estimate_follows_the_wall_clock, setup, teardown),
                cmocka_unit_test_setup_teardown(a_step_after_trust_begins_an_era, setup, teardown),
                cmocka_unit_test_setup_teardown(little_jumps_gather_until_they_matter, setup, teardown),
                cmocka_unit_test_setup_teardown(trust_is_for_the_boot, setup, teardown),
                cmocka_unit_test_setup_teardown(nobody_waits_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(what_the_configuration_says_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(each_boot_has_its_id, setup, teardown),
                cmocka_unit_test(the_real_clocks),
        };
        const struct CMUnitTest bus_tests[] = {
                cmocka_unit_test_setup_teardown(an_ntp_client_is_believed, setup_bus, teardown_bus),
                cmocka_unit_test_setup_teardown(no_answer_is_no_trust, setup_bus, teardown_bus),
                cmocka_unit_test_setup_teardown(long_waits_ask_seldom, setup_bus, teardown_bus),
                cmocka_unit_test_setup_teardown(a_bus_may_be_absent_or_go, setup_bus, teardown_bus),
                cmocka_unit_test_setup_teardown(a_clock_may_be_freed_while_it_asks, setup_bus, teardown_bus),
        };
        struct CMUnitTest all[ELEMENTS(tests) + ELEMENTS(bus_tests)];
        size_t n = ELEMENTS(tests);

        memcpy(all, tests, sizeof(tests));
        if (have_dbus_daemon()) {
                memcpy(all + n, bus_tests, sizeof(bus_tests));
                n += ELEMENTS(bus_tests);
        } else
                printf("# no dbus-daemon here: what the bus says is left out\n");
        cmocka_set_message_output(CM_OUTPUT_TAP);
        return _cmocka_run_group_tests("clock", all, n, NULL, NULL);
}
