/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "agent/status.h"

static void write_server(FILE *f, const StatusView *v) {
        if (!v->url)
                fprintf(f,
                        "Sampling, not sending: no server is set. Put server = { url = \"mqtt://HOST\"; }; into "
                        "%s.d/server.conf and "
                        "the device's access token into /etc/tbagent.token, then: systemctl restart tbagent.",
                        v->config_path);
        else if (v->session == SESSION_CONNECTED)
                fprintf(f, "Connected to %s (MQTT %s).", v->url, v->protocol == 5 ? "5" : "3.1.1");
        else if (v->session == SESSION_WAITING)
                fprintf(f, "Not connected to %s: %s; next try in %" PRIu64 " s.", v->url, v->session_text,
                        v->retry_in / USEC_PER_SEC);
        else
                fprintf(f, "Connecting to %s.", v->url);
}

static void write_rows(FILE *f, const StatusView *v) {
        const SpoolStats *s = &v->spool;

        if (v->url)
                fprintf(f, " %" PRIu64 " values sent, %" PRIu64 " waiting", s->acked_points, s->points);
        else
                fprintf(f, " %" PRIu64 " values in the queue", s->points);
        if (v->url && s->evicted_points > 0)
                fprintf(f, ", %" PRIu64 " dropped", s->evicted_points);
        fprintf(f, v->url && !v->clock_trusted ? " for the time to be set." : ".");
}

static void write_instances(FILE *f, const StatusView *v) {
        size_t running = 0;

        for (size_t i = 0; i < v->n_instances; i++)
                running += instance_state(v->instances[i]) == HOST_RUNNING;
        fprintf(f, " %zu of %zu instances running", running, v->n_instances);
        for (size_t i = 0; i < v->n_instances; i++) {
                const Instance *in = v->instances[i];
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
        write_instances(f, v);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = ' '; /* sd_notify takes a newline for the next variable */
        return text;
}
