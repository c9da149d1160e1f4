/* SPDX-License-Identifier: Apache-2.0 */
/* Program tbagent: arguments, which configuration runs, signals, and what systemd is told. */
#include <getopt.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "agent/agent.h"
#include "agent/check.h"
#include "agent/dump.h"
#include "agent/exit-state.h"
#include "agent/exits.h"
#include "agent/job.h"
#include "agent/scan.h"
#include "agent/show-options.h"
#include "base/file.h"
#include "base/log.h"
#include "mqtt/session.h"
#include "sensor/rules.h"

#define OVERDUE_WITHIN (3 * USEC_PER_SEC)
#define ASK_WITHIN (600 * USEC_PER_MSEC) /* a busy systemd needs some time; it is part of the stop's: agent/agent */

static const char *arg_config = TBAGENT_CONF;
static const char *arg_state_dir = TBAGENT_STATE_DIR;
static const char *arg_runtime_dir = TBAGENT_RUN_DIR;
static const char *arg_plugin_dirs = TBAGENT_PLUGIN_DIR;
static const char *arg_host = TBAGENT_HOST;
static const char *arg_device_tree = "/proc/device-tree";
static usec_t arg_deaf_after = 180 * USEC_PER_SEC;
static bool arg_level_given;
static enum { RUN, CHECK, ONCE, SCAN, OPTIONS, RING, SEGMENTS, EXIT_STATE } arg_mode = RUN;
static const char *arg_only; /* instance, plugin */
static const char *arg_dump;

static void help(void) {
        printf("tbagent [OPTION...]\n"
               "Reads sensors through plugins and sends their values to ThingsBoard.\n\n"
               "      --check [FILE]      check the configuration, print every mistake, exit 78 where there is one\n"
               "      --once [INSTANCE]   sample once and print keys, values and times, without a server\n"
               "      --scan [PLUGIN]     print what hardware is there, and a configuration for it\n"
               "      --options [PLUGIN]  print the options and methods of the plugins that are installed\n"
               "      --exit-state        give every output its on_exit value and hold it there until ended; systemd runs it\n"
               "                          when the daemon has failed\n"
               "      --ring FILE         print the rows that wait in a ring file (RUNTIME/ring), also of a running daemon\n"
               "      --segments DIR      print the blocks that wait on the disk (STATE/spool)\n"
               "  -c, --config FILE       configuration (default %s, then FILE.d/*.conf)\n"
               "      --state-dir DIR     what has to survive a reboot (default %s)\n"
               "      --runtime-dir DIR   what has to survive a crash, on a tmpfs (default %s)\n"
               "      --plugin-dir DIRS   plugins, folders separated by : (default %s)\n"
               "      --host FILE         the plugin host program (default %s)\n"
               "      --device-tree DIR   where the board says its serial number and model (default /proc/device-tree)\n"
               "      --log-level LEVEL   error, warning, notice, info or debug (default info)\n"
               "      --deaf-after TIME   start anew when the MQTT thread is silent so long (default 180s)\n"
               "  -h, --help\n"
               "      --version\n",
               TBAGENT_CONF, TBAGENT_STATE_DIR, TBAGENT_RUN_DIR, TBAGENT_PLUGIN_DIR, TBAGENT_HOST);
}

enum {
        OPT_CHECK = 256, OPT_ONCE, OPT_SCAN, OPT_OPTIONS, OPT_EXIT_STATE, OPT_RING, OPT_SEGMENTS, OPT_STATE_DIR, OPT_RUNTIME_DIR,
        OPT_PLUGIN_DIR, OPT_HOST, OPT_TREE, OPT_LEVEL, OPT_DEAF, OPT_VERSION
};

static const struct option options[] = {
        { "check", no_argument, NULL, OPT_CHECK },
        { "once", no_argument, NULL, OPT_ONCE },
        { "scan", no_argument, NULL, OPT_SCAN },
        { "options", no_argument, NULL, OPT_OPTIONS },
        { "exit-state", no_argument, NULL, OPT_EXIT_STATE },
        { "ring", required_argument, NULL, OPT_RING },
        { "segments", required_argument, NULL, OPT_SEGMENTS },
        { "config", required_argument, NULL, 'c' },
        { "state-dir", required_argument, NULL, OPT_STATE_DIR },
        { "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
        { "plugin-dir", required_argument, NULL, OPT_PLUGIN_DIR },
        { "host", required_argument, NULL, OPT_HOST },
        { "device-tree", required_argument, NULL, OPT_TREE },
        { "log-level", required_argument, NULL, OPT_LEVEL },
        { "deaf-after", required_argument, NULL, OPT_DEAF },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPT_VERSION },
        { NULL, 0, NULL, 0 },
};

