/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "agent/report.h"
#include "model/value.h"

typedef struct Json { /* a writer that knows whether a comma is due */
        FILE *f;
        bool inside; /* something stands in the open object or list */
} Json;

static void name(Json *j, const char *key) {
        fprintf(j->f, "%s", j->inside ? "," : "");
        if (key)
                fprintf(j->f, "\"%s\":", key);
        j->inside = true;
}

static void open_part(Json *j, const char *key, char bracket) {
        name(j, key);
        fputc(bracket, j->f);
        j->inside = false;
}

static void close_part(Json *j, char bracket) {
        fputc(bracket, j->f);
        j->inside = true;
}

static void put_text(Json *j, const char *key, const char *text) {
        _cleanup_(freep) char *quoted = json_string(text);

        if (!quoted)
                return;
        name(j, key);
        fputs(quoted, j->f);
}

static void put_number(Json *j, const char *key, uint64_t number) {
        name(j, key);
        fprintf(j->f, "%" PRIu64, number);
}

static void put_bool(Json *j, const char *key, bool b) {
        name(j, key);
        fputs(b ? "true" : "false", j->f);
}

static void put_json(Json *j, const char *key, const char *json) {
        name(j, key);
        fputs(json && json[0] ? json : "null", j->f);
}

static const char *session_name(const StatusView *v) {
        if (!v->url)
                return "no server set";
        if (v->enrolling)
                return "enrolling";
        switch (v->session) {
        case SESSION_IDLE:
                return "idle";
        case SESSION_CONNECTING:
                return "connecting";
        case SESSION_CONNECTED:
                return "connected";
        case SESSION_WAITING:
                return "waiting";
        }
        return "unknown";
}

static void put_server(Json *j, const StatusView *v) {
        open_part(j, "server", '{');
        put_text(j, "state", session_name(v));
        if (v->url)
                put_text(j, "url", v->url);
        if (v->session == SESSION_CONNECTED)
                put_text(j, "mqtt", v->protocol == 5 ? "5" : "3.1.1");
        if (v->session == SESSION_WAITING) {
                put_text(j, "reason", v->session_text ? v->session_text : "");
                put_number(j, "retry_in_s", v->retry_in / USEC_PER_SEC);
        }
        if (v->enrolling)
                put_text(j, "reason", v->enrolling);
        if (v->refused)
                put_bool(j, "refuses_telemetry", true);
        close_part(j, '}');
}

static void put_values(Json *j, const StatusView *v) {
        const SpoolStats *s = &v->spool;

        open_part(j, "values", '{');
        put_number(j, "made", s->made_points);
        put_number(j, "acknowledged", s->acked_points);
        put_number(j, "waiting", s->points);
        put_number(j, "dropped", s->evicted_points);
        put_number(j, "rejected", s->rejected_points);
        if (s->oldest_ms > 0 && s->rows > 0)
                put_number(j, "oldest_waiting_ts", (uint64_t)s->oldest_ms);
        close_part(j, '}');
        open_part(j, "store", '{');
        put_text(j, "state", store_state_name(s->store.state));
        put_text(j, "text", s->store.text);
        put_number(j, "bytes", s->store.bytes);
        put_number(j, "bytes_written_today", v->written_today);
        close_part(j, '}');
}

static void put_settings(Json *j, const Overrides *all, const char *instance) {
        open_part(j, "settings", '[');
        for (size_t i = 0; all && i < overrides_n(all); i++) {
                Override o = overrides_at(all, i);

                if (o.state == OVERRIDE_NONE || o.instance_size != strlen(instance) ||
                    memcmp(o.key, instance, o.instance_size) != 0)
                        continue;
                open_part(j, NULL, '{');
                put_text(j, "option", o.path);
                put_json(j, "value", o.now);
                put_json(j, "file", o.file);
                put_json(j, "server", o.json);
                put_text(j, "from", o.state == OVERRIDE_APPLIED ? "server" : "file");
                if (o.why)
                        put_text(j, "error", o.why);
                close_part(j, '}');
        }
        close_part(j, ']');
}

static void put_state(Json *j, const ConfigInstance *c, const Instance *in) {
        InstanceStats s;

        if (!in) {
                put_text(j, "state", "disabled");
                return;
        }
        s = instance_stats(in);
        put_text(j, "state", host_state_name(instance_state(in)));
        put_text(j, "reason", instance_reason(in));
        put_bool(j, "optional", c->optional);
        put_number(j, "samples", s.samples);
        put_number(j, "values", s.points);
        put_number(j, "failed_reads", s.failed_reads);
        put_number(j, "overruns", s.overruns);
        put_number(j, "restarts", instance_restarts(in));
}

static void put_instances(Json *j, const StatusView *v) {
        open_part(j, "instances", '[');
        for (size_t i = 0; i < config_n_instances(v->config); i++) {
                const ConfigInstance *c = config_instance(v->config, i);

                open_part(j, NULL, '{');
                put_text(j, "name", c->name);
                put_text(j, "plugin", c->plugin);
                put_state(j, c, v->instances ? instances_find(v->instances, c->name) : NULL);
                put_settings(j, v->overrides, c->name);
                close_part(j, '}');
        }
        close_part(j, ']');
}

static bool is_configured(const Config *c, const Override *o) {
        for (size_t i = 0; i < config_n_instances(c); i++) {
                const char *name = config_instance(c, i)->name;

                if (strlen(name) == o->instance_size && memcmp(name, o->key, o->instance_size) == 0)
                        return true;
        }
        return false;
}

/* What looks like a setting of an instance that no file has. */
static void put_unknown(Json *j, const StatusView *v) {
        open_part(j, "unknown_settings", '[');
        for (size_t i = 0; v->overrides && i < overrides_n(v->overrides); i++) {
                Override o = overrides_at(v->overrides, i);

                if (o.state == OVERRIDE_WAITING && !is_configured(v->config, &o))
                        put_text(j, NULL, o.key);
        }
        close_part(j, ']');
}

char *report_json(const StatusView *v) {
        char *text = NULL;
        size_t size;
        Json j = { .f = open_memstream(&text, &size) };

        if (!j.f)
                return NULL;
        fputc('{', j.f);
        put_text(&j, "version", PACKAGE_VERSION);
        put_server(&j, v);
        put_text(&j, "clock", v->clock_trusted ? "trusted" : "waits for the time to be set");
        put_values(&j, v);
        put_instances(&j, v);
        open_part(&j, "shared_attributes", '{');
        put_number(&j, "count", v->shared);
        put_bool(&j, "synced", v->shared_synced);
        close_part(&j, '}');
        put_unknown(&j, v);
        put_text(&j, "config_error", v->config_error ? v->config_error : "");
        fputc('}', j.f);
        if (fclose(j.f) == 0)
                return text;
        free(text);
        return NULL;
}
