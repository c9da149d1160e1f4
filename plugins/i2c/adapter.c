/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /sys/bus/i2c/devices has a folder i2c-N for each adapter and N-00AA for each chip that the kernel knows of. A chip
 * with a link `driver` is the kernel's own: what it measures then stands in a folder hwmon/hwmonN or iio:deviceN.
 *
 * Numbers are not for ever: with an overlay more an adapter may move. So a bus can be given by its name, too.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapter.h"

#define DEVICES "sys/bus/i2c/devices"

/* A path or a sentence; what does not fit is cut. */
static void say(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(char *out, size_t size, const char *format, ...) {
        va_list args;

        va_start(args, format);
        vsnprintf(out, size, format, args);
        va_end(args);
}

static int adapter_compare(const void *a, const void *b) {
        return ((const Adapter *)a)->number - ((const Adapter *)b)->number;
}

/* "i2c-12"; -1: it is none. */
static int number_of(const char *name) {
        char *end;
        long n;

        if (strncmp(name, "i2c-", 4) != 0 || name[4] < '0' || name[4] > '9')
                return -1;
        n = strtol(name + 4, &end, 10);
        return *end == 0 && n < 100000 ? (int)n : -1;
}

static void name_read(const char *root, int number, char out[static ADAPTER_NAME_SIZE]) {
        char path[ADAPTER_PATH_SIZE];
        FILE *f;

        out[0] = 0;
        say(path, sizeof(path), "%s/" DEVICES "/i2c-%d/name", root, number);
        f = fopen(path, "re");
        if (!f)
                return;
        if (fgets(out, ADAPTER_NAME_SIZE, f))
                out[strcspn(out, "\n")] = 0;
        fclose(f);
}

static void adapter_fill(const char *root, int number, Adapter *ret) {
        ret->number = number;
        name_read(root, number, ret->name);
        say(ret->path, sizeof(ret->path), "%s/dev/i2c-%d", root, number);
}

size_t adapter_list(const char *root, Adapter out[static ADAPTERS_MAX]) {
        char path[ADAPTER_PATH_SIZE];
        struct dirent *e;
        size_t n = 0;
        DIR *d;

        say(path, sizeof(path), "%s/" DEVICES, root);
        d = opendir(path);
        if (!d)
                return 0;
        while (n < ADAPTERS_MAX && (e = readdir(d)))
                if (number_of(e->d_name) >= 0)
                        adapter_fill(root, number_of(e->d_name), &out[n++]);
        closedir(d);
        qsort(out, n, sizeof(*out), adapter_compare);
        return n;
}

/* The folder of a channel stands in that of its bus: .../i2c-1/i2c-22. */
int adapter_parent(const char *root, const Adapter *a) {
        char path[ADAPTER_PATH_SIZE], target[PATH_MAX], *slash;
        ssize_t n;

        say(path, sizeof(path), "%s/" DEVICES "/i2c-%d", root, a->number);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                return -1;
        target[n] = 0;
        slash = strrchr(target, '/');
        if (!slash)
                return -1;
        *slash = 0;
        slash = strrchr(target, '/');
        return number_of(slash ? slash + 1 : target);
}

int adapter_find(const char *root, const char *name, int number, Adapter *ret) {
        Adapter all[ADAPTERS_MAX];
        const char *file;
        size_t n;

        if (!name) {
                adapter_fill(root, number, ret);
                return 0;
        }
        if (name[0] == '/') {
                file = strrchr(name, '/') + 1;
                ret->number = number_of(file);
                say(ret->name, sizeof(ret->name), "%s", file);
                say(ret->path, sizeof(ret->path), "%s", name);
                return 0;
        }
        n = adapter_list(root, all);
        for (size_t i = 0; i < n; i++)
                if (strcmp(all[i].name, name) == 0) {
                        *ret = all[i];
                        return 0;
                }
        ret->number = -1;
        say(ret->name, sizeof(ret->name), "%s", name);
        ret->path[0] = 0;
        return -ENODEV;
}

/* "; there are i2c-1 (bcm2835), ..." as far as it fits. */
static void others_append(const char *root, char out[static ADAPTER_TEXT_SIZE]) {
        Adapter all[ADAPTERS_MAX];
        size_t n = adapter_list(root, all), used = strlen(out);

        for (size_t i = 0; i < n && used < ADAPTER_TEXT_SIZE; i++)
                used += (size_t)snprintf(out + used, ADAPTER_TEXT_SIZE - used, "%s %d (%s)", i == 0 ? "; there are" : ",",
                                         all[i].number, all[i].name);
}

static int known_to_kernel(const char *root, int number) {
        char path[ADAPTER_PATH_SIZE];

        say(path, sizeof(path), "%s/" DEVICES "/i2c-%d", root, number);
        return number >= 0 && access(path, F_OK) == 0;
}

/* Whose rights these are: the service's, or those of somebody who tries something. */
static void explain_denied(const char *path, char out[static ADAPTER_TEXT_SIZE]) {
        const struct passwd *user = getpwuid(geteuid());

        if (user && strcmp(user->pw_name, "tbagent") == 0)
                say(out, ADAPTER_TEXT_SIZE, "%s: permission denied: sudo usermod -aG i2c tbagent, then sudo systemctl restart "
                         "tbagent (ls -l %s shows who may)", path, path);
        else
                say(out, ADAPTER_TEXT_SIZE, "%s: permission denied for the user %s: try it with sudo (ls -l %s shows who may)",
                         path, user ? user->pw_name : "that this is", path);
}

void adapter_explain(const char *root, const Adapter *a, int error, char out[static ADAPTER_TEXT_SIZE]) {
        if (!a->path[0]) {
                say(out, ADAPTER_TEXT_SIZE, "no I2C bus is called \"%s\"", a->name);
                others_append(root, out);
        } else if (error == -ENOENT && known_to_kernel(root, a->number))
                say(out, ADAPTER_TEXT_SIZE, "no %s, though the bus is on: sudo modprobe i2c-dev; to have it at every start: "
                         "echo i2c-dev | sudo tee /etc/modules-load.d/i2c-dev.conf", a->path);
        else if (error == -ENODEV) {
                say(out, ADAPTER_TEXT_SIZE, "%s is gone", a->path);
                others_append(root, out);
        } else if (error == -ENOENT || error == -ENXIO) {
                say(out, ADAPTER_TEXT_SIZE, "no %s: sudo raspi-config nonint do_i2c 0 switches the bus on (or dtparam=i2c_arm=on "
                         "in /boot/firmware/config.txt and a reboot)", a->path);
                others_append(root, out);
        } else if (error == -EACCES)
                explain_denied(a->path, out);
        else if (error == -EPERM)
                say(out, ADAPTER_TEXT_SIZE, "%s: the service may not open it: write [Service] and DeviceAllow=%s rw by systemctl "
                         "edit tbagent, then systemctl restart tbagent", a->path, a->path);
        else if (error == -ENOTTY)
                say(out, ADAPTER_TEXT_SIZE, "%s is no I2C bus", a->path);
        else
                say(out, ADAPTER_TEXT_SIZE, "%s: %s", a->path, strerrordesc_np(-error));
}

/* The last part of where the link points to; false: there is no link. */
static int link_name(const char *path, char out[static NAME_MAX + 1]) {
        char target[PATH_MAX];
        const char *slash;
        ssize_t n;

        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
                return 0;
        target[n] = 0;
        slash = strrchr(target, '/');
        say(out, NAME_MAX + 1, "%.*s", NAME_MAX, slash ? slash + 1 : target);
        return 1;
}

/* Where the driver shows its readings: the folder dir/hwmon/hwmonN or dir/iio:deviceN. */
static int readings_find(const char *dir, char *out, size_t size) {
        char path[ADAPTER_PATH_SIZE + 8];
        struct dirent *e;
        int found = 0;
        DIR *d;

        say(path, sizeof(path), "%s/hwmon", dir);
        d = opendir(path);
        if (!d) {
                say(path, sizeof(path), "%s", dir);
                d = opendir(path);
        }
        while (d && !found && (e = readdir(d)))
                if (strncmp(e->d_name, "hwmon", 5) == 0 || strncmp(e->d_name, "iio:device", 10) == 0) {
                        say(out, size, "%.120s/%.24s", path, e->d_name);
                        found = 1;
                }
        if (d)
                closedir(d);
        return found;
}

void adapter_holder(const char *root, const Adapter *a, uint8_t address, char out[static ADAPTER_TEXT_SIZE]) {
        char dir[ADAPTER_PATH_SIZE], path[ADAPTER_PATH_SIZE + 8], driver[NAME_MAX + 1], readings[160];

        say(dir, sizeof(dir), "%s/" DEVICES "/%d-%04x", root, a->number, address);
        say(path, sizeof(path), "%s/driver", dir);
        if (!link_name(path, driver))
                say(driver, sizeof(driver), "of a name that sysfs does not show");
        say(path, sizeof(path), "%s/channel-0", dir);
        if (access(path, F_OK) == 0) {
                say(out, ADAPTER_TEXT_SIZE, "the mux 0x%02x is switched by the kernel (driver %.32s): take `mux` out and name "
                    "the bus of the channel, see %.120s/channel-*", address, driver, dir);
                return;
        }
        if (readings_find(dir, readings, sizeof(readings)))
                say(out, ADAPTER_TEXT_SIZE, "0x%02x belongs to the kernel's driver %.32s, which shows its readings in %s; to "
                    "read it here instead take its overlay out", address, driver, readings);
        else
                say(out, ADAPTER_TEXT_SIZE, "0x%02x belongs to the kernel's driver %.32s: take its overlay out to use it here",
                         address, driver);
}
