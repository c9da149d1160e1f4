/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GetConnectionCredentials tells the user and all groups of the process that opened the connection, as the kernel
 * gave them to the bus (SO_PEERCRED, SO_PEERGROUPS), so somebody who was put into the group has to log in again. A bus
 * that does not tell groups leaves root and our own user.
 */
#include "agent/bus-sender.h"

#define ANSWER_WITHIN (5 * USEC_PER_SEC)

static int holds_our_group(sd_bus_message *m) {
        uint32_t gid;
        bool found = false;
        int r = sd_bus_message_enter_container(m, 'v', "au");

        if (r > 0)
                r = sd_bus_message_enter_container(m, 'a', "u");
        while (r > 0 && (r = sd_bus_message_read_basic(m, 'u', &gid)) > 0)
                found = found || gid == getegid();
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : found;
}

static int is_our_user(sd_bus_message *m) {
        uint32_t uid;
        int r = sd_bus_message_read(m, "v", "u", &uid);

        return r < 0 ? r : uid == 0 || uid == geteuid();
}

/* One entry of a{sv}. 1: it allows; 0: it does not. */
static int entry_allows(sd_bus_message *m) {
        const char *name;
        int r = sd_bus_message_read_basic(m, 's', &name), allows = 0;

        if (r < 0)
                return r;
        if (streq(name, "UnixUserID"))
                allows = r = is_our_user(m);
        else if (streq(name, "UnixGroupIDs"))
                allows = r = holds_our_group(m);
        else
                r = sd_bus_message_skip(m, "v");
        return r < 0 ? r : allows;
}

bool bus_sender_may_control(sd_bus_message *m) {
        bool allowed = false;
        int r;

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
                return false;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = entry_allows(m);
                allowed = allowed || r > 0;
                if (r < 0 || sd_bus_message_exit_container(m) < 0)
                        return false;
        }
        return r == 0 && allowed;
}

int bus_sender_ask(sd_bus_message *m, sd_bus_slot **ret_slot, sd_bus_message_handler_t fn, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *question = NULL;
        sd_bus *bus = sd_bus_message_get_bus(m);
        int r = sd_bus_message_new_method_call(bus, &question, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                               "org.freedesktop.DBus", "GetConnectionCredentials");

        if (r >= 0)
                r = sd_bus_message_append(question, "s", sd_bus_message_get_sender(m));
        if (r >= 0)
                r = sd_bus_call_async(bus, ret_slot, question, fn, userdata, ANSWER_WITHIN);
        return r < 0 ? r : 0;
}