static int usage_error(const char *what, const char *value) {
        fprintf(stderr, "tbagent: %s \"%s\"; tbagent --help lists the options\n", what, value);
        return -EINVAL;
}

static int parse_level(const char *text) {
        int level = log_level_parse(text);

        if (level < 0)
                return usage_error("not a log level:", text);
        log_set_level(level);
        arg_level_given = true;
        return 1;
}

/* 1: go on; 0: done (help); < 0: wrong. */
static int parse_option(int c) {
        switch (c) {
        case OPT_CHECK:
                arg_mode = CHECK;
                return 1;
        case OPT_ONCE:
                arg_mode = ONCE;
                return 1;
        case OPT_SCAN:
                arg_mode = SCAN;
                return 1;
        case OPT_OPTIONS:
                arg_mode = OPTIONS;
                return 1;
        case OPT_EXIT_STATE:
                arg_mode = EXIT_STATE;
                return 1;
        case OPT_RING:
        case OPT_SEGMENTS:
                arg_mode = c == OPT_RING ? RING : SEGMENTS;
                arg_dump = optarg;
                return 1;
        case 'c':
                arg_config = optarg;
                return 1;
        case OPT_STATE_DIR:
                arg_state_dir = optarg;
                return 1;
        case OPT_RUNTIME_DIR:
                arg_runtime_dir = optarg;
                return 1;
        case OPT_PLUGIN_DIR:
                arg_plugin_dirs = optarg;
                return 1;
        case OPT_HOST:
                arg_host = optarg;
                return 1;
        case OPT_TREE:
                arg_device_tree = optarg;
                return 1;
        case OPT_LEVEL:
                return parse_level(optarg);
        case OPT_DEAF:
                return duration_parse(optarg, &arg_deaf_after) < 0 ? usage_error("not a time with a unit (\"60s\"):", optarg) : 1;
        case OPT_VERSION:
                printf("tbagent %s\n", PACKAGE_VERSION);
                return 0;
        case 'h':
                help();
                return 0;
        default:
                return -EINVAL;
        }
}

static int parse_arguments(int argc, char **argv) {
        int c, r = 1;

        while (r > 0 && (c = getopt_long(argc, argv, "c:h", options, NULL)) >= 0)
                r = parse_option(c);
        if (r <= 0)
                return r;
        if (optind < argc && arg_mode == CHECK)
                arg_config = argv[optind++];
        else if (optind < argc && (arg_mode == ONCE || arg_mode == SCAN || arg_mode == OPTIONS))
                arg_only = argv[optind++];
        return optind < argc ? usage_error("what is", argv[optind]) : 1;
}

/* ---- which configuration runs */

static char *last_good_path(void) {
        char *path = NULL;

        return asprintf(&path, "%s/last-good.conf", arg_state_dir) < 0 ? NULL : path;
}

/* Logs every problem; *ret_first is the first fatal one that is not of a single instance, or NULL. */
static void log_problems(const ConfigProblem *problems, size_t n, char **ret_first) {
        *ret_first = NULL;
        for (size_t i = 0; i < n; i++) {
                char *text = config_problem_text(&problems[i]);
                if (!text)
                        continue;
                log_fields(problems[i].fatal ? LOG_ERR : LOG_WARNING, NULL, 0, "%s", text);
                if (!*ret_first && problems[i].fatal && (!problems[i].instance || !problems[i].instance[0]))
                        *ret_first = TAKE_PTR(text);
                free(text);
        }
}

/* 0: *ret is the file's; *ret_error NULL. -EBADMSG and the like: nothing usable, *ret_error says why. */
static int load_file(Config **ret, char **ret_error) {
        ConfigProblem *problems = NULL;
        size_t n = 0;
        _cleanup_(config_freep) Config *config = NULL;
        int r = config_load(&config, arg_config, &problems, &n);

        log_problems(problems, n, ret_error);
        config_problems_free(problems, n);
        if (r == 0 && *ret_error)
                r = -EBADMSG;
        if (r < 0) {
                if (!*ret_error && asprintf(ret_error, "%s: %s", arg_config, strerror(-r)) < 0)
                        *ret_error = NULL;
                return r;
        }
        *ret = TAKE_PTR(config);
        return 0;
}

