/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AHT20, AHT21, AHT25, DHT20: temperature and humidity.
 * ASAIR AHT20 Product manual (1.1) and DHT20 data sheet (1.0): commands section 5.3/7.4, status table 9, conversion
 * section 6/8; the seventh byte is a checksum over the six before. A chip that says that it isn't calibrated (after a
 * brown-out) is told to load its calibration.
 */
#include "../bytes.h"
#include "../device.h"

#define STATUS       0x71
#define BUSY         0x80
#define CALIBRATED   0x08
#define MEASURE_USEC 80000u
#define LOAD_USEC    10000u

static const uint8_t load[] = {0xbe, 0x08, 0x00};
static const uint8_t measure[] = {0xac, 0x33, 0x00};

typedef struct State {
        bool loading;
} State;

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int init(Device *d) {
        State *s = d->data;
        uint8_t status;
        int r;

        r = device_get(d, STATUS, &status, 1);
        s->loading = r == 0 && !(status & CALIBRATED);
        return r;
}

static int start(Device *d, uint32_t *ret_usec) {
        State *s = d->data;

        *ret_usec = s->loading ? LOAD_USEC : MEASURE_USEC;
        return s->loading ? device_write(d, load, sizeof(load)) : device_write(d, measure, sizeof(measure));
}

static int read_both(Device *d) {
        State *s = d->data;
        uint8_t b[7];
        int r;

        if (s->loading) {
                s->loading = false;
                return READ_MORE;
        }
        r = device_read(d, b, sizeof(b));
        if (r < 0)
                return r;
        if (b[0] & BUSY)
                return -EAGAIN;
        if (crc8(0x31, 0xff, b, 6) != b[6])
                return device_checksum(d);
        if (!(b[0] & CALIBRATED))
                return device_fail(d, -EIO, "0x%02x is not calibrated", d->route.address);
        device_good(d, 0, (double)(be24(b + 3) & 0xfffff) * 200 / 1048576 - 50);
        device_good(d, 1, (double)(be24(b + 1) >> 4) * 100 / 1048576);
        return 0;
}

const Driver aht20_driver = {
        .name = "aht20",
        .what = "temperature and humidity",
        .addresses = "\x38",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_both,
};
