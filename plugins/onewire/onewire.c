/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `onewire`: temperature probes on a 1-Wire bus, through the kernel's w1 driver.
 *
 * A sample goes from bus to bus. All probes of one convert at once, if the kernel and the rights allow it, and are then read
 * without waiting; otherwise one after the other, 0.75 s each. That is what a process of its own is for, and the limit of
 * the call is raised by the number of probes.
 *
 * With `sensors` the probes named there are read, one that is missing is bad until it is back, and others on the bus are
 * mentioned once. Without, every thermometer found is read as w1_ID and stays expected from then on. So plugging and
 * unplugging needs no restart.
 *
 * Per probe, failures are reported with the key, the reason in words (KEY_ok = false); the sample as a whole fails
 * only when no probe gave a value. A missing bus is -ENODEV: the host asks again until there is one.
 *
 * A probe that gave no reading is left alone for a little more than a second. The kernel that takes it off the bus
 * (w1_therm_remove_slave(), 6.1 to 6.12) looks once a second whether somebody reads it just then, and waits and searches
 * for no other until nobody does: read once a second for 0.75 s each, it could keep all others away for minutes.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tbagent/plugin.h>

#include "bus.h"
#include "probe.h"

#define READ_USEC 2000000ull /* a read is given so long, conversion and a slow bus */
#define REST_NSEC 1100000000 /* a probe that failed is left alone so long */
#define BUS_HINT  "no 1-Wire bus: add dtoverlay=w1-gpio to /boot/firmware/config.txt and reboot"
#define RULE_HINT "the package's udev rule gives them to the group gpio: udevadm trigger --subsystem-match=w1 --action=add"

typedef struct Sensor {
        Probe probe;
        const struct tbagent_node *node; /* its options; NULL: it has none of its own */
        const char *key;                 /* borrowed from the options; NULL: on the bus, but not to be read */
        char own_key[ID_SIZE + 4];
        int master;   /* of the running sample: the bus that it is on, -1: not to be read */
        bool only;    /* id = "only": the one probe of the bus */
        bool invalid; /* what the configuration says is no id; the other sensors go on */
        bool denied_told, resolution_told;
        int64_t rests_until; /* CLOCK_BOOTTIME, ns; 0: it did not fail */
        bool rests;          /* in the running sample */
        int error;           /* of its last read, with the reason */
        char why[WHY_SIZE];
} Sensor;

typedef struct Onewire {
        const char *path;
        unsigned retries;
        bool named; /* there are `sensors` */
        bool only;  /* one of them with id = "only" */
        bool empty_told, foreign_told, refused_told;
        unsigned denied;             /* common conversions that lacked the rights, one after the other */
        Sensor *sensors[PROBES_MAX]; /* one stays where it is: own_key is lent out */
        size_t n_sensors;
        size_t n_read, n_good; /* of the running sample */
        int first_error;
} Onewire;

