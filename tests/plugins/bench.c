/* SPDX-License-Identifier: Apache-2.0 */
/* Many keys in one call, for measuring: two decimals each, changing with every sample. */
#include <stdio.h>

#include <tbagent/plugin.h>

#define KEYS_MAX 10000

static const struct tbagent_option options[] = {
        { "keys_per_call", TBAGENT_INT, 0, "1000", 1, KEYS_MAX, NULL, NULL, "Keys of one call.", NULL },
        { "keys_per_row", TBAGENT_INT, 0, "8", 1, 64, NULL, NULL, "Keys of one row.", NULL },
        { "prefix", TBAGENT_STRING, 0, "ch", 0, 0, NULL, NULL, "Keys are this and a number.", NULL },
        { "repeat", TBAGENT_INT, 0, "1", 1, 1000000, NULL, NULL, "Does it so often in one call, 1 ms apart.", NULL },
        { 0 },
};

static char names[KEYS_MAX][32];
static int64_t round_number;

static int bench_open(struct tbagent_host *host, void **ret_state) {
        const struct tbagent_node *o = tbagent_options(host);

        for (int i = 0; i < KEYS_MAX; i++)
                snprintf(names[i], sizeof names[i], "%.16s%04d", tbagent_string(host, o, "prefix", 0), i);
        *ret_state = NULL;
        return 0;
}

static void emit_all(struct tbagent_host *host, int64_t keys, int64_t per_row) {
        round_number++;
        for (int64_t i = 0; i < keys; i++) {
                (void)tbagent_emit_double(host, names[i], (double)((round_number * 37 + i * 11) % 10000) / 100);
                if ((i + 1) % per_row == 0)
                        tbagent_row_end(host, 0);
        }
}

static int bench_sample(struct tbagent_host *host, void *state) {
        const struct tbagent_node *o = tbagent_options(host);
        int64_t keys = tbagent_int(host, o, "keys_per_call"), per_row = tbagent_int(host, o, "keys_per_row");
        int64_t repeat = tbagent_int(host, o, "repeat"), now = tbagent_now(host);

        (void)state;
        for (int64_t i = 0; i < repeat; i++) {
                if (repeat > 1)
                        tbagent_row_time(host, now + (i - repeat) * 1000000);
                emit_all(host, keys, per_row);
        }
        return 0;
}

TBAGENT_PLUGIN(.name = "bench", .summary = "many keys at once", .options = options, .open = bench_open, .sample = bench_sample);
