/* SPDX-License-Identifier: Apache-2.0 */
/* The real tbagent-plugin-host (TBAGENT_HOST) with real plugins (TBAGENT_PLUGINS), spoken to over its socket as
 * the daemon does, in every mode, and with plugins that crash, hang, leak and flood. */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

#include <cmocka.h>
#include <tbagent/plugin.h>

#include "base/file.h"
#include "model/frame.h"
#include "model/row.h"
#include "model/setting.h"
#include "sensor/process.h"
#include "sensor/wire.h"

#define WAIT_MS 30000 /* for what must come; none of it takes long */

typedef struct Peer {
        pid_t pid;
        int fd;
        Frame frame; /* the last one */
        uint8_t data[FRAME_SIZE_MAX];
        uint64_t gap_points, row_points;
} Peer;

static Peer peer; /* too large for a stack */

/* ---- settings: "channels.a.value" -> 1.5 */

static Setting *settings_new(const char *plugin) {
        Setting *root, *s;

        assert_int_equal(setting_new(&root, SETTING_GROUP, "x", "test.conf", 1), 0);
        assert_int_equal(setting_new(&s, SETTING_STRING, "plugin", "test.conf", 2), 0);
        assert_int_equal(setting_set_string(s, plugin), 0);
        assert_int_equal(setting_add(root, s), 0);
        return root;
}

static Setting *make(Setting *root, const char *path, SettingType type, unsigned line) {
        char name[64];
        size_t n = strcspn(path, ".");
        Setting *s;

        snprintf(name, sizeof name, "%.*s", (int)n, path);
        s = setting_child(root, name);
        if (!s) {
                assert_int_equal(setting_new(&s, path[n] ? SETTING_GROUP : type, name, "test.conf", line), 0);
                assert_int_equal(setting_add(root, s), 0);
        }
        return path[n] ? make(s, path + n + 1, type, line) : s;
}

static void set_text(Setting *root, const char *path, const char *text, unsigned line) {
        assert_int_equal(setting_set_string(make(root, path, SETTING_STRING, line), text), 0);
}

static void set_int(Setting *root, const char *path, int64_t i, unsigned line) {
        make(root, path, SETTING_INT, line)->i = i;
}

static void set_float(Setting *root, const char *path, double d, unsigned line) {
        make(root, path, SETTING_FLOAT, line)->d = d;
}

/* ---- the host */

static const char *host_path(void) {
        return getenv("TBAGENT_HOST");
}

static void send_built(Peer *p, const uint8_t *data, ssize_t size) {
        assert_true(size > 0);
        assert_int_equal(wire_send(p->fd, data, (size_t)size, -EBADF), 0);
}

#define say(p, ...) \
        do { \
                static uint8_t built[FRAME_SIZE_MAX]; \
                send_built((p), built, frame_build(built, __VA_ARGS__)); \
        } while (0)

static void send_setup(Peer *p, FrameMode mode, Setting *settings, const void *state, size_t state_size) {
        const char *plugin = setting_child(settings, "plugin")->s;
        size_t size = setting_encoded_size(settings);
        uint8_t *data = malloc(size);
        char file[512];

        assert_non_null(data);
        size = setting_encode(settings, data);
        snprintf(file, sizeof file, "%s/%s.so", getenv("TBAGENT_PLUGINS"), plugin);
        say(p, FRAME_SETUP, "x", file, (uint64_t)mode, (const void *)data, size, state, state_size);
        free(data);
}

/* Consumes settings. */
static Peer *start_with(FrameMode mode, Setting *settings, const void *state, size_t state_size) {
        memset(&peer, 0, sizeof peer);
        assert_int_equal(process_spawn(host_path(), "x", getenv("TBAGENT_SANITIZED") != NULL, &peer.pid, &peer.fd), 0);
        send_setup(&peer, mode, settings, state, state_size);
        setting_free(settings);
        return &peer;
}

static Peer *start(FrameMode mode, Setting *settings) {
        return start_with(mode, settings, "", 0);
}

