/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BME280 and BMP280: temperature, pressure, and with the BME280 humidity.
 * Bosch BST-BME280-DS002 (1.23) and BST-BMP280-DS001 (1.26): registers section 5.4/4.3, compensation 4.2.3/3.11.3 in
 * integers, the longest time of a measurement 9.1/3.8.1. Each sample is one measurement in forced mode, so the chip
 * sleeps in between and is told its settings every time. 0x80000 and 0x8000 mean that a quantity was not measured.
 */
#include "../bytes.h"
#include "../device.h"

#define ID           0xd0
#define ID_BME280    0x60
#define ID_BMP280    0x58
#define ID_SAMPLE    0x56 /* and 0x57: early BMP280 */
#define CALIBRATION  0x88
#define CALIBRATION2 0xe1
#define H1           0xa1
#define CTRL_HUM     0xf2
#define STATUS       0xf3
#define CTRL_MEAS    0xf4
#define CONFIG       0xf5

#define STATUS_MEASURING 0x08
#define STATUS_COPYING   0x01 /* the calibration, after power-on */
#define HUM_X1           0x01
#define MEAS_FORCED      0x4d /* temperature x2, pressure x4 */
#define MEASURE_USEC     18500u /* 1.25 + 2 * 2.3 + (4 * 2.3 + 0.575) + (2.3 + 0.575) ms */
#define SKIPPED          0x80000u
#define SKIPPED_HUMIDITY 0x8000u

