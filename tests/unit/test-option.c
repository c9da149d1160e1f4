/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "model/option.h"

static const struct tbagent_option report_table[] = {
        { .name = "deadband", .type = TBAGENT_DELTA },
        { .name = "decimals", .type = TBAGENT_INT, .max = 15 },
        { .name = "max_interval", .type = TBAGENT_DURATION, .min = 0, .max = INFINITY },
        { .name = "valid", .type = TBAGENT_NUMBERS, .min = 2, .max = 2 },
        { .name = "calibrate", .type = TBAGENT_PAIRS, .min = 1, .max = 8 },
        { 0 },
};
static const struct tbagent_option sensor_table[] = {
        { .name = "id", .type = TBAGENT_STRING, .flags = TBAGENT_REQUIRED, .help = "the probe's id, like \"28-0316a2795eff\"" },
        { .name = "resolution", .type = TBAGENT_INT, .fallback = "12", .min = 9, .max = 12 },
        { 0 },
};
static const struct tbagent_option pwm_table[] = {
        { .name = "frequency", .type = TBAGENT_FLOAT, .fallback = "50", .min = 0.5, .max = 1000 },
        { .name = "pin", .type = TBAGENT_STRING, .flags = TBAGENT_REQUIRED },
        { 0 },
};
static const struct tbagent_option recursive_table[] = {
        { .name = "x", .type = TBAGENT_INT, .fallback = "1" },
        { .name = "again", .type = TBAGENT_GROUP, .members = recursive_table },
        { 0 },
};
static const struct tbagent_option plugin_table[] = {
        { .name = "bus", .type = TBAGENT_INT, .flags = TBAGENT_REQUIRED, .max = 255, .help = "number of the bus" },
        { .name = "edge", .type = TBAGENT_STRING, .fallback = "both", .choices = "rising|falling|both" },
        { .name = "invert", .type = TBAGENT_BOOL, .fallback = "false" },
        { .name = "room", .type = TBAGENT_SIZE, .fallback = "16k", .min = 1024, .max = 1048576 },
        { .name = "command", .type = TBAGENT_STRINGS },
        { .name = "secret", .type = TBAGENT_STRING, .flags = TBAGENT_SECRET },
        { .name = "limits", .type = TBAGENT_NUMBERS, .fallback = "(0, 2.5)", .min = 2, .max = 2 },
        { .name = "gain", .type = TBAGENT_FLOAT, .flags = TBAGENT_RUNTIME },
        { .name = "pwm", .type = TBAGENT_GROUP, .members = pwm_table },
        { .name = "sensors", .type = TBAGENT_MAP, .flags = TBAGENT_KEYS, .members = sensor_table },
        { .name = "chips", .type = TBAGENT_MAP, .flags = TBAGENT_PREFIXES, .members = sensor_table },
        { .name = "plain", .type = TBAGENT_MAP, .members = sensor_table },
        { .name = "any", .type = TBAGENT_GROUP },
        { 0 },
};
static const struct tbagent_option generic_table[] = {
        { .name = "every", .type = TBAGENT_DURATION, .flags = TBAGENT_RUNTIME, .fallback = "60s", .min = 0.01, .max = 86400 },
        { .name = "enabled", .type = TBAGENT_BOOL, .flags = TBAGENT_RUNTIME, .fallback = "true" },
        { .name = "report", .type = TBAGENT_GROUP, .members = report_table },
        { .name = "keys", .type = TBAGENT_MAP, .members = report_table },
        { 0 },
};
static const struct tbagent_option *const tables[4] = { plugin_table, generic_table };

static char told[4096];

static void on_problem(void *userdata, bool fatal, const char *file, unsigned line, const char *text) {
        size_t used = strlen(told);

        (void)userdata;
        assert_true(fatal);
        snprintf(told + used, sizeof(told) - used, "%s:%u: %s\n", file ? file : "-", line, text);
}