static const struct tbagent_option sensor_options[] = {
        {"id", TBAGENT_STRING, TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL,
         "such as 28-0316a2795eff, as tbagent --scan onewire lists it; only: the one probe of the bus, whichever it is", NULL},
        {"resolution", TBAGENT_INT, TBAGENT_RUNTIME, NULL, 9, 12, NULL, "bits",
         "of this probe; unset: as for all of the instance", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static const struct tbagent_option options[] = {
        {"sensors", TBAGENT_MAP, TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "the probes; unset: all that are found, as w1_ID",
         sensor_options},
        {"retries", TBAGENT_INT, TBAGENT_RUNTIME, "2", 0, 10, NULL, NULL, "how often a failed read is repeated before it counts",
         NULL},
        {"resolution", TBAGENT_INT, TBAGENT_RUNTIME, NULL, 9, 12, NULL, "bits",
         "9: steps of 0.5 degrees in 0.1 s, 12: of 0.0625 in 0.75 s; unset: what each probe has", NULL},
        {"path", TBAGENT_STRING, 0, "/sys/bus/w1/devices", 0, 0, NULL, NULL, "where the kernel shows the bus", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

__attribute__((format(printf, 3, 4))) static void say(struct tbagent_host *host, int level, const char *format, ...) {
        va_list arguments;
        char text[600];

        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        tbagent_log(host, level, text);
}

/* Said at each call that fails for it: the host makes it the reason and logs it once. */
static int bus_missing(struct tbagent_host *host, const char *path, int error) {
        if (error == -ENODEV)
                tbagent_log(host, TBAGENT_WARNING, BUS_HINT);
        else
                say(host, TBAGENT_WARNING, "%s: %s", path, strerrordesc_np(-error));
        return error;
}

static Sensor *sensor_add(Onewire *o, const Id *id) {
        Sensor *s;

        if (o->n_sensors == PROBES_MAX)
                return NULL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        s->probe = (Probe){.id = *id, .suspect = true};
        o->sensors[o->n_sensors++] = s;
        return s;
}

static Sensor *sensor_find(Onewire *o, const Id *id) {
        for (size_t i = 0; i < o->n_sensors; i++)
                if (!o->sensors[i]->only && strcmp(o->sensors[i]->probe.id.text, id->text) == 0)
                        return o->sensors[i];
        return NULL;
}

/* Something on the bus that is not known yet: read from now on, or mentioned once. */
static void device_appeared(struct tbagent_host *host, Onewire *o, const Id *id) {
        Sensor *s = sensor_add(o, id);
        const char *name;

        if (!s)
                return;
        name = s->probe.id.text;
        if (!id_thermometer(id))
                say(host, TBAGENT_INFO, "%s on the bus is no thermometer that this plugin reads", name);
        else if (o->only)
                return; /* meant by id = "only" */
        else if (o->named)
                say(host, TBAGENT_INFO, "%s on the bus is not used; to read it add to sensors: NAME = { id = \"%s\"; };", name,
                    name);
        else {
                snprintf(s->own_key, sizeof(s->own_key), "w1_%s", name);
                s->key = s->own_key;
                say(host, TBAGENT_INFO, "found %s, read as %s", name, s->key);
        }
}

/* Gives a sensor with id = "only" the id of the one probe there is. */
static int only_resolve(Sensor *s, const Bus *bus, char why[static WHY_SIZE]) {
        const Id *found = NULL;
        size_t n_found = 0;

        for (size_t i = 0; i < bus->n; i++)
                if (id_thermometer(&bus->devices[i].id)) {
                        found = &bus->devices[i].id;
                        n_found++;
                }
        if (n_found == 1) {
                if (strcmp(s->probe.id.text, found->text) != 0)
                        s->probe = (Probe){.id = *found,
                                           .suspect = true}; /* what another probe showed says nothing about this one */
                return 0;
        }
        if (n_found == 0)
                snprintf(why, WHY_SIZE, "there is no probe on the bus");
        else
                snprintf(why, WHY_SIZE, "id = \"only\", but there are %zu probes: write the id of the one you mean", n_found);
        return -ENODEV;
}

static void denied_tell(struct tbagent_host *host, Sensor *s, const char *dir) {
        if (s->denied_told)
                return;
        s->denied_told = true;
        say(host, TBAGENT_WARNING,
            "%s: may not read %s/%s/w1_slave; look who may: ls -lL %s/%s/, then: chmod a+r that file (a udev rule makes it last)",
            s->key, dir, s->probe.id.text, dir, s->probe.id.text);
}

static void sensor_failed(struct tbagent_host *host, Onewire *o, Sensor *s, int error, const char *why) {
        tbagent_emit_bad(host, s->key, why);
        o->n_read++;
        if (o->first_error == 0)
                o->first_error = error;
}

/* 0: any will do. */
static int wanted_resolution(struct tbagent_host *host, const struct tbagent_node *node) {
        return node && tbagent_is_set(host, node, "resolution") ? (int)tbagent_int(host, node, "resolution") : 0;
}

static void resolution_tell(struct tbagent_host *host, Sensor *s, const char *dir, int bits, int error) {
        if (s->resolution_told)
                return;
        s->resolution_told = true;
        if (error == -EACCES)
                say(host, TBAGENT_WARNING, "%s: may not set its resolution, no rights to write %s/%s/resolution; " RULE_HINT,
                    s->key, dir, s->probe.id.text);
        else
                say(host, TBAGENT_WARNING, "%s: %s does not take a resolution of %d bits%s", s->key, s->probe.id.text, bits,
                    error == -EINVAL ? "" : "; it is tried again");
}

/* Looks at its resolution, at first and whenever it may have lost it; sets it where one is wanted. */
static void sensor_check(struct tbagent_host *host, Sensor *s, const char *dir) {
        int own = wanted_resolution(host, s->node), bits = own ? own : wanted_resolution(host, tbagent_options(host)), r;

        if (!s->probe.suspect)
                return;
        r = probe_resolution(&s->probe, dir, bits);
        if (r == 0)
                s->resolution_told = false;
        /* What is meant for all is not meant for one that has no choice. */
        else if (bits != 0 && r != -ENODEV && (own != 0 || r != -EINVAL))
                resolution_tell(host, s, dir, bits, r);
}

static void sensor_sample(struct tbagent_host *host, Onewire *o, Sensor *s, const char *dir) {
        int64_t millidegrees = 0;
        int r;

        if (s->rests) {
                sensor_failed(host, o, s, s->error, s->why);
                return;
        }
        r = probe_read(&s->probe, dir, o->retries, &millidegrees, s->why);
        s->error = r;
        s->rests_until = r < 0 ? tbagent_now(host) + REST_NSEC : 0;
        if (r < 0) {
                sensor_failed(host, o, s, r, s->why);
                if (r == -EACCES)
                        denied_tell(host, s, dir);
                return;
        }
        s->denied_told = false;
        o->n_read++;
        o->n_good++;
        tbagent_emit_double(host, s->key, (double)millidegrees / 1000);
}

/* Why probes are read one by one; once. A rule may not have run yet where a probe is new, so rights are missed twice first. */
static void convert_tell(struct tbagent_host *host, Onewire *o, const char *dir, int error) {
        if (error == -EACCES && ++o->denied == 2)
                say(host, TBAGENT_WARNING,
                    "reading the probes one by one: no rights to start a common conversion, %s/therm_bulk_read; " RULE_HINT, dir);
        if (error == 0)
                o->denied = 0;
        if (error == 0 || error == -EACCES || error == -ENOENT || o->refused_told)
                return; /* not there: the kernel has it for one bus only */
        o->refused_told = true;
        say(host, TBAGENT_INFO, "reading the probes one by one: the kernel did not start a common conversion on %s", dir);
}

/* All probes of a bus at once, if it has nothing else on it. A single one, too: what bus.c says of marks. */
static void master_prepare(struct tbagent_host *host, Onewire *o, const Bus *bus, size_t master, const char *dir,
                           size_t n_sensors) {
        const char *foreign = bus->masters[master].foreign.text;
        int r;

        if (foreign[0] == 0) {
                r = master_convert(bus, master, dir);
                if (n_sensors > 1)
                        convert_tell(host, o, dir, r);
                return;
        }
        if (n_sensors < 2 || o->foreign_told)
                return;
        o->foreign_told = true;
        say(host, TBAGENT_INFO, "reading the probes one by one: with %s on the bus the kernel cannot have them convert at once",
            foreign);
}

static void master_sample(struct tbagent_host *host, Onewire *o, const Bus *bus, size_t master) {
        Sensor *here[PROBES_MAX];
        char dir[PATH_MAX];
        size_t n = 0, n_awake = 0;
        int lock;

        for (size_t i = 0; i < o->n_sensors; i++)
                if (o->sensors[i]->master == (int)master)
                        here[n++] = o->sensors[i];
        if (n == 0)
                return;
        snprintf(dir, sizeof(dir), "%s/%s", o->path, bus->masters[master].name);
        lock = master_lock(dir);
        for (size_t i = 0; i < n; i++) {
                sensor_check(host, here[i], dir);
                here[i]->rests = tbagent_now(host) < here[i]->rests_until;
                n_awake += !here[i]->rests;
        }
        if (n_awake > 0)
                master_prepare(host, o, bus, master, dir, n);
        for (size_t i = 0; i < n; i++)
                sensor_sample(host, o, here[i], dir);
        if (lock >= 0)
                close(lock);
}

static void floating_tell(struct tbagent_host *host, const Bus *bus) {
        if (bus->floating)
                tbagent_log(host, TBAGENT_WARNING,
                            "the bus has ids 00-...: its data line lacks the pull-up of 4.7 kOhm to 3.3 V, or is held down");
}

static void nothing_tell(struct tbagent_host *host, Onewire *o, const Bus *bus) {
        if (o->empty_told)
                return;
        o->empty_told = true;
        tbagent_log(host, TBAGENT_INFO, "there is no temperature probe on the bus yet");
        floating_tell(host, bus);
}

/* Where a sensor is, and which one is meant by "only". */
static int sensor_resolve(Sensor *s, const Bus *bus, char why[static WHY_SIZE]) {
        int r;

        if (s->invalid) {
                snprintf(why, WHY_SIZE, "its id is no id of a thermometer");
                return -EINVAL;
        }
        r = s->only ? only_resolve(s, bus, why) : 0;
        if (r < 0)
                return r;
        r = bus_find(bus, &s->probe.id);
        if (r < 0) {
                s->probe.suspect = true;
                snprintf(why, WHY_SIZE, "%s is not on the bus", s->probe.id.text);
        }
        return r;
}

static void sensors_resolve(struct tbagent_host *host, Onewire *o, const Bus *bus) {
        char why[WHY_SIZE];

        for (size_t i = 0; i < o->n_sensors; i++) {
                Sensor *s = o->sensors[i];

                s->master = s->key ? sensor_resolve(s, bus, why) : -1;
                if (s->key && s->master < 0)
                        sensor_failed(host, o, s, s->master, why);
        }
}

static int onewire_sample(struct tbagent_host *host, void *state) {
        Onewire *o = state;
        Bus bus;
        int r;

        r = bus_list(o->path, &bus);
        if (r < 0)
                return bus_missing(host, o->path, r);
        for (size_t i = 0; i < bus.n; i++)
                if (!sensor_find(o, &bus.devices[i].id))
                        device_appeared(host, o, &bus.devices[i].id);
        o->retries = (unsigned)tbagent_int(host, tbagent_options(host), "retries");
        o->n_read = o->n_good = 0;
        o->first_error = 0;
        /* Twice: another instance may hold the bus as long. */
        tbagent_timeout(host, READ_USEC * (o->retries + 2) * (o->n_sensors + 1) * 2);
        sensors_resolve(host, o, &bus);
        for (size_t i = 0; i < bus.n_masters; i++)
                master_sample(host, o, &bus, i);
        if (o->n_read == 0) {
                nothing_tell(host, o, &bus);
                return -EAGAIN;
        }
        o->empty_told = false;
        if (o->n_good > 0)
                return 0;
        tbagent_log(host, TBAGENT_WARNING, o->n_read == 1 ? "its probe gives no reading" : "none of its probes gives a reading");
        return o->first_error == -ENODEV ? -EIO : o->first_error; /* a probe that is missing is no missing bus */
}

static void onewire_close(struct tbagent_host *host, void *state) {
        Onewire *o = state;

        (void)host;
        while (o->n_sensors > 0)
                free(o->sensors[--o->n_sensors]);
        free(o);
}

static int sensor_configure(struct tbagent_host *host, Onewire *o, const struct tbagent_node *node) {
        const char *key = tbagent_name(host, node), *id = tbagent_string(host, node, "id", 0);
        bool only = strcmp(id, "only") == 0;
        Sensor *s;

        s = sensor_add(o, &(Id){""});
        if (!s)
                return -ENOMEM;
        s->node = node;
        s->key = key;
        s->only = only;
        s->invalid = !only && (!id_parse(id, &s->probe.id) || !id_thermometer(&s->probe.id));
        o->named = true;
        o->only |= only;
        if (s->invalid)
                say(host, TBAGENT_ERROR,
                    "%s: id = \"%s\" is no id of a thermometer; write one such as 28-0316a2795eff (see ls %s)", key, id, o->path);
        return 0;
}

static int onewire_open(struct tbagent_host *host, void **ret_state) {
        const struct tbagent_node *node = tbagent_options(host), *sensor;
        Onewire *o;
        Bus bus;
        int r;

        o = calloc(1, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->path = tbagent_string(host, node, "path", 0);
        r = bus_list(o->path, &bus);
        if (r < 0)
                bus_missing(host, o->path, r);
        for (size_t i = 0; r >= 0 && (sensor = tbagent_member(host, node, "sensors", i)); i++)
                r = sensor_configure(host, o, sensor);
        if (r < 0) {
                onewire_close(host, o);
                return r;
        }
        *ret_state = o;
        return 0;
}

/* retries is read at each sample, resolution where a probe is to be looked at. */
static int onewire_setting(struct tbagent_host *host, void *state, const char *path) {
        Onewire *o = state;

        (void)host;
        (void)path;
        for (size_t i = 0; i < o->n_sensors; i++)
                o->sensors[i]->probe.suspect = true;
        return 0;
}

static void scan_probe(struct tbagent_host *host, const char *dir, const Id *id) {
        char text[512], reading[WHY_SIZE + 32], why[WHY_SIZE];
        Probe p = {.id = *id};
        int64_t millidegrees;

        if (probe_read(&p, dir, 1, &millidegrees, why) == 0)
                snprintf(reading, sizeof(reading), "%.3f degrees Celsius", (double)millidegrees / 1000);
        else
                snprintf(reading, sizeof(reading), "no reading: %s", why);
        snprintf(text, sizeof(text),
                 "{\"id\":\"%s\",\"what\":\"%s thermometer, %s\",\"family\":\"%.2s\",\"group\":\"sensors\","
                 "\"config\":\"w1_%s = { id = \\\"%s\\\"; };\"}",
                 id->text, id_thermometer(id), reading, id->text, id->text, id->text);
        tbagent_found(host, text);
}

static void scan_device(struct tbagent_host *host, const char *dir, const Id *id) {
        char text[200];

        if (id_thermometer(id)) {
                scan_probe(host, dir, id);
                return;
        }
        snprintf(text, sizeof(text), "{\"id\":\"%s\",\"what\":\"no thermometer that this plugin reads, family %.2s\"}", id->text,
                 id->text);
        tbagent_found(host, text);
}

/* As in a sample, and not in the middle of one of another process. */
static void scan_master(struct tbagent_host *host, const char *path, const Bus *bus, size_t master) {
        char dir[PATH_MAX];
        int lock;

        snprintf(dir, sizeof(dir), "%s/%s", path, bus->masters[master].name);
        lock = master_lock(dir);
        if (bus->masters[master].foreign.text[0] == 0)
                (void)master_convert(bus, master, dir); /* else each converts by itself */
        for (size_t i = 0; i < bus->n; i++)
                if (bus->devices[i].master == master)
                        scan_device(host, dir, &bus->devices[i].id);
        if (lock >= 0)
                close(lock);
}

static int onewire_scan(struct tbagent_host *host) {
        const char *path = tbagent_string(host, tbagent_options(host), "path", 0);
        Bus bus;
        int r;

        r = bus_list(path, &bus);
        if (r < 0)
                return bus_missing(host, path, r);
        tbagent_timeout(host, READ_USEC * 3 * (bus.n + 1));
        for (size_t i = 0; i < bus.n_masters; i++)
                scan_master(host, path, &bus, i);
        floating_tell(host, &bus);
        return 0;
}

TBAGENT_PLUGIN(.name = "onewire", .summary = "temperature probes on a 1-Wire bus (DS18B20 and its kin)", .options = options,
               .open = onewire_open, .sample = onewire_sample, .setting = onewire_setting, .scan = onewire_scan,
               .close = onewire_close);
