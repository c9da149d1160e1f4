/* SPDX-License-Identifier: Apache-2.0 */
/* Program tbagentctl: what people and scripts ask of the daemon, over D-Bus. Exit statuses are those of ctl/daemon.h. */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "base/unit.h"
#include "ctl/daemon.h"
#include "ctl/input.h"
#include "ctl/print.h"
#include "ctl/status.h"

#define TIMEOUT_DEFAULT (10 * USEC_PER_SEC)
#define TIMEOUT_MAX (600 * USEC_PER_SEC)
#define WAIT_MORE (20 * USEC_PER_SEC) /* for the daemon itself: it answers a claim within 16 s */

static bool arg_json;
static usec_t arg_timeout = TIMEOUT_DEFAULT;
static const char *arg_client, *arg_shared;

typedef struct Verb {
        const char *name, *arguments, *help;
        int min, max; /* arguments; -1: any number */
        Status (*run)(int argc, char **argv, Problem *p);
} Verb;

static Status no_memory(Problem *p) {
        return problem_set(p, STATUS_ERROR, "NoMemory", "out of memory");
}

/* r: of putting arguments into a call. */
static Status appended(Problem *p, int r) {
        return r >= 0 ? STATUS_OK
               : r == -ENOMEM ? no_memory(p)
                              : problem_set(p, STATUS_USAGE, "BadParams", "an argument is not UTF-8 text");
}

static Status call(sd_bus_message *m, char **ret_answer, Problem *p) {
        return daemon_call(m, arg_timeout + WAIT_MORE, ret_answer, p);
}

/* JSON of the daemon or the server: as it came for programs, by `print` for people. */
static void print_json(const char *answer, void (*print)(FILE *f, json_object *o)) {
        _cleanup_(json_putp) json_object *o = NULL;
        size_t at;

        if (arg_json || input_json(answer, &o, &at) < 0)
                puts(answer);
        else
                print(stdout, o);
}

/* Nothing to tell but that it went well. */
static void print_done(const char *words) {
        if (arg_json)
                puts("true");
        else
                fputs(words, stdout);
}

/* ---- verbs */

static void print_status(FILE *f, json_object *status) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        status_print(f, status, (usec_t)ts.tv_sec * USEC_PER_SEC);
}

static Status run_status(int argc _unused_, char **argv _unused_, Problem *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(freep) char *answer = NULL;
        Status s = daemon_method(&m, "GetStatus", p);

        if (s == STATUS_OK)
                s = call(m, &answer, p);
        if (s == STATUS_OK)
                print_json(answer, print_status);
        return s;
}

static Status check_json(const char *text, Problem *p) {
        _cleanup_(json_putp) json_object *o = NULL;
        size_t at;
        int r = input_json(text, &o, &at);

        if (r == -EBADMSG)
                return problem_set(p, STATUS_USAGE, "BadParams",
                                   "not JSON, from character %zu on (text is '\"text\"', double quotes inside single ones): %s",
                                   at, text);
        return r < 0 ? no_memory(p) : STATUS_OK;
}

static Status run_request(int argc, char **argv, Problem *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(freep) char *answer = NULL;
        const char *params = argc > 2 ? argv[2] : "";
        Status s = params[0] ? check_json(params, p) : STATUS_OK;

        if (s == STATUS_OK)
                s = daemon_method(&m, "Request", p);
        if (s == STATUS_OK)
                s = appended(p, sd_bus_message_append(m, "sst", argv[1], params, arg_timeout));
        if (s == STATUS_OK)
                s = call(m, &answer, p);
        if (s == STATUS_OK)
                print_json(answer, print_answer);
        return s;
}

static void print_attributes(FILE *f, json_object *answer) {
        bool any = false;

        if (!json_object_is_type(answer, json_type_object)) {
                print_answer(f, answer);
                return;
        }
        json_object_object_foreach(answer, scope, attributes) {
                if (!json_object_is_type(attributes, json_type_object))
                        continue;
                json_object_object_foreach(attributes, key, value) {
                        fputs(scope, f);
                        fputs("  ", f);
                        print_text(f, key);
                        fputs(" = ", f);
                        print_value(f, value);
                        fputc('\n', f);
                        any = true;
                }
        }
        if (!any)
                fputs("the server has none of them\n", f);
}

static Status append_keys(sd_bus_message *m, const char *option, const char *text, Problem *p) {
        _cleanup_(freep) char **list = NULL, *storage = NULL;
        int r = input_keys(text, &list, &storage);

        if (r == -EINVAL)
                return problem_set(p, STATUS_USAGE, "BadParams", "--%s wants names separated by commas: a,b", option);
        return r < 0 ? no_memory(p) : appended(p, sd_bus_message_append_strv(m, list));
}

