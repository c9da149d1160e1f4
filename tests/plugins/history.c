/* SPDX-License-Identifier: Apache-2.0 */
/* As after a long time without a network: rows of the past with the times they had, quickly, then rows as they come. The
 * value is the number of the row, so what is missing is seen at once. */
#include <stdio.h>

#include <tbagent/plugin.h>

#define KEYS_MAX 64

static const struct tbagent_option options[] = {
        { "keys_per_row", TBAGENT_INT, 0, "10", 1, KEYS_MAX, NULL, NULL, "Keys of one row.", NULL },
        { "step", TBAGENT_DURATION, 0, "100ms", 0.001, 3600, NULL, "s", "Between two rows of the past.", NULL },
        { "span", TBAGENT_DURATION, 0, "1h", 1, 86400, NULL, "s", "How long the past is; it ends when the plugin starts.", NULL },
        { "over", TBAGENT_DURATION, 0, "100s", 0.1, 86400, NULL, "s", "How long it takes to emit it.", NULL },
        { 0 },
};

static int64_t began, emitted; /* ns; rows of the past */
static int64_t number;

static void emit_row(struct tbagent_host *host) {
        int64_t keys = tbagent_int(host, tbagent_options(host), "keys_per_row");
        char key[16];

        for (int64_t i = 0; i < keys; i++) {
                snprintf(key, sizeof key, "h%d", (int)i);
                (void)tbagent_emit_int(host, key, number);
        }
        number++;
}

static int history_open(struct tbagent_host *host, void **ret_state) {
        began = tbagent_now(host);
        *ret_state = NULL;
        return 0;
}

static int history_sample(struct tbagent_host *host, void *state) {
        const struct tbagent_node *o = tbagent_options(host);
        int64_t now = tbagent_now(host), step = tbagent_int(host, o, "step") * 1000, span = tbagent_int(host, o, "span") * 1000;
        int64_t over = tbagent_int(host, o, "over") * 1000, rows = span / step, due;

        (void)state;
        due = now - began >= over ? rows : (int64_t)((double)(now - began) / (double)over * (double)rows);
        if (emitted == rows) {
                emit_row(host);
                return 0;
        }
        for (; emitted < due; emitted++) {
                tbagent_row_time(host, began - span + emitted * step);
                emit_row(host);
        }
        return 0;
}

TBAGENT_PLUGIN(.name = "history", .summary = "the past, then the present", .options = options, .open = history_open,
               .sample = history_sample);
