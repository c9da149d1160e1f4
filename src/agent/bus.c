/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      call --may the sender? (bus-sender)--> run --the server is asked, told--> reply
 *        '-- too many: Busy      '-- AccessDenied    '-- not to be done: an error
 *
 * A call is on the list from its arrival to its reply. One that the client has as a question stays until the client
 * answers, which it does exactly once, though nobody may wait for it by then.
 *
 * Nothing that comes in is trusted: sizes are bounded before anything is made of them, JSON is validated both ways, and a
 * sender who asks for more than its share is busy, not queued. The size of a message itself is bounded by the bus (32 MiB).
 */
#include <stdio.h>

#include "agent/bus.h"
#include "agent/bus-link.h"
#include "agent/bus-sender.h"
#include "agent/published.h"
#include "model/json.h"
#include "model/value.h"
#include "tb/tree.h"

#define NAME "org.tbagent1"
#define ERROR NAME ".Error."
#define CALLS_OF_ALL 64u
#define CALLS_OF_ONE 16u
#define QUESTIONS (CALLS_MAX - 16u) /* the daemon itself and plugins ask, too */
#define TEXT_BYTES 255 /* a method's name, a secret */
#define KEYS_BYTES 4096
#define PUBLISH_KEYS 256 /* in one call: each is looked for among all that there are */
#define TIMEOUT_DEFAULT (10 * USEC_PER_SEC)
#define TIMEOUT_MAX (600 * USEC_PER_SEC)

typedef struct BusCall BusCall;
struct BusCall {
        Bus *bus;
        sd_bus_message *m; /* NULL: nobody waits any more */
        sd_bus_slot *slot; /* who sent it is being asked */
        void (*run)(BusCall *c);
        uint64_t token; /* of a claim */
        bool asked;     /* the client calls back */
        BusCall *next;
};

struct Bus {
        BusParams params;
        BusLink *link;
        BusCall *calls;
        uint64_t last_token;
};

/* ---- calls */

static void call_free(BusCall *c) {
        BusCall **p = &c->bus->calls;

        while (*p != c)
                p = &(*p)->next;
        *p = c->next;
        sd_bus_slot_unref(c->slot);
        sd_bus_message_unref(c->m);
        free(c);
}

/* It needs no reply any more. */
static void call_end(BusCall *c) {
        c->m = sd_bus_message_unref(c->m);
        if (!c->asked)
                call_free(c);
}

/* text NULL: nothing but that it is done. */
static void reply(BusCall *c, const char *text) {
        (void)!sd_bus_reply_method_return(c->m, text ? "s" : NULL, text); /* or its sender is gone */
        call_end(c);
}

typedef struct Failure {
        int error;
        const char *name, *text;
} Failure;

static const Failure *failure(int error) {
        static const Failure all[] = {
                { -ETIMEDOUT, ERROR "Timeout", "the server has not answered in time" },
                { -ENOTCONN, ERROR "NotConnected", "there is no connection to the server: tbagentctl status says why" },
                { -EAGAIN, ERROR "Busy",
                  "too much waits for an answer, or the server's limit of messages is reached: try again in a moment" },
                { -E2BIG, ERROR "TooLarge", "it is larger than the server takes" },
                { -EINVAL, ERROR "BadParams", "the arguments are not allowed" },
                { -EACCES, SD_BUS_ERROR_ACCESS_DENIED, "only root and members of the group tbagent may do this" },
                { -ENOMEM, SD_BUS_ERROR_NO_MEMORY, "out of memory" },
                { 0, SD_BUS_ERROR_FAILED, "it failed" },
        };
        size_t i = 0;

        while (all[i].error != 0 && all[i].error != error)
                i++;
        return &all[i];
}

/* text NULL: the usual one. */
static void fail(BusCall *c, int error, const char *text) {
        const Failure *f = failure(error);

        (void)!sd_bus_reply_method_errorf(c->m, f->name, "%s", text ? text : f->text);
        call_end(c);
}