/* A tree written as "path=value" lines; values as in the file, lists flat or of lists. Line n is the n-th. */
static Setting *value_setting(const char **p, const char *name, unsigned line) {
        Setting *s = NULL;
        char text[128];
        size_t n;

        if (**p == '(') {
                assert_int_equal(setting_new(&s, SETTING_LIST, name, "f", line), 0);
                for ((*p)++; **p != ')'; *p += **p == ',')
                        assert_int_equal(setting_add(s, value_setting(p, NULL, line)), 0);
                (*p)++;
                return s;
        }
        n = strcspn(*p, ",)\n");
        snprintf(text, sizeof(text), "%.*s", (int)n, *p);
        *p += n;
        if (text[0] == '"') {
                assert_int_equal(setting_new(&s, SETTING_STRING, name, "f", line), 0);
                text[strlen(text) - 1] = '\0';
                assert_int_equal(setting_set_string(s, text + 1), 0);
        } else if (text[0] == '{')
                assert_int_equal(setting_new(&s, SETTING_GROUP, name, "f", line), 0);
        else if (streq(text, "true") || streq(text, "false")) {
                assert_int_equal(setting_new(&s, SETTING_BOOL, name, "f", line), 0);
                s->b = text[0] == 't';
        } else if (strpbrk(text, ".n")) {
                assert_int_equal(setting_new(&s, SETTING_FLOAT, name, "f", line), 0);
                s->d = strtod(text, NULL);
        } else {
                assert_int_equal(setting_new(&s, SETTING_INT, name, "f", line), 0);
                s->i = strtoll(text, NULL, 10);
        }
        return s;
}

static Setting *tree(const char *text) {
        unsigned line = 0;
        Setting *root;

        assert_int_equal(setting_new(&root, SETTING_GROUP, "x", "f", 0), 0);
        for (const char *p = text; *p != '\0'; p += *p == '\n') {
                Setting *at = root;
                char path[128], *name = path, *dot;

                line++;
                snprintf(path, sizeof(path), "%.*s", (int)strcspn(p, "="), p);
                p += strcspn(p, "=") + 1;
                for (; (dot = strchr(name, '.')); name = dot + 1) {
                        Setting *group;

                        *dot = '\0';
                        group = setting_child(at, name);
                        if (!group) {
                                assert_int_equal(setting_new(&group, SETTING_GROUP, name, "f", line), 0);
                                assert_int_equal(setting_add(at, group), 0);
                        }
                        at = group;
                }
                assert_int_equal(setting_add(at, value_setting(&p, name, line)), 0);
        }
        return root;
}

static Node *check(const char *text, int n_problems) {
        _cleanup_(setting_freep) Setting *s = tree(text);
        Node *n;

        told[0] = '\0';
        if (node_new(&n, s, "plugins.x", tables, on_problem, NULL) != n_problems)
                fail_msg("not %d problems: %s", n_problems, told);
        assert_non_null(n);
        return n;
}

static void refused(const char *text, const char *expected) {
        node_free(check(text, 1));
        assert_string_equal(told, expected);
}

static void test_defaults(void **state) {
        _cleanup_(node_freep) Node *n = check("bus=1", 0);
        const double *numbers;
        unsigned line;

        (void)state;
        assert_int_equal(node_int(n, "bus"), 1);
        assert_true(node_is_set(n, "bus"));
        assert_string_equal(node_file(n, "bus", &line), "f");
        assert_int_equal(line, 1);
        assert_false(node_is_set(n, "every"));
        assert_null(node_file(n, "every", &line));
        assert_int_equal(line, 0);
        assert_int_equal(node_int(n, "every"), 60 * USEC_PER_SEC);
        assert_int_equal(node_int(n, "enabled"), 1);
        assert_int_equal(node_int(n, "room"), 16384);
        assert_string_equal(node_string(n, "edge", 0), "both");
        assert_null(node_string(n, "edge", 1));
        assert_null(node_string(n, "command", 0));
        assert_int_equal(node_numbers(n, "limits", &numbers), 2);
        assert_true(numbers[0] == 0 && numbers[1] == 2.5);
        assert_int_equal(node_numbers(node_member(n, "report", 0), "valid", &numbers), 0);
        assert_true(node_float(node_member(n, "pwm", 0), "frequency") == 50);
        assert_false(node_is_set(n, "pwm"));
        assert_null(node_member(n, "sensors", 0));
        assert_null(node_member(n, "any", 0));
}

