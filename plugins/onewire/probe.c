/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a probe through sysfs, and what must not be taken for a temperature.
 *
 * The file w1_slave has the nine bytes of the probe's memory, the verdict on their checksum, and the temperature that the
 * kernel makes of them. (Its file `temperature` has that alone, and so cannot tell what follows.) Opening starts a
 * conversion, so a read takes up to 0.75 s; after a common conversion of the bus it takes no time.
 *
 * - An empty read is a failed read: the kernel answers end-of-file without an error when the probe is gone or its
 *   checksum was wrong.
 * - Nine zeros are what a data line shows that something pulls down, and their checksum is right: not 0 degrees.
 * - 85.000 is what a probe holds after power-on, before its first conversion, and so what a brown-out or a weak supply
 *   gives. A DS18B20 that has converted to 85 degrees says so in byte 6 and is believed. Otherwise it is read once more,
 *   which converts anew; when it stays it is believed only near the reading before (a boiler that passes 85 degrees comes
 *   from 84.9), never as the first one. A DS18S20, and copies of a DS18B20, cannot say it. A probe that once had another
 *   byte 6 can, and then 85 degrees with 0x0c are a brown-out also where it was 84.9 degrees before.
 * - A MAX31850 gives a number for a thermocouple that is torn off, too, and says so in other bits.
 * - A number outside the chip's range is noise that passed the checksum.
 *
 * A probe that lost its supply also lost the resolution that was set, while the kernel still waits as long as the old one
 * takes: too short, for ever, and each reading would be the one before. So each reading is compared with the resolution
 * that the kernel knows: byte 4 has the one that the probe has. After every failure, and 85 degrees, it is looked at
 * (`suspect`), which tells the kernel, too. A copy whose byte 4 cannot be changed has what it always had.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attribute.h"
#include "probe.h"

#define POWER_ON      85000
#define POWER_ON_NEAR 10000
#define MEMORY_SIZE   9 /* the last one is the checksum */
#define CONFIG        4 /* bytes of it */
#define RESERVED      6
#define AFTER_RESET   0x0c
#define COUPLE        0x80 /* of CONFIG: it is a MAX31850 */
#define BITS_MIN      9
#define BITS_MAX      14

typedef struct Family {
        char code[3];
        const char *name;
        int64_t min, max; /* thousandths of a degree */
} Family;

static const Family families[] = {
        {"10", "DS18S20", -55000, 125000},           {"22", "DS1822", -55000, 125000},   {"28", "DS18B20", -55000, 125000},
        {"3b", "DS1825/MAX31850", -270000, 1800000}, {"42", "DS28EA00", -55000, 125000},
};

static const Family *family_find(const Id *id) {
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
                if (strncmp(id->text, families[i].code, 2) == 0)
                        return &families[i];
        return NULL;
}

const char *id_thermometer(const Id *id) {
        const Family *f = family_find(id);

        return f ? f->name : NULL;
}