/* The next frame; false: the host has closed its end. */
static bool next(Peer *p) {
        int fd = -EBADF;
        ssize_t n;

        assert_int_equal(poll(&(struct pollfd){ .fd = p->fd, .events = POLLIN }, 1, WAIT_MS), 1);
        n = wire_receive(p->fd, p->data, sizeof p->data, &fd);
        closep(&fd);
        if (n <= 0)
                return false;
        assert_int_equal(frame_parse(p->data, (size_t)n, &p->frame), 0);
        if (p->frame.type == FRAME_GAP)
                p->gap_points += p->frame.f[0].u;
        return true;
}

static const Frame *await(Peer *p, FrameType type) {
        do
                assert_true(next(p));
        while (p->frame.type != type);
        return &p->frame;
}

static void await_state(Peer *p, HostState state, const char *reason) {
        do
                await(p, FRAME_STATE);
        while (p->frame.f[0].u != (uint64_t)state);
        if (reason)
                assert_string_equal(p->frame.f[1].data, reason);
}

/* Waits for its end; what waitpid() says. */
static int finish(Peer *p) {
        int status;

        while (next(p))
                ;
        assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
        close(p->fd);
        return status;
}

static void assert_exit(int status, int code) {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), code);
}

static void stop(Peer *p) {
        say(p, FRAME_STOP, (uint64_t)0);
        assert_exit(finish(p), 0);
}

typedef struct Want {
        const char *key;
        char value[64]; /* of the last row with it */
        bool found;
} Want;

static int on_member(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size) {
        Want *w = userdata;

        if (strlen(w->key) == key_size && memcmp(w->key, key, key_size) == 0) {
                snprintf(w->value, sizeof w->value, "%.*s", (int)value_size, value);
                w->found = true;
        }
        return 0;
}

/* Looks through the rows of a ROWS frame; each has to be valid. */
static bool rows_find(Peer *p, Want *w) {
        const uint8_t *data = (const uint8_t *)p->frame.f[0].data;
        size_t size = p->frame.f[0].size;
        uint32_t points;
        Row row;

        while (size > 0) {
                assert_int_equal(row_decode(&data, &size, &row), 0);
                assert_int_equal(row_validate(row.text, row.text_size, on_member, w, &points), 0);
                assert_int_equal(points, row.points);
                p->row_points += points;
        }
        return w->found;
}

static const char *await_value(Peer *p, const char *key) {
        static Want w;

        w = (Want){ .key = key };
        do
                await(p, FRAME_ROWS);
        while (!rows_find(p, &w));
        return w.value;
}

static void await_this_value(Peer *p, const char *key, const char *value) {
        while (strcmp(await_value(p, key), value) != 0)
                ;
}

/* ---- check */

static void check_is_complete(void **state _unused_) {
        Setting *s = settings_new("ok");
        Peer *p;

        set_float(s, "channels.a.value", 1.25, 10);
        set_text(s, "channels.b.key", "renamed", 11);
        set_int(s, "keys.n.decimals", 2, 12);
        p = start(MODE_CHECK, s);
        assert_string_equal(await(p, FRAME_HELLO)->f[1].data, "ok");
        assert_string_equal(await(p, FRAME_DECLARE)->f[0].data, "a");
        assert_int_equal(p->frame.f[2].u, 10);
        assert_string_equal(await(p, FRAME_DECLARE)->f[0].data, "renamed");
        assert_string_equal(await(p, FRAME_DECLARE)->f[0].data, "n");
        assert_string_equal(await(p, FRAME_METHOD)->f[1].data, "echo");
        assert_string_equal(await(p, FRAME_METHOD)->f[1].data, "later");
        assert_string_equal(await(p, FRAME_METHOD)->f[0].data, "a");
        assert_string_equal(p->frame.f[1].data, "set");
        assert_string_equal(await(p, FRAME_METHOD)->f[0].data, "b");
        assert_int_equal(await(p, FRAME_CHECKED)->f[0].u, 0);
        await(p, FRAME_DONE);
        assert_exit(finish(p), 0);
}

