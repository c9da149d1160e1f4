/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `system`: how the machine itself does. Everything comes from files under /proc and /sys that are
 * opened, read and closed at each sample (some ten of them, well below a millisecond together).
 *
 * What a machine does not have is left out without a word: a virtual machine has no temperature, a desktop no
 * under-voltage. A rate or a share over time needs two readings, so the first sample has none. Values are
 * rounded to what the sources are good for, since digits cost bytes on the wire.
 *
 * All families are read from the options at each sample, so switching one on or off needs no restart. One
 * sample is one row: about twenty keys by default; `disks` and `interfaces` are bounded to stay below 64.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "system.h"

#define DISKS_MAX 8
#define TICKS_MIN 10 /* a share of fewer is noise: the sum goes on until there are as many */

static const struct tbagent_option options[] = {
        {"cpu", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL, "cpu_usage: share of time the CPUs were busy", NULL},
        {"temperature", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL, "cpu_temperature, in degrees Celsius", NULL},
        {"under_voltage", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL,
         "under_voltage: a Raspberry Pi's supply is too weak", NULL},
        {"throttled", TBAGENT_BOOL, TBAGENT_RUNTIME, "false", 0, 0, NULL, NULL,
         "throttled, throttled_seen, under_voltage_seen of a Raspberry Pi; its kernel logs one warning at the first reading",
         NULL},
        {"load", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL, "load1, load5, load15", NULL},
        {"memory", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL,
         "memory_used and swap_used in percent, memory_available in bytes", NULL},
        {"disk", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL, "disk_used in percent and disk_free in bytes", NULL},
        {"disks", TBAGENT_STRINGS, 0, "/", 0, 0, NULL, NULL,
         "mount points to look at, at most 8; the keys of any but / get its path: disk_used_var_log", NULL},
        {"network", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, NULL, "net_rx and net_tx in bytes per second", NULL},
        {"interfaces", TBAGENT_STRINGS, 0, NULL, 0, 0, NULL, NULL,
         "network interfaces, at most 16, with keys like net_rx_eth0; unset: the one with the default route at each sample",
         NULL},
        {"uptime", TBAGENT_BOOL, TBAGENT_RUNTIME, "true", 0, 0, NULL, "s", "uptime: seconds since the machine was started", NULL},
        {"root", TBAGENT_STRING, 0, "/", 0, 0, NULL, NULL, "folder with the proc and sys to read, for tests", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

/* In percent with one decimal. */
static void percent_emit(struct tbagent_host *host, const char *key, uint64_t part, uint64_t whole) {
        if (whole > 0)
                tbagent_emit_double(host, key, (double)(uint64_t)((double)part * 1000 / (double)whole + 0.5) / 10);
}

static void usage_sample(System *s, struct tbagent_host *host) {
        uint64_t user, nice, system, idle, iowait, irq, softirq, steal, busy, total;
        char text[512];

        if (file_read(s, "proc/stat", text, sizeof(text)) < 0 ||
            sscanf(text, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                   &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal) != 8)
                return;
        busy = user + nice + system + irq + softirq + steal;
        total = busy + idle + iowait;
        if (s->cpu_total > 0 && busy >= s->cpu_busy && total >= s->cpu_total) { /* the kernel's iowait may run backwards */
                if (total - s->cpu_total < TICKS_MIN)
                        return;
                percent_emit(host, "cpu_usage", busy - s->cpu_busy, total - s->cpu_total);
        }
        s->cpu_busy = busy;
        s->cpu_total = total;
}

static void load_sample(System *s, struct tbagent_host *host) {
        static const char *const keys[] = {"load1", "load5", "load15"};
        char text[128], *at = text, *end;
        double load;

        if (file_read(s, "proc/loadavg", text, sizeof(text)) < 0)
                return;
        for (size_t i = 0; i < 3; i++, at = end) {
                load = strtod(at, &end);
                if (end == at)
                        return;
                tbagent_emit_double(host, keys[i], load);
        }
}

/* The value of a line like "MemTotal:  24684096 kB", in bytes. */
static bool meminfo_field(const char *text, const char *name, uint64_t *ret) {
        size_t size = strlen(name);
        const char *line = text;
        uint64_t kib;

        while (line && strncmp(line, name, size) != 0) {
                line = strchr(line, '\n');
                if (line)
                        line++;
        }
        if (!line || sscanf(line + size, ": %" SCNu64, &kib) != 1)
                return false;
        *ret = kib * 1024;
        return true;
}

static void memory_sample(System *s, struct tbagent_host *host) {
        uint64_t total, available, swap, swap_free;
        char text[4096];

        if (file_read(s, "proc/meminfo", text, sizeof(text)) < 0)
                return;
        if (meminfo_field(text, "MemTotal", &total) && meminfo_field(text, "MemAvailable", &available) && available <= total) {
                percent_emit(host, "memory_used", total - available, total);
                tbagent_emit_int(host, "memory_available", (int64_t)available);
        }
        if (meminfo_field(text, "SwapTotal", &swap) && meminfo_field(text, "SwapFree", &swap_free) && swap_free <= swap)
                percent_emit(host, "swap_used", swap - swap_free, swap);
}

/* KEY for /, KEY_var_log for /var/log. */
static const char *disk_key(char *out, size_t size, const char *key, const char *mount) {
        size_t n = (size_t)snprintf(out, size, "%s", key);

        mount += strspn(mount, "/");
        for (const char *c = mount; *c && n + 2 < size; c++) {
                if (c == mount)
                        out[n++] = '_';
                if (*c != '/' || c[1])
                        out[n++] = isalnum((unsigned char)*c) ? *c : '_';
        }
        out[n] = 0;
        return out;
}

static void disk_sample(System *s, struct tbagent_host *host, const char *mount) {
        const char *below = mount + strspn(mount, "/");
        struct statvfs fs;
        char key[96];
        uint64_t used;
        int fd;

        fd = openat(s->root, *below ? below : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstatvfs(fd, &fs) < 0) {
                const char *why = strerrordesc_np(errno);

                tbagent_emit_bad(host, disk_key(key, sizeof(key), "disk_used", mount), why);
                tbagent_emit_bad(host, disk_key(key, sizeof(key), "disk_free", mount), why);
        } else if (fs.f_blocks > 0) {
                used = fs.f_blocks - fs.f_bfree;
                /* As df counts: what only root may still use is neither used nor free. */
                percent_emit(host, disk_key(key, sizeof(key), "disk_used", mount), used, used + fs.f_bavail);
                tbagent_emit_int(host, disk_key(key, sizeof(key), "disk_free", mount),
                                 (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize));
        }
        if (fd >= 0)
                close(fd);
}

static void disks_sample(System *s, struct tbagent_host *host) {
        const char *mount;

        for (size_t i = 0; i < DISKS_MAX && (mount = tbagent_string(host, tbagent_options(host), "disks", i)); i++)
                disk_sample(s, host, mount);
}

static void uptime_sample(System *s, struct tbagent_host *host) {
        int64_t seconds;
        char text[64];

        if (file_read(s, "proc/uptime", text, sizeof(text)) > 0 && sscanf(text, "%" SCNd64, &seconds) == 1)
                tbagent_emit_int(host, "uptime", seconds);
}

static const struct {
        const char *option;
        void (*sample)(System *s, struct tbagent_host *host);
} families[] = {
        {"temperature", temperature_sample},
        {"under_voltage", voltage_sample},
        {"throttled", throttled_sample},
        {"cpu", usage_sample},
        {"load", load_sample},
        {"memory", memory_sample},
        {"disk", disks_sample},
        {"network", network_sample},
        {"uptime", uptime_sample},
};

static int system_sample(struct tbagent_host *host, void *state) {
        const struct tbagent_node *node = tbagent_options(host);

        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
                if (tbagent_int(host, node, families[i].option))
                        families[i].sample(state, host);
        return 0;
}

/* Nothing to do: the switches are read at each sample. */
static int system_setting(struct tbagent_host *host, void *state, const char *path) {
        (void)host;
        (void)state;
        (void)path;
        return 0;
}

static void bound_check(struct tbagent_host *host, const char *option, size_t max) {
        char text[128];

        if (!tbagent_string(host, tbagent_options(host), option, max))
                return;
        snprintf(text, sizeof(text), "%s: only the first %zu are looked at, give the others to a second instance", option, max);
        tbagent_log(host, TBAGENT_WARNING, text);
}

static int system_open(struct tbagent_host *host, void **ret_state) {
        const char *root = tbagent_string(host, tbagent_options(host), "root", 0);
        System *s;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (s->root < 0) {
                int r = -errno;

                free(s);
                return r;
        }
        bound_check(host, "disks", DISKS_MAX);
        bound_check(host, "interfaces", INTERFACES_MAX);
        *ret_state = s;
        return 0;
}

static void system_close(struct tbagent_host *host, void *state) {
        System *s = state;

        (void)host;
        close(s->root);
        free(s);
}

TBAGENT_PLUGIN(.name = "system", .summary = "CPU, memory, disks, network and temperature of this machine", .options = options,
               .open = system_open, .sample = system_sample, .setting = system_setting, .close = system_close);
