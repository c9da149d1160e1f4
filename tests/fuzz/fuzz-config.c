/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the configuration: it is told about or read. What the check of the grammar lets through,
 * libconfig must take, because its own messages are of no help; and what is read can be kept and read again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "agent/config-text.h"
#include "agent/config.h"
#include "base/file.h"
#include "sensor/rules.h"

static void load(const char *path, bool grammatical) {
        _cleanup_(config_freep) Config *c = NULL;
        ConfigProblem *problems;
        size_t n;
        int r = config_load(&c, path, &problems, &n);

        if ((r == -EBADMSG) == grammatical || (r < 0) != (c == NULL) || (r < 0 && n == 0))
                abort();
        for (size_t i = 0; i < n; i++)
                free(config_problem_text(&problems[i]));
        config_problems_free(problems, n);
        if (c) {
                _cleanup_(freep) uint8_t *data = malloc(setting_encoded_size(config_root(c)));
                _cleanup_(setting_freep) Setting *s = NULL;

                if (!data || setting_decode(data, setting_encode(config_root(c), data), &s) < 0)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(closep) int fd = memfd_create("config", MFD_CLOEXEC);
        ConfigProblems problems = { 0 };
        char path[64];
        size_t n;

        if (fd < 0 || file_write_all(fd, data, size) < 0)
                abort();
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        option_set_channel_options(report_options);
        n = config_text_check((const char *)data, size, path, &problems);
        config_problems_free(problems.list, problems.n);
        load(path, n == 0);
        return 0;
}
