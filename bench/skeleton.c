/* SPDX-License-Identifier: Apache-2.0 */
/* The least that a process with our libraries can be: loads and starts them as the daemon and its hosts do (no OpenSSL for a plain
 * connection), then waits. bench/memory measures those beside it. skeleton-daemon URL | skeleton-host */
#include <stdio.h>
#include <unistd.h>

#include <MQTTAsync.h>
#include <json-c/json.h>
#include <libconfig.h>
#include <systemd/sd-event.h>

#include "base/macro.h"

int main(int argc, char **argv) {
        sd_event *event = NULL;

        if (sd_event_default(&event) < 0)
                return 1;
#ifdef SKELETON_DAEMON
        MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
        MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
        MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
        MQTTAsync client;
        config_t config;

        MQTTAsync_global_init(&init);
        config_init(&config);
        json_object_put(json_tokener_parse("{}"));
        if (argc < 2 || MQTTAsync_createWithOptions(&client, argv[1], "skeleton", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) != 0)
                return 1;
        MQTTAsync_connect(client, &connect);
#else
        (void)argc;
        (void)argv;
#endif
        puts("ready");
        fflush(stdout);
        return sd_event_loop(event);
}
