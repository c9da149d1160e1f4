/* SPDX-License-Identifier: Apache-2.0 */
/* Every tests/configs/NAME.conf (with NAME.conf.d) has to give the lines of NAME.expected, whatever version of
 * libconfig is linked. TBAGENT_UPDATE=1 writes those instead; then read what git shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/config.h"
#include "base/file.h"
#include "sensor/rules.h"
#include "tree.h"

static char configs[PATH_MAX]; /* the folder of broken ones */
static char *folder;           /* of this test, and the working directory */

static char *text_of(const char *format, ...) _printf_(1, 2);
static char *text_of(const char *format, ...) {
        char *text;
        va_list ap;

        va_start(ap, format);
        assert_true(vasprintf(&text, format, ap) >= 0);
        va_end(ap);
        return text;
}

static int setup(void **state) {
        (void)state;
        folder = tree_new();
        return chdir(folder);
}

static int teardown(void **state) {
        (void)state;
        assert_int_equal(chdir("/"), 0);
        folder = tree_free(folder);
        return 0;
}

static void put(const char *name, const char *text) {
        tree_put(folder, name, text);
        assert_int_equal(chmod(name, 0640), 0);
}

/* "FILE:LINE: error: TEXT" lines, then what keeps the credentials from being read. */
static char *told(const char *path, Config **ret) {
        ConfigProblem *problems;
        bool fatal = false;
        size_t n, size;
        char *text;
        FILE *f = open_memstream(&text, &size);
        int r;

        assert_non_null(f);
        *ret = NULL;
        r = config_load(ret, path, &problems, &n);
        assert_int_equal(r < 0, *ret == NULL);
        for (size_t i = 0; i < n; i++) {
                _cleanup_(freep) char *line = config_problem_text(&problems[i]);

                fprintf(f, "%s\n", line);
                fatal = fatal || problems[i].fatal;
        }
        if (r < 0)
                assert_true(fatal);
        config_problems_free(problems, n);
        if (*ret && !fatal && config_url(*ret)) {
                char *username = NULL, *password = NULL, *why = NULL;

                if (config_credentials(*ret, &username, &password, &why) < 0)
                        fprintf(f, "credentials: %s\n", why);
                free(username);
                free(password);
                free(why);
        }
        if (!fatal)
                fprintf(f, "usable\n");
        fclose(f);
        return text;
}

static void expect(const char *text, const char *expected) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(freep) char *lines = NULL;

        put("t.conf", text);
        lines = told("t.conf", &c);
        assert_string_equal(lines, expected);
}

static Config *load(const char *text) {
        _cleanup_(freep) char *lines = NULL;
        Config *c;

        put("t.conf", text);
        lines = told("t.conf", &c);
        assert_string_equal(lines, "usable\n");
        return c;
}

/* ---- the broken ones */

static void copy_file(const char *from, const char *to, mode_t mode) {
        _cleanup_(freep) char *data = NULL;
        size_t size;

        assert_int_equal(file_read(from, MIB, &data, &size), 0);
        assert_int_equal(file_replace(to, data, size, mode), 1);
}

static void copy_folder(const char *from, const char *to) {
        struct dirent *e;
        DIR *d = opendir(from);

        if (!d)
                return;
        assert_int_equal(mkdir(to, 0755), 0);
        while ((e = readdir(d)))
                if (e->d_name[0] != '.') {
                        _cleanup_(freep) char *source = text_of("%s/%s", from, e->d_name), *target = text_of("%s/%s", to, e->d_name);

                        copy_file(source, target, 0640);
                }
        closedir(d);
}

static bool as_expected(const char *name) {
        _cleanup_(freep) char *from = text_of("%s/%s", configs, name), *from_parts = text_of("%s.d", from), *to_parts = text_of("%s.d", name);
        _cleanup_(freep) char *kept = text_of("%s/%.*s.expected", configs, (int)strlen(name) - 5, name), *lines = NULL, *expected = NULL;
        _cleanup_(config_freep) Config *c = NULL;

        copy_file(from, name, strncmp(name, "world-readable", 14) == 0 ? 0644 : 0640);
        copy_folder(from_parts, to_parts);
        lines = told(name, &c);
        if (getenv("TBAGENT_UPDATE"))
                assert_true(file_replace(kept, lines, strlen(lines), 0644) >= 0);
        if (file_read(kept, MIB, &expected, NULL) < 0 || !streq(lines, expected)) {
                print_error("%s gives\n%sand should give\n%s", name, lines, expected ? expected : "(no such file)\n");
                return false;
        }
        if (strstr(lines, "s3cret") || strstr(lines, "12345678901234")) {
                print_error("%s: a secret is told\n%s", name, lines);
                return false;
        }
        return true;
}