static void test_values(void **state) {
        _cleanup_(node_freep) Node *n = check("bus=7\nevery=\"250ms\"\nroom=\"1M\"\nedge=\"rising\"\ninvert=true\n"
                                              "command=(\"sh\",\"-c\",\"ls\")\npwm.frequency=100\npwm.pin=\"GPIO18\"\n"
                                              "report.deadband=\"5%\"\nreport.valid=(-10,60.5)\nreport.calibrate=((0,1),(100,98.5))\n"
                                              "any.thing={}\nany.other=(1,\"x\")\nkeys.a_b.deadband=0.5", 0);
        const Node *report = node_member(n, "report", 0);
        const double *numbers;

        (void)state;
        assert_int_equal(node_int(n, "every"), 250000);
        assert_int_equal(node_int(n, "room"), 1048576);
        assert_string_equal(node_string(n, "edge", 0), "rising");
        assert_int_equal(node_int(n, "invert"), 1);
        assert_string_equal(node_string(n, "command", 2), "ls");
        assert_null(node_string(n, "command", 3));
        assert_true(node_float(node_member(n, "pwm", 0), "frequency") == 100);
        assert_true(node_float(report, "deadband") == 5);
        assert_true(node_is_percent(report, "deadband"));
        assert_int_equal(node_numbers(report, "valid", &numbers), 2);
        assert_true(numbers[0] == -10 && numbers[1] == 60.5);
        assert_int_equal(node_numbers(report, "calibrate", &numbers), 4);
        assert_true(numbers[1] == 1 && numbers[2] == 100 && numbers[3] == 98.5);
        assert_true(node_is_set(n, "any"));
        assert_string_equal(node_own_name(node_member(n, "keys", 0)), "a_b");
        assert_true(node_float(node_member(n, "keys", 0), "deadband") == 0.5);
        assert_string_equal(node_own_name(n), "x");
}

static void test_channels(void **state) {
        _cleanup_(node_freep) Node *n = check("bus=1\nsensors.a.id=\"28-1\"\nsensors.a.deadband=0.1\nsensors.b.id=\"28-2\"\n"
                                              "sensors.b.key=\"boiler temperature\"\nchips.room.id=\"1\"\nchips.room.prefix=\"r\"\n"
                                              "chips.room.decimals=2", 0);

        (void)state;
        assert_string_equal(node_key(node_member(n, "sensors", 0)), "a");
        assert_string_equal(node_key(node_member(n, "sensors", 1)), "boiler temperature");
        assert_string_equal(node_own_name(node_member(n, "sensors", 1)), "b");
        assert_null(node_member(n, "sensors", 2));
        assert_string_equal(node_key(node_member(n, "chips", 0)), "r");
        assert_int_equal(node_int(node_member(n, "chips", 0), "decimals"), 2);
        assert_int_equal(node_int(node_member(n, "sensors", 0), "resolution"), 12);
        refused("bus=1\nplain.a.id=\"x\"\nplain.a.key=\"y\"", "f:3: plugins.x.plain.a.key is not known; known here: id, resolution\n");
        refused("bus=1\nsensors.a.id=\"x\"\nsensors.a.prefix=\"y\"",
                "f:3: plugins.x.sensors.a.prefix is not known; known here: id, resolution, key, deadband, decimals, max_interval, valid, calibrate\n");
}

static void test_names(void **state) {
        (void)state;
        refused("bus=1\nevry=\"1s\"", "f:2: plugins.x.evry is not known; did you mean \"every\"?\n");
        refused("bus=1\nsensors.a.id=\"1\"\nsensors.a.dedband=1", "f:3: plugins.x.sensors.a.dedband is not known; did you mean \"deadband\"?\n");
        refused("bus=1\npwm.pin=\"a\"\npwm.colour=1", "f:3: plugins.x.pwm.colour is not known; known here: frequency, pin\n");
        refused("bus=1\ndeadband=1", "f:2: plugins.x.deadband is not known here: it goes into a channel, or into report = { } for all of them\n");
        refused("bus=1\nsensors.a*.id=\"1\"", "f:2: plugins.x.sensors.a* is no name: write at most 64 letters, digits, _ or -\n");
}

static void test_missing(void **state) {
        (void)state;
        refused("every=\"1s\"", "f:0: plugins.x.bus is missing: number of the bus\n");
        refused("bus=1\nsensors.a.resolution=9", "f:2: plugins.x.sensors.a.id is missing: the probe's id, like \"28-0316a2795eff\"\n");
        refused("bus=1\npwm.frequency=1", "f:2: plugins.x.pwm.pin is missing\n");
        refused("bus=1\nsensors.a.id=\"\"", "f:2: plugins.x.sensors.a.id = \"\" is empty\n");
}

