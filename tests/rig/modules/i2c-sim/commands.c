// SPDX-License-Identifier: GPL-2.0-only
/* The commands of a test, those for chips apart, and what it can look at: README.md beside describes both. */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "../control.h"
#include "i2c-sim.h"
#include "words.h"

struct i2c_sim_bus i2c_sim_buses[BUSES];

static int do_fault(int n, char **words) {
        struct i2c_sim_chip *chip = chip_find(words[0], ANY);
        int kind = fault_find(words[1]);
        unsigned long times, skip, chance;

        if (!chip)
                return -ENOENT;
        if (kind < 0)
                return control_say(&i2c_sim_control, -EINVAL, "%s: enxio eremoteio eio etimedout eagain corrupt short", words[1]);
        if (option_number(n, words, "times", 10, UINT_MAX, 0, &times) < 0 ||
            option_number(n, words, "skip", 10, UINT_MAX, 0, &skip) < 0 ||
            option_number(n, words, "chance", 10, 1000, 0, &chance) < 0)
                return -EINVAL;
        chip->faults[kind].times = times;
        chip->faults[kind].skip = skip;
        chip->faults[kind].permille = chance;
        return 0;
}

static int do_seed(int n, char **words) {
        unsigned long seed;

        if (control_number(&i2c_sim_control, words[0], 10, UINT_MAX, &seed) < 0)
                return -EINVAL;
        fault_seed(seed);
        return 0;
}

static int do_stuck(int n, char **words) {
        struct i2c_sim_bus *bus = bus_find(words[0]);
        unsigned long msec = 0;

        if (!bus || (n > 2 && control_number(&i2c_sim_control, words[2], 10, MSEC_MAX, &msec) < 0))
                return -EINVAL;
        if (strcmp(words[1], "ebusy") != 0 && strcmp(words[1], "etimedout") != 0)
                return control_say(&i2c_sim_control, -EINVAL, "%s: ebusy or etimedout", words[1]);
        bus->stuck = words[1][1] == 'b' ? -EBUSY : -ETIMEDOUT;
        bus->stuck_msec = msec;
        return 0;
}

static int do_free(int n, char **words) {
        struct i2c_sim_bus *bus = bus_find(words[0]);

        if (!bus)
                return -EINVAL;
        bus->stuck = 0;
        bus->low = false;
        return 0;
}

static int do_lowdata(int n, char **words) {
        struct i2c_sim_bus *bus = bus_find(words[0]);

        if (!bus)
                return -EINVAL;
        bus->low = true;
        return 0;
}

static int do_bus(int n, char **words) {
        struct i2c_sim_bus *bus = bus_find(words[0]);
        const char *nobody = control_option(n, words, "nobody");
        int kind = nobody ? fault_find(nobody) : FAULT_ENXIO, r;

        if (!bus)
                return -EINVAL;
        if (kind < 0 || fault_error(kind) == 0)
                return control_say(&i2c_sim_control, -EINVAL, "nobody=enxio or nobody=eremoteio");
        bus->nobody = fault_error(kind);
        mutex_unlock(&i2c_sim_lock); /* drivers may look at the new adapter at once */
        r = bus_add(bus);
        mutex_lock(&i2c_sim_lock);
        if (r == -EBUSY)
                return control_say(&i2c_sim_control, r, "bus %s was unplugged, and somebody has it open still", words[0]);
        return r == -EALREADY ? control_say(&i2c_sim_control, r, "bus %s is there", words[0]) : r;
}

static int do_unplug(int n, char **words) {
        struct i2c_sim_bus *bus = bus_find(words[0]);

        if (!bus)
                return -EINVAL;
        if (!bus->plugged)
                return control_say(&i2c_sim_control, -EALREADY, "bus %s is not there; it comes by: bus %s", words[0], words[0]);
        bus_unplug(bus);
        return 0;
}

static int do_clear(int n, char **words) {
        struct i2c_sim_chip *chip, *next;

        for (int i = 0; i < BUSES; i++) {
                list_for_each_entry_safe(chip, next, &i2c_sim_buses[i].chips, entry) chip_free(chip);
                i2c_sim_buses[i].stuck = 0;
                i2c_sim_buses[i].low = false;
                i2c_sim_buses[i].transfers = i2c_sim_buses[i].conflicts = 0;
        }
        log_clear();
        return 0;
}

static int do_clearlog(int n, char **words) {
        log_clear();
        return 0;
}

