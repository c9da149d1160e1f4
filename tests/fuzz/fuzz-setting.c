/* SPDX-License-Identifier: Apache-2.0 */
/* What setting_decode() takes comes out of setting_encode() as the same tree, and can be checked and told. */
#include <stdlib.h>

#include "model/option.h"

static const struct tbagent_option rules[] = {
        { .name = "deadband", .type = TBAGENT_DELTA, .flags = TBAGENT_RUNTIME },
        { .name = "valid", .type = TBAGENT_NUMBERS, .flags = TBAGENT_RUNTIME, .min = 2, .max = 2 },
        { .name = "calibrate", .type = TBAGENT_PAIRS },
        { 0 },
};
static const struct tbagent_option options[] = {
        { .name = "every", .type = TBAGENT_DURATION, .flags = TBAGENT_RUNTIME, .fallback = "60s", .min = 0.01, .max = 86400 },
        { .name = "room", .type = TBAGENT_SIZE, .fallback = "16k" },
        { .name = "bus", .type = TBAGENT_INT, .flags = TBAGENT_REQUIRED, .max = 255 },
        { .name = "gain", .type = TBAGENT_FLOAT },
        { .name = "on", .type = TBAGENT_BOOL },
        { .name = "edge", .type = TBAGENT_STRING, .choices = "in|out" },
        { .name = "command", .type = TBAGENT_STRINGS },
        { .name = "report", .type = TBAGENT_GROUP, .members = rules },
        { .name = "sensors", .type = TBAGENT_MAP, .flags = TBAGENT_KEYS, .members = rules },
        { 0 },
};

static void on_problem(void *userdata, bool fatal, const char *file, unsigned line, const char *text) {
        size_t *told = userdata;

        (void)fatal;
        (void)file;
        (void)line;
        *told += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const struct tbagent_option *const tables[4] = { options };
        _cleanup_(setting_freep) Setting *s = NULL, *again = NULL, *copy = NULL;
        _cleanup_(node_freep) Node *n = NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        size_t told = 0, encoded;
        char text[64];

        if (setting_decode(data, size, &s) < 0)
                return 0;
        encoded = setting_encoded_size(s);
        bytes = malloc(encoded);
        if (!bytes || setting_encode(s, bytes) != encoded || setting_decode(bytes, encoded, &again) < 0 ||
            setting_encoded_size(again) != encoded)
                abort();
        setting_text(s, text, sizeof(text));
        if (node_new(&n, s, "x", tables, on_problem, &told) < 0 || !n)
                abort();
        (void)!node_set(n, "every", s, on_problem, &told);
        (void)!node_set(n, "report.valid", s, on_problem, &told);
        if (setting_copy(&copy, again) < 0)
                abort();
        if (copy->type == SETTING_GROUP && setting_merge(s, TAKE_PTR(copy)) < 0)
                abort();
        return 0;
}