static void test_types(void **state) {
        (void)state;
        refused("bus=\"1\"", "f:1: plugins.x.bus = \"1\" wants a number: write 1, without quotes\n");
        refused("bus=1.5", "f:1: plugins.x.bus = 1.5 wants a whole number\n");
        refused("bus={}", "f:1: plugins.x.bus wants a whole number\n");
        refused("bus=1\ninvert=\"yes\"", "f:2: plugins.x.invert = \"yes\" wants true or false: write true, without quotes\n");
        refused("bus=1\ninvert=0", "f:2: plugins.x.invert = 0 wants true or false: write false, without quotes\n");
        refused("bus=1\ninvert=\"maybe\"", "f:2: plugins.x.invert = \"maybe\" wants true or false\n");
        refused("bus=1\nedge=5", "f:2: plugins.x.edge = 5 wants text: put it in quotes, \"5\"\n");
        refused("bus=1\nedge=(1,2)", "f:2: plugins.x.edge = (1, 2) wants text, not a list\n");
        refused("bus=1\ncommand=(\"a\",2)", "f:2: plugins.x.command = (\"a\", 2) wants text: put it in quotes, \"2\"\n");
        refused("bus=1\ngain=\"0.5\"", "f:2: plugins.x.gain = \"0.5\" wants a number: write 0.5, without quotes\n");
        refused("bus=1\ngain=nan", "f:2: plugins.x.gain = nan wants a number\n");
        refused("bus=1\npwm=5", "f:2: plugins.x.pwm wants a group: write pwm = { ... };\n");
        refused("bus=1\nsensors=(1)", "f:2: plugins.x.sensors wants named groups: write sensors = { NAME = { ... }; };\n");
        refused("bus=1\nsensors.a=\"28-1\"", "f:2: plugins.x.sensors.a wants a group: write a = { ... };\n");
}

static void test_units(void **state) {
        (void)state;
        refused("bus=1\nevery=10", "f:2: plugins.x.every = 10 needs a unit: write \"10s\"\n");
        refused("bus=1\nevery=0.5", "f:2: plugins.x.every = 0.5 needs a unit: write \"0.5s\"\n");
        refused("bus=1\nevery=\"10\"", "f:2: plugins.x.every = \"10\" needs a unit: write \"10s\"\n");
        refused("bus=1\nevery=\"10m\"", "f:2: plugins.x.every = \"10m\" is no duration: write a number and a unit (ms, s, min, h, d), like \"10s\"\n");
        refused("bus=1\nevery=true", "f:2: plugins.x.every = true is no duration: write a number and a unit (ms, s, min, h, d), like \"10s\"\n");
        refused("bus=1\nevery=\"999999999d\"", "f:2: plugins.x.every = \"999999999d\" is too large\n");
        refused("bus=1\nroom=65536", "f:2: plugins.x.room = 65536 needs a unit: write \"64k\"\n");
        refused("bus=1\nroom=-5", "f:2: plugins.x.room = -5 needs a unit: write \"16k\"\n");
        refused("bus=1\nroom=\"big\"", "f:2: plugins.x.room = \"big\" is no size: write a number and a unit (B, k, M, G), like \"16k\"\n");
}

