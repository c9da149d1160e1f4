/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common conversion, therm_bulk_read of the kernel's w1_therm, and its traps (kernel 6.1 to 6.12):
 *
 * - The file is there on one bus only, the one that had a thermometer first.
 * - Writing to it succeeds even where nothing was started. What it shows afterwards tells, but not where no probe answered
 *   the reset: then it took no time.
 * - It marks every probe as converted, for whoever reads w1_slave next, and the mark has no age: that read may come hours
 *   later, from another instance, and get what the probe held then. So each sample starts a conversion, for a single
 *   probe, too, and where none took place the marks are cleared, by a read that is thrown away.
 * - It looks into every device of the bus as if it were a thermometer, so one that is not must keep us from it.
 * - A second conversion in the middle of the first would have probes read that are not ready. So the bus is locked from the
 *   conversion to the last read, for instances of this plugin.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "attribute.h"
#include "bus.h"

#define MASTER "w1_bus_master"

static int device_compare(const void *a, const void *b) {
        return strcmp(((const Id *)a)->text, ((const Id *)b)->text); /* the id stands first */
}

static void device_add(Bus *bus, const char *name, size_t master) {
        Id id;

        if (strncmp(name, "00-", 3) == 0)
                bus->floating = true;
        else if (bus->n < PROBES_MAX && id_parse(name, &id)) {
                if (!id_thermometer(&id))
                        bus->masters[master].foreign = id;
                bus->devices[bus->n].id = id;
                bus->devices[bus->n++].master = master;
        }
}

static int master_list(const char *path, Bus *bus, size_t master) {
        char dir[PATH_MAX];
        struct dirent *e;
        DIR *d;

        snprintf(dir, sizeof(dir), "%s/%s", path, bus->masters[master].name);
        d = opendir(dir);
        if (!d)
                return errno == ENOENT ? 0 : -errno; /* it goes just now */
        while ((e = readdir(d)))
                device_add(bus, e->d_name, master);
        closedir(d);
        return 0;
}

int bus_list(const char *path, Bus *ret) {
        struct dirent *e;
        int r = 0;
        DIR *d;

        d = opendir(path);
        if (!d)
                return errno == ENOENT ? -ENODEV : -errno;
        ret->n = ret->n_masters = 0;
        ret->floating = false;
        while (r == 0 && (e = readdir(d))) {
                if (strncmp(e->d_name, MASTER, strlen(MASTER)) != 0 || strlen(e->d_name) >= NAME_SIZE ||
                    ret->n_masters == MASTERS_MAX)
                        continue;
                ret->masters[ret->n_masters] = (Master){0};
                strcpy(ret->masters[ret->n_masters].name, e->d_name);
                r = master_list(path, ret, ret->n_masters++);
        }
        closedir(d);
        if (r < 0)
                return r;
        qsort(ret->devices, ret->n, sizeof(ret->devices[0]), device_compare);
        return ret->n_masters > 0 ? 0 : -ENODEV;
}

int bus_find(const Bus *bus, const Id *id) {
        for (size_t i = 0; i < bus->n; i++)
                if (strcmp(bus->devices[i].id.text, id->text) == 0)
                        return (int)bus->devices[i].master;
        return -ENODEV;
}

int master_lock(const char *dir) {
        int fd, r;

        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        do
                r = flock(fd, LOCK_EX);
        while (r < 0 && errno == EINTR);
        if (r == 0)
                return fd;
        r = -errno;
        close(fd);
        return r;
}

static int64_t now_msec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool device_dir(const Bus *bus, size_t device, size_t master, const char *dir, char out[static PATH_MAX]) {
        return bus->devices[device].master == master &&
               (size_t)snprintf(out, PATH_MAX, "%s/%s", dir, bus->devices[device].id.text) < PATH_MAX;
}

/* How long the slowest of the bus takes, less a tenth for clocks that differ; 0: the kernel does not tell. */
static int64_t least_msec(const Bus *bus, size_t master, const char *dir) {
        char device[PATH_MAX];
        int64_t n, most = 0;

        for (size_t i = 0; i < bus->n; i++)
                if (device_dir(bus, i, master, dir, device) && attribute_number(device, "conv_time", &n) == 0 && n > most)
                        most = n;
        return most * 9 / 10;
}

static void marks_clear(const Bus *bus, size_t master, const char *dir) {
        char device[PATH_MAX], text[256];

        for (size_t i = 0; i < bus->n; i++)
                if (device_dir(bus, i, master, dir, device))
                        (void)attribute_read(device, "w1_slave", text, sizeof(text));
}

int master_convert(const Bus *bus, size_t master, const char *dir) {
        int64_t least = least_msec(bus, master, dir), began = now_msec(), state = 0;
        bool waited;
        int r, looked;

        r = attribute_write(dir, "therm_bulk_read", "trigger\n");
        waited = now_msec() - began >= least;
        looked = attribute_number(dir, "therm_bulk_read", &state);
        if (r == 0)
                r = looked;
        /* 0: not started; -1: by another program, and not done */
        if (r == 0 && (state != 1 || !waited))
                r = -EIO;
        if (r < 0 && looked == 0 && state == 1)
                marks_clear(bus, master, dir);
        return r == -EPERM || r == -EROFS ? -EACCES : r;
}
