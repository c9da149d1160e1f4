/* SPDX-License-Identifier: Apache-2.0 */
/* What a command of the plugin exec writes. The first byte chooses options and the length of a line. No row gets a
 * key twice, nothing of an unfinished line is emitted, and every line is either good or bad or blank. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../plugins/exec/lines.h"
#include "../../plugins/exec/values.h"

#define KEYS_MAX 4096

static char *keys[KEYS_MAX];
static size_t n_keys;

static void row_close(void) {
        while (n_keys > 0)
                free(keys[--n_keys]);
}

static int key_take(const char *key) {
        for (size_t i = 0; i < n_keys; i++)
                assert(strcmp(keys[i], key) != 0);
        assert(n_keys < KEYS_MAX);
        keys[n_keys] = strdup(key);
        assert(keys[n_keys]);
        n_keys++;
        return 0;
}

static int emit_bool(struct tbagent_host *h, const char *key, int value) {
        (void)h;
        assert(value == 0 || value == 1);
        return key_take(key);
}

static int emit_int(struct tbagent_host *h, const char *key, int64_t value) {
        (void)h;
        (void)value;
        return key_take(key);
}

static int emit_double(struct tbagent_host *h, const char *key, double value) {
        (void)h;
        (void)value;
        return key_take(key);
}

static int emit_text(struct tbagent_host *h, const char *key, const char *text) {
        (void)h;
        assert(strlen(text) < 1u << 20);
        return key_take(key);
}

static void row_time(struct tbagent_host *h, int64_t boottime_ns) {
        (void)h;
        (void)boottime_ns;
        row_close();
}

static void row_end(struct tbagent_host *h, uint32_t flags) {
        (void)h;
        assert(flags == 0);
        row_close();
}

static void log_line(struct tbagent_host *h, int level, const char *text) {
        (void)h;
        (void)level;
        for (; *text; text++)
                assert(*text >= ' ' && *text <= '~');
}

static int64_t now(struct tbagent_host *h) {
        (void)h;
        return INT64_C(5000000000);
}

static const struct tbagent_services services = {
        .emit_bool = emit_bool,
        .emit_int = emit_int,
        .emit_double = emit_double,
        .emit_string = emit_text,
        .emit_json = emit_text,
        .emit_bad = emit_text,
        .row_time = row_time,
        .row_end = row_end,
        .log = log_line,
        .now = now,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const size_t maxima[] = {8, 64, 1000, 65536};
        struct tbagent_host host = {&services};
        size_t good, bad, newlines = 1;
        Values *values;
        Lines lines;
        int fd, r;

        if (size == 0)
                return 0;
        fd = memfd_create("output", MFD_CLOEXEC);
        assert(fd >= 0);
        r = (int)write(fd, data + 1, size - 1);
        assert(r == (int)size - 1 && lseek(fd, 0, SEEK_SET) == 0);
        for (size_t i = 1; i < size; i++)
                newlines += data[i] == '\n';
        r = values_new(&values, &host, data[0] & 4 ? "bare" : NULL, data[0] & 8 ? "prefix_" : NULL);
        assert(r == 0);
        r = lines_init(&lines, maxima[data[0] & 3]);
        assert(r == 0);
        while (lines_read(&lines, fd, values_line, values) > 0)
                values_flush(values);
        lines_end(&lines, data[0] & 16, values_line, values);
        values_run_ended(values, &good, &bad);
        assert(n_keys == 0);
        assert(good + bad <= newlines);
        values_free(values);
        lines_done(&lines);
        close(fd);
        return 0;
}
