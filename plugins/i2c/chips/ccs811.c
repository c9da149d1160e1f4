/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CCS811: volatile organic compounds, and what carbon dioxide they would mean.
 * ams CCS811 (DS000459): registers table 22 and the following, start of the application and 1 ms for it table 8. It
 * begins in a boot loader; then it measures once a second. Less than 400 ppm is how it says that it is warming up. An
 * error stays in its status until its number is read (table 23, bit 0).
 * It stretches the clock, which the I2C of a Raspberry Pi up to the 4 does not bear at 100 kHz: the manual says how to
 * make the bus slower.
 */
#include "../bytes.h"
#include "../device.h"

#define STATUS      0x00
#define MEAS_MODE   0x01
#define ALG_RESULT  0x02
#define HW_ID       0x20
#define ERROR_ID    0xe0
#define APP_START   0xf4
#define ID          0x81
#define EVERY_1S    0x10
#define APP_RUNS    0x80
#define APP_VALID   0x10
#define DATA_READY  0x08
#define HAS_ERROR   0x01
#define START_USEC  1000u
#define ECO2_MIN    400
#define RESULT_MAX  32768
#define OVERDUE_NS  INT64_C(6000000000)
#define WARM_NS     INT64_C(1800000000000) /* it takes 20 min (2.1) */

typedef enum Phase { BOOT, MODE, RUN } Phase;

typedef struct State {
        Phase phase;
        int64_t last_ns, warm_ns; /* the last measurement, and the last one that was none of a cold chip */
} State;

static const Quantity quantities[] = {
        {"eco2", "ppm", KIND_WHOLE, 0},
        {"tvoc", "ppb", KIND_WHOLE, 0},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        return device_identity(d, HW_ID, ID);
}

static int init(Device *d) {
        State *s = d->data;
        uint8_t status, error;
        int r;

        r = device_get(d, STATUS, &status, 1);
        if (r == 0 && status & HAS_ERROR)
                r = device_get(d, ERROR_ID, &error, 1); /* an old one, and no obstacle any more */
        if (r < 0)
                return r;
        if (!(status & (APP_RUNS | APP_VALID)))
                return device_fail(d, -EIO, "0x%02x has no application in its memory", d->route.address);
        s->phase = status & APP_RUNS ? MODE : BOOT;
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        const State *s = d->data;

        switch (s->phase) {
        case BOOT:
                *ret_usec = START_USEC;
                return device_write(d, (const uint8_t[]){APP_START}, 1);
        case MODE:
                return device_put(d, MEAS_MODE, EVERY_1S);
        case RUN:
                break;
        }
        return 0;
}

static int error_read(Device *d) {
        uint8_t error;
        int r;

        r = device_get(d, ERROR_ID, &error, 1);
        return r < 0 ? r : device_fail(d, -EIO, "0x%02x says error 0x%02x", d->route.address, error);
}

static int result_read(Device *d, State *s) {
        uint8_t b[5]; /* eCO2, TVOC, status */
        int r;

        r = device_get(d, ALG_RESULT, b, sizeof(b));
        if (r < 0)
                return r;
        if (b[4] & HAS_ERROR)
                return error_read(d);
        if (!(b[4] & APP_RUNS))
                return device_fail(d, -EIO, "0x%02x was started anew", d->route.address);
        if (!(b[4] & DATA_READY)) {
                if (tbagent_now(d->host) - s->last_ns > OVERDUE_NS)
                        return device_fail(d, -ETIME, "0x%02x has no new measurement", d->route.address);
                return 0;
        }
        s->last_ns = tbagent_now(d->host);
        if (be16(b) < ECO2_MIN) {
                if (s->last_ns - s->warm_ns < WARM_NS)
                        return 0;
                return device_fail(d, -ETIME, "0x%02x does not get warm: less than 400 ppm for half an hour", d->route.address);
        }
        s->warm_ns = s->last_ns;
        if (be16(b) > RESULT_MAX || be16(b + 2) > RESULT_MAX)
                return device_fail(d, -ERANGE, "more than the chip measures");
        device_good(d, 0, be16(b));
        device_good(d, 1, be16(b + 2));
        return 0;
}

static int read_phase(Device *d) {
        State *s = d->data;
        uint8_t status;
        int r;

        switch (s->phase) {
        case BOOT:
                r = device_get(d, STATUS, &status, 1);
                if (r < 0)
                        return r;
                if (!(status & APP_RUNS))
                        return -EAGAIN;
                s->phase = MODE;
                return READ_MORE;
        case MODE:
                s->phase = RUN;
                s->last_ns = s->warm_ns = tbagent_now(d->host);
                return 0;
        case RUN:
                return result_read(d, s);
        }
        return -EINVAL;
}

const Driver ccs811_driver = {
        .name = "ccs811",
        .what = "volatile organic compounds",
        .addresses = "\x5a\x5b",
        .quantities = quantities,
        .size = sizeof(State),
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_phase,
};
