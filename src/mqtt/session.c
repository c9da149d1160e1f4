/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine of a session; its calls into the MQTT library are made by mqtt/link in a thread.
 *
 *   IDLE ---- session_start() ----------------------------> CONNECTING
 *   CONNECTING (look up, connect, on failure probe)
 *        CONNACK 0 ---------------------------------------> CONNECTED
 *        anything else, or connect_timeout ---------------> WAITING
 *   CONNECTED
 *        DISCONNECT, close, no PUBACK, flood, reconnect --> WAITING
 *   WAITING -- timer -------------------------------------> CONNECTING
 *   any ----- session_stop() -----------------------------> IDLE
 *
 * Connecting has three phases with one timer. The lookup is the thread's and can't be aborted: when it is
 * late the attempt is given up here and the thread skips what is left of it when it comes back. A connect
 * that fails without a word, or takes too long, is followed by a probe that finds the words.
 *
 * How long WAITING is says mqtt/backoff.h. Never less than 100 ms: the library may still have a packet of the
 * old socket in its hands, and the new one may get the same number.
 *
 * Protocol: 5, and 3.1.1 for good when a CONNACK says that 5 is not spoken. Two closes without CONNACK in a
 * row may mean the same, but a proxy before a server that restarts does that too: so 3.1.1 is then tried,
 * and settled only by a CONNACK; else it is 5's turn again. A server that ever took 5 is asked for nothing
 * else unless it says so.
 *
 * In flight: an entry leaves by its answer or with the connection, whatever the library does or forgets: each
 * context is told exactly once. The PUBACK timer looks at the oldest entry alone, and counts from when it
 * became the oldest (a slow link that still moves is no dead link); it is armed lazily, an acknowledgement
 * costs no timer.
 *
 * Not done here: anything that survives a connection (clean start always, no queue while offline). The spool
 * is the truth; SESSION_LOST means "send it again". */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "mqtt/backoff.h"
#include "mqtt/flight.h"
#include "mqtt/link.h"
#include "mqtt/session.h"

#define RETRY_MIN       (100 * USEC_PER_MSEC)
#define PROBE_STEP      (3 * USEC_PER_SEC)
#define PROBE_TIMEOUT   (12 * USEC_PER_SEC)
#define SOON            (10 * USEC_PER_SEC) /* closed "soon" after CONNACK */
#define SILENT_CLOSES   2
#define TEXT_MAX        640

typedef enum Phase { PHASE_RESOLVING, PHASE_CONNECTING, PHASE_PROBING } Phase;

typedef enum ProbeCause { CAUSE_FAILED, CAUSE_CLOSED, CAUSE_TIMEOUT } ProbeCause;

struct Session {
        SessionParams params; /* texts of it are not kept */
        Endpoint endpoint;
        Link *link;
        LoopTimer *timer, *ack_timer;

        SessionState state;
        Phase phase;
        ProbeCause cause; /* what the probe is about */
        int protocol;
        bool settled; /* a CONNACK said that protocol is right */
        Backoff backoff;
        unsigned silent_closes, early_closes;

        uint64_t connections, downlinks;
        usec_t connected_at;

        Flight flight;
        usec_t oldest_since; /* when its oldest entry became that */
};

static usec_t now(const Session *s) {
        return loop_monotonic(s->params.loop);
}

/* ---- what is in flight */

static void flight_add(Session *s, FlightKind kind, uint64_t context) {
        if (s->flight.n == 0)
                s->oldest_since = now(s);
        flight_push(&s->flight, kind, context);
        if (!loop_timer_armed(s->ack_timer))
                loop_timer_arm(s->ack_timer, s->oldest_since + s->params.ack_timeout, USEC_PER_SEC / 4);
}

static bool flight_answer(Session *s, uint32_t id, FlightKind kind, uint64_t *ret_context) {
        int r = flight_take(&s->flight, id, kind, ret_context);

        if (r > 0)
                s->oldest_since = now(s);
        return r >= 0;
}

