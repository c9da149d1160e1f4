/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of writing and checking rows, ns per value: 1-key and 8-key rows of two-decimal values, and of
 * doubles that need all their digits. Prints the best of five rounds of a million values. */
#include <stdio.h>
#include <time.h>

#include "model/row.h"

#define VALUES 1000000u
#define TABLE 1024u
#define ROUNDS 5

static double short_values[TABLE], full_values[TABLE];
static char keys[8][16];
static volatile size_t sink;

static double cpu_ns(void) {
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void write_row(RowWriter *w, const double *values, unsigned from, unsigned n_keys, int decimals) {
        row_writer_reset(w);
        for (unsigned k = 0; k < n_keys; k++) {
                Value v = { .type = VALUE_DOUBLE, .d = values[(from + k) % TABLE] };

                if (row_writer_add(w, keys[k], strlen(keys[k]), &v, decimals) < 0)
                        abort();
        }
}

static double write_ns(const double *values, unsigned n_keys, int decimals) {
        static RowWriter w;
        double start = cpu_ns();

        for (unsigned i = 0; i < VALUES; i += n_keys) {
                size_t size;

                write_row(&w, values, i, n_keys, decimals);
                row_writer_text(&w, &size);
                sink += size;
        }
        return (cpu_ns() - start) / VALUES;
}

static double check_ns(const double *values, unsigned n_keys, _unused_ int decimals) {
        static RowWriter w;
        double spent = 0;

        for (unsigned row = 0; row < 100; row++) {
                double start;
                size_t size;
                const char *text;

                write_row(&w, values, row, n_keys, -1);
                text = row_writer_text(&w, &size);
                start = cpu_ns();
                for (unsigned i = 0; i < VALUES / 100; i += n_keys) {
                        uint32_t points;

                        if (row_validate(text, size, NULL, NULL, &points) < 0)
                                abort();
                        sink += points;
                }
                spent += cpu_ns() - start;
        }
        return spent / VALUES;
}

static void report(const char *what, double (*measure)(const double *, unsigned, int), const double *values, unsigned n_keys,
                   int decimals) {
        double best = 1e9;

        for (int i = 0; i < ROUNDS; i++) {
                double ns = measure(values, n_keys, decimals);

                best = MIN(best, ns);
        }
        printf("%-44s %6.1f ns/value\n", what, best);
}

int main(void) {
        for (unsigned i = 0; i < 8; i++)
                snprintf(keys[i], sizeof(keys[i]), "sensor_%c_%02u", 'a' + (int)i, i);
        for (unsigned i = 0; i < TABLE; i++) {
                short_values[i] = (double)(1000 + i * 7919 % 9000) / 100;
                full_values[i] = 10 + (double)(i * 2654435761u % 1000003) / 1000003 * 80;
        }
        report("write, 1 key, 2 decimals", write_ns, short_values, 1, -1);
        report("write, 8 keys, 2 decimals", write_ns, short_values, 8, -1);
        report("write, 1 key, all digits", write_ns, full_values, 1, -1);
        report("write, 1 key, all digits, decimals = 3", write_ns, full_values, 1, 3);
        report("check, 1 key, 2 decimals", check_ns, short_values, 1, 0);
        report("check, 8 keys, 2 decimals", check_ns, short_values, 8, 0);
        report("check, 1 key, all digits", check_ns, full_values, 1, 0);
        return 0;
}
