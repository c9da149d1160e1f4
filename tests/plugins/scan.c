/* SPDX-License-Identifier: Apache-2.0 */
/* Finds what the environment says, TBAGENT_SCAN: an object in each line, or "crash", "hang", "warn TEXT", "fail TEXT". What it
 * proposes it can be configured with. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tbagent/plugin.h>

static const struct tbagent_option point_options[] = {
        {"value", TBAGENT_FLOAT, 0, "0", -100, 100, NULL, NULL, "what it has", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
static const struct tbagent_option options[] = {
        {"bus", TBAGENT_INT, TBAGENT_REQUIRED, NULL, 0, 9, NULL, NULL, "where they are", NULL},
        {"points", TBAGENT_MAP, TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "what is sampled", point_options},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int scan_open(struct tbagent_host *host, void **ret_state) {
        (void)host;
        *ret_state = (void *)options;
        return 0;
}

static int scan_sample(struct tbagent_host *host, void *state) {
        const struct tbagent_node *point;
        size_t i;

        (void)state;
        for (i = 0; (point = tbagent_member(host, tbagent_options(host), "points", i)); i++)
                tbagent_emit_double(host, tbagent_name(host, point), tbagent_float(host, point, "value"));
        return 0;
}

static void scan_close(struct tbagent_host *host, void *state) {
        (void)host;
        (void)state;
}

static int scan_line(struct tbagent_host *host, const char *line) {
        if (line[0] == '{')
                return tbagent_found(host, line);
        if (!strcmp(line, "crash"))
                abort();
        if (!strcmp(line, "hang")) {
                tbagent_timeout(host, 300000);
                for (;;)
                        pause();
        }
        if (strlen(line) > 5)
                tbagent_log(host, TBAGENT_WARNING, line + 5);
        return strncmp(line, "fail", 4) == 0 ? -ENODEV : 0;
}

static int scan_scan(struct tbagent_host *host) {
        const char *text = getenv("TBAGENT_SCAN");
        char *copy = strdup(text ? text : ""), *rest = copy, *line;
        int r = 0;

        while (r == 0 && (line = strsep(&rest, "\n")))
                if (line[0])
                        r = scan_line(host, line);
        free(copy);
        return r;
}

TBAGENT_PLUGIN(.name = "scan", .summary = "finds what it is told", .options = options, .open = scan_open, .sample = scan_sample,
               .scan = scan_scan, .close = scan_close);
