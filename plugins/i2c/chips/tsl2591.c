/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TSL2591: illuminance, from one diode for all light and one for infrared.
 * ams TSL2591 (DS000338): registers behind a command byte 0xa0. The data sheet has no formula for lx; this is the one
 * of the Adafruit library and of the kernel's tsl2591.c: counts per lx = ms * gain / 408,
 * lx = (all - infrared) * (1 - infrared / all) / counts per lx, with gains of 1, 25, 428 and 9876.
 */
#include "../bytes.h"
#include "../device.h"

#define COMMAND      0xa0
#define ENABLE       0x00
#define CONTROL      0x01
#define ID           0x12
#define STATUS       0x13
#define DEVICE_ID    0x50
#define POWER        0x01
#define MEASURE      0x03
#define VALID        0x01
#define TIME_200MS   0x01 /* 65535 counts; with 100 ms it would be blinded at 36863 */
#define TIME_MS      200.0
#define MEASURE_USEC 225000u
#define COUNTS_LOW   200
#define NOISE        20 /* counts with the highest gain in darkness: which channel has more of them means nothing */
#define MOVES_MAX    4

static const double gains[] = {1, 25, 428, 9876};
#define GAINS (sizeof(gains) / sizeof(gains[0]))

typedef struct State {
        size_t gain;
        unsigned moves;
} State;

static const Quantity quantities[] = {
        {"illuminance", "lx", KIND_NUMBER, 3},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        return device_identity(d, COMMAND | ID, DEVICE_ID);
}

static int init(Device *d) {
        State *s = d->data;

        *s = (State){.gain = 1};
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        const State *s = d->data;
        int r;

        r = device_put(d, COMMAND | ENABLE, POWER); /* off and on again: VALID then means this measurement */
        if (r == 0)
                r = device_put(d, COMMAND | CONTROL, (uint8_t)(s->gain << 4 | TIME_200MS));
        if (r == 0)
                r = device_put(d, COMMAND | ENABLE, MEASURE);
        *ret_usec = MEASURE_USEC;
        return r;
}

static void light_set(Device *d, double all, double infrared, double gain) {
        double lux = 0;

        if (all <= NOISE && infrared <= NOISE) {
                device_good(d, 0, 0);
                return;
        }
        if (infrared > all) {
                device_bad(d, 0, "more infrared than light");
                return;
        }
        if (all > 0)
                lux = (all - infrared) * (1 - infrared / all) / (TIME_MS * gain / 408);
        device_good(d, 0, lux);
}

static int read_light(Device *d) {
        State *s = d->data;
        uint16_t all, infrared;
        bool blinded;
        uint8_t b[5]; /* status and both channels */
        int r, move = 0;

        r = device_get(d, COMMAND | STATUS, b, sizeof(b));
        if (r < 0)
                return r;
        if (!(b[0] & VALID))
                return -EAGAIN;
        all = le16(b + 1);
        infrared = le16(b + 3);
        blinded = all == UINT16_MAX || infrared == UINT16_MAX;
        if (blinded && s->gain > 0)
                move = -1;
        else if (all < COUNTS_LOW && s->gain < GAINS - 1)
                move = 1;
        if (move != 0 && s->moves++ < MOVES_MAX) {
                s->gain = move < 0 ? s->gain - 1 : s->gain + 1;
                return READ_MORE;
        }
        s->moves = 0;
        if (blinded)
                device_bad(d, 0, "too bright for the sensor");
        else
                light_set(d, all, infrared, gains[s->gain]);
        return device_put(d, COMMAND | ENABLE, 0);
}

const Driver tsl2591_driver = {
        .name = "tsl2591",
        .what = "illuminance",
        .addresses = "\x29",
        .quantities = quantities,
        .size = sizeof(State),
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_light,
};
