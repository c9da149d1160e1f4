/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: one line when the connection comes, one when it goes with the reason and what to do, and none
 * for the tries that fail in the same way after it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/server.h"
#include "base/log.h"

/* What a file was when the connection was made. */
typedef struct Mark {
        char *path; /* NULL: none */
        struct timespec modified;
        off_t size;
        ino_t inode;
} Mark;

struct Server {
        ServerParams params;
        char *client_id;
        Client *client;
        Uplink *uplink;
        SessionState state;
        SessionReason reason; /* as logged last */
        int code;
        char *text;
        usec_t retry;
        Mark marks[3]; /* of the files that TLS reads */
};

/* ---- files of TLS */

static Mark mark_of(char *path) {
        Mark m = { .path = path };
        struct stat st;

        if (path && stat(path, &st) == 0) {
                m.modified = st.st_mtim;
                m.size = st.st_size;
                m.inode = st.st_ino;
        }
        return m;
}

static void mark_files(Server *s) {
        for (size_t i = 0; i < ELEMENTS(s->marks); i++)
                s->marks[i] = mark_of(s->marks[i].path);
}

static bool files_changed(const Server *s) {
        for (size_t i = 0; i < ELEMENTS(s->marks); i++) {
                Mark now = mark_of(s->marks[i].path);

                if (now.inode != s->marks[i].inode || now.size != s->marks[i].size ||
                    now.modified.tv_sec != s->marks[i].modified.tv_sec || now.modified.tv_nsec != s->marks[i].modified.tv_nsec)
                        return true;
        }
        return false;
}

/* ---- events */

static bool is_news(const Server *s, SessionState state, SessionReason reason, int code) {
        if (state == SESSION_CONNECTED)
                return true;
        return state == SESSION_WAITING && (reason != s->reason || code != s->code);
}

static void on_state(void *userdata, SessionState state, SessionReason reason, int code, const char *text, usec_t retry) {
        Server *s = userdata;
        usec_t now = loop_monotonic(s->params.loop);

        if (state == SESSION_CONNECTED)
                log_info("connected to %s (MQTT %s)", config_url(s->params.config),
                         session_protocol(client_session(s->client)) == 5 ? "5" : "3.1.1");
        else if (is_news(s, state, reason, code))
                log_fields(reason == SESSION_OK ? LOG_INFO : LOG_WARNING, NULL, 0, "%s; next try in %.1f s", text,
                           retry > now ? (double)(retry - now) / USEC_PER_SEC : 0);
        else
                log_debug("session state %d, reason %d, code 0x%02x: %s", state, reason, code, text ? text : "");
        s->state = state;
        if (state == SESSION_CONNECTING)
                mark_files(s);
        if (state == SESSION_CONNECTED || state == SESSION_WAITING) {
                s->reason = reason;
                s->code = code;
                s->retry = retry;
                free(s->text);
                s->text = strdup(text ? text : "");
        }
        s->params.changed(s->params.userdata);
        if (state == SESSION_WAITING && reason == SESSION_REFUSED)
                s->params.refused(s->params.userdata);
}

static void on_online(void *userdata, const ClientLimits *limits) {
        Server *s = userdata;

        if (limits->known)
                log_info("server limits: messages %s, telemetry messages %s, data points %s, payload %zu bytes",
                         limits->messages ? limits->messages : "none",
                         limits->telemetry_messages ? limits->telemetry_messages : "none",
                         limits->telemetry_points ? limits->telemetry_points : "none", limits->max_payload);
        uplink_online(s->uplink, limits);
        if (limits->settled)
                s->params.online(s->params.userdata);
}

static void on_offline(void *userdata, SessionReason reason) {
        Server *s = userdata;

        uplink_offline(s->uplink, reason);
        s->params.offline(s->params.userdata);
}

static void on_delivered(void *userdata, uint64_t context, int code) {
        const Server *s = userdata;

        s->params.delivered(s->params.userdata, context, code);
}

static void on_subscribing(void *userdata) {
        const Server *s = userdata;

        s->params.subscribing(s->params.userdata);
}

static void on_attributes(void *userdata, const char *json, size_t size) {
        const Server *s = userdata;

        s->params.attributes(s->params.userdata, json, size);
}

static void on_request(void *userdata, uint32_t id, const char *json, size_t size) {
        const Server *s = userdata;

        s->params.request(s->params.userdata, id, json, size);
}

static void on_published(void *userdata, uint64_t context, int code) {
        Server *s = userdata;

        uplink_published(s->uplink, context, code);
        s->params.acknowledged(s->params.userdata);
}

static void on_warning(void *userdata _unused_, const char *text) {
        if (log_allow("client", 600 * USEC_PER_SEC, 5, NULL))
                log_warning("%s", text);
}

static int on_credentials(void *userdata, SessionCredentials *ret, char **ret_text) {
        const Server *s = userdata;
        int r = s->params.credentials(s->params.userdata, ret, ret_text);

        return r != 0 ? MIN(r, 0) : config_credentials(s->params.config, &ret->username, &ret->password, ret_text);
}