static const struct control_verb verbs[] = {
        {"bus", "BUS [nobody=eremoteio]", 1, 2, do_bus},
        {"unplug", "BUS", 1, 1, do_unplug},
        {"stuck", "BUS ebusy|etimedout [MS]", 2, 3, do_stuck},
        {"lowdata", "BUS", 1, 1, do_lowdata},
        {"free", "BUS", 1, 1, do_free},
        {"registers", "CHIP [width=2] [pointer=2] [mask=HEX] [count=HEX] [increment=0|1] [fill=HEX]", 1, 7, do_registers},
        {"commands", "CHIP [idle=BYTES] [busy=BYTES]", 1, 3, do_commands},
        {"port", "CHIP [width=2]", 1, 2, do_port},
        {"mux", "CHIP", 1, 1, do_mux},
        {"remove", "CHIP", 1, 1, do_remove},
        {"set", "CHIP REG BYTES", 3, 3, do_set},
        {"get", "CHIP REG|latch [COUNT]", 2, 3, do_get},
        {"readonly", "CHIP FROM TO", 3, 3, do_readonly},
        {"when", "CHIP REG VALUE[/MASK] MS TO BYTES", 6, 6, do_when},
        {"onread", "CHIP REG VALUE[/MASK] MS TO BYTES", 6, 6, do_onread},
        {"at", "CHIP MS REG BYTES", 4, 4, do_at},
        {"answer", "CHIP CODE MS BYTES [keep=1]", 4, 5, do_answer},
        {"fault", "CHIP KIND [times=N] [skip=N] [chance=PERMILLE]", 2, 5, do_fault},
        {"seed", "N", 1, 1, do_seed},
        {"clear", "", 0, 0, do_clear},
        {"clearlog", "", 0, 0, do_clearlog},
        {},
};

static void chip_show(struct seq_file *f, const struct i2c_sim_chip *chip) {
        seq_printf(f, "chip %d:", chip->bus->number);
        if (chip->mux > 0)
                seq_printf(f, "%02x.%u.", chip->mux, chip->channel);
        seq_printf(f, "%02x transfers=%lu reads=%lu writes=%lu ignored=%lu", chip->address, chip->done.transfers,
                   chip->done.reads, chip->done.writes, chip->done.ignored);
        for (int i = 0; i < FAULTS; i++)
                seq_printf(f, " %s=%lu", fault_name(i), chip->faults[i].done);
        seq_putc(f, '\n');
}

static int state_show(struct seq_file *f, void *data) {
        const struct i2c_sim_chip *chip;

        mutex_lock(&i2c_sim_lock);
        for (int i = 0; i < BUSES; i++) {
                const struct i2c_sim_bus *bus = &i2c_sim_buses[i];

                if (bus->added)
                        seq_printf(f, "bus %d plugged=%d stuck=%d transfers=%lu conflicts=%lu failed_stuck=%lu\n", i,
                                   bus->plugged, bus->stuck, bus->transfers, bus->conflicts, bus->failed_stuck);
                list_for_each_entry(chip, &bus->chips, entry) chip_show(f, chip);
        }
        mutex_unlock(&i2c_sim_lock);
        return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static int log_file_show(struct seq_file *f, void *data) {
        mutex_lock(&i2c_sim_lock);
        log_show(f);
        mutex_unlock(&i2c_sim_lock);
        return 0;
}
DEFINE_SHOW_ATTRIBUTE(log_file);

struct control i2c_sim_control = {.name = "i2c-sim", .verbs = verbs, .guards = &i2c_sim_lock};

static int __init i2c_sim_init(void) {
        int r = log_init();

        if (r < 0)
                return r;
        for (int i = 0; i < BUSES; i++) {
                i2c_sim_buses[i].number = i;
                INIT_LIST_HEAD(&i2c_sim_buses[i].chips);
        }
        fault_seed(1);
        r = control_init(&i2c_sim_control);
        if (r < 0) {
                log_exit();
                return r;
        }
        debugfs_create_file("state", 0400, i2c_sim_control.folder, NULL, &state_fops);
        debugfs_create_file("log", 0400, i2c_sim_control.folder, NULL, &log_file_fops);
        return 0;
}

static void __exit i2c_sim_exit(void) {
        control_exit(&i2c_sim_control);
        for (int i = 0; i < BUSES; i++)
                bus_end(&i2c_sim_buses[i]);
        do_clear(0, NULL);
        log_exit();
}

module_init(i2c_sim_init);
module_exit(i2c_sim_exit);
MODULE_DESCRIPTION("Simulated I2C adapters with simulated chips, for tests");
MODULE_LICENSE("GPL");
