/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a probe through sysfs, and what must not be taken for a temperature.
 *
 * The file `temperature` has thousandths of a degree; kernels before 5.8 only have `w1_slave` with the raw bytes,
 * the checksum's verdict and t=. Opening starts a conversion, so a read takes up to 0.75 s.
 *
 * - An empty read is a failed read: the kernel answers end-of-file without an error when the probe is gone or its
 *   checksum was wrong, in both files.
 * - 85.000 is what a DS18B20 holds after power-on, before its first conversion, and so what a brown-out or a weak
 *   supply gives. It is read once more, which converts anew. When it stays, it is believed only near the reading
 *   before (a boiler that passes 85 degrees comes from 84.9), never as the first one.
 * - A number outside the chip's range is noise that passed the checksum.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

#define POWER_ON      85000
#define POWER_ON_NEAR 10000

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

/* A sysfs attribute as text: its size, or -errno. */
static int attribute_read(const char *dir, const char *id, const char *name, char *text, size_t size) {
        char path[512];
        ssize_t n;
        int fd;

        if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", dir, id, name) >= sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        do
                n = read(fd, text, size - 1);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                n = -errno;
        close(fd);
        text[n > 0 ? n : 0] = 0;
        return (int)n;
}

static int temperature_parse(const char *text, int64_t *ret) {
        char *end;
        long long n;

        errno = 0;
        n = strtoll(text, &end, 10);
        if (errno != 0 || end == text || (*end != '\n' && *end != 0))
                return -EBADMSG;
        *ret = n;
        return 0;
}

/* "50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n" */
static int slave_parse(const char *text, int64_t *ret) {
        const char *line = strchr(text, '\n'), *number;

        if (!line || line - text < 3)
                return -EBADMSG;
        if (memcmp(line - 3, "YES", 3) != 0)
                return -EIO;
        number = strstr(line, "t=");
        return number ? temperature_parse(number + 2, ret) : -EBADMSG;
}

static int read_once(const Probe *p, const char *dir, int64_t *ret, char why[static WHY_SIZE]) {
        const Family *family = family_find(&p->id);
        const char *file = "temperature";
        int64_t n = 0;
        char text[256];
        int r;

        r = attribute_read(dir, p->id.text, file, text, sizeof(text));
        if (r == -ENOENT) {
                file = "w1_slave";
                r = attribute_read(dir, p->id.text, file, text, sizeof(text));
        }
        if (r == -ENOENT || r == -ENODEV) {
                snprintf(why, WHY_SIZE, "%s is not on the bus", p->id.text);
                return -ENODEV;
        }
        if (r == -EACCES || r == -EPERM) {
                snprintf(why, WHY_SIZE, "%s/%s: permission denied", p->id.text, file);
                return -EACCES;
        }
        if (r < 0) {
                snprintf(why, WHY_SIZE, "%s/%s: %s", p->id.text, file, strerrordesc_np(-r));
                return -EIO;
        }
        if (r == 0) {
                snprintf(why, WHY_SIZE, "%s does not answer, or its checksum was wrong (empty read)", p->id.text);
                return -EIO;
        }
        r = *file == 't' ? temperature_parse(text, &n) : slave_parse(text, &n);
        if (r < 0) {
                snprintf(why, WHY_SIZE, r == -EIO ? "%s: wrong checksum" : "%s: the kernel wrote no temperature", p->id.text);
                return r;
        }
        if (family && (n < family->min || n > family->max)) {
                snprintf(why, WHY_SIZE, "%s: %.3f degrees are outside what a %s measures", p->id.text, (double)n / 1000,
                         family->name);
                return -ERANGE;
        }
        *ret = n;
        return 0;
}

static bool power_on_believable(const Probe *p) {
        return p->has_last && llabs(p->last - POWER_ON) <= POWER_ON_NEAR;
}

int probe_read(Probe *p, const char *dir, unsigned retries, int64_t *ret_millidegrees, char why[static WHY_SIZE]) {
        bool power_on_seen = false;
        int64_t n = 0;
        int r;

        for (unsigned attempt = 0;; attempt++) {
                r = read_once(p, dir, &n, why);
                if (r == 0 && n == POWER_ON && !power_on_seen) {
                        power_on_seen = true; /* once more, retries or not */
                        attempt--;
                        continue;
                }
                if (r == 0 || r == -ENODEV || r == -EACCES || attempt >= retries)
                        break;
        }
        if (r == 0 && n == POWER_ON && !power_on_believable(p)) {
                snprintf(why, WHY_SIZE, "%s: 85 degrees is what it shows after power-on; not believed %s", p->id.text,
                         p->has_last ? "so far from the reading before" : "as the first reading");
                return -ERANGE;
        }
        if (r < 0)
                return r;
        p->has_last = true;
        p->last = n;
        *ret_millidegrees = n;
        return 0;
}
