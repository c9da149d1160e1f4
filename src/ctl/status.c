/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "ctl/print.h"
#include "ctl/status.h"

#define OLD 60 /* s: from then on it is worth telling how long values have waited */
#define LITTLE 50000 /* bytes: reads as 0.1 MB */

static json_object *member(json_object *o, const char *name) {
        json_object *m = NULL;

        if (json_object_is_type(o, json_type_object))
                json_object_object_get_ex(o, name, &m);
        return m;
}

static const char *text(json_object *o, const char *name) {
        json_object *m = member(o, name);

        return json_object_is_type(m, json_type_string) ? json_object_get_string(m) : "";
}

static uint64_t number(json_object *o, const char *name) {
        return json_object_get_uint64(member(o, name));
}

/* A line begins; its name stands in a column of its own. */
static void label(FILE *f, const char *name) {
        fprintf(f, "%-12s", name);
}

static void print_server(FILE *f, json_object *s) {
        const char *state = text(s, "state");

        label(f, "server");
        if (!text(s, "url")[0])
                fputs("none is set: put server = { url = \"mqtt://HOST\"; }; into /etc/tbagent.conf.d/server.conf and the "
                      "device's access token into /etc/tbagent.token, then: systemctl restart tbagent", f);
        else if (streq(state, "connected")) {
                fputs("connected to ", f);
                print_text(f, text(s, "url"));
                fprintf(f, " (MQTT %s)", text(s, "mqtt"));
        } else if (streq(state, "waiting")) {
                fputs("not connected to ", f);
                print_text(f, text(s, "url"));
                fputs(": ", f);
                print_text(f, text(s, "reason"));
                fprintf(f, "; next try in %" PRIu64 " s", number(s, "retry_in_s"));
        } else {
                print_text(f, state);
                fputs(" to ", f);
                print_text(f, text(s, "url"));
        }
        if (json_object_get_boolean(member(s, "refuses_telemetry")))
                fputs("; it refuses all telemetry: its log and the device's profile say why; it is kept", f);
        fputc('\n', f);
}

static void print_age(FILE *f, uint64_t seconds) {
        if (seconds < 3600)
                fprintf(f, " for up to %" PRIu64 " min", seconds / 60);
        else if (seconds < 2 * 86400)
                fprintf(f, " for up to %" PRIu64 " h", seconds / 3600);
        else
                fprintf(f, " for up to %" PRIu64 " days", seconds / 86400);
}

static void print_values(FILE *f, json_object *status, usec_t now) {
        json_object *v = member(status, "values");
        uint64_t oldest = number(v, "oldest_waiting_ts") * USEC_PER_MSEC;

        label(f, "values");
        if (!text(member(status, "server"), "url")[0])
                fprintf(f, "%" PRIu64 " in the queue", number(v, "waiting"));
        else {
                fprintf(f, "%" PRIu64 " sent, %" PRIu64 " waiting", number(v, "acknowledged"), number(v, "waiting"));
                if (oldest > 0 && now > oldest && (now - oldest) / USEC_PER_SEC >= OLD)
                        print_age(f, (now - oldest) / USEC_PER_SEC);
        }
        if (number(v, "dropped") > 0)
                fprintf(f, ", %" PRIu64 " dropped", number(v, "dropped"));
        if (number(v, "rejected") > 0)
                fprintf(f, ", %" PRIu64 " refused by the server (/var/lib/tbagent/rejected.jsonl)", number(v, "rejected"));
        fputc('\n', f);
}

static void print_store(FILE *f, json_object *s) {
        uint64_t bytes = number(s, "bytes"), written = number(s, "bytes_written_today");
        const char *what = text(s, "text");
        bool much = bytes >= LITTLE || written >= LITTLE;

        if (!much && !what[0])
                return;
        label(f, "disk");
        if (much)
                fprintf(f, "%.1f MB waiting, %.1f MB written today%s", (double)bytes / 1e6, (double)written / 1e6,
                        what[0] ? "; " : "");
        print_text(f, what);
        fputc('\n', f);
}

static void print_line(FILE *f, const char *name, const char *what) {
        if (!what[0])
                return;
        label(f, name);
        print_text(f, what);
        fputc('\n', f);
}

static void print_shared(FILE *f, json_object *status) {
        json_object *s = member(status, "shared_attributes");
        bool synced = json_object_get_boolean(member(s, "synced"));
        bool connected = streq(text(member(status, "server"), "state"), "connected");

        if (number(s, "count") == 0 && (synced || !connected))
                return;
        label(f, "attributes");
        fprintf(f, "%" PRIu64 " shared%s\n", number(s, "count"), synced ? "" : ", not compared with the server yet");
}

/* every = 10s (server; file says 30s) */
static void print_setting(FILE *f, json_object *instance, json_object *s) {
        json_object *now = member(s, "value"), *file = member(s, "file"), *server = member(s, "server");
        const char *why = text(s, "error");
        bool applied = streq(text(s, "from"), "server");

        print_text(f, text(instance, "name"));
        fputs(": ", f);
        print_text(f, text(s, "option"));
        fputs(" = ", f);
        print_value(f, now ? now : server);
        if (applied && json_object_is_type(file, json_type_string) && json_object_get_string_len(file) == 0)
                fputs(" (server; not in the file", f);
        else if (applied && file) {
                fputs(" (server; file says ", f);
                print_value(f, file);
        } else if (applied || !now)
                fprintf(f, " (server%s", applied ? "" : "; waits for the instance");
        else {
                fputs(" (file; the server's ", f);
                print_value(f, server);
                fputs(why[0] ? " is refused: " : " is not in effect", f);
                print_text(f, why);
        }
        fputs(")\n", f);
}

static void print_settings(FILE *f, json_object *instances) {
        size_t n = json_object_is_type(instances, json_type_array) ? json_object_array_length(instances) : 0;

        for (size_t i = 0; i < n; i++) {
                json_object *in = json_object_array_get_idx(instances, i), *settings = member(in, "settings");
                size_t n_settings = json_object_is_type(settings, json_type_array) ? json_object_array_length(settings) : 0;

                for (size_t k = 0; k < n_settings; k++)
                        print_setting(f, in, json_object_array_get_idx(settings, k));
        }
}

static void print_unknown(FILE *f, json_object *list) {
        size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

        for (size_t i = 0; i < n; i++) {
                fputs(i == 0 ? "shared attributes for instances that no file has: " : ", ", f);
                print_value(f, json_object_array_get_idx(list, i));
        }
        if (n > 0)
                fputc('\n', f);
}

void status_print(FILE *f, json_object *status, usec_t now) {
        static const Column columns[] = {
                { "INSTANCE", "name" },         { "PLUGIN", "plugin" },     { "STATE", "state" },   { "SAMPLES", "samples" },
                { "FAILED", "failed_reads" },   { "RESTARTS", "restarts" }, { "REASON", "reason" },
        };
        const char *clock = text(status, "clock");
        json_object *instances = member(status, "instances");

        print_line(f, "tbagent", text(status, "version"));
        print_line(f, "config", text(status, "config_error"));
        print_server(f, member(status, "server"));
        print_values(f, status, now);
        print_line(f, "clock", streq(clock, "trusted") ? "" : clock);
        print_store(f, member(status, "store"));
        print_shared(f, status);
        if (json_object_is_type(instances, json_type_array) && json_object_array_length(instances) > 0)
                fputc('\n', f);
        print_table(f, instances, columns, ELEMENTS(columns));
        print_settings(f, instances);
        print_unknown(f, member(status, "unknown_settings"));
}
