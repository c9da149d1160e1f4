/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `onewire`: temperature probes on a 1-Wire bus, through the kernel's w1 driver.
 *
 * Each sample lists the bus and reads the probes one after the other, 0.75 s each; that is what a process of its
 * own is for, and the limit of the call is raised by the number of probes. With `sensors` the probes named there
 * are read, one that is missing is bad until it is back, and others on the bus are mentioned once. Without, every
 * thermometer found is read as w1_ID and stays expected from then on. So plugging and unplugging needs no restart.
 *
 * Per probe, failures are reported with the key, the reason in words (KEY_ok = false); the sample as a whole fails
 * only when no probe gave a value. A missing bus is -ENODEV: the host asks again until there is one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tbagent/plugin.h>

#include "probe.h"

#define PROBES_MAX 256
#define READ_USEC  2000000ull /* a read is given so long, conversion and a slow bus */
#define BUS_HINT   "no 1-Wire bus: add dtoverlay=w1-gpio to /boot/firmware/config.txt and reboot"

typedef struct Sensor {
        Probe probe;
        const char *key; /* borrowed from the options; NULL: on the bus, but not to be read */
        char own_key[ID_SIZE + 4];
        bool only;    /* id = "only": the one probe of the bus */
        bool invalid; /* what the configuration says is no id; the other sensors go on */
        bool denied_told;
} Sensor;

typedef struct Onewire {
        const char *path;
        unsigned retries;
        bool named; /* there are `sensors` */
        bool only;  /* one of them with id = "only" */
        bool empty_told;
        Sensor *sensors[PROBES_MAX]; /* one stays where it is: own_key is lent out */
        size_t n_sensors;
} Onewire;

typedef struct Bus {
        Id ids[PROBES_MAX]; /* sorted */
        size_t n;
        bool floating; /* there are ids 00-...: what the kernel finds on a data line without its pull-up */
} Bus;