static void test_broken(void **state) {
        struct dirent **entries;
        int n = scandir(configs, &entries, NULL, alphasort), run = 0, wrong = 0;

        (void)state;
        assert_true(n > 0);
        for (int i = 0; i < n; i++) {
                size_t length = strlen(entries[i]->d_name);

                if (length > 5 && streq(entries[i]->d_name + length - 5, ".conf")) {
                        wrong += !as_expected(entries[i]->d_name);
                        run++;
                }
                free(entries[i]);
        }
        free(entries);
        assert_int_equal(wrong, 0);
        assert_true(run >= 20);
        print_message("# %d broken configurations\n", run);
}

/* ---- the whole way */

static const char example[] =
        "server     = { url = \"mqtts://thingsboard.example.com\"; username = \"roof\"; password = \"s3cret\"; keepalive = \"1min\" }\n"
        "telemetry  = { batch_interval = \"250ms\", batch_size = \"32k\"; order = \"strict\" };\n"
        "attributes = { client = { site = \"roof\"; floors = 3; list = (1, \"a\"); }; };\n"
        "rpc        = { aliases = { setValue = \"pump.set\"; }; };\n"
        "report     = { decimals = 3; deadband = \"1%\"; };\n"
        "clock      = \"system\";\n"
        "plugins = {\n"
        "  boiler = { plugin = \"onewire\"; every = \"10s\"; optional = true; order = \"live-first\";\n"
        "    sensors = { boiler_temp = { id = \"28-0316a2795eff\"; offset = -0.4; wide = 5000000000L; }; };\n"
        "    report = { decimals = 1; }; };\n"
        "  off = { plugin = \"system\"; enabled = false; intake = \"1M\"; };\n"
        "};\n";

static void test_example(void **state) {
        _cleanup_(config_freep) Config *c = load(example);
        const ConfigInstance *boiler, *off;
        char *username = NULL, *password = NULL, *text = NULL;

        (void)state;
        assert_string_equal(config_url(c), "mqtts://thingsboard.example.com");
        assert_int_equal(node_int(config_server(c), "keepalive"), 60 * USEC_PER_SEC);
        assert_string_equal(node_string(config_server(c), "protocol", 0), "auto");
        assert_int_equal(node_int(config_telemetry(c), "batch_interval"), 250000);
        assert_int_equal(node_int(config_telemetry(c), "batch_size"), 32768);
        assert_int_equal(node_int(config_telemetry(c), "ring_size"), MIB);
        assert_int_equal(node_int(config_telemetry(c), "backlog_rate"), 2000);
        assert_string_equal(node_string(config_top(c), "clock", 0), "system");
        assert_string_equal(node_string(config_top(c), "log_level", 0), "info");
        assert_string_equal(setting_lookup(config_root(c), "attributes.client.site")->s, "roof");
        assert_string_equal(setting_lookup(config_root(c), "rpc.aliases.setValue")->s, "pump.set");

        assert_int_equal(config_n_instances(c), 2);
        boiler = config_instance(c, 0);
        assert_string_equal(boiler->name, "boiler");
        assert_string_equal(boiler->plugin, "onewire");
        assert_true(boiler->enabled && boiler->optional && !boiler->strict_order && !boiler->misconfigured);
        assert_int_equal(boiler->intake_rate, 256 * KIB);
        assert_int_equal(boiler->intake_burst, MIB);
        assert_string_equal(boiler->file, "t.conf");
        assert_int_equal(boiler->line, 8);
        assert_int_equal(setting_lookup(boiler->settings, "report.decimals")->i, 1);
        assert_int_equal(setting_lookup(boiler->settings, "report.decimals")->line, 10);
        assert_string_equal(setting_lookup(boiler->settings, "report.deadband")->s, "1%");
        assert_true(setting_lookup(boiler->settings, "sensors.boiler_temp.offset")->d == -0.4);
        assert_true(setting_lookup(boiler->settings, "sensors.boiler_temp.wide")->i == 5000000000);
        assert_int_equal(setting_lookup(boiler->settings, "sensors.boiler_temp.wide")->line, 9);
        off = config_instance(c, 1);
        assert_true(!off->enabled && off->strict_order);
        assert_string_equal(setting_child(off->settings, "order")->s, "strict");
        assert_string_equal(setting_child(boiler->settings, "order")->s, "live-first");
        assert_int_equal(off->intake_rate, MIB);
        assert_int_equal(setting_lookup(off->settings, "report.decimals")->i, 3);

        assert_int_equal(config_credentials(c, &username, &password, &text), 0);
        assert_string_equal(username, "roof");
        assert_string_equal(password, "s3cret");
        assert_null(text);
        free(username);
        free(password);
}

