/* SPDX-License-Identifier: Apache-2.0 */
#include "mqtt/reason.h"

#define TOKEN_HINT                                                                                                               \
        "copy the token from ThingsBoard (Entities > Devices > the device > Copy access token) to where "                        \
        "this agent takes it from"

static const ReasonWords connack_words[] = {
        { 0x01, SESSION_UNAVAILABLE, "the server does not speak this version of MQTT" },
        { 0x02, SESSION_REFUSED, "the server refuses the client id: set a token, or the client id the device has there" },
        { 0x03, SESSION_UNAVAILABLE,
          "the server cannot take the session now: it is busy, limits it, or its own back end is down" },
        { 0x04, SESSION_REFUSED, "the server refuses the access token or user name and password: " TOKEN_HINT },
        { 0x05, SESSION_REFUSED, "the server refuses the access token or user name and password: " TOKEN_HINT },
        { 0x84, SESSION_UNAVAILABLE, "the server does not speak this version of MQTT" },
        { 0x85, SESSION_REFUSED, "the server refuses the client id: set a token, or the client id the device has there" },
        { 0x86, SESSION_REFUSED, "the server refuses the access token or user name and password: " TOKEN_HINT },
        { 0x87, SESSION_REFUSED, "the server does not know this device: set its token, or check the client certificate" },
        { 0x88, SESSION_UNAVAILABLE, "the server is not ready: its own back end is down or does not answer" },
        { 0x89, SESSION_UNAVAILABLE, "the server is busy" },
        { 0x8A, SESSION_REFUSED, "the server has banned this client: ask its administrator" },
        { 0x8C, SESSION_REFUSED,
          "the server wants another way of authentication: use a token, user and password, or a certificate" },
        { 0x97, SESSION_UNAVAILABLE, "the server says that a quota is used up: look at the API usage of the tenant" },
        { 0x9C, SESSION_UNAVAILABLE, "the server asks to use another server for now: check server.url" },
        { 0x9D, SESSION_UNAVAILABLE, "the server has moved: set server.url to its new address" },
        { 0x9F, SESSION_UNAVAILABLE, "the server limits how often sessions are opened, or its API quota is used up" },
        { -1, SESSION_UNAVAILABLE, "the server refuses the session: look at its log" },
};

static const ReasonWords disconnect_words[] = {
        { 0x00, SESSION_DISCONNECTED, "the server ended the session" },
        { 0x81, SESSION_DISCONNECTED, "the server calls a packet malformed: it may be larger than the server allows" },
        { 0x82, SESSION_DISCONNECTED, "the server says that the MQTT protocol was broken" },
        { 0x83, SESSION_RATE_LIMITED,
          "the server ended the session: a rate limit or the API quota is reached, or it failed inside" },
        { 0x87, SESSION_CREDENTIALS_CHANGED, "the server no longer accepts this device: check its credentials there" },
        { 0x89, SESSION_DISCONNECTED, "the server is busy" },
        { 0x8B, SESSION_DISCONNECTED, "the server shuts down or failed on what it was sent" },
        { 0x8D, SESSION_DISCONNECTED,
          "the server heard nothing for too long: the network was down or server.keepalive is too long" },
        { 0x8E, SESSION_TAKEN_OVER,
          "another program opened a session with the same credentials: give each device a token of its own" },
        { 0x95, SESSION_DISCONNECTED, "the server says that a packet was too large: lower telemetry.batch_size" },
        { 0x96, SESSION_RATE_LIMITED, "the server says that messages come too fast" },
        { 0x97, SESSION_RATE_LIMITED, "the server says that a quota is used up: look at the API usage of the tenant" },
        { 0x98, SESSION_CREDENTIALS_CHANGED,
          "the server ended the session: the device was deleted or its credentials changed there" },
        { 0x99, SESSION_DISCONNECTED, "the server could not read a payload" },
        { 0x9C, SESSION_DISCONNECTED, "the server asks to use another server for now: check server.url" },
        { 0x9D, SESSION_DISCONNECTED, "the server has moved: set server.url to its new address" },
        { 0xA0, SESSION_DISCONNECTED, "the server ends sessions that are idle or too old" },
        { -1, SESSION_DISCONNECTED, "the server ended the session: look at its log" },
};

static const ReasonWords *words_find(const ReasonWords *words, int code) {
        while (words->code >= 0 && words->code != code)
                words++;
        return words;
}

const ReasonWords *reason_connack(int code) {
        return words_find(connack_words, code);
}

const ReasonWords *reason_disconnect(int code) {
        return words_find(disconnect_words, code);
}

bool reason_is_version(int code) {
        return code == 0x01 || code == 0x84;
}