/* The file, or else the configuration that ran last: a mistake over ssh must not cost a drive to the pole. */
static int load(Config **ret, char **ret_error) {
        _cleanup_(freep) char *path = last_good_path();
        int r = load_file(ret, ret_error);

        if (r == 0 || !path)
                return r;
        if (config_load_saved(ret, path) < 0) {
                log_error("no configuration to run: mend the file (tbagent --check tells all), then: systemctl restart tbagent");
                return r;
        }
        log_error("running on the last good configuration, because of %s", *ret_error ? *ret_error : arg_config);
        return 0;
}

static void keep_last_good(const Config *config) {
        _cleanup_(freep) char *path = last_good_path();
        int r = path ? config_save(config, path) : -ENOMEM;

        if (r < 0)
                log_warning("%s cannot be written (%s): a broken configuration would have nothing to fall back on",
                            path ? path : arg_state_dir, strerror(-r));
}

static void apply_level(const Config *config) {
        const char *text = node_string(config_top(config), "log_level", 0);
        int level = text ? log_level_parse(text) : -EINVAL;

        if (level >= 0 && !arg_level_given)
                log_set_level(level);
}

/* ---- signals */

typedef struct Main {
        Loop *loop;
        Agent *agent;
        Job *job; /* the question that a stop begins with */
        usec_t asked; /* when it was asked for */
} Main;

static void on_job(void *userdata, bool restart) {
        Main *m = userdata;

        if (restart)
                log_info("systemd starts it again: outputs stay as they are");
        agent_stop(m->agent, m->asked, !restart);
}

static void on_stop_signal(void *userdata, int signo _unused_) {
        Main *m = userdata;
        JobParams p = { .loop = m->loop, .within = ASK_WITHIN, .answer = on_job, .userdata = m };

        if (m->job)
                return;
        m->asked = loop_monotonic(m->loop);
        if (job_new(&m->job, &p) < 0)
                agent_stop(m->agent, m->asked, true);
}

/* A file that cannot be used changes nothing but the status. */
static void reload(void *userdata) {
        Main *m = userdata;
        _cleanup_(freep) char *error = NULL;
        Config *config = NULL;
        int r;

        sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, loop_monotonic(m->loop));
        r = load_file(&config, &error);
        if (r == 0) {
                apply_level(config);
                keep_last_good(config);
                r = agent_reload(m->agent, config);
                log_info("configuration read again");
        } else
                log_error("the configuration was not read again: %s", error ? error : strerror(-r));
        agent_set_config_error(m->agent, r < 0 ? error : NULL);
        sd_notify(0, "READY=1");
}

static void on_reload_signal(void *userdata, int signo _unused_) {
        reload(userdata);
}

/* ---- run */

/* Years with little memory: one heap for all threads, and large buffers cost only the pages that they use. */
static void be_small(void) {
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_MMAP_THRESHOLD, 32 * KIB);
        mallopt(M_TOP_PAD, 16 * KIB);
        mallopt(M_TRIM_THRESHOLD, 128 * KIB);
        malloc_trim(0); /* what is in stock would be taken for large buffers */
}

/* Whatever started us: nothing we open may become stdin, stdout or stderr of a host, and a closed pipe is no end. */
static void mend_surroundings(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        closep(&fd);
        (void)signal(SIGPIPE, SIG_IGN);
}

static void harden(void) {
        struct rlimit none = { 0 };

        setrlimit(RLIMIT_CORE, &none); /* a core would hold the token */
#ifndef TBAGENT_SANITIZED /* the leak checker traces its own process */
        prctl(PR_SET_DUMPABLE, 0);
#endif
        umask(0027);
}

/* A stop, or a reload, that is asked for before the loop runs waits until it does: outputs would be left as they are. */
static void hold_signals(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
}

/* What the daemon before this one has left. Outputs that nobody has driven for too long come before the configuration, the disk
 * and everything else that may be what the daemons before this one have failed of. */
static int take_over(Loop *loop, Keep **ret_keep, Exits **ret) {
        ExitsParams p = { .loop = loop, .host_path = arg_host, .plugin_dirs = arg_plugin_dirs, .runtime_dir = arg_runtime_dir };
        int r = keep_new(ret_keep);

        if (r < 0)
                return r;
        p.keep = *ret_keep;
        r = keep_adopt(*ret_keep);
        if (r < 0)
                log_warning("what systemd has kept of the process before cannot be taken over: %s", strerror(-r));
        r = exits_new(ret, &p);
        if (r == 0)
                exits_set_overdue(*ret, OVERDUE_WITHIN);
        return r;
}

