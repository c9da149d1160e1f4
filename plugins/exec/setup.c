/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"

const struct tbagent_option exec_options[] = {
        {"command", TBAGENT_STRINGS, TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL,
         "program and arguments as a list, no shell in between (no quotes or pipes); with shell = true one line for /bin/sh",
         NULL},
        {"mode", TBAGENT_STRING, 0, "periodic", 0, 0, "periodic|daemon", NULL,
         "periodic: run for every sample; daemon: started once, its lines are taken as they come, started again when it ends",
         NULL},
        {"shell", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "command is one string for /bin/sh -c", NULL},
        {"key", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL,
         "telemetry key of lines that are one bare value, such as 21.5; unset: these are refused", NULL},
        {"prefix", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "put before every key that the command writes", NULL},
        {"dir", TBAGENT_STRING, 0, "/", 0, 0, NULL, NULL, "folder the command starts in", NULL},
        {"env", TBAGENT_STRINGS, TBAGENT_SECRET, NULL, 0, 0, NULL, NULL, "more of its environment, as \"NAME=value\"", NULL},
        {"stderr", TBAGENT_STRING, 0, "log", 0, 0, "log|drop", NULL,
         "log: its lines on stderr go to the log, at most 20 in 10 seconds; drop: nowhere", NULL},
        {"kill_after", TBAGENT_DURATION, 0, "25s", 0.01, 86400, NULL, "s",
         "periodic: a run that takes longer is killed and counts as failed; takes the place of timeout", NULL},
        {"silence", TBAGENT_DURATION, 0, "0", 0, 604800, NULL, "s",
         "daemon: when it wrote nothing for so long it is killed and started again, as every sample looks; 0: never", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

/* What the command gets of our environment; systemd's sockets, credentials and watchdog are none of its business. */
static const char *const passed_on[] = {"PATH",   "HOME",     "USER",       "LOGNAME", "LANG",
                                        "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "TZ",      "TMPDIR"};
#define N_PASSED_ON  (sizeof(passed_on) / sizeof(passed_on[0]))
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void start_tell(Exec *e, const char *what, int error) {
        const char *program = e->params.argv[0], *hint = "";

        if (what)
                hint = "";
        else if (error == -ENOENT && strchr(program, '/') && access(program, F_OK) == 0)
                hint = "; it is there, so the interpreter that its first line names is not";
        else if (strncmp(program, "/home/", 6) == 0 || strncmp(program, "/root/", 6) == 0)
                hint = "; the service sees no home folders: put it into /usr/local/bin, or see man tbagent-plugin-exec";
        else if (error == -EACCES)
                hint = "; it has to be executable (chmod +x) for the user tbagent";
        snprintf(e->trouble, sizeof(e->trouble), "%s: %s: %s%s", program, what ? what : "cannot run it", strerrordesc_np(-error),
                 hint);
        tbagent_log(e->host, TBAGENT_WARNING, e->trouble);
}

static size_t strings_count(struct tbagent_host *host, const char *option) {
        size_t n = 0;

        while (tbagent_string(host, tbagent_options(host), option, n))
                n++;
        return n;
}

static bool env_is_right(const char *setting) {
        return *setting != '=' && strchr(setting, '=');
}

/* What the table cannot say of them. */
int exec_check(struct tbagent_host *host) {
        const struct tbagent_node *options = tbagent_options(host);
        const char *program = tbagent_string(host, options, "command", 0), *setting;
        bool shell = tbagent_int(host, options, "shell"), list = tbagent_string(host, options, "command", 1);

        if (!program || !*program)
                tbagent_problem(host, options, "command", "is empty: write the program and its arguments as a list");
        else if (shell && list)
                tbagent_problem(host, options, "command", "is a list: with shell = true write one text, as for a shell");
        else if (!shell && !list && strchr(program, ' ') && access(program, F_OK) < 0 && errno == ENOENT)
                tbagent_problem(host, options, "command", "is no program: write program and arguments as a list, [\"program\", "
                                "\"argument\"], or set shell = true for pipes and quotes");
        for (size_t i = 0; (setting = tbagent_string(host, options, "env", i)); i++)
                if (!env_is_right(setting)) {
                        tbagent_problem(host, options, "env", "has one that is not written as \"NAME=value\"");
                        break;
                }
        return 0;
}

static int argv_make(Exec *e) {
        const struct tbagent_node *options = tbagent_options(e->host);
        bool shell = tbagent_int(e->host, options, "shell");
        size_t n = strings_count(e->host, "command"), at = 0;

        e->argv = calloc(n + 3, sizeof(char *));
        if (!e->argv)
                return -ENOMEM;
        if (shell) {
                e->argv[at++] = (char *)"/bin/sh";
                e->argv[at++] = (char *)"-c";
        }
        for (size_t i = 0; i < n; i++)
                e->argv[at++] = (char *)tbagent_string(e->host, options, "command", i);
        return 0;
}

/* Takes `setting`, "NAME=value", which is freed on failure; a later one of a name replaces an earlier one. */
static int env_set(Exec *e, size_t *n, char *setting) {
        size_t name;

        if (!setting)
                return -ENOMEM;
        name = strcspn(setting, "=") + 1;
        for (size_t i = 0; i < *n; i++)
                if (strncmp(e->env[i], setting, name) == 0) {
                        free(e->env[i]);
                        e->env[i] = setting;
                        return 0;
                }
        e->env[(*n)++] = setting;
        return 0;
}

static char *env_setting(const char *name, const char *value) {
        char *setting;

        return asprintf(&setting, "%s=%s", name, value) < 0 ? NULL : setting;
}

static int env_make(Exec *e) {
        size_t n = 0, n_own = strings_count(e->host, "env");
        const char *value;
        int r;

        e->env = calloc(n_own + N_PASSED_ON + 3, sizeof(char *));
        if (!e->env)
                return -ENOMEM;
        r = env_set(e, &n, strdup(DEFAULT_PATH));
        for (size_t i = 0; r == 0 && i < N_PASSED_ON; i++)
                if ((value = getenv(passed_on[i])))
                        r = env_set(e, &n, env_setting(passed_on[i], value));
        if (r == 0)
                r = env_set(e, &n, env_setting("TBAGENT_INSTANCE", tbagent_instance(e->host)));
        for (size_t i = 0; r == 0 && i < n_own; i++) {
                value = tbagent_string(e->host, tbagent_options(e->host), "env", i);
                r = env_set(e, &n, strdup(value));
        }
        return r;
}

int exec_configure(Exec *e) {
        const struct tbagent_node *options = tbagent_options(e->host);
        int r;

        r = argv_make(e);
        if (r == 0)
                r = env_make(e);
        e->params = (ChildParams){
                .argv = e->argv,
                .env = e->env,
                .dir = tbagent_string(e->host, options, "dir", 0),
                .drop_stderr = strcmp(tbagent_string(e->host, options, "stderr", 0), "drop") == 0,
        };
        e->daemon = strcmp(tbagent_string(e->host, options, "mode", 0), "daemon") == 0;
        e->kill_after_usec = (uint64_t)tbagent_int(e->host, options, "kill_after");
        e->silence_usec = (uint64_t)tbagent_int(e->host, options, "silence");
        return r;
}

void exec_unconfigure(Exec *e) {
        for (char **s = e->env; s && *s; s++)
                free(*s);
        free(e->env);
        free(e->argv);
}
