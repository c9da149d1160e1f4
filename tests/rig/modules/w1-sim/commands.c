// SPDX-License-Identifier: GPL-2.0-only
/* The commands of a test, and what it can look at: README.md beside describes both. */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../control.h"
#include "w1-sim.h"

#define SENSORS_MAX 64 /* of a bus; the kernel's search ends there, too */

struct w1_sim_bus w1_sim_buses[BUSES];
static struct control control;

static const struct {
        const char *name;
        u8 family;
} kinds[] = {
        [DS18S20] = {"ds18s20", 0x10}, [DS1822] = {"ds1822", 0x22},     [DS18B20] = {"ds18b20", 0x28},
        [DS1825] = {"ds1825", 0x3b},   [DS28EA00] = {"ds28ea00", 0x42}, [MAX31850] = {"max31850", 0x3b},
        [OTHER] = {"other", 0},
};

static struct w1_sim_bus *bus_find(const char *word) {
        unsigned long n;

        if (control_number(&control, word, 10, BUSES, &n) < 0)
                return NULL;
        if (n > 0)
                return &w1_sim_buses[n - 1];
        control_say(&control, -EINVAL, "buses are numbered from 1");
        return NULL;
}

/* "28-0316a2795eff" */
static int id_parse(const char *word, u64 *ret) {
        unsigned family;
        u64 number, id;
        char end;

        if (strlen(word) != 15 || sscanf(word, "%2x-%12llx%c", &family, &number, &end) != 2)
                return control_say(&control, -EINVAL, "%s is no id; one is 28-0316a2795eff", word);
        id = cpu_to_le64(number << 8 | family);
        *ret = number << 8 | family | (u64)crc8((u8 *)&id, 7) << 56;
        return 0;
}

/* With its bus locked. */
static struct w1_sim_sensor *sensor_lock(const char *word) {
        struct w1_sim_sensor *s;
        u64 id;

        if (id_parse(word, &id) < 0)
                return NULL;
        for (int i = 0; i < BUSES; i++) {
                mutex_lock(&w1_sim_buses[i].lock);
                list_for_each_entry(s, &w1_sim_buses[i].sensors, entry) if (s->id == id) return s;
                mutex_unlock(&w1_sim_buses[i].lock);
        }
        control_say(&control, -ENOENT, "there is no %s; make it by: sensor BUS %s", word, word);
        return NULL;
}

static int kind_parse(struct w1_sim_sensor *s, const char *wanted) {
        u8 family = s->id & 0xff;
        int i;

        s->kind = OTHER;
        for (i = 0; i < ARRAY_SIZE(kinds); i++)
                if (wanted ? strcmp(kinds[i].name, wanted) == 0 : kinds[i].family == family) {
                        s->kind = i;
                        break;
                }
        if (wanted && (i == ARRAY_SIZE(kinds) || (kinds[i].family != 0 && kinds[i].family != family)))
                return control_say(&control, -EINVAL, "%s: no kind of chip of family %02x", wanted, family);
        return 0;
}

static int bits_set(struct w1_sim_sensor *s, long bits) {
        if (bits < 9 || bits > 12)
                return control_say(&control, -EINVAL, "bits=9 to 12");
        s->eeprom[2] = (bits - 9) << 5 | 0x1f;
        chip_recall(s);
        return 0;
}

/* NAME=NUMBER */
static int option_set(struct w1_sim_sensor *s, char *word) {
        char *value = strchr(word, '=');
        long n;

        if (!value || kstrtol(value + 1, 0, &n) < 0)
                return control_say(&control, -EINVAL, "%s: NAME=NUMBER is meant", word);
        *value = 0;
        if (strcmp(word, "temp") == 0)
                s->millidegrees = n;
        else if (strcmp(word, "bits") == 0)
                return bits_set(s, n);
        else if (strcmp(word, "parasite") == 0)
                s->parasite = n;
        else if (strcmp(word, "present") == 0)
                s->present = n;
        else if (strcmp(word, "clone") == 0)
                s->clone = n;
        else if (strcmp(word, "fixed") == 0)
                s->fixed = n;
        else if (strcmp(word, "ms") == 0)
                s->convert_ms = n;
        else if (strcmp(word, "open") == 0)
                s->open = n & 7;
        else
                return control_say(&control, -EINVAL, "%s: there are temp bits parasite present clone fixed ms open", word);
        return 0;
}

