/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macro.h"
#include "plugin-harness.h"
#include "tree.h"

#define SECOND 1000000000LL

typedef struct Fixture {
        char *root;
        Option options[8];
        Harness *harness;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        f->root = tree_new();
        tree_put(f->root, "proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\nintr 5\n");
        tree_put(f->root, "proc/loadavg", "0.50 1.25 12.00 1/95 10936\n");
        tree_put(f->root, "proc/uptime", "1233.68 2390.75\n");
        tree_put(f->root, "proc/meminfo",
                 "MemTotal:        1000000 kB\nMemFree:          100000 kB\nMemAvailable:     750000 kB\n"
                 "SwapTotal:         200000 kB\nSwapFree:         150000 kB\n");
        f->options[0] = (Option){"root", f->root};
        f->harness = harness_new("system", f->options);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        harness_free(f->harness);
        tree_free(f->root);
        free(f);
        return 0;
}

static void open_and_sample(Fixture *f) {
        assert_int_equal(harness_open(f->harness), 0);
        harness_set_now(f->harness, 100 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
}

static double value(Fixture *f, const char *key) {
        const Emit *e = harness_last(f->harness, key);

        if (!e)
                fail_msg("no value of %s", key);
        assert_int_not_equal(e->type, EMIT_BAD);
        return e->type == EMIT_DOUBLE ? e->d : (double)e->i;
}

static void test_basics(void **state) {
        Fixture *f = *state;

        open_and_sample(f);
        assert_float_equal(value(f, "load1"), 0.5, 0);
        assert_float_equal(value(f, "load5"), 1.25, 0);
        assert_float_equal(value(f, "load15"), 12, 0);
        assert_float_equal(value(f, "memory_used"), 25, 0);
        assert_float_equal(value(f, "memory_available"), 750000.0 * 1024, 0);
        assert_float_equal(value(f, "swap_used"), 25, 0);
        assert_float_equal(value(f, "uptime"), 1233, 0);
        assert_true(value(f, "disk_used") > 0 && value(f, "disk_used") <= 100);
        assert_true(value(f, "disk_free") > 0);
        for (size_t i = 0; i < harness_emits(f->harness); i++)
                assert_int_equal(harness_emit(f->harness, i)->row, 1);
        /* What this machine does not have, and what needs two samples, is left out without a word. */
        assert_null(harness_last(f->harness, "cpu_temperature"));
        assert_null(harness_last(f->harness, "under_voltage"));
        assert_null(harness_last(f->harness, "cpu_usage"));
        assert_null(harness_last(f->harness, "net_rx"));
        for (int level = TBAGENT_ERROR; level <= TBAGENT_DEBUG; level++)
                assert_int_equal(harness_logged(f->harness, level, ""), 0);
        harness_close(f->harness);
}

static void test_empty_machine(void **state) {
        Fixture *f = *state;

        tree_put(f->root, "proc", NULL);
        open_and_sample(f);
        assert_int_equal(harness_emits(f->harness), 2); /* the disk below root is real */
}

static void test_no_root(void **state) {
        Fixture *f = *state;

        f->options[0].value = "/nowhere/at/all";
        assert_int_equal(harness_open(f->harness), -ENOENT);
}

static void test_garbage(void **state) {
        Fixture *f = *state;

        tree_put(f->root, "proc/stat", "cpu x y z\n");
        tree_put(f->root, "proc/loadavg", "\xff\xfe");
        tree_put(f->root, "proc/meminfo", "MemTotal: 5 kB\nMemAvailable: 7 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB");
        tree_put(f->root, "proc/uptime", "");
        tree_put(f->root, "proc/net/route", "eth0\n\n\t\n");
        tree_put(f->root, "proc/net/ipv6_route", "0000 zz\n");
        open_and_sample(f);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_int_equal(harness_emits(f->harness), 4); /* two samples of the disk */
}

static void test_usage(void **state) {
        Fixture *f = *state;

        open_and_sample(f);
        tree_put(f->root, "proc/stat", "cpu  101 0 101 802 0 0 0 0 0 0\n"); /* 4 ticks: too few to say */
        assert_int_equal(harness_sample(f->harness), 0);
        assert_null(harness_last(f->harness, "cpu_usage"));
        tree_put(f->root, "proc/stat", "cpu  110 5 110 865 10 0 0 0 0 0\n"); /* since the first: 25 of 100 */
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "cpu_usage"), 25, 0);
        harness_clear(f->harness);
        tree_put(f->root, "proc/stat", "cpu  10 0 10 80 0 0 0 0 0 0\n"); /* ran backwards */
        assert_int_equal(harness_sample(f->harness), 0);
        assert_null(harness_last(f->harness, "cpu_usage"));
        tree_put(f->root, "proc/stat", "cpu  40 0 10 150 0 0 0 0 0 0\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "cpu_usage"), 30, 0);
}

