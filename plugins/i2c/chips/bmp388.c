/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BMP388 and BMP390: temperature and pressure.
 * Bosch BST-BMP388-DS001 (1.7): registers section 4.3, calibration 3.11.1 and compensation 9.1 to 9.3 (in floating
 * point, as printed there), time of a measurement 3.9.2. 0x800000 is what stands there before the first measurement.
 */
#include "../bytes.h"
#include "../device.h"

#define ID          0x00
#define ID_BMP388   0x50
#define ID_BMP390   0x60
#define ERROR_STATE 0x02
#define PWR_CTRL    0x1b
#define OSR         0x1c
#define IIR         0x1f
#define CALIBRATION 0x31

#define FATAL        0x01
#define STATUS_BOTH  0x60 /* in the byte behind ERROR_STATE: pressure and temperature are new */
#define FORCED       0x13 /* both, once */
#define OSR_P4_T1    0x02
#define MEASURE_USEC 12000u /* 234 + (392 + 4 * 2020) + (313 + 2020) us, and a tenth more */
#define EMPTY        0x800000u

typedef struct Calibration {
        double t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11;
} Calibration;

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"pressure", "hPa", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        uint8_t id;
        int r;

        r = device_get(d, ID, &id, 1);
        if (r < 0 || id == ID_BMP388 || id == ID_BMP390)
                return r;
        return device_fail(d, WRONG_CHIP, "0x%02x is no bmp388: its id is 0x%02x", d->route.address, id);
}

static double power_of_two(int n) {
        double p = 1;

        for (; n > 0; n--)
                p *= 2;
        for (; n < 0; n++)
                p /= 2;
        return p;
}

static int init(Device *d) {
        Calibration *c = d->data;
        uint8_t b[21];
        int r;

        r = device_get(d, CALIBRATION, b, sizeof(b));
        if (r < 0)
                return r;
        if (le16(b) == 0 || le16(b) == 0xffff)
                return device_fail(d, -EIO, "0x%02x has no calibration", d->route.address);
        c->t1 = le16(b) * power_of_two(8);
        c->t2 = le16(b + 2) * power_of_two(-30);
        c->t3 = (int8_t)b[4] * power_of_two(-48);
        c->p1 = (le16s(b + 5) - 16384) * power_of_two(-20);
        c->p2 = (le16s(b + 7) - 16384) * power_of_two(-29);
        c->p3 = (int8_t)b[9] * power_of_two(-32);
        c->p4 = (int8_t)b[10] * power_of_two(-37);
        c->p5 = le16(b + 11) * power_of_two(3);
        c->p6 = le16(b + 13) * power_of_two(-6);
        c->p7 = (int8_t)b[15] * power_of_two(-8);
        c->p8 = (int8_t)b[16] * power_of_two(-15);
        c->p9 = le16s(b + 17) * power_of_two(-48);
        c->p10 = (int8_t)b[19] * power_of_two(-48);
        c->p11 = (int8_t)b[20] * power_of_two(-65);
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        int r;

        r = device_put(d, OSR, OSR_P4_T1);
        if (r == 0)
                r = device_put(d, IIR, 0);
        if (r == 0)
                r = device_put(d, PWR_CTRL, FORCED);
        *ret_usec = MEASURE_USEC;
        return r;
}

static double temperature(const Calibration *c, double raw) {
        double v = raw - c->t1;

        return v * c->t2 + v * v * c->t3;
}

/* In Pa. */
static double pressure(const Calibration *c, double raw, double t) {
        double offset = c->p5 + t * (c->p6 + t * (c->p7 + t * c->p8));
        double slope = c->p1 + t * (c->p2 + t * (c->p3 + t * c->p4));

        return offset + raw * slope + raw * raw * (c->p9 + t * c->p10) + raw * raw * raw * c->p11;
}

static int read_both(Device *d) {
        const Calibration *c = d->data;
        uint32_t raw_p, raw_t;
        double t, p;
        uint8_t b[8]; /* error, status, pressure, temperature */
        int r;

        r = device_get(d, ERROR_STATE, b, sizeof(b));
        if (r < 0)
                return r;
        if (b[0] & FATAL)
                return device_fail(d, -EIO, "0x%02x says that it has failed (error register 0x%02x)", d->route.address, b[0]);
        if ((b[1] & STATUS_BOTH) != STATUS_BOTH)
                return -EAGAIN;
        raw_p = le24(b + 2);
        raw_t = le24(b + 5);
        t = temperature(c, raw_t);
        p = pressure(c, raw_p, t);
        if (raw_t == EMPTY || t < -40 || t > 85)
                device_bad(d, 0, "temperature is outside -40 to 85 degrees");
        else
                device_good(d, 0, t);
        if (raw_p == EMPTY || d->readings[0].state == READING_BAD || p < 30000 || p > 125000)
                device_bad(d, 1, "pressure is outside 300 to 1250 hPa");
        else
                device_good(d, 1, p / 100);
        return 0;
}

const Driver bmp388_driver = {
        .name = "bmp388",
        .what = "temperature and pressure",
        .addresses = "\x77\x76",
        .quantities = quantities,
        .size = sizeof(Calibration),
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_both,
};
