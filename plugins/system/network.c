/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes per second, received and sent: of the interface that has the default route (net_rx, net_tx; it is
 * looked up at every sample, as a Pi changes between cable and Wi-Fi), or of each one that the option
 * `interfaces` names (net_rx_eth0, net_tx_eth0). A rate needs two readings of the same interface: the first
 * sample, a change of the interface and a counter that started anew give no value.
 */
#include <inttypes.h>
#include <string.h>

#include "system.h"

#define ROUTE_UP 1u

/* The lowest metric of all default routes in an open table. */
static bool route_best_ipv4(FILE *f, char name[static 16]) {
        unsigned best = UINT32_MAX, destination, flags, metric, mask;
        char line[512], iface[16];
        bool found = false;

        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, "%15s %x %*x %x %*d %*d %u %x", iface, &destination, &flags, &metric, &mask) != 5)
                        continue; /* the heading */
                if (destination != 0 || mask != 0 || !(flags & ROUTE_UP) || (found && metric >= best))
                        continue;
                best = metric;
                found = true;
                strcpy(name, iface);
        }
        return found;
}

static bool route_best_ipv6(FILE *f, char name[static 16]) {
        unsigned best = UINT32_MAX, prefix, flags, metric;
        char line[512], destination[33], iface[16];
        bool found = false;

        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, "%32s %x %*s %*x %*s %x %*x %*x %x %15s", destination, &prefix, &metric, &flags, iface) != 5)
                        continue;
                if (prefix != 0 || destination[strspn(destination, "0")] || !(flags & ROUTE_UP) || strcmp(iface, "lo") == 0 ||
                    (found && metric >= best))
                        continue;
                best = metric;
                found = true;
                strcpy(name, iface);
        }
        return found;
}

static bool default_interface(const System *s, char name[static 16]) {
        static const struct {
                const char *path;
                bool (*best)(FILE *f, char name[static 16]);
        } tables[] = {{"proc/net/route", route_best_ipv4}, {"proc/net/ipv6_route", route_best_ipv6}};

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
                bool found;
                FILE *f;

                if (file_open(s, tables[i].path, &f) < 0)
                        continue;
                found = tables[i].best(f, name);
                fclose(f);
                if (found)
                        return true;
        }
        return false;
}

static bool traffic_read(const System *s, const char *name, const char *counter, uint64_t *ret) {
        char path[PATH_SIZE];
        int64_t n;

        snprintf(path, sizeof(path), "sys/class/net/%s/statistics/%s", name, counter);
        if (file_number(s, path, 10, &n) < 0)
                return false;
        *ret = (uint64_t)n;
        return true;
}

static void rate_emit(struct tbagent_host *host, const char *direction, const char *suffix, uint64_t bytes, int64_t ns) {
        char key[64];

        snprintf(key, sizeof(key), "net_%s%s%s", direction, *suffix ? "_" : "", suffix);
        tbagent_emit_int(host, key, (int64_t)((double)bytes * 1e9 / (double)ns + 0.5));
}

/* suffix: of the keys, may be empty. */
static void traffic_sample(System *s, struct tbagent_host *host, Traffic *before, const char *name, const char *suffix) {
        Traffic now = {.time_ns = tbagent_now(host)};

        if (strlen(name) >= sizeof(now.name) || strchr(name, '/') || !traffic_read(s, name, "rx_bytes", &now.rx) ||
            !traffic_read(s, name, "tx_bytes", &now.tx)) {
                *before->name = 0;
                return;
        }
        strcpy(now.name, name);
        if (strcmp(before->name, name) == 0 && now.rx >= before->rx && now.tx >= before->tx && now.time_ns > before->time_ns) {
                rate_emit(host, "rx", suffix, now.rx - before->rx, now.time_ns - before->time_ns);
                rate_emit(host, "tx", suffix, now.tx - before->tx, now.time_ns - before->time_ns);
        }
        *before = now;
}

void network_sample(System *s, struct tbagent_host *host) {
        const struct tbagent_node *options = tbagent_options(host);
        const char *name;
        char best[16];

        if (!tbagent_string(host, options, "interfaces", 0)) {
                if (default_interface(s, best))
                        traffic_sample(s, host, &s->traffic[0], best, "");
                return;
        }
        for (size_t i = 0; i < INTERFACES_MAX && (name = tbagent_string(host, options, "interfaces", i)); i++)
                traffic_sample(s, host, &s->traffic[i], name, name);
}
