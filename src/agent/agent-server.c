/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to the server, and the credentials that the device got for itself.
 *
 * A reload never waits: a server whose part changed is asked to stop, and the new one is made when the old
 * one's thread has ended, which a name lookup may hold up for a minute; rows wait in the spool meanwhile.
 */
#include "agent/agent-inside.h"
#include "base/log.h"

/* ---- from the server */

static void on_subscribing(void *userdata) {
        const Agent *a = userdata;

        enroll_accepted(a->enroll);
        device_subscribing(a->device);
}

static void on_online(void *userdata) {
        const Agent *a = userdata;

        device_online(a->device);
}

static void on_offline(void *userdata) {
        const Agent *a = userdata;

        device_offline(a->device);
        if (a->instances)
                instances_connection(a->instances, false);
}

static void on_attributes(void *userdata, const char *json, size_t size) {
        const Agent *a = userdata;

        device_attributes(a->device, json, size);
}

static void on_request(void *userdata, uint32_t id, const char *json, size_t size) {
        const Agent *a = userdata;

        device_request(a->device, id, json, size);
}

static void on_delivered(void *userdata, uint64_t context, int code) {
        const Agent *a = userdata;

        device_delivered(a->device, context, code);
}

/* ---- credentials of our own */

static int copy(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

static int own_credentials(void *userdata, SessionCredentials *ret, char **ret_text _unused_) {
        const Agent *a = userdata;
        const Own *own = enroll_own(a->enroll);
        int r;

        if (!own)
                return 0;
        r = copy(own->type == PROVISION_TOKEN ? own->token : own->type == PROVISION_BASIC ? own->username : NULL, &ret->username);
        if (r == 0)
                r = copy(own->type == PROVISION_BASIC ? own->password : NULL, &ret->password);
        return r < 0 ? r : 1;
}

/* Out of whatever has brought the news. */
static void on_enroll_deferred(void *userdata) {
        Agent *a = userdata;

        if (a->phase != PHASE_RUN)
                return;
        if (!enroll_may_connect(a->enroll))
                agent_leave_server(a);
        else if (!a->server)
                (void)agent_add_server(a); /* failure is in the log */
        agent_status_changed(a);
}

void agent_on_enroll_changed(void *userdata) {
        const Agent *a = userdata;

        (void)!loop_defer(a->params.loop, on_enroll_deferred, userdata);
}

static void on_refused(void *userdata) {
        const Agent *a = userdata;

        (void)enroll_refused(a->enroll);
}

/* ---- server */

static bool may_estimate(void *userdata) {
        const Agent *a = userdata;

        return clock_may_estimate(a->clock);
}

int agent_add_server(Agent *a) {
        ServerParams p = { .loop = a->params.loop, .spool = a->spool, .config = a->config, .board = &a->board,
                           .limits_file = a->limits_path, .changed = agent_status_changed, .acknowledged = agent_stop_look,
                           .may_estimate = may_estimate, .subscribing = on_subscribing, .attributes = on_attributes,
                           .request = on_request, .delivered = on_delivered, .online = on_online, .offline = on_offline,
                           .refused = on_refused, .credentials = own_credentials, .userdata = a };
        const Own *own = enroll_own(a->enroll);
        int r;

        spool_set_discard(a->spool, !config_url(a->config));
        if (!config_url(a->config) || !enroll_may_connect(a->enroll))
                return 0;
        if (own && own->type == PROVISION_BASIC)
                p.client_id = own->client_id;
        if (own && own->type == PROVISION_X509) {
                p.cert_file = own->cert_file;
                p.key_file = own->key_file;
        }
        r = server_new(&a->server, &p);
        if (r == 0) {
                device_set_server(a->device, a->server);
                server_start(a->server);
        } else
                log_error("the connection to the server cannot be set up: %s", strerror(-r));
        return r;
}

static void on_server_stopped(void *userdata) {
        Agent *a = userdata;

        on_offline(a);
        device_set_server(a->device, NULL);
        a->server = server_free(a->server);
        a->server_leaving = false;
        if (a->phase == PHASE_RUN)
                (void)agent_add_server(a); /* failure is in the log */
        else
                agent_stop_look(a);
}

void agent_leave_server(Agent *a) {
        if (!a->server || a->server_leaving)
                return;
        a->server_leaving = true;
        if (server_stop_later(a->server, on_server_stopped, a) == 0)
                return;
        (void)server_stop(a->server, USEC_PER_SEC); /* out of memory */
        on_server_stopped(a);
}