static void await_problem(Peer *p, unsigned line, const char *part) {
        await(p, FRAME_PROBLEM);
        assert_int_equal(p->frame.f[0].u, 1);
        assert_string_equal(p->frame.f[1].data, line ? "test.conf" : "");
        assert_int_equal(p->frame.f[2].u, line);
        if (!strstr(p->frame.f[3].data, part))
                fail_msg("\"%s\" is not in: %s", part, p->frame.f[3].data);
}

static void check_tells_all(void **state _unused_) {
        Setting *s = settings_new("ok");
        Peer *p;

        set_text(s, "evry", "10s", 3);
        set_int(s, "text", 5, 4);
        set_text(s, "timeout", "10", 5);
        set_int(s, "channels.a.decimls", 1, 6);
        set_text(s, "channels.b.min_interval", "10s", 7);
        set_text(s, "channels.b.max_interval", "1s", 8);
        set_text(s, "device", "pump", 9);
        set_text(s, "channels.c.key", "a", 10);
        set_int(s, "channels.a_ok.decimals", 1, 11);
        p = start(MODE_RUN, s);
        await_problem(p, 3, "\"every\"");
        await_problem(p, 5, "unit");
        await_problem(p, 4, "text");
        await_problem(p, 6, "decimals");
        await_problem(p, 8, "max_interval");
        await_problem(p, 9, "sub-devices");
        await_problem(p, 10, "channels.a");
        await_problem(p, 11, "made from plugins.x.channels.a ");
        await_problem(p, 11, "made from plugins.x.channels.c ");
        assert_int_equal(await(p, FRAME_CHECKED)->f[0].u, 9);
        assert_exit(finish(p), EX_CONFIG);
}

static void unfit_plugins_are_refused(void **state _unused_) {
        static const struct {
                const char *plugin, *part;
        } unfit[] = {
                { "no-symbol", "no symbol" },
                { "wrong-abi", "built for interface 77" },
                { "wrong-name", "calls itself \"right-name\"" },
                { "bad-table", "twice" },
                { "not-there", "cannot be read" },
        };

        for (size_t i = 0; i < ELEMENTS(unfit); i++) {
                Peer *p = start(MODE_RUN, settings_new(unfit[i].plugin));

                await_problem(p, 2, unfit[i].part);
                assert_exit(finish(p), EX_CONFIG);
        }
}

/* ---- once, scan, exit state */

static void once_gives_one_sample(void **state _unused_) {
        Setting *s = settings_new("ok");
        Peer *p;

        set_float(s, "channels.a.value", 1.25, 10);
        p = start(MODE_ONCE, s);
        assert_string_equal(await_value(p, "n"), "1");
        assert_string_equal(await(p, FRAME_DONE)->f[0].data, "");
        assert_exit(finish(p), 0);

        s = settings_new("ok");
        set_int(s, "absent", 1, 3);
        p = start(MODE_ONCE, s);
        await_state(p, HOST_WAITING, "hardware is not there");
        assert_exit(finish(p), 0);
}

static void scan_needs_no_options(void **state _unused_) {
        Peer *p = start(MODE_SCAN, settings_new("ok"));

        assert_non_null(strstr(await(p, FRAME_FOUND)->f[0].data, "nothing"));
        await(p, FRAME_DONE);
        assert_exit(finish(p), 0);

        p = start(MODE_SCAN, settings_new("scan")); /* the file would have to set one of its options */
        assert_string_equal(await(p, FRAME_DONE)->f[0].data, "");
        assert_exit(finish(p), 0);
}

static void exit_state_opens_and_closes(void **state _unused_) {
        Peer *p = start(MODE_EXIT_STATE, settings_new("ok"));

        await(p, FRAME_DONE);
        assert_exit(finish(p), 0);
}

/* ---- run */