static void test_ranges(void **state) {
        (void)state;
        refused("bus=256", "f:1: plugins.x.bus = 256 is out of range: write 0 to 255\n");
        refused("bus=1\nevery=\"5ms\"", "f:2: plugins.x.every = \"5ms\" is out of range: write \"10ms\" to \"1d\"\n");
        refused("bus=1\nroom=\"2M\"", "f:2: plugins.x.room = \"2M\" is out of range: write \"1k\" to \"1M\"\n");
        refused("bus=1\npwm.pin=\"p\"\npwm.frequency=0", "f:3: plugins.x.pwm.frequency = 0 is out of range: write 0.5 to 1000\n");
        refused("bus=1\nedge=\"risin\"", "f:2: plugins.x.edge = \"risin\" is not known; did you mean \"rising\"? Choices: \"rising\", \"falling\", \"both\"\n");
        refused("bus=1\nedge=\"none\"", "f:2: plugins.x.edge = \"none\" is not known: write one of \"rising\", \"falling\", \"both\"\n");
        refused("bus=1\nreport.deadband=-1", "f:2: plugins.x.report.deadband = -1 is less than 0: write how much a value has to change, like 0.5 or \"5%\"\n");
        refused("bus=1\nreport.deadband=\"five\"", "f:2: plugins.x.report.deadband = \"five\" wants a number or a percentage: write 0.5 or \"5%\"\n");
        refused("bus=1\nreport.deadband=\"%\"", "f:2: plugins.x.report.deadband = \"%\" wants a number or a percentage: write 0.5 or \"5%\"\n");
        refused("bus=1\nreport.valid=(1)", "f:2: plugins.x.report.valid = (1) wants 2 numbers, like (0, 100)\n");
        refused("bus=1\nreport.valid=(60,-10)", "f:2: plugins.x.report.valid = (60, -10) has the higher number first: write (-10, 60)\n");
        refused("bus=1\nreport.valid=(1,\"2\")", "f:2: plugins.x.report.valid = (1, \"2\") wants numbers only, like (0, 100)\n");
        refused("bus=1\nreport.valid=5", "f:2: plugins.x.report.valid = 5 wants numbers in parentheses, like (0, 100)\n");
        refused("bus=1\nreport.calibrate=(1,2)", "f:2: plugins.x.report.calibrate = (1, 2) wants pairs of numbers, like ((0, 0.5), (100, 99.2))\n");
        refused("bus=1\nreport.calibrate=((1,2,3))", "f:2: plugins.x.report.calibrate = ((1, 2, 3)) wants pairs of numbers, like ((0, 0.5), (100, 99.2))\n");
        refused("bus=1\nreport.calibrate=()", "f:2: plugins.x.report.calibrate = () wants 1 to 8 pairs\n");
}

/* Integers beyond int32 come as text. */
static void test_large_integers(void **state) {
        static const struct tbagent_option wide[] = { { .name = "n", .type = TBAGENT_INT }, { .name = "f", .type = TBAGENT_FLOAT }, { 0 } };
        static const struct tbagent_option *const wide_tables[4] = { wide };
        _cleanup_(setting_freep) Setting *s = tree("n=\"9223372036854775807\"\nf=\"5000000000\"");
        _cleanup_(node_freep) Node *n = NULL;

        (void)state;
        assert_int_equal(node_new(&n, s, "", wide_tables, on_problem, NULL), 0);
        assert_true(node_int(n, "n") == INT64_MAX);
        assert_true(node_float(n, "f") == 5e9);
        n = node_free(n);
        assert_int_equal(setting_set_string(setting_child(s, "n"), "0xFFFFFFFF"), 0);
        assert_int_equal(node_new(&n, s, "", wide_tables, on_problem, NULL), 0);
        assert_true(node_int(n, "n") == 0xFFFFFFFF);
}

static void test_secrets(void **state) {
        (void)state;
        node_free(check("bus=1\nsecret=1234567", 1));
        assert_string_equal(told, "f:2: plugins.x.secret wants text: put it in quotes\n");
}

/* All of them in one go, and what was refused has its default. */
static void test_all_at_once(void **state) {
        _cleanup_(node_freep) Node *n = check("bus=300\nevery=10\nsensors.a.resolution=13\nsensors.b.id=5\nwhat=1", 6);

        (void)state;
        assert_int_equal(node_int(n, "bus"), 0);
        assert_int_equal(node_int(n, "every"), 60 * USEC_PER_SEC);
        assert_int_equal(node_int(node_member(n, "sensors", 0), "resolution"), 12);
}

static void test_bad_tables(void **state) {
        static const struct tbagent_option bad[] = { { .name = "n", .type = TBAGENT_INT, .fallback = "x" }, { .name = "t", .type = 99 }, { 0 } };
        static const struct tbagent_option *const bad_tables[4] = { bad };
        static const struct tbagent_option *const deep_tables[4] = { recursive_table };
        _cleanup_(setting_freep) Setting *s = tree("t=1");
        _cleanup_(node_freep) Node *n = NULL, *deep = NULL;

        (void)state;
        told[0] = '\0';
        assert_int_equal(node_new(&n, s, "", bad_tables, on_problem, NULL), 2);
        assert_string_equal(told, "-:0: n has a default that cannot be read: a mistake in the option table\n"
                                  "f:1: t = 1 cannot be set: its type in the option table is unknown\n");
        assert_int_equal(node_new(&deep, NULL, "", deep_tables, on_problem, NULL), 0);
        assert_int_equal(node_int(node_member(node_member(deep, "again", 0), "again", 0), "x"), 1);
}