static void test_readable_token_file(void **state) {
        _cleanup_(freep) char *here = getcwd(NULL, 0), *file = text_of("%s/tok", here), *expected = NULL;
        _cleanup_(freep) char *text = text_of("server = { url = \"mqtt://thingsboard.example.com\"; token_file = \"%s\"; };", file);

        (void)state;
        put("tok", "s3cret");
        assert_int_equal(chmod(file, 0640), 0);
        expect(text, "usable\n");
        assert_int_equal(chmod(file, 0644), 0);
        expected = text_of("t.conf:1: warning: server.token_file names a file that everybody can read: "
                           "chown root:tbagent %s; chmod 640 %s\nusable\n", file, file);
        expect(text, expected);
}

static void test_empty(void **state) {
        _cleanup_(config_freep) Config *c = load("");

        (void)state;
        assert_null(config_url(c));
        assert_int_equal(config_n_instances(c), 0);
        assert_int_equal(node_int(config_telemetry(c), "batch_interval"), USEC_PER_SEC);
}

/* As editors leave it. */
static void test_line_ends(void **state) {
        (void)state;
        config_free(load("clock = \"system\""));
        config_free(load("clock = \"system\"; # as it is"));
        config_free(load("// nothing"));
        config_free(load("\r\nclock = \"system\";\r\n\f"));
}

static void test_conf_d(void **state) {
        _cleanup_(config_freep) Config *c = NULL;

        (void)state;
        put("t.conf.d/20-b.conf", "telemetry = { batch_size = \"2k\"; };\nplugins = { system = { every = \"20s\"; }; };\n");
        put("t.conf.d/10-a.conf", "telemetry = { batch_size = \"1k\"; batch_interval = \"2s\"; };\n"
                                  "plugins = { net = { plugin = \"exec\"; }; system = { every = \"10s\"; }; };\n");
        put("t.conf.d/.hidden.conf", "nonsense");
        put("t.conf.d/30-c.conf.dpkg-old", "nonsense");
        c = load("telemetry = { batch_size = \"4k\"; };\r\nplugins = { system = { plugin = \"system\"; every = \"60s\"; }; };\r\n");
        assert_int_equal(node_int(config_telemetry(c), "batch_size"), 2048);
        assert_int_equal(node_int(config_telemetry(c), "batch_interval"), 2 * USEC_PER_SEC);
        assert_int_equal(config_n_instances(c), 2);
        assert_string_equal(config_instance(c, 0)->name, "system");
        assert_string_equal(config_instance(c, 0)->file, "t.conf");
        assert_string_equal(setting_child(config_instance(c, 0)->settings, "every")->s, "20s");
        assert_string_equal(setting_child(config_instance(c, 0)->settings, "every")->file, "t.conf.d/20-b.conf");
        assert_string_equal(config_instance(c, 1)->name, "net");
}

static void test_no_file(void **state) {
        _cleanup_(config_freep) Config *c = NULL;
        ConfigProblem *problems;
        size_t n;

        (void)state;
        assert_int_equal(config_load(&c, "none.conf", &problems, &n), -ENOENT);
        assert_int_equal(n, 1);
        assert_string_equal(problems[0].text, "cannot be read: No such file or directory");
        config_problems_free(problems, n);
}

static void test_too_many(void **state) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        (void)state;
        fprintf(f, "attributes = { client = { a = (");
        for (int i = 0; i < SETTING_NODES_MAX; i++)
                fprintf(f, "%s%d", i ? ", " : "", i);
        fprintf(f, "); }; };\n");
        fclose(f);
        expect(text, "t.conf:1: error: there are more than 19999 settings\n");
        memset(text, '#', size);
        text = realloc(text, MIB + 2);
        memset(text, ' ', MIB + 1);
        text[MIB + 1] = '\0';
        expect(text, "t.conf: error: the file is larger than 1 MiB\n");
}

/* { a = { a = ... (1) } } with n groups below attributes */
static char *nested(unsigned n) {
        char *text;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputs("attributes = { client = ", f);
        for (unsigned i = 0; i < n; i++)
                fputs("{ a = ", f);
        fputs("(1)", f);
        for (unsigned i = 0; i < n; i++)
                fputs(" }", f);
        fputs(" }", f);
        fclose(f);
        return text;
}

