/* SPDX-License-Identifier: Apache-2.0 */
/* Whether systemd starts the daemon again, asked of a bus of our own on which this program plays systemd. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include <cmocka.h>

#include "agent/job.h"
#include "base/log.h"
#include "tree.h"

#define SOON (300 * USEC_PER_MSEC)
#define LONG (30 * USEC_PER_SEC)

typedef struct World {
        char *root;
        Loop *loop;
        Job *job;
        pid_t daemon;
        sd_bus *service;
        const char *type; /* of our unit's job; NULL: it has none */
        enum { LISTS, FAILS, SILENT, NONSENSE } says;
        unsigned asked, answered;
        bool restart;
        char said[400]; /* in the log, the last line */
} World;

static int reply_jobs(sd_bus_message *m, const char *type) {
        sd_bus_message *reply;

        assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
        assert_true(sd_bus_message_open_container(reply, 'a', "(usssoo)") >= 0);
        assert_true(sd_bus_message_append(reply, "(usssoo)", 7, "other.service", "restart", "waiting", "/job/7", "/unit/other") >= 0);
        if (type)
                assert_true(sd_bus_message_append(reply, "(usssoo)", 8, "tbagent.service", type, "running", "/job/8", "/unit/t") >= 0);
        assert_true(sd_bus_message_close_container(reply) >= 0);
        assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
        sd_bus_message_unref(reply);
        return 1;
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        World *w = userdata;

        if (!sd_bus_message_is_method_call(m, "org.freedesktop.systemd1.Manager", "ListJobs"))
                return 0;
        w->asked++;
        switch (w->says) {
        case LISTS:
                return reply_jobs(m, w->type);
        case FAILS:
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
        case NONSENSE:
                return sd_bus_reply_method_return(m, "s", "tbagent.service restart");
        case SILENT:
                break;
        }
        return 1;
}

static void start_daemon(World *w) {
        char text[PATH_MAX + 512], option[PATH_MAX + 32], address[PATH_MAX] = "";
        int ready[2];

        snprintf(text, sizeof(text),
                 "<busconfig><type>system</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth><policy context=\"default\">"
                 "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>",
                 w->root);
        tree_put(w->root, "bus.conf", text);
        snprintf(option, sizeof(option), "--config-file=%s/bus.conf", w->root);
        assert_int_equal(pipe(ready), 0);
        w->daemon = fork();
        if (w->daemon == 0) {
                dup2(ready[1], 3);
                execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--print-address=3", option, NULL);
                _exit(127);
        }
        close(ready[1]);
        assert_true(read(ready[0], address, sizeof(address) - 1) > 0);
        close(ready[0]);
        address[strcspn(address, "\n")] = '\0';
        setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
        assert_true(sd_bus_open_system(&w->service) >= 0);
        assert_true(sd_bus_add_filter(w->service, NULL, on_call, w) >= 0);
        assert_true(sd_bus_request_name(w->service, "org.freedesktop.systemd1", 0) >= 0);
        assert_true(sd_bus_attach_event(w->service, loop_sd_event(w->loop), 0) >= 0);
}

static void on_line(void *userdata, int level, const char *line) {
        World *w = userdata;

        if (level == LOG_WARNING)
                snprintf(w->said, sizeof(w->said), "%s", line);
}

/* Why it could not be found out. */
static void expect_said(World *w, const char *why) {
        if (why ? !strstr(w->said, why) : w->said[0])
                fail_msg("\"%s\" is not for \"%s\"", w->said, why ? why : "nothing");
        w->said[0] = '\0';
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        w->root = tree_new();
        assert_int_equal(loop_new(&w->loop), 0);
        log_tap(on_line, w);
        *state = w;
        return 0;
}

static int setup_bus(void **state) {
        setup(state);
        start_daemon(*state);
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        log_tap(NULL, NULL);
        job_free(w->job);
        sd_bus_close_unref(w->service);
        if (w->daemon > 0) {
                kill(w->daemon, SIGKILL);
                waitpid(w->daemon, NULL, 0);
        }
        loop_free(w->loop);
        tree_free(w->root);
        free(w);
        return 0;
}

static void on_answer(void *userdata, bool restart) {
        World *w = userdata;

        w->answered++;
        w->restart = restart;
}

/* The answer, and how long it took. */
static bool ask(World *w, const char *unit, usec_t within, usec_t *ret_took) {
        JobParams p = { .loop = w->loop, .unit = unit, .within = within, .answer = on_answer, .userdata = w };
        usec_t began = loop_monotonic(w->loop);

        w->answered = 0;
        assert_int_equal(job_new(&w->job, &p), 0);
        assert_int_equal(w->answered, 0);
        while (w->answered == 0)
                assert_true(loop_iterate(w->loop, USEC_PER_SEC) >= 0);
        *ret_took = loop_monotonic(w->loop) - began;
        while (loop_iterate(w->loop, 10 * USEC_PER_MSEC) > 0)
                ;
        assert_int_equal(w->answered, 1);
        w->job = job_free(w->job);
        return w->restart;
}

static void a_restart_is_one(void **state) {
        static const struct {
                const char *type;
                bool restart;
        } jobs[] = { { "restart", true }, { "try-restart", true }, { "stop", false }, { "start", false }, { "reload", false }, { NULL, false } };
        World *w = *state;
        usec_t took;

        for (size_t i = 0; i < ELEMENTS(jobs); i++) {
                w->type = jobs[i].type;
                assert_int_equal(ask(w, "tbagent.service", LONG, &took), jobs[i].restart);
                assert_true(took < LONG); /* nobody waits for longer than the answer takes */
        }
        w->type = "restart";
        assert_false(ask(w, "another.service", LONG, &took));
        assert_int_equal(w->asked, 7);
        expect_said(w, NULL);
}

static void no_answer_is_no_restart(void **state) {
        World *w = *state;
        usec_t took;

        w->type = "restart";
        w->says = SILENT;
        assert_false(ask(w, "tbagent.service", SOON, &took));
        assert_true(took >= SOON);
        expect_said(w, "cannot be found out (no answer in time)");
        w->says = FAILS;
        assert_false(ask(w, "tbagent.service", LONG, &took));
        expect_said(w, "cannot be found out (no)");
        w->says = NONSENSE;
        assert_false(ask(w, "tbagent.service", LONG, &took));
        expect_said(w, "cannot be found out (its answer is no list of jobs)");
        assert_int_equal(w->asked, 3);
}

static void without_a_bus_nobody_waits(void **state) {
        World *w = *state;
        usec_t took;

        setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", 1);
        assert_false(ask(w, "tbagent.service", LONG, &took));
        assert_true(took < LONG);
        expect_said(w, "cannot be found out (No such file or directory)");
        unsetenv("NOTIFY_SOCKET");
        assert_false(ask(w, NULL, LONG, &took)); /* no service: not even that is tried */
        assert_true(took < LONG);
        expect_said(w, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_restart_is_one, setup_bus, teardown),
                cmocka_unit_test_setup_teardown(no_answer_is_no_restart, setup_bus, teardown),
                cmocka_unit_test_setup_teardown(without_a_bus_nobody_waits, setup, teardown),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        if (access("/usr/bin/dbus-daemon", X_OK) < 0) {
                printf("1..0 # SKIP there is no dbus-daemon\n");
                return 0;
        }
        return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