static bool may_estimate(void *userdata) {
        const Server *s = userdata;

        return s->params.may_estimate(s->params.userdata);
}

/* ---- making */

static int protocol_number(const char *text) {
        return streq(text, "5") ? 5 : streq(text, "3.1.1") ? 4 : 0;
}

static int make_client(Server *s) {
        const Node *n = config_server(s->params.config);
        const char *id = node_string(n, "client_id", 0);
        ClientParams p = {
                .session = { .loop = s->params.loop, .url = config_url(s->params.config),
                             .protocol = protocol_number(node_string(n, "protocol", 0)),
                             .keepalive = (usec_t)node_int(n, "keepalive"), .ca_file = node_string(n, "ca", 0),
                             .cert_file = s->params.cert_file ?: node_string(n, "cert", 0),
                             .key_file = s->params.key_file ?: node_string(n, "key", 0) },
                .events = { .state = on_state, .online = on_online, .offline = on_offline, .published = on_published,
                            .delivered = on_delivered, .subscribing = on_subscribing, .attributes = on_attributes,
                            .request = on_request, .warning = on_warning, .credentials = on_credentials },
                .userdata = s,
        };

        s->client_id = s->params.client_id ? strdup(s->params.client_id) : board_text(s->params.board, id ? id : "tbagent-%m");
        if (!s->client_id)
                return -ENOMEM;
        p.session.client_id = s->client_id;
        return client_new(&s->client, &p);
}

static int note_files(Server *s) {
        const Node *n = config_server(s->params.config);
        const char *paths[] = { node_string(n, "ca", 0), s->params.cert_file ?: node_string(n, "cert", 0),
                                s->params.key_file ?: node_string(n, "key", 0) };

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                s->marks[i].path = paths[i] ? strdup(paths[i]) : NULL;
                if (paths[i] && !s->marks[i].path)
                        return -ENOMEM;
        }
        return 0;
}

static int make_uplink(Server *s) {
        const Node *n = config_telemetry(s->params.config);
        usec_t interval = (usec_t)node_int(n, "batch_interval");
        UplinkParams p = {
                .loop = s->params.loop, .spool = s->params.spool, .client = s->client, .batch_interval = interval,
                .batch_size = (size_t)node_int(n, "batch_size"), .window = 8,
                .backlog_rate = (unsigned)node_int(n, "backlog_rate"), .may_estimate = may_estimate,
                .splay = identity_splay(s->params.board->digits, interval), .limits_file = s->params.limits_file,
                .limits_server = config_url(s->params.config), .userdata = s,
        };

        return uplink_new(&s->uplink, &p);
}

int server_new(Server **ret, const ServerParams *params) {
        _cleanup_(server_freep) Server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->params = *params;
        s->text = strdup("");
        r = note_files(s);
        if (r == 0)
                r = make_client(s);
        s->params.client_id = s->params.cert_file = s->params.key_file = NULL; /* copied */
        if (r == 0)
                r = make_uplink(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;
        uplink_free(s->uplink);
        client_free(s->client);
        for (size_t i = 0; i < ELEMENTS(s->marks); i++)
                free(s->marks[i].path);
        free(s->client_id);
        free(s->text);
        free(s);
        return NULL;
}

void server_start(Server *s) {
        client_start(s->client);
}

int server_stop(Server *s, usec_t wait) {
        return client_stop(s->client, wait);
}

int server_stop_later(Server *s, void (*stopped)(void *userdata), void *userdata) {
        return client_stop_later(s->client, stopped, userdata);
}

void server_set_config(Server *s, const Config *config) {
        bool changed = files_changed(s);

        s->params.config = config;
        if (changed && s->state == SESSION_CONNECTED)
                log_info("the certificates have changed: connecting anew");
        if (changed || s->state == SESSION_WAITING) /* what was missing, a token file say, may be there now */
                session_reconnect(client_session(s->client), 0);
}

void server_notify(Server *s, bool immediate) {
        uplink_notify(s->uplink, immediate);
}

void server_flush(Server *s) {
        uplink_flush(s->uplink);
}

bool server_is_idle(const Server *s) {
        return uplink_idle(s->uplink);
}

bool server_is_online(const Server *s) {
        return client_is_online(s->client);
}

Client *server_client(Server *s) {
        return s->client;
}

usec_t server_take_points(Server *s, uint32_t *points) {
        return uplink_take(s->uplink, points);
}

usec_t server_ping(Server *s) {
        session_ping(client_session(s->client));
        return session_deaf_for(client_session(s->client));
}

SessionState server_state(const Server *s) {
        return s->state;
}

const char *server_text(const Server *s) {
        return s->text ? s->text : "";
}

usec_t server_retry_in(const Server *s) {
        usec_t now = loop_monotonic(s->params.loop);

        return s->retry > now ? s->retry - now : 0;
}

int server_protocol(const Server *s) {
        return session_protocol(client_session(s->client));
}

UplinkStats server_uplink_stats(const Server *s) {
        return uplink_stats(s->uplink);
}