static Status run_attributes(int argc _unused_, char **argv _unused_, Problem *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(freep) char *answer = NULL;
        Status s = daemon_method(&m, "RequestAttributes", p);

        if (s == STATUS_OK)
                s = append_keys(m, "client", arg_client, p);
        if (s == STATUS_OK)
                s = append_keys(m, "shared", arg_shared, p);
        if (s == STATUS_OK)
                s = appended(p, sd_bus_message_append(m, "t", arg_timeout));
        if (s == STATUS_OK)
                s = call(m, &answer, p);
        if (s == STATUS_OK)
                print_json(answer, print_attributes);
        return s;
}

/* One argument that is JSON, or KEY=VALUE... */
static Status read_attributes(int argc, char **argv, char **ret, Problem *p) {
        const char *wrong = NULL;
        Status s = STATUS_OK;
        int r;

        if (argc == 2 && argv[1][strspn(argv[1], " \t\n")] == '{') {
                s = check_json(argv[1], p);
                *ret = s == STATUS_OK ? strdup(argv[1]) : NULL;
                return s != STATUS_OK || *ret ? s : no_memory(p);
        }
        r = input_pairs(argv + 1, (size_t)argc - 1, ret, &wrong);
        if (r == -EINVAL)
                return problem_set(p, STATUS_USAGE, "BadParams", "neither KEY=VALUE nor a JSON object: %s", wrong);
        return r < 0 ? no_memory(p) : STATUS_OK;
}

static Status run_publish(int argc, char **argv, Problem *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(freep) char *json = NULL;
        Status s = read_attributes(argc, argv, &json, p);

        if (s == STATUS_OK)
                s = daemon_method(&m, "PublishAttributes", p);
        if (s == STATUS_OK)
                s = appended(p, sd_bus_message_append(m, "s", json));
        if (s == STATUS_OK)
                s = call(m, NULL, p);
        if (s == STATUS_OK)
                print_done("");
        return s;
}

static Status run_claim(int argc, char **argv, Problem *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(freep) char *secret = NULL;
        usec_t duration = 0;
        Status s;
        int r = argc > 1 ? input_secret(argv[1], &secret) : 0;

        if (r < 0)
                return problem_set(p, STATUS_USAGE, "BadParams", "no secret on standard input: %s", strerror(-r));
        if (argc > 2 && duration_parse(argv[2], &duration) < 0)
                return problem_set(p, STATUS_USAGE, "BadParams", "not a time with a unit (\"10min\"): %s", argv[2]);
        s = daemon_method(&m, "Claim", p);
        if (s == STATUS_OK) {
                (void)!sd_bus_message_sensitive(m);
                s = appended(p, sd_bus_message_append(m, "st", secret ? secret : "", duration));
        }
        if (s == STATUS_OK)
                s = call(m, NULL, p);
        if (s == STATUS_OK)
                print_done("The server has it, which does not say whether it allows the claim: "
                           "that shows when somebody claims the device.\n");
        return s;
}

static Status run_version(int argc _unused_, char **argv _unused_, Problem *p _unused_) {
        printf(arg_json ? "{\"version\":\"%s\"}\n" : "tbagentctl %s\n", PACKAGE_VERSION);
        return STATUS_OK;
}

static Status run_help(int argc, char **argv, Problem *p);

static const Verb verbs[] = {
        { "status", "", "what the daemon does, and how its instances are", 0, 0, run_status },
        { "request", "METHOD [JSON]", "asks the server (client-side RPC) and prints its answer", 1, 2, run_request },
        { "attributes", "[--client A,B] [--shared C,D]", "prints attributes as the server has them; all of them by default", 0, 0,
          run_attributes },
        { "publish", "JSON | KEY=VALUE...", "sets client attributes; a VALUE is JSON where it is that, else text", 1, -1,
          run_publish },
        { "claim", "[SECRET|- [DURATION]]", "lets a user claim this device; - reads the secret from standard input", 0, 2,
          run_claim },
        { "version", "", "prints the version", 0, 0, run_version },
        { "help", "", "prints this", 0, 0, run_help },
};