static int set(Node *n, const char *path, const char *value) {
        _cleanup_(setting_freep) Setting *s = NULL;
        char text[64];

        told[0] = '\0';
        if (!value)
                return node_set(n, path, NULL, on_problem, NULL);
        snprintf(text, sizeof(text), "v=%s", value);
        s = tree(text);
        return node_set(n, path, setting_child(s, "v"), on_problem, NULL);
}

static void test_runtime(void **state) {
        _cleanup_(node_freep) Node *n = check("bus=1\nevery=\"30s\"\nsensors.a.id=\"28-1\"\nsensors.a.deadband=0.1\nkeys.k.decimals=1\n"
                                              "report.decimals=3", 0);
        const Node *a = node_member(n, "sensors", 0);
        unsigned line;

        (void)state;
        assert_int_equal(set(n, "every", "\"10s\""), 0);
        assert_int_equal(node_int(n, "every"), 10 * USEC_PER_SEC);
        assert_int_equal(set(n, "every", "\"1ms\""), -EINVAL);
        assert_string_equal(told, "f:1: plugins.x.every = \"1ms\" is out of range: write \"10ms\" to \"1d\"\n");
        assert_int_equal(node_int(n, "every"), 10 * USEC_PER_SEC);
        assert_int_equal(set(n, "every", NULL), 0);
        assert_int_equal(node_int(n, "every"), 30 * USEC_PER_SEC);
        assert_string_equal(node_file(n, "every", &line), "f");
        assert_int_equal(set(n, "every", NULL), 0);

        assert_int_equal(set(n, "a.deadband", "\"5%\""), 0);
        assert_true(node_is_percent(a, "deadband"));
        assert_int_equal(set(n, "sensors.a.deadband", "2"), 0);
        assert_true(node_float(a, "deadband") == 2);
        assert_int_equal(set(n, "a.deadband", NULL), 0);
        assert_true(node_float(a, "deadband") == 0.1);
        assert_int_equal(set(n, "a.decimals", "16"), -EINVAL);
        assert_int_equal(set(n, "keys.k.decimals", "2"), 0);
        assert_int_equal(set(n, "report.decimals", "5"), 0);
        assert_int_equal(node_int(node_member(n, "report", 0), "decimals"), 5);
        assert_int_equal(set(n, "gain", "1"), 0);
        assert_true(node_is_set(n, "gain"));
        assert_int_equal(set(n, "gain", NULL), 0);
        assert_false(node_is_set(n, "gain"));

        assert_int_equal(set(n, "bus", "2"), -EPERM);
        assert_int_equal(set(n, "a.id", "\"x\""), -EPERM);
        assert_int_equal(set(n, "pwm.frequency", "2"), -EPERM);
        assert_int_equal(set(n, "report", "2"), -ENOENT);
        assert_int_equal(set(n, "b.deadband", "2"), -ENOENT);
        assert_int_equal(set(n, "a.what", "2"), -ENOENT);
        assert_int_equal(set(n, "sensors.a", "2"), -ENOENT);
        assert_int_equal(set(n, "sensors.", "2"), -ENOENT);
        assert_int_equal(set(n, "any.x", "2"), -ENOENT);
        assert_int_equal(set(n, "", "2"), -ENOENT);
        assert_int_equal(set(n, "..", "2"), -ENOENT);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),    cmocka_unit_test(test_values),     cmocka_unit_test(test_channels),
                cmocka_unit_test(test_names),       cmocka_unit_test(test_missing),    cmocka_unit_test(test_types),
                cmocka_unit_test(test_units),       cmocka_unit_test(test_ranges),     cmocka_unit_test(test_large_integers),
                cmocka_unit_test(test_secrets),     cmocka_unit_test(test_all_at_once), cmocka_unit_test(test_bad_tables),
                cmocka_unit_test(test_runtime),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        option_set_channel_options(report_table);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
