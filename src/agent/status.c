/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "agent/status.h"

#define OLD (60 * USEC_PER_SEC) /* from then on it is worth telling how long rows have waited */

static void write_server(FILE *f, const StatusView *v) {
        if (!v->url)
                fprintf(f,
                        "Sampling, not sending: no server is set. Put server = { url = \"mqtt://HOST\"; }; into "
                        "%s.d/server.conf and "
                        "the device's access token into /etc/tbagent.token, then: systemctl restart tbagent.",
                        v->config_path);
        else if (v->enrolling)
                fprintf(f, "Not connected to %s yet: %s.", v->url, v->enrolling);
        else if (v->session == SESSION_CONNECTED)
                fprintf(f, "Connected to %s (MQTT %s)%s.", v->url, v->protocol == 5 ? "5" : "3.1.1",
                        v->refused ? ", which refuses all telemetry: its log and the device's profile say why; it is kept" : "");
        else if (v->session == SESSION_WAITING)
                fprintf(f, "Not connected to %s: %s; next try in %" PRIu64 " s.", v->url, v->session_text,
                        v->retry_in / USEC_PER_SEC);
        else
                fprintf(f, "Connecting to %s.", v->url);
}

static void write_age(FILE *f, usec_t age) {
        uint64_t seconds = age / USEC_PER_SEC;

        if (seconds < 3600)
                fprintf(f, "%" PRIu64 " min", seconds / 60);
        else if (seconds < 2 * 86400)
                fprintf(f, "%" PRIu64 " h", seconds / 3600);
        else
                fprintf(f, "%" PRIu64 " days", seconds / 86400);
}

static void write_rows(FILE *f, const StatusView *v) {
        const SpoolStats *s = &v->spool;
        usec_t oldest = s->oldest_ms > 0 ? (usec_t)s->oldest_ms * USEC_PER_MSEC : v->now;

        if (!v->url) {
                fprintf(f, " %" PRIu64 " values in the queue.", s->points);
                return;
        }
        fprintf(f, " %" PRIu64 " values sent, %" PRIu64 " waiting", s->acked_points, s->points);
        if (!v->clock_trusted)
                fprintf(f, " for the time to be set");
        else if (s->rows > 0 && v->now > oldest && v->now - oldest >= OLD) {
                fprintf(f, " for up to ");
                write_age(f, v->now - oldest);
        }
        if (s->evicted_points > 0)
                fprintf(f, ", %" PRIu64 " dropped", s->evicted_points);
        if (s->rejected_points > 0)
                fprintf(f, ", %" PRIu64 " refused by the server (rejected.jsonl)", s->rejected_points);
        fputc('.', f);
}

static void write_store(FILE *f, const StatusView *v) {
        const StoreStats *s = &v->spool.store;

        if (v->spool.ring_in_memory && v->url)
                fprintf(f, " What waits is in memory alone: a crash would lose it.");
        if (s->segments > 0 || v->written_today > 0)
                fprintf(f, " On the disk %.1f MB, %.1f MB written today.", (double)s->bytes / 1e6,
                        (double)v->written_today / 1e6);
        if (s->text[0])
                fprintf(f, " The store: %s.", s->text);
}

static void write_instances(FILE *f, const Instances *all) {
        size_t n = all ? instances_n(all) : 0, running = 0;

        for (size_t i = 0; i < n; i++)
                running += instance_state(instances_at(all, i)) == HOST_RUNNING;
        fprintf(f, " %zu of %zu instances running", running, n);
        for (size_t i = 0; i < n; i++) {
                const Instance *in = instances_at(all, i);
                if (instance_state(in) != HOST_RUNNING)
                        fprintf(f, "; %s %s%s%s", instance_name(in), host_state_name(instance_state(in)),
                                instance_reason(in)[0] ? ": " : "", instance_reason(in));
        }
}

char *status_text(const StatusView *v) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        if (v->config_error)
                fprintf(f, "Running on the last good configuration: %s. ", v->config_error);
        write_server(f, v);
        write_rows(f, v);
        write_store(f, v);
        write_instances(f, v->instances);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = ' '; /* sd_notify takes a newline for the next variable */
        return text;
}

uint64_t written_today(Written *w, usec_t now, bool clock_trusted, uint64_t bytes) {
        time_t seconds = (time_t)(now / USEC_PER_SEC);
        struct tm tm;
        int64_t day;

        if (clock_trusted && localtime_r(&seconds, &tm)) {
                day = tm.tm_year * 366 + tm.tm_yday + 1;
                if (w->day != 0 && w->day != day)
                        w->before = w->last;
                w->day = day;
        }
        w->last = bytes;
        return bytes - w->before;
}