/* As deep as a tree may be, and the saved form holds it. */
static void test_depth(void **state) {
        _cleanup_(freep) char *deepest = nested(12), *too_deep = nested(13);
        _cleanup_(config_freep) Config *c = load(deepest), *saved = NULL;

        (void)state;
        assert_int_equal(config_save(c, "saved"), 0);
        assert_int_equal(config_load_saved(&saved, "saved"), 0);
        expect(too_deep, "t.conf:1: error: brackets are nested more than 14 deep\n");
}

static void test_one_bad_instance(void **state) {
        _cleanup_(config_freep) Config *c = NULL;
        _cleanup_(freep) char *lines = NULL;

        (void)state;
        put("t.conf", "plugins = { good = { plugin = \"system\"; }; bad = { }; worse = 5; };");
        lines = told("t.conf", &c);
        assert_non_null(c);
        assert_int_equal(config_n_instances(c), 2);
        assert_false(config_instance(c, 0)->misconfigured);
        assert_true(config_instance(c, 1)->misconfigured);
        assert_string_equal(config_instance(c, 1)->plugin, "");
}

static void test_saved(void **state) {
        _cleanup_(config_freep) Config *c = load(example), *saved = NULL, *other = NULL;
        struct stat st, again;
        _cleanup_(freep) char *data = NULL;
        size_t size;

        (void)state;
        assert_int_equal(config_save(c, "saved"), 0);
        assert_int_equal(stat("saved", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(config_load_saved(&saved, "saved"), 0);
        assert_true(setting_same(config_root(c), config_root(saved)));
        assert_true(config_same_server(c, saved));
        assert_string_equal(config_instance(saved, 0)->file, "t.conf");
        assert_int_equal(config_instance(saved, 0)->line, 8);
        assert_int_equal(config_instance(saved, 0)->intake_rate, 256 * KIB);
        assert_string_equal(config_url(saved), config_url(c));

        /* nothing is written when nothing has changed */
        assert_int_equal(config_save(saved, "saved"), 0);
        assert_int_equal(stat("saved", &again), 0);
        assert_true(st.st_ino == again.st_ino);

        /* whatever is damaged in it, it is refused or read, and no more */
        assert_int_equal(file_read("saved", MIB, &data, &size), 0);
        for (size_t at = 0; at < size; at += 3) {
                data[at] ^= 0x55;
                assert_true(file_replace("damaged", data, size, 0600) >= 0);
                if (config_load_saved(&other, "damaged") == 0)
                        other = config_free(other);
                data[at] ^= 0x55;
        }
        assert_int_equal(config_load_saved(&other, "missing"), -ENOENT);
        put("empty", "");
        assert_int_equal(config_load_saved(&other, "empty"), -EBADMSG);
}

static void test_same_server(void **state) {
        _cleanup_(config_freep) Config *a = load("server = { url = \"mqtt://a\"; username = \"u\"; };\nclock = \"system\";");
        _cleanup_(config_freep) Config *b = load("# more\nserver = { url = \"mqtt://a\"; username = \"u\"; };\nplugins = { x = { plugin = \"system\"; }; };\n"
                                                 "clock = \"system\";");
        _cleanup_(config_freep) Config *d = load("server = { url = \"mqtt://b\"; username = \"u\"; };\nclock = \"system\";");
        _cleanup_(config_freep) Config *e = load("server = { url = \"mqtt://a\"; username = \"u\"; };\n");
        _cleanup_(config_freep) Config *f = load("server = { url = \"mqtt://a\"; username = \"u\"; };\n"
                                                 "telemetry = { batch_interval = \"2s\"; };\n");

        (void)state;
        assert_true(config_same_server(a, b));
        assert_false(config_same_server(a, d));
        assert_true(config_same_server(a, e)); /* the clock is none of its business */
        assert_false(config_same_server(e, f));
}

/* ---- credentials */

static void credentials(const char *server, int r, const char *username, const char *text) {
        _cleanup_(freep) char *config = NULL, *got_username = NULL, *got_password = NULL, *got_text = NULL;
        _cleanup_(config_freep) Config *c = NULL;
        ConfigProblem *problems;
        size_t n;

        assert_true(asprintf(&config, "server = { url = \"mqtts://h\"; %s };", server) > 0);
        put("t.conf", config);
        assert_int_equal(config_load(&c, "t.conf", &problems, &n), 0);
        config_problems_free(problems, n);
        assert_int_equal(config_credentials(c, &got_username, &got_password, &got_text), r);
        if (username)
                assert_string_equal(got_username, username);
        else
                assert_null(got_username);
        assert_null(got_password);
        if (text)
                assert_string_equal(got_text, text);
        else
                assert_null(got_text);
}

static void file_credentials(const char *content, int r, const char *username, const char *text) {
        char server[PATH_MAX], expected[PATH_MAX];

        tree_put(folder, "token", content);
        snprintf(server, sizeof(server), "token_file = \"%s/token\";", folder);
        if (text)
                snprintf(expected, sizeof(expected), "%s/token%s", folder, text);
        credentials(server, r, username, text ? expected : NULL);
}

static void test_credentials(void **state) {
        char text[PATH_MAX], server[PATH_MAX], huge[8192];

        (void)state;
        credentials("token = \"abc\";", 0, "abc", NULL);
        credentials("client_id = \"roof\";", 0, NULL, NULL);
        credentials("cert = \"/c.pem\"; key = \"/k.pem\";", 0, NULL, NULL);
        credentials("token = \"abc\"; username = \"u\";", -EINVAL, NULL,
                    "there are two sources of credentials, server.token and server.username: remove one");
        credentials("", -ENOENT, NULL,
                    "/etc/tbagent.token is not there: put the access token into it (in ThingsBoard: Devices > the device > Copy access token), "
                    "then: chown root:tbagent /etc/tbagent.token; chmod 640 /etc/tbagent.token");

        file_credentials("s3cret\n", 0, "s3cret", NULL);
        file_credentials(" s3cret \r\n\n", 0, "s3cret", NULL);
        file_credentials("\n", -ENODATA, NULL, " is empty: put the access token into it (in ThingsBoard: Devices > the device > Copy access token)");
        file_credentials("one two\n", -EBADMSG, NULL, " holds more than an access token: leave one line with the token in it");
        memset(huge, 'x', sizeof(huge) - 1);
        huge[sizeof(huge) - 1] = '\0';
        file_credentials(huge, -E2BIG, NULL, " is too large for an access token (in ThingsBoard: Devices > the device > Copy access token)");

        /* a folder cannot be read either, whoever the test runs as */
        snprintf(server, sizeof(server), "token_file = \"%s\";", folder);
        snprintf(text, sizeof(text), "%s cannot be read (Is a directory): chown root:tbagent %s; chmod 640 %s", folder, folder, folder);
        credentials(server, -EISDIR, NULL, text);
}

static void test_systemd_credential(void **state) {
        char text[PATH_MAX];

        (void)state;
        setenv("CREDENTIALS_DIRECTORY", folder, 1);
        tree_put(folder, "tbagent.token", "from-systemd\n");
        credentials("", 0, "from-systemd", NULL);
        credentials("token = \"abc\";", -EINVAL, NULL,
                    "there are two sources of credentials, server.token and the systemd credential tbagent.token: remove one");
        tree_put(folder, "tbagent.token", NULL);
        credentials("token = \"abc\";", 0, "abc", NULL);
        unsetenv("CREDENTIALS_DIRECTORY");

        /* rights, as nobody */
        if (geteuid() != 0)
                return;
        tree_put(folder, "token", "s3cret\n");
        assert_int_equal(chmod(folder, 0755), 0);
        assert_int_equal(chmod("token", 0600), 0);
        put("t.conf", "");
        snprintf(text, sizeof(text), "server = { url = \"mqtt://h\"; token_file = \"%s/token\"; };", folder);
        {
                _cleanup_(config_freep) Config *c = NULL;
                _cleanup_(freep) char *why = NULL, *lines = NULL;
                char *username = NULL, *password = NULL;

                put("t.conf", text);
                lines = told("t.conf", &c);
                assert_int_equal(seteuid(65534), 0);
                assert_int_equal(config_credentials(c, &username, &password, &why), -EACCES);
                assert_int_equal(seteuid(0), 0);
                assert_non_null(strstr(why, "/token cannot be read (Permission denied): chown root:tbagent /"));
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_example, setup, teardown),
                cmocka_unit_test_setup_teardown(test_readable_token_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
                cmocka_unit_test_setup_teardown(test_line_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_conf_d, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
                cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_bad_instance, setup, teardown),
                cmocka_unit_test_setup_teardown(test_saved, setup, teardown),
                cmocka_unit_test_setup_teardown(test_same_server, setup, teardown),
                cmocka_unit_test_setup_teardown(test_credentials, setup, teardown),
                cmocka_unit_test_setup_teardown(test_systemd_credential, setup, teardown),
        };
        const char *top = getenv("TBAGENT_SRCDIR");
        char relative[PATH_MAX];

        cmocka_set_message_output(CM_OUTPUT_TAP);
        unsetenv("CREDENTIALS_DIRECTORY");
        snprintf(relative, sizeof(relative), "%s/tests/configs", top ? top : ".");
        if (!realpath(relative, configs))
                return EXIT_FAILURE;
        option_set_channel_options(report_options);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