static const struct tbagent_option sensor_options[] = {
        {"id", TBAGENT_STRING, TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL,
         "such as 28-0316a2795eff; only: the one probe of the bus", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static const struct tbagent_option options[] = {
        {"sensors", TBAGENT_MAP, TBAGENT_KEYS, NULL, 0, 0, NULL, NULL, "the probes; unset: all that are found, as w1_ID",
         sensor_options},
        {"retries", TBAGENT_INT, TBAGENT_RUNTIME, "2", 0, 10, NULL, NULL, "how often a failed read is repeated before it counts",
         NULL},
        {"path", TBAGENT_STRING, 0, "/sys/bus/w1/devices", 0, 0, NULL, NULL, "where the kernel shows the bus", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int id_compare(const void *a, const void *b) {
        return strcmp(((const Id *)a)->text, ((const Id *)b)->text);
}

/* The devices on all buses. 0; -ENODEV: there is no bus (or none any more); -errno. */
static int bus_list(const char *path, Bus *ret) {
        bool master = false;
        struct dirent *e;
        DIR *d;

        d = opendir(path);
        if (!d)
                return errno == ENOENT ? -ENODEV : -errno;
        ret->n = 0;
        ret->floating = false;
        while ((e = readdir(d))) {
                if (strncmp(e->d_name, "w1_bus_master", strlen("w1_bus_master")) == 0)
                        master = true;
                else if (strncmp(e->d_name, "00-", 3) == 0)
                        ret->floating = true;
                else if (ret->n < PROBES_MAX && id_parse(e->d_name, &ret->ids[ret->n]))
                        ret->n++;
        }
        closedir(d);
        qsort(ret->ids, ret->n, sizeof(Id), id_compare);
        return master ? 0 : -ENODEV;
}

/* Said at each call that fails for it: the host makes it the reason and logs it once. */
static int bus_missing(struct tbagent_host *host, const char *path, int error) {
        char text[512];

        snprintf(text, sizeof(text), "%s: %s", path, strerrordesc_np(-error));
        tbagent_log(host, TBAGENT_WARNING, error == -ENODEV ? BUS_HINT : text);
        return error;
}

static Sensor *sensor_add(Onewire *o, const Id *id) {
        Sensor *s;

        if (o->n_sensors == PROBES_MAX)
                return NULL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        s->probe.id = *id;
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
        char text[160];

        if (!s)
                return;
        name = s->probe.id.text;
        if (!id_thermometer(id))
                snprintf(text, sizeof(text), "%s on the bus is no thermometer that this plugin reads", name);
        else if (o->only)
                return; /* meant by id = "only" */
        else if (o->named)
                snprintf(text, sizeof(text), "%s on the bus is not used; to read it add to sensors: NAME = { id = \"%s\"; };",
                         name, name);
        else {
                snprintf(s->own_key, sizeof(s->own_key), "w1_%s", name);
                s->key = s->own_key;
                snprintf(text, sizeof(text), "found %s, read as %s", name, s->key);
        }
        tbagent_log(host, TBAGENT_INFO, text);
}

/* Gives a sensor with id = "only" the id of the one probe there is. */
static int only_resolve(Sensor *s, const Bus *bus, char why[static WHY_SIZE]) {
        const Id *found = NULL;
        size_t n_found = 0;

        for (size_t i = 0; i < bus->n; i++)
                if (id_thermometer(&bus->ids[i])) {
                        found = &bus->ids[i];
                        n_found++;
                }
        if (n_found == 1) {
                if (strcmp(s->probe.id.text, found->text) != 0)
                        s->probe = (Probe){.id = *found}; /* what another probe showed says nothing about this one */
                return 0;
        }
        if (n_found == 0)
                snprintf(why, WHY_SIZE, "there is no probe on the bus");
        else
                snprintf(why, WHY_SIZE, "id = \"only\", but there are %zu probes: write the id of the one you mean", n_found);
        return -ENODEV;
}

static void denied_tell(struct tbagent_host *host, const Onewire *o, Sensor *s) {
        char text[600];

        if (s->denied_told)
                return;
        s->denied_told = true;
        snprintf(text, sizeof(text),
                 "%s: may not read %s/%s/temperature; look who may: ls -lL %s/%s/, then: chmod a+r that file "
                 "(a udev rule makes it last)",
                 s->key, o->path, s->probe.id.text, o->path, s->probe.id.text);
        tbagent_log(host, TBAGENT_WARNING, text);
}

static int sensor_sample(struct tbagent_host *host, Onewire *o, Sensor *s, const Bus *bus) {
        int64_t millidegrees = 0;
        char why[WHY_SIZE];
        int r = 0;

        if (s->invalid) {
                tbagent_emit_bad(host, s->key, "its id is no id of a thermometer");
                return -EINVAL;
        }
        if (s->only)
                r = only_resolve(s, bus, why);
        if (r == 0)
                r = probe_read(&s->probe, o->path, o->retries, &millidegrees, why);
        if (r < 0) {
                tbagent_emit_bad(host, s->key, why);
                if (r == -EACCES)
                        denied_tell(host, o, s);
                return r;
        }
        s->denied_told = false;
        tbagent_emit_double(host, s->key, (double)millidegrees / 1000);
        return 0;
}

static void nothing_tell(struct tbagent_host *host, Onewire *o, const Bus *bus) {
        if (o->empty_told)
                return;
        o->empty_told = true;
        tbagent_log(host, TBAGENT_INFO, "there is no temperature probe on the bus yet");
        if (bus->floating)
                tbagent_log(host, TBAGENT_WARNING,
                            "the bus has ids 00-...: its data line lacks the pull-up of 4.7 kOhm to 3.3 V");
}

static int onewire_sample(struct tbagent_host *host, void *state) {
        size_t n_read = 0, n_good = 0;
        Onewire *o = state;
        int r, first = 0;
        Bus bus;

        r = bus_list(o->path, &bus);
        if (r < 0)
                return bus_missing(host, o->path, r);
        for (size_t i = 0; i < bus.n; i++)
                if (!sensor_find(o, &bus.ids[i]))
                        device_appeared(host, o, &bus.ids[i]);
        o->retries = (unsigned)tbagent_int(host, tbagent_options(host), "retries");
        tbagent_timeout(host, READ_USEC * (o->retries + 2) * (o->n_sensors + 1));
        for (size_t i = 0; i < o->n_sensors; i++) {
                if (!o->sensors[i]->key)
                        continue;
                n_read++;
                r = sensor_sample(host, o, o->sensors[i], &bus);
                if (r == 0)
                        n_good++;
                else if (first == 0)
                        first = r;
        }
        if (n_read == 0) {
                nothing_tell(host, o, &bus);
                return -EAGAIN;
        }
        o->empty_told = false;
        if (n_good > 0)
                return 0;
        tbagent_log(host, TBAGENT_WARNING, n_read == 1 ? "its probe gives no reading" : "none of its probes gives a reading");
        return first == -ENODEV ? -EIO : first; /* a probe that is missing is no missing bus */
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
        char text[512];
        bool only = strcmp(id, "only") == 0;
        Sensor *s;

        s = sensor_add(o, &(Id){""});
        if (!s)
                return -ENOMEM;
        s->key = key;
        s->only = only;
        s->invalid = !only && (!id_parse(id, &s->probe.id) || !id_thermometer(&s->probe.id));
        o->named = true;
        o->only |= only;
        if (s->invalid) {
                snprintf(text, sizeof(text),
                         "%s: id = \"%s\" is no id of a thermometer; write one such as 28-0316a2795eff (see ls %s)", key, id,
                         o->path);
                tbagent_log(host, TBAGENT_ERROR, text);
        }
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

/* Nothing to do: retries is read at each sample. */
static int onewire_setting(struct tbagent_host *host, void *state, const char *path) {
        (void)host;
        (void)state;
        (void)path;
        return 0;
}

static int onewire_scan(struct tbagent_host *host) {
        const char *path = tbagent_string(host, tbagent_options(host), "path", 0);
        char text[512], reading[WHY_SIZE + 32], why[WHY_SIZE];
        int64_t millidegrees;
        Bus bus;
        int r;

        r = bus_list(path, &bus);
        if (r < 0)
                return bus_missing(host, path, r);
        tbagent_timeout(host, READ_USEC * 3 * (bus.n + 1));
        for (size_t i = 0; i < bus.n; i++) {
                const char *name = id_thermometer(&bus.ids[i]);
                Probe p = {.id = bus.ids[i]};

                if (!name)
                        continue;
                if (probe_read(&p, path, 1, &millidegrees, why) == 0)
                        snprintf(reading, sizeof(reading), "%.3f degrees Celsius", (double)millidegrees / 1000);
                else
                        snprintf(reading, sizeof(reading), "no reading: %s", why);
                snprintf(text, sizeof(text),
                         "{\"id\":\"%s\",\"what\":\"%s thermometer, %s\",\"family\":\"%.2s\",\"group\":\"sensors\","
                         "\"config\":\"w1_%s = { id = \\\"%s\\\"; };\"}",
                         p.id.text, name, reading, p.id.text, p.id.text, p.id.text);
                tbagent_found(host, text);
        }
        return 0;
}

TBAGENT_PLUGIN(.name = "onewire", .summary = "temperature probes on a 1-Wire bus (DS18B20 and its kin)", .options = options,
               .open = onewire_open, .sample = onewire_sample, .setting = onewire_setting, .scan = onewire_scan,
               .close = onewire_close);