static void flight_lose(Session *s) {
        FlightEntry e;

        loop_timer_disarm(s->ack_timer);
        while (flight_pop(&s->flight, &e))
                if (e.kind == FLIGHT_PUBLISH)
                        s->params.events.published(s->params.userdata, e.context, SESSION_LOST);
                else
                        s->params.events.subscribed(s->params.userdata, e.context, NULL, 0);
}

/* ---- waiting */

/* Ends what there is, tells what was lost with it, then why, and waits. */
static void wait_for(Session *s, usec_t delay, SessionReason reason, int code, const char *text) {
        usec_t retry = now(s) + MAX(delay, RETRY_MIN);

        s->state = SESSION_WAITING;
        link_drop(s->link);
        flight_lose(s);
        loop_timer_arm(s->timer, retry, 10 * USEC_PER_MSEC);
        s->params.events.state(s->params.userdata, SESSION_WAITING, reason, code, text, retry);
}

static _printf_(4, 5) void wait_after(Session *s, SessionReason reason, int code, const char *format, ...) {
        char text[TEXT_MAX];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        wait_for(s, backoff_after(&s->backoff, reason), reason, code, text);
}

/* ---- connecting */

static const char *protocol_name(int protocol) {
        return protocol == 5 ? "5" : "3.1.1";
}

static void credentials_done(SessionCredentials *c) {
        if (c->username)
                explicit_bzero(c->username, strlen(c->username));
        if (c->password)
                explicit_bzero(c->password, strlen(c->password));
        free(c->username);
        free(c->password);
}

static void connect_begin(Session *s) {
        _cleanup_(credentials_done) SessionCredentials credentials = {};
        _cleanup_(freep) char *why = NULL;
        char text[TEXT_MAX];

        if (s->params.events.credentials && s->params.events.credentials(s->params.userdata, &credentials, &why) < 0) {
                wait_after(s, SESSION_NO_CREDENTIALS, 0, "%s", why ? why : "there are no credentials");
                return;
        }

        s->state = SESSION_CONNECTING;
        s->phase = PHASE_RESOLVING;
        snprintf(text, sizeof(text), "connecting to %s port %s with MQTT %s", s->endpoint.host, s->endpoint.port,
                 protocol_name(s->protocol));
        s->params.events.state(s->params.userdata, SESSION_CONNECTING, SESSION_OK, 0, text, 0);
        if (link_connect(s->link, s->protocol, credentials.username, credentials.password) < 0) {
                wait_after(s, SESSION_NO_NETWORK, 0, "the MQTT thread does not come back: it may hang in a name lookup");
                return;
        }
        loop_timer_arm_in(s->timer, s->params.connect_timeout, 0);
}

static void probe_begin(Session *s, ProbeCause cause) {
        s->phase = PHASE_PROBING;
        s->cause = cause;
        loop_timer_arm_in(s->timer, PROBE_TIMEOUT, 0);
        if (link_probe(s->link, PROBE_STEP) < 0)
                loop_timer_arm_in(s->timer, 0, 0);
}

/* 5 <-> 3.1.1, where it is ours to choose. */
static bool protocol_switch(Session *s, int protocol) {
        if (s->params.protocol != 0 || s->protocol == protocol)
                return false;
        s->protocol = protocol;
        s->silent_closes = 0;
        return true;
}

static void closed_silently(Session *s) {
        const char *hint = "";

        s->silent_closes++;
        if (!s->settled && s->silent_closes >= SILENT_CLOSES && protocol_switch(s, s->protocol == 5 ? 4 : 5))
                hint = s->protocol == 5 ? "; MQTT 5 is tried next" : "; MQTT 3.1.1 is tried next";
        wait_after(s, SESSION_CLOSED, 0,
                   "%s port %s takes the connection and closes it without an answer: is an MQTT server there, and ready%s?%s",
                   s->endpoint.host, s->endpoint.port, s->endpoint.tls ? ", and does it want a client certificate" : "", hint);
}

