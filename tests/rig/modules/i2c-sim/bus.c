// SPDX-License-Identifier: GPL-2.0-only
/*
 * The adapters. Each transfer is one call of bus_transfer, with repeated starts between its messages; SMBus is made of such
 * transfers by the kernel's I2C core.
 *
 * An adapter that is pulled out stays known to the kernel until the last program has closed it, as a USB one does. The test
 * that pulls it does not wait for that: the removal is work of its own, and transfers fail meanwhile.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

#include "i2c-sim.h"

DEFINE_MUTEX(i2c_sim_lock);

static bool is_selected(const struct i2c_sim_bus *bus, const struct i2c_sim_chip *chip) {
        const struct i2c_sim_chip *mux;

        if (chip->mux == 0)
                return true;
        list_for_each_entry(mux, &bus->chips, entry) if (mux->kind == MUX && mux->address == chip->mux) return mux->latch[0] >>
                        chip->channel &
                1;
        return false;
}

/* Who answers to an address now, and how many do. */
static struct i2c_sim_chip *chip_present(const struct i2c_sim_bus *bus, u16 address, unsigned *ret_many) {
        struct i2c_sim_chip *chip, *found = NULL;

        *ret_many = 0;
        list_for_each_entry(chip, &bus->chips, entry) {
                if (chip->address != address || !is_selected(bus, chip))
                        continue;
                if (!found)
                        found = chip;
                ++*ret_many;
        }
        return found;
}

static bool has_read(const struct i2c_msg *messages, int n) {
        for (int i = 0; i < n; i++)
                if (messages[i].flags & I2C_M_RD && messages[i].len > 0)
                        return true;
        return false;
}

static void corrupt(struct i2c_msg *messages, int n) {
        while (n-- > 0)
                if (messages[n].flags & I2C_M_RD && messages[n].len > 0) {
                        messages[n].buf[fault_random(messages[n].len)] ^= 1 << fault_random(8);
                        return;
                }
}

static int messages_do(struct i2c_sim_bus *bus, struct i2c_msg *messages, int n) {
        unsigned many;

        for (int i = 0; i < n; i++) {
                struct i2c_msg *m = &messages[i];
                struct i2c_sim_chip *chip = chip_present(bus, m->addr, &many);
                int r;

                if (!chip)
                        return bus->nobody;
                if (many > 1) /* whoever selected both of them is wrong */
                        bus->conflicts++;
                r = m->flags & I2C_M_RD ? chip_read(chip, m->buf, m->len) : chip_write(chip, m->buf, m->len);
                if (r < 0)
                        return r == -ENXIO ? bus->nobody : r;
        }
        return n;
}

/* What a chip of its own accord, a fault or nobody makes of it. */
static int transfer_judge(struct i2c_sim_bus *bus, struct i2c_msg *messages, int n, int *ret_fault) {
        unsigned many;
        struct i2c_sim_chip *chip = chip_present(bus, messages[0].addr, &many);
        int fault, r;

        if (!chip)
                return bus->nobody;
        chip->done.transfers++;
        fault = *ret_fault = fault_take(chip, has_read(messages, n));
        if (fault >= 0 && fault_error(fault) < 0)
                return fault_error(fault);
        if (fault == FAULT_SHORT) {
                r = messages_do(bus, messages, n - 1);
                return r < 0 ? r : n - 1;
        }
        r = messages_do(bus, messages, n);
        if (fault == FAULT_CORRUPT && r == n)
                corrupt(messages, n);
        return r;
}

/* Nothing of it reaches a chip. */
static int low_transfer(struct i2c_msg *messages, int n) {
        for (int i = 0; i < n; i++)
                if (messages[i].flags & I2C_M_RD)
                        memset(messages[i].buf, 0, messages[i].len);
        return n;
}

static int bus_transfer(struct i2c_adapter *adapter, struct i2c_msg *messages, int n) {
        struct i2c_sim_bus *bus = container_of(adapter, struct i2c_sim_bus, adapter);
        int fault = -1, wait = 0, r;

        mutex_lock(&i2c_sim_lock);
        bus->transfers++;
        if (!bus->plugged)
                r = -ENODEV;
        else if (bus->stuck < 0) {
                r = bus->stuck;
                bus->failed_stuck++;
                wait = bus->stuck_msec;
        } else if (bus->low)
                r = low_transfer(messages, n);
        else
                r = transfer_judge(bus, messages, n, &fault);
        log_transfer(bus, messages, n, r, fault);
        mutex_unlock(&i2c_sim_lock);
        if (wait > 0)
                msleep(wait);
        return r;
}

static u32 bus_functions(struct i2c_adapter *adapter) {
        return I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm bus_algorithm = {.master_xfer = bus_transfer, .functionality = bus_functions};

static void bus_remove(struct work_struct *work) {
        struct i2c_sim_bus *bus = container_of(work, struct i2c_sim_bus, removal);

        i2c_del_adapter(&bus->adapter); /* waits until nobody has it open */
        mutex_lock(&i2c_sim_lock);
        bus->added = false;
        mutex_unlock(&i2c_sim_lock);
}

int bus_add(struct i2c_sim_bus *bus) {
        int r;

        mutex_lock(&i2c_sim_lock);
        r = bus->plugged ? -EALREADY : bus->added ? -EBUSY : 0;
        mutex_unlock(&i2c_sim_lock);
        if (r < 0)
                return r;
        memset(&bus->adapter, 0, sizeof(bus->adapter));
        bus->adapter.owner = THIS_MODULE;
        bus->adapter.algo = &bus_algorithm;
        bus->adapter.nr = bus->number;
        bus->adapter.retries = 1;
        bus->adapter.timeout = HZ;
        snprintf(bus->adapter.name, sizeof(bus->adapter.name), "i2c-sim %d", bus->number);
        INIT_WORK(&bus->removal, bus_remove);
        bus->plugged = true; /* before it is known: who finds it may use it at once */
        r = i2c_add_numbered_adapter(&bus->adapter);
        mutex_lock(&i2c_sim_lock);
        bus->plugged = bus->added = r == 0;
        mutex_unlock(&i2c_sim_lock);
        return r;
}

void bus_unplug(struct i2c_sim_bus *bus) {
        bus->plugged = false;
        schedule_work(&bus->removal);
}

void bus_end(struct i2c_sim_bus *bus) {
        mutex_lock(&i2c_sim_lock);
        if (bus->plugged)
                bus_unplug(bus);
        mutex_unlock(&i2c_sim_lock);
        if (bus->removal.func)
                flush_work(&bus->removal);
}