static int options_set(struct w1_sim_sensor *s, int n, char **words) {
        int r = 0;

        for (int i = 0; i < n && r == 0; i++)
                if (strncmp(words[i], "kind=", 5) != 0)
                        r = option_set(s, words[i]);
        return r;
}

static void sensor_init(struct w1_sim_sensor *s, struct w1_sim_bus *bus) {
        s->bus = bus;
        s->present = true;
        s->millidegrees = 20000;
        s->eeprom[0] = 0x4b; /* alarm limits, as they come from the factory */
        s->eeprom[1] = 0x46;
        s->eeprom[2] = s->kind == MAX31850 ? 0xf0 : 0x7f;
        chip_power_on(s);
}

static int do_sensor(int n, char **words) {
        struct w1_sim_bus *bus = bus_find(words[0]);
        struct w1_sim_sensor *s, *other;
        unsigned count = 0;
        int r;

        if (!bus)
                return -EINVAL;
        s = kzalloc(sizeof(*s), GFP_KERNEL);
        if (!s)
                return -ENOMEM;
        r = id_parse(words[1], &s->id);
        if (r == 0)
                r = kind_parse(s, control_option(n, words, "kind"));
        if (r == 0) {
                sensor_init(s, bus);
                r = options_set(s, n - 2, words + 2);
        }
        mutex_lock(&bus->lock);
        list_for_each_entry(other, &bus->sensors, entry) if (++count == SENSORS_MAX || other->id == s->id) r =
                control_say(&control, -EEXIST, count == SENSORS_MAX ? "the bus is full" : "%s is there", words[1]);
        if (r == 0)
                list_add_tail(&s->entry, &bus->sensors);
        mutex_unlock(&bus->lock);
        if (r < 0)
                kfree(s);
        return r;
}

static int do_set(int n, char **words) {
        struct w1_sim_sensor *s = sensor_lock(words[0]);
        int r;

        if (!s)
                return -ENOENT;
        r = options_set(s, n - 1, words + 1);
        mutex_unlock(&s->bus->lock);
        return r;
}

static int do_remove(int n, char **words) {
        struct w1_sim_sensor *s = sensor_lock(words[0]);

        if (!s)
                return -ENOENT;
        list_del(&s->entry);
        mutex_unlock(&s->bus->lock);
        kfree(s);
        return 0;
}

static int do_powercycle(int n, char **words) {
        struct w1_sim_sensor *s = sensor_lock(words[0]);

        if (!s)
                return -ENOENT;
        chip_power_on(s);
        mutex_unlock(&s->bus->lock);
        return 0;
}

static int fault_set(char **words, bool crc) {
        struct w1_sim_sensor *s;
        unsigned long n;

        if (control_number(&control, words[1], 10, INT_MAX, &n) < 0)
                return -EINVAL;
        s = sensor_lock(words[0]);
        if (!s)
                return -ENOENT;
        *(crc ? &s->bad_crc : &s->brown_out) = n;
        mutex_unlock(&s->bus->lock);
        return 0;
}

static int do_badcrc(int n, char **words) {
        return fault_set(words, true);
}

static int do_brownout(int n, char **words) {
        return fault_set(words, false);
}

static int do_wire(int n, char **words) {
        static const char *const names[] = {[WIRE_GOOD] = "good", [WIRE_LOW] = "low", [WIRE_OPEN] = "open"};
        struct w1_sim_bus *bus = bus_find(words[0]);
        int wire = match_string(names, ARRAY_SIZE(names), words[1]);

        if (!bus)
                return -EINVAL;
        if (wire < 0)
                return control_say(&control, -EINVAL, "%s: good, low or open", words[1]);
        mutex_lock(&bus->lock);
        bus->wire = wire;
        mutex_unlock(&bus->lock);
        return 0;
}

