/* SPDX-License-Identifier: Apache-2.0 */
/* Who sent a message: may it control the daemon? Asked of the bus itself, without waiting, which
 * sd_bus_query_sender_creds() would do. The bus's policy says the same; this holds where that was opened. */
#pragma once

#include <systemd/sd-bus.h>

#include "base/macro.h"

/* fn is called once, with the bus's answer; dropping *ret_slot, also from within fn, calls it off. */
_must_check_ int bus_sender_ask(sd_bus_message *m, sd_bus_slot **ret_slot, sd_bus_message_handler_t fn, void *userdata);
/* That answer: root, our own user, and who is in our own group, may. */
bool bus_sender_may_control(sd_bus_message *answer);
