// SPDX-License-Identifier: GPL-2.0-only
/* The wire of a bus: the kernel's w1 core resets it and asks for time slots, which all chips on it hear. */
#include <linux/kernel.h>

#include "w1-sim.h"

static u8 bus_reset(void *data) {
        struct w1_sim_bus *bus = data;
        struct w1_sim_sensor *s;
        bool present = false;

        mutex_lock(&bus->lock);
        bus->count.resets++;
        list_for_each_entry(s, &bus->sensors, entry) {
                if (!s->present)
                        continue;
                sensor_reset(s);
                present = true;
        }
        /* A wire that is held low looks like a chip that is present. */
        if (bus->wire != WIRE_GOOD)
                present = bus->wire == WIRE_LOW;
        mutex_unlock(&bus->lock);
        return !present;
}

static u8 bus_touch_bit(void *data, u8 bit) {
        struct w1_sim_bus *bus = data;
        struct w1_sim_sensor *s;
        bool wire = bit;

        mutex_lock(&bus->lock);
        bus->count.slots++;
        if (bus->wire == WIRE_GOOD) {
                list_for_each_entry(s, &bus->sensors, entry) if (s->present) wire &= sensor_drives(s);
                list_for_each_entry(s, &bus->sensors, entry) if (s->present) sensor_hears(s, wire);
        } else
                wire = bus->wire == WIRE_OPEN ? bit : false;
        mutex_unlock(&bus->lock);
        return wire;
}

/* The core calls this before the last bit of a command, and with 0 at once behind it: the hardware is meant to hold the
 * pull-up for so long. */
static u8 bus_set_pullup(void *data, int msec) {
        struct w1_sim_bus *bus = data;

        mutex_lock(&bus->lock);
        bus->pullup_ms = msec;
        mutex_unlock(&bus->lock);
        return 0;
}

int bus_add(struct w1_sim_bus *bus) {
        int r;

        bus->master = (struct w1_bus_master){
                .data = bus,
                .touch_bit = bus_touch_bit,
                .reset_bus = bus_reset,
                .set_pullup = bus_set_pullup,
        };
        r = w1_add_master_device(&bus->master);
        if (r == 0)
                bus->registered = true;
        return r;
}

void bus_remove(struct w1_sim_bus *bus) {
        if (!bus->registered)
                return;
        bus->registered = false;
        w1_remove_master_device(&bus->master);
}