static void refused(Session *s, int code) {
        const ReasonWords *words = reason_connack(code);

        if (reason_is_version(code) && protocol_switch(s, 4)) {
                s->settled = true;
                wait_after(s, SESSION_UNAVAILABLE, code, "the server does not speak MQTT 5: MQTT 3.1.1 from now on");
                return;
        }
        wait_after(s, words->reason, code, "%s (MQTT code 0x%02X)", words->text, (unsigned)code);
}

static void on_failed(Session *s, const LinkEvent *event) {
        if (event->code > 0)
                refused(s, event->code);
        else if (event->code == LINK_CLOSED && !s->endpoint.tls)
                closed_silently(s);
        else if (event->text)
                wait_after(s, SESSION_NO_NETWORK, 0, "%s", event->text);
        else
                probe_begin(s, event->code == LINK_CLOSED ? CAUSE_CLOSED : CAUSE_FAILED);
}

static void on_probed(Session *s, const char *text) {
        if (text)
                wait_after(s, SESSION_NO_NETWORK, 0, "%s", text);
        else if (s->cause == CAUSE_TIMEOUT)
                wait_after(s, SESSION_TIMEOUT, 0,
                           "%s port %s takes connections but does not answer as an MQTT server: is the port right?",
                           s->endpoint.host, s->endpoint.port);
        else if (s->endpoint.tls && s->cause == CAUSE_FAILED)
                wait_after(s, SESSION_NO_NETWORK, 0, "TLS with %s failed; a second try works, so the next may too",
                           s->endpoint.host);
        else
                closed_silently(s);
}

static void on_timer(void *userdata) {
        Session *s = userdata;

        if (s->state == SESSION_WAITING)
                connect_begin(s);
        else if (s->phase == PHASE_RESOLVING)
                wait_after(s, SESSION_NO_NETWORK, 0, "looking up %s takes more than %u s: check the network and /etc/resolv.conf",
                           s->endpoint.host, (unsigned)(s->params.connect_timeout / USEC_PER_SEC));
        else if (s->phase == PHASE_CONNECTING)
                probe_begin(s, CAUSE_TIMEOUT);
        else
                wait_after(s, SESSION_TIMEOUT, 0, "%s port %s did not answer in %u s", s->endpoint.host, s->endpoint.port,
                           (unsigned)(s->params.connect_timeout / USEC_PER_SEC));
}

static void on_connected(Session *s) {
        char text[TEXT_MAX];

        s->state = SESSION_CONNECTED;
        s->settled = true;
        s->silent_closes = 0;
        backoff_connected(&s->backoff);
        s->connections++;
        s->downlinks = 0;
        s->connected_at = now(s);
        loop_timer_disarm(s->timer);
        snprintf(text, sizeof(text), "connected to %s port %s with MQTT %s", s->endpoint.host, s->endpoint.port,
                 protocol_name(s->protocol));
        s->params.events.state(s->params.userdata, SESSION_CONNECTED, SESSION_OK, 0, text, 0);
}

/* ---- connected */

/* Before a connection is ended: what its length says about the next ones. */
static void judge_length(Session *s) {
        usec_t lasted = now(s) - s->connected_at;

        backoff_lasted(&s->backoff, lasted);
        s->early_closes = lasted < SOON ? s->early_closes + 1 : 0;
}

/* code: of a DISCONNECT, or LINK_CLOSED. */
static void on_lost(Session *s, int code) {
        const ReasonWords *words;

        judge_length(s);
        if (code < 0) {
                wait_after(s, SESSION_CLOSED, 0, "%s",
                           s->early_closes < 2
                                   ? "the connection was closed without a word by the server or the network"
                                   : "the server closed the connection soon after it was opened, again: does another "
                                     "program use the same credentials, or does the server not like what it is sent?");
                return;
        }
        words = reason_disconnect(code);
        wait_after(s, words->reason, code, "%s (MQTT code 0x%02X)", words->text, (unsigned)code);
}