static Status run_help(int argc _unused_, char **argv _unused_, Problem *p _unused_) {
        printf("tbagentctl VERB [ARGUMENT...] [OPTION...]\n"
               "Asks the daemon tbagent. All but status is for root and members of the group tbagent.\n\n");
        for (size_t i = 0; i < ELEMENTS(verbs); i++)
                printf("  %-10s %-29s  %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
        printf("\n"
               "      --json              one JSON text, for programs; also of an error\n"
               "      --timeout TIME      how long the server may take (default 10s, at most 10min)\n"
               "      --client NAMES      client attributes, separated by commas\n"
               "      --shared NAMES      shared attributes\n"
               "  -h, --help\n"
               "      --version\n\n"
               "Exit status: 0 done, 1 refused by the server or the daemon, 2 wrong arguments, 3 the daemon does not run,\n"
               "4 not allowed, 5 no answer in time.\n");
        return STATUS_OK;
}

/* ---- arguments */

enum { OPT_JSON = 256, OPT_TIMEOUT, OPT_CLIENT, OPT_SHARED, OPT_VERSION };

static const struct option options[] = {
        { "json", no_argument, NULL, OPT_JSON },           { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "client", required_argument, NULL, OPT_CLIENT }, { "shared", required_argument, NULL, OPT_SHARED },
        { "help", no_argument, NULL, 'h' },                { "version", no_argument, NULL, OPT_VERSION },
        { NULL, 0, NULL, 0 },
};

static Status parse_timeout(const char *text, Problem *p) {
        if (duration_parse(text, &arg_timeout) < 0 || arg_timeout == 0)
                return problem_set(p, STATUS_USAGE, "BadParams", "not a time with a unit (\"10s\"): %s", text);
        if (arg_timeout > TIMEOUT_MAX)
                return problem_set(p, STATUS_USAGE, "BadParams", "--timeout is 10min at most");
        return STATUS_OK;
}

/* *ret_verb: what --help and --version stand for; else it stays. */
static Status parse_options(int argc, char **argv, const char **ret_verb, Problem *p) {
        Status s = STATUS_OK;
        int c;

        while (s == STATUS_OK && (c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case OPT_JSON:
                        arg_json = true;
                        break;
                case OPT_TIMEOUT:
                        s = parse_timeout(optarg, p);
                        break;
                case OPT_CLIENT:
                        arg_client = optarg;
                        break;
                case OPT_SHARED:
                        arg_shared = optarg;
                        break;
                case OPT_VERSION:
                        *ret_verb = "version";
                        break;
                case 'h':
                        *ret_verb = "help";
                        break;
                default: /* getopt has said what is wrong */
                        s = problem_set(p, STATUS_USAGE, "BadParams",
                                        "tbagentctl help lists the options; -- stands before arguments that begin with -");
                }
        return s;
}

static Status find_verb(const char *name, const Verb **ret, Problem *p) {
        const char *names[ELEMENTS(verbs)], *near;

        for (size_t i = 0; i < ELEMENTS(verbs); i++) {
                names[i] = verbs[i].name;
                if (streq(name, names[i])) {
                        *ret = &verbs[i];
                        return STATUS_OK;
                }
        }
        near = nearest_name(name, names, ELEMENTS(names));
        return problem_set(p, STATUS_USAGE, "UnknownVerb", "there is no verb \"%s\"; %s%s%stbagentctl help lists them", name,
                           near ? "did you mean \"" : "", near ? near : "", near ? "\"? " : "");
}

static Status run(int argc, char **argv, Problem *p) {
        const char *name = NULL;
        const Verb *v = NULL;
        Status s = parse_options(argc, argv, &name, p);

        if (s != STATUS_OK)
                return s;
        argc -= optind;
        argv += optind;
        if (name)
                argc = 1;
        else if (argc == 0)
                return problem_set(p, STATUS_USAGE, "BadParams", "what is to be done? tbagentctl status, or: tbagentctl help");
        s = find_verb(name ? name : argv[0], &v, p);
        if (s != STATUS_OK)
                return s;
        if (argc - 1 < v->min || (v->max >= 0 && argc - 1 > v->max))
                return problem_set(p, STATUS_USAGE, "BadParams", "tbagentctl %s %s", v->name,
                                   v->arguments[0] ? v->arguments : "takes no arguments");
        if ((arg_client || arg_shared) && v->run != run_attributes)
                return problem_set(p, STATUS_USAGE, "BadParams", "--client and --shared are for tbagentctl attributes");
        return v->run(argc, argv, p);
}

static void print_problem(const Problem *p) {
        _cleanup_(json_putp) json_object *all = NULL;
        json_object *error;

        if (!arg_json) {
                fprintf(stderr, "tbagentctl: ");
                print_text(stderr, p->text);
                fputc('\n', stderr);
                return;
        }
        all = json_object_new_object();
        error = json_object_new_object();
        json_object_object_add(error, "code", json_object_new_string(p->code));
        json_object_object_add(error, "message", json_object_new_string(p->text));
        json_object_object_add(all, "error", error);
        puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

int main(int argc, char **argv) {
        Problem p = { 0 };
        Status s = run(argc, argv, &p);

        if (s != STATUS_OK)
                print_problem(&p);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "tbagentctl: cannot write: %s\n", strerror(errno));
                return s != STATUS_OK ? (int)s : STATUS_ERROR;
        }
        return (int)s;
}