static void test_temperature(void **state) {
        Fixture *f = *state;

        tree_put(f->root, "sys/class/thermal/thermal_zone0/type", "BAT0\n");
        tree_put(f->root, "sys/class/thermal/thermal_zone0/temp", "11000\n");
        tree_put(f->root, "sys/class/thermal/cooling_device0/type", "cpu\n");
        open_and_sample(f);
        assert_null(harness_last(f->harness, "cpu_temperature")); /* a battery is no CPU */

        tree_put(f->root, "sys/class/hwmon/hwmon3/name", "coretemp\n");
        tree_put(f->root, "sys/class/hwmon/hwmon3/temp1_input", "-1250\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "cpu_temperature"), -1.3, 1e-9);

        /* The chip goes: said once. Then zones: the exact name beats the one that sounds alike, and 2 beats 10. */
        tree_put(f->root, "sys/class/hwmon/hwmon3", NULL);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_int_equal(harness_last(f->harness, "cpu_temperature")->type, EMIT_BAD);
        tree_put(f->root, "sys/class/thermal/thermal_zone1/type", "cpu-big-thermal\n");
        tree_put(f->root, "sys/class/thermal/thermal_zone1/temp", "1000\n");
        tree_put(f->root, "sys/class/thermal/thermal_zone10/type", "cpu-thermal\n");
        tree_put(f->root, "sys/class/thermal/thermal_zone10/temp", "2000\n");
        tree_put(f->root, "sys/class/thermal/thermal_zone2/type", "cpu-thermal\n");
        tree_put(f->root, "sys/class/thermal/thermal_zone2/temp", "48312\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "cpu_temperature"), 48.3, 1e-9);
        tree_put(f->root, "sys/class/thermal/thermal_zone2/temp", "\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_int_equal(harness_last(f->harness, "cpu_temperature")->type, EMIT_BAD);
}

static void test_power(void **state) {
        Fixture *f = *state;

        tree_put(f->root, "sys/class/hwmon/hwmon1/name", "rpi_volt\n");
        tree_put(f->root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        tree_put(f->root, "sys/devices/platform/soc/soc:firmware/get_throttled", "50008\n");
        open_and_sample(f);
        assert_float_equal(value(f, "under_voltage"), 1, 0);
        assert_null(harness_last(f->harness, "throttled"));

        f->options[1] = (Option){"throttled", "true"}; /* takes effect at the next sample */
        f->options[2] = (Option){"under_voltage", "false"};
        harness_clear(f->harness);
        assert_int_equal(harness_plugin(f->harness)->setting(NULL, NULL, "throttled"), 0);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_null(harness_last(f->harness, "under_voltage"));
        assert_float_equal(value(f, "throttled"), 1, 0);
        assert_float_equal(value(f, "throttled_seen"), 1, 0);
        assert_float_equal(value(f, "under_voltage_seen"), 1, 0);
        tree_put(f->root, "sys/devices/platform/soc/soc:firmware/get_throttled", "1\n");
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "throttled"), 0, 0);
        assert_float_equal(value(f, "throttled_seen"), 0, 0);
        assert_float_equal(value(f, "under_voltage_seen"), 0, 0);
}

static void interface_put(Fixture *f, const char *name, const char *rx, const char *tx) {
        char path[128];

        snprintf(path, sizeof(path), "sys/class/net/%s/statistics/rx_bytes", name);
        tree_put(f->root, path, rx);
        snprintf(path, sizeof(path), "sys/class/net/%s/statistics/tx_bytes", name);
        tree_put(f->root, path, tx);
}

static void test_network(void **state) {
        static const char head[] = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        Fixture *f = *state;
        char routes[512];

        snprintf(routes, sizeof(routes),
                 "%seth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                 "wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
                 "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
                 head);
        tree_put(f->root, "proc/net/route", routes);
        interface_put(f, "eth0", "1000\n", "18446744073\n");
        interface_put(f, "wlan0", "5\n", "5\n");
        open_and_sample(f);
        assert_null(harness_last(f->harness, "net_rx"));
        interface_put(f, "eth0", "6000\n", "18446744074\n");
        harness_set_now(f->harness, 102 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "net_rx"), 2500, 0);
        assert_float_equal(value(f, "net_tx"), 1, 0); /* 0.5 is rounded */

        /* The cable is pulled: the default route goes over Wi-Fi, whose first reading has no rate. */
        harness_clear(f->harness);
        snprintf(routes, sizeof(routes), "%swlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n", head);
        tree_put(f->root, "proc/net/route", routes);
        harness_set_now(f->harness, 104 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_null(harness_last(f->harness, "net_rx"));
        interface_put(f, "wlan0", "4\n", "9\n"); /* a counter that started anew */
        harness_set_now(f->harness, 106 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_null(harness_last(f->harness, "net_rx"));
        interface_put(f, "wlan0", "14\n", "9\n");
        harness_set_now(f->harness, 108 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "net_rx"), 5, 0);
        assert_float_equal(value(f, "net_tx"), 0, 0);
}

static void test_network_ipv6_only(void **state) {
        static const char zero[] = "00000000000000000000000000000000";
        Fixture *f = *state;
        char routes[1024];

        snprintf(routes, sizeof(routes),
                 "%s 00 %s 00 %s ffffffff 00000001 00000000 00200200       lo\n"
                 "fd000000000000000000000000000000 40 %s 00 %s 00000100 00000001 00000000 00000001     eth1\n"
                 "%s 00 %s 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n",
                 zero, zero, zero, zero, zero, zero, zero);
        tree_put(f->root, "proc/net/route", "");
        tree_put(f->root, "proc/net/ipv6_route", routes);
        interface_put(f, "eth0", "0\n", "0\n");
        open_and_sample(f);
        interface_put(f, "eth0", "30\n", "60\n");
        harness_set_now(f->harness, 103 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "net_rx"), 10, 0);
        assert_float_equal(value(f, "net_tx"), 20, 0);
}

static void test_named_interfaces(void **state) {
        Fixture *f = *state;

        f->options[1] = (Option){"interfaces", "eth0\nnot-there\n../../../etc\na-name-that-no-interface-can-have\ntun0"};
        interface_put(f, "eth0", "0\n", "0\n");
        interface_put(f, "tun0", "0\n", "0\n");
        open_and_sample(f);
        interface_put(f, "eth0", "7\n", "8\n");
        interface_put(f, "tun0", NULL, NULL);
        harness_set_now(f->harness, 101 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        assert_float_equal(value(f, "net_rx_eth0"), 7, 0);
        assert_float_equal(value(f, "net_tx_eth0"), 8, 0);
        assert_null(harness_last(f->harness, "net_rx_tun0"));
        assert_null(harness_last(f->harness, "net_rx"));
}

static void test_disks(void **state) {
        Fixture *f = *state;

        f->options[1] = (Option){"disks", "/\n/var/log/\n/mnt/usb-stick"};
        tree_put(f->root, "var/log/messages", "");
        open_and_sample(f);
        assert_true(value(f, "disk_used") > 0);
        assert_true(value(f, "disk_used_var_log") > 0);
        assert_true(value(f, "disk_free_var_log") > 0);
        assert_int_equal(harness_last(f->harness, "disk_used_mnt_usb_stick")->type, EMIT_BAD);
        assert_string_equal(harness_last(f->harness, "disk_free_mnt_usb_stick")->text, "No such file or directory");
        assert_float_equal(value(f, "uptime"), 1233, 0); /* the rest of the sample is there */
}

static void test_too_many(void **state) {
        Fixture *f = *state;

        f->options[1] = (Option){"disks", "/\n/a\n/b\n/c\n/d\n/e\n/f\n/g\n/h"};
        f->options[2] = (Option){"throttled", "true"};
        open_and_sample(f);
        assert_int_equal(harness_logged(f->harness, TBAGENT_WARNING, "disks: only the first 8 are looked at"), 1);
        assert_non_null(harness_last(f->harness, "disk_used_g"));
        assert_null(harness_last(f->harness, "disk_used_h"));
}

static void test_switches(void **state) {
        static const char *const families[] = {"cpu", "load", "memory", "disk", "network", "uptime"};
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTS(families); i++)
                f->options[1 + i] = (Option){families[i], "false"};
        open_and_sample(f);
        assert_int_equal(harness_emits(f->harness), 0);
}

/* This machine as it is: whatever it has, one sample is one row that the host accepts. */
static void test_this_machine(void **state) {
        Fixture *f = *state;
        size_t n;

        f->options[0].value = "/";
        open_and_sample(f);
        harness_clear(f->harness);
        harness_set_now(f->harness, 101 * SECOND);
        assert_int_equal(harness_sample(f->harness), 0);
        n = harness_emits(f->harness);
        assert_true(n >= 8 && n <= 64);
        assert_true(value(f, "uptime") > 0);
        assert_true(value(f, "memory_used") > 0 && value(f, "memory_used") <= 100);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(harness_emit(f->harness, i)->row, harness_emit(f->harness, 0)->row);
                assert_int_equal(harness_count(f->harness, harness_emit(f->harness, i)->key), 1);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(test_basics),
                TEST(test_empty_machine),
                TEST(test_no_root),
                TEST(test_garbage),
                TEST(test_usage),
                TEST(test_temperature),
                TEST(test_power),
                TEST(test_network),
                TEST(test_network_ipv6_only),
                TEST(test_named_interfaces),
                TEST(test_disks),
                TEST(test_too_many),
                TEST(test_switches),
                TEST(test_this_machine),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