static unsigned count_calls(const Bus *b, const char *sender) {
        unsigned n = 0;

        for (const BusCall *c = b->calls; c; c = c->next)
                n += !sender || (c->m && streq(sd_bus_message_get_sender(c->m), sender));
        return n;
}

static unsigned count_questions(const Bus *b) {
        unsigned n = 0;

        for (const BusCall *c = b->calls; c; c = c->next)
                n += c->asked;
        return n;
}

static int on_sender(sd_bus_message *answer, void *userdata, sd_bus_error *error _unused_) {
        BusCall *c = userdata;

        c->slot = sd_bus_slot_unref(c->slot);
        if (bus_sender_may_control(answer))
                c->run(c);
        else
                fail(c, -EACCES, NULL);
        return 0;
}

static int control(Bus *b, sd_bus_message *m, void (*run)(BusCall *c), sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(m);
        BusCall *c;
        int r;

        if (!sender)
                return -EBADMSG;
        if (count_calls(b, NULL) >= CALLS_OF_ALL || count_calls(b, sender) >= CALLS_OF_ONE)
                return sd_bus_error_set(error, ERROR "Busy", "too many calls wait for their reply");
        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (BusCall){ .bus = b, .m = sd_bus_message_ref(m), .run = run, .token = ++b->last_token, .next = b->calls };
        b->calls = c;
        r = bus_sender_ask(m, &c->slot, on_sender, c);
        if (r < 0)
                call_free(c);
        return r < 0 ? r : 1;
}

/* ---- questions to the server */

static void run_request(BusCall *c);

static const char *late_or_large(const BusCall *c, int error) {
        if (error == -E2BIG)
                return "the server's answer is too large";
        if (error == -ETIMEDOUT && c->run == run_request)
                return "the server has not answered in time: has the device's rule chain an \"rpc call reply\"? "
                       "The default one has not";
        return NULL;
}

static void on_answer(void *userdata, int error, const char *json, size_t size) {
        BusCall *c = userdata;
        _cleanup_(freep) char *text = NULL;

        c->asked = false;
        if (!c->m) {
                call_free(c);
                return;
        }
        if (error == 0 && json_validate(json, size) < 0) {
                fail(c, -EBADMSG, "the server's answer is not JSON");
                return;
        }
        text = error == 0 ? strndup(json, size) : NULL;
        if (text)
                reply(c, text);
        else
                fail(c, error == 0 ? -ENOMEM : error, late_or_large(c, error));
}

/* r: of asking the client. */
static void asked(BusCall *c, int r) {
        c->asked = r == 0;
        if (r < 0)
                fail(c, r, NULL);
}

/* Where a question goes. NULL: nowhere now, *ret_error says why. */
static Client *client_for(const BusCall *c, int *ret_error) {
        Client *client = device_client(c->bus->params.device);

        *ret_error = !client ? -ENOTCONN : count_questions(c->bus) >= QUESTIONS ? -EAGAIN : 0;
        return *ret_error == 0 ? client : NULL;
}

static usec_t timeout_of(uint64_t asked_for) {
        return asked_for == 0 ? TIMEOUT_DEFAULT : MIN(asked_for, TIMEOUT_MAX);
}

static void run_request(BusCall *c) {
        const char *method, *params;
        uint64_t timeout;
        Client *client;
        int r = sd_bus_message_read(c->m, "sst", &method, &params, &timeout);

        if (r < 0 || method[0] == '\0' || strlen(method) > TEXT_BYTES)
                fail(c, -EINVAL, "the method's name is empty, or longer than 255 bytes");
        else if (strlen(params) > TREE_TEXT_MAX)
                fail(c, -E2BIG, "the params are larger than 64 KiB");
        else if (params[0] && json_validate(params, strlen(params)) < 0)
                fail(c, -EINVAL, "the params are not JSON");
        else {
                client = client_for(c, &r);
                asked(c, client ? client_call(client, method, params[0] ? params : NULL, timeout_of(timeout), on_answer, c) : r);
        }
}