static void run_samples_on_schedule(void **state _unused_) {
        Setting *s = settings_new("counter");
        char want[32];
        Peer *p;

        set_text(s, "every", "10ms", 3);
        p = start(MODE_RUN, s);
        await_state(p, HOST_RUNNING, "");
        for (int i = 0; i < 30; i++) {
                snprintf(want, sizeof want, "%d", i);
                assert_string_equal(await_value(p, "count"), want);
        }
        say(p, FRAME_STOP, (uint64_t)0);
        await(p, FRAME_COUNTERS);
        assert_true(p->frame.f[0].u >= 30 && p->frame.f[1].u >= 30);
        assert_int_equal(p->frame.f[4].u, 0);
        assert_exit(finish(p), 0);
}

static void run_ends_at_end_of_file(void **state _unused_) {
        Peer *p = start(MODE_RUN, settings_new("counter"));
        int status;

        await_state(p, HOST_RUNNING, "");
        close(p->fd);
        assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
        assert_exit(status, 0);
}

static void run_goes_through_states(void **state _unused_) {
        Setting *s = settings_new("ok");
        Peer *p;

        set_text(s, "every", "20ms", 3);
        set_int(s, "absent", 1, 4);
        set_int(s, "fail_at", 3, 5);
        set_int(s, "gone_after", 6, 6);
        p = start(MODE_RUN, s);
        await_state(p, HOST_WAITING, "hardware is not there");
        await_state(p, HOST_RUNNING, "");
        await_state(p, HOST_ILL, "bus error");
        await_state(p, HOST_RUNNING, "");
        await_state(p, HOST_WAITING, NULL);
        await_state(p, HOST_RUNNING, "");
        stop(p);
}

/* The daemon makes no line of WAITING where the instance is optional; nor must the plugin's complaint become one. */
static void optional_absence_is_silent(void **state _unused_) {
        for (int optional = 0; optional < 2; optional++) {
                Setting *s = settings_new("ok");
                unsigned warnings = 0;
                Peer *p;

                make(s, "optional", SETTING_BOOL, 3)->b = optional;
                set_int(s, "absent", 1, 4);
                set_text(s, "text", "nothing is plugged in", 5);
                p = start(MODE_RUN, s);
                do {
                        assert_true(next(p));
                        warnings += p->frame.type == FRAME_LOG && p->frame.f[0].u <= TBAGENT_WARNING;
                } while (p->frame.type != FRAME_STATE);
                assert_int_equal(p->frame.f[0].u, HOST_WAITING);
                assert_string_equal(p->frame.f[1].data, "nothing is plugged in");
                assert_int_equal(warnings, !optional);
                stop(p);
        }
}

static void kept_state_comes_back(void **state _unused_) {
        uint32_t starts = 0;
        Peer *p = start(MODE_RUN, settings_new("ok"));

        await(p, FRAME_PUT);
        assert_int_equal(p->frame.f[0].size, sizeof starts);
        memcpy(&starts, p->frame.f[0].data, sizeof starts);
        assert_int_equal(starts, 1);
        stop(p);
        p = start_with(MODE_RUN, settings_new("ok"), &starts, sizeof starts);
        assert_string_equal(await_value(p, "starts"), "2");
        assert_string_equal(await_value(p, "woken"), "true");
        stop(p);
}

static void methods_are_answered(void **state _unused_) {
        Setting *s = settings_new("ok");
        Peer *p;

        set_float(s, "channels.a.value", 1, 3);
        p = start(MODE_RUN, s);
        await_state(p, HOST_RUNNING, "");
        say(p, FRAME_RPC, (uint64_t)1, "", "echo", "{\"a\":1}");
        assert_string_equal(await(p, FRAME_REPLY)->f[1].data, "{\"a\":1}");
        say(p, FRAME_RPC, (uint64_t)2, "", "later", "null");
        assert_string_equal(await(p, FRAME_REPLY)->f[1].data, "\"later\"");
        assert_int_equal(p->frame.f[0].u, 2);
        say(p, FRAME_RPC, (uint64_t)3, "a", "set", "1");
        assert_string_equal(await(p, FRAME_REPLY)->f[1].data, "true");
        say(p, FRAME_RPC, (uint64_t)4, "a", "set", "2");
        assert_string_equal(await(p, FRAME_ERROR)->f[1].data, "bad_params");
        say(p, FRAME_RPC, (uint64_t)5, "", "reboot", "null");
        assert_string_equal(await(p, FRAME_ERROR)->f[1].data, "unknown_method");
        say(p, FRAME_RPC, (uint64_t)6, "", "echo", "{not json");
        assert_string_equal(await(p, FRAME_ERROR)->f[1].data, "bad_reply");
        say(p, FRAME_RPC, (uint64_t)7, "", "ask", "null");
        assert_string_equal(await(p, FRAME_REPLY)->f[1].data, "0"); /* of the question that was refused, too, nothing is heard */
        stop(p);
}