typedef struct Calibration {
        int64_t t1, t2, t3, p[10], h1, h2, h3, h4, h5, h6; /* p[1] to p[9], named as in the datasheet */
} Calibration;

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"pressure", "hPa", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};
static const Quantity quantities_dry[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"pressure", "hPa", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

extern const Driver bme280_driver, bmp280_driver;

static bool has_humidity(const Device *d) {
        return d->driver == &bme280_driver;
}

static int identify(Device *d) {
        uint8_t id;
        int r;

        r = device_get(d, ID, &id, 1);
        if (r < 0)
                return r;
        if (has_humidity(d) ? id == ID_BME280 : id == ID_BMP280 || id == ID_SAMPLE || id == ID_SAMPLE + 1)
                return 0;
        if (id == ID_BME280 || id == ID_BMP280)
                return device_fail(d, WRONG_CHIP, "0x%02x is a %s: write chip = \"%s\";", d->route.address,
                                   id == ID_BME280 ? "bme280" : "bmp280", id == ID_BME280 ? "bme280" : "bmp280");
        return device_fail(d, WRONG_CHIP, "0x%02x is no %s: its id is 0x%02x", d->route.address, d->driver->name, id);
}

static int humidity_init(Device *d, Calibration *c) {
        uint8_t b[7];
        int r;

        r = device_get(d, H1, b, 1);
        if (r < 0)
                return r;
        c->h1 = b[0];
        r = device_get(d, CALIBRATION2, b, sizeof(b));
        if (r < 0)
                return r;
        c->h2 = le16s(b);
        c->h3 = b[2];
        c->h4 = (int8_t)b[3] * 16 + (b[4] & 0x0f);
        c->h5 = (int8_t)b[5] * 16 + (b[4] >> 4);
        c->h6 = (int8_t)b[6];
        return 0;
}

static int init(Device *d) {
        Calibration *c = d->data;
        uint8_t b[24], status;
        int r;

        r = device_get(d, STATUS, &status, 1);
        if (r == 0)
                r = device_get(d, CALIBRATION, b, sizeof(b));
        if (r < 0)
                return r;
        if (status & STATUS_COPYING)
                return device_fail(d, -EIO, "0x%02x is still starting", d->route.address);
        c->t1 = le16(b);
        c->t2 = le16s(b + 2);
        c->t3 = le16s(b + 4);
        c->p[1] = le16(b + 6);
        for (int i = 2; i <= 9; i++)
                c->p[i] = le16s(b + 4 + 2 * i);
        if (c->t1 == 0 || c->p[1] == 0)
                return device_fail(d, -EIO, "0x%02x has no calibration", d->route.address);
        return has_humidity(d) ? humidity_init(d, c) : 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        int r;

        r = device_put(d, CONFIG, 0); /* no filter: samples may be minutes apart */
        if (r == 0 && has_humidity(d))
                r = device_put(d, CTRL_HUM, HUM_X1); /* takes effect with the next write to CTRL_MEAS */
        if (r == 0)
                r = device_put(d, CTRL_MEAS, MEAS_FORCED);
        *ret_usec = MEASURE_USEC;
        return r;
}

static int64_t temperature_fine(const Calibration *c, uint32_t raw) {
        int64_t adc = raw, v1, v2;

        v1 = ((adc >> 3) - c->t1 * 2) * c->t2 >> 11;
        v2 = (adc >> 4) - c->t1;
        v2 = (v2 * v2 >> 12) * c->t3 >> 14;
        return v1 + v2;
}

static int64_t times(bool *overflow, int64_t a, int64_t b) {
        int64_t product = 0;

        *overflow |= __builtin_mul_overflow(a, b, &product);
        return product;
}

/* In Pa / 256. False: nothing that this calibration could mean. */
static bool pressure(const Calibration *c, uint32_t raw, int64_t fine, int64_t *ret) {
        int64_t v1 = fine - 128000, v2, p;
        bool overflow = false;

        v2 = v1 * v1 * c->p[6] + v1 * c->p[5] * ((int64_t)1 << 17) + c->p[4] * ((int64_t)1 << 35);
        v1 = (v1 * v1 * c->p[3] >> 8) + v1 * c->p[2] * 4096;
        v1 = times(&overflow, ((int64_t)1 << 47) + v1, c->p[1]) >> 33;
        if (v1 == 0 || overflow)
                return false;
        p = times(&overflow, (int64_t)(1048576 - raw) * ((int64_t)1 << 31) - v2, 3125) / v1;
        v1 = times(&overflow, times(&overflow, c->p[9], p >> 13), p >> 13) >> 25;
        v2 = times(&overflow, c->p[8], p) >> 19;
        if (overflow || p > INT64_MAX / 4 || p < INT64_MIN / 4)
                return false;
        *ret = ((p + v1 + v2) >> 8) + c->p[7] * 16;
        return true;
}

/* In % / 1024. */
static int64_t humidity(const Calibration *c, uint32_t raw, int64_t fine) {
        int64_t v = fine - 76800, a, b;

        a = ((int64_t)raw * 16384 - c->h4 * 1048576 - c->h5 * v + 16384) >> 15;
        b = (((v * c->h6 >> 10) * ((v * c->h3 >> 11) + 32768)) >> 10) + 2097152;
        v = a * ((b * c->h2 + 8192) >> 14);
        v -= ((v >> 15) * (v >> 15) >> 7) * c->h1 >> 4;
        v = v < 0 ? 0 : v > 419430400 ? 419430400 : v;
        return v >> 12;
}

static void compensate(Device *d, const uint8_t *b) {
        uint32_t raw_p = be24(b) >> 4, raw_t = be24(b + 3) >> 4, raw_h = be16(b + 6);
        const Calibration *c = d->data;
        int64_t fine = temperature_fine(c, raw_t), p = 0;
        bool warm = raw_t != SKIPPED && (fine * 5 + 128) >> 8 >= -4000 && (fine * 5 + 128) >> 8 <= 8500;

        if (warm)
                device_good(d, 0, (double)((fine * 5 + 128) >> 8) / 100);
        else
                device_bad(d, 0, raw_t == SKIPPED ? "temperature was not measured" : "temperature is outside -40 to 85 degrees");
        if (!warm || raw_p == SKIPPED)
                device_bad(d, 1, "pressure was not measured");
        else if (!pressure(c, raw_p, fine, &p) || p < 30000 * 256 || p > 110000 * 256)
                device_bad(d, 1, "pressure is outside 300 to 1100 hPa");
        else
                device_good(d, 1, (double)p / 25600);
        if (!has_humidity(d))
                return;
        if (!warm || raw_h == SKIPPED_HUMIDITY)
                device_bad(d, 2, "humidity was not measured");
        else
                device_good(d, 2, (double)humidity(c, raw_h, fine) / 1024);
}

static int read_all(Device *d) {
        uint8_t b[12]; /* status to humidity in one go: the chip holds them together */
        int r;

        r = device_get(d, STATUS, b, has_humidity(d) ? 12 : 10);
        if (r < 0)
                return r;
        if (b[0] & STATUS_MEASURING)
                return -EAGAIN;
        if (!has_humidity(d))
                b[10] = b[11] = 0;
        compensate(d, b + 4);
        return 0;
}

const Driver bme280_driver = {
        .name = "bme280",
        .what = "temperature, pressure and humidity",
        .addresses = "\x76\x77",
        .quantities = quantities,
        .size = sizeof(Calibration),
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_all,
};

const Driver bmp280_driver = {
        .name = "bmp280",
        .what = "temperature and pressure",
        .addresses = "\x76\x77",
        .quantities = quantities_dry,
        .size = sizeof(Calibration),
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_all,
};
