/* SPDX-License-Identifier: Apache-2.0 */
/* Two targets, chosen once: the journal by its native protocol, where stderr is the journal's own stream
 * (JOURNAL_STREAM names its device and inode, as systemd.exec(5) says), else stderr with one write() a line.
 * A journal that cannot be reached or does not take an entry gets the line through stderr instead.
 *
 * Everything is formatted on the stack within bounds: a log line must be possible when memory is gone. What
 * is longer is cut. Control characters become blanks, so that no text from outside can forge a second line.
 *
 * log_allow() keeps a small table of token buckets, keyed by hash. A bucket that is full again is free for
 * another key. While none is free, all further keys share one bucket: inventing keys is no way around it. */
#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION 1
#include <systemd/sd-journal.h>

#include "base/log.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket" /* sd_journal_sendv() is silent where there is none */
#define LINE_MAX_BYTES 2048
#define FIELD_MAX_BYTES 512
#define FIELDS_MAX 8
#define BUCKETS 64

typedef struct Bucket {
        uint64_t key;  /* 0: never used */
        usec_t filled; /* when tokens was right */
        usec_t full;   /* when it will be full again, and free for another key */
        double tokens;
        unsigned left_out;
} Bucket;

static struct {
        char ident[64];
        atomic_int level;
        bool stream;  /* stderr goes to the journal ... */
        bool journal; /* ... which can be reached directly, too */
        log_tap_fn tap;
        void *tap_userdata;
        Bucket buckets[BUCKETS];
        Bucket shared;
} log_state = { .level = LOG_INFO };

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        struct stat st;
        char here[64];

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;

        snprintf(here, sizeof(here), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        return streq(stream, here);
}

void log_open(const char *ident) {
        snprintf(log_state.ident, sizeof(log_state.ident), "%s", ident ? ident : "");
        log_state.stream = stderr_is_journal();
        log_state.journal = log_state.stream && access(JOURNAL_SOCKET, W_OK) == 0;
}

void log_set_level(int level) {
        atomic_store_explicit(&log_state.level, level, memory_order_relaxed);
}

int log_level(void) {
        return atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

int log_level_parse(const char *text) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "error", LOG_ERR }, { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
                { "info", LOG_INFO }, { "debug", LOG_DEBUG },
        };

        for (size_t i = 0; i < ELEMENTS(levels); i++)
                if (streq(text, levels[i].name))
                        return levels[i].level;
        return -EINVAL;
}

void log_tap(log_tap_fn fn, void *userdata) {
        log_state.tap = fn;
        log_state.tap_userdata = userdata;
}

static int send_journal(int level, const char *line, const LogField *fields, size_t n_fields) {
        char message[LINE_MAX_BYTES + sizeof("MESSAGE=")], priority[sizeof("PRIORITY=7")];
        char ident[sizeof("SYSLOG_IDENTIFIER=") + sizeof(log_state.ident)];
        char extra[FIELDS_MAX][FIELD_MAX_BYTES];
        struct iovec iov[3 + FIELDS_MAX];
        int n = 0;

        snprintf(message, sizeof(message), "MESSAGE=%s", line);
        iov[n++] = (struct iovec){ message, strlen(message) };
        snprintf(priority, sizeof(priority), "PRIORITY=%u", (unsigned)level & 7u);
        iov[n++] = (struct iovec){ priority, strlen(priority) };
        if (log_state.ident[0]) {
                snprintf(ident, sizeof(ident), "SYSLOG_IDENTIFIER=%s", log_state.ident);
                iov[n++] = (struct iovec){ ident, strlen(ident) };
        }
        for (size_t i = 0; i < MIN(n_fields, (size_t)FIELDS_MAX); i++) {
                snprintf(extra[i], FIELD_MAX_BYTES, "%s=%s", fields[i].name, fields[i].value ? fields[i].value : "");
                iov[n++] = (struct iovec){ extra[i], strlen(extra[i]) };
        }
        return sd_journal_sendv(iov, n);
}

static void send_stderr(int level, const char *line) {
        char text[LINE_MAX_BYTES + sizeof(log_state.ident) + 16], prefix[8] = "";
        int n;

        if (log_state.stream) /* the journal takes the level from here */
                snprintf(prefix, sizeof(prefix), "<%u>", (unsigned)level & 7u);
        n = snprintf(text, sizeof(text), "%s%s%s%s\n", prefix, log_state.ident, log_state.ident[0] ? ": " : "", line);
        if (write(STDERR_FILENO, text, (size_t)n) < 0)
                return; /* nobody left to tell */
}

static void line_clean(char *line) {
        for (char *p = line; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = ' ';
}

/* Marks a cut line, at the border of a UTF-8 character. */
static void line_cut(char line[static LINE_MAX_BYTES]) {
        size_t end = LINE_MAX_BYTES - sizeof("...");

        while (end > 0 && ((unsigned char)line[end] & 0xc0) == 0x80)
                end--;
        memcpy(line + end, "...", sizeof("..."));
}

void log_fields(int level, const LogField *fields, size_t n_fields, const char *format, ...) {
        int saved_errno = errno, n;
        char line[LINE_MAX_BYTES];
        va_list ap;

        if (level > log_level())
                return;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        if (n < 0)
                snprintf(line, sizeof(line), "%s", format);
        else if ((size_t)n >= sizeof(line))
                line_cut(line);
        line_clean(line);

        if (!log_state.journal || send_journal(level, line, fields, n_fields) < 0)
                send_stderr(level, line);
        if (log_state.tap)
                log_state.tap(log_state.tap_userdata, level, line);
        errno = saved_errno;
}

static usec_t now_monotonic(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)(ts.tv_nsec / NSEC_PER_USEC);
}

static uint64_t hash_text(const char *s) { /* FNV-1a */
        uint64_t h = 0xcbf29ce484222325u;

        for (; *s; s++)
                h = (h ^ (unsigned char)*s) * 0x100000001b3u;
        return h ? h : 1;
}

static Bucket *bucket_find(uint64_t key, usec_t now) {
        Bucket *idle = NULL;

        for (size_t i = 0; i < BUCKETS; i++) {
                Bucket *b = log_state.buckets + i;

                if (b->key == key)
                        return b;
                if (!idle && (b->key == 0 || b->full <= now))
                        idle = b;
        }
        if (!idle)
                return &log_state.shared;
        *idle = (Bucket){ .key = key };
        return idle;
}

bool log_allow(const char *key, usec_t interval, unsigned burst, unsigned *ret_left_out) {
        usec_t now = now_monotonic(), token;
        Bucket *b;

        assert(burst > 0);
        b = bucket_find(hash_text(key), now);
        token = MAX(interval / burst, (usec_t)1);

        b->tokens = b->filled == 0 ? burst : MIN(b->tokens + (double)(now - b->filled) / (double)token, (double)burst);
        b->filled = now;
        b->full = now + (usec_t)((burst - b->tokens) * (double)token) + token;
        if (b->tokens < 1) {
                b->left_out++;
                return false;
        }
        b->tokens--;
        if (ret_left_out)
                *ret_left_out = b->left_out;
        b->left_out = 0;
        return true;
}
