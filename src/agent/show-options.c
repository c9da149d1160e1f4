/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin is code, and is loaded by the plugin host only, which prints what its tables say. One after the other: they share
 * stdout. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "agent/plugins.h"
#include "agent/show-options.h"

extern char **environ;

static int show_file(const char *host_path, const char *name, const char *file) {
        char *argv[] = { (char *)host_path, (char *)"--options", (char *)file, NULL };
        int status, r;
        pid_t pid;

        r = fflush(stdout) == 0 ? posix_spawn(&pid, host_path, NULL, NULL, argv, environ) : errno;
        if (r != 0) {
                fprintf(stderr, "tbagent: %s cannot be run: %s\n", host_path, strerror(r));
                return EX_OSERR;
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return EX_OSERR;
        if (WIFEXITED(status))
                return WEXITSTATUS(status); /* it said why */
        if (WTERMSIG(status) != SIGPIPE)
                fprintf(stderr, "tbagent: %s: the plugin host ended: %s\n", name,
                        WTERMSIG(status) == SIGALRM ? "the plugin hangs when it is loaded" : strsignal(WTERMSIG(status)));
        return EX_SOFTWARE;
}

static int show(const char *dirs, const char *host_path, const char *name) {
        _cleanup_(freep) char *file = NULL, *text = NULL;
        int r = plugins_find(dirs, name, &file, &text);

        if (r == 0)
                return show_file(host_path, name, file);
        fprintf(stderr, "tbagent: %s\n", text ? text : strerror(-r));
        return r == -ENOMEM ? EX_OSERR : EX_USAGE;
}

int show_options(const char *plugin_dirs, const char *host_path, const char *plugin) {
        char *names[PLUGINS_MAX];
        int code = EXIT_SUCCESS;
        size_t n;

        (void)signal(SIGPIPE, SIG_DFL); /* also of the hosts: whoever reads may have seen enough */
        if (plugin)
                return show(plugin_dirs, host_path, plugin);
        n = plugins_list(plugin_dirs, names);
        if (n == 0) {
                fprintf(stderr, "tbagent: there are no plugins in %s\n", plugin_dirs);
                return EX_USAGE;
        }
        for (size_t i = 0; i < n; i++) {
                int r;

                fputs(i > 0 ? "\n" : "", stdout);
                r = show(plugin_dirs, host_path, names[i]);
                code = MAX(code, r);
                free(names[i]);
        }
        return code;
}