/* Joined by commas. -EINVAL: a part that would be none, or two; -E2BIG. */
static int read_keys(sd_bus_message *m, char out[static KEYS_BYTES + 1]) {
        size_t size = 0;
        const char *key;
        int r = sd_bus_message_enter_container(m, 'a', "s");

        while (r >= 0 && (r = sd_bus_message_read_basic(m, 's', &key)) > 0) {
                size_t n = strlen(key);

                if (n == 0 || strchr(key, ','))
                        return -EINVAL;
                if (size + n + 1 > KEYS_BYTES)
                        return -E2BIG;
                if (size > 0)
                        out[size++] = ',';
                memcpy(out + size, key, n);
                size += n;
        }
        out[size] = '\0';
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void run_attributes(BusCall *c) {
        char client_keys[KEYS_BYTES + 1], shared_keys[KEYS_BYTES + 1];
        uint64_t timeout = 0;
        Client *client;
        int r = read_keys(c->m, client_keys);

        if (r >= 0)
                r = read_keys(c->m, shared_keys);
        if (r >= 0)
                r = sd_bus_message_read_basic(c->m, 't', &timeout);
        if (r == -E2BIG) {
                fail(c, r, "the keys are longer than 4096 bytes");
                return;
        }
        if (r < 0) {
                fail(c, -EINVAL, "a key is empty, or has a comma");
                return;
        }
        client = client_for(c, &r);
        if (client)
                r = client_request_attributes(client, client_keys[0] ? client_keys : NULL, shared_keys[0] ? shared_keys : NULL,
                                              timeout_of(timeout), on_answer, c);
        asked(c, r);
}

/* ---- claiming */

static void run_claim(BusCall *c) {
        const char *secret;
        uint64_t duration;
        int r = sd_bus_message_read(c->m, "st", &secret, &duration);

        if (r < 0 || strlen(secret) > TEXT_BYTES)
                fail(c, -EINVAL, "the secret is longer than 255 bytes");
        else if (duration > 0 && duration < USEC_PER_MSEC)
                fail(c, -EINVAL, "the duration is less than a millisecond; 0 is the server's default");
        else {
                r = device_claim(c->bus->params.device, secret[0] ? secret : NULL, duration, c->token);
                if (r < 0)
                        fail(c, r, NULL);
        }
}

void bus_claimed(Bus *b, uint64_t token, int code) {
        BusCall *c = b->calls;
        char text[80];

        while (c && (!c->m || c->token != token))
                c = c->next;
        if (!c)
                return;
        snprintf(text, sizeof(text), "the server refuses the claim (MQTT code 0x%02X)", (unsigned)code);
        if (code == 0)
                reply(c, NULL);
        else if (code > 0)
                fail(c, -EPROTO, text);
        else
                fail(c, code, "the connection went before the server had acknowledged the claim");
}

/* ---- attributes of our own */

/* Of a value as it would be kept. */
static size_t value_size(json_object *value) {
        size_t size = 0;

        json_object_to_json_string_length(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
        return size;
}

/* 0; -EINVAL, -E2BIG: *ret_key cannot be an attribute, and *ret_why says why not. */
static int check_members(json_object *o, const char **ret_key, const char **ret_why) {
        json_object_object_foreach(o, key, value) {
                *ret_key = key;
                *ret_why = value ? "is larger than 16 KiB" : "is null: an attribute always has a value";
                if (!value || (key_check(key, strlen(key), ret_why) < 0 && !streq(key, "ts") && !streq(key, "values")))
                        return -EINVAL;
                if (value_size(value) > PUBLISHED_VALUE_MAX)
                        return -E2BIG;
        }
        return 0;
}

static void refuse_member(BusCall *c, int error, const char *key, const char *why) {
        size_t n = strnlen(key, 100);
        char text[256];

        while (n > 0 && (key[n] & 0xc0) == 0x80) /* no half character: that could not be sent */
                n--;
        snprintf(text, sizeof(text), "\"%.*s\" %s", (int)n, key, why);
        fail(c, error, text);
}

static void publish(BusCall *c, const char *json, json_object *o) {
        const char *why, *key;
        int r = check_members(o, &key, &why);

        if (r < 0) {
                refuse_member(c, r, key, why);
                return;
        }
        r = device_publish(c->bus->params.device, json);
        if (r == 0)
                reply(c, NULL);
        else
                fail(c, r, r == -E2BIG ? "there are more than 4096 attributes: some are left out" : NULL);
}

static void run_publish(BusCall *c) {
        _cleanup_(tree_putp) json_object *o = NULL;
        const char *json;
        int r = sd_bus_message_read(c->m, "s", &json);

        if (r >= 0 && strlen(json) > TREE_TEXT_MAX) {
                fail(c, -E2BIG, "the JSON is larger than 64 KiB");
                return;
        }
        if (r >= 0)
                r = tree_parse(json, strlen(json), &o);
        if (r == -ENOMEM)
                fail(c, r, NULL);
        else if (r < 0 || !json_object_is_type(o, json_type_object))
                fail(c, -EINVAL, "it is not a JSON object");
        else if (json_object_object_length(o) > PUBLISH_KEYS)
                fail(c, -E2BIG, "more than 256 attributes at once");
        else
                publish(c, json, o);
}

/* ---- what is offered */

static int on_get_status(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const Bus *b = userdata;
        _cleanup_(freep) char *json = b->params.status(b->params.userdata);

        return json ? sd_bus_reply_method_return(m, "s", json) : -ENOMEM;
}

static int on_request(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return control(userdata, m, run_request, error);
}

static int on_request_attributes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return control(userdata, m, run_attributes, error);
}

static int on_claim(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return control(userdata, m, run_claim, error);
}

static int on_publish(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return control(userdata, m, run_publish, error);
}

/* Without UNPRIVILEGED sd-bus asks for the sender's capabilities before it calls us, and waits for them. */
static const sd_bus_vtable methods[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetStatus", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), on_get_status, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Request", SD_BUS_ARGS("s", method, "s", params_json, "t", timeout_usec),
                                SD_BUS_RESULT("s", answer_json), on_request, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RequestAttributes", SD_BUS_ARGS("as", client_keys, "as", shared_keys, "t", timeout_usec),
                                SD_BUS_RESULT("s", answer_json), on_request_attributes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Claim", SD_BUS_ARGS("s", secret, "t", duration_usec), SD_BUS_NO_RESULT, on_claim,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("PublishAttributes", SD_BUS_ARGS("s", json), SD_BUS_NO_RESULT, on_publish,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* ---- life */

static void on_lost(void *userdata) {
        const Bus *b = userdata;

        for (BusCall *c = b->calls, *next; c; c = next) {
                next = c->next;
                c->slot = sd_bus_slot_unref(c->slot);
                call_end(c);
        }
}

int bus_new(Bus **ret, const BusParams *params) {
        _cleanup_(bus_freep) Bus *b = calloc(1, sizeof(*b));
        BusLinkParams link = { params->loop, NAME, "/org/tbagent1", NAME ".Manager", methods, on_lost, b };
        int r;

        if (!b)
                return -ENOMEM;
        b->params = *params;
        r = bus_link_new(&b->link, &link);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        while (b->calls)
                call_free(b->calls);
        bus_link_free(b->link);
        free(b);
        return NULL;
}

void bus_start(Bus *b) {
        bus_link_start(b->link);
}

void bus_stop(Bus *b) {
        for (BusCall *c = b->calls, *next; c; c = next) {
                next = c->next;
                if (c->m)
                        fail(c, -ENOTCONN, "tbagent is being stopped");
        }
        on_lost(b); /* of those that the client still has */
        bus_link_stop(b->link);
}