static void on_ack_timer(void *userdata) {
        Session *s = userdata;
        usec_t due = s->oldest_since + s->params.ack_timeout;

        if (s->flight.n == 0)
                return;
        if (now(s) < due) {
                loop_timer_arm(s->ack_timer, due, USEC_PER_SEC / 4);
                return;
        }
        judge_length(s);
        wait_after(s, SESSION_TIMEOUT, 0,
                   "the server did not acknowledge a message for %u s: the network is down, or the server hangs",
                   (unsigned)(s->params.ack_timeout / USEC_PER_SEC));
}

static void on_published(Session *s, uint32_t id, int code) {
        uint64_t context;

        if (code < 0) { /* the library is about to say so for all of them, and then that the connection is lost */
                on_lost(s, LINK_CLOSED);
                return;
        }
        if (flight_answer(s, id, FLIGHT_PUBLISH, &context))
                s->params.events.published(s->params.userdata, context, code);
}

static void on_subscribed(Session *s, const LinkEvent *event) {
        uint64_t context;

        if (event->n == 0)
                on_lost(s, LINK_CLOSED);
        else if (flight_answer(s, event->id, FLIGHT_SUBSCRIBE, &context))
                s->params.events.subscribed(s->params.userdata, context, event->codes, event->n);
}

static void on_message(Session *s, const LinkEvent *event) {
        s->downlinks++;
        s->params.events.message(s->params.userdata, event->topic, event->payload, event->size);
}

static void on_flood(Session *s) {
        judge_length(s);
        wait_after(s, SESSION_DISCONNECTED, 0,
                   "the server sends messages faster than they can be taken: who writes so many to this device?");
}

static void on_connecting_event(Session *s, const LinkEvent *event) {
        switch (event->kind) {
        case LINK_RESOLVED:
                s->phase = PHASE_CONNECTING;
                loop_timer_arm_in(s->timer, s->params.connect_timeout, 0);
                break;
        case LINK_FAILED:
                on_failed(s, event);
                break;
        case LINK_CONNECTED:
                on_connected(s);
                break;
        case LINK_PROBED:
                on_probed(s, event->text);
                break;
        case LINK_LOST: /* in place of a CONNACK */
                if (event->code > 0)
                        refused(s, event->code);
                else
                        closed_silently(s);
                break;
        case LINK_PUBLISHED:
        case LINK_SUBSCRIBED:
        case LINK_MESSAGE:
        case LINK_FLOOD:
                break;
        }
}

static void on_connected_event(Session *s, const LinkEvent *event) {
        switch (event->kind) {
        case LINK_LOST:
                on_lost(s, event->code);
                break;
        case LINK_PUBLISHED:
                on_published(s, event->id, event->code);
                break;
        case LINK_SUBSCRIBED:
                on_subscribed(s, event);
                break;
        case LINK_MESSAGE:
                on_message(s, event);
                break;
        case LINK_FLOOD:
                on_flood(s);
                break;
        case LINK_RESOLVED:
        case LINK_FAILED:
        case LINK_CONNECTED:
        case LINK_PROBED:
                break;
        }
}

static void on_link_event(void *userdata, const LinkEvent *event) {
        Session *s = userdata;

        if (s->state == SESSION_CONNECTING)
                on_connecting_event(s, event);
        else if (s->state == SESSION_CONNECTED)
                on_connected_event(s, event);
}

/* ---- the owner's side */

void session_init_process(void) {
        link_init_process();
}

static int session_link(Session *s, const SessionParams *params) {
        const LinkParams link = {
                .loop = params->loop,
                .url = params->url,
                .client_id = params->client_id,
                .endpoint = s->endpoint,
                .keepalive = s->params.keepalive,
                .connect_timeout = s->params.connect_timeout,
                .files = { .ca = params->ca_file, .cert = params->cert_file, .key = params->key_file },
                .message_max = s->params.message_max,
                .event = on_link_event,
                .userdata = s,
        };
        return link_new(&s->link, &link);
}

