/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      nothing kept --> make and keep --> ASK --granted--------------------------> USE
 *                                          |                                       ^ |
 *      kept, not known to be granted --> TRY --login works-------------------------' | refused: the session's matter,
 *                        ^                 '--login refused--> ASK                   v  a granted device was taken away
 *                        |                                     |
 *                        |  no answer: it may be granted       |
 *                        '-------------------------------------+
 *                        '--after a pause-- refused: perhaps by an earlier request of ours
 *      key or secret wrong, no server: ASK again after a pause
 *
 * The pauses are those of refused credentials: 30 s, 90 s, 5 min.
 */
#include <stdio.h>

#include "agent/enroll.h"
#include "base/log.h"

typedef enum State { STATE_OFF, STATE_USE, STATE_TRY, STATE_ASK, STATE_PAUSE } State;

struct Enroll {
        EnrollParams params;
        const Config *config;
        State state, next; /* next: after the pause */
        Own own;           /* of USE, TRY, ASK, PAUSE */
        Provision *exchange;
        bool again; /* the exchange is of a former configuration: then it begins anew */
        LoopTimer *pause;
        unsigned pauses;
        char text[600];
        char logged[600]; /* what was logged last: it is not logged twice */
};

static const Node *provision_of(const Config *c) {
        return node_member(config_top(c), "provision", 0);
}

static bool is_wanted(const Config *c) {
        return config_url(c) && node_is_set(provision_of(c), "key");
}

static void say(Enroll *e, int level, const char *text) {
        snprintf(e->text, sizeof(e->text), "%s", text);
        if (streq(e->logged, e->text))
                return;
        memcpy(e->logged, e->text, sizeof(e->logged));
        log_fields(level, NULL, 0, "%s", text);
}

static void go(Enroll *e, State state) {
        e->state = state;
        e->params.changed(e->params.userdata);
}

static void keep(const Enroll *e) {
        size_t size;
        char *text = own_text(&e->own, &size);

        if (!text)
                return;
        if (e->params.store && store_write_file(e->params.store, OWN_FILE, text, size, 0600) < 0)
                log_warning("that the credentials were granted could not be noted: they are tried at the next start");
        explicit_bzero(text, size);
        free(text);
}

/* ---- the exchange */

static void pause_then(Enroll *e, State next) {
        static const usec_t steps[] = { 30 * USEC_PER_SEC, 90 * USEC_PER_SEC, 300 * USEC_PER_SEC };

        e->next = next;
        loop_timer_arm_in(e->pause, steps[MIN(e->pauses++, (unsigned)ELEMENTS(steps) - 1)], USEC_PER_SEC);
        go(e, STATE_PAUSE);
}

static void on_granted(Enroll *e, const ProvisionCredentials *given) {
        char text[300];

        if (own_take(&e->own, given) < 0) {
                say(e, LOG_ERR, "the server gave credentials of another kind than were asked for, which this device cannot use: "
                                "set up its profile for the kind that provision.credentials names, or delete the device there");
                pause_then(e, STATE_ASK);
                return;
        }
        snprintf(text, sizeof(text), "the server has given this machine a device of its own: \"%.100s\"", e->own.name);
        say(e, LOG_NOTICE, text);
        e->pauses = 0;
        keep(e);
        go(e, STATE_USE);
}

static void on_exists(Enroll *e, const char *message) {
        char text[600];

        snprintf(text, sizeof(text),
                 "the server does not give this machine the device \"%.100s\" (%.80s): there is one of that name with other "
                 "credentials, or the profile takes only devices that were created before. Delete that device in ThingsBoard, or "
                 "use \"check pre-provisioned devices\" in the profile, or put the device's access token into "
                 "/etc/tbagent.token and remove `provision`", e->own.name, message);
        say(e, LOG_ERR, text);
        pause_then(e, STATE_TRY);
}

static void begin_anew(Enroll *e);

static void on_done(void *userdata, ProvisionResult result, const ProvisionCredentials *given, const char *text) {
        Enroll *e = userdata;
        Provision *exchange = TAKE_PTR(e->exchange);

        if (e->again) {
                begin_anew(e);
                provision_free(exchange);
                return;
        }
        switch (result) {
        case PROVISION_GRANTED:
                on_granted(e, given);
                break;
        case PROVISION_NOT_FOUND:
                say(e, LOG_ERR, "the server knows no device profile with this provision.key and provision.secret that takes new "
                                "devices: see ThingsBoard, Device profiles, the profile, Device provisioning");
                pause_then(e, STATE_ASK);
                break;
        case PROVISION_REFUSED:
                on_exists(e, text);
                break;
        case PROVISION_UNKNOWN: /* it may have been granted: whoever can log in has it */
                say(e, LOG_WARNING, text);
                go(e, STATE_TRY);
                break;
        case PROVISION_NO_SERVER:
                say(e, LOG_WARNING, text);
                pause_then(e, STATE_ASK);
                break;
        }
        provision_free(exchange);
}