bool id_parse(const char *text, Id *ret) {
        Id id = {""};

        if (strlen(text) != ID_SIZE - 1)
                return false;
        for (size_t i = 0; i < ID_SIZE - 1; i++) {
                if (i == 2 ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
                        return false;
                id.text[i] = (char)tolower((unsigned char)text[i]);
        }
        *ret = id;
        return true;
}

/* "50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n" */
static int slave_parse(const char *text, uint8_t memory[static MEMORY_SIZE], int64_t *ret) {
        const char *line = strchr(text, '\n'), *number;
        unsigned b[MEMORY_SIZE];
        char *end;

        if (!line || line - text < 3 ||
            sscanf(text, "%2x %2x %2x %2x %2x %2x %2x %2x %2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7], &b[8]) !=
                    MEMORY_SIZE)
                return -EBADMSG;
        if (memcmp(line - 3, "YES", 3) != 0)
                return -EIO;
        number = strstr(line, "t=");
        if (!number)
                return -EBADMSG;
        errno = 0;
        *ret = strtoll(number + 2, &end, 10);
        if (errno != 0 || end == number + 2 || (*end != '\n' && *end != 0))
                return -EBADMSG;
        for (size_t i = 0; i < MEMORY_SIZE; i++)
                memory[i] = (uint8_t)b[i];
        return 0;
}

static bool all_zero(const uint8_t memory[static MEMORY_SIZE]) {
        for (size_t i = 0; i < MEMORY_SIZE; i++)
                if (memory[i] != 0)
                        return false;
        return true;
}

static bool is_max31850(const Id *id, const uint8_t memory[static MEMORY_SIZE]) {
        return strncmp(id->text, "3b", 2) == 0 && memory[CONFIG] & COUPLE;
}

/* The one of which is known what byte 6 means. */
static bool is_ds18b20(const Id *id) {
        return strncmp(id->text, "28", 2) == 0;
}

/* What a MAX31850 says of its thermocouple; NULL: it is well. */
static const char *couple_fault(const Id *id, const uint8_t memory[static MEMORY_SIZE]) {
        if (!is_max31850(id, memory) || !(memory[0] & 1))
                return NULL;
        if (memory[2] & 1)
                return "its thermocouple is not connected";
        return memory[2] & 2 ? "its thermocouple touches ground" : "its thermocouple touches the supply";
}

/* The nine bytes and what they mean, or an error with its reason. */
static int judge(const Probe *p, const char *text, uint8_t memory[static MEMORY_SIZE], int64_t *ret, char why[static WHY_SIZE]) {
        const Family *family = family_find(&p->id);
        const char *id = p->id.text, *fault;
        int r;

        r = slave_parse(text, memory, ret);
        if (r < 0) {
                snprintf(why, WHY_SIZE, r == -EIO ? "%s: wrong checksum" : "%s: the kernel wrote no temperature", id);
                return r;
        }
        if (all_zero(memory)) {
                snprintf(why, WHY_SIZE, "%s: only zeros: something pulls the data line down", id);
                return -EIO;
        }
        fault = couple_fault(&p->id, memory);
        if (fault) {
                snprintf(why, WHY_SIZE, "%s: %s", id, fault);
                return -EIO;
        }
        if (family && (*ret < family->min || *ret > family->max)) {
                snprintf(why, WHY_SIZE, "%s: %.3f degrees are outside what a %s measures", id, (double)*ret / 1000, family->name);
                return -ERANGE;
        }
        return 0;
}

/* As the kernel's w1_therm has it, also for copies of a DS18B20 that have more than 12. */
static int bits_of(const uint8_t memory[static MEMORY_SIZE]) {
        int bits = BITS_MIN + (memory[CONFIG] >> 5);

        return bits > BITS_MAX ? BITS_MAX : bits;
}

/* Before it converted, or meanwhile: the kernel did not wait long enough then. */
static int bits_check(const Probe *p, const uint8_t memory[static MEMORY_SIZE], char why[static WHY_SIZE]) {
        if (p->bits == 0 || bits_of(memory) == p->bits)
                return 0;
        snprintf(why, WHY_SIZE, "%s has %d bits of resolution, no longer %d: it lost its supply (or another program set that)",
                 p->id.text, bits_of(memory), p->bits);
        return -ESTALE;
}

/* power_on: it may be what the probe shows after power-on. */
static int read_once(Probe *p, const char *dir, int64_t *ret, bool *ret_power_on, char why[static WHY_SIZE]) {
        uint8_t memory[MEMORY_SIZE] = {0};
        char folder[PATH_MAX], text[256];
        int64_t n = 0;
        int r;

        snprintf(folder, sizeof(folder), "%s/%s", dir, p->id.text);
        r = attribute_read(folder, "w1_slave", text, sizeof(text));
        if (r == -ENOENT && access(folder, F_OK) == 0) {
                snprintf(why, WHY_SIZE, "%s has no file w1_slave, so its driver is missing: modprobe w1_therm", p->id.text);
                return -EIO;
        }
        if (r == -ENOENT || r == -ENODEV) {
                snprintf(why, WHY_SIZE, "%s is not on the bus", p->id.text);
                return -ENODEV;
        }
        if (r == -EACCES || r == -EPERM) {
                snprintf(why, WHY_SIZE, "%s/w1_slave: permission denied", p->id.text);
                return -EACCES;
        }
        if (r < 0) {
                snprintf(why, WHY_SIZE, "%s/w1_slave: %s", p->id.text, strerrordesc_np(-r));
                return -EIO;
        }
        if (r == 0) {
                snprintf(why, WHY_SIZE, "%s does not answer, or its checksum was wrong (empty read)", p->id.text);
                return -EIO;
        }
        r = judge(p, text, memory, &n, why);
        if (r == 0)
                r = bits_check(p, memory, why);
        if (r < 0)
                return r;
        *ret = n;
        p->says_converted |= is_ds18b20(&p->id) && memory[RESERVED] != AFTER_RESET;
        *ret_power_on = n == POWER_ON && memory[RESERVED] == AFTER_RESET && !is_max31850(&p->id, memory);
        return 0;
}

static bool power_on_believable(const Probe *p) {
        return p->has_last && !p->says_converted && llabs(p->last - POWER_ON) <= POWER_ON_NEAR;
}

int probe_read(Probe *p, const char *dir, unsigned retries, int64_t *ret_millidegrees, char why[static WHY_SIZE]) {
        bool power_on = false, power_on_seen = false;
        int64_t n = 0;
        int r;

        for (unsigned attempt = 0;; attempt++) {
                r = read_once(p, dir, &n, &power_on, why);
                if (r < 0 || power_on)
                        p->suspect = true;
                if (r == 0 && power_on && !power_on_seen) {
                        power_on_seen = true; /* once more, retries or not */
                        attempt--;
                        continue;
                }
                if (r == 0 || r == -ENODEV || r == -EACCES || r == -ESTALE || attempt >= retries)
                        break;
        }
        if (r == 0 && power_on && !power_on_believable(p)) {
                snprintf(why, WHY_SIZE, "%s: 85 degrees is what it shows after power-on; not believed %s", p->id.text,
                         p->says_converted ? "of one that says when it has converted" :
                         p->has_last       ? "so far from the reading before" : "as the first reading");
                return -ERANGE;
        }
        if (r < 0)
                return r;
        p->has_last = true;
        p->last = n;
        *ret_millidegrees = n;
        return 0;
}

static int errno_group(int r) {
        switch (r) {
        case -EACCES:
        case -EPERM:
        case -EROFS:
                return -EACCES;
        case -ENOENT:
        case -ENODEV:
                return -ENODEV;
        case -EINVAL:
                return -EINVAL;
        default:
                return -EIO;
        }
}

/* A DS18S20 has no such file, a MAX31850 always says 14. */
static bool has_no_choice(const Probe *p, int error, int64_t bits) {
        return error == -ENOENT ? strncmp(p->id.text, "10", 2) == 0
                                : error == 0 && bits == 14 && strncmp(p->id.text, "3b", 2) == 0;
}

/* From `now`. */
static int resolution_set(Probe *p, const char *folder, int now, int bits) {
        char text[16];
        int r = 0;

        if (bits != 0 && bits != now) {
                snprintf(text, sizeof(text), "%d\n", bits);
                r = attribute_write(folder, "resolution", text);
        }
        p->bits = bits != 0 && r == 0 ? bits : now;
        return r;
}

int probe_resolution(Probe *p, const char *dir, int bits) {
        char folder[PATH_MAX];
        int64_t now = 0;
        int r;

        p->bits = 0;
        snprintf(folder, sizeof(folder), "%s/%s", dir, p->id.text);
        r = attribute_number(folder, "resolution", &now);
        if (has_no_choice(p, r, now))
                r = bits == 0 ? 0 : -EINVAL;
        else if (r == 0 && now < 0)
                r = -EIO; /* the kernel could not ask it */
        else if (r == 0)
                r = resolution_set(p, folder, (int)now, bits);
        if (r == 0 || r == -EINVAL)
                p->suspect = false;
        return r < 0 ? errno_group(r) : 0;
}
