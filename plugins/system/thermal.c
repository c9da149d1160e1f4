/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU's temperature, and whether a Raspberry Pi gets enough power.
 *
 * Kernels name the same sensor in many ways. A thermal zone whose type speaks of a CPU or SoC wins, then a
 * hwmon chip of a CPU. A zone of another name (a battery, a disk, ACPI's board zone) is not taken for the
 * CPU: no value is better than a wrong one. What was found is kept until a read fails.
 *
 * Under-voltage comes from the hwmon chip rpi_volt, which every kernel of a Pi has. The firmware's word with
 * all the bits (get_throttled) is an option that is off: the Pi's kernels call the file deprecated and write
 * a warning with a backtrace into their log at its first reading.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "system.h"

static const char *const zone_types[] = {"cpu-thermal", "cpu_thermal", "soc_thermal", "soc-thermal", "x86_pkg_temp", NULL};
static const char *const cpu_chips[] = {"cpu_thermal", "coretemp", "k10temp", "zenpower", "soc_thermal", NULL};
static const char *const voltage_chips[] = {"rpi_volt", NULL};

static bool listed(const char *const *names, const char *name) {
        for (; *names; names++)
                if (strcmp(*names, name) == 0)
                        return true;
        return false;
}

/* cpu0-thermal, cpuss0-thermal, cpu-big-thermal, ...: the first of a row of alike zones. */
static bool zone_speaks_of_cpu(const char *type) {
        return strncmp(type, "cpu", 3) == 0 || strncmp(type, "soc", 3) == 0;
}

/* Reads DIR/ENTRY/ATTRIBUTE as one word. */
static int attribute_read(const System *s, const char *dir, const char *entry, const char *attribute, char *text, size_t size) {
        char path[PATH_SIZE];

        if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", dir, entry, attribute) >= sizeof(path))
                return -ENAMETOOLONG;
        if (file_read(s, path, text, size) <= 0)
                return -ENODATA;
        text[strcspn(text, "\n")] = 0;
        return 0;
}

typedef struct Search {
        const char *dir, *prefix;       /* which entries */
        const char *attribute;          /* what tells them apart */
        const char *const *names;       /* what that has to be */
        bool (*also)(const char *name); /* or this, where no entry has one of names; may be NULL */
        const char *file;               /* the path that is wanted */
} Search;

/* Puts the path of the entry that fits best into path: an exact name before `also`, then the lowest number. */
static bool sensor_find(const System *s, const Search *w, char path[static PATH_SIZE]) {
        char name[64], best[64] = "";
        bool best_exact = false;
        struct dirent *e;
        DIR *d;
        int fd;

        fd = openat(s->root, w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return false;
        d = fdopendir(fd);
        if (!d) {
                close(fd);
                return false;
        }
        while ((e = readdir(d))) {
                bool exact, better;

                if (strncmp(e->d_name, w->prefix, strlen(w->prefix)) != 0 || strlen(e->d_name) >= sizeof(best) ||
                    attribute_read(s, w->dir, e->d_name, w->attribute, name, sizeof(name)) < 0)
                        continue;
                exact = listed(w->names, name);
                if (!exact && (!w->also || !w->also(name)))
                        continue;
                better = !*best || (exact && !best_exact) || (exact == best_exact && strverscmp(e->d_name, best) < 0);
                if (better) {
                        strcpy(best, e->d_name);
                        best_exact = exact;
                }
        }
        closedir(d);
        return *best && (size_t)snprintf(path, PATH_SIZE, "%s/%s/%s", w->dir, best, w->file) < PATH_SIZE;
}

void temperature_sample(System *s, struct tbagent_host *host) {
        static const Search zone = {"sys/class/thermal", "thermal_zone", "type", zone_types, zone_speaks_of_cpu, "temp"};
        static const Search chip = {"sys/class/hwmon", "hwmon", "name", cpu_chips, NULL, "temp1_input"};
        int64_t millidegrees;

        if (!*s->temperature_path && !sensor_find(s, &zone, s->temperature_path) && !sensor_find(s, &chip, s->temperature_path))
                return;
        if (file_number(s, s->temperature_path, 10, &millidegrees) < 0) {
                *s->temperature_path = 0;
                tbagent_emit_bad(host, "cpu_temperature", "the sensor does not answer");
                return;
        }
        tbagent_emit_double(host, "cpu_temperature", (double)((millidegrees + (millidegrees < 0 ? -50 : 50)) / 100) / 10);
}

void voltage_sample(System *s, struct tbagent_host *host) {
        static const Search chip = {"sys/class/hwmon", "hwmon", "name", voltage_chips, NULL, "in0_lcrit_alarm"};
        int64_t alarm;

        if (!*s->voltage_path && !sensor_find(s, &chip, s->voltage_path))
                return;
        if (file_number(s, s->voltage_path, 10, &alarm) < 0) {
                *s->voltage_path = 0;
                return;
        }
        tbagent_emit_bool(host, "under_voltage", alarm != 0);
}

void throttled_sample(System *s, struct tbagent_host *host) {
        static const char *const paths[] = {
                "sys/devices/platform/soc/soc:firmware/get_throttled",
                "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", /* Pi 5 */
                NULL,
        };
        int64_t word;

        for (const char *const *path = paths; *path; path++) {
                if (file_number(s, *path, 16, &word) < 0)
                        continue;
                /* Bits 0..3: under-voltage, frequency capped, throttled, soft temperature limit; 16..19: seen since boot. */
                tbagent_emit_bool(host, "throttled", (word & 0xe) != 0);
                tbagent_emit_bool(host, "throttled_seen", (word & 0xe0000) != 0);
                tbagent_emit_bool(host, "under_voltage_seen", (word & 0x10000) != 0);
                return;
        }
}