static int run_agent(Loop *loop, Exits *exits, Config *config, const char *config_error) {
        _cleanup_(agent_freep) Agent *agent = NULL;
        Main m = { .loop = loop };
        AgentParams p = { .loop = loop, .exits = exits, .config_path = arg_config, .config_error = config_error,
                          .host_path = arg_host, .plugin_dirs = arg_plugin_dirs, .runtime_dir = arg_runtime_dir,
                          .state_dir = arg_state_dir, .device_tree = arg_device_tree, .reload = reload, .userdata = &m,
                          .log_level = log_level(), .deaf_after = arg_deaf_after };
        int r = agent_new(&agent, &p, config);

        m.agent = agent;
        if (r == 0)
                r = loop_signal(loop, SIGTERM, on_stop_signal, &m);
        if (r == 0)
                r = loop_signal(loop, SIGINT, on_stop_signal, &m);
        if (r == 0)
                r = loop_signal(loop, SIGHUP, on_reload_signal, &m);
        if (r == 0)
                r = agent_start(agent);
        if (r < 0) {
                log_error("cannot start: %s", strerror(-r));
                return EX_OSERR;
        }
        sd_notify(0, "READY=1");
        r = loop_run(loop);
        job_free(m.job);
        if (r == EX_SOFTWARE || agent_left_thread(agent)) /* nothing of that thread may run into what exit() tears down */
                _exit(r < 0 ? EX_OSERR : r);
        return r < 0 ? EX_OSERR : r;
}

static int exit_state(void) {
        _cleanup_(freep) char *path = last_good_path();
        ExitStateParams p = {.config_path = arg_config,
                             .last_good_path = path,
                             .host_path = arg_host,
                             .plugin_dirs = arg_plugin_dirs,
                             .runtime_dir = arg_runtime_dir};

        return path ? exit_state_run(&p) : EX_OSERR;
}

/* The configuration, the agent. */
static int run_configured(Loop *loop, Exits *exits) {
        _cleanup_(freep) char *error = NULL;
        Config *config = NULL;

        if (file_mkdir(arg_state_dir, 0750) < 0)
                log_warning("%s cannot be made: nothing will survive a reboot", arg_state_dir);
        if (load(&config, &error) < 0)
                return EX_CONFIG;
        apply_level(config);
        if (!error)
                keep_last_good(config);
        return run_agent(loop, exits, config, error);
}

static int run(void) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        _cleanup_(keep_freep) Keep *keep = NULL;
        _cleanup_(exits_freep) Exits *exits = NULL;
        int r;

        harden();
        hold_signals();
        (void)!file_mkdir(arg_runtime_dir, 0750); /* what is missing is told by those who want to write there */
        r = loop_new(&loop);
        if (r == 0)
                r = take_over(loop, &keep, &exits);
        if (r < 0) {
                log_error("cannot start: %s", strerror(-r));
                return EX_OSERR;
        }
        return run_configured(loop, exits);
}

int main(int argc, char **argv) {
        int r = parse_arguments(argc, argv);
        CheckParams check;

        if (r <= 0)
                return r < 0 ? EX_USAGE : EXIT_SUCCESS;
        mend_surroundings();
        be_small();
        option_set_channel_options(report_options);
        session_init_process();
        check = (CheckParams){ arg_config, arg_host, arg_plugin_dirs, arg_state_dir,
                               arg_level_given ? log_level() : LOG_WARNING };
        switch (arg_mode) {
        case CHECK:
        case ONCE:
        case SCAN:
                log_open(NULL);
                log_set_level(check.log_level);
                return arg_mode == CHECK  ? check_configuration(&check)
                       : arg_mode == ONCE ? check_once(&check, arg_only)
                                          : scan(&check, arg_only);
        case OPTIONS:
                return show_options(arg_plugin_dirs, arg_host, arg_only);
        case EXIT_STATE:
                log_open("tbagent");
                return exit_state();
        case RING:
                return dump_ring(arg_dump);
        case SEGMENTS:
                return dump_segments(arg_dump);
        case RUN:
                break;
        }
        log_open("tbagent");
        return run();
}