static void set_live(Peer *p, const char *path, Setting *s) {
        uint8_t data[256];
        size_t size = setting_encode(s, data);

        say(p, FRAME_SETTING, path, (const void *)data, size);
        setting_free(s);
}

static void set_live_float(Peer *p, const char *path, double d) {
        Setting *s;

        assert_int_equal(setting_new(&s, SETTING_FLOAT, NULL, NULL, 0), 0);
        s->d = d;
        set_live(p, path, s);
}

static void set_live_text(Peer *p, const char *path, const char *text) {
        Setting *s;

        assert_int_equal(setting_new(&s, SETTING_STRING, NULL, NULL, 0), 0);
        assert_int_equal(setting_set_string(s, text), 0);
        set_live(p, path, s);
}

/* What the host says became of it: in effect, in the file, and why not. */
static void await_effect(Peer *p, const char *path, int error, const char *now, const char *file, const char *why) {
        const Frame *f = await(p, FRAME_EFFECT);

        assert_string_equal(f->f[0].data, path);
        assert_int_equal(f->f[1].u, error);
        assert_string_equal(f->f[2].data, now);
        assert_string_equal(f->f[3].data, file);
        assert_non_null(strstr(f->f[4].data, why));
}

static void settings_change_live(void **state _unused_) {
        Setting *s = settings_new("ok");
        Peer *p;

        set_float(s, "channels.a.value", 1.5, 3);
        p = start(MODE_RUN, s);
        await_this_value(p, "a", "1.5");
        set_live_text(p, "every", "20ms");
        await_effect(p, "every", 0, "\"20ms\"", "\"10s\"", "");
        await_this_value(p, "n", "9"); /* the file's 10 s would take too long */
        set_live_float(p, "a.offset", 10);
        await_effect(p, "a.offset", 0, "10.0", "\"\"", "");
        await_this_value(p, "a", "11.5");
        set_live_float(p, "a.value", 2);
        await_effect(p, "a.value", 0, "2.0", "1.5", "");
        await_this_value(p, "a", "12.0");
        set_live_float(p, "a.value", 666); /* the plugin refuses, the value before stays */
        await_effect(p, "a.value", EINVAL, "2.0", "1.5", "");
        assert_string_equal(await_value(p, "a"), "12.0");
        set_live_float(p, "a.value", 5000); /* the table refuses */
        await_effect(p, "a.value", EINVAL, "2.0", "1.5", "a.value");
        set_live_text(p, "memory_max", "32M");
        await_effect(p, "memory_max", EPERM, "\"64M\"", "\"64M\"", "cannot change");
        set_live_text(p, "nothing", "1s");
        await_effect(p, "nothing", ENOENT, "", "", "no such option");
        say(p, FRAME_SETTING, "a.offset", (const void *)"", (size_t)0);
        await_effect(p, "a.offset", 0, "\"\"", "\"\"", "");
        await_this_value(p, "a", "2.0");
        stop(p);
}

static void sample_comes_on_demand(void **state _unused_) {
        Setting *s = settings_new("counter");
        Peer *p;

        set_text(s, "every", "1h", 3);
        p = start(MODE_RUN, s);
        await_state(p, HOST_RUNNING, "");
        say(p, FRAME_SAMPLE);
        await_this_value(p, "count", "1");
        stop(p);
}