int session_new(Session **ret, const SessionParams *params) {
        _cleanup_(session_freep) Session *s = NULL;
        int r;

        assert(params->protocol == 0 || params->protocol == 4 || params->protocol == 5);
        assert(params->events.state && params->events.message && params->events.published && params->events.subscribed);
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->params = *params;
        s->params.url = s->params.client_id = s->params.ca_file = s->params.cert_file = s->params.key_file = NULL;
        s->params.keepalive = params->keepalive ?: 30 * USEC_PER_SEC;
        s->params.connect_timeout = params->connect_timeout ?: 20 * USEC_PER_SEC;
        s->params.ack_timeout = params->ack_timeout ?: 15 * USEC_PER_SEC;
        s->backoff.min = params->backoff_min ?: USEC_PER_SEC;
        s->backoff.max = params->backoff_max ?: 120 * USEC_PER_SEC;
        s->params.message_max = params->message_max ?: MIB + 64 * KIB;
        s->protocol = params->protocol ? params->protocol : 5;

        r = endpoint_parse(params->url, &s->endpoint);
        if (r < 0)
                return r;
        r = loop_timer_new(&s->timer, params->loop, "session", on_timer, s);
        if (r < 0)
                return r;
        r = loop_timer_new(&s->ack_timer, params->loop, "session-ack", on_ack_timer, s);
        if (r < 0)
                return r;
        r = session_link(s, params);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Session *session_free(Session *s) {
        if (!s)
                return NULL;
        loop_timer_free(s->timer);
        loop_timer_free(s->ack_timer);
        link_free(s->link);
        free(s);
        return NULL;
}

void session_start(Session *s) {
        if (s->state == SESSION_IDLE)
                connect_begin(s);
}

static void become_idle(Session *s) {
        s->state = SESSION_IDLE;
        loop_timer_disarm(s->timer);
        flight_lose(s);
        s->params.events.state(s->params.userdata, SESSION_IDLE, SESSION_OK, 0, "stopped", 0);
}

int session_stop(Session *s, usec_t wait) {
        int r = link_stop(s->link, wait);

        become_idle(s);
        return r;
}

int session_stop_later(Session *s, void (*stopped)(void *userdata), void *userdata) {
        int r = link_stop_later(s->link, stopped, userdata);

        if (r == 0)
                become_idle(s);
        return r;
}

void session_reconnect(Session *s, usec_t delay) {
        if (s->state == SESSION_IDLE)
                return;
        if (s->state == SESSION_CONNECTED)
                judge_length(s);
        wait_for(s, delay, SESSION_OK, 0, "the session is opened anew");
}

static int flight_room(const Session *s) {
        return s->state != SESSION_CONNECTED ? -ENOTCONN : s->flight.n == FLIGHT_MAX ? -EAGAIN : 0;
}

int session_publish(Session *s, const char *topic, const void *payload, size_t size, int qos, uint64_t context) {
        int r;

        assert(qos == 0 || qos == 1);
        r = flight_room(s);
        if (r == 0)
                r = link_publish(s->link, flight_next(&s->flight), topic, payload, size, qos);
        if (r < 0)
                return r;
        flight_add(s, FLIGHT_PUBLISH, context);
        return 0;
}

int session_subscribe(Session *s, const char *const *topics, size_t n, uint64_t context) {
        int r;

        assert(n > 0 && n <= LINK_TOPICS);
        r = flight_room(s);
        if (r == 0)
                r = link_subscribe(s->link, flight_next(&s->flight), topics, n);
        if (r < 0)
                return r;
        flight_add(s, FLIGHT_SUBSCRIBE, context);
        return 0;
}

SessionState session_state(const Session *s) {
        return s->state;
}

int session_protocol(const Session *s) {
        return s->protocol;
}

uint64_t session_generation(const Session *s) {
        return s->connections;
}

uint64_t session_downlinks(const Session *s) {
        return s->downlinks;
}

void session_ping(Session *s) {
        link_ping(s->link);
}

usec_t session_deaf_for(const Session *s) {
        return link_deaf_for(s->link);
}
