/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      connect as "provision" --> SUBSCRIBE --> request --> answer --> end of the session --> done()
 *
 * Nothing is asked twice here: whether the request was carried out cannot be told when the answer does not come, and
 * what to do then is the caller's part. Once the request is out any end without an answer is PROVISION_UNKNOWN. Before
 * that the session may try again where a server closes or refuses it for its version: so it finds the one that is spoken.
 */
#include <stdarg.h>
#include <stdio.h>

#include "model/value.h"
#include "tb/provision.h"
#include "tb/tree.h"

#define USER "provision"
#define REQUEST "/provision/request"
#define RESPONSE "/provision/response"
#define TIMEOUT (60 * USEC_PER_SEC)
#define TRIES 3 /* after two closes the session takes the other protocol */

struct Provision {
        Loop *loop;
        ProvisionParams params;
        char *body;
        Session *session;
        LoopTimer *timer;
        unsigned tries;
        bool asked, ended;
        ProvisionResult result; /* told when the session has ended */
        json_object *tree;      /* of the answer */
        ProvisionCredentials given;
        char text[512];
};

static const char *const type_names[_PROVISION_TYPE_MAX] = {
        [PROVISION_TOKEN] = "ACCESS_TOKEN",
        [PROVISION_BASIC] = "MQTT_BASIC",
        [PROVISION_X509] = "X509_CERTIFICATE",
};

const char *provision_type_name(ProvisionType type) {
        return type_names[type];
}

int provision_type_parse(const char *text, ProvisionType *ret) {
        for (ProvisionType t = 0; t < _PROVISION_TYPE_MAX; t++)
                if (streq(text, type_names[t])) {
                        *ret = t;
                        return 0;
                }
        return -EINVAL;
}

/* ---- the request */

static void write_member(FILE *f, const char *name, const char *value) {
        size_t size = value ? strlen(value) : 0;
        char *quoted = value ? malloc(6 * size + 2) : NULL;

        if (!quoted)
                return;
        fprintf(f, "%s\"%s\":", ftell(f) > 1 ? "," : "", name);
        fwrite(quoted, 1, json_quote(quoted, value, size), f);
        explicit_bzero(quoted, 6 * size + 2);
        free(quoted);
}

static char *request_body(const ProvisionParams *p) {
        const ProvisionCredentials *c = &p->credentials;
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        fputc('{', f);
        write_member(f, "deviceName", p->name);
        write_member(f, "provisionDeviceKey", p->key);
        write_member(f, "provisionDeviceSecret", p->secret);
        write_member(f, "credentialsType", provision_type_name(c->type));
        write_member(f, "token", c->type == PROVISION_TOKEN ? c->token : NULL);
        if (c->type == PROVISION_BASIC) {
                write_member(f, "clientId", c->client_id);
                write_member(f, "username", c->username);
                write_member(f, "password", c->password);
        }
        write_member(f, "hash", c->type == PROVISION_X509 ? c->certificate : NULL);
        fputc('}', f);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}

/* ---- the answer */

static const char *text_of(json_object *o, const char *name) {
        json_object *v = tree_member(o, name);
        const char *text = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";

        return text[0] && strlen(text) == (size_t)json_object_get_string_len(v) ? text : NULL;
}

/* -EBADMSG: not what the type has. */
static int read_given(json_object *o, ProvisionCredentials *ret) {
        json_object *value = tree_member(o, "credentialsValue");
        const char *type = text_of(o, "credentialsType"), *plain = text_of(o, "credentialsValue");

        *ret = (ProvisionCredentials){ 0 };
        if (!type || provision_type_parse(type, &ret->type) < 0)
                return -EBADMSG;
        switch (ret->type) {
        case PROVISION_TOKEN:
                ret->token = plain;
                return plain ? 0 : -EBADMSG;
        case PROVISION_X509:
                ret->certificate = plain;
                return 0;
        case PROVISION_BASIC:
                ret->client_id = text_of(value, "clientId");
                ret->username = text_of(value, "userName");
                ret->password = text_of(value, "password");
                return ret->client_id || ret->username ? 0 : -EBADMSG;
        case _PROVISION_TYPE_MAX:
                break;
        }
        return -EBADMSG;
}

static int read_result(json_object *o, ProvisionResult *ret, ProvisionCredentials *ret_given) {
        const char *status = text_of(o, "status");

        if (!status)
                return -EBADMSG;
        if (streq(status, "NOT_FOUND"))
                *ret = PROVISION_NOT_FOUND;
        else if (streq(status, "FAILURE"))
                *ret = PROVISION_REFUSED;
        else if (streq(status, "SUCCESS") && read_given(o, ret_given) == 0)
                *ret = PROVISION_GRANTED;
        else
                return -EBADMSG;
        return 0;
}

int provision_read(const char *json, size_t size, json_object **ret_tree, ProvisionResult *ret_result, ProvisionCredentials *ret,
                   const char **ret_message) {
        _cleanup_(tree_putp) json_object *o = NULL;
        ProvisionCredentials given = { 0 };
        int r;

        if (!json || tree_parse(json, size, &o) < 0)
                return -EBADMSG;
        r = read_result(o, ret_result, &given);
        if (r < 0)
                return r;
        *ret = given;
        *ret_message = text_of(o, "errorMsg");
        *ret_tree = TAKE_PTR(o);
        return 0;
}