/* ---- bad plugins */

static void failing_open_ends_the_process(void **state _unused_) {
        Peer *p = start(MODE_RUN, settings_new("open-fails"));

        assert_string_equal(await(p, FRAME_DONE)->f[0].data, "open failed: chip answers 0xff to everything");
        assert_exit(finish(p), EX_UNAVAILABLE);
}

static void crash_keeps_what_was_sent(void **state _unused_) {
        Setting *s = settings_new("crash");
        Peer *p;
        int status;

        set_text(s, "every", "100ms", 3);
        p = start(MODE_RUN, s);
        for (int i = 0; i < 5; i++)
                assert_string_equal(await_value(p, "alive"), "1");
        status = finish(p);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void hang_is_killed(void **state _unused_) {
        Setting *s = settings_new("hang");
        Peer *p;
        int status;

        set_text(s, "every", "10ms", 3);
        set_text(s, "timeout", "200ms", 4);
        p = start(MODE_RUN, s);
        await_value(p, "alive");
        status = finish(p);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void leak_ends_with_a_reason(void **state _unused_) {
        Setting *s = settings_new("leak-memory");
        Peer *p;

        if (getenv("TBAGENT_SANITIZED")) {
                setting_free(s);
                return; /* no limit then; cmocka tells a skip() as "not ok" */
        }
        set_text(s, "memory_max", "16M", 3);
        p = start(MODE_RUN, s);
        await(p, FRAME_DONE);
        assert_memory_equal(p->frame.f[0].data, "memory", 6);
        assert_exit(finish(p), EX_OSERR);
}

static void leaked_descriptors_are_its_own_trouble(void **state _unused_) {
        Setting *s = settings_new("leak-fd");
        Peer *p;

        set_text(s, "every", "10ms", 3);
        p = start(MODE_RUN, s);
        await_state(p, HOST_RUNNING, "");
        await_state(p, HOST_ILL, strerror(EMFILE));
        stop(p);
}

static void slow_samples_are_not_bunched(void **state _unused_) {
        Setting *s = settings_new("slow");
        Peer *p;

        set_text(s, "every", "10ms", 3);
        set_text(s, "takes", "35ms", 4);
        p = start(MODE_RUN, s);
        for (int i = 0; i < 5; i++)
                await_value(p, "slow");
        say(p, FRAME_STOP, (uint64_t)0);
        await(p, FRAME_COUNTERS);
        assert_true(p->frame.f[2].u >= 3 * 3); /* each sample but the first runs over three deadlines */
        assert_exit(finish(p), 0);
}

/* Nobody reads: the host goes on, its oldest rows go, and every point is accounted for. */
static void unread_rows_are_counted(void **state _unused_) {
        struct timespec pause = { .tv_nsec = 10 * NSEC_PER_MSEC };
        Setting *s = settings_new("bench");
        Want none = { .key = "" };
        Peer *p;

        set_text(s, "every", "10ms", 3);
        set_int(s, "keys_per_row", 1, 4);
        p = start(MODE_RUN, s);
        await(p, FRAME_ROWS);
        rows_find(p, &none);
        /* the condition is "so many samples later", and only the host counts them: its queue is full after 10 */
        for (int i = 0; i < 50; i++)
                nanosleep(&pause, NULL);
        say(p, FRAME_STOP, (uint64_t)0);
        do {
                assert_true(next(p));
                if (p->frame.type == FRAME_ROWS)
                        rows_find(p, &none);
        } while (p->frame.type != FRAME_COUNTERS);
        assert_true(p->gap_points > 0);
        assert_int_equal(p->frame.f[4].u, p->gap_points);
        assert_int_equal(p->row_points + p->gap_points, p->frame.f[1].u);
        assert_exit(finish(p), 0);
}

static void flood_is_bounded(void **state _unused_) {
        Peer *p = start(MODE_RUN, settings_new("flood"));
        Want none = { .key = "" };

        for (int i = 0; i < 200; i++) {
                await(p, FRAME_ROWS);
                rows_find(p, &none);
        }
        stop(p);
}

/* Until the plugin "hang" hangs: then it has blocked what can be blocked. */
static void await_hang(pid_t pid) {
        uint64_t blocked = 0;
        char path[32];

        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        while (!(blocked >> (SIGUSR1 - 1) & 1)) {
                _cleanup_(freep) char *text = NULL;

                sched_yield();
                if (file_read(path, 16 * KIB, &text, NULL) < 0 || !strstr(text, "SigBlk:"))
                        _exit(2);
                blocked = strtoull(strstr(text, "SigBlk:") + 7, NULL, 16);
        }
}

/* A host that hangs in its plugin cannot see the end of its socket; it dies with its daemon all the same. */
static void host_dies_with_its_parent(void **state _unused_) {
        int pipe_fds[2], status;
        pid_t daemon, host = 0;

        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        assert_int_equal(pipe(pipe_fds), 0);
        daemon = fork();
        assert_true(daemon >= 0);
        if (daemon == 0) {
                Setting *s = settings_new("hang");
                Peer *p;

                set_text(s, "every", "10ms", 3);
                p = start(MODE_RUN, s);
                await_value(p, "alive");
                await_hang(p->pid);
                if (write(pipe_fds[1], &p->pid, sizeof p->pid) != sizeof p->pid)
                        _exit(1);
                _exit(0);
        }
        close(pipe_fds[1]);
        assert_int_equal(read(pipe_fds[0], &host, sizeof host), sizeof host);
        close(pipe_fds[0]);
        assert_int_equal(waitpid(daemon, &status, 0), daemon);
        assert_exit(status, 0);
        assert_int_equal(waitpid(host, &status, 0), host);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void wrong_starts_are_refused(void **state _unused_) {
        char *const no_arguments[] = { (char *)"tbagent-plugin-host", NULL };
        uint8_t garbage[64];
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                close(2);
                execv(host_path(), no_arguments);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_exit(status, EX_USAGE);

        memset(garbage, 0x5a, sizeof garbage);
        memset(&peer, 0, sizeof peer);
        assert_int_equal(process_spawn(host_path(), "x", false, &peer.pid, &peer.fd), 0);
        assert_int_equal(wire_send(peer.fd, garbage, sizeof garbage, -EBADF), 0);
        assert_exit(finish(&peer), EX_PROTOCOL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(check_is_complete),
                cmocka_unit_test(check_tells_all),
                cmocka_unit_test(unfit_plugins_are_refused),
                cmocka_unit_test(once_gives_one_sample),
                cmocka_unit_test(scan_needs_no_options),
                cmocka_unit_test(exit_state_opens_and_closes),
                cmocka_unit_test(run_samples_on_schedule),
                cmocka_unit_test(run_ends_at_end_of_file),
                cmocka_unit_test(run_goes_through_states),
                cmocka_unit_test(optional_absence_is_silent),
                cmocka_unit_test(kept_state_comes_back),
                cmocka_unit_test(methods_are_answered),
                cmocka_unit_test(settings_change_live),
                cmocka_unit_test(sample_comes_on_demand),
                cmocka_unit_test(failing_open_ends_the_process),
                cmocka_unit_test(crash_keeps_what_was_sent),
                cmocka_unit_test(hang_is_killed),
                cmocka_unit_test(leak_ends_with_a_reason),
                cmocka_unit_test(leaked_descriptors_are_its_own_trouble),
                cmocka_unit_test(slow_samples_are_not_bunched),
                cmocka_unit_test(unread_rows_are_counted),
                cmocka_unit_test(flood_is_bounded),
                cmocka_unit_test(host_dies_with_its_parent),
                cmocka_unit_test(wrong_starts_are_refused),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        if (!getenv("TBAGENT_HOST") || !getenv("TBAGENT_PLUGINS")) {
                printf("1..0 # SKIP TBAGENT_HOST and TBAGENT_PLUGINS say where they are\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