static int do_bus(int n, char **words) {
        struct w1_sim_bus *bus = bus_find(words[0]);
        bool on = strcmp(words[1], "on") == 0;

        if (!bus)
                return -EINVAL;
        if (!on && strcmp(words[1], "off") != 0)
                return control_say(&control, -EINVAL, "%s: on or off", words[1]);
        if (on == bus->registered)
                return control_say(&control, -EALREADY, "bus %s is %s", words[0], words[1]);
        if (on)
                return bus_add(bus);
        bus_remove(bus);
        return 0;
}

static void sensors_forget(struct w1_sim_bus *bus) {
        struct w1_sim_sensor *s, *next;

        mutex_lock(&bus->lock);
        list_for_each_entry_safe(s, next, &bus->sensors, entry) {
                list_del(&s->entry);
                kfree(s);
        }
        bus->wire = WIRE_GOOD;
        mutex_unlock(&bus->lock);
}

static int do_clear(int n, char **words) {
        for (int i = 0; i < BUSES; i++)
                sensors_forget(&w1_sim_buses[i]);
        return 0;
}

static const struct control_verb verbs[] = {
        {"bus", "BUS on|off", 2, 2, do_bus},
        {"wire", "BUS good|low|open", 2, 2, do_wire},
        {"sensor", "BUS ID [kind=KIND] [NAME=NUMBER...]", 2, 12, do_sensor},
        {"set", "ID NAME=NUMBER...", 2, 12, do_set},
        {"powercycle", "ID", 1, 1, do_powercycle},
        {"badcrc", "ID READS", 2, 2, do_badcrc},
        {"brownout", "ID CONVERSIONS", 2, 2, do_brownout},
        {"remove", "ID", 1, 1, do_remove},
        {"clear", "", 0, 0, do_clear},
        {},
};

static void sensor_show(struct seq_file *f, struct w1_sim_sensor *s) {
        chip_settle(s);
        seq_printf(f, "sensor %02x-%012llx bus=%u kind=%s present=%d temp=%d bits=%d saved_bits=%d parasite=%d", (u8)s->id,
                   s->id >> 8 & 0xffffffffffffull, s->bus->number, kinds[s->kind].name, s->present, s->millidegrees, chip_bits(s),
                   9 + (s->eeprom[2] >> 5 & 3), s->parasite);
        seq_printf(f, " conversions=%lu bulk=%lu reads=%lu bad_crc=%lu brown_out=%lu writes=%lu copies=%lu\n",
                   s->count.conversions, s->count.bulk, s->count.reads, s->count.bad_crc, s->count.brown_out, s->count.writes,
                   s->count.copies);
}

static int state_show(struct seq_file *f, void *data) {
        static const char *const wires[] = {[WIRE_GOOD] = "good", [WIRE_LOW] = "low", [WIRE_OPEN] = "open"};
        struct w1_sim_sensor *s;

        for (int i = 0; i < BUSES; i++) {
                struct w1_sim_bus *bus = &w1_sim_buses[i];

                mutex_lock(&bus->lock);
                seq_printf(f, "bus %u on=%d wire=%s resets=%lu slots=%lu\n", bus->number, bus->registered, wires[bus->wire],
                           bus->count.resets, bus->count.slots);
                list_for_each_entry(s, &bus->sensors, entry) sensor_show(f, s);
                mutex_unlock(&bus->lock);
        }
        return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static struct control control = {.name = "w1-sim", .verbs = verbs};

static int __init w1_sim_init(void) {
        int r;

        for (int i = 0; i < BUSES; i++) {
                w1_sim_buses[i].number = i + 1;
                mutex_init(&w1_sim_buses[i].lock);
                INIT_LIST_HEAD(&w1_sim_buses[i].sensors);
        }
        r = control_init(&control);
        if (r < 0)
                return r;
        debugfs_create_file("state", 0400, control.folder, NULL, &state_fops);
        return 0;
}

static void __exit w1_sim_exit(void) {
        control_exit(&control);
        for (int i = 0; i < BUSES; i++) {
                bus_remove(&w1_sim_buses[i]);
                sensors_forget(&w1_sim_buses[i]);
        }
}

module_init(w1_sim_init);
module_exit(w1_sim_exit);
MODULE_DESCRIPTION("Simulated 1-Wire buses with thermometers, for tests");
MODULE_LICENSE("GPL");