/* ---- the end */

static void on_stopped(void *userdata) {
        Provision *p = userdata;

        p->params.done(p->params.userdata, p->result, p->result == PROVISION_GRANTED ? &p->given : NULL, p->text);
}

static void end(Provision *p, ProvisionResult result, const char *format, ...) _printf_(3, 4);
static void end(Provision *p, ProvisionResult result, const char *format, ...) {
        va_list ap;

        if (p->ended)
                return;
        p->ended = true;
        p->result = result;
        va_start(ap, format);
        vsnprintf(p->text, sizeof(p->text), format, ap);
        va_end(ap);
        loop_timer_disarm(p->timer);
        if (session_stop_later(p->session, on_stopped, p) < 0) /* no memory: asked again by the timer */
                p->ended = false, loop_timer_arm_in(p->timer, USEC_PER_SEC, 0);
}

static void end_without_answer(Provision *p, const char *text) {
        if (p->asked)
                end(p, PROVISION_UNKNOWN, "the server did not answer the request for a device of its own: %s", text);
        else
                end(p, PROVISION_NO_SERVER, "%s", text);
}

static void on_timer(void *userdata) {
        end_without_answer(userdata, "it takes too long");
}

/* ---- the session's events */

static bool is_about_protocol(SessionReason reason, int code) {
        return reason == SESSION_CLOSED || reason_is_version(code);
}

static void on_state(void *userdata, SessionState state, SessionReason reason, int code, const char *text,
                     usec_t retry _unused_) {
        static const char *const topics[] = { RESPONSE };
        Provision *p = userdata;

        if (p->ended)
                return;
        if (state == SESSION_WAITING && !p->asked && is_about_protocol(reason, code) && ++p->tries < TRIES)
                return;
        if (state == SESSION_WAITING)
                end_without_answer(p, text);
        else if (state == SESSION_CONNECTED && session_subscribe(p->session, topics, 1, 1) < 0)
                end(p, PROVISION_NO_SERVER, "the server could not be asked: out of memory");
}

static void on_subscribed(void *userdata, uint64_t context _unused_, const uint8_t *codes, size_t n) {
        Provision *p = userdata;

        if (p->ended || n == 0)
                return; /* lost: the state says so */
        if (codes[0] >= 0x80)
                end(p, PROVISION_NO_SERVER, "the server refuses the subscription to %s (MQTT code 0x%02x): is this a ThingsBoard "
                    "server?", RESPONSE, codes[0]);
        else if (session_publish(p->session, REQUEST, p->body, strlen(p->body), 1, 1) == 0)
                p->asked = true;
        else
                end(p, PROVISION_NO_SERVER, "the server could not be asked: out of memory");
}

static void on_published(void *userdata, uint64_t context _unused_, int code) {
        Provision *p = userdata;

        if (code > 0)
                end(p, PROVISION_NOT_FOUND, "the server does not take the request for a device of its own (MQTT code 0x%02x)",
                    (unsigned)code);
}

static void on_message(void *userdata, const char *topic, const void *payload, size_t size) {
        Provision *p = userdata;
        const char *message = NULL;
        ProvisionResult result;

        if (p->ended || !p->asked || !streq(topic, RESPONSE))
                return;
        if (provision_read(payload, size, &p->tree, &result, &p->given, &message) < 0)
                end(p, PROVISION_UNKNOWN, "the server's answer to the request for a device of its own is not understood");
        else
                end(p, result, "%s", message ? message : "");
}

static int on_credentials(void *userdata _unused_, SessionCredentials *ret, char **ret_text _unused_) {
        ret->username = strdup(USER);
        return ret->username ? 0 : -ENOMEM;
}

/* ---- */

int provision_new(Provision **ret, const ProvisionParams *params) {
        _cleanup_(provision_freep) Provision *p = calloc(1, sizeof(*p));
        SessionParams session = params->session;
        int r;

        if (!p)
                return -ENOMEM;
        p->loop = session.loop;
        p->params = *params;
        p->body = request_body(params);
        if (!p->body)
                return -ENOMEM;
        r = loop_timer_new(&p->timer, p->loop, "provision", on_timer, p);
        if (r < 0)
                return r;
        session.events = (SessionEvents){ on_state, on_message, on_published, on_subscribed, on_credentials };
        session.userdata = p;
        r = session_new(&p->session, &session);
        if (r < 0)
                return r;
        loop_timer_arm_in(p->timer, params->timeout ?: TIMEOUT, USEC_PER_SEC);
        session_start(p->session);
        *ret = TAKE_PTR(p);
        return 0;
}

int provision_stop(Provision *p, usec_t wait) {
        return session_stop(p->session, wait);
}

Provision *provision_free(Provision *p) {
        if (!p)
                return NULL;
        session_free(p->session);
        loop_timer_free(p->timer);
        json_object_put(p->tree);
        if (p->body)
                explicit_bzero(p->body, strlen(p->body));
        free(p->body);
        free(p);
        return NULL;
}