static int begin_exchange(Enroll *e) {
        const Node *server = config_server(e->config), *n = provision_of(e->config);
        const char *protocol = node_string(server, "protocol", 0);
        const Own *o = &e->own;
        ProvisionParams p = {
                .session = { .loop = e->params.loop, .url = config_url(e->config), .client_id = "tbagent",
                             .protocol = streq(protocol, "5") ? 5 : streq(protocol, "3.1.1") ? 4 : 0,
                             .keepalive = (usec_t)node_int(server, "keepalive"), .ca_file = node_string(server, "ca", 0) },
                .key = node_string(n, "key", 0), .secret = node_string(n, "secret", 0), .name = o->name,
                .credentials = { o->type, o->token, o->client_id, o->username, o->password, o->certificate },
                .done = on_done, .userdata = e,
        };

        return provision_new(&e->exchange, &p);
}

static void ask(Enroll *e) {
        int r = begin_exchange(e);

        go(e, STATE_ASK);
        if (r == 0) {
                say(e, LOG_INFO, "asking the server for a device of our own");
                return;
        }
        say(e, LOG_ERR, "the server cannot be asked for a device: out of memory");
        pause_then(e, STATE_ASK);
}

static void on_pause(void *userdata) {
        Enroll *e = userdata;

        if (e->next == STATE_ASK)
                ask(e);
        else
                go(e, e->next);
}

/* ---- beginning */

static int make(Enroll *e) {
        static const char *const kinds[] = { "token", "basic", "x509" };
        const Node *n = provision_of(e->config);
        const char *kind = node_string(n, "credentials", 0), *wanted = node_string(n, "name", 0);
        _cleanup_(freep) char *name = board_text(e->params.board, wanted ? wanted : "%s");
        ProvisionType type = PROVISION_TOKEN;

        if (!name)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (streq(kinds[i], kind))
                        type = (ProvisionType)i;
        return own_make(&e->own, e->params.state_dir, type, name, e->params.board, config_url(e->config));
}

static void begin(Enroll *e) {
        _cleanup_(freep) char *why = NULL;
        int r = own_load(&e->own, e->params.state_dir, config_url(e->config), &why);
        char text[500];

        if (r == 0) {
                go(e, e->own.granted ? STATE_USE : STATE_TRY);
                return;
        }
        if (r == -ENOENT)
                r = make(e);
        if (r == 0) {
                ask(e);
                return;
        }
        snprintf(text, sizeof(text), "credentials for this machine cannot be kept in %s: %s", e->params.state_dir,
                 why ? why : strerror(-r));
        say(e, LOG_ERR, text);
        e->next = STATE_OFF;
        go(e, STATE_PAUSE);
}

static void begin_anew(Enroll *e) {
        own_done(&e->own);
        loop_timer_disarm(e->pause);
        e->pauses = 0;
        e->again = false;
        e->logged[0] = e->text[0] = '\0';
        e->state = STATE_OFF;
        if (is_wanted(e->config))
                begin(e);
        else
                go(e, STATE_OFF);
}

void enroll_set_config(Enroll *e, const Config *config) {
        bool same = e->config && config_same_provision(e->config, config);

        e->config = config;
        if (same)
                return;
        if (e->exchange) /* it holds nothing of the old configuration, and ends by itself */
                e->again = true;
        else
                begin_anew(e);
}

/* ---- the login */

bool enroll_may_connect(const Enroll *e) {
        return e->state == STATE_OFF || e->state == STATE_USE || e->state == STATE_TRY;
}

const char *enroll_text(const Enroll *e) {
        return e->text;
}

const Own *enroll_own(const Enroll *e) {
        return e->state == STATE_USE || e->state == STATE_TRY ? &e->own : NULL;
}

void enroll_accepted(Enroll *e) {
        if (e->state != STATE_TRY)
                return;
        e->own.granted = true;
        e->pauses = 0;
        e->state = STATE_USE;
        keep(e);
}

bool enroll_refused(Enroll *e) {
        if (e->state != STATE_TRY)
                return false;
        ask(e);
        return true;
}

int enroll_new(Enroll **ret, const EnrollParams *params) {
        _cleanup_(enroll_freep) Enroll *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        e->params = *params;
        r = loop_timer_new(&e->pause, params->loop, "enroll", on_pause, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

int enroll_stop(Enroll *e, usec_t wait) {
        return e->exchange ? provision_stop(e->exchange, wait) : 0;
}

Enroll *enroll_free(Enroll *e) {
        if (!e)
                return NULL;
        provision_free(e->exchange);
        loop_timer_free(e->pause);
        own_done(&e->own);
        free(e);
        return NULL;
}
